// Output rings and proxy marks in host memory: between the core's memory port and slot memory, with an AXI4 master towards the host.
//
// Lines: a write with wr_dma_i goes to the ring that the DMA row of its slot names, if the row is valid and the ring has the line;
// otherwise it is refused. Every write is done in the order in which the core made it, one of host memory with its B. So whatever the
// core does when memory has a line, it does when the bus has it.
// Marks: a mark that the core shows is written into the mark page of a slot whose row is valid. A slot waits at most once, and what is
// written is its newest mark; so marks wait for the bus without end, and the core never waits for it. A mark that the bus refuses faults
// its slot.
// Interrupts wait until the marks that were shown before them are written.
// A write that the bus refuses is told of RefusedClocks later, unless the core is reset before: whoever takes the function away from a
// driver that ended first forbids it to write and then resets it, and what was received in between must neither fault its slot nor be
// acknowledged. Whatever is behind it waits. When one was told of, the next is told of at once, until the bus takes one again.
// A DMA row that is read is answered when all that was allowed before is done: then nothing is written where an earlier row allowed it.
//
// core_rst_ni: all rows are invalid after it, and nothing new begins. What is on the bus is answered (busy_o), and whoever resets waits.
`include "sw_assert.svh"

module slotwire_dma #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned MemLineBits = 16,
  parameter int unsigned Vectors = 8,
  parameter int unsigned WritesMax = 128,  // Writes that the core has under way, at most; a power of two.
  parameter int unsigned MaxWrites = 32,  // On the bus, at most; a power of two, 2 or more.
  parameter int unsigned IdW = 4,
  parameter int unsigned RefusedClocks = 0  // A refused write waits so long for a reset.
) (
  input logic clk_i,
  input logic rst_ni,  // The bus's.
  input logic core_rst_ni,  // The core's; low while rst_ni is.

  // The core's writes; those of slot memory go past here.
  input  logic                   wr_valid_i,
  output logic                   wr_ready_o,
  input  logic                   wr_dma_i,
  input  logic [15:0]            wr_slot_i,
  input  logic [MemLineBits-1:0] wr_addr_i,
  input  logic [511:0]           wr_data_i,
  output logic                   wr_done_o,
  output logic                   wr_err_o,
  output logic                   mem_wr_valid_o,
  input  logic                   mem_wr_ready_i,
  input  logic                   mem_wr_done_i,

  input  slotwire_pkg::dma_from_core_t core_i,
  output slotwire_pkg::dma_to_core_t   core_o,
  input  logic [Vectors-1:0]           irq_i,  // Pulses.
  output logic [Vectors-1:0]           irq_o,

  output logic busy_o,  // Something is on the bus.
  output logic idle_o,  // Nothing waits or is under way.

  output logic [IdW-1:0] m_axi_awid_o,
  output logic [63:0]    m_axi_awaddr_o,
  output logic [7:0]     m_axi_awlen_o,
  output logic [2:0]     m_axi_awsize_o,
  output logic [1:0]     m_axi_awburst_o,
  output logic           m_axi_awvalid_o,
  input  logic           m_axi_awready_i,
  output logic [511:0]   m_axi_wdata_o,
  output logic [63:0]    m_axi_wstrb_o,
  output logic           m_axi_wlast_o,
  output logic           m_axi_wvalid_o,
  input  logic           m_axi_wready_i,
  input  logic [1:0]     m_axi_bresp_i,
  input  logic           m_axi_bvalid_i,
  output logic           m_axi_bready_o
);

  localparam int unsigned SlotW = $clog2(Slots);
  localparam int unsigned PageW = 52;  // Bits of a bus address above a page.
  localparam int unsigned Faults = 4;  // Refused marks that the core was not told of; then answers wait.
  localparam int unsigned FlightW = $clog2(MaxWrites) + 1;
  localparam int unsigned PatienceW = $clog2(RefusedClocks + 2);

  if (MemLineBits < 7 || MaxWrites < 2 || (MaxWrites & (MaxWrites - 1)) != 0 || (Slots & (Slots - 1)) != 0) begin : gen_check
    $error("slotwire_dma: a parameter is out of range");
  end

  logic runs, clearing_q, show_ready, fault_valid, done_q, count_line_q, count_mark_q, count_refused_q;
  slotwire_pkg::dma_row_t answer_q;
  logic [SlotW-1:0] clear_q;
  logic [SlotW-1:0] fault_slot;
  assign runs = core_rst_ni;
  always_comb begin
    core_o = '0;
    core_o.show_ready = show_ready;
    core_o.fault = fault_valid;
    core_o.fault_slot = 16'(fault_slot);
    core_o.access_done = done_q;
    core_o.access_row = answer_q;
    core_o.count_line = count_line_q;
    core_o.count_mark = count_mark_q;
    core_o.count_refused = count_refused_q;
  end

  // ---- the order of the core's writes -------------------------------------------------------------------------------------

  logic order_room, order_valid, order_dma, order_pop, local_here, local_done, line_done, line_err, line_ready;
  logic [$clog2(WritesMax):0] order_count, locals_q;
  sw_fifo #(.Width(1), .Depth(WritesMax)) u_order (
    .clk_i, .rst_ni(core_rst_ni), .wvalid_i(wr_valid_i && wr_ready_o), .wready_o(order_room), .wdata_i(wr_dma_i),
    .rvalid_o(order_valid), .rready_i(order_pop), .rdata_o(order_dma), .count_o(order_count));
  assign mem_wr_valid_o = wr_valid_i && !wr_dma_i;
  assign wr_ready_o = wr_dma_i ? line_ready : mem_wr_ready_i;
  // Slot memory's answers wait here for those of host memory before them.
  assign local_here = locals_q != '0 || mem_wr_done_i;
  assign local_done = order_valid && !order_dma && local_here;
  assign order_pop = local_done || line_done;
  always_ff @(posedge clk_i) begin
    if (!core_rst_ni) begin
      locals_q <= '0;
      wr_done_o <= 1'b0;
    end else begin
      locals_q <= locals_q + ($clog2(WritesMax) + 1)'(mem_wr_done_i) - ($clog2(WritesMax) + 1)'(local_done);
      wr_done_o <= order_pop;
    end
    wr_err_o <= line_done && line_err;
  end

  // ---- marks that wait ----------------------------------------------------------------------------------------------------

  // What is to be written of a slot: bit 0 OUT_TAIL, bit 1 IN_HEAD. A slot with a bit stands in the queue.
  (* ram_style = "distributed" *) logic [1:0] waits[Slots];
  // The rows that are valid, twice: each RAM has one port to read.
  (* ram_style = "distributed" *) logic valid[Slots];
  (* ram_style = "distributed" *) logic wanted[Slots];
  logic             shows, enters, enters_q, load, queue_valid, queue_room, mark_valid_q, mark_taken, mark_last;
  logic [SlotW-1:0] shown, enters_slot_q, queue_slot, mark_slot_q, looked, waits_addr;
  logic [SlotW:0]   queue_count;
  logic [1:0]       waits_now, waits_next, mark_bits_q;
  assign shown = core_i.slot[SlotW-1:0];
  assign shows = runs && show_ready && (core_i.shows_head || core_i.shows_tail);
  assign load = runs && !mark_valid_q && queue_valid;
  assign looked = load ? queue_slot : shown;
  assign waits_now = waits[looked];
  assign waits_addr = clearing_q ? clear_q : looked;
  assign enters = shows && wanted[shown] && waits_now == '0;
  assign waits_next = clearing_q || load ? '0 : waits_now | {core_i.shows_head, core_i.shows_tail};
  always_ff @(posedge clk_i) begin
    if (clearing_q || load || (shows && wanted[shown])) waits[waits_addr] <= waits_next;
    enters_q <= core_rst_ni && enters;
    enters_slot_q <= shown;
    if (!core_rst_ni) begin
      mark_valid_q <= 1'b0;
    end else if (load) begin
      mark_valid_q <= 1'b1;
      mark_slot_q <= queue_slot;
      mark_bits_q <= waits_now;
    end else if (mark_taken) begin
      mark_valid_q <= !mark_last;
      mark_bits_q[0] <= 1'b0;
    end
  end
  assign mark_last = mark_bits_q != 2'b11;
  if (Slots <= 256) begin : gen_queue_small
    sw_fifo #(.Width(SlotW), .Depth(Slots)) u_queue (
      .clk_i, .rst_ni(core_rst_ni), .wvalid_i(enters_q), .wready_o(queue_room), .wdata_i(enters_slot_q), .rvalid_o(queue_valid),
      .rready_i(load), .rdata_o(queue_slot), .count_o(queue_count));
  end else begin : gen_queue_large
    sw_fifo_ram #(.Width(SlotW), .Depth(Slots)) u_queue (
      .clk_i, .rst_ni(core_rst_ni), .wvalid_i(enters_q), .wready_o(queue_room), .wdata_i(enters_slot_q), .rvalid_o(queue_valid),
      .rready_i(load), .rdata_o(queue_slot), .count_o(queue_count));
  end
  assign show_ready = !load && !clearing_q;

  // ---- the DMA table: a look at it, then the bus --------------------------------------------------------------------------

  logic             s0_line, s0_mark, s0_turn_q, s1_valid_q, s1_line_q, s1_head_q, s1_last_q, s1_known_q, s1_moves, s1_free, row_reads;
  logic [SlotW-1:0] s0_slot, s1_slot_q;
  logic [MemLineBits-1:0] s1_addr_q;
  logic [511:0]     s1_data_q;
  logic             row_we;
  logic [3:0]       row_order;
  logic [PageW-1:0] row_ring, row_marks;
  logic [SlotW-1:0] access_slot;
  logic [31:0]      head, tail, mark;
  assign access_slot = core_i.access_slot[SlotW-1:0];
  assign s1_free = !s1_valid_q || s1_moves;
  // Lines and marks take turns; a row that is read has the table for a clock.
  assign s0_mark = runs && mark_valid_q && s1_free && !row_reads && !(wr_valid_i && wr_dma_i && s0_turn_q);
  assign line_ready = runs && !clearing_q && s1_free && !row_reads && !s0_mark && order_room;
  assign s0_line = line_ready && wr_valid_i && wr_dma_i;
  assign mark_taken = s0_mark;
  assign s0_slot = row_reads ? access_slot : s0_mark ? mark_slot_q : wr_slot_i[SlotW-1:0];
  sw_ram_sdp #(.Width(4 + 2 * PageW), .Depth(Slots)) u_rows (
    .clk_i, .we_i(row_we), .waddr_i(access_slot),
    .wdata_i({core_i.access_row.order[3:0], core_i.access_row.ring_high, core_i.access_row.ring_low[31:12], core_i.access_row.marks_high,
              core_i.access_row.marks_low[31:12]}),
    .wlanes_i(1'b1), .re_i(s0_line || s0_mark || row_reads), .raddr_i(s0_slot), .rdata_o({row_order, row_ring, row_marks}));
  sw_ram_sdp #(.Width(32), .Depth(Slots)) u_heads (
    .clk_i, .we_i(shows && core_i.shows_head), .waddr_i(shown), .wdata_i(core_i.head), .wlanes_i(1'b1), .re_i(s0_mark),
    .raddr_i(mark_slot_q), .rdata_o(head));
  sw_ram_sdp #(.Width(32), .Depth(Slots)) u_tails (
    .clk_i, .we_i(shows && core_i.shows_tail), .waddr_i(shown), .wdata_i(core_i.tail), .wlanes_i(1'b1), .re_i(s0_mark),
    .raddr_i(mark_slot_q), .rdata_o(tail));

  always_ff @(posedge clk_i) begin
    if (!core_rst_ni) begin
      s1_valid_q <= 1'b0;
      s0_turn_q <= 1'b0;
    end else begin
      if (s1_free) s1_valid_q <= s0_line || s0_mark;
      if (s0_line || s0_mark) s0_turn_q <= s0_mark;
    end
    if (s0_line || s0_mark) begin
      s1_line_q <= s0_line;
      s1_head_q <= !mark_bits_q[0];
      s1_last_q <= mark_last;
      s1_slot_q <= s0_slot;
      s1_known_q <= valid[s0_slot];
      s1_addr_q <= wr_addr_i;
      s1_data_q <= wr_data_i;
    end
  end

  // The bounds of each write: a line of the ring, or one of the two marks.
  logic        fits, writes, aw_ready, w_ready, flight_room;
  logic [63:0] line_addr, mark_addr, addr;
  logic [511:0] data;
  logic [63:0] strb;
  assign fits = (s1_addr_q >> row_order) == '0;
  assign writes = s1_known_q && (!s1_line_q || fits);
  assign line_addr = {row_ring + PageW'(s1_addr_q[MemLineBits-1:6]), s1_addr_q[5:0], 6'd0};
  assign mark_addr = {row_marks, s1_head_q ? 12'(slotwire_pkg::MarkHead) : 12'(slotwire_pkg::MarkTail)};
  assign addr = s1_line_q ? line_addr : mark_addr;
  assign mark = s1_head_q ? head : tail;
  assign data = s1_line_q ? s1_data_q : 512'(mark);
  assign strb = s1_line_q ? '1 : 64'hf;
  assign s1_moves = s1_valid_q && runs && flight_room && (!writes || (aw_ready && w_ready));

  sw_skid #(.Width(64)) u_aw (
    .clk_i, .rst_ni, .wvalid_i(s1_moves && writes), .wready_o(aw_ready), .wdata_i(addr), .rvalid_o(m_axi_awvalid_o),
    .rready_i(m_axi_awready_i), .rdata_o(m_axi_awaddr_o));
  sw_skid #(.Width(512 + 64)) u_w (
    .clk_i, .rst_ni, .wvalid_i(s1_moves && writes), .wready_o(w_ready), .wdata_i({strb, data}), .rvalid_o(m_axi_wvalid_o),
    .rready_i(m_axi_wready_i), .rdata_o({m_axi_wstrb_o, m_axi_wdata_o}));
  assign m_axi_awid_o = '0;
  assign m_axi_awlen_o = '0;
  assign m_axi_awsize_o = 3'd6;
  assign m_axi_awburst_o = 2'b01;
  assign m_axi_wlast_o = 1'b1;

  // ---- answers, in order --------------------------------------------------------------------------------------------------

  logic               flight_valid, flight_line, flight_writes, flight_last, retires, may_retire, bad, left, fault_push, fault_room;
  logic [SlotW-1:0]   flight_slot;
  logic [FlightW-1:0] flight_count;
  logic [$clog2(Faults):0] fault_count;
  sw_fifo #(.Width(3 + SlotW), .Depth(MaxWrites)) u_flight (
    .clk_i, .rst_ni, .wvalid_i(s1_moves), .wready_o(flight_room), .wdata_i({s1_line_q, writes, s1_last_q, s1_slot_q}),
    .rvalid_o(flight_valid), .rready_i(retires), .rdata_o({flight_line, flight_writes, flight_last, flight_slot}),
    .count_o(flight_count));
  logic [PatienceW-1:0] patience_q;
  logic                 refusal, refusal_waits;
  // During a reset of the core, answers are taken and say nothing.
  assign may_retire = !runs || (!refusal_waits && (flight_line ? order_valid && order_dma : fault_room));
  assign retires = flight_valid && may_retire && (!flight_writes || m_axi_bvalid_i);
  assign m_axi_bready_o = flight_valid && flight_writes && may_retire;
  assign bad = flight_writes ? m_axi_bresp_i[1] : flight_line;
  assign line_done = retires && runs && flight_line;
  assign line_err = bad;
  assign left = retires && runs && !flight_line && flight_last;
  assign fault_push = retires && runs && !flight_line && bad;
  assign busy_o = flight_valid;
  assign refusal = flight_valid && flight_writes && m_axi_bvalid_i && bad;
  assign refusal_waits = refusal && patience_q != '0;
  always_ff @(posedge clk_i) begin
    if (!core_rst_ni || (retires && flight_writes && !bad)) patience_q <= PatienceW'(RefusedClocks);
    else if (refusal_waits) patience_q <= patience_q - PatienceW'(1);
  end
  sw_fifo #(.Width(SlotW), .Depth(Faults)) u_faults (
    .clk_i, .rst_ni(core_rst_ni), .wvalid_i(fault_push), .wready_o(fault_room), .wdata_i(flight_slot), .rvalid_o(fault_valid),
    .rready_i(core_i.fault_ready), .rdata_o(fault_slot), .count_o(fault_count));
  always_ff @(posedge clk_i) begin
    count_line_q <= line_done && !bad;
    count_mark_q <= retires && runs && !flight_line && flight_writes && !bad;
    count_refused_q <= retires && runs && bad;
  end

  // Slots whose marks are on their way, from their entry into the queue to their last answer.
  logic [SlotW:0] standing_q;
  always_ff @(posedge clk_i) begin
    if (!core_rst_ni) standing_q <= '0;
    else standing_q <= standing_q + (SlotW + 1)'(enters) - (SlotW + 1)'(left);
  end

  // ---- the driver's accesses of the table ---------------------------------------------------------------------------------

  typedef enum logic [1:0] {
    AcIdle,
    AcWait,  // For what was allowed before.
    AcRead,
    AcAnswer
  } access_e;
  access_e            access_q;
  logic [SlotW-1:0]   valid_addr;
  logic               valid_next;
  logic               access_new, known_q, marks_drained, writes_drained, drained;
  logic [SlotW:0]     marks_due_q;
  logic [FlightW-1:0] writes_due_q;
  assign access_new = core_i.access && access_q == AcIdle && !done_q && !clearing_q && runs;
  assign row_we = access_new && core_i.access_write;
  assign marks_drained = marks_due_q == '0;
  assign writes_drained = writes_due_q == '0;
  assign drained = marks_drained && writes_drained && fault_count == '0;
  assign row_reads = access_q == AcRead && s1_free;
  assign valid_addr = clearing_q ? clear_q : access_slot;
  assign valid_next = clearing_q ? 1'b0 : core_i.access_row.valid[0];
  always_ff @(posedge clk_i) begin
    if (clearing_q || row_we) begin
      valid[valid_addr] <= valid_next;
      wanted[valid_addr] <= valid_next;
    end
    if (!core_rst_ni) begin
      access_q <= AcIdle;
      done_q <= 1'b0;
      clearing_q <= 1'b1;
      clear_q <= '0;
    end else begin
      done_q <= row_we || access_q == AcAnswer;
      if (clearing_q) begin
        clear_q <= clear_q + SlotW'(1);
        clearing_q <= clear_q != SlotW'(Slots - 1);
      end
      case (access_q)
        AcIdle: if (access_new && !core_i.access_write) access_q <= AcWait;
        AcWait: if (drained) access_q <= AcRead;
        AcRead: if (s1_free) access_q <= AcAnswer;
        default: access_q <= AcIdle;
      endcase
    end
    if (access_q == AcIdle) begin
      marks_due_q <= standing_q - (SlotW + 1)'(left);
      writes_due_q <= flight_count + FlightW'(s1_valid_q) - FlightW'(retires);
    end else begin
      if (left && marks_due_q != '0) marks_due_q <= marks_due_q - (SlotW + 1)'(1);
      if (retires && writes_due_q != '0) writes_due_q <= writes_due_q - FlightW'(1);
    end
    if (row_reads) known_q <= valid[s0_slot];
  end
  always_ff @(posedge clk_i) begin
    if (access_q == AcAnswer) begin
      answer_q <= {64'd0, row_marks, 12'd0, row_ring, 12'd0, 48'd0, 8'(row_order), 8'(known_q)};
    end
  end

  // ---- interrupts behind their marks --------------------------------------------------------------------------------------

  logic [Vectors-1:0] irq_wait_q, irq_next_q;
  logic [SlotW:0]     irq_due_q;
  logic               irq_goes;
  assign irq_goes = irq_next_q != '0 && irq_due_q == '0;
  assign irq_o = irq_goes ? irq_next_q : '0;
  always_ff @(posedge clk_i) begin
    if (!core_rst_ni) begin
      irq_wait_q <= '0;
      irq_next_q <= '0;
    end else if (irq_next_q == '0 || irq_goes) begin
      irq_next_q <= irq_wait_q | irq_i;
      irq_wait_q <= '0;
    end else begin
      irq_wait_q <= irq_wait_q | irq_i;
    end
    if (irq_next_q == '0 || irq_goes) irq_due_q <= standing_q - (SlotW + 1)'(left);
    else if (left && irq_due_q != '0) irq_due_q <= irq_due_q - (SlotW + 1)'(1);
  end

  assign idle_o = !flight_valid && !s1_valid_q && standing_q == '0 && order_count == '0 && irq_wait_q == '0 && irq_next_q == '0 &&
                  access_q == AcIdle && !clearing_q;

  `SW_ASSERT(OrderHasRoom, !(core_rst_ni && wr_valid_i && wr_ready_o) || order_room)
  `SW_ASSERT(SlotMemoryKeepsTheOrder, !local_done || !order_dma)
  `SW_ASSERT(HostMemoryKeepsTheOrder, !line_done || (order_valid && order_dma))
  `SW_ASSERT(LocalsInRange, !core_rst_ni || locals_q <= order_count)
  `SW_ASSERT(FaultsHaveRoom, !fault_push || fault_room)
  `SW_ASSERT(QueueHasRoom, !(core_rst_ni && enters_q) || queue_room)
  `SW_ASSERT(AWaitingSlotHasAMark, !load || waits_now != '0)
  `SW_ASSERT(StandingInRange, !core_rst_ni || standing_q <= (SlotW + 1)'(Slots))
  `SW_ASSERT(NothingIsWrittenForASlotWithoutARow, !(s1_moves && writes) || s1_known_q)
  `SW_ASSERT(LinesStayInTheirRing, !(s1_moves && writes && s1_line_q) || line_addr - {row_ring, 12'd0} < 64'd64 << row_order)
  `SW_ASSERT(NothingBeginsInAReset, core_rst_ni || !s1_moves)
  `SW_ASSUME(AnswersAreAskedFor, !m_axi_bvalid_i || flight_valid)

  logic unused;
  assign unused = &{1'b0, core_i, wr_slot_i, queue_room, queue_count, m_axi_bresp_i[0]};

endmodule
