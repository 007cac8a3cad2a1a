// Between two blocks that are reset apart from each other: the sink gets whole frames, whatever is reset in the middle of one.
//
// src_gone_i: the source is in reset. Nothing is taken from it, and a frame that it began ends with one more beat, damaged (tuser).
// dst_gone_i: the sink is in reset. What the source offers is discarded, and so is the rest of a frame of which the sink missed a part.
// A beat that was offered when the source went may be replaced by the one that ends its frame.
//
// Both at once, which is how it begins, clear everything; there is no other reset, as neither side may forget the other's frame.
`include "sw_assert.svh"

module sw_frame_guard #(
  parameter int unsigned DataW = 512,  // Bits of tdata, a multiple of 8.
  parameter int unsigned SideW = 1,  // Bits that stand beside a beat.
  localparam int unsigned KeepW = DataW / 8
) (
  input  logic             clk_i,
  input  logic             src_gone_i,
  input  logic             dst_gone_i,

  input  logic             s_tvalid_i,
  output logic             s_tready_o,
  input  logic [DataW-1:0] s_tdata_i,
  input  logic [KeepW-1:0] s_tkeep_i,
  input  logic             s_tlast_i,
  input  logic             s_tuser_i,  // The frame is damaged.
  input  logic [SideW-1:0] s_tside_i,

  output logic             m_tvalid_o,
  input  logic             m_tready_i,
  output logic [DataW-1:0] m_tdata_o,
  output logic [KeepW-1:0] m_tkeep_o,
  output logic             m_tlast_o,
  output logic             m_tuser_o,
  output logic [SideW-1:0] m_tside_o
);

  if (DataW < 8 || DataW % 8 != 0) begin : gen_check
    $error("sw_frame_guard: DataW must be a multiple of 8");
  end

  // Of a frame, a first beat was taken and the last one was not: from the source, by the sink.
  logic src_open_q, src_open, dst_open_q, dst_open;
  logic skip_q;  // The rest of the source's frame is discarded.
  logic end_q;  // The sink is owed the end of a frame.
  logic skips, ends, take, give;

  assign skips = dst_gone_i || (skip_q && src_open_q);
  assign ends = dst_open_q && (src_gone_i || end_q);
  assign s_tready_o = !src_gone_i && !ends && (skips || m_tready_i);
  assign m_tvalid_o = !dst_gone_i && (ends || (s_tvalid_i && !src_gone_i && !skips));
  assign m_tdata_o = s_tdata_i;
  assign m_tkeep_o = ends ? KeepW'(1) : s_tkeep_i;
  assign m_tlast_o = ends || s_tlast_i;
  assign m_tuser_o = ends || s_tuser_i;
  assign m_tside_o = s_tside_i;

  assign take = s_tvalid_i && s_tready_o;
  assign give = m_tvalid_o && m_tready_i;
  assign src_open = src_gone_i ? 1'b0 : take ? !s_tlast_i : src_open_q;
  assign dst_open = dst_gone_i ? 1'b0 : give ? !m_tlast_o : dst_open_q;
  always_ff @(posedge clk_i) begin
    src_open_q <= src_open;
    dst_open_q <= dst_open;
    skip_q <= skips && src_open;
    end_q <= dst_open && (src_gone_i || end_q);
  end

`ifdef SIMULATION
  logic rst_ni;
  assign rst_ni = !(src_gone_i && dst_gone_i);
`endif
  // A frame of the sink's is the source's, from its first beat on.
  `SW_ASSERT(OpenFramesAreOne, !dst_open_q || end_q || (src_open_q && !skip_q))
  `SW_ASSERT(NothingIsSkippedOfAFrameThatIsGiven, !(skips && dst_open_q) || dst_gone_i || ends)

endmodule
