// Proof of sw_async_fifo: every word once, unchanged, in order, with two clocks that have nothing to do with each other.
//
// Clocks are free inputs: either, both or none rises in a step. A bit that crosses is taken old or new, each by itself, when it
// changed in the step of the receiving clock's edge (see the abstraction in fv_sw_async_fifo.toml): what a first register that goes
// metastable may give. Words are followed by hand, since fv_scoreboard has one clock: one word, chosen by its number.
module fv_sw_async_fifo #(
  parameter int unsigned Depth = 4,
  localparam int unsigned CountW = $clog2(Depth) + 1
) (
  input logic       wclk_i,
  input logic       rclk_i,
  input logic       rst_ni,
  input logic       wvalid_i,
  input logic [1:0] wdata_i,
  input logic       rready_i
);

  (* gclk *) logic gclk;  // Rises in every step.

  logic wready, rvalid;
  logic [1:0] rdata;
  logic [CountW-1:0] wcount, rcount;

  sw_async_fifo #(
    .Width(2),
    .Depth(Depth)
  ) u_dut (
    .wclk_i,
    .wrst_ni(rst_ni),
    .wvalid_i,
    .wready_o(wready),
    .wdata_i,
    .wcount_o(wcount),
    .rclk_i,
    .rrst_ni(rst_ni),
    .rvalid_o(rvalid),
    .rready_i,
    .rdata_o(rdata),
    .rcount_o(rcount)
  );

  // Reset is held until both clocks have risen twice in it, and is not given again: it must reach both sides.
  logic [1:0] wrose_q = '0, rrose_q = '0;
  logic done_q = 1'b0;
  always_ff @(posedge wclk_i) if (!rst_ni && wrose_q != 2'd3) wrose_q <= wrose_q + 2'd1;
  always_ff @(posedge rclk_i) if (!rst_ni && rrose_q != 2'd3) rrose_q <= rrose_q + 2'd1;
  always_ff @(posedge gclk) done_q <= done_q || rst_ni;
  always_comb begin
    if (wrose_q < 2'd2 || rrose_q < 2'd2) assume (!rst_ni);
    if (done_q) assume (rst_ni);
  end

  // How many words went in and came out, mod 4 * Depth; the chosen word is the one with a number that never changes.
  localparam int unsigned NumberW = CountW + 1;
  (* anyconst *) logic [NumberW-1:0] chosen;
  logic [NumberW-1:0] in_q, out_q;
  logic [1:0] word_q;
  always_ff @(posedge wclk_i) begin
    if (!rst_ni) begin
      in_q <= '0;
    end else if (wvalid_i && wready) begin
      in_q <= in_q + NumberW'(1);
      if (in_q == chosen) word_q <= wdata_i;
    end
  end
  always_ff @(posedge rclk_i) begin
    if (!rst_ni) out_q <= '0;
    else if (rvalid && rready_i) out_q <= out_q + NumberW'(1);
  end

  logic [NumberW-1:0] inside;
  assign inside = in_q - out_q;

  always_ff @(posedge gclk) begin
    if (rst_ni) begin
`ifdef SW_COVER_RUN
      full : assert (!(inside == NumberW'(Depth)));
      round : assert (!(out_q == NumberW'(Depth + 1)));
`else
      within_capacity : assert (inside <= NumberW'(Depth));
      nothing_from_nowhere : assert (!rvalid || inside != '0);
      unchanged_in_order : assert (!(rvalid && out_q == chosen) || rdata == word_q);
      writer_is_cautious : assert (NumberW'(wcount) >= inside);
      reader_is_cautious : assert (NumberW'(rcount) <= inside);
`endif
    end
  end


endmodule
