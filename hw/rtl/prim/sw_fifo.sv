// A first-word-fall-through FIFO in LUT RAM, for small depths (sw_fifo_ram for deep ones).
//
// A word can be read in the clock after the one in which it was written. One word in and one word out in every clock, also
// while the FIFO is full: then a word is taken in the clock after a word left.
`include "sw_assert.svh"

module sw_fifo #(
  parameter int unsigned Width = 8,  // Bits in a word, 1 or more.
  parameter int unsigned Depth = 4,  // Words, a power of two, 2 or more.
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

  if (Width < 1 || Depth < 2 || (Depth & (Depth - 1)) != 0) begin : gen_check
    $error("sw_fifo: Width must be 1 or more, Depth a power of two, 2 or more");
  end

  (* ram_style = "distributed" *) logic [Width-1:0] mem[Depth];
  logic [PtrW-1:0] wptr_q, rptr_q;
  logic [CountW-1:0] count_q;
  logic write, read;

  assign wready_o = !count_q[PtrW];
  assign rvalid_o = count_q != '0;
  assign rdata_o = mem[rptr_q];
  assign count_o = count_q;
  assign write = wvalid_i && wready_o;
  assign read = rvalid_o && rready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wptr_q <= '0;
      rptr_q <= '0;
      count_q <= '0;
    end else begin
      if (write) wptr_q <= wptr_q + PtrW'(1);
      if (read) rptr_q <= rptr_q + PtrW'(1);
      if (write && !read) count_q <= count_q + CountW'(1);
      if (read && !write) count_q <= count_q - CountW'(1);
    end
  end

  always_ff @(posedge clk_i) begin
    if (write) mem[wptr_q] <= wdata_i;
  end

  `SW_ASSERT(CountInRange, count_q <= CountW'(Depth))
  `SW_ASSERT(CountIsDistance, count_q[PtrW-1:0] == PtrW'(wptr_q - rptr_q))

endmodule
