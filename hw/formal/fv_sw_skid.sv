// Proof of sw_skid: every word once, unchanged, in order, in the next clock; outputs stay while they wait.
`include "fv_reset.svh"

module fv_sw_skid (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       mark_i,
  input logic       wvalid_i,
  input logic [2:0] wdata_i,
  input logic       rready_i
);

  `FV_RESET

  logic wready, rvalid;
  logic [2:0] rdata;
  logic [1:0] unused_inside;

  sw_skid #(.Width(3)) u_dut (
    .clk_i,
    .rst_ni,
    .wvalid_i,
    .wready_o(wready),
    .wdata_i,
    .rvalid_o(rvalid),
    .rready_i,
    .rdata_o (rdata)
  );

  fv_scoreboard #(
    .Width(3),
    .Capacity(2),
    .MaxWait(0)
  ) u_scoreboard (
    .clk_i,
    .rst_ni,
    .mark_i,
    .in_i       (wvalid_i && wready),
    .in_data_i  (wdata_i),
    .out_valid_i(rvalid),
    .out_ready_i(rready_i),
    .out_data_i (rdata),
    .inside_o   (unused_inside)
  );

  fv_stable #(.Width(3)) u_stable (
    .clk_i,
    .rst_ni,
    .valid_i(rvalid),
    .ready_i(rready_i),
    .data_i (rdata)
  );

endmodule
