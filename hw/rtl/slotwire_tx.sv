// The transmit engine: reads a frame's lines out of the ring, a line a clock, computes the CRC on the way, and sends header and
// lines, a beat a clock. Frames leave in the order in which they came.
//
//   clock 0  a frame comes; its first line is read       + latency of the memory: the line comes, the CRC's state
//   + 1      the header goes out, the lines behind it
//
// A frame without lines takes part as one with a line that is not used, so that everything stays in order. A line with wrong
// parity makes the frame vanish and its slot fault. So do received lines that memory refused: a frame could acknowledge them.
`include "sw_assert.svh"

module slotwire_tx #(
  parameter int unsigned MemLineBits = 16,  // The slot memory has 2^MemLineBits lines.
  parameter int unsigned FrameLines = 32,  // Most lines in a frame.
  localparam int unsigned PayloadLines = 1 << $clog2(4 * FrameLines < 64 ? 64 : 4 * FrameLines),
  localparam int unsigned CountW = $clog2(PayloadLines) + 1
) (
  input logic clk_i,
  input logic rst_ni,

  // Where frames come from: the card's own address.
  input logic [31:0] own_ip_i,
  input logic [15:0] own_port_i,
  input logic [47:0] own_mac_i,

  input  logic        frame_valid_i,
  output logic        frame_ready_o,
  input  slotwire_pkg::tx_job_t job_i,

  // What a frame acknowledges is in memory before the frame leaves.
  input logic       decided_i,  // A frame was decided on; it comes in this clock or later.
  input logic [7:0] received_i,  // Verdicts on received frames before it, mod 256.
  input logic [7:0] written_i,  // Verdicts that were carried out, mod 256.

  output logic                   mem_valid_o,
  input  logic                   mem_ready_i,
  output logic [MemLineBits-1:0] mem_addr_o,
  input  logic                   mem_rsp_valid_i,
  input  logic [511:0]           mem_rsp_data_i,
  input  logic                   mem_rsp_err_i,

  output logic         tx_tvalid_o,
  input  logic         tx_tready_i,
  output logic [511:0] tx_tdata_o,
  output logic         tx_tlast_o,  // Every beat is full.

  // The slot of the frame that is next; lines of it were refused by memory: what it acknowledges may not be there.
  // Looked at only while refused_any_i, and then a clock before.
  output logic [15:0] sent_slot_o,
  input  logic        refused_any_i,
  input  logic        refusing_i,  // One more is refused in this clock.
  input  logic        refused_i,

  output logic        error_valid_o,
  input  logic        error_ready_i,
  output logic [15:0] error_slot_o,

  output logic reads_idle_o,  // No lines are to be read or on their way.
  output logic idle_o
);

  localparam int unsigned Jobs = 16;
  localparam int unsigned Decided = 32;  // At least Jobs and what slotwire_rows holds (TxDepth).

  slotwire_pkg::tx_frame_t job_in;
  assign job_in = job_i.frame;

  // ---- reading ------------------------------------------------------------------------------------------------------------

  // The frame whose lines are being read, beyond the first.
  logic        more_q;
  logic [9:0]  left_q;  // Lines to read.
  logic [31:0] at_q, base_q;
  logic [3:0]  order_q;

  logic [31:0] at, base, mask, index;
  logic [3:0]  order;
  logic        issue, start, room, job_room, job_free;
  logic [CountW-1:0] reserved_q;  // Lines in the payload FIFO or on their way there.
  logic        payload_pop;

  assign start = frame_valid_i && !more_q;
  assign at = more_q ? at_q : job_in.head.seq;
  assign base = more_q ? base_q : job_i.base;
  assign order = more_q ? order_q : job_i.order;
  assign mask = ~(32'hffff_ffff << order);
  assign index = base | (at & mask);
  assign mem_addr_o = index[MemLineBits-1:0];
  assign room = reserved_q != CountW'(PayloadLines);
  assign mem_valid_o = (more_q || (frame_valid_i && job_free)) && room;
  assign issue = mem_valid_o && mem_ready_i;
  assign frame_ready_o = start && issue;

  logic rsp_empty;  // The response is the unused line of a frame without lines.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      more_q <= 1'b0;
      reserved_q <= '0;
    end else begin
      if (issue) more_q <= more_q ? left_q != 10'd1 : job_in.head.lines > 10'd1;
      reserved_q <= reserved_q + CountW'(issue) - CountW'(payload_pop) - CountW'(rsp_empty);
    end
    if (issue) begin
      at_q <= at + 32'd1;
      left_q <= (more_q ? left_q : job_in.head.lines) - 10'd1;
      if (!more_q) begin
        base_q <= job_i.base;
        order_q <= job_i.order;
      end
    end
  end

  // ---- the frames whose lines are on their way ----------------------------------------------------------------------------

  slotwire_pkg::tx_frame_t job;
  logic [31:0] header_crc_in, header_crc;  // The CRC's state behind the link header.
  logic [19:0] ip_sum_in, ip_sum;  // Of the IPv4 header, but for its length.
  logic       job_valid, job_pop;
  logic [4:0] job_count;
  // The first 18 bytes of the link header, byte 0 in bits 7:0.
  logic [143:0] fields;
  function automatic logic [15:0] swap16(input logic [15:0] value);
    swap16 = {value[7:0], value[15:8]};
  endfunction
  function automatic logic [31:0] swap32(input logic [31:0] value);
    swap32 = {value[7:0], value[15:8], value[23:16], value[31:24]};
  endfunction
  assign fields = {swap16(job_in.head.credit), swap32(job_in.head.ack), swap32(job_in.head.seq), swap16(job_in.epoch),
                   swap16(job_in.slot), swap16(job_in.peer_slot), 8'd0, 4'(slotwire_pkg::Version), job_in.head.frame_type};
  sw_crc32c_header u_header (.header_i(fields), .crc_o(header_crc_in));
  // The constant part of the IPv4 header's checksum with the card's own address.
  logic [18:0] own_sum_q;
  always_ff @(posedge clk_i) own_sum_q <= 19'h4500 + 19'h4000 + 19'h4011 + 19'(own_ip_i[31:16]) + 19'(own_ip_i[15:0]);
  assign ip_sum_in = 20'(own_sum_q) + 20'(job_in.peer_ip[31:16]) + 20'(job_in.peer_ip[15:0]);
  sw_fifo #(.Width($bits(job_in) + 32 + 20), .Depth(Jobs)) u_jobs (
    .clk_i, .rst_ni, .wvalid_i(frame_ready_o), .wready_o(job_room), .wdata_i({job_in, header_crc_in, ip_sum_in}),
    .rvalid_o(job_valid), .rready_i(job_pop), .rdata_o({job, header_crc, ip_sum}), .count_o(job_count));

  // ---- the CRC ------------------------------------------------------------------------------------------------------------

  logic [31:0] line_crc, state_q, stepped, state;
  logic [9:0]  taken_q;  // Lines of the job that came.
  logic        starts, last, bad_q, bad;
  assign starts = taken_q == '0;
  assign last = 10'(taken_q + 10'd1) >= job.head.lines;
  assign job_pop = mem_rsp_valid_i && last;
  assign rsp_empty = mem_rsp_valid_i && job.head.lines == '0;

  sw_crc32c_line u_line (.line_i(mem_rsp_data_i), .crc_o(line_crc));
  sw_crc32c_step u_step (.state_i(starts ? header_crc : state_q), .crc_o(stepped));
  assign state = job.head.lines == '0 ? header_crc : stepped ^ line_crc;
  assign bad = (mem_rsp_err_i && job.head.lines != '0) || (!starts && bad_q);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) taken_q <= '0;
    else if (mem_rsp_valid_i) taken_q <= last ? '0 : taken_q + 10'd1;
    if (mem_rsp_valid_i) begin
      state_q <= state;
      bad_q <= bad;
    end
  end

  // The sum of the IPv4 header with the frame's length, its carries added once.
  logic [19:0] sum;
  logic [16:0] folded;
  assign sum = ip_sum + 20'd50 + 20'({job.head.lines, 6'd0});
  assign folded = 17'(sum[15:0]) + 17'(sum[19:16]);

  // ---- sending ------------------------------------------------------------------------------------------------------------

  slotwire_pkg::tx_frame_t header;
  logic        header_bad;
  logic [31:0] crc;
  logic [16:0] header_sum;  // The sum for the IPv4 checksum, its carries added once.
  logic        header_valid, header_pop, header_room;
  logic [4:0]  header_count;
  sw_fifo #(.Width($bits(header) + 1 + 32 + 17), .Depth(Jobs)) u_headers (
    .clk_i, .rst_ni, .wvalid_i(job_pop), .wready_o(header_room), .wdata_i({bad, ~state, folded, job}),
    .rvalid_o(header_valid), .rready_i(header_pop), .rdata_o({header_bad, crc, header_sum, header}), .count_o(header_count));

  // A frame enters only when there is room for its header, too.
  logic [4:0] jobs_held_q;
  assign job_free = jobs_held_q != 5'(Jobs);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) jobs_held_q <= '0;
    else jobs_held_q <= jobs_held_q + 5'(frame_ready_o) - 5'(header_pop);
  end

  logic         payload_valid, payload_room;
  logic [511:0] payload;
  logic [CountW-1:0] payload_count;
  sw_fifo_ram #(.Width(512), .Depth(PayloadLines), .PastRam(1)) u_payload (
    .clk_i, .rst_ni, .wvalid_i(mem_rsp_valid_i && !rsp_empty), .wready_o(payload_room), .wdata_i(mem_rsp_data_i),
    .rvalid_o(payload_valid), .rready_i(payload_pop), .rdata_o(payload), .count_o(payload_count));

  logic [9:0] send_left_q;  // Lines of the frame that are still to be sent after the header; 0: a header is next.
  logic       drop_q;  // They are not sent.
  logic       lines_turn, held, may_start, error_room;
  logic       header_drop, offered_q, looked_q, refused_q, may_go;
  logic [2:0] error_count;
  assign lines_turn = send_left_q != '0;
  logic       may_leave;
  sw_fence #(.Depth(Decided), .Pending(64)) u_acknowledged (
    .clk_i, .rst_ni, .enter_i(decided_i), .begun_i(received_i), .ended_i(written_i), .one_ended_i(1'b0),
    .may_leave_o(may_leave), .leave_i(header_pop));
  // A slot whose lines were refused sends its reset alone. What was offered already stays: it acknowledges lines that were done before.
  assign sent_slot_o = header.slot;
  assign may_go = !refused_any_i || looked_q || offered_q;
  assign header_drop = header_bad || (refused_any_i && refused_q && !offered_q && header.head.frame_type != slotwire_pkg::FrameTypeReset);
  always_ff @(posedge clk_i) begin
    offered_q <= rst_ni && tx_tvalid_o && !tx_tready_i && !lines_turn;
    looked_q <= rst_ni && header_valid && !header_pop && refused_any_i && !refusing_i;
    refused_q <= refused_i;
  end
  assign held = !may_leave;  // What the frame acknowledges is not in memory yet.
  assign may_start = header_valid && !lines_turn && !held && (!header_bad || error_room) && may_go;
  assign header_pop = may_start && (header_drop || tx_tready_i);
  sw_fifo #(.Width(16), .Depth(4)) u_errors (
    .clk_i, .rst_ni, .wvalid_i(header_pop && header_bad), .wready_o(error_room), .wdata_i(header.slot),
    .rvalid_o(error_valid_o), .rready_i(error_ready_i), .rdata_o(error_slot_o), .count_o(error_count));
  assign payload_pop = lines_turn && payload_valid && (drop_q || tx_tready_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) send_left_q <= '0;
    else if (header_pop) send_left_q <= header.head.lines;
    else if (payload_pop) send_left_q <= send_left_q - 10'd1;
    if (header_pop) drop_q <= header_drop;
  end

  logic [15:0] checksum;
  assign checksum = ~(header_sum[15:0] + 16'(header_sum[16]));

  logic [15:0] udp_length;
  assign udp_length = 16'd30 + {header.head.lines, 6'd0};
  // The first line of the frame as it goes over the wire, the first byte in the most significant place.
  logic [511:0] first;
  assign first = {header.peer_mac, own_mac_i, 16'h0800, 16'h4500, 16'(udp_length + 16'd20), 16'h0000, 16'h4000, 16'h4011,
                  checksum, own_ip_i, header.peer_ip, own_port_i, header.peer_port, udp_length, 16'h0000,
                  4'(slotwire_pkg::Version), header.head.frame_type, 8'd0, header.peer_slot, header.slot,
                  header.epoch, header.head.seq, header.head.ack, header.head.credit, crc};
  logic [511:0] first_beat;
  for (genvar i = 0; i < 64; i++) begin : gen_bytes
    assign first_beat[i*8+:8] = first[(63-i)*8+:8];
  end

  assign tx_tvalid_o = lines_turn ? payload_valid && !drop_q : header_valid && !held && may_go && !header_drop;
  assign tx_tdata_o = lines_turn ? payload : first_beat;
  assign tx_tlast_o = lines_turn ? send_left_q == 10'd1 : header.head.lines == '0;

  assign reads_idle_o = !more_q && job_count == '0 && !frame_valid_i;
  assign idle_o = jobs_held_q == '0 && !lines_turn && !frame_valid_i && reserved_q == '0 && !error_valid_o;

  `SW_ASSERT(LinesHeldInRange, reserved_q <= CountW'(PayloadLines))
  `SW_ASSERT(LineHasRoom, !(mem_rsp_valid_i && !rsp_empty) || payload_room)
  `SW_ASSERT(RoomIsReserved, payload_count <= reserved_q)
  `SW_ASSERT(JobHasRoom, !frame_ready_o || job_room)
  `SW_ASSERT(LineHasItsFrame, !mem_rsp_valid_i || job_valid)
  `SW_ASSERT(HeaderHasRoom, !job_pop || header_room)
  `SW_ASSERT(FramesHeldInRange, jobs_held_q <= 5'(Jobs) && job_count + header_count <= jobs_held_q)
  `SW_ASSERT(ErrorHasRoom, !(header_pop && header_bad) || error_room)
  `SW_ASSERT(LinesTakenInRange, !job_valid || (job.head.lines == '0 ? taken_q == '0 : taken_q < job.head.lines))
  `SW_ASSERT(HeaderThenItsLines, !(header_pop && lines_turn))
  `SW_ASSERT(LinesGoOnlyWithTheirFrame, !payload_pop || lines_turn)

  logic unused;
  assign unused = &{1'b0, job_room, job_valid, header_room, header_count, payload_room, payload_count,
                    index[31:MemLineBits], error_count};

endmodule
