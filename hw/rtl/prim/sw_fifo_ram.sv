// A first-word-fall-through FIFO in block RAM, for depths that are too dear in LUT RAM. The contract of sw_fifo, but:
//
// a word can be read 3 clocks after the one in which it was written (sw_fifo: 1). One word in and one word out in every
// clock. rdata_o comes from a small LUT RAM into which words are fetched ahead, not from the block RAM. With PastRam a word that
// finds nothing in the block RAM goes right there and can be read after 1 clock, at the price of a multiplexer.
`include "sw_assert.svh"

module sw_fifo_ram #(
  parameter int unsigned Width = 512,  // Bits in a word, 1 or more.
  parameter int unsigned Depth = 512,  // Words, a power of two, 8 or more.
  parameter int unsigned Style = 1,  // Of the RAM, as sw_ram_sdp's.
  parameter int unsigned PastRam = 0,  // 0 or 1.
  localparam int unsigned CountW = $clog2(Depth) + 1
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              wvalid_i,
  output logic              wready_o,
  input  logic [Width-1:0]  wdata_i,
  output logic              rvalid_o,
  input  logic              rready_i,
  output logic [Width-1:0]  rdata_o,
  output logic [CountW-1:0] count_o  // Words that the FIFO holds, 0 to Depth.
);

  localparam int unsigned PtrW = $clog2(Depth);
  localparam int unsigned AheadDepth = 4;  // Covers the round trip from a read to the room that it frees.
  localparam int unsigned AheadW = $clog2(AheadDepth) + 1;

  if (Width < 1 || Depth < 8 || (Depth & (Depth - 1)) != 0 || PastRam > 1) begin : gen_check
    $error("sw_fifo_ram: Width must be 1 or more, Depth a power of two, 8 or more; PastRam 0 or 1");
  end

  logic [PtrW-1:0] wptr_q, rptr_q;
  logic [CountW-1:0] count_q;  // all words
  logic [CountW-1:0] in_ram_q;  // words that are written and not fetched
  logic fetched_q;  // the word that was fetched in the last clock is at the RAM's output
  logic write, past, store, read, fetch;
  logic [Width-1:0] ram_rdata;
  logic unused_ahead_wready;
  logic [AheadW-1:0] ahead_count;

  assign wready_o = !count_q[PtrW];
  assign count_o = count_q;
  assign write = wvalid_i && wready_o;
  assign past = PastRam != 0 && write && in_ram_q == '0 && !fetched_q && ahead_count < AheadW'(AheadDepth);
  assign store = write && !past;
  assign read = rvalid_o && rready_i;
  assign fetch = in_ram_q != '0 && ahead_count + AheadW'(fetched_q) < AheadW'(AheadDepth);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wptr_q <= '0;
      rptr_q <= '0;
      count_q <= '0;
      in_ram_q <= '0;
      fetched_q <= 1'b0;
    end else begin
      fetched_q <= fetch;
      if (store) wptr_q <= wptr_q + PtrW'(1);
      if (fetch) rptr_q <= rptr_q + PtrW'(1);
      if (write && !read) count_q <= count_q + CountW'(1);
      if (read && !write) count_q <= count_q - CountW'(1);
      if (store && !fetch) in_ram_q <= in_ram_q + CountW'(1);
      if (fetch && !store) in_ram_q <= in_ram_q - CountW'(1);
    end
  end

  sw_ram_sdp #(
    .Width(Width),
    .Depth(Depth),
    .Style(Style)
  ) u_ram (
    .clk_i,
    .we_i    (store),
    .waddr_i (wptr_q),
    .wdata_i,
    .wlanes_i(1'b1),
    .re_i    (fetch),
    .raddr_i (rptr_q),
    .rdata_o (ram_rdata)
  );

  sw_fifo #(
    .Width(Width),
    .Depth(AheadDepth)
  ) u_ahead (
    .clk_i,
    .rst_ni,
    .wvalid_i(fetched_q || past),
    .wready_o(unused_ahead_wready),
    .wdata_i (past ? wdata_i : ram_rdata),
    .rvalid_o,
    .rready_i,
    .rdata_o,
    .count_o (ahead_count)
  );

  `SW_ASSERT(FetchedHasRoom, !fetched_q || ahead_count < AheadW'(AheadDepth))
  `SW_ASSERT(CountIsSum, count_q == in_ram_q + CountW'(fetched_q) + CountW'(ahead_count))

endmodule
