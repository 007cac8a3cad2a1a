// Makes a reset for the domain of clk_i out of one from anywhere: rst_no falls at once, even without a clock, and rises with
// clk_i, Stages clocks after rst_ni rose. The one place where a reset is asynchronous.
module sw_reset_sync #(
  parameter int unsigned Stages = 3  // Registers in a row, 2 or more.
) (
  input  logic clk_i,
  input  logic rst_ni,
  output logic rst_no
);

  if (Stages < 2) begin : gen_check
    $error("sw_reset_sync: Stages must be 2 or more");
  end

  (* ASYNC_REG = "TRUE" *) logic [Stages-1:0] chain_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) chain_q <= '0;
    else chain_q <= {chain_q[Stages-2:0], 1'b1};
  end

  assign rst_no = chain_q[Stages-1];

endmodule
