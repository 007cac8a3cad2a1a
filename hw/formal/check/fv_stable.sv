// Checks one rule of valid/ready (AXI and AXI-Stream have it too): what is offered and not taken stays, unchanged.
`include "sw_assert.svh"

module fv_stable #(
  parameter int unsigned Width = 8,
  parameter int unsigned Assume = 0  // 1: the offering side is the environment, so the rule is assumed.
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             valid_i,
  input logic             ready_i,
  input logic [Width-1:0] data_i
);

  logic held_q;
  logic [Width-1:0] data_q;
  logic kept;

  always_ff @(posedge clk_i) begin
    held_q <= rst_ni && valid_i && !ready_i;
    data_q <= data_i;
  end

  assign kept = !held_q || (valid_i && data_i == data_q);

  if (Assume != 0) begin : gen_assume
    `SW_ASSUME(StableEnvironment, kept)
  end else begin : gen_assert
    `SW_ASSERT(StableWhileWaiting, kept)
  end

endmodule
