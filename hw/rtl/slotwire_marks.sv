// The published proxy marks, the queue of slots whose marks moved, and the interrupts. What stands here survives a reset, since
// a proxy that takes over starts from the marks (R9).
`include "sw_assert.svh"

module slotwire_marks #(
  parameter int unsigned Slots = 64,  // A power of two.
  parameter int unsigned Vectors = 4,  // Interrupt vectors, 1 to 32; slot n belongs to vector n mod Vectors, a power of two.
  localparam int unsigned SlotW = $clog2(Slots)
) (
  input logic clk_i,
  input logic rst_ni,
  input logic [31:0] now_us_i,

  input logic             init_i,  // Clears the mark of init_slot_i that it stands in the queue.
  input logic [SlotW-1:0] init_slot_i,

  // IN_HEAD, and OUT_TAIL of a slot that is bound. Never stalls: who gives it looks at head_room_o.
  input  logic             head_valid_i,
  input  logic             head_tail_valid_i,
  input  logic [SlotW-1:0] head_slot_i,
  input  logic [31:0]      head_i,
  input  logic [31:0]      head_tail_i,
  output logic             head_room_o,  // Room for 8 more.

  // OUT_TAIL after lines were written.
  input  logic             tail_valid_i,
  output logic             tail_ready_o,
  input  logic [SlotW-1:0] tail_slot_i,
  input  logic [31:0]      tail_i,

  output logic             binding_o,  // Marks of a slot that was bound are on their way.

  // Marks as they are shown, for whoever shows them elsewhere as well.
  input  logic             show_ready_i,
  output logic             shows_head_o,
  output logic             shows_tail_o,
  output logic [SlotW-1:0] shows_slot_o,
  output logic [31:0]      shows_head_value_o,
  output logic [31:0]      shows_tail_value_o,

  // The host reads marks: a clock later.
  input  logic             read_i,
  input  logic [SlotW-1:0] read_slot_i,
  output logic [31:0]      in_head_o,
  output logic [31:0]      out_tail_o,

  output logic             moved_valid_o,
  output logic [SlotW-1:0] moved_slot_o,
  input  logic             moved_pop_i,  // Held until moved_popped_o.
  output logic             moved_popped_o,

  // Interrupts.
  input  logic               event_i,  // A slot stopped.
  input  logic [SlotW-1:0]   event_slot_i,
  input  logic [Vectors-1:0] enabled_i,
  input  logic [15:0]        moderation_i,  // Microseconds.
  input  logic [Vectors-1:0] clear_i,
  output logic [Vectors-1:0] pending_o,
  output logic [Vectors-1:0] irq_o,

  output logic idle_o
);

  localparam int unsigned Heads = 32;

  if (Vectors < 1 || Vectors > 32 || (Vectors & (Vectors - 1)) != 0 || Vectors > Slots) begin : gen_check
    $error("slotwire_marks: Vectors must be a power of two, 1 to 32, and at most Slots");
  end

  logic             queue_valid, queue_pop, queue_room, queue_with_tail;
  logic [SlotW-1:0] queue_slot;
  logic [31:0]      queue_head, queue_tail;
  logic [5:0]       queue_count;
  sw_fifo #(.Width(1 + SlotW + 64), .Depth(Heads)) u_heads (
    .clk_i, .rst_ni, .wvalid_i(head_valid_i), .wready_o(queue_room),
    .wdata_i({head_tail_valid_i, head_slot_i, head_i, head_tail_i}), .rvalid_o(queue_valid), .rready_i(queue_pop),
    .rdata_o({queue_with_tail, queue_slot, queue_head, queue_tail}), .count_o(queue_count));
  assign head_room_o = queue_count <= 6'(Heads - 8);

  // One at a time: the host's pop, then lines that came, then lines that were released.
  logic             pop, move, shows_head, shows_tail;
  logic [SlotW-1:0] slot;
  assign pop = moved_pop_i && moved_valid_o;
  assign moved_popped_o = pop;

  // Lines that came after a slot was bound must not be told before the binding is.
  logic       bindings_wait, tail_turn;
  logic [5:0] bindings_q;
  assign bindings_wait = bindings_q != '0;
  assign binding_o = bindings_wait;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) bindings_q <= '0;
    else bindings_q <= bindings_q + 6'(head_valid_i && head_tail_valid_i) - 6'(queue_valid && queue_pop && queue_with_tail);
  end
  assign tail_turn = tail_valid_i && !bindings_wait;
  assign tail_ready_o = !pop && !bindings_wait && show_ready_i;
  assign queue_pop = !pop && !tail_turn && show_ready_i;
  assign move = !pop && show_ready_i && (tail_turn || queue_valid);
  // Nothing is written before the first reset has cleared the queues.
  assign shows_head = rst_ni && queue_valid && queue_pop;
  assign shows_tail = rst_ni && move && (tail_turn || queue_with_tail);
  assign slot = pop ? moved_slot_o : tail_turn ? tail_slot_i : queue_slot;
  assign shows_head_o = shows_head;
  assign shows_tail_o = shows_tail;
  assign shows_slot_o = tail_turn ? tail_slot_i : queue_slot;
  assign shows_head_value_o = queue_head;
  assign shows_tail_value_o = tail_turn ? tail_i : queue_tail;

  sw_ram_sdp #(.Width(32), .Depth(Slots), .ZeroAtStart(1)) u_in_head (
    .clk_i, .we_i(shows_head), .waddr_i(queue_slot), .wdata_i(queue_head), .wlanes_i(1'b1), .re_i(read_i),
    .raddr_i(read_slot_i), .rdata_o(in_head_o));
  sw_ram_sdp #(.Width(32), .Depth(Slots), .ZeroAtStart(1)) u_out_tail (
    .clk_i, .we_i(shows_tail), .waddr_i(slot), .wdata_i(shows_tail_value_o),
    .wlanes_i(1'b1), .re_i(read_i), .raddr_i(read_slot_i), .rdata_o(out_tail_o));

  // A slot stands in the queue at most once.
  (* ram_style = "distributed" *) logic stands[Slots];
  logic             enters, enters_q, moved_room;
  logic [SlotW-1:0] enters_slot_q;
  logic [SlotW:0]   moved_count;
  logic [SlotW-1:0] stands_addr;
  assign enters = move && !stands[slot];
  assign stands_addr = init_i ? init_slot_i : slot;
  always_ff @(posedge clk_i) begin
    if (init_i || pop || enters) stands[stands_addr] <= enters && !init_i;
    enters_q <= rst_ni && enters;
    enters_slot_q <= slot;
  end
  if (Slots <= 256) begin : gen_moved_small
    sw_fifo #(.Width(SlotW), .Depth(Slots)) u_moved (
      .clk_i, .rst_ni, .wvalid_i(enters_q), .wready_o(moved_room), .wdata_i(enters_slot_q), .rvalid_o(moved_valid_o),
      .rready_i(pop), .rdata_o(moved_slot_o), .count_o(moved_count));
  end else begin : gen_moved_large
    sw_fifo_ram #(.Width(SlotW), .Depth(Slots)) u_moved (
      .clk_i, .rst_ni, .wvalid_i(enters_q), .wready_o(moved_room), .wdata_i(enters_slot_q), .rvalid_o(moved_valid_o),
      .rready_i(pop), .rdata_o(moved_slot_o), .count_o(moved_count));
  end

  // ---- interrupts ---------------------------------------------------------------------------------------------------------

  logic [Vectors-1:0] pending_q, raised_q, set;
  logic [15:0]        last_q[Vectors];
  for (genvar v = 0; v < Vectors; v++) begin : gen_vectors
    logic       moved_here, event_here, due;
    logic [15:0] since;
    assign moved_here = move && (32'(slot) % Vectors) == v;
    assign event_here = event_i && (32'(event_slot_i) % Vectors) == v;
    assign set[v] = moved_here || event_here;
    assign since = now_us_i[15:0] - last_q[v];
    assign due = pending_q[v] && enabled_i[v] && !raised_q[v] && since >= moderation_i;
    always_ff @(posedge clk_i) begin
      irq_o[v] <= rst_ni && due;
      if (!rst_ni) begin
        pending_q[v] <= 1'b0;
        raised_q[v] <= 1'b0;
        last_q[v] <= 16'h8000;
      end else begin
        pending_q[v] <= (pending_q[v] && !clear_i[v]) || set[v];
        raised_q[v] <= (raised_q[v] || due) && !clear_i[v];
        if (due) last_q[v] <= now_us_i[15:0];
      end
    end
  end
  assign pending_o = pending_q;
  assign idle_o = !queue_valid && !tail_valid_i && !enters_q;

  `SW_ASSERT(HeadHasRoom, !head_valid_i || queue_room)
  `SW_ASSERT(BindingsInRange, bindings_q <= queue_count)
  `SW_ASSERT(PoppedSlotStood, !(pop && rst_ni) || stands[moved_slot_o])
  `SW_ASSERT(MovedHasRoom, !enters_q || moved_room)
  `SW_ASSERT(NoMarkBeforeItsBinding, !(tail_valid_i && tail_ready_o && shows_tail) || !bindings_wait)
  `SW_ASSERT(TailIsShown, !(tail_valid_i && tail_ready_o) || shows_tail)

  logic unused;
  assign unused = &{1'b0, queue_room, moved_room, moved_count, now_us_i[31:16]};

endmodule
