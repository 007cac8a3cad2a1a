// Put into slotwire_rows for its own proof: what holds of the queue of ready slots and of the turns.
//
// One slot, chosen by the tool, is followed; every slot may be the chosen one.
// Whether it stands in the queue tells fv_ready_queue, which stands for the FIFO here.

// At most once in the queue: so there is always room for it, and as the queue is a FIFO (fv_sw_fifo, fv_sw_fifo_ram), at most
// Slots - 1 turns of others come before its own.
`SW_ASSERT(StandsAtMostOnce, !chosen_twice)
// A slot that is ready stands in the queue: nobody is forgotten.
`SW_ASSERT(ReadySlotIsQueued, !(c5_valid && c5_slot[SlotW-1:0] == chosen && new_queued) || push || chosen_stands)

// Why: what an operation of the chosen slot knows of the queue is true at every stage, and the table's bit is true when there is
// none. (They help the tool; the pipeline of the rules is followed by fv_known.)
logic [4:0] fv_mine, fv_turn;  // The chosen slot's operation at clocks 1 to 5; it is its turn to send.
logic [2:0] fv_kind_tx_q;
logic fv_known3_q, fv_known4_q, fv_init_done, fv_init3_q, fv_init4_q, fv_init5_q, fv_init_on_way;
assign fv_mine = {c5_valid && c5_slot[SlotW-1:0] == chosen, c4_valid_q && c4_slot_q[SlotW-1:0] == chosen,
                  c3_valid_q && c3_slot_q[SlotW-1:0] == chosen, c2_valid_q && c2_q.slot[SlotW-1:0] == chosen,
                  c1_valid_q && c1_q.slot[SlotW-1:0] == chosen};
assign fv_turn = {fv_kind_tx_q, c2_q.kind == slotwire_pkg::OpTx, c1_q.kind == slotwire_pkg::OpTx} & fv_mine;
always_ff @(posedge clk_i) begin
  fv_kind_tx_q <= {fv_kind_tx_q[1:0], c2_q.kind == slotwire_pkg::OpTx};
  fv_known3_q <= read_row[512];
  fv_known4_q <= fv_known3_q;
  fv_init3_q <= c2_q.kind == slotwire_pkg::OpInit;
  fv_init4_q <= fv_init3_q;
  fv_init5_q <= fv_init4_q;
end
assign fv_init_on_way = (slow_valid_q && slow_kind_q == slotwire_pkg::OpInit && slow_slot_q[SlotW-1:0] == chosen) ||
                        (fv_mine[0] && c1_q.kind == slotwire_pkg::OpInit) || (fv_mine[1] && c2_q.kind == slotwire_pkg::OpInit) ||
                        (fv_mine[2] && fv_init3_q) || (fv_mine[3] && fv_init4_q) || (fv_mine[4] && fv_init5_q);
assign fv_init_done = !init_q || !walk_q || walk_slot_q > chosen;
`SW_ASSERT(OneOperation, (fv_mine & (fv_mine - 5'd1)) == '0)
`SW_ASSERT(TurnHasLeftTheQueue, fv_turn == '0 || !chosen_stands)
`SW_ASSERT(NobodyStandsAtFirst, !init_q || !chosen_stands)
`SW_ASSERT(TableIsTrue, fv_mine != '0 || !fv_init_done || fv_init_on_way || chosen_bit_q == chosen_stands)
`SW_ASSERT(KnownAt1, !fv_mine[0] || fv_turn[0] || c1_q.kind == slotwire_pkg::OpInit || read_bit_q == chosen_stands)
`SW_ASSERT(KnownAt2, !fv_mine[1] || fv_turn[1] || c2_q.kind == slotwire_pkg::OpInit || out_bit_q == chosen_stands)
`SW_ASSERT(KnownAt3, !fv_mine[2] || fv_turn[2] || fv_init3_q || fv_known3_q == chosen_stands)
`SW_ASSERT(KnownAt4, !fv_mine[3] || fv_turn[3] || fv_init4_q || fv_known4_q == chosen_stands)
`SW_ASSERT(KnownAt5, !fv_mine[4] || new_queued == (push || (chosen_stands && !fv_turn[4])))

// Every source's turn comes.
`SW_ASSERT(OneGrant, (grant & (grant - Sources'(1))) == '0 && (grant & ~request) == '0)

// Clocks that a source waits while nothing but other operations is in its way, at most.
localparam int unsigned MostClocks = 24;
logic [5:0] fv_rx_wait_q, fv_db_wait_q, fv_tx_wait_q, fv_slow_wait_q;
logic       fv_rx_may, fv_db_may, fv_tx_may, fv_slow_may;
assign fv_rx_may = rx_valid_i && rx_room && !quiesce && !init_q;
assign fv_db_may = db_valid_i && !quiesce && !init_q;
assign fv_tx_may = ready_valid && tx_room && !quiesce && !init_q;
assign fv_slow_may = slow_valid_q && slow_kind_q != slotwire_pkg::OpTimer;
always_ff @(posedge clk_i) begin
  fv_rx_wait_q <= rst_ni && fv_rx_may && !grant[FromRx] ? fv_rx_wait_q + 6'd1 : '0;
  fv_db_wait_q <= rst_ni && fv_db_may && !grant[FromDoorbell] ? fv_db_wait_q + 6'd1 : '0;
  fv_tx_wait_q <= rst_ni && fv_tx_may && !grant[FromTx] ? fv_tx_wait_q + 6'd1 : '0;
  fv_slow_wait_q <= rst_ni && fv_slow_may && !grant[FromSlow] ? fv_slow_wait_q + 6'd1 : '0;
end
`SW_ASSERT(FrameIsTakenInTime, fv_rx_wait_q <= 6'(MostClocks))
`SW_ASSERT(DoorbellIsTakenInTime, fv_db_wait_q <= 6'(MostClocks))
`SW_ASSERT(ReadySlotIsTakenInTime, fv_tx_wait_q <= 6'(MostClocks))
`SW_ASSERT(SlowOneIsTakenInTime, fv_slow_wait_q <= 6'(MostClocks))

// That what is granted finds room for its verdict is not looked at: the room is filled later than a search gets.

`SW_COVER(Waits, chosen_stands && tx_held_q == 4'(TxDepth))
`SW_COVER(TurnAndAgain, push && push_slot == chosen && rule_kind == slotwire_pkg::OpTx)
`SW_COVER(AllSourcesAsk, request == '1)
