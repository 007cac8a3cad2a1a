// The host's side: line-wide reads and writes in the order in which they arrive, told apart by address (docs/registers.md, card
// addresses): slot memory, doorbells, marks, tables, control. A doorbell takes effect after the writes to memory that came
// before it.
`include "sw_assert.svh"

module slotwire_host #(
  parameter int unsigned Slots = 64,
  parameter int unsigned Links = 16,
  parameter int unsigned MaxOrder = 10,
  parameter int unsigned FrameLines = 32,
  parameter int unsigned MemLineBits = 16,
  parameter int unsigned Vectors = 4,
  parameter int unsigned Rules = 16,
  parameter int unsigned Dma = 0,  // 1: there is a DMA table.
  parameter int unsigned WriteCountW = 9,
  parameter int unsigned WritesMax = 128,  // Writes of slot memory that are not done, at most.
  parameter logic [31:0] BuildId = 32'd0,
  localparam int unsigned SlotW = $clog2(Slots),
  localparam int unsigned LinkW = $clog2(Links)
) (
  input logic clk_i,
  input logic rst_ni,

  input  logic         req_valid_i,
  output logic         req_ready_o,
  input  logic         req_write_i,
  input  logic [28:0]  req_addr_i,
  input  logic [511:0] req_wdata_i,
  input  logic [63:0]  req_wstrb_i,
  output logic         rsp_valid_o,
  output logic [511:0] rsp_rdata_o,
  output logic         rsp_err_o,

  // Slot memory.
  output logic                   rd_valid_o,
  input  logic                   rd_ready_i,
  output logic                   wr_valid_o,
  input  logic                   wr_ready_i,
  output logic [MemLineBits-1:0] mem_addr_o,
  output logic [511:0]           wr_data_o,
  output logic [63:0]            wr_strb_o,
  input  logic                   mem_rsp_valid_i,  // Of a read of the host.
  input  logic [511:0]           mem_rsp_data_i,
  input  logic                   mem_rsp_err_i,
  input  logic [WriteCountW-1:0] issued_i,  // Writes that memory took before this clock, mod 2^WriteCountW.
  input  logic [WriteCountW-1:0] done_i,  // Writes that can be seen, mod 2^WriteCountW.

  output logic             db_valid_o,
  input  logic             db_ready_i,
  output logic             db_out_head_o,
  output logic [SlotW-1:0] db_slot_o,
  output logic [31:0]      db_value_o,

  output logic                    ctl_valid_o,
  output logic                    ctl_write_o,
  output logic                    ctl_fault_o,
  output logic                    ctl_link_o,
  output logic [15:0]             ctl_slot_o,
  output logic [7:0]              ctl_cause_o,
  output slotwire_pkg::slot_row_t ctl_row_o,
  input  logic                    ctl_done_i,
  input  slotwire_pkg::slot_row_t ctl_row_i,
  input  slotwire_pkg::link_row_t ctl_link_i,
  output logic                    link_we_o,
  output logic [LinkW-1:0]        link_waddr_o,
  output slotwire_pkg::link_row_t link_wdata_o,
  output logic                    walk_valid_o,
  output logic                    walk_up_o,
  output logic [15:0]             walk_link_o,
  input  logic                    walk_busy_i,

  output logic             mark_read_o,
  output logic [SlotW-1:0] mark_slot_o,
  input  logic             binding_i,
  input  logic [31:0]      in_head_i,
  input  logic [31:0]      out_tail_i,
  input  logic             moved_valid_i,
  input  logic [SlotW-1:0] moved_slot_i,
  output logic             moved_pop_o,
  input  logic             moved_popped_i,

  input  logic        event_i,
  input  logic [15:0] event_slot_i,
  input  logic [7:0]  event_fault_i,

  input  logic [Vectors-1:0] pending_i,
  output logic [Vectors-1:0] clear_o,
  output logic [Vectors-1:0] enabled_o,
  output logic [15:0]        moderation_o,

  output logic         counters_card_o,
  output logic [1:0]   counters_line_o,
  input  logic [511:0] counters_i,

  output logic [31:0] own_ip_o,
  output logic [15:0] own_port_o,
  output logic [47:0] own_mac_o,

  output logic         rule_we_o,
  output logic [5:0]   rule_line_o,
  output logic [511:0] rule_o,

  // A row of the DMA table, until dma_done_i. A read is done when nothing is under way that an earlier row allowed.
  output logic                   dma_valid_o,
  output logic                   dma_write_o,
  output logic [15:0]            dma_slot_o,
  output slotwire_pkg::dma_row_t dma_row_o,
  input  logic                   dma_done_i,
  input  slotwire_pkg::dma_row_t dma_row_i,

  output logic count_write_o,
  output logic count_refused_o,
  output logic count_doorbell_o,
  output logic count_event_lost_o,
  output logic idle_o
);

  localparam int unsigned Doorbells = 16;
  localparam int unsigned Events = 64;
  localparam int unsigned ReadsMax = 64;  // Of slot memory, on their way.

  // ---- where a request goes -----------------------------------------------------------------------------------------------

  logic to_mem, to_process, to_proxy, to_rows, to_links, to_cap, to_ctl, to_rules, to_default, to_dma, nowhere;
  logic [5:0]  line;  // Line in its page.
  logic [11:0] page;
  logic [13:0] entry;
  assign line = req_addr_i[11:6];
  assign page = req_addr_i[23:12];
  assign entry = req_addr_i[19:6];
  assign to_mem = req_addr_i[28] && (req_addr_i[27:6] >> MemLineBits) == '0;
  assign to_process = req_addr_i[28:24] == 5'(slotwire_pkg::CardProcessPages >> 24) && 32'(page) < Slots;
  assign to_proxy = req_addr_i[28:24] == 5'(slotwire_pkg::CardProxyPages >> 24) && 32'(page) < Slots;
  assign to_rows = req_addr_i[28:20] == 9'(slotwire_pkg::CardSlotRows >> 20) && 32'(entry) < Slots;
  assign to_links = req_addr_i[28:20] == 9'(slotwire_pkg::CardLinkRows >> 20) && 32'(entry) < Links;
  assign to_cap = req_addr_i[28:12] == 17'(slotwire_pkg::CardCapabilities >> 12);
  assign to_ctl = req_addr_i[28:12] == 17'(slotwire_pkg::CardControl >> 12);
  assign to_rules = req_addr_i[28:12] == 17'(slotwire_pkg::CardClassifier >> 12) && (32'(line) < Rules || to_default);
  assign to_default = line == 6'(slotwire_pkg::ClassifierDefault / 64);
  assign to_dma = Dma != 0 && req_addr_i[28:18] == 11'(slotwire_pkg::CardDmaRows >> 18) && 32'(req_addr_i[17:6]) < Slots;
  assign nowhere = !(to_mem || to_process || to_proxy || to_rows || to_links || to_cap || to_ctl || to_rules || to_dma);

  typedef enum logic [2:0] {
    StIdle,
    StRow,  // A row is written, read or faulted.
    StLook,  // Marks or counters are read: their RAM answers.
    StAnswer,
    StDma,  // A row of the DMA table is written or read.
    StPop  // A slot leaves the queue of moved ones.
  } state_e;
  state_e state_q;

  logic [$clog2(ReadsMax):0] reads_q;  // Reads of slot memory on their way.
  logic quiet, accept, take, writes, reads, whole_row, whole_link, word0;
  logic db_room;
  assign quiet = reads_q == '0;
  assign writes = req_valid_i && req_write_i;
  assign reads = req_valid_i && !req_write_i;
  assign whole_row = &req_wstrb_i;
  assign whole_link = &req_wstrb_i[31:0];
  assign word0 = &req_wstrb_i[3:0];

  assign mem_addr_o = req_addr_i[6+:MemLineBits];
  assign wr_data_o = req_wdata_i;
  assign wr_strb_o = req_wstrb_i;
  assign wr_valid_o = writes && to_mem && state_q == StIdle;
  assign rd_valid_o = reads && to_mem && state_q == StIdle && !behind_q && reads_q != ($clog2(ReadsMax) + 1)'(ReadsMax);

  // A read of memory sees the host's writes that came before it.
  logic                   behind_q;  // The last one may not be done yet.
  logic [WriteCountW-1:0] last_write_q, behind_by;
  assign behind_by = done_i - last_write_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) behind_q <= 1'b0;
    else if (wr_valid_o && wr_ready_i) behind_q <= 1'b1;
    else if (!behind_by[WriteCountW-1]) behind_q <= 1'b0;
    if (wr_valid_o && wr_ready_i) last_write_q <= issued_i + WriteCountW'(1);
  end
  // Compared in every clock until it is done, so it cannot come round the circle.
  `SW_ASSERT(BehindInRange, !behind_q || WriteCountW'(behind_by + WriteCountW'(WritesMax)) <= WriteCountW'(WritesMax + 1))

  // What is neither a read nor a write of memory is taken when nothing is read, so that answers keep their order. A read of proxy
  // marks sees the bindings before it.
  assign take = req_valid_i && state_q == StIdle && !to_mem && (req_write_i || (quiet && !(to_proxy && binding_i))) &&
                (!(to_process && req_write_i) || db_room);
  assign accept = to_mem ? (req_write_i ? wr_valid_o && wr_ready_i : rd_valid_o && rd_ready_i) : take;
  assign req_ready_o = accept;

  // ---- doorbells ----------------------------------------------------------------------------------------------------------

  logic       db_push, db_waiting, db_line;
  logic       db_behind;  // The writes before it are done.
  logic [4:0] db_count;
  assign db_line = line == 6'(slotwire_pkg::MarkTail / 64) || line == 6'(slotwire_pkg::MarkHead / 64);
  assign db_push = take && to_process && req_write_i && db_line && word0;
  sw_fifo #(.Width(1 + SlotW + 32), .Depth(Doorbells)) u_doorbells (
    .clk_i, .rst_ni, .wvalid_i(db_push), .wready_o(db_room),
    .wdata_i({line == 6'(slotwire_pkg::MarkHead / 64), page[SlotW-1:0], req_wdata_i[31:0]}), .rvalid_o(db_waiting),
    .rready_i(db_ready_i && db_valid_o), .rdata_o({db_out_head_o, db_slot_o, db_value_o}), .count_o(db_count));
  sw_fence #(.Depth(Doorbells), .Pending(WritesMax), .CountW(WriteCountW)) u_written (
    .clk_i, .rst_ni, .enter_i(db_push), .begun_i(issued_i), .ended_i(done_i), .one_ended_i(1'b0), .may_leave_o(db_behind),
    .leave_i(db_ready_i && db_valid_o));
  assign db_valid_o = db_waiting && db_behind;

  // ---- control registers --------------------------------------------------------------------------------------------------

  logic [31:0]        own_ip_q, own_mac_high_q;
  logic [15:0]        own_port_q, own_mac_low_q, moderation_q;
  logic [Vectors-1:0] enabled_q;
  logic               ctl_write, command;
  logic [7:0]         opcode;
  assign ctl_write = take && to_ctl && req_write_i;
  assign command = ctl_write && line == 6'(slotwire_pkg::CtlCommand / 64) && word0 && !walk_busy_i;
  assign opcode = req_wdata_i[7:0];
  assign walk_valid_o = command && (opcode == 8'(slotwire_pkg::CardCommandLinkUp) || opcode == 8'(slotwire_pkg::CardCommandLinkDown));
  assign walk_up_o = opcode == 8'(slotwire_pkg::CardCommandLinkUp);
  assign walk_link_o = req_wdata_i[31:16];
  for (genvar v = 0; v < Vectors; v++) begin : gen_clear
    assign clear_o[v] = ctl_write && line == 6'(slotwire_pkg::CtlPending / 64) && word0 && req_wdata_i[v];
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      own_ip_q <= '0;
      own_port_q <= '0;
      own_mac_high_q <= '0;
      own_mac_low_q <= '0;
      enabled_q <= '0;
      moderation_q <= '0;
    end else if (ctl_write && line == '0) begin
      if (&req_wstrb_i[3:0]) own_ip_q <= req_wdata_i[31:0];
      if (&req_wstrb_i[7:4]) own_port_q <= req_wdata_i[47:32];
      if (&req_wstrb_i[11:8]) own_mac_high_q <= req_wdata_i[95:64];
      if (&req_wstrb_i[15:12]) own_mac_low_q <= req_wdata_i[111:96];
    end else if (ctl_write && line == 6'(slotwire_pkg::CtlPending / 64)) begin
      if (&req_wstrb_i[7:4]) enabled_q <= req_wdata_i[32+:Vectors];
      if (&req_wstrb_i[11:8]) moderation_q <= req_wdata_i[79:64];
    end
  end
  assign own_ip_o = own_ip_q;
  assign own_port_o = own_port_q;
  assign own_mac_o = {own_mac_high_q, own_mac_low_q};
  assign enabled_o = enabled_q;
  assign moderation_o = moderation_q;

  // Slots that stopped.
  logic        event_room, event_valid, event_pop, lost_q;
  logic [15:0] event_slot;
  logic [7:0]  event_fault;
  logic [6:0]  event_count;
  assign event_pop = ctl_write && line == 6'(slotwire_pkg::CtlEvent / 64);
  sw_fifo #(.Width(24), .Depth(Events)) u_events (
    .clk_i, .rst_ni, .wvalid_i(event_i), .wready_o(event_room), .wdata_i({event_fault_i, event_slot_i}), .rvalid_o(event_valid),
    .rready_i(event_pop), .rdata_o({event_fault, event_slot}), .count_o(event_count));
  always_ff @(posedge clk_i) begin
    if (!rst_ni) lost_q <= 1'b0;
    else lost_q <= (event_i && !event_room) || (lost_q && !event_pop);
  end

  // ---- link rows ----------------------------------------------------------------------------------------------------------

  slotwire_pkg::link_row_t link_written, link_clamped;
  assign link_written = req_wdata_i[255:0];
  always_comb begin
    link_clamped = link_written;
    if (32'(link_written.lines_per_frame) > FrameLines) link_clamped.lines_per_frame = 16'(FrameLines);
  end
  assign link_we_o = take && to_links && req_write_i && whole_link;
  assign link_waddr_o = entry[LinkW-1:0];
  assign link_wdata_o = link_clamped;

  // ---- rules of the classifier --------------------------------------------------------------------------------------------

  assign rule_we_o = take && to_rules && req_write_i && (whole_row || (to_default && word0));
  assign rule_line_o = line;
  assign rule_o = req_wdata_i;

  // ---- what takes more than a clock ---------------------------------------------------------------------------------------

  logic        row_op_q, fault_q, link_q, answers_q, proxy_q;
  logic [15:0] slot_q;
  logic [7:0]  cause_q;
  logic [5:0]  line_q;
  logic        process_q;
  slotwire_pkg::slot_row_t row_q;
  logic [511:0] answer_q;
  logic         err_q;

  // Rows of the DMA table. Pages begin at pages, so that a row with other bits is a mistake.
  slotwire_pkg::dma_row_t dma_written, dma_row_q;
  logic                   dma_whole, dma_ring_ok, dma_marks_ok, dma_order_ok, dma_ok;
  assign dma_written = req_wdata_i[255:0];
  assign dma_whole = &req_wstrb_i[31:0];
  assign dma_ring_ok = dma_written.ring_low[11:0] == '0;
  assign dma_marks_ok = dma_written.marks_low[11:0] == '0;
  assign dma_order_ok = 32'(dma_written.order) <= MaxOrder;
  assign dma_ok = dma_whole && dma_ring_ok && dma_marks_ok && dma_order_ok;
  assign dma_valid_o = state_q == StDma;
  assign dma_write_o = !answers_q;
  assign dma_slot_o = slot_q;
  assign dma_row_o = dma_row_q;
  always_ff @(posedge clk_i) begin
    if (state_q == StIdle) dma_row_q <= dma_written;
  end

  // Registers that answer at once.
  logic [511:0] registers;
  always_comb begin
    registers = '0;
    if (to_cap) begin
      if (line == '0) begin
        registers[31:0] = slotwire_pkg::CapMagicValue;
        registers[63:32] = slotwire_pkg::CapVersionValue;
        registers[95:64] = Slots;
        registers[127:96] = Links;
        registers[159:128] = MaxOrder;
        registers[191:160] = 32'd64;
        registers[223:192] = BuildId;
        registers[255:224] = 32'd1 << MemLineBits;
        registers[287:256] = FrameLines;
        registers[319:288] = Vectors;
        registers[351:320] = Rules;
        registers[383:352] = Dma;
      end
    end else if (to_ctl) begin
      case (line)
        6'd0: registers[127:0] = {16'd0, own_mac_low_q, own_mac_high_q, 16'd0, own_port_q, own_ip_q};
        6'(slotwire_pkg::CtlCommand / 64): registers[0] = walk_busy_i;
        6'(slotwire_pkg::CtlEvent / 64): registers[31:0] = {event_valid, lost_q, 6'd0, event_valid ? {event_fault, event_slot} : 24'd0};
        6'(slotwire_pkg::CtlMoved / 64): registers[31:0] = {moved_valid_i, 15'd0, moved_valid_i ? 16'(moved_slot_i) : 16'd0};
        6'(slotwire_pkg::CtlPending / 64): registers[95:0] = {16'd0, moderation_q, 32'(enabled_q), 32'(pending_i)};
        default: registers = '0;
      endcase
    end
  end

  logic [31:0] process_mark, proxy_mark;
  logic        at_tail, at_head;
  assign at_tail = line_q == 6'(slotwire_pkg::MarkTail / 64);
  assign at_head = line_q == 6'(slotwire_pkg::MarkHead / 64);
  assign process_mark = at_tail ? ctl_row_i.in_tail : at_head ? ctl_row_i.out_head : 32'd0;
  assign proxy_mark = at_tail ? out_tail_i : at_head ? in_head_i : 32'd0;

  logic reads_counters, refuses;
  assign reads_counters = to_cap && (line[5:2] == 4'(slotwire_pkg::CapCounters / 256) || line[5:2] == 4'(slotwire_pkg::CapCardCounters / 256));
  assign mark_read_o = take && to_proxy && !req_write_i;
  assign mark_slot_o = page[SlotW-1:0];
  assign counters_card_o = line[5:2] == 4'(slotwire_pkg::CapCardCounters / 256);
  assign counters_line_o = line[1:0];

  // Writes of the wrong size, or to what cannot be written.
  assign refuses = take && (nowhere || (req_write_i && (to_proxy || to_cap || (to_process && !(db_line && word0)) ||
                                                        (to_rows && !whole_row) || (to_links && !whole_link) || (to_dma && !dma_ok) || (to_rules && !rule_we_o) ||
                                                        (to_ctl && line == 6'(slotwire_pkg::CtlCommand / 64) && !command))));

  always_ff @(posedge clk_i) begin
    rsp_valid_o <= 1'b0;
    if (!rst_ni) begin
      state_q <= StIdle;
      reads_q <= '0;
    end else begin
      reads_q <= reads_q + ($clog2(ReadsMax) + 1)'(rd_valid_o && rd_ready_i) - ($clog2(ReadsMax) + 1)'(mem_rsp_valid_i);
      rsp_valid_o <= mem_rsp_valid_i;
      case (state_q)
        StIdle: begin
          if (take) begin
            if (req_write_i) begin
              if (to_rows && whole_row) state_q <= StRow;
              if (to_dma && dma_ok) state_q <= StDma;
              if (command && opcode == 8'(slotwire_pkg::CardCommandFault) && 32'(req_wdata_i[31:16]) < Slots) state_q <= StRow;
              if (ctl_write && line == 6'(slotwire_pkg::CtlMoved / 64) && moved_valid_i) state_q <= StPop;
            end else if (to_rows || to_links || to_process) begin
              state_q <= StRow;
            end else if (to_dma) begin
              state_q <= StDma;
            end else if (to_proxy || reads_counters) begin
              state_q <= StLook;
            end else begin
              state_q <= StAnswer;
            end
          end
        end
        StRow: begin
          if (ctl_done_i) state_q <= answers_q ? StAnswer : StIdle;
        end
        StLook: state_q <= StAnswer;
        StDma: begin
          if (dma_done_i) state_q <= answers_q ? StAnswer : StIdle;
        end
        StPop: begin
          if (moved_popped_i) state_q <= StIdle;
        end
        default: begin
          rsp_valid_o <= 1'b1;
          state_q <= StIdle;
        end
      endcase
    end

    if (state_q == StIdle && take) begin
      answers_q <= !req_write_i;
      row_op_q <= to_rows && req_write_i;
      fault_q <= to_ctl;
      link_q <= to_links;
      process_q <= to_process;
      proxy_q <= to_proxy;
      line_q <= line;
      slot_q <= to_ctl ? req_wdata_i[31:16] : to_process ? 16'(page) : to_dma ? 16'(req_addr_i[17:6]) : 16'(entry);
      cause_q <= req_wdata_i[15:8];
      row_q <= req_wdata_i;
      answer_q <= registers;
      err_q <= nowhere;
    end
    if (state_q == StRow && ctl_done_i) begin
      answer_q <= link_q ? 512'(ctl_link_i) : ctl_row_i;
      if (process_q) answer_q <= 512'(process_mark);
    end
    if (state_q == StDma && dma_done_i) answer_q <= 512'(dma_row_i);
    // The RAM of the marks or counters answers in this clock.
    if (state_q == StLook) begin
      answer_q <= proxy_q ? 512'(proxy_mark) : counters_i;
    end
    rsp_rdata_o <= mem_rsp_valid_i ? mem_rsp_data_i : answer_q;
    rsp_err_o <= mem_rsp_valid_i ? mem_rsp_err_i : err_q;
  end

  assign ctl_valid_o = state_q == StRow;
  assign ctl_write_o = row_op_q;
  assign ctl_fault_o = fault_q;
  assign ctl_link_o = link_q;
  assign ctl_slot_o = slot_q;
  assign ctl_cause_o = cause_q;
  assign ctl_row_o = row_q;
  assign moved_pop_o = state_q == StPop;

  assign count_write_o = accept && req_write_i;
  assign count_refused_o = refuses;
  assign count_doorbell_o = db_push;
  assign count_event_lost_o = event_i && !event_room;
  assign idle_o = state_q == StIdle && !req_valid_i && quiet && db_count == '0 && !rsp_valid_o;

  `SW_ASSERT(DoorbellsHaveRoom, !db_push || db_room)
  `SW_ASSERT(DoorbellIsThere, !(db_ready_i && db_valid_o) || db_count != '0)
  `SW_ASSERT(ReadsInRange, reads_q <= ($clog2(ReadsMax) + 1)'(ReadsMax))
  `SW_ASSUME(AnswersAreAskedFor, !mem_rsp_valid_i || reads_q != '0)
  // A row, marks or a register answer in a clock of their own: nothing of slot memory is on its way then.
  `SW_ASSERT(AnswersDoNotMeet, state_q != StAnswer || (quiet && !mem_rsp_valid_i))
  // An event that found no room is flagged until the driver takes one.
  logic missed_q;
  always_ff @(posedge clk_i) missed_q <= rst_ni && event_i && event_count == 7'(Events);
  `SW_ASSERT(MissedEventIsFlagged, !missed_q || lost_q)
  `SW_ASSERT(MissedEventIsCounted, !(event_i && event_count == 7'(Events)) || count_event_lost_o)

  logic unused;
  assign unused = &{1'b0, req_addr_i[5:0], req_addr_i[27:26], event_count, page, entry, behind_by[WriteCountW-2:0], missed_q};

endmodule
