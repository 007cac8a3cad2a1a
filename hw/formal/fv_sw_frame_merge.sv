// Proof of sw_frame_merge: beats keep their order and none is lost; frames are not mixed; the inputs take turns; no pauses.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_frame_merge (
  input logic clk_i,
  input logic rst_ni,
  input logic mark_i,
  input logic s0_tvalid_i,
  input logic s0_tdata_i,
  input logic s0_tlast_i,
  input logic s1_tvalid_i,
  input logic s1_tdata_i,
  input logic s1_tlast_i,
  input logic m_tready_i
);

  `FV_RESET

  logic s0_tready, s1_tready, m_tvalid, m_tlast;
  logic [7:0] m_tdata;
  logic unused_m_tkeep;

  // Bit 1 of the data tells where a beat is from.
  sw_frame_merge #(.DataW(8)) u_dut (
    .clk_i,
    .rst_ni,
    .s0_tvalid_i,
    .s0_tready_o(s0_tready),
    .s0_tdata_i ({7'h0, s0_tdata_i}),
    .s0_tkeep_i (1'b1),
    .s0_tlast_i,
    .s1_tvalid_i,
    .s1_tready_o(s1_tready),
    .s1_tdata_i ({7'h1, s1_tdata_i}),
    .s1_tkeep_i (1'b1),
    .s1_tlast_i,
    .m_tvalid_o (m_tvalid),
    .m_tready_i,
    .m_tdata_o  (m_tdata),
    .m_tkeep_o  (unused_m_tkeep),
    .m_tlast_o  (m_tlast)
  );

  logic in0, in1, out;
  assign in0 = s0_tvalid_i && s0_tready;
  assign in1 = s1_tvalid_i && s1_tready;
  assign out = m_tvalid && m_tready_i;

  // What is offered stays: the rule of AXI-Stream, which the block relies on for its choice.
  fv_stable #(.Width(2), .Assume(1)) u_stable0 (
    .clk_i,
    .rst_ni,
    .valid_i(s0_tvalid_i),
    .ready_i(s0_tready),
    .data_i ({s0_tlast_i, s0_tdata_i})
  );
  fv_stable #(.Width(2), .Assume(1)) u_stable1 (
    .clk_i,
    .rst_ni,
    .valid_i(s1_tvalid_i),
    .ready_i(s1_tready),
    .data_i ({s1_tlast_i, s1_tdata_i})
  );
  fv_stable #(.Width(9)) u_stable (
    .clk_i,
    .rst_ni,
    .valid_i(m_tvalid),
    .ready_i(m_tready_i),
    .data_i ({m_tlast, m_tdata})
  );

  logic [1:0] unused_inside;
  fv_scoreboard #(
    .Width(9),
    .Capacity(2),
    .MaxWait(0)
  ) u_scoreboard (
    .clk_i,
    .rst_ni,
    .mark_i,
    .in_i       (in0 || in1),
    .in_data_i  (in1 ? {s1_tlast_i, 7'h1, s1_tdata_i} : {s0_tlast_i, 7'h0, s0_tdata_i}),
    .out_valid_i(m_tvalid),
    .out_ready_i(m_tready_i),
    .out_data_i ({m_tlast, m_tdata}),
    .inside_o   (unused_inside)
  );

  // Between the first and the last beat of a frame, at the output and at the inputs.
  logic out_inside_q, out_from_q, in_inside_q, in_from_q;
  // Frames of the other input that began while a beat of this one waited.
  logic [1:0] overtaken0_q, overtaken1_q;
  logic could_send_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      out_inside_q <= 1'b0;
      in_inside_q <= 1'b0;
      overtaken0_q <= '0;
      overtaken1_q <= '0;
      could_send_q <= 1'b0;
    end else begin
      could_send_q <= in_inside_q ? (in_from_q ? s1_tvalid_i : s0_tvalid_i) : (s0_tvalid_i || s1_tvalid_i);
      if (out) begin
        out_inside_q <= !m_tlast;
        out_from_q <= m_tdata[1];
      end
      if (in0 || in1) begin
        in_inside_q <= in1 ? !s1_tlast_i : !s0_tlast_i;
        in_from_q <= in1;
      end
      if (!s0_tvalid_i || s0_tready) overtaken0_q <= '0;
      else if (in1 && !in_inside_q && overtaken0_q != '1) overtaken0_q <= overtaken0_q + 2'd1;
      if (!s1_tvalid_i || s1_tready) overtaken1_q <= '0;
      else if (in0 && !in_inside_q && overtaken1_q != '1) overtaken1_q <= overtaken1_q + 2'd1;
    end
  end

  `SW_ASSERT(OneAtATime, !(in0 && in1))
  `SW_ASSERT(FramesAreNotMixed, !(out && out_inside_q) || m_tdata[1] == out_from_q)
  `SW_ASSERT(TakeTurns0, overtaken0_q <= 2'd1)
  `SW_ASSERT(TakeTurns1, overtaken1_q <= 2'd1)
  // If an input may send, there is something at the output in the next clock.
  `SW_ASSERT(NoPause, !could_send_q || m_tvalid)
  `SW_COVER(Overtaken, overtaken0_q == 2'd1)
  `SW_COVER(LongFrameOut, out && out_inside_q && m_tlast)

endmodule
