// Gives every packet of a stream its size in bytes beside its first beat: a packet leaves when all of it is inside.
//
// A packet of more than Depth beats could never leave; it is dropped whole. A packet costs Depth beats of room at most, and as many
// clocks of delay as it has beats.
`include "sw_assert.svh"

module sw_axis_size #(
  parameter int unsigned Depth = 512,  // Beats, a power of two, 4 or more.
  parameter int unsigned Packets = 64,  // Packets that wait, a power of two, 2 or more.
  parameter int unsigned Style = 1,  // Of the RAM, as sw_ram_sdp's.
  localparam int unsigned SizeW = 16
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             s_tvalid_i,
  output logic             s_tready_o,
  input  logic [511:0]     s_tdata_i,
  input  logic [63:0]      s_tkeep_i,
  input  logic             s_tlast_i,

  output logic             m_tvalid_o,
  input  logic             m_tready_i,
  output logic [511:0]     m_tdata_o,
  output logic [63:0]      m_tkeep_o,
  output logic             m_tlast_o,
  output logic [SizeW-1:0] m_size_o  // Of the packet that the beat belongs to.
);

  localparam int unsigned BeatsW = $clog2(Depth) + 1;
  localparam int unsigned PacketsW = $clog2(Packets) + 1;

  if (Depth < 4 || Depth * 64 >= (1 << SizeW)) begin : gen_check
    $error("sw_axis_size: Depth must be 4 to 512");
  end

  logic fifo_ready, size_room, take, fits, size_push_q, size_valid, fifo_valid, unused_drop, unused_side;
  logic [SizeW-1:0] bytes_q, size_q;
  logic [BeatsW-1:0] beats_q;
  logic [PacketsW-1:0] unused_count;

  // A size that was pushed just now is not counted yet: one place is kept for it.
  assign s_tready_o = fifo_ready && size_room && !size_push_q;
  assign take = s_tvalid_i && s_tready_o;
  assign fits = beats_q < BeatsW'(Depth);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      bytes_q <= '0;
      beats_q <= '0;
      size_push_q <= 1'b0;
    end else begin
      size_push_q <= take && s_tlast_i && fits;
      if (take) begin
        bytes_q <= s_tlast_i ? '0 : bytes_q + SizeW'(64);
        beats_q <= s_tlast_i ? '0 : fits ? beats_q + BeatsW'(1) : beats_q;
      end
    end
    size_q <= bytes_q + SizeW'($countones(s_tkeep_i));
  end

  sw_frame_fifo #(.Depth(Depth), .DropWhenFull(0), .Style(Style)) u_beats (
    .clk_i, .rst_ni, .s_tvalid_i(s_tvalid_i && size_room && !size_push_q), .s_tready_o(fifo_ready), .s_tdata_i, .s_tkeep_i,
    .s_tlast_i, .s_tuser_i(1'b0), .s_tside_i(1'b0), .m_tvalid_o(fifo_valid), .m_tready_i(m_tready_i && size_valid), .m_tdata_o,
    .m_tkeep_o, .m_tlast_o, .m_tside_o(unused_side), .drop_o(unused_drop));
  sw_fifo #(.Width(SizeW), .Depth(Packets)) u_sizes (
    .clk_i, .rst_ni, .wvalid_i(size_push_q), .wready_o(size_room), .wdata_i(size_q), .rvalid_o(size_valid),
    .rready_i(m_tvalid_o && m_tready_i && m_tlast_o), .rdata_o(m_size_o), .count_o(unused_count));
  assign m_tvalid_o = fifo_valid && size_valid;

  `SW_ASSERT(SizesHaveRoom, !size_push_q || size_room)

endmodule
