// The rules of the protocol (docs/protocol.md, R1 to R10) as a pipeline of three stages: a slot's row and one operation go in,
// the new row and what follows from it come out three clocks later. One operation a clock.
//
// It has no state beside its pipeline registers: who uses it keeps the rows, and starts no operation of a slot while another
// one of the same slot is in flight (slotwire_rows.sv; the proofs use it with a row in registers).
//
//   stage 1  differences of positions and times
//   stage 2  decisions
//   stage 3  the new row, the frame, the verdict on a received frame
`include "sw_assert.svh"

module slotwire_rules #(
  parameter int unsigned MaxOrder = 15,  // Largest ring order that is bound, 0 to 15.
  parameter int unsigned Links = 16  // Rows of the link table.
) (
  input logic clk_i,
  input logic rst_ni,

  // The operation, with the slot's row and its link's row.
  input logic                        valid_i,
  input slotwire_pkg::op_t           op_i,
  input logic                        crc_bad_i,  // OpRx: the frame's CRC is wrong.
  input slotwire_pkg::slot_row_t     row_i,  // For OpWrite: the row that is written.
  input logic                        queued_i,  // The slot stands in the queue of ready slots.
  input slotwire_pkg::link_row_t     link_i,
  input logic [31:0]                 now_i,  // Microseconds.
  input logic [15:0]                 target_i,  // OpLinkUp, OpLinkDown: the link.

  // Three clocks later.
  output logic                       valid_o,
  output slotwire_pkg::op_e          kind_o,
  output logic                       write_o,  // The row is to be written back.
  output slotwire_pkg::slot_row_t    row_o,
  output logic                       queued_o,
  output logic                       push_o,  // The slot enters the queue of ready slots.
  output slotwire_pkg::link_row_t    link_o,
  // A frame to send.
  output logic                       tx_o,
  output slotwire_pkg::tx_head_t     tx_head_o,
  // The verdict on a received frame.
  output logic                       rx_o,
  output slotwire_pkg::rx_lines_t    rx_lines_o,
  // Proxy marks to publish.
  output logic                       pub_head_o,
  output logic                       pub_tail_o,  // Only when a slot is bound or its lines were refused; else the writer of the lines publishes.
  // The slot stopped.
  output logic                       event_o,
  // What is counted, a bit for each counter; lines beside it.
  output logic [slotwire_pkg::CounterCount-1:0] count_o,
  output logic [9:0]                 count_again_o
);

  localparam logic [7:0] Free = 8'(slotwire_pkg::SlotStateFree);
  localparam logic [7:0] Bound = 8'(slotwire_pkg::SlotStateBound);
  localparam logic [7:0] Faulted = 8'(slotwire_pkg::SlotStateFaulted);
  localparam logic [7:0] Reset = 8'(slotwire_pkg::SlotStateReset);
  localparam slotwire_pkg::frame_type_e Data = slotwire_pkg::FrameTypeData;
  localparam slotwire_pkg::frame_type_e Ack = slotwire_pkg::FrameTypeAck;
  localparam slotwire_pkg::frame_type_e Nak = slotwire_pkg::FrameTypeNak;
  localparam slotwire_pkg::frame_type_e Probe = slotwire_pkg::FrameTypeProbe;
  localparam slotwire_pkg::frame_type_e ResetFrame = slotwire_pkg::FrameTypeReset;
  localparam int unsigned AckNow = slotwire_pkg::RowAckNowBit;
  localparam int unsigned NakNow = slotwire_pkg::RowNakNowBit;
  localparam int unsigned ProbeNow = slotwire_pkg::RowProbeNowBit;
  localparam int unsigned ResetNow = slotwire_pkg::RowResetNowBit;
  localparam int unsigned NakSent = slotwire_pkg::RowNakSentBit;
  localparam int unsigned TxTimer = slotwire_pkg::RowTxTimerBit;
  localparam int unsigned AckTimer = slotwire_pkg::RowAckTimerBit;
  localparam int unsigned N = slotwire_pkg::CounterCount;

  // ---- stage 1: differences -----------------------------------------------------------------------------------------------

  logic [16:0] in_size1, out_size1;
  assign in_size1 = 17'd1 << row_i.in_order[3:0];
  assign out_size1 = 17'd1 << row_i.out_order[3:0];

  logic is_in1, is_out1;
  logic [31:0] in_tail1, out_head1;
  assign is_in1 = op_i.kind == slotwire_pkg::OpInTail;
  assign is_out1 = op_i.kind == slotwire_pkg::OpOutHead;
  assign in_tail1 = is_in1 ? op_i.value : row_i.in_tail;
  assign out_head1 = is_out1 ? op_i.value : row_i.out_head;

  logic                    valid2, queued2, may_send2, drop2, damaged2, crc_bad2, beyond2;
  slotwire_pkg::op_e kind2;
  logic [3:0]              type2;
  logic [15:0]             src_slot2, epoch2, target2, src_port2;
  logic [7:0]              cause2;
  logic [9:0]              lines2;
  logic [31:0]             now2, value2, ack2, src_ip2;
  slotwire_pkg::slot_row_t row2;
  slotwire_pkg::link_row_t link2;
  logic [16:0]             in_size2, out_size2, in_room2, out_free2;
  logic [31:0]             in_used2, out_used2, acked2, stale2, known2, ahead2, moved2, waiting2, window2, flight2, high2, told2;
  logic [31:0]             reach2, told_room2, full_limit2, new_limit2, gain2, ack_sent2, tx_left2, ack_left2;
  logic [3:0]              backoff2;
  logic                    sound2, at_limit2;

  always_ff @(posedge clk_i) begin
    valid2 <= rst_ni && valid_i;
    kind2 <= op_i.kind;
    row2 <= row_i;
    queued2 <= queued_i;
    link2 <= link_i;
    now2 <= now_i;
    may_send2 <= op_i.may_send;
    value2 <= op_i.value;
    cause2 <= op_i.cause;
    target2 <= target_i;
    drop2 <= op_i.drop;
    damaged2 <= op_i.damaged;
    crc_bad2 <= crc_bad_i;
    type2 <= op_i.frame_type;
    beyond2 <= op_i.beyond;
    src_slot2 <= op_i.src_slot;
    epoch2 <= op_i.epoch;
    ack2 <= op_i.ack;
    lines2 <= op_i.lines;
    src_ip2 <= op_i.src_ip;
    src_port2 <= op_i.src_port;

    in_size2 <= in_size1;
    out_size2 <= out_size1;
    in_used2 <= row_i.in_tail - row_i.in_head;
    out_used2 <= row_i.out_tail - row_i.out_head;
    in_room2 <= in_size1 + row_i.in_head[16:0] - row_i.in_tail[16:0];
    out_free2 <= out_size1 + row_i.out_head[16:0] - row_i.out_tail[16:0];
    acked2 <= op_i.ack - row_i.in_head;
    stale2 <= row_i.in_head - op_i.ack;
    known2 <= row_i.out_tail - op_i.value;
    ahead2 <= op_i.value - row_i.out_tail;
    moved2 <= op_i.value - (is_out1 ? row_i.out_head : row_i.in_tail);
    waiting2 <= in_tail1 - row_i.sent;
    window2 <= row_i.limit - row_i.sent;
    flight2 <= row_i.sent - row_i.in_head;
    high2 <= row_i.high - row_i.sent;
    told2 <= row_i.out_tail - row_i.told_ack;
    reach2 <= op_i.value + 32'(op_i.lines) - row_i.told_ack;  // lines not told of once this frame's are taken
    full_limit2 <= out_head1 + 32'(out_size1);  // out_tail + room = out_head + size
    told_room2 <= out_head1 + 32'(out_size1) - row_i.told_limit;
    new_limit2 <= op_i.ack + 32'(op_i.credit);
    gain2 <= op_i.ack + 32'(op_i.credit) - row_i.limit;
    ack_sent2 <= op_i.ack - row_i.sent;
    tx_left2 <= row_i.tx_deadline - now_i;
    ack_left2 <= row_i.ack_deadline - now_i;
    at_limit2 <= row_i.limit == row_i.in_head;
    // A timeout doubles before the timer starts anew (R9).
    backoff2 <= (op_i.kind == slotwire_pkg::OpTimer && row_i.backoff != 8'd15) ? row_i.backoff[3:0] + 4'd1 : row_i.backoff[3:0];
    sound2 <= row_i.in_order <= 8'(MaxOrder) && row_i.out_order <= 8'(MaxOrder) && 32'(row_i.link) < Links;
  end

  // ---- stage 2: decisions -------------------------------------------------------------------------------------------------

  logic bound2, member2;
  assign bound2 = row2.state == Bound;
  assign member2 = row2.link == target2 && row2.state != Free;

  // The timeout with its doublings, and without.
  logic [46:0] doubled2;
  logic [31:0] timeout2;
  assign doubled2 = 47'(link2.rto_us) << backoff2;
  assign timeout2 = (doubled2 > 47'(link2.rto_max_us)) ? link2.rto_max_us : doubled2[31:0];

  // What a data frame could carry (R4).
  logic window_open2, waiting_few2, window_few2, sendable2;
  logic [9:0] n2;
  assign window_open2 = !window2[31] && window2 != '0;
  assign waiting_few2 = waiting2 < 32'(link2.lines_per_frame);
  assign window_few2 = window2 < 32'(link2.lines_per_frame);
  assign sendable2 = window_open2 && waiting2 != '0;
  always_comb begin
    n2 = link2.lines_per_frame[9:0];
    if (waiting_few2 && window_few2) n2 = (waiting2[9:0] < window2[9:0]) ? waiting2[9:0] : window2[9:0];
    else if (waiting_few2) n2 = waiting2[9:0];
    else if (window_few2) n2 = window2[9:0];
    if (!sendable2) n2 = '0;
  end

  // A received frame: the first check that fails (R2).
  logic refused2, told_again2, in_range2, old_ack2, not_behind2, not_ahead2, elsewhere2;
  logic [7:0] refuse2;
  assign in_range2 = acked2 <= in_used2;
  // Not where the peer can be, nor where it was a ring ago.
  assign old_ack2 = stale2 > 32'(in_size2);
  assign not_behind2 = known2 > 32'(out_size2);
  assign not_ahead2 = ahead2 > 32'(out_size2);
  assign elsewhere2 = (!in_range2 && old_ack2) || (not_behind2 && not_ahead2);
  always_comb begin
    refused2 = 1'b1;
    told_again2 = 1'b0;
    refuse2 = cause2;
    if (drop2) begin
      refuse2 = cause2;
    end else if (crc_bad2) begin
      refuse2 = 8'(slotwire_pkg::CounterDropCrc);
    end else if (beyond2) begin
      refuse2 = 8'(slotwire_pkg::CounterDropSlot);
    end else if (row2.state == Free) begin
      refuse2 = 8'(slotwire_pkg::CounterDropUnbound);
    end else if (src_ip2 != link2.peer_ip || src_port2 != link2.peer_port) begin
      refuse2 = 8'(slotwire_pkg::CounterDropLink);
    end else if (src_slot2 != row2.peer_slot) begin
      refuse2 = 8'(slotwire_pkg::CounterDropPeerSlot);
    end else if (epoch2 != row2.epoch) begin
      refuse2 = 8'(slotwire_pkg::CounterDropEpoch);
    end else if (!bound2) begin
      refuse2 = 8'(slotwire_pkg::CounterDropFaulted);
      told_again2 = row2.state == Faulted && type2 != ResetFrame;
    end else if (elsewhere2) begin
      refuse2 = 8'(slotwire_pkg::CounterDropPosition);
    end else begin
      refused2 = 1'b0;
    end
  end

  // Its lines (R3).
  logic gap2, duplicate2, overrun2;
  assign gap2 = known2[31] && known2[30:0] != '0;
  assign duplicate2 = known2 >= 32'(lines2);
  assign overrun2 = 18'(lines2) > 18'(out_free2) + 18'(known2[16:0]);

  // Process marks (R10).
  logic in_fault2, out_fault2;
  assign in_fault2 = moved2 > 32'(in_room2);
  assign out_fault2 = moved2 > out_used2;

  logic [31:0] quarter2;
  assign quarter2 = (row2.out_order < 8'd2) ? 32'd1 : 32'(out_size2[16:2]);

  logic                    valid3, queued3, may_send3, bound3, member3, sound3, at_limit3;
  slotwire_pkg::op_e kind3;
  logic [3:0]              type3;
  logic [7:0]              cause3, refuse3;
  logic [9:0]              n3, fresh3, skip3;
  logic [31:0]             now3, value3, ack3, timeout3, full_limit3, new_limit3, high3;
  slotwire_pkg::slot_row_t row3;
  slotwire_pkg::link_row_t link3;
  logic [16:0]             out_free3;
  logic                    refused3, damaged3, told_again3, acked3, all_acked3, in_range3, gained3, sent_before3, sent_at3;
  logic                    behind3, waits3, gap3, duplicate3, overrun3, in_fault3, out_fault3, moved3, update3, n_all3;
  logic                    flying3, unacked3, tx_due3, ack_due3, told_differs3, reached3, window_more3, sized3;

  always_ff @(posedge clk_i) begin
    valid3 <= rst_ni && valid2;
    kind3 <= kind2;
    type3 <= type2;
    row3 <= row2;
    queued3 <= queued2;
    link3 <= link2;
    now3 <= now2;
    may_send3 <= may_send2;
    value3 <= value2;
    ack3 <= ack2;
    cause3 <= cause2;
    bound3 <= bound2;
    member3 <= member2;
    timeout3 <= timeout2;
    full_limit3 <= full_limit2;
    new_limit3 <= new_limit2;
    high3 <= high2;
    out_free3 <= out_free2;
    sound3 <= sound2;
    sized3 <= in_used2 <= 32'(in_size2) && out_used2 <= 32'(out_size2);
    at_limit3 <= at_limit2;
    // Sending.
    n3 <= n2;
    n_all3 <= 32'(n2) == waiting2;
    window_more3 <= window_open2 && window2 > 32'(n2);
    // Receiving.
    refused3 <= refused2;
    damaged3 <= damaged2;
    refuse3 <= refuse2;
    told_again3 <= told_again2;
    in_range3 <= in_range2;
    acked3 <= in_range2 && acked2 != '0;
    all_acked3 <= acked2 == in_used2;
    gained3 <= in_range2 && !gain2[31] && gain2 != '0;
    sent_before3 <= !ack_sent2[31] && ack_sent2 != '0;  // ack is later than sent
    sent_at3 <= ack_sent2 == '0;
    behind3 <= ack_sent2[31];  // ack is before sent
    waits3 <= waiting2 != '0;
    gap3 <= gap2;
    duplicate3 <= duplicate2;
    overrun3 <= overrun2;
    fresh3 <= lines2 - known2[9:0];
    skip3 <= known2[9:0];
    // Marks and timers.
    in_fault3 <= in_fault2;
    out_fault3 <= out_fault2;
    moved3 <= moved2 != '0;
    update3 <= told_room2 >= quarter2;
    reached3 <= reach2 >= quarter2;
    told_differs3 <= told2 != '0 || told_room2 != '0;
    flying3 <= flight2 != '0;
    unacked3 <= in_used2 != '0;
    tx_due3 <= tx_left2[31] || tx_left2 == '0;
    ack_due3 <= ack_left2[31] || ack_left2 == '0;
  end

  // ---- stage 3: the new row -----------------------------------------------------------------------------------------------

  logic taken3, data3, lines3, tx_turn3, sends3, send_data3;
  slotwire_pkg::frame_type_e send_type3;
  assign taken3 = kind3 == slotwire_pkg::OpRx && !refused3;
  assign data3 = taken3 && type3 == Data;
  assign lines3 = data3 && !gap3 && !duplicate3 && !overrun3;

  // Whose turn it is, and with what (R4). A doorbell may be followed by its frame at once.
  logic rings3;
  assign rings3 = kind3 == slotwire_pkg::OpInTail && bound3 && !in_fault3 && moved3;
  assign tx_turn3 = kind3 == slotwire_pkg::OpTx || (rings3 && may_send3);
  always_comb begin
    sends3 = 1'b0;
    send_type3 = Ack;
    if (tx_turn3 && link3.up[0]) begin
      if (!bound3) begin
        sends3 = row3.flags[ResetNow];
        send_type3 = ResetFrame;
      end else if (row3.flags[NakNow]) begin
        sends3 = 1'b1;
        send_type3 = Nak;
      end else if (n3 != '0) begin
        sends3 = 1'b1;
        send_type3 = Data;
      end else if (row3.flags[ProbeNow]) begin
        sends3 = 1'b1;
        send_type3 = Probe;
      end else begin
        sends3 = row3.flags[AckNow];
        send_type3 = Ack;
      end
    end
  end
  assign send_data3 = sends3 && send_type3 == Data;

  logic                    start_tx, stop_tx, forget_backoff, ready, stop, stop_reset, write, head, tail;
  logic                    go_back, to_ack;
  logic [7:0]              flags, stop_cause;
  logic [31:0]             sent_n, again_high;
  logic                    again_later, high_moves;
  logic [9:0]              again;
  slotwire_pkg::slot_row_t row;
  logic [N-1:0]            count;

  assign sent_n = row3.sent + 32'(n3);
  assign again_high = 32'(n3) - high3;
  assign high_moves = !again_high[31] && again_high != '0;  // sent + n is later than high
  assign again_later = !high3[31] && high3 != '0;  // high is later than sent
  assign again = !again_later ? '0 : (high3 < 32'(n3)) ? high3[9:0] : n3;

  always_comb begin
    row = row3;
    flags = row3.flags;
    start_tx = 1'b0;
    stop_tx = 1'b0;
    forget_backoff = 1'b0;
    ready = 1'b0;
    stop = 1'b0;
    stop_reset = 1'b0;
    stop_cause = cause3;
    write = 1'b0;
    head = 1'b0;
    tail = 1'b0;
    go_back = 1'b0;
    to_ack = 1'b0;
    count = '0;

    if (kind3 == slotwire_pkg::OpInTail && bound3) begin
      write = 1'b1;
      if (in_fault3) begin
        stop = 1'b1;
        stop_cause = 8'(slotwire_pkg::FaultInTail);
        count[5'(slotwire_pkg::CounterFaultInTail)] = 1'b1;
      end else if (moved3) begin
        row.in_tail = value3;
        start_tx = !row3.flags[TxTimer];
        ready = 1'b1;
      end
    end

    if (kind3 == slotwire_pkg::OpOutHead && bound3) begin
      write = 1'b1;
      if (out_fault3) begin
        stop = 1'b1;
        stop_cause = 8'(slotwire_pkg::FaultOutHead);
        count[5'(slotwire_pkg::CounterFaultOutHead)] = 1'b1;
      end else if (moved3) begin
        row.out_head = value3;
        if (update3) begin
          flags[AckNow] = 1'b1;
          ready = 1'b1;
        end
      end
    end

    if (kind3 == slotwire_pkg::OpRx) begin
      write = 1'b1;
      if (refused3) begin
        write = told_again3;
        if (!damaged3) count[refuse3[4:0]] = 1'b1;
        if (told_again3) begin
          flags[ResetNow] = 1'b1;
          ready = 1'b1;
        end
      end else if (type3 == ResetFrame) begin
        count[5'(slotwire_pkg::CounterRxResets)] = 1'b1;
        stop = 1'b1;
        stop_reset = 1'b1;
        stop_cause = 8'(slotwire_pkg::FaultPeerReset);
      end else begin
        count[5'(slotwire_pkg::CounterRxFrames)] = 1'b1;
        // R5
        if (acked3) begin
          row.in_head = ack3;
          head = 1'b1;
          to_ack = sent_before3;
          forget_backoff = 1'b1;
          if (all_acked3) stop_tx = 1'b1;
          else start_tx = 1'b1;
        end
        if (gained3) begin
          row.limit = new_limit3;
          if (sent_before3 ? !all_acked3 : waits3) begin
            ready = 1'b1;
            if (sent_before3 || sent_at3) begin
              forget_backoff = 1'b1;
              start_tx = 1'b1;
              stop_tx = 1'b0;
            end
          end
        end
        case (type3)
          Data: begin
            if (gap3) begin
              count[5'(slotwire_pkg::CounterDropGap)] = 1'b1;
              if (!row3.flags[NakSent]) begin
                flags[NakNow] = 1'b1;
                flags[NakSent] = 1'b1;
                ready = 1'b1;
              end
            end else if (duplicate3) begin
              count[5'(slotwire_pkg::CounterDropDuplicate)] = 1'b1;
              flags[NakSent] = 1'b0;
              flags[AckNow] = 1'b1;
              ready = 1'b1;
            end else if (overrun3) begin
              count[5'(slotwire_pkg::CounterDropOverrun)] = 1'b1;
              flags[AckNow] = 1'b1;
              ready = 1'b1;
            end else begin
              row.out_tail = row3.out_tail + 32'(fresh3);
              count[5'(slotwire_pkg::CounterRxLines)] = 1'b1;
              flags[NakSent] = 1'b0;
              flags[NakNow] = 1'b0;
              // R6
              if (reached3) begin
                flags[AckNow] = 1'b1;
                ready = 1'b1;
              end else if (!row3.flags[AckTimer]) begin
                flags[AckTimer] = 1'b1;
                row.ack_deadline = now3 + link3.ack_delay_us;
              end
            end
          end
          Ack: count[5'(slotwire_pkg::CounterRxAcks)] = 1'b1;
          Nak: begin
            count[5'(slotwire_pkg::CounterRxNaks)] = 1'b1;
            if (in_range3 && behind3) begin
              to_ack = 1'b1;
              ready = 1'b1;
            end
          end
          default: begin
            count[5'(slotwire_pkg::CounterRxProbes)] = 1'b1;
            flags[AckNow] = 1'b1;
            ready = 1'b1;
          end
        endcase
      end
    end

    if (kind3 == slotwire_pkg::OpTimer && (row3.flags[TxTimer] || row3.flags[AckTimer])) begin
      write = 1'b1;
      if (!link3.up[0]) begin
        flags[TxTimer] = 1'b0;
        flags[AckTimer] = 1'b0;
      end else begin
        if (row3.flags[AckTimer] && ack_due3) begin
          flags[AckTimer] = 1'b0;
          flags[AckNow] = 1'b1;
          ready = 1'b1;
        end
        if (row3.flags[TxTimer] && tx_due3) begin
          count[5'(slotwire_pkg::CounterTimeouts)] = 1'b1;
          if (flying3) go_back = 1'b1;
          else flags[ProbeNow] = 1'b1;
          row.backoff = (row3.backoff < 8'd15) ? row3.backoff + 8'd1 : row3.backoff;
          start_tx = 1'b1;
          ready = 1'b1;
        end
      end
    end

    if (kind3 == slotwire_pkg::OpLinkUp && member3) begin
      write = 1'b1;
      if (bound3) begin
        go_back = 1'b1;
        forget_backoff = 1'b1;
        flags[NakSent] = 1'b0;
        if (told_differs3) flags[AckNow] = 1'b1;
        if (unacked3) begin
          if (at_limit3) flags[ProbeNow] = 1'b1;
          start_tx = 1'b1;
        end
        ready = 1'b1;
      end else begin
        ready = row3.flags[ResetNow];
      end
    end

    if (kind3 == slotwire_pkg::OpLinkDown && member3) begin
      write = 1'b1;
      flags[TxTimer] = 1'b0;
      flags[AckTimer] = 1'b0;
    end

    if (kind3 == slotwire_pkg::OpFault && bound3) begin
      write = 1'b1;
      stop = 1'b1;
    end

    // R8: nobody was told of the lines that memory refused, nor of those behind them.
    if (kind3 == slotwire_pkg::OpRefused && row3.state != Free) begin
      write = 1'b1;
      row.out_tail = value3;
      head = 1'b1;
      tail = 1'b1;
      stop = bound3;
    end

    if (kind3 == slotwire_pkg::OpInit) begin
      write = 1'b1;
      row.state = Free;
      flags = '0;
    end

    if (kind3 == slotwire_pkg::OpWrite) begin
      write = 1'b1;
      flags = '0;
      go_back = row3.state != Free;  // A stopped slot tells its peer from where it can be.
      if (bound3) begin
        head = 1'b1;
        tail = 1'b1;
        row.fault = '0;
        row.backoff = '0;
        row.high = row3.in_head;
        row.tx_deadline = '0;
        row.ack_deadline = '0;
        row.told_ack = row3.out_tail;
        row.told_limit = full_limit3;
        forget_backoff = 1'b1;
        if (!sound3 || !sized3) begin  // R9: a row that cannot be; nobody can be told
          row.in_order = '0;
          row.out_order = '0;
          row.link = '0;
          row.state = Faulted;
          row.fault = 8'(slotwire_pkg::FaultMemory);
        end else begin
          flags[ProbeNow] = at_limit3;
          start_tx = unacked3;
          ready = at_limit3 || unacked3;
        end
      end
    end

    // The turn to send (R4).
    if (tx_turn3) begin
      write = 1'b1;
      ready = 1'b0;
      if (kind3 == slotwire_pkg::OpInTail && !sends3) ready = 1'b1;  // no turn after all (its link is down): as with any doorbell
      if (sends3) begin
        flags[AckNow] = 1'b0;
        flags[NakNow] = 1'b0;
        flags[AckTimer] = 1'b0;
        if (send_type3 == Data || send_type3 == Probe) flags[ProbeNow] = 1'b0;
        if (send_type3 == ResetFrame) flags[ResetNow] = 1'b0;
        row.told_ack = row3.out_tail;
        row.told_limit = full_limit3;
        if (send_data3) begin
          row.sent = sent_n;
          if (high_moves) row.high = sent_n;
          if (!row3.flags[TxTimer]) start_tx = 1'b1;
        end
        // Is there more to send.
        if (bound3) ready = (send_data3 ? (!n_all3 && window_more3) : n3 != '0) || flags[ProbeNow];
        count[5'(slotwire_pkg::CounterTxFrames)] = 1'b1;
        case (send_type3)
          Data: begin
            count[5'(slotwire_pkg::CounterTxLines)] = 1'b1;
            count[5'(slotwire_pkg::CounterTxLinesAgain)] = 1'b1;
          end
          Ack: count[5'(slotwire_pkg::CounterTxAcks)] = 1'b1;
          Nak: count[5'(slotwire_pkg::CounterTxNaks)] = 1'b1;
          Probe: count[5'(slotwire_pkg::CounterTxProbes)] = 1'b1;
          default: count[5'(slotwire_pkg::CounterTxResets)] = 1'b1;
        endcase
      end
    end

    if (to_ack) row.sent = ack3;
    if (go_back) row.sent = row3.in_head;
    if (forget_backoff) row.backoff = '0;
    if (start_tx) begin
      flags[TxTimer] = 1'b1;
      row.tx_deadline = now3 + (forget_backoff ? link3.rto_us : timeout3);
    end
    if (stop_tx) flags[TxTimer] = 1'b0;
    if (stop) begin  // R8
      flags = '0;
      flags[ResetNow] = !stop_reset;
      row.state = stop_reset ? Reset : Faulted;
      row.fault = stop_cause;
      ready = !stop_reset;
    end
    row.flags = flags;
  end

  // A reset of a single clock ends what is under way as well.
  logic live3;
  assign live3 = rst_ni && valid3;

  always_ff @(posedge clk_i) begin
    valid_o <= live3;
    kind_o <= kind3;
    write_o <= live3 && (write || kind3 == slotwire_pkg::OpTx);
    row_o <= row;
    link_o <= link3;
    push_o <= live3 && ready && (!queued3 || kind3 == slotwire_pkg::OpTx) && kind3 != slotwire_pkg::OpInit;
    queued_o <= (kind3 == slotwire_pkg::OpTx) ? ready : (kind3 == slotwire_pkg::OpInit) ? 1'b0 : (queued3 || ready);
    tx_o <= live3 && sends3;
    tx_head_o.frame_type <= send_type3;
    tx_head_o.lines <= send_data3 ? n3 : '0;
    tx_head_o.seq <= row3.sent;
    tx_head_o.ack <= row3.out_tail;
    tx_head_o.credit <= out_free3[15:0];
    rx_o <= live3 && kind3 == slotwire_pkg::OpRx;
    rx_lines_o.skip <= lines3 ? skip3 : '0;
    rx_lines_o.take <= lines3 ? fresh3 : '0;
    rx_lines_o.at <= row3.out_tail;
    pub_head_o <= live3 && head;
    pub_tail_o <= live3 && tail;
    event_o <= live3 && (stop || (kind3 == slotwire_pkg::OpWrite && bound3 && (!sound3 || !sized3)));
    count_o <= live3 ? count : '0;
    count_again_o <= send_data3 ? again : '0;
  end

  // Row fields, link fields and decoded bits that no rule looks at.
  logic unused;
  assign unused = &{1'b0, op_i.slot, op_i.ctl, link3.reserved, link3.reserved_end, link3.up[7:1], link3.lines_per_frame[15:10],
                    refuse3[7:5], out_free3[16]};

  // What the queue of ready slots relies on (hw/formal/fv_slotwire_rows.toml): the row of a slot that is ready is written, and a frame is
  // sent only in a slot's turn or right after its doorbell.
  `SW_ASSERT(ReadyIsWritten, !(valid3 && ready) || write || kind3 == slotwire_pkg::OpTx)
  `SW_ASSERT(FrameIsItsTurns, !(valid3 && sends3) || tx_turn3)
`ifndef FV_SLOTWIRE_ROWS  // There the table's contents are free.
  // Differences of positions are ordered by their top bit: marks are within a ring, and the longest ring has 2^15 lines.
  `SW_ASSERT(RingsAreShort, !(valid3 && bound3) || kind3 == slotwire_pkg::OpWrite || (row3.in_order <= 8'd15 && row3.out_order <= 8'd15))
  `SW_ASSERT(MarksAreWithinARing, !(valid3 && bound3) || kind3 == slotwire_pkg::OpWrite || sized3)
`endif
`ifndef FORMAL  // In a proof the table's contents are free, or positions narrow (fv_link asserts the first one itself).
  // The same for what is sent, and for the window: a frame moves it by 16 bits at most, and it is never behind what was released.
  `SW_ASSERT(SentIsBetween, !(valid3 && bound3) || kind3 == slotwire_pkg::OpWrite || row3.sent - row3.in_head <= row3.in_tail - row3.in_head)
  `SW_ASSERT(WindowIsNear, !(valid3 && bound3) || kind3 == slotwire_pkg::OpWrite || row3.limit - row3.in_head <= 32'h0001_7fff)
  // `high` only counts; it stays behind by what a peer acknowledges that was never sent.
  `SW_ASSERT(HighIsNear, !(valid3 && bound3) || kind3 == slotwire_pkg::OpWrite || !(high3[31] ^ high3[30]))
  // A difference of times is ordered by its top bit, so no timeout may be half the circle of the clock.
  `SW_ASSUME(TimeoutsAreShort, !(valid3 && link3.up[0]) || !(timeout3[31] || link3.rto_us[31] || link3.ack_delay_us[31]))
`endif

endmodule
