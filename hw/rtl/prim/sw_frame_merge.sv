// Merges the frames of two AXI-Streams into one: whole frames, round robin, no pause between frames.
//
// An input is chosen when its first beat is there, and keeps the output until its last beat; so both inputs should hold whole
// frames (sw_frame_fifo), else one that pauses holds up the other. When both have a frame, they take turns. Latency 1 clock.
`include "sw_assert.svh"

module sw_frame_merge #(
  parameter int unsigned DataW = 512,  // Bits of tdata, a multiple of 8. A line; less in proofs only.
  localparam int unsigned KeepW = DataW / 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             s0_tvalid_i,
  output logic             s0_tready_o,
  input  logic [DataW-1:0] s0_tdata_i,
  input  logic [KeepW-1:0] s0_tkeep_i,
  input  logic             s0_tlast_i,

  input  logic             s1_tvalid_i,
  output logic             s1_tready_o,
  input  logic [DataW-1:0] s1_tdata_i,
  input  logic [KeepW-1:0] s1_tkeep_i,
  input  logic             s1_tlast_i,

  output logic             m_tvalid_o,
  input  logic             m_tready_i,
  output logic [DataW-1:0] m_tdata_o,
  output logic [KeepW-1:0] m_tkeep_o,
  output logic             m_tlast_o
);

  localparam int unsigned WordW = DataW + KeepW + 1;

  if (DataW < 8 || DataW % 8 != 0) begin : gen_check
    $error("sw_frame_merge: DataW must be a multiple of 8");
  end

  logic inside_q;  // between the first and the last beat of a frame
  logic last_q;  // the input of this frame or, between frames, of the last one
  logic sel, valid, ready;
  logic [WordW-1:0] word;

  // Between frames: the other one than last time if it has something, else whichever has.
  assign sel = inside_q ? last_q : (last_q ? !s0_tvalid_i : s1_tvalid_i);
  assign valid = sel ? s1_tvalid_i : s0_tvalid_i;
  assign word = sel ? {s1_tlast_i, s1_tkeep_i, s1_tdata_i} : {s0_tlast_i, s0_tkeep_i, s0_tdata_i};
  assign s0_tready_o = ready && !sel;
  assign s1_tready_o = ready && sel;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      inside_q <= 1'b0;
      last_q <= 1'b1;
    end else if (valid && ready) begin
      inside_q <= !word[WordW-1];
      last_q <= sel;
    end
  end

  sw_skid #(
    .Width(WordW)
  ) u_out (
    .clk_i,
    .rst_ni,
    .wvalid_i(valid),
    .wready_o(ready),
    .wdata_i (word),
    .rvalid_o(m_tvalid_o),
    .rready_i(m_tready_i),
    .rdata_o ({m_tlast_o, m_tkeep_o, m_tdata_o})
  );

  `SW_ASSERT(FramesAreNotMixed, !inside_q || sel == last_q)
  `SW_ASSERT(OneInputIsTaken, !(s0_tready_o && s1_tready_o))

endmodule
