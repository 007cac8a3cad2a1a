// Brings pulses of one clock from src_clk_i to dst_clk_i: one out for each one in.
//
// Two pulses must be at least 3 clocks of the destination apart, or both are lost. Both sides must be reset together, the
// source at least as long as the destination needs to see it (3 clocks of the destination).
module sw_sync_pulse (
  input  logic src_clk_i,
  input  logic src_rst_ni,
  input  logic pulse_i,
  input  logic dst_clk_i,
  input  logic dst_rst_ni,
  output logic pulse_o
);

  logic toggle_q;  // every pulse turns it round
  logic seen, seen_q;

  always_ff @(posedge src_clk_i) begin
    if (!src_rst_ni) toggle_q <= 1'b0;
    else toggle_q <= toggle_q ^ pulse_i;
  end

  sw_sync_level u_sync (
    .clk_i (dst_clk_i),
    .rst_ni(dst_rst_ni),
    .d_i   (toggle_q),
    .q_o   (seen)
  );

  always_ff @(posedge dst_clk_i) begin
    if (!dst_rst_ni) seen_q <= 1'b0;
    else seen_q <= seen;
  end

  assign pulse_o = seen ^ seen_q;

endmodule
