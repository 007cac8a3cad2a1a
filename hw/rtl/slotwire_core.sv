// The vendor-neutral core of a card: slots, marks and links in hardware, beside the host's own traffic.
//
//   host bus --> host ---> rows (slot table, rules, ready slots) ---> tx ---> merge ---> wire
//                  |          ^      |                                ^         ^
//                  |          |      v                                |         +------ from the host's network stack
//                  |          |    marks (published, interrupts)      | lines
//                  v          |      ^                                |
//            slot memory <----|---- writer <------- rx <------------- | ---------------- wire
//                             +-----------------------+               |      (the rest to the host, by the classifier)
//
// The protocol is docs/protocol.md, addresses and tables docs/registers.md, and how this works docs/card.md. Time is counted
// outside, so that a test can hold it.
`include "sw_assert.svh"

module slotwire_core #(
  parameter int unsigned Slots = 64,  // Rows of the slot table, 16 to 4096, a power of two.
  parameter int unsigned Links = 16,  // Rows of the link table, 2 to 64, a power of two.
  parameter int unsigned MemLineBits = 16,  // The slot memory has 2^MemLineBits lines, 6 to 22.
  parameter int unsigned MaxOrder = 10,  // Largest ring: 2^MaxOrder lines, 0 to 15.
  parameter int unsigned FrameLines = 32,  // Most lines in a frame, 1 to 1023.
  parameter int unsigned Vectors = 4,  // Interrupt vectors, 1 to 32, a power of two.
  parameter int unsigned SweepClocks = 4,  // Clocks from slot to slot in the sweep over timers, 2 to 255.
  parameter int unsigned HostLines = 512,  // Lines that the FIFOs of the host's own traffic hold, each way.
  parameter int unsigned Rules = 16,  // Rules of the classifier of the host's own traffic, 2 to 32.
  parameter int unsigned Dma = 0,  // 1: output rings and proxy marks may be in host memory, and slotwire_dma is there.
  parameter logic [31:0] BuildId = 32'd0  // First 32 bits of the source revision.
) (
  input logic clk_i,
  input logic rst_ni,  // Synchronous; may come at any time. Marks that were published survive it.
  input logic [31:0] now_us_i,

  // The host bus: line-aligned requests, in the order in which they are taken.
  input  logic         host_req_valid_i,
  output logic         host_req_ready_o,
  input  logic         host_req_write_i,
  input  logic [28:0]  host_req_addr_i,  // Card address.
  input  logic [511:0] host_req_wdata_i,
  input  logic [63:0]  host_req_wstrb_i,
  output logic         host_rsp_valid_o,  // Of reads, in order; is not held.
  output logic [511:0] host_rsp_rdata_o,
  output logic         host_rsp_err_o,  // Nothing is there, or wrong parity.
  output logic [Vectors-1:0] irq_o,  // Pulses.

  // The slot memory: reads are answered in order, writes are done in order; done: a read that follows sees it.
  output logic                   mem_rd_valid_o,
  input  logic                   mem_rd_ready_i,
  output logic [MemLineBits-1:0] mem_rd_addr_o,
  input  logic                   mem_rsp_valid_i,
  input  logic [511:0]           mem_rsp_data_i,
  input  logic                   mem_rsp_err_i,
  output logic                   mem_wr_valid_o,
  input  logic                   mem_wr_ready_i,
  output logic [MemLineBits-1:0] mem_wr_addr_o,
  output logic [511:0]           mem_wr_data_o,
  output logic [63:0]            mem_wr_strb_o,
  input  logic                   mem_wr_done_i,
  input  logic                   mem_wr_err_i,  // With mem_wr_done_i: the write was refused.

  // Host memory (Dma): a write of a line with mem_wr_dma_o goes into the ring of its slot there, to line mem_wr_addr_o of the ring.
  output logic                         mem_wr_dma_o,
  output logic [15:0]                  mem_wr_slot_o,  // Means something with mem_wr_dma_o only.
  output slotwire_pkg::dma_from_core_t dma_o,
  input  slotwire_pkg::dma_to_core_t   dma_i,

  // The wire: whole Ethernet frames without their check sequence, byte 0 in tdata[7:0].
  input  logic         rx_tvalid_i,
  output logic         rx_tready_o,
  input  logic [511:0] rx_tdata_i,
  input  logic [63:0]  rx_tkeep_i,
  input  logic         rx_tlast_i,
  input  logic         rx_tuser_i,  // At tlast: the frame is damaged.
  output logic         tx_tvalid_o,
  input  logic         tx_tready_i,
  output logic [511:0] tx_tdata_o,
  output logic [63:0]  tx_tkeep_o,
  output logic         tx_tlast_o,

  // The host's own traffic. tuser, in every beat: the queue that the frame goes to and its mark.
  output logic         to_host_tvalid_o,
  input  logic         to_host_tready_i,
  output logic [511:0] to_host_tdata_o,
  output logic [63:0]  to_host_tkeep_o,
  output logic         to_host_tlast_o,
  output logic [slotwire_pkg::VerdictBits-1:0] to_host_tuser_o,
  input  logic         from_host_tvalid_i,
  output logic         from_host_tready_o,
  input  logic [511:0] from_host_tdata_i,
  input  logic [63:0]  from_host_tkeep_i,
  input  logic         from_host_tlast_i,

  // For simulation and debugging.
  output logic idle_o,  // Nothing waits or is under way.
  output logic sweep_o  // A pulse when the sweep over timers has looked at the last slot.
);

  localparam int unsigned SlotW = $clog2(Slots);
  localparam int unsigned LinkW = $clog2(Links);
  localparam int unsigned ReadsMax = 256;  // Reads of slot memory on their way.
  localparam int unsigned WritesMax = 128;  // Writes of slot memory that are not done: memory of 400 ns at 100 Gb/s has 78.
  localparam int unsigned WriteCountW = 9;  // Writes are counted mod 2^WriteCountW, at least four times WritesMax.

  if (MemLineBits < 6 || MemLineBits > 22) begin : gen_check
    $error("slotwire_core: MemLineBits must be 6 to 22");
  end

  logic [31:0] own_ip;
  logic [15:0] own_port;
  logic [47:0] own_mac;

  // ---- slot memory: who reads and writes ----------------------------------------------------------------------------------

  logic                   tx_rd_valid, tx_rd_ready, host_rd_valid, host_rd_ready;
  logic [MemLineBits-1:0] tx_rd_addr, host_mem_addr;
  logic                   rx_wr_valid, rx_wr_ready, host_wr_valid, host_wr_ready;
  logic [MemLineBits-1:0] rx_wr_addr;
  logic                   rx_wr_dma;
  logic [511:0]           rx_wr_data, host_wr_data;
  logic [63:0]            host_wr_strb;

  // Frames first, but the host at least once in eight reads and once in four writes. A choice that memory has not taken yet
  // stays.
  logic       rd_host, rd_hold_q, rd_hold_host_q, owner_room, owner_valid, owner_host;
  logic [2:0] rd_turns_q;
  logic [$clog2(ReadsMax):0] owner_count;
  assign rd_host = rd_hold_q ? rd_hold_host_q : host_rd_valid && (!tx_rd_valid || rd_turns_q == 3'd7);
  assign mem_rd_valid_o = (tx_rd_valid || host_rd_valid) && owner_room;
  assign mem_rd_addr_o = rd_host ? host_mem_addr : tx_rd_addr;
  assign tx_rd_ready = mem_rd_ready_i && owner_room && !rd_host;
  assign host_rd_ready = mem_rd_ready_i && owner_room && rd_host;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rd_hold_q <= 1'b0;
      rd_turns_q <= '0;
    end else begin
      rd_hold_q <= mem_rd_valid_o && !mem_rd_ready_i;
      if (mem_rd_valid_o && mem_rd_ready_i) begin
        if (rd_host || !host_rd_valid) rd_turns_q <= '0;
        else if (rd_turns_q != 3'd7) rd_turns_q <= rd_turns_q + 3'd1;
      end
    end
    rd_hold_host_q <= rd_host;
  end
  sw_fifo #(.Width(1), .Depth(ReadsMax)) u_owners (
    .clk_i, .rst_ni, .wvalid_i(mem_rd_valid_o && mem_rd_ready_i), .wready_o(owner_room), .wdata_i(rd_host),
    .rvalid_o(owner_valid), .rready_i(mem_rsp_valid_i), .rdata_o(owner_host), .count_o(owner_count));

  logic       wr_host, wr_hold_q, wr_hold_host_q, wr_count_room, wr_room, wr_taken, refused_hold;
  logic [1:0] wr_turns_q;
  logic [WriteCountW-1:0] issued_q, done_q, issued_now;
  assign wr_count_room = WriteCountW'(issued_q - done_q) < WriteCountW'(WritesMax);
  // What waits at memory's port stays there.
  assign wr_room = wr_count_room && (!refused_hold || wr_hold_q);
  assign wr_host = wr_hold_q ? wr_hold_host_q : host_wr_valid && (!rx_wr_valid || wr_turns_q == 2'd3);
  assign mem_wr_valid_o = (rx_wr_valid || host_wr_valid) && wr_room;
  assign mem_wr_addr_o = wr_host ? host_mem_addr : rx_wr_addr;
  assign mem_wr_data_o = wr_host ? host_wr_data : rx_wr_data;
  assign mem_wr_strb_o = wr_host ? host_wr_strb : '1;
  assign mem_wr_dma_o = Dma != 0 && !wr_host && rx_wr_dma;
  assign mem_wr_slot_o = rx_wr_slot;
  assign wr_taken = mem_wr_valid_o && mem_wr_ready_i;
  assign rx_wr_ready = mem_wr_ready_i && wr_room && !wr_host;
  assign host_wr_ready = mem_wr_ready_i && wr_room && wr_host;
  assign issued_now = issued_q + WriteCountW'(wr_taken);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wr_hold_q <= 1'b0;
      wr_turns_q <= '0;
      issued_q <= '0;
      done_q <= '0;
    end else begin
      wr_hold_q <= mem_wr_valid_o && !mem_wr_ready_i;
      if (wr_taken) begin
        if (wr_host || !host_wr_valid) wr_turns_q <= '0;
        else if (wr_turns_q != 2'd3) wr_turns_q <= wr_turns_q + 2'd1;
      end
      issued_q <= issued_now;
      done_q <= done_q + WriteCountW'(mem_wr_done_i);
    end
    wr_hold_host_q <= wr_host;
  end
  // What makes the differences of these two, here, in the host's part and in the writer, mean what they say.
  `SW_ASSUME(NoWriteIsDoneTwice, WriteCountW'(issued_q - done_q) <= WriteCountW'(WritesMax))
  `SW_ASSUME(AnswersAreAskedFor, !mem_rsp_valid_i || owner_valid)
  `SW_ASSERT(OwnersHaveRoom, !(mem_rd_valid_o && mem_rd_ready_i) || owner_room)
  // A choice that waits for memory is not changed, or a taken request would be the wrong one's.
  `SW_ASSERT(ReadWaitsUnchanged, !rd_hold_q || rd_host == rd_hold_host_q)
  `SW_ASSERT(WriteWaitsUnchanged, !wr_hold_q || wr_host == wr_hold_host_q)

  logic             refused_valid, refused_ready, refused_any, refusing, refused_waits_q, shown_refused, sent_refused, row_written;
  logic [SlotW-1:0] refused_slot;
  logic [31:0]      refused_from, rx_wr_from;
  logic [15:0]      rx_wr_slot, sent_slot;

  // ---- the host -----------------------------------------------------------------------------------------------------------

  logic             db_valid, db_ready, db_out_head;
  logic [SlotW-1:0] db_slot;
  logic [31:0]      db_value;
  logic             ctl_valid, ctl_write, ctl_fault, ctl_link, ctl_done, link_we, walk_valid, walk_up, walk_busy;
  logic [15:0]      ctl_slot, walk_link;
  logic [7:0]       ctl_cause;
  logic [LinkW-1:0] link_waddr;
  slotwire_pkg::slot_row_t ctl_row, ctl_row_read;
  slotwire_pkg::link_row_t link_wdata, ctl_link_read;
  logic             mark_read, binding, moved_valid, moved_pop, moved_popped;
  logic [SlotW-1:0] mark_slot, moved_slot;
  logic [31:0]      in_head, out_tail;
  logic             event_now;
  logic [15:0]      event_slot;
  logic [7:0]       event_fault;
  logic [Vectors-1:0] pending, clear, enabled;
  logic [15:0]      moderation;
  logic             rule_we;
  logic [5:0]       rule_line;
  logic [511:0]     rule;
  logic             counters_card;
  logic [1:0]       counters_line;
  logic [511:0]     counters;
  logic             count_write, count_refused, count_doorbell, count_lost, host_idle;
  logic             dma_access, dma_write;
  logic [15:0]      dma_slot;
  slotwire_pkg::dma_row_t dma_row;

  slotwire_host #(
    .Slots(Slots), .Links(Links), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .MemLineBits(MemLineBits), .Vectors(Vectors),
    .Rules(Rules), .Dma(Dma), .WriteCountW(WriteCountW), .WritesMax(WritesMax), .BuildId(BuildId)
  ) u_host (
    .clk_i, .rst_ni, .req_valid_i(host_req_valid_i), .req_ready_o(host_req_ready_o), .req_write_i(host_req_write_i),
    .req_addr_i(host_req_addr_i), .req_wdata_i(host_req_wdata_i), .req_wstrb_i(host_req_wstrb_i),
    .rsp_valid_o(host_rsp_valid_o), .rsp_rdata_o(host_rsp_rdata_o), .rsp_err_o(host_rsp_err_o),
    .rd_valid_o(host_rd_valid), .rd_ready_i(host_rd_ready), .wr_valid_o(host_wr_valid), .wr_ready_i(host_wr_ready),
    .mem_addr_o(host_mem_addr), .wr_data_o(host_wr_data), .wr_strb_o(host_wr_strb),
    .mem_rsp_valid_i(mem_rsp_valid_i && owner_host), .mem_rsp_data_i, .mem_rsp_err_i, .issued_i(issued_q), .done_i(done_q),
    .db_valid_o(db_valid), .db_ready_i(db_ready), .db_out_head_o(db_out_head), .db_slot_o(db_slot), .db_value_o(db_value),
    .ctl_valid_o(ctl_valid), .ctl_write_o(ctl_write), .ctl_fault_o(ctl_fault), .ctl_link_o(ctl_link), .ctl_slot_o(ctl_slot),
    .ctl_cause_o(ctl_cause), .ctl_row_o(ctl_row), .ctl_done_i(ctl_done), .ctl_row_i(ctl_row_read), .ctl_link_i(ctl_link_read),
    .link_we_o(link_we), .link_waddr_o(link_waddr), .link_wdata_o(link_wdata), .walk_valid_o(walk_valid), .walk_up_o(walk_up),
    .walk_link_o(walk_link), .walk_busy_i(walk_busy), .mark_read_o(mark_read), .mark_slot_o(mark_slot), .binding_i(binding),
    .in_head_i(in_head), .out_tail_i(out_tail), .moved_valid_i(moved_valid), .moved_slot_i(moved_slot), .moved_pop_o(moved_pop),
    .moved_popped_i(moved_popped), .event_i(event_now), .event_slot_i(event_slot), .event_fault_i(event_fault),
    .pending_i(pending), .clear_o(clear), .enabled_o(enabled), .moderation_o(moderation), .counters_card_o(counters_card),
    .counters_line_o(counters_line), .counters_i(counters), .own_ip_o(own_ip), .own_port_o(own_port), .own_mac_o(own_mac),
    .rule_we_o(rule_we), .rule_line_o(rule_line), .rule_o(rule),
    .dma_valid_o(dma_access), .dma_write_o(dma_write), .dma_slot_o(dma_slot), .dma_row_o(dma_row), .dma_done_i(dma_i.access_done),
    .dma_row_i(dma_i.access_row), .count_write_o(count_write), .count_refused_o(count_refused), .count_doorbell_o(count_doorbell),
    .count_event_lost_o(count_lost), .idle_o(host_idle));

  // ---- rows ---------------------------------------------------------------------------------------------------------------

  logic        frame_valid, frame_ready, crc_pop, crc_bad;
  slotwire_pkg::rx_head_t frame;
  logic        error_valid, error_ready, tx_error_valid, tx_error_ready, dma_fault;
  logic [15:0] error_slot, tx_error_slot;
  // What was sent wrong first, then marks that host memory refused.
  assign dma_fault = Dma != 0 && dma_i.fault;
  assign error_valid = tx_error_valid || dma_fault;
  assign error_slot = tx_error_valid ? tx_error_slot : dma_i.fault_slot;
  assign tx_error_ready = error_ready && tx_error_valid;
  logic        send_valid, send_ready;
  slotwire_pkg::tx_job_t send;
  logic        decided;
  logic [7:0]  received, written;
  logic        reads_idle, writer_idle, verdict_valid, verdict_ready;
  slotwire_pkg::verdict_t verdict;
  logic        pub_valid, pub_tail_valid, pub_room, init, rows_idle;
  logic [15:0] pub_slot;
  logic [31:0] pub_head, pub_tail;
  logic [SlotW-1:0] init_slot;
  logic [slotwire_pkg::CounterCount-1:0] count;
  logic [9:0]  count_tx_lines, count_again, count_rx_lines;

  slotwire_rows #(
    .Slots(Slots), .Links(Links), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .SweepClocks(SweepClocks)
  ) u_rows (
    .clk_i, .rst_ni, .now_us_i, .rx_valid_i(frame_valid), .rx_ready_o(frame_ready), .rx_i(frame),
    .crc_pop_o(crc_pop), .crc_bad_i(crc_bad), .db_valid_i(db_valid), .db_ready_o(db_ready), .db_out_head_i(db_out_head),
    .db_slot_i(db_slot), .db_value_i(db_value), .ctl_valid_i(ctl_valid), .ctl_write_i(ctl_write), .ctl_fault_i(ctl_fault),
    .ctl_link_i(ctl_link), .ctl_slot_i(ctl_slot), .ctl_cause_i(ctl_cause), .ctl_row_i(ctl_row), .ctl_done_o(ctl_done),
    .ctl_row_o(ctl_row_read), .ctl_link_o(ctl_link_read), .link_we_i(link_we), .link_waddr_i(link_waddr),
    .link_wdata_i(link_wdata), .walk_valid_i(walk_valid), .walk_up_i(walk_up), .walk_link_i(walk_link),
    .walk_busy_o(walk_busy), .init_o(init), .init_slot_o(init_slot), .error_valid_i(error_valid), .error_ready_o(error_ready),
    .error_slot_i(error_slot), .refused_valid_i(refused_valid), .refused_ready_o(refused_ready), .refused_slot_i(refused_slot),
    .refused_from_i(refused_from), .row_written_o(row_written), .tx_valid_o(send_valid), .tx_ready_i(send_ready),
    .tx_job_o(send), .tx_decided_o(decided), .tx_idle_i(reads_idle), .received_o(received), .verdict_valid_o(verdict_valid),
    .verdict_ready_i(verdict_ready), .verdict_o(verdict), .writer_idle_i(writer_idle), .refused_idle_i(!refused_waits_q),
    .pub_valid_o(pub_valid), .pub_tail_valid_o(pub_tail_valid), .pub_slot_o(pub_slot), .pub_head_o(pub_head), .pub_tail_o(pub_tail), .pub_room_i(pub_room), .event_o(event_now),
    .event_slot_o(event_slot), .event_fault_o(event_fault), .count_o(count), .count_tx_lines_o(count_tx_lines),
    .count_again_o(count_again), .count_rx_lines_o(count_rx_lines), .idle_o(rows_idle), .sweep_o(sweep_o));

  // ---- sending ------------------------------------------------------------------------------------------------------------

  logic         ours_tvalid, ours_tready, ours_tlast, tx_idle;
  logic [511:0] ours_tdata;
  slotwire_tx #(.MemLineBits(MemLineBits), .FrameLines(FrameLines)) u_tx (
    .clk_i, .rst_ni, .own_ip_i(own_ip), .own_port_i(own_port), .own_mac_i(own_mac), .frame_valid_i(send_valid),
    .frame_ready_o(send_ready), .job_i(send),
    .decided_i(decided), .received_i(received), .written_i(written),
    .mem_valid_o(tx_rd_valid), .mem_ready_i(tx_rd_ready), .mem_addr_o(tx_rd_addr),
    .mem_rsp_valid_i(mem_rsp_valid_i && !owner_host), .mem_rsp_data_i, .mem_rsp_err_i, .tx_tvalid_o(ours_tvalid),
    .tx_tready_i(ours_tready), .tx_tdata_o(ours_tdata), .tx_tlast_o(ours_tlast), .sent_slot_o(sent_slot), .refused_any_i(refused_any), .refusing_i(refusing), .refused_i(sent_refused), .error_valid_o(tx_error_valid),
    .error_ready_i(tx_error_ready), .error_slot_o(tx_error_slot), .reads_idle_o(reads_idle), .idle_o(tx_idle));

  logic         theirs_tvalid, theirs_tready, theirs_tlast, from_dropped, unused_side;
  logic [511:0] theirs_tdata;
  logic [63:0]  theirs_tkeep;
  sw_frame_fifo #(.Depth(HostLines), .DropWhenFull(0)) u_from_host (
    .clk_i, .rst_ni, .s_tvalid_i(from_host_tvalid_i), .s_tready_o(from_host_tready_o), .s_tdata_i(from_host_tdata_i),
    .s_tkeep_i(from_host_tkeep_i), .s_tlast_i(from_host_tlast_i), .s_tuser_i(1'b0), .s_tside_i(1'b0), .m_tvalid_o(theirs_tvalid),
    .m_tready_i(theirs_tready), .m_tdata_o(theirs_tdata), .m_tkeep_o(theirs_tkeep), .m_tlast_o(theirs_tlast),
    .m_tside_o(unused_side), .drop_o(from_dropped));
  sw_frame_merge u_merge (
    .clk_i, .rst_ni, .s0_tvalid_i(ours_tvalid), .s0_tready_o(ours_tready), .s0_tdata_i(ours_tdata), .s0_tkeep_i('1),
    .s0_tlast_i(ours_tlast), .s1_tvalid_i(theirs_tvalid), .s1_tready_o(theirs_tready), .s1_tdata_i(theirs_tdata),
    .s1_tkeep_i(theirs_tkeep), .s1_tlast_i(theirs_tlast), .m_tvalid_o(tx_tvalid_o), .m_tready_i(tx_tready_i),
    .m_tdata_o(tx_tdata_o), .m_tkeep_o(tx_tkeep_o), .m_tlast_o(tx_tlast_o));

  // ---- receiving ----------------------------------------------------------------------------------------------------------

  logic         pass_tvalid, pass_tlast, pass_tuser, to_dropped, count_damaged, rx_idle;
  logic [511:0] pass_tdata, payload;
  logic [63:0]  pass_tkeep;
  logic         stored_valid, stored_pop, payload_valid, payload_ready, pass_ready;
  logic [9:0]   stored_lines;
  slotwire_rx #(.FrameLines(FrameLines)) u_rx (
    .clk_i, .rst_ni, .own_ip_i(own_ip), .own_port_i(own_port), .own_mac_i(own_mac), .rx_tvalid_i, .rx_tready_o, .rx_tdata_i,
    .rx_tkeep_i, .rx_tlast_i, .rx_tuser_i, .pass_tvalid_o(pass_tvalid), .pass_tdata_o(pass_tdata), .pass_tkeep_o(pass_tkeep),
    .pass_tlast_o(pass_tlast), .pass_tuser_o(pass_tuser), .frame_valid_o(frame_valid), .frame_ready_i(frame_ready),
    .frame_o(frame), .crc_pop_i(crc_pop), .crc_bad_o(crc_bad),
    .stored_valid_o(stored_valid), .stored_pop_i(stored_pop), .stored_lines_o(stored_lines), .payload_valid_o(payload_valid),
    .payload_ready_i(payload_ready), .payload_o(payload), .count_damaged_o(count_damaged), .idle_o(rx_idle));
  logic         host_tvalid, host_tlast, host_damaged, host_drop, classifier_idle;
  logic [511:0] host_tdata;
  logic [63:0]  host_tkeep;
  logic [slotwire_pkg::VerdictBits-1:0] host_verdict;
  slotwire_classifier #(.Rules(Rules)) u_classifier (
    .clk_i, .rst_ni, .we_i(rule_we), .line_i(rule_line), .row_i(rule), .s_tvalid_i(pass_tvalid), .s_tdata_i(pass_tdata),
    .s_tkeep_i(pass_tkeep), .s_tlast_i(pass_tlast), .s_tuser_i(pass_tuser), .m_tvalid_o(host_tvalid), .m_tdata_o(host_tdata),
    .m_tkeep_o(host_tkeep), .m_tlast_o(host_tlast), .m_tuser_o(host_damaged), .m_drop_o(host_drop), .m_verdict_o(host_verdict),
    .idle_o(classifier_idle));
  sw_frame_fifo #(.Depth(HostLines), .DropWhenFull(1), .SideW(slotwire_pkg::VerdictBits)) u_to_host (
    .clk_i, .rst_ni, .s_tvalid_i(host_tvalid), .s_tready_o(pass_ready), .s_tdata_i(host_tdata), .s_tkeep_i(host_tkeep),
    .s_tlast_i(host_tlast), .s_tuser_i(host_damaged || host_drop), .s_tside_i(host_verdict), .m_tvalid_o(to_host_tvalid_o),
    .m_tready_i(to_host_tready_i), .m_tdata_o(to_host_tdata_o), .m_tkeep_o(to_host_tkeep_o), .m_tlast_o(to_host_tlast_o),
    .m_tside_o(to_host_tuser_o), .drop_o(to_dropped));

  logic        tail_valid, tail_ready;
  logic [15:0] tail_slot;
  logic [31:0] tail;
  slotwire_writer #(.MemLineBits(MemLineBits), .WriteCountW(WriteCountW), .WritesMax(WritesMax)) u_writer (
    .clk_i, .rst_ni, .verdict_valid_i(verdict_valid), .verdict_ready_o(verdict_ready), .verdict_i(verdict),
    .stored_valid_i(stored_valid), .stored_pop_o(stored_pop), .stored_lines_i(stored_lines),
    .payload_valid_i(payload_valid), .payload_ready_o(payload_ready), .payload_i(payload), .mem_valid_o(rx_wr_valid),
    .mem_ready_i(rx_wr_ready), .mem_addr_o(rx_wr_addr), .mem_data_o(rx_wr_data), .mem_dma_o(rx_wr_dma), .mem_slot_o(rx_wr_slot), .mem_from_o(rx_wr_from), .issued_i(issued_now), .done_i(done_q),
    .one_done_i(mem_wr_done_i && !mem_wr_err_i), .refused_any_i(refused_any), .refusing_i(refusing), .refused_i(shown_refused), .pub_valid_o(tail_valid), .pub_ready_i(tail_ready), .pub_slot_o(tail_slot), .pub_tail_o(tail),
    .written_o(written), .idle_o(writer_idle));

  slotwire_refused #(.Slots(Slots), .WritesMax(WritesMax)) u_refused (
    .clk_i, .rst_ni, .init_i(init), .init_slot_i(init_slot), .written_i(row_written), .written_slot_i(pub_slot[SlotW-1:0]),
    .taken_i(wr_taken), .line_i(!wr_host), .slot_i(rx_wr_slot[SlotW-1:0]), .from_i(rx_wr_from), .done_i(mem_wr_done_i),
    .err_i(mem_wr_err_i), .hold_o(refused_hold), .any_o(refused_any), .refuses_o(refusing), .shown_slot_i(tail_slot[SlotW-1:0]),
    .shown_refused_o(shown_refused), .sent_slot_i(sent_slot[SlotW-1:0]), .sent_refused_o(sent_refused),
    .valid_o(refused_valid), .ready_i(refused_ready), .slot_o(refused_slot), .from_o(refused_from));
  // No row is written meanwhile. A clock late: nothing is refused any more when the writer is idle.
  always_ff @(posedge clk_i) refused_waits_q <= rst_ni && (refused_valid || (refused_any && !tx_idle));
  `SW_ASSERT(NoFrameOfRefusedLinesWhenARowIsWritten, !(row_written && refused_any) || (tx_idle && !refused_valid))

  logic             marks_idle, shows_head, shows_tail;
  logic [SlotW-1:0] shows_slot;
  logic [31:0]      shows_head_value, shows_tail_value;
  slotwire_marks #(.Slots(Slots), .Vectors(Vectors)) u_marks (
    .clk_i, .rst_ni, .now_us_i, .init_i(init), .init_slot_i(init_slot), .head_valid_i(pub_valid),
    .head_tail_valid_i(pub_tail_valid), .head_slot_i(pub_slot[SlotW-1:0]), .head_i(pub_head), .head_tail_i(pub_tail),
    .head_room_o(pub_room), .tail_valid_i(tail_valid), .tail_ready_o(tail_ready), .tail_slot_i(tail_slot[SlotW-1:0]),
    .tail_i(tail), .binding_o(binding), .show_ready_i(Dma == 0 || dma_i.show_ready), .shows_head_o(shows_head), .shows_tail_o(shows_tail),
    .shows_slot_o(shows_slot), .shows_head_value_o(shows_head_value), .shows_tail_value_o(shows_tail_value), .read_i(mark_read), .read_slot_i(mark_slot), .in_head_o(in_head), .out_tail_o(out_tail),
    .moved_valid_o(moved_valid), .moved_slot_o(moved_slot), .moved_pop_i(moved_pop), .moved_popped_o(moved_popped),
    .event_i(event_now), .event_slot_i(event_slot[SlotW-1:0]), .enabled_i(enabled), .moderation_i(moderation),
    .clear_i(clear), .pending_o(pending), .irq_o(irq_o), .idle_o(marks_idle));

  always_comb begin
    dma_o = '0;
    if (Dma != 0) begin
      dma_o.shows_head = shows_head;
      dma_o.shows_tail = shows_tail;
      dma_o.slot = 16'(shows_slot);
      dma_o.head = shows_head_value;
      dma_o.tail = shows_tail_value;
      dma_o.fault_ready = error_ready && !tx_error_valid;
      dma_o.access = dma_access;
      dma_o.access_write = dma_write;
      dma_o.access_slot = dma_slot;
      dma_o.access_row = dma_row;
    end
  end

  // The host's frames never hold the receive engine up.
  `SW_ASSERT(PassNeverStalls, pass_ready || !host_tvalid)

`ifdef SIMULATION
  slotwire_core_check #(.Slots(Slots)) u_check (
    .clk_i, .rst_ni, .taken_i(wr_taken), .done_i(mem_wr_done_i), .rings_i(u_host.db_push), .rung_i(db_valid && db_ready),
    .begins_i(u_rows.grant != '0), .begins_slot_i(u_rows.c0.slot[SlotW-1:0]), .ends_i(u_rows.c5_valid),
    .ends_slot_i(u_rows.c5_slot[SlotW-1:0]), .row_written_i(u_rows.writes && u_rows.rule_kind == slotwire_pkg::OpWrite),
    .decided_i(decided), .given_i(u_rows.rule_rx), .read_i(u_tx.job_pop), .read_slot_i(u_tx.job.slot[SlotW-1:0]),
    .leaves_i(u_tx.header_pop), .carried_i(u_writer.step && u_writer.last), .told_i(u_writer.done_pop),
    .told_slot_i(tail_slot[SlotW-1:0]), .binding_i(pub_valid && pub_tail_valid), .binding_slot_i(pub_slot[SlotW-1:0]),
    .bound_i(u_marks.queue_valid && u_marks.queue_pop && u_marks.queue_with_tail), .bound_slot_i(u_marks.queue_slot),
    .tail_i(tail_valid && tail_ready), .tail_slot_i(tail_slot[SlotW-1:0]), .looks_i(mark_read), .looks_slot_i(mark_slot),
    .refused_i(u_refused.refuses), .refused_slot_i(u_refused.slot), .refused_from_i(u_refused.from), .init_i(init), .init_slot_i(init_slot),
    .sends_i(u_tx.header_pop && !u_tx.header_drop && u_tx.header.head.frame_type != slotwire_pkg::FrameTypeReset),
    .sends_slot_i(sent_slot[SlotW-1:0]), .sends_ack_i(u_tx.header.head.ack));
`endif

  // ---- what is counted ----------------------------------------------------------------------------------------------------

  logic [slotwire_pkg::CardCounterCount-1:0] card;
  // As the FIFO, which tells of a dropped frame in the clock after its last beat.
  logic pass_damaged_q, pass_ruled_q;
  always_ff @(posedge clk_i) begin
    pass_damaged_q <= host_tvalid && host_tlast && host_damaged;
    pass_ruled_q <= host_tvalid && host_tlast && host_drop && !host_damaged;
  end
  always_comb begin
    card = '0;
    card[4'(slotwire_pkg::CardCounterPassToHost)] = to_host_tvalid_o && to_host_tready_i && to_host_tlast_o;
    card[4'(slotwire_pkg::CardCounterPassFromHost)] = theirs_tvalid && theirs_tready && theirs_tlast;
    card[4'(slotwire_pkg::CardCounterDropToHost)] = to_dropped && !pass_damaged_q && !pass_ruled_q;
    card[4'(slotwire_pkg::CardCounterDropFromHost)] = from_dropped;
    card[4'(slotwire_pkg::CardCounterDropDamaged)] = count_damaged || pass_damaged_q;
    card[4'(slotwire_pkg::CardCounterMemoryErrors)] = mem_rsp_valid_i && mem_rsp_err_i;
    card[4'(slotwire_pkg::CardCounterMemoryRefused)] = mem_wr_done_i && mem_wr_err_i;
    card[4'(slotwire_pkg::CardCounterHostWrites)] = count_write;
    card[4'(slotwire_pkg::CardCounterHostRefused)] = count_refused;
    card[4'(slotwire_pkg::CardCounterDoorbells)] = count_doorbell;
    card[4'(slotwire_pkg::CardCounterInterrupts)] = irq_o != '0;
    card[4'(slotwire_pkg::CardCounterEventsLost)] = count_lost;
    card[4'(slotwire_pkg::CardCounterDropByRule)] = pass_ruled_q;
    card[4'(slotwire_pkg::CardCounterDmaLines)] = Dma != 0 && dma_i.count_line;
    card[4'(slotwire_pkg::CardCounterDmaMarks)] = Dma != 0 && dma_i.count_mark;
    card[4'(slotwire_pkg::CardCounterDmaRefused)] = Dma != 0 && dma_i.count_refused;
  end
  slotwire_counters #(.Dma(Dma)) u_counters (
    .clk_i, .rst_ni, .count_i(count), .tx_lines_i(count_tx_lines), .again_i(count_again), .rx_lines_i(count_rx_lines),
    .card_i(card), .card_page_i(counters_card), .line_i(counters_line), .line_o(counters));

  assign idle_o = host_idle && rows_idle && tx_idle && rx_idle && classifier_idle && writer_idle && marks_idle && !tx_tvalid_o && !theirs_tvalid &&
                  !to_host_tvalid_o && owner_count == '0 && issued_q == done_q;

  logic unused;
  assign unused = &{1'b0, owner_valid, pass_ready, tail_slot, pub_slot, init_slot, rx_wr_slot, sent_slot, unused_side};

endmodule
