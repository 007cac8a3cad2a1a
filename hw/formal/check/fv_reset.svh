// Put into the top of a proof: the first clock is in reset, later ones may be.
`define FV_RESET \
  logic fv_started_q = 1'b0; \
  always_ff @(posedge clk_i) fv_started_q <= 1'b1; \
  always_comb if (!fv_started_q) assume (!rst_ni);
