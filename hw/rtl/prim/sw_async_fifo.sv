// A first-word-fall-through FIFO between two clocks without any relation. Gray-coded pointers cross, the words do not.
//
// A word can be read 3 to 4 read clocks after it was written. One word in every clock on each side. wcount_o and rcount_o are
// never on the wrong side of caution: the writer sees at least as many words as there are, the reader at most.
// Both sides must be reset together: each reset must overlap the other, and no word may move before both have ended
// (sw_reset_sync for each side from one source; a writer that waits for wready_o needs nothing else).
// Constrain the crossings: the delay of the gray pointers at most one period of the faster clock.
module sw_async_fifo #(
  parameter int unsigned Width = 8,  // Bits in a word, 1 or more.
  parameter int unsigned Depth = 16,  // Words, a power of two, 4 or more; 8 or more for full throughput.
  localparam int unsigned CountW = $clog2(Depth) + 1
) (
  input  logic              wclk_i,
  input  logic              wrst_ni,
  input  logic              wvalid_i,
  output logic              wready_o,
  input  logic [Width-1:0]  wdata_i,
  output logic [CountW-1:0] wcount_o,

  input  logic              rclk_i,
  input  logic              rrst_ni,
  output logic              rvalid_o,
  input  logic              rready_i,
  output logic [Width-1:0]  rdata_o,
  output logic [CountW-1:0] rcount_o
);

  localparam int unsigned AddrW = $clog2(Depth);

  if (Width < 1 || Depth < 4 || (Depth & (Depth - 1)) != 0) begin : gen_check
    $error("sw_async_fifo: Width must be 1 or more, Depth a power of two, 4 or more");
  end

  function logic [CountW-1:0] to_gray(input logic [CountW-1:0] binary);
    to_gray = binary ^ (binary >> 1);
  endfunction

  (* ram_style = "distributed" *) logic [Width-1:0] mem[Depth];

  // Write side. It is ready from the second clock after its reset: one more register than the pointers.
  logic [CountW-1:0] wptr_q, wptr_d, wgray_q, rgray_at_w, rptr_at_w;
  logic wopen_q, write;

  // Read side.
  logic [CountW-1:0] rptr_q, rptr_d, rgray_q, wgray_at_r, wptr_at_r;
  logic read;

  assign wcount_o = wptr_q - rptr_at_w;
  assign wready_o = wopen_q && !wcount_o[AddrW];
  assign write = wvalid_i && wready_o;
  assign wptr_d = wptr_q + CountW'(write);

  always_ff @(posedge wclk_i) begin
    if (!wrst_ni) begin
      wopen_q <= 1'b0;
      wptr_q <= '0;
      wgray_q <= '0;
    end else begin
      wopen_q <= 1'b1;
      wptr_q <= wptr_d;
      wgray_q <= to_gray(wptr_d);
    end
  end

  always_ff @(posedge wclk_i) begin
    if (write) mem[wptr_q[AddrW-1:0]] <= wdata_i;
  end

  sw_sync_level #(
    .Width(CountW)
  ) u_to_write (
    .clk_i (wclk_i),
    .rst_ni(wrst_ni),
    .d_i   (rgray_q),
    .q_o   (rgray_at_w)
  );

  assign rcount_o = wptr_at_r - rptr_q;
  assign rvalid_o = rcount_o != '0;
  assign rdata_o = mem[rptr_q[AddrW-1:0]];
  assign read = rvalid_o && rready_i;
  assign rptr_d = rptr_q + CountW'(read);

  always_ff @(posedge rclk_i) begin
    if (!rrst_ni) begin
      rptr_q <= '0;
      rgray_q <= '0;
    end else begin
      rptr_q <= rptr_d;
      rgray_q <= to_gray(rptr_d);
    end
  end

  sw_sync_level #(
    .Width(CountW)
  ) u_to_read (
    .clk_i (rclk_i),
    .rst_ni(rrst_ni),
    .d_i   (wgray_q),
    .q_o   (wgray_at_r)
  );

  // Gray to binary: every bit is the parity of the bits from it up.
  always_comb begin
    for (int unsigned i = 0; i < CountW; i++) begin
      rptr_at_w[i] = ^(rgray_at_w >> i);
      wptr_at_r[i] = ^(wgray_at_r >> i);
    end
  end

endmodule
