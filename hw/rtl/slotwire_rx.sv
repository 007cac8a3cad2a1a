// The receive engine: tells frames that are ours from all others, takes ours apart and computes their CRC, a beat a clock.
// What is not ours goes on to the host unchanged.
//
// Ours is an Ethernet frame to the card's MAC address with IPv4 without options or fragments to its address, with UDP to its
// port whose lengths agree. Of it the link header and whole lines are kept; Ethernet's padding is not. Everything wrong with a
// frame that can be told without its slot is told here (R2), but counted where its turn is.
`include "sw_assert.svh"

module slotwire_rx #(
  parameter int unsigned FrameLines = 32,  // Most lines in a frame; a longer one is dropped.
  localparam int unsigned PayloadLines = 1 << $clog2(4 * FrameLines < 64 ? 64 : 4 * FrameLines),
  localparam int unsigned CountW = $clog2(PayloadLines) + 1
) (
  input logic clk_i,
  input logic rst_ni,

  input logic [31:0] own_ip_i,
  input logic [15:0] own_port_i,
  input logic [47:0] own_mac_i,

  // From the wire: whole Ethernet frames, byte 0 in tdata[7:0]; tuser at tlast: the frame is damaged.
  input  logic         rx_tvalid_i,
  output logic         rx_tready_o,
  input  logic [511:0] rx_tdata_i,
  input  logic [63:0]  rx_tkeep_i,
  input  logic         rx_tlast_i,
  input  logic         rx_tuser_i,

  // To the host; never stalls (a FIFO that drops whole frames stands behind it).
  output logic         pass_tvalid_o,
  output logic [511:0] pass_tdata_o,
  output logic [63:0]  pass_tkeep_o,
  output logic         pass_tlast_o,
  output logic         pass_tuser_o,

  // A frame of ours, after its last beat.
  output logic         frame_valid_o,
  input  logic         frame_ready_i,
  output slotwire_pkg::rx_head_t frame_o,

  // The CRC's verdict on each frame, in the same order, two clocks after the frame.
  input  logic         crc_pop_i,
  output logic         crc_bad_o,

  // How many lines of each frame stand in the payload FIFO, and the lines.
  output logic         stored_valid_o,
  input  logic         stored_pop_i,
  output logic [9:0]   stored_lines_o,
  output logic         payload_valid_o,
  input  logic         payload_ready_i,
  output logic [511:0] payload_o,

  output logic count_damaged_o,  // A frame that the port marked as damaged was dropped.
  output logic idle_o
);

  localparam int unsigned Frames = 32;

  // ---- the beat -----------------------------------------------------------------------------------------------------------

  logic         valid_q, last_q, user_q, first_q, taking;
  logic         ours_first, ours_first_q, short_frame, short_q;
  logic [15:0]  payload_bytes, payload_bytes_q;
  logic [511:0] data_q;
  logic [63:0]  keep_q;
  logic         room_q;

  // Room for a beat's line and for the frame that may end with it.
  assign taking = !valid_q || room_q;
  assign rx_tready_o = taking;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      first_q <= 1'b1;
    end else begin
      if (taking) valid_q <= rx_tvalid_i;
      if (valid_q && room_q) first_q <= last_q;
    end
    if (taking) begin
      data_q <= rx_tdata_i;
      keep_q <= rx_tkeep_i;
      last_q <= rx_tlast_i;
      user_q <= rx_tuser_i;
      ours_first_q <= ours_first;
      short_q <= short_frame;
      payload_bytes_q <= payload_bytes;
    end
  end

  // The first line with its first byte in the most significant place: as it comes in and as it is kept.
  logic [511:0] first_in, first;
  for (genvar i = 0; i < 64; i++) begin : gen_bytes
    assign first_in[(63-i)*8+:8] = rx_tdata_i[i*8+:8];
    assign first[(63-i)*8+:8] = data_q[i*8+:8];
  end
  typedef struct packed {
    logic [47:0] dst_mac;
    logic [47:0] src_mac;
    logic [15:0] ether_type;
    logic [7:0]  version_ihl;
    logic [7:0]  dscp;
    logic [15:0] total_length;
    logic [15:0] id;
    logic [15:0] fragment;
    logic [7:0]  ttl;
    logic [7:0]  protocol;
    logic [15:0] checksum;
    logic [31:0] src_ip;
    logic [31:0] dst_ip;
    logic [15:0] src_port;
    logic [15:0] dst_port;
    logic [15:0] udp_length;
    logic [15:0] udp_checksum;
    logic [175:0] link;
  } headers_t;
  headers_t in, h;
  slotwire_pkg::link_header_t link;
  assign in = first_in;
  assign h = first;
  assign link = h.link;

  // Compared on the way into the beat's register: behind it the frame's place in the queues is decided.
  assign ours_first = in.dst_mac == own_mac_i && in.ether_type == 16'h0800 && in.version_ihl == 8'h45 &&
                      (in.fragment & 16'hbfff) == '0 && in.protocol == 8'd17 && in.dst_ip == own_ip_i &&
                      in.dst_port == own_port_i && own_port_i != '0 && in.udp_length >= 16'd8 &&
                      in.total_length == 16'(in.udp_length + 16'd20) && rx_tkeep_i[41];
  assign payload_bytes = in.udp_length - 16'd30;
  assign short_frame = in.udp_length < 16'd30;

  // ---- what is wrong with it ----------------------------------------------------------------------------------------------

  logic        wrong_first;
  logic [7:0]  cause_first;
  logic [9:0]  lines_first;
  assign lines_first = payload_bytes_q[15:6];
  always_comb begin
    wrong_first = 1'b1;
    cause_first = '0;
    if (short_q) begin
      cause_first = 8'(slotwire_pkg::CounterDropShort);
    end else if (link.version != 4'(slotwire_pkg::Version)) begin
      cause_first = 8'(slotwire_pkg::CounterDropVersion);
    end else if (link.frame_type > 4'(slotwire_pkg::FrameTypeReset)) begin
      cause_first = 8'(slotwire_pkg::CounterDropType);
    end else if (payload_bytes_q[5:0] != '0 || (lines_first == '0) != (link.frame_type != 4'(slotwire_pkg::FrameTypeData)) ||
                 32'(lines_first) > FrameLines || (last_q && lines_first != '0) || !keep_q[63]) begin
      cause_first = 8'(slotwire_pkg::CounterDropLength);
    end else begin
      wrong_first = 1'b0;
    end
  end

  // ---- the frame as it comes in -------------------------------------------------------------------------------------------

  slotwire_pkg::rx_head_t now, kept_q, ending;
  logic        ours, ours_q, beat, ends, stores, cut_short;
  logic [9:0]  stored, stored_q;  // Lines of this frame in the payload FIFO, before this beat.
  logic [31:0] crc_field, crc_field_q;

  always_comb begin
    now = kept_q;
    if (first_q) begin
      now.drop = wrong_first;
      now.damaged = 1'b0;
      now.cause = cause_first;
      now.frame_type = link.frame_type;
      now.dst_slot = link.dst_slot;
      now.src_slot = link.src_slot;
      now.epoch = link.epoch;
      now.seq = link.seq;
      now.ack = link.ack;
      now.credit = link.credit;
      now.lines = lines_first;
      now.src_ip = h.src_ip;
      now.src_port = h.src_port;
    end
  end
  assign ours = first_q ? ours_first_q : ours_q;
  assign beat = valid_q && room_q;
  assign ends = beat && last_q && ours;
  assign stored = first_q ? '0 : stored_q;
  assign stores = beat && ours && !first_q && !kept_q.drop && stored_q != kept_q.lines;
  assign crc_field = first_q ? link.crc : crc_field_q;

  // The frame ends before all of its lines came.
  assign cut_short = (!now.drop && 10'(stored + 10'(stores)) != now.lines) || (stores && !(&keep_q));
  always_comb begin
    ending = now;
    if (cut_short) begin
      ending.drop = 1'b1;
      ending.cause = 8'(slotwire_pkg::CounterDropLength);
    end
    if (user_q) begin
      ending.drop = 1'b1;
      ending.damaged = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (beat) begin
      kept_q <= now;
      // A line that is not whole in the middle of a frame is not a line.
      if (!first_q && stores && !(&keep_q)) begin
        kept_q.drop <= 1'b1;
        kept_q.cause <= 8'(slotwire_pkg::CounterDropLength);
      end
      ours_q <= ours;
      stored_q <= stored + 10'(stores);
      crc_field_q <= crc_field;
    end
  end

  assign pass_tvalid_o = beat && !ours;
  assign pass_tdata_o = data_q;
  assign pass_tkeep_o = keep_q;
  assign pass_tlast_o = last_q;
  assign pass_tuser_o = user_q;

  // ---- the CRC ------------------------------------------------------------------------------------------------------------

  logic [31:0] line_crc, header_crc, line_crc_q, header_crc_q, state_q, stepped, state, expected_q;
  logic [143:0] fields;
  logic        beat2_q, first2_q, ends2_q, line2_q;
  sw_crc32c_line u_line (.line_i(data_q), .crc_o(line_crc));
  assign fields = data_q[42*8+:144];
  sw_crc32c_header u_header (.header_i(fields), .crc_o(header_crc));
  always_ff @(posedge clk_i) begin
    beat2_q <= rst_ni && beat;
    first2_q <= first_q;
    ends2_q <= rst_ni && ends;
    line2_q <= stores;
    line_crc_q <= line_crc;
    if (first_q) header_crc_q <= header_crc;
    expected_q <= ~crc_field;
    if (beat2_q) state_q <= state;
  end
  sw_crc32c_step u_step (.state_i(state_q), .crc_o(stepped));
  assign state = first2_q ? header_crc_q : line2_q ? stepped ^ line_crc_q : state_q;

  logic       crc_room, crc_valid;
  logic [5:0] crc_count;
  sw_fifo #(.Width(1), .Depth(Frames)) u_crcs (
    .clk_i, .rst_ni, .wvalid_i(ends2_q), .wready_o(crc_room), .wdata_i(state != expected_q), .rvalid_o(crc_valid),
    .rready_i(crc_pop_i), .rdata_o(crc_bad_o), .count_o(crc_count));

  // ---- queues -------------------------------------------------------------------------------------------------------------

  logic       frame_room, stored_room, payload_room;
  logic [5:0] frame_count, stored_count;
  logic [CountW-1:0] payload_count;
  // Beats of this clock and the last one are not counted yet; the CRC's queue is filled a clock later than the others.
  always_ff @(posedge clk_i) begin
    room_q <= rst_ni && payload_count < CountW'(PayloadLines - 2) && stored_count < 6'(Frames - 2) &&
              crc_count < 6'(Frames - 2) && frame_count < 6'(Frames - 2);
  end

  sw_fifo #(.Width($bits(ending)), .Depth(Frames)) u_frames (
    .clk_i, .rst_ni, .wvalid_i(ends), .wready_o(frame_room), .wdata_i(ending), .rvalid_o(frame_valid_o),
    .rready_i(frame_ready_i), .rdata_o(frame_o), .count_o(frame_count));
  sw_fifo #(.Width(10), .Depth(Frames)) u_stored (
    .clk_i, .rst_ni, .wvalid_i(ends), .wready_o(stored_room), .wdata_i(stored + 10'(stores)), .rvalid_o(stored_valid_o),
    .rready_i(stored_pop_i), .rdata_o(stored_lines_o), .count_o(stored_count));
  sw_fifo_ram #(.Width(512), .Depth(PayloadLines)) u_payload (
    .clk_i, .rst_ni, .wvalid_i(stores), .wready_o(payload_room), .wdata_i(data_q), .rvalid_o(payload_valid_o),
    .rready_i(payload_ready_i), .rdata_o(payload_o), .count_o(payload_count));

  assign count_damaged_o = ends && user_q;
  assign idle_o = !valid_q && first_q && !beat2_q && frame_count == '0 && stored_count == '0 && crc_count == '0;

  `SW_ASSERT(FrameHasRoom, !ends || frame_room)
  `SW_ASSERT(StoredHasRoom, !ends || stored_room)
  `SW_ASSERT(LineHasRoom, !stores || payload_room)
  `SW_ASSERT(CrcHasRoom, !ends2_q || crc_room)
  `SW_ASSERT(CrcIsThere, !crc_pop_i || crc_valid)
  `SW_ASSERT(StoredIsThere, !stored_pop_i || stored_valid_o)
  `SW_ASSERT(LinesInRange, 32'(stored) <= FrameLines)

  logic unused;
  assign unused = &{1'b0, h, in, link.flags, frame_room, crc_room, crc_valid,
                    stored_room, payload_room};

endmodule
