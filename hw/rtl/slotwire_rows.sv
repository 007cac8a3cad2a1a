// The slot table and the one place where rows change: operations of all sources take turns, one a clock, each as a read, the
// rules (slotwire_rules.sv) and a write. An operation of a slot waits while another one of the same slot is in flight; others
// pass it.
//
//   clock 0  arbitration; the row is asked for          clock 3, 4  rules
//   clock 1  RAM                                        clock 5     results; the row is written
//   clock 2  the row and its link's row; rules begin    clock 6     the slot may be read again
//
// Ready slots stand in a queue, each at most once; they take turns, one frame each (R4). A slot waits for at most as many
// frames as there are slots.
`include "sw_assert.svh"

module slotwire_rows #(
  parameter int unsigned Slots = 64,  // 16 to 4096, a power of two.
  parameter int unsigned Links = 16,  // 2 to 64, a power of two.
  parameter int unsigned MaxOrder = 10,  // Largest ring order that is bound, 0 to 15.
  parameter int unsigned FrameLines = 32,  // Most lines in a frame, 1 to 1023.
  parameter int unsigned SweepClocks = 4,  // Clocks from one slot to the next in the timer sweep, 2 to 255.
  localparam int unsigned SlotW = $clog2(Slots),
  localparam int unsigned LinkW = $clog2(Links)
) (
  input logic clk_i,
  input logic rst_ni,
  input logic [31:0] now_us_i,

  // Received frames, in order. The CRC's verdict may come two clocks after the rest.
  input  logic        rx_valid_i,
  output logic        rx_ready_o,
  input  slotwire_pkg::rx_head_t rx_i,
  output logic        crc_pop_o,
  input  logic        crc_bad_i,

  // Doorbells.
  input  logic             db_valid_i,
  output logic             db_ready_o,
  input  logic             db_out_head_i,  // OUT_HEAD was written, else IN_TAIL.
  input  logic [SlotW-1:0] db_slot_i,
  input  logic [31:0]      db_value_i,

  // The host: rows are written (bound, freed), read, faulted. One at a time; the answer comes with ctl_done_o.
  input  logic                    ctl_valid_i,  // Held with the rest until ctl_done_o.
  input  logic                    ctl_write_i,
  input  logic                    ctl_fault_i,
  input  logic                    ctl_link_i,  // Reads a link's row: ctl_slot_i is its number.
  input  logic [15:0]             ctl_slot_i,
  input  logic [7:0]              ctl_cause_i,
  input  slotwire_pkg::slot_row_t ctl_row_i,
  output logic                    ctl_done_o,
  output slotwire_pkg::slot_row_t ctl_row_o,
  output slotwire_pkg::link_row_t ctl_link_o,
  input  logic                    link_we_i,  // Writes a link's row at once.
  input  logic [LinkW-1:0]        link_waddr_i,
  input  slotwire_pkg::link_row_t link_wdata_i,

  // A walk over all slots of a link.
  input  logic        walk_valid_i,
  input  logic        walk_up_i,
  input  logic [15:0] walk_link_i,
  output logic        walk_busy_o,
  output logic        init_o,  // Rows are made free after a reset.
  output logic [SlotW-1:0] init_slot_o,

  // A line of this slot's input ring had wrong parity.
  input  logic        error_valid_i,
  output logic        error_ready_o,
  input  logic [15:0] error_slot_i,

  // Slot memory refused lines of this slot's output ring; all before this position are in memory.
  input  logic             refused_valid_i,
  output logic             refused_ready_o,
  input  logic [SlotW-1:0] refused_slot_i,
  input  logic [31:0]      refused_from_i,

  // Frames to send, in order.
  output logic                    tx_valid_o,
  input  logic                    tx_ready_i,
  output slotwire_pkg::tx_job_t   tx_job_o,
  input  logic                    tx_idle_i,  // No frame between here and the reads of its lines.
  output logic                    tx_decided_o,  // A frame was decided on; it may still wait here.

  // Verdicts on received frames, one each, in order.
  output logic        verdict_valid_o,
  input  logic        verdict_ready_i,
  output slotwire_pkg::verdict_t verdict_o,
  output logic [7:0]  received_o,  // Verdicts that were given, mod 256.
  input  logic        writer_idle_i,  // All verdicts were carried out and published.
  input  logic        refused_idle_i,  // No slot is left to be told that its lines were refused, nor a frame that acknowledges such.
  output logic        row_written_o,  // The row of pub_slot_o is written by the host.

  // Proxy marks to publish.
  output logic        pub_valid_o,
  output logic        pub_tail_valid_o,
  output logic [15:0] pub_slot_o,
  output logic [31:0] pub_head_o,
  output logic [31:0] pub_tail_o,
  input  logic        pub_room_i,  // Room for 8 more.

  output logic        event_o,
  output logic [15:0] event_slot_o,
  output logic [7:0]  event_fault_o,

  output logic [slotwire_pkg::CounterCount-1:0] count_o,
  output logic [9:0]  count_tx_lines_o,
  output logic [9:0]  count_again_o,
  output logic [9:0]  count_rx_lines_o,

  output logic        idle_o,
  output logic        sweep_o
);

  if (Slots < 16 || Slots > 4096 || (Slots & (Slots - 1)) != 0) begin : gen_check_slots
    $error("slotwire_rows: Slots must be a power of two, 16 to 4096");
  end
  if (Links < 2 || Links > 64 || (Links & (Links - 1)) != 0) begin : gen_check_links
    $error("slotwire_rows: Links must be a power of two, 2 to 64");
  end
  if (MaxOrder > 15 || FrameLines < 1 || FrameLines > 1023 || SweepClocks < 2 || SweepClocks > 255) begin : gen_check_rest
    $error("slotwire_rows: MaxOrder, FrameLines or SweepClocks is out of range");
  end

  localparam int unsigned Sources = 4;
  localparam int unsigned FromRx = 0;
  localparam int unsigned FromDoorbell = 1;
  localparam int unsigned FromTx = 2;
  localparam int unsigned FromSlow = 3;  // The host, faults of memory, walks and timers: one of them waits for its turn.
  localparam int unsigned TxDepth = 8;
  localparam int unsigned VerdictDepth = 16;

  // ---- the sources --------------------------------------------------------------------------------------------------------

  // Ready slots.
  logic             ready_valid, ready_pop, ready_push;
  logic [SlotW-1:0] ready_slot, push_slot;
  logic [SlotW:0]   ready_count;
  logic             ready_room;
  if (Slots <= 256) begin : gen_ready_small
    sw_fifo #(.Width(SlotW), .Depth(Slots)) u_ready (
      .clk_i, .rst_ni, .wvalid_i(ready_push), .wready_o(ready_room), .wdata_i(push_slot), .rvalid_o(ready_valid),
      .rready_i(ready_pop), .rdata_o(ready_slot), .count_o(ready_count));
  end else begin : gen_ready_large
    sw_fifo_ram #(.Width(SlotW), .Depth(Slots), .PastRam(1)) u_ready (
      .clk_i, .rst_ni, .wvalid_i(ready_push), .wready_o(ready_room), .wdata_i(push_slot), .rvalid_o(ready_valid),
      .rready_i(ready_pop), .rdata_o(ready_slot), .count_o(ready_count));
  end

  // Walks: after a reset over all slots, then at a command.
  logic             walk_q, init_q, walk_up_q;
  logic [15:0]      walk_link_q;
  logic [SlotW-1:0] walk_slot_q;

  // Timers: the sweep goes over a table of them and asks for an operation only when one is due.
  logic             timer_look, timer_looked_q, timer_due;
  logic             timer_q;  // A timer of the slot that the sweep is at is due; its operation waits.
  logic [7:0]       timer_clocks_q;
  logic [SlotW-1:0] timer_slot_q;

  logic ctl_busy_q;  // The operation is in flight.
  logic ctl_wanted;
  assign ctl_wanted = ctl_valid_i && !ctl_busy_q;

  // What stops a slot, kept until it is the slow one that waits: a step of its own before a choice that is late in its clock.
  logic        stop_valid_q, stop_refused_q;
  logic [15:0] stop_slot_q;
  logic [31:0] stop_from_q;

  // The operation of the slow ones that waits for its turn.
  logic        slow_valid_q, slow_ctl_q, slow_free, slow_walks;
  slotwire_pkg::op_e slow_kind, slow_kind_q;
  logic [15:0] slow_slot_q;
  logic [7:0]  slow_cause_q;
  logic [31:0] slow_value_q;
  logic        takes_error, takes_ctl, takes_walk, takes_timer;

  // Credits: how many operations that may send, and frames that wait, there are.
  logic [3:0] tx_held_q;
  logic       tx_room;
  logic [4:0] rx_held_q;
  logic       rx_room;
  assign tx_room = tx_held_q != 4'(TxDepth);
  assign rx_room = rx_held_q != 5'(VerdictDepth) && pub_room_i;

  // ---- arbitration --------------------------------------------------------------------------------------------------------

  logic c1_valid_q, c2_valid_q, c3_valid_q, c4_valid_q, c5_valid;
  slotwire_pkg::op_t c1_q, c2_q;
  logic [15:0] c3_slot_q, c4_slot_q, c5_slot;

  logic [Sources-1:0] request, grant;
  logic [Sources-1:0] first_q[Sources];  // [j][i]: j goes before i.
  logic [SlotW-1:0]   slot_of[Sources];
  logic [Sources-1:0] clash;
  logic               quiesce;
  logic               others;

  // A row is written only when nothing of the slot's last pairing is under way to or from memory.
  assign quiesce = (ctl_wanted && ctl_write_i) || (slow_valid_q && slow_kind_q == slotwire_pkg::OpWrite);

  assign slot_of[FromRx] = rx_i.dst_slot[SlotW-1:0];
  assign slot_of[FromDoorbell] = db_slot_i;
  assign slot_of[FromTx] = ready_slot;
  assign slot_of[FromSlow] = slow_slot_q[SlotW-1:0];

  for (genvar i = 0; i < Sources; i++) begin : gen_clash
    assign clash[i] = (c1_valid_q && c1_q.slot[SlotW-1:0] == slot_of[i]) || (c2_valid_q && c2_q.slot[SlotW-1:0] == slot_of[i]) ||
                      (c3_valid_q && c3_slot_q[SlotW-1:0] == slot_of[i]) ||
                      (c4_valid_q && c4_slot_q[SlotW-1:0] == slot_of[i]) ||
                      (c5_valid && c5_slot[SlotW-1:0] == slot_of[i]);
  end

  always_comb begin
    request = '0;
    request[FromRx] = rx_valid_i && rx_room && !quiesce && !init_q;
    request[FromDoorbell] = db_valid_i && !quiesce && !init_q;
    request[FromTx] = ready_valid && tx_room && !quiesce && !init_q;
    request = request & ~clash;
    others = request != '0;
    // The sweep takes what is left, but does not starve.
    request[FromSlow] = slow_valid_q && !clash[FromSlow] &&
                        (slow_kind_q != slotwire_pkg::OpTimer || !others || timer_clocks_q == '0);
  end

  // Which slow one waits next. A row is written when nothing of the slot's last pairing is under way, and then nothing new is.
  assign slow_free = !slow_valid_q || grant[FromSlow];
  assign takes_error = slow_free && stop_valid_q && !init_q;
  assign takes_ctl = slow_free && !takes_error && ctl_wanted && !init_q &&
                     (!ctl_write_i || (tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i));
  assign takes_walk = slow_free && !takes_error && !takes_ctl && walk_q;
  assign takes_timer = slow_free && !takes_error && !takes_ctl && !walk_q && !init_q && timer_q;
  assign slow_walks = slow_valid_q && (slow_kind_q == slotwire_pkg::OpInit || slow_kind_q == slotwire_pkg::OpLinkUp ||
                                       slow_kind_q == slotwire_pkg::OpLinkDown);
  always_comb begin
    slow_kind = slotwire_pkg::OpTimer;
    if (takes_error) begin
      slow_kind = stop_refused_q ? slotwire_pkg::OpRefused : slotwire_pkg::OpFault;
    end else if (takes_ctl) begin
      slow_kind = ctl_write_i ? slotwire_pkg::OpWrite : ctl_fault_i ? slotwire_pkg::OpFault : slotwire_pkg::OpRead;
    end else if (takes_walk) begin
      slow_kind = init_q ? slotwire_pkg::OpInit : walk_up_q ? slotwire_pkg::OpLinkUp : slotwire_pkg::OpLinkDown;
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) slow_valid_q <= 1'b0;
    else if (slow_free) slow_valid_q <= takes_error || takes_ctl || takes_walk || takes_timer;
    if (slow_free) begin
      slow_kind_q <= slow_kind;
      slow_slot_q <= takes_error ? stop_slot_q : takes_ctl ? ctl_slot_i : takes_walk ? 16'(walk_slot_q) : 16'(timer_slot_q);
      slow_cause_q <= !takes_error ? ctl_cause_i : stop_refused_q ? 8'(slotwire_pkg::FaultMemoryRefused) : 8'(slotwire_pkg::FaultMemory);
      slow_value_q <= stop_from_q;
      slow_ctl_q <= takes_ctl;
    end
  end

  // Whose last turn is longest ago goes first. A source that is held up by an operation of the same slot keeps its place, so what others
  // do meanwhile does not put it back: each other source can go before it once.
  for (genvar i = 0; i < Sources; i++) begin : gen_grant
    always_comb begin
      grant[i] = request[i];
      for (int unsigned j = 0; j < Sources; j++) begin
        if (j != i && request[j] && first_q[j][i]) grant[i] = 1'b0;
      end
    end
  end

  slotwire_pkg::op_t c0;
  logic fuses;
  // A frame right after its doorbell, when no other slot waits for its turn.
  assign fuses = !ready_valid && ready_count == '0 && tx_held_q == '0 && !db_out_head_i;
  always_comb begin
    c0 = '0;
    // Fields that only one source has need no selection.
    c0.ack = rx_i.ack;
    c0.credit = rx_i.credit;
    c0.src_slot = rx_i.src_slot;
    c0.epoch = rx_i.epoch;
    c0.lines = rx_i.lines;
    c0.frame_type = rx_i.frame_type;
    c0.src_ip = rx_i.src_ip;
    c0.src_port = rx_i.src_port;
    c0.drop = rx_i.drop;
    c0.damaged = rx_i.damaged;
    c0.beyond = 32'(rx_i.dst_slot) >= Slots;
    c0.may_send = fuses;
    c0.cause = rx_i.cause;
    c0.value = rx_i.seq;
    if (grant[FromRx]) begin
      c0.kind = slotwire_pkg::OpRx;
      c0.slot = rx_i.dst_slot;
    end
    if (grant[FromDoorbell]) begin
      c0.kind = db_out_head_i ? slotwire_pkg::OpOutHead : slotwire_pkg::OpInTail;
      c0.slot = 16'(db_slot_i);
      c0.value = db_value_i;
    end
    if (grant[FromTx]) begin
      c0.kind = slotwire_pkg::OpTx;
      c0.slot = 16'(ready_slot);
    end
    if (grant[FromSlow]) begin
      c0.kind = slow_kind_q;
      c0.slot = slow_slot_q;
      c0.value = slow_value_q;
      c0.cause = slow_cause_q;
      c0.ctl = slow_ctl_q;
    end
  end

  assign rx_ready_o = grant[FromRx];
  assign db_ready_o = grant[FromDoorbell];
  assign ready_pop = grant[FromTx];
  assign refused_ready_o = refused_valid_i && pub_room_i && !stop_valid_q && !init_q;
  assign error_ready_o = error_valid_i && !refused_ready_o && !stop_valid_q && !init_q;
  always_ff @(posedge clk_i) begin
    stop_valid_q <= rst_ni && (refused_ready_o || error_ready_o || (stop_valid_q && !takes_error));
    if (!stop_valid_q) begin
      stop_refused_q <= refused_ready_o;
      stop_slot_q <= refused_ready_o ? 16'(refused_slot_i) : error_slot_i;
      stop_from_q <= refused_from_i;
    end
  end
  assign row_written_o = writes && rule_kind == slotwire_pkg::OpWrite;
  assign walk_busy_o = walk_q || slow_walks;
  assign init_o = init_q;
  assign init_slot_o = walk_slot_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      for (int unsigned j = 0; j < Sources; j++) first_q[j] <= ~((Sources'(2) << j) - Sources'(1));
      walk_q <= 1'b1;
      init_q <= 1'b1;
      walk_slot_q <= '0;
      timer_q <= 1'b0;
      timer_looked_q <= 1'b0;
      timer_clocks_q <= '0;
      timer_slot_q <= '0;
      ctl_busy_q <= 1'b0;
    end else begin
      for (int unsigned j = 0; j < Sources; j++) begin
        for (int unsigned k = 0; k < Sources; k++) begin
          if (j != k && (grant[j] || grant[k])) first_q[j][k] <= grant[k];
        end
      end
      if (!walk_q && !slow_walks) init_q <= 1'b0;
      if (takes_walk) begin
        walk_slot_q <= walk_slot_q + SlotW'(1);
        if (walk_slot_q == SlotW'(Slots - 1)) walk_q <= 1'b0;
      end else if (walk_valid_i && !walk_busy_o) begin
        walk_q <= 1'b1;
        walk_slot_q <= '0;
      end
      timer_looked_q <= timer_look;
      if (timer_look) timer_clocks_q <= 8'(SweepClocks) - 8'd1;
      else if (timer_clocks_q != '0) timer_clocks_q <= timer_clocks_q - 8'd1;
      if (timer_looked_q && timer_due) timer_q <= 1'b1;
      else if (takes_timer) timer_q <= 1'b0;
      if (takes_timer || (timer_looked_q && !timer_due)) timer_slot_q <= timer_slot_q + SlotW'(1);
      if (takes_ctl) ctl_busy_q <= 1'b1;
      else if (ctl_done_o) ctl_busy_q <= 1'b0;
    end
    if (walk_valid_i && !walk_busy_o) begin
      walk_up_q <= walk_up_i;
      walk_link_q <= walk_link_i;
    end
    sweep_o <= rst_ni && ((grant[FromSlow] && slow_kind_q == slotwire_pkg::OpTimer && slow_slot_q == 16'(Slots - 1)) ||
                          (timer_looked_q && !timer_due && timer_slot_q == SlotW'(Slots - 1)));
  end

  // ---- the row ------------------------------------------------------------------------------------------------------------

  logic [512:0]            read_row;
  logic                    write, writes;
  slotwire_pkg::slot_row_t new_row;
  logic                    new_queued;

  assign writes = write && rst_ni;  // Nothing is written before the first reset has cleared what decides it.
  sw_ram_sdp #(.Width(513), .Depth(Slots), .Latency(2), .Style(1), .ZeroAtStart(1)) u_rows (
    .clk_i, .we_i(writes), .waddr_i(c5_slot[SlotW-1:0]), .wdata_i({new_queued, new_row}), .wlanes_i(1'b1),
    .re_i(grant != '0), .raddr_i(c0.slot[SlotW-1:0]), .rdata_o(read_row));

  logic c3_ctl_q, c4_ctl_q, c5_ctl_q;
  logic [4:0] busy_q;  // Operations in flight other than looks at a timer.
  always_ff @(posedge clk_i) begin
    c1_valid_q <= rst_ni && grant != '0;
    c2_valid_q <= rst_ni && c1_valid_q;
    c3_valid_q <= rst_ni && c2_valid_q;
    c4_valid_q <= rst_ni && c3_valid_q;
    c1_q <= c0;
    c2_q <= c1_q;
    c3_slot_q <= c2_q.slot;
    c4_slot_q <= c3_slot_q;
    c5_slot <= c4_slot_q;
    c3_ctl_q <= c2_q.ctl;
    c4_ctl_q <= c3_ctl_q;
    c5_ctl_q <= c4_ctl_q;
    busy_q <= rst_ni ? {busy_q[3:0], grant != '0 && !(grant[FromSlow] && slow_kind_q == slotwire_pkg::OpTimer)} : '0;
  end

  slotwire_pkg::slot_row_t row;
  slotwire_pkg::link_row_t link;
  logic [LinkW-1:0]        link_addr;
  assign row = (c2_q.kind == slotwire_pkg::OpWrite) ? ctl_row_i : read_row[511:0];
  assign link_addr = (c2_q.kind == slotwire_pkg::OpRead && ctl_link_i) ? c2_q.slot[LinkW-1:0] : row.link[LinkW-1:0];

  // The link table; a link whose row was not written since the reset is down.
  (* ram_style = "distributed" *) logic [255:0] links[Links];
  logic [Links-1:0] link_known_q;
  always_ff @(posedge clk_i) begin
    if (link_we_i) links[link_waddr_i] <= link_wdata_i;
    if (!rst_ni) link_known_q <= '0;
    else if (link_we_i) link_known_q[link_waddr_i] <= 1'b1;
  end
  assign link = link_known_q[link_addr] ? links[link_addr] : '0;

  assign crc_pop_o = c2_valid_q && c2_q.kind == slotwire_pkg::OpRx;

  // ---- the rules ----------------------------------------------------------------------------------------------------------

  logic                    rule_tx, rule_rx, rule_tail, push;
  slotwire_pkg::op_e       rule_kind;
  slotwire_pkg::link_row_t rule_link;
  slotwire_pkg::tx_head_t  rule_head;
  slotwire_pkg::rx_lines_t rule_lines;

  slotwire_rules #(.MaxOrder(MaxOrder), .Links(Links)) u_rules (
    .clk_i, .rst_ni,
    .valid_i(c2_valid_q), .op_i(c2_q), .crc_bad_i(crc_bad_i), .row_i(row), .queued_i(read_row[512]), .link_i(link),
    .now_i(now_us_i), .target_i(walk_link_q),
    .valid_o(c5_valid), .kind_o(rule_kind), .write_o(write), .row_o(new_row), .queued_o(new_queued),
    .push_o(push), .link_o(rule_link), .tx_o(rule_tx), .tx_head_o(rule_head), .rx_o(rule_rx), .rx_lines_o(rule_lines),
    .pub_head_o(pub_valid_o), .pub_tail_o(rule_tail), .event_o(event_o), .count_o(count_o), .count_again_o(count_again_o));

  assign ready_push = push;
  assign push_slot = c5_slot[SlotW-1:0];

  assign ctl_done_o = c5_valid && c5_ctl_q;
  assign ctl_row_o = new_row;
  assign ctl_link_o = rule_link;

  assign pub_slot_o = c5_slot;
  assign pub_tail_valid_o = rule_tail;
  assign pub_head_o = new_row.in_head;
  assign pub_tail_o = new_row.out_tail;
  assign event_slot_o = c5_slot;
  assign event_fault_o = new_row.fault;
  assign count_tx_lines_o = rule_head.lines;
  assign count_rx_lines_o = rule_lines.take;

  // ---- timers -------------------------------------------------------------------------------------------------------------

  // What the sweep has to know of a slot. A look at the row of a slot whose timers have time left would only hold up the others.
  typedef struct packed {
    logic        tx_runs;
    logic        ack_runs;
    logic        down;  // The link was down: a timer that runs is to be stopped (R9).
    logic [31:0] tx_deadline;
    logic [31:0] ack_deadline;
  } timers_t;
  timers_t     timers_new, timers;
  logic [31:0] tx_left, ack_left;
  always_comb begin
    timers_new.tx_runs = new_row.flags[slotwire_pkg::RowTxTimerBit];
    timers_new.ack_runs = new_row.flags[slotwire_pkg::RowAckTimerBit];
    timers_new.down = !rule_link.up[0];
    timers_new.tx_deadline = new_row.tx_deadline;
    timers_new.ack_deadline = new_row.ack_deadline;
  end
  sw_ram_sdp #(.Width($bits(timers_new)), .Depth(Slots)) u_timers (
    .clk_i, .we_i(writes), .waddr_i(c5_slot[SlotW-1:0]), .wdata_i(timers_new), .wlanes_i(1'b1), .re_i(timer_look),
    .raddr_i(timer_slot_q), .rdata_o(timers));
  assign timer_look = timer_clocks_q == '0 && !timer_q && !timer_looked_q && !init_q;
  assign tx_left = timers.tx_deadline - now_us_i;
  assign ack_left = timers.ack_deadline - now_us_i;
  assign timer_due = (timers.tx_runs && (timers.down || tx_left[31] || tx_left == '0)) ||
                     (timers.ack_runs && (timers.down || ack_left[31] || ack_left == '0));

  // ---- frames and verdicts, past a queue when it is empty -----------------------------------------------------------------

  slotwire_pkg::tx_job_t  job, job_kept;
  slotwire_pkg::verdict_t verdict, verdict_kept;
  logic     frame_kept_valid, verdict_kept_valid, frame_room, verdict_room;
  logic [7:0] received_q;  // Verdicts given, mod 256.
  logic [$clog2(TxDepth):0] frame_count;
  logic [$clog2(VerdictDepth):0] verdict_count;

  always_comb begin
    job.frame.head = rule_head;
    job.frame.slot = c5_slot;
    job.frame.peer_slot = new_row.peer_slot;
    job.frame.epoch = new_row.epoch;
    job.frame.peer_ip = rule_link.peer_ip;
    job.frame.peer_port = rule_link.peer_port;
    job.frame.peer_mac = {rule_link.peer_mac_high, rule_link.peer_mac_low};
    job.base = new_row.in_base;
    job.order = new_row.in_order[3:0];
    verdict.slot = c5_slot;
    verdict.lines = rule_lines;
    verdict.base = new_row.out_base;
    verdict.order = new_row.out_order[3:0];
  end

  sw_fifo #(.Width($bits(job)), .Depth(TxDepth)) u_frames (
    .clk_i, .rst_ni, .wvalid_i(rule_tx && (frame_kept_valid || !tx_ready_i)), .wready_o(frame_room), .wdata_i(job),
    .rvalid_o(frame_kept_valid), .rready_i(tx_ready_i), .rdata_o(job_kept), .count_o(frame_count));
  assign tx_valid_o = frame_kept_valid || rule_tx;
  assign tx_job_o = frame_kept_valid ? job_kept : job;
  assign tx_decided_o = rule_tx;
  assign received_o = received_q;

  sw_fifo #(.Width($bits(verdict)), .Depth(VerdictDepth)) u_verdicts (
    .clk_i, .rst_ni, .wvalid_i(rule_rx && (verdict_kept_valid || !verdict_ready_i)), .wready_o(verdict_room),
    .wdata_i(verdict), .rvalid_o(verdict_kept_valid), .rready_i(verdict_ready_i), .rdata_o(verdict_kept),
    .count_o(verdict_count));
  assign verdict_valid_o = verdict_kept_valid || rule_rx;
  assign verdict_o = verdict_kept_valid ? verdict_kept : verdict;

  // Credits are held from the grant until the frame or verdict has left; one that became no frame gives its credit back.
  logic may_tx_granted, tx_gone, tx_unused, c3_may_q, c4_may_q, c5_may_q;
  assign may_tx_granted = grant[FromTx] || (grant[FromDoorbell] && fuses);
  assign tx_gone = tx_valid_o && tx_ready_i;
  assign tx_unused = c5_valid && c5_may_q && !rule_tx;
  // The grant comes last in a clock: it chooses between two sums that are ready.
  logic [3:0] tx_kept;
  assign tx_kept = tx_held_q - 4'(tx_gone) - 4'(tx_unused);
  always_ff @(posedge clk_i) begin
    c3_may_q <= c2_q.kind == slotwire_pkg::OpTx || (c2_q.kind == slotwire_pkg::OpInTail && c2_q.may_send);
    c4_may_q <= c3_may_q;
    c5_may_q <= c4_may_q;
    if (!rst_ni) begin
      tx_held_q <= '0;
      rx_held_q <= '0;
      received_q <= '0;
    end else begin
      tx_held_q <= may_tx_granted ? tx_kept + 4'd1 : tx_kept;
      rx_held_q <= rx_held_q + 5'(grant[FromRx]) - 5'(verdict_valid_o && verdict_ready_i);
      if (rule_rx) received_q <= received_q + 8'd1;
    end
  end

  assign idle_o = !rx_valid_i && !db_valid_i && !ready_valid && ready_count == '0 && !walk_busy_o && !init_q && !ctl_valid_i &&
                  !error_valid_i && !refused_valid_i && !stop_valid_q && !(slow_valid_q && slow_kind_q != slotwire_pkg::OpTimer) &&
                  tx_held_q == '0 && rx_held_q == '0 && busy_q == '0 && !push;

  // Credits.
  `SW_ASSERT(TxCreditInRange, tx_held_q <= 4'(TxDepth))
  `SW_ASSERT(RxCreditInRange, rx_held_q <= 5'(VerdictDepth))
  `SW_ASSERT(TxCreditIsHeld, !(tx_gone || tx_unused) || tx_held_q >= 4'(tx_gone) + 4'(tx_unused))
  `SW_ASSERT(RxCreditIsHeld, !(verdict_valid_o && verdict_ready_i) || rx_held_q != '0)
  `SW_ASSERT(FramesAreCredited, frame_count <= tx_held_q)
  `SW_ASSERT(VerdictsAreCredited, verdict_count <= rx_held_q)
  `SW_ASSERT(FrameHasRoom, !(rule_tx && (frame_kept_valid || !tx_ready_i)) || frame_room)
  `SW_ASSERT(VerdictHasRoom, !(rule_rx && (verdict_kept_valid || !verdict_ready_i)) || verdict_room)
  `SW_ASSERT(ReadyHasRoom, !ready_push || ready_room)
  // A row is written when nothing of its slot is under way, and nothing new begins in between.
  logic writes_row;
  assign writes_row = slow_valid_q && slow_kind_q == slotwire_pkg::OpWrite;
  `SW_ASSERT(NothingBeginsBeforeAWrite, !writes_row || (grant & ~(Sources'(1) << FromSlow)) == '0)
  `SW_ASSERT(NothingIsHeldAtAWrite, !(writes_row && grant[FromSlow]) || (tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i))
  // That holds while a write waits for its turn, since whoever takes frames and verdicts begins with one of these.
  logic tx_idle_q, writer_idle_q;
  always_ff @(posedge clk_i) begin
    tx_idle_q <= rst_ni && tx_idle_i;
    writer_idle_q <= rst_ni && writer_idle_i;
  end
  `SW_ASSUME(ReadsAreIdleWithoutAFrame, !tx_idle_i || !tx_valid_o)
  `SW_ASSUME(ReadsBeginWithAFrame, !tx_idle_q || tx_valid_o || tx_idle_i)
  `SW_ASSUME(WriterIsIdleWithoutAVerdict, !writer_idle_i || !verdict_valid_o)
  `SW_ASSUME(WritesBeginWithAVerdict, !writer_idle_q || verdict_valid_o || writer_idle_i)

  logic unused;
  assign unused = &{1'b0, ready_room, frame_room, verdict_room, frame_count, verdict_count, FrameLines[0], writes_row, tx_idle_q,
                    writer_idle_q};

`ifdef FV_SLOTWIRE_ROWS
`include "fv_slotwire_rows_inner.svh"
`endif

endmodule
