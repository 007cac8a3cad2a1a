// Proof of sw_fifo_ram: every word once, unchanged, in order, at most 3 clocks (PastRam: 1) after it went in while the FIFO
// was empty; count_o is right.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_fifo_ram #(
  parameter int unsigned Depth = 8,
  parameter int unsigned PastRam = 0
) (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       mark_i,
  input logic       wvalid_i,
  input logic       wdata_i,
  input logic       rready_i
);

  `FV_RESET

  logic wready, rvalid;
  logic rdata;
  logic [$clog2(Depth):0] count;
  logic [$clog2(Depth+2)-1:0] inside;

  sw_fifo_ram #(
    .Width(1),
    .Depth(Depth),
    .PastRam(PastRam)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .wvalid_i,
    .wready_o(wready),
    .wdata_i,
    .rvalid_o(rvalid),
    .rready_i,
    .rdata_o (rdata),
    .count_o (count)
  );

  fv_scoreboard #(
    .Width(1),
    .Capacity(Depth),
    .MaxWait(PastRam != 0 ? 0 : 2)
  ) u_scoreboard (
    .clk_i,
    .rst_ni,
    .mark_i,
    .in_i       (wvalid_i && wready),
    .in_data_i  (wdata_i),
    .out_valid_i(rvalid),
    .out_ready_i(rready_i),
    .out_data_i (rdata),
    .inside_o   (inside)
  );

  fv_stable #(.Width(1)) u_stable (
    .clk_i,
    .rst_ni,
    .valid_i(rvalid),
    .ready_i(rready_i),
    .data_i (rdata)
  );

  `SW_ASSERT(CountIsTrue, count == inside)
  `SW_ASSERT(RoomIsOffered, wready == (inside != Depth))

endmodule
