// Proof of the link as a whole: two ends with the rules of the card (narrow positions, rings of two lines), over channels that
// lose, double and reorder frames, with timers that may run out at any time, ends that start anew from their marks, and pairings
// that end and begin again.
//
//   data    end 0's process writes lines, end 1's process reads: what comes out is what went in, in order, once.
//           By data independence (Wolper) one bit a line is enough: 0...0 1 1 0...0 goes in, so the same must come out.
//   marks   no line is released before the peer has it, none overwritten before it was read; no mark faults a slot.
//   credit  no frame is ever dropped for want of room, none acknowledges what was never written.
//   epoch   frames of an earlier pairing change nothing.
//
// A channel keeps two of the frames that chance lets it keep, for as long as chance wants, and delivers any of them at any time. Two
// things end a frame's life, since positions and epochs come round: its positions are a quarter of the circle behind (with 32
// bits: after 2^30 lines), or a pairing begins that has drawn its epoch again.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_link (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       end_i,  // Which end does something,
  input logic [3:0] op_i,  // and what.
  input logic       bit_i,  // The line that is written.
  input logic       more_i,  // Two lines at once.
  input logic       may_send_i,
  input logic [1:0] pick_i,  // The kept frame that is delivered or replaced.
  input logic       keep_i,  // The frame that is sent is kept; else lost.
  input logic [3:0] now_i
);

  `FV_RESET

  localparam int unsigned P = 4;  // Position bits, as narrow.py was told.
  localparam logic [7:0] Bound = 8'(slotwire_pkg::SlotStateBound);
  localparam logic [3:0] Data = 4'(slotwire_pkg::FrameTypeData);
  localparam logic [3:0] ResetFrame = 4'(slotwire_pkg::FrameTypeReset);

  // What the proof adds to the operations of the rules.
  localparam logic [3:0] OpFree = 4'd12;  // The slot is freed.
  localparam logic [3:0] OpBind = 4'd13;  // The slot is bound to a new pairing.
  localparam logic [3:0] OpTakeOver = 4'd14;  // A proxy takes over from the marks.

  typedef struct packed {
    logic         there;
    logic [3:0]   frame_type;
    logic         epoch;
    logic [P-1:0] seq;
    logic [P-1:0] ack;
    logic [P-1:0] credit;
    logic [1:0]   lines;
    logic [1:0]   data;  // Bit i is line seq + i.
  } frame_t;

  slotwire_pkg::slot_row_t row0_q, row1_q, row, new_row, written;
  frame_t to0_a_q, to0_b_q, to1_a_q, to1_b_q, rx, sent;
  logic [1:0] in_ring_q;  // End 0's input ring: the line at position p is bit p mod 2.
  logic [1:0] out_ring_q;  // End 1's output ring.
  logic epoch_q;
  logic bound0, bound1, early0_q, early1_q;  // early: bound in the pairing of epoch_q, freed since or not.
  logic up0_q, up1_q;

  assign bound0 = row0_q.state == Bound;
  assign bound1 = row1_q.state == Bound;
  assign row = end_i ? row1_q : row0_q;
  assign rx = end_i ? (pick_i[0] ? to1_b_q : to1_a_q) : (pick_i[0] ? to0_b_q : to0_a_q);

  // ---- what may happen ----------------------------------------------------------------------------------------------------

  logic [P-1:0] room, produced;
  assign room = P'(2) - (row0_q.in_tail - row0_q.in_head);
  assign produced = more_i ? P'(2) : P'(1);
  logic allowed, binds;
  logic new_pairing;
  assign new_pairing = !bound0 && !bound1;
  always_comb begin
    allowed = 1'b1;
    binds = 1'b0;
    case (op_i)
      slotwire_pkg::OpInTail: allowed = !end_i && bound0 && produced <= room;
      slotwire_pkg::OpOutHead: allowed = end_i && bound1 && row1_q.out_head != row1_q.out_tail;
      slotwire_pkg::OpRx: allowed = rx.there;
      slotwire_pkg::OpTx: allowed = 1'b1;
      slotwire_pkg::OpTimer: allowed = 1'b1;
      slotwire_pkg::OpLinkUp: allowed = 1'b1;
      slotwire_pkg::OpLinkDown: allowed = 1'b1;
      OpFree: allowed = row.state == Bound;
      OpBind: begin
        // The second end joins the pairing that the first began, unless it was in it already.
        binds = 1'b1;
        allowed = row.state != Bound && (new_pairing || (end_i ? !early1_q : !early0_q));
      end
      OpTakeOver: allowed = row.state == Bound;
      default: allowed = 1'b0;
    endcase
  end

  // ---- the rules ----------------------------------------------------------------------------------------------------------

  slotwire_pkg::link_row_t link;
  logic [3:0]   kind;
  slotwire_pkg::op_t op;
  slotwire_pkg::tx_head_t tx_head;
  slotwire_pkg::rx_lines_t rx_lines;
  logic         tx, rx_given, event_given, write;
  logic [P-1:0] value;
  logic [slotwire_pkg::CounterCount-1:0] count;

  always_comb begin
    written = row;
    written.in_order = 8'd1;
    written.out_order = 8'd1;
    written.link = '0;
    written.peer_slot = 16'(end_i ? 0 : 1);
    written.state = (op_i == OpFree) ? 8'd0 : Bound;
    written.fault = '0;
    if (op_i == OpFree) begin
      written.limit = row.limit;  // The fields of a free row are of no meaning; kept, they are what the proof speaks of.
    end else if (op_i == OpBind) begin
      written.epoch = 16'(new_pairing ? !epoch_q : epoch_q);
      written.in_tail = '0;
      written.in_head = '0;
      written.out_tail = '0;
      written.out_head = '0;
      written.limit = P'(2);
    end else begin
      written.limit = row.in_head;
    end
    link = '0;
    link.up = 8'(end_i ? up1_q : up0_q);
    if (op_i == slotwire_pkg::OpLinkUp) link.up = 8'd1;
    if (op_i == slotwire_pkg::OpLinkDown) link.up = 8'd0;
    link.lines_per_frame = 16'd2;
    link.rto_us = P'(1);
    link.rto_max_us = P'(3);
    link.ack_delay_us = P'(1);
    kind = op_i;
    if (op_i == OpFree || op_i == OpBind || op_i == OpTakeOver) kind = slotwire_pkg::OpWrite;
    value = rx.seq;
    if (op_i == slotwire_pkg::OpInTail) value = row0_q.in_tail + produced;
    if (op_i == slotwire_pkg::OpOutHead) value = row1_q.out_head + P'(1);
  end

  slotwire_pkg::slot_row_t rule_row;
  assign rule_row = (kind == slotwire_pkg::OpWrite) ? written : row;

  always_comb begin
    op = '0;
    op.kind = kind;
    op.value = value;
    op.ack = rx.ack;
    op.credit = 16'(rx.credit);
    op.src_slot = 16'(end_i ? 0 : 1);
    op.epoch = 16'(rx.epoch);
    op.lines = rx.lines;
    op.frame_type = rx.frame_type;
    op.may_send = may_send_i;
  end

  slotwire_rules #(.MaxOrder(1), .Links(1)) u_rules (
    .clk_i, .rst_ni, .valid_i(allowed), .op_i(op), .crc_bad_i(1'b0), .row_i(rule_row), .queued_i(1'b0), .link_i(link),
    .now_i(now_i), .target_i(16'd0), .valid_o(), .kind_o(), .write_o(write), .row_o(new_row), .queued_o(), .push_o(), .link_o(),
    .tx_o(tx), .tx_head_o(tx_head), .rx_o(rx_given), .rx_lines_o(rx_lines), .pub_head_o(), .pub_tail_o(),
    .event_o(event_given), .count_o(count), .count_again_o());

  // ---- lines, frames, pairings --------------------------------------------------------------------------------------------

  // The lines that the doorbell tells of are in the ring before it: the second 1 of a pair that goes in is bit_i again.
  logic [1:0] in_ring;
  logic       first_bit, second_bit;
  always_comb begin
    in_ring = in_ring_q;
    if (allowed && op_i == slotwire_pkg::OpInTail) begin
      in_ring[row0_q.in_tail[0]] = first_bit;
      if (more_i) in_ring[!row0_q.in_tail[0]] = second_bit;
    end
  end

  always_comb begin
    sent.there = 1'b1;
    sent.frame_type = tx_head.frame_type;
    sent.epoch = row.epoch[0];
    sent.seq = tx_head.seq;
    sent.ack = tx_head.ack;
    sent.credit = tx_head.credit[P-1:0];
    sent.lines = tx_head.lines;
    sent.data = tx_head.seq[0] ? {in_ring[0], in_ring[1]} : in_ring;
  end

  // A frame's life ends when its positions are a quarter of the circle behind, or its epoch is drawn again.
  logic ends_lives;
  assign ends_lives = allowed && binds && new_pairing;
  logic live_1a, live_1b, live_0a, live_0b;
  logic [P-1:0] behind_1a, behind_1b, behind_0a, behind_0b;
  assign behind_1a = row0_q.in_tail - to1_a_q.seq;
  assign behind_1b = row0_q.in_tail - to1_b_q.seq;
  assign behind_0a = row1_q.out_tail - to0_a_q.ack;
  assign behind_0b = row1_q.out_tail - to0_b_q.ack;
  assign live_1a = to1_a_q.there && !(to1_a_q.epoch == epoch_q && behind_1a > P'(4)) && !(ends_lives && to1_a_q.epoch != epoch_q);
  assign live_1b = to1_b_q.there && !(to1_b_q.epoch == epoch_q && behind_1b > P'(4)) && !(ends_lives && to1_b_q.epoch != epoch_q);
  assign live_0a = to0_a_q.there && !(to0_a_q.epoch == epoch_q && behind_0a > P'(4)) && !(ends_lives && to0_a_q.epoch != epoch_q);
  assign live_0b = to0_b_q.there && !(to0_b_q.epoch == epoch_q && behind_0b > P'(4)) && !(ends_lives && to0_b_q.epoch != epoch_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      row0_q <= '0;
      row1_q <= '0;
      to0_a_q <= '0;
      to0_b_q <= '0;
      to1_a_q <= '0;
      to1_b_q <= '0;
      in_ring_q <= '0;
      out_ring_q <= '0;
      epoch_q <= 1'b0;
      early0_q <= 1'b0;
      early1_q <= 1'b0;
      up0_q <= 1'b0;
      up1_q <= 1'b0;
    end else begin
      to1_a_q.there <= live_1a;
      to1_b_q.there <= live_1b;
      to0_a_q.there <= live_0a;
      to0_b_q.there <= live_0b;
      if (allowed) begin
        in_ring_q <= in_ring;
        if (write) begin
          if (end_i) row1_q <= new_row;
          else row0_q <= new_row;
        end
        if (op_i == slotwire_pkg::OpLinkUp || op_i == slotwire_pkg::OpLinkDown) begin
          if (end_i) up1_q <= op_i == slotwire_pkg::OpLinkUp;
          else up0_q <= op_i == slotwire_pkg::OpLinkUp;
        end
        if (rx_given && end_i) begin
          if (rx_lines.take != 2'd0) out_ring_q[rx_lines.at[0]] <= rx.data[rx_lines.skip[0]];
          if (rx_lines.take == 2'd2) out_ring_q[!rx_lines.at[0]] <= rx.data[!rx_lines.skip[0]];
        end
        if (tx && keep_i) begin
          if (end_i && pick_i[1]) to0_b_q <= sent;
          if (end_i && !pick_i[1]) to0_a_q <= sent;
          if (!end_i && pick_i[1]) to1_b_q <= sent;
          if (!end_i && !pick_i[1]) to1_a_q <= sent;
        end
        if (binds) begin
          if (new_pairing) begin
            if (end_i) row0_q <= '0;
            else row1_q <= '0;
            epoch_q <= !epoch_q;
            early0_q <= !end_i;
            early1_q <= end_i;
          end else begin
            if (end_i) early1_q <= 1'b1;
            else early0_q <= 1'b1;
          end
        end
      end
    end
  end

  // ---- what goes in: 0...0 1 1 0...0 ---------------------------------------------------------------------------------------

  logic [1:0] in_ones_q;  // 1s that went in.
  logic       takes, gives;
  logic [1:0] in_ones;
  assign takes = allowed && op_i == slotwire_pkg::OpInTail;
  assign first_bit = (in_ones_q == 2'd0) ? bit_i : in_ones_q == 2'd1;
  assign in_ones = in_ones_q + 2'(first_bit);
  assign second_bit = (in_ones == 2'd0) ? bit_i : in_ones == 2'd1;
  // ---- what comes out -----------------------------------------------------------------------------------------------------

  logic       out_bit;
  logic [1:0] out_ones_q;
  logic       broken_q;  // Something else than that came out.
  assign gives = allowed && op_i == slotwire_pkg::OpOutHead;
  assign out_bit = out_ring_q[row1_q.out_head[0]];
  always_ff @(posedge clk_i) begin
    if (!rst_ni || ends_lives) begin
      in_ones_q <= '0;
      out_ones_q <= '0;
      broken_q <= 1'b0;
    end else begin
      if (takes) in_ones_q <= in_ones + 2'(more_i && second_bit);
      if (gives) begin
        if (out_bit) out_ones_q <= (out_ones_q == 2'd3) ? 2'd3 : out_ones_q + 2'd1;
        if ((out_bit && out_ones_q >= 2'd2) || (!out_bit && out_ones_q == 2'd1)) broken_q <= 1'b1;
      end
    end
  end

  // ---- what must hold -----------------------------------------------------------------------------------------------------

  logic [P-1:0] in_used, out_used, here, flight, window_end, to_limit;
  assign in_used = row0_q.in_tail - row0_q.in_head;
  assign out_used = row1_q.out_tail - row1_q.out_head;
  assign here = row1_q.out_tail - row0_q.in_head;  // Lines that the peer has and that are not released yet.
  assign flight = row0_q.sent - row0_q.in_head;
  assign window_end = row1_q.out_head + P'(2);
  assign to_limit = window_end - row0_q.limit;

  `SW_ASSERT(InOrderAndOnce, !broken_q)
  `SW_ASSERT(ReleasedOnlyWhatThePeerHas, here <= in_used)
  `SW_ASSERT(InputRingKept, in_used <= P'(2))
  `SW_ASSERT(OutputRingKept, out_used <= P'(2))
  `SW_ASSERT(SentIsBetween, flight <= in_used)
  `SW_ASSERT(WindowIsThePeersRoom, to_limit <= P'(4))
  `SW_ASSERT(NoOverrun, !count[5'(slotwire_pkg::CounterDropOverrun)])
  // A frame dropped for its positions is more than a ring late: its peer has been further for long.
  logic [P-1:0] late_seq, late_ack;
  assign late_seq = row1_q.out_tail - rx.seq;
  assign late_ack = row0_q.in_head - rx.ack;
  `SW_ASSERT(DroppedForItsPositionsIsLate, !count[5'(slotwire_pkg::CounterDropPosition)] ||
                                           (end_i ? late_seq > P'(2) && late_seq <= P'(6) : late_ack > P'(2) && late_ack <= P'(6)))
  `SW_ASSERT(NoFault, !event_given)

  // What makes it so, for the prover: it need not find these itself.
  `SW_ASSERT(OtherWayIsSilent, row0_q.out_tail == '0 && row0_q.out_head == '0 && row1_q.in_tail == '0 && row1_q.in_head == '0 &&
                               row1_q.sent == '0)
  `SW_ASSERT(BoundSince, (!bound0 || (early0_q && row0_q.epoch == 16'(epoch_q) && row0_q.in_order == 8'd1 && row0_q.out_order == 8'd1)) &&
                         (!bound1 || (early1_q && row1_q.epoch == 16'(epoch_q) && row1_q.in_order == 8'd1 && row1_q.out_order == 8'd1)))
  `SW_ASSERT(StatesOfRows, (bound0 || row0_q.state == '0) && (bound1 || row1_q.state == '0))
  `SW_ASSERT(NotEarly, (early0_q || (row0_q.in_tail == '0 && row0_q.in_head == '0)) && (early1_q || (row1_q.out_tail == '0 && row1_q.out_head == '0)))

  fv_link_frame u_to1_a (
    .clk_i, .rst_ni, .mine_i(to1_a_q.there && to1_a_q.epoch == epoch_q), .forward_i(1'b1), .data_frame_i(to1_a_q.frame_type == Data),
    .reset_i(to1_a_q.frame_type == ResetFrame), .seq_i(to1_a_q.seq), .ack_i(to1_a_q.ack), .credit_i(to1_a_q.credit),
    .lines_i(to1_a_q.lines), .data_i(to1_a_q.data), .early_i(early0_q), .front_i(row0_q.in_tail), .in_head_i(row0_q.in_head),
    .in_used_i(in_used), .window_end_i(window_end), .in_ring_i(in_ring_q));
  fv_link_frame u_to1_b (
    .clk_i, .rst_ni, .mine_i(to1_b_q.there && to1_b_q.epoch == epoch_q), .forward_i(1'b1), .data_frame_i(to1_b_q.frame_type == Data),
    .reset_i(to1_b_q.frame_type == ResetFrame), .seq_i(to1_b_q.seq), .ack_i(to1_b_q.ack), .credit_i(to1_b_q.credit),
    .lines_i(to1_b_q.lines), .data_i(to1_b_q.data), .early_i(early0_q), .front_i(row0_q.in_tail), .in_head_i(row0_q.in_head),
    .in_used_i(in_used), .window_end_i(window_end), .in_ring_i(in_ring_q));
  fv_link_frame u_to0_a (
    .clk_i, .rst_ni, .mine_i(to0_a_q.there && to0_a_q.epoch == epoch_q), .forward_i(1'b0), .data_frame_i(to0_a_q.frame_type == Data),
    .reset_i(to0_a_q.frame_type == ResetFrame), .seq_i(to0_a_q.seq), .ack_i(to0_a_q.ack), .credit_i(to0_a_q.credit),
    .lines_i(to0_a_q.lines), .data_i(to0_a_q.data), .early_i(early1_q), .front_i(row1_q.out_tail), .in_head_i(row0_q.in_head),
    .in_used_i(in_used), .window_end_i(window_end), .in_ring_i(in_ring_q));
  fv_link_frame u_to0_b (
    .clk_i, .rst_ni, .mine_i(to0_b_q.there && to0_b_q.epoch == epoch_q), .forward_i(1'b0), .data_frame_i(to0_b_q.frame_type == Data),
    .reset_i(to0_b_q.frame_type == ResetFrame), .seq_i(to0_b_q.seq), .ack_i(to0_b_q.ack), .credit_i(to0_b_q.credit),
    .lines_i(to0_b_q.lines), .data_i(to0_b_q.data), .early_i(early1_q), .front_i(row1_q.out_tail), .in_head_i(row0_q.in_head),
    .in_used_i(in_used), .window_end_i(window_end), .in_ring_i(in_ring_q));

  // Lines that were delivered and not released are the same in both rings; what has not come out yet ends the pattern.
  logic [P-1:0] waiting;  // Lines that went in and did not come out.
  logic         same, fits, line_bit;
  logic [1:0]   ones;
  assign waiting = row0_q.in_tail - row1_q.out_head;
  always_comb begin
    same = 1'b1;
    fits = 1'b1;
    ones = out_ones_q;
    for (int unsigned i = 0; i < 4; i++) begin
      line_bit = (P'(i) < out_used) ? (row1_q.out_head[0] ^ i[0] ? out_ring_q[1] : out_ring_q[0])
                                    : (row1_q.out_head[0] ^ i[0] ? in_ring_q[1] : in_ring_q[0]);
      if (P'(i) < waiting) begin
        if (P'(i) < out_used && P'(row1_q.out_head + P'(i) - row0_q.in_head) < in_used &&
            line_bit != (row1_q.out_head[0] ^ i[0] ? in_ring_q[1] : in_ring_q[0])) same = 1'b0;
        if ((line_bit && ones >= 2'd2) || (!line_bit && ones == 2'd1)) fits = 1'b0;
        if (line_bit && ones != 2'd3) ones = ones + 2'd1;
      end
    end
  end
  `SW_ASSERT(WaitingLines, waiting <= P'(4))
  `SW_ASSERT(RingsAgree, same)
  `SW_ASSERT(PatternGoesOn, fits && ones == in_ones_q)

  `SW_COVER(BothOnesArrive, out_ones_q == 2'd2)
  `SW_COVER(SecondPairingDelivers, out_ones_q == 2'd2 && !epoch_q)
  `SW_COVER(StaleFrame, count[5'(slotwire_pkg::CounterDropEpoch)])
  `SW_COVER(Gap, count[5'(slotwire_pkg::CounterDropGap)])
  `SW_COVER(Duplicate, count[5'(slotwire_pkg::CounterDropDuplicate)])
  `SW_COVER(Late, count[5'(slotwire_pkg::CounterDropPosition)])
  `SW_COVER(Nak, count[5'(slotwire_pkg::CounterRxNaks)])

  logic unused;
  assign unused = &{1'b0, Data};

endmodule
