#!/usr/bin/env python3
"""Writes a copy of the card's RTL that holds many bugs, each asleep until its number is chosen at the start of a simulation.

    mutate_rtl.py OUTPUT_DIR    writes the modules that have bugs there; fails if a text to be changed is not there exactly once
    mutate_rtl.py --list        one line for each bug: its number and what it is
    mutate_rtl.py --modules     the modules that have bugs

Models with all of them are built once; bug N is an expression that has its wrong value when SLOTWIRE_MUTANT=N. Bug 0 is none.
run_mutants.py runs them.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "hw"))
import sources  # noqa: E402

CLASH = """(c1_valid_q && c1_q.slot[SlotW-1:0] == slot_of[i]) || (c2_valid_q && c2_q.slot[SlotW-1:0] == slot_of[i]) ||
                      (c3_valid_q && c3_slot_q[SlotW-1:0] == slot_of[i]) ||
                      (c4_valid_q && c4_slot_q[SlotW-1:0] == slot_of[i]) ||
                      (c5_valid && c5_slot[SlotW-1:0] == slot_of[i])"""

ROW_MAY_BE_WRITTEN = """
                     (!ctl_write_i || (tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i))"""

TO_CARD = """in.dst_ip == own_ip_i &&
                      in.dst_port == own_port_i && own_port_i != '0 && in.udp_length >= 16'd8 &&
                      """
PORTS = """ipv4 && four.ihl == 4'd5 && (four.fragment & 16'h3fff) == '0 && there[37] &&
                  """
RX_ROOM = """rst_ni && payload_count < CountW'(PayloadLines - 2) && stored_count < 6'(Frames - 2) &&
              """

# (what, file, text, wrong text): texts that differ within one expression; the first stands in the file once.
MUTANTS = [
    ("a doorbell never starts the timer", "slotwire_rules", "start_tx = !row3.flags[TxTimer];", "start_tx = 1'b0;"),
    ("IN_TAIL may be one ring too far ahead", "slotwire_rules", "assign in_fault2 = moved2 > 32'(in_room2);", "assign in_fault2 = moved2 > 32'(in_room2) + 32'(in_size2);"),
    ("OUT_HEAD may pass OUT_TAIL by one", "slotwire_rules", "assign out_fault2 = moved2 > out_used2;", "assign out_fault2 = moved2 > out_used2 + 32'd1;"),
    ("a window update comes at half a ring", "slotwire_rules", "update3 <= told_room2 >= quarter2;", "update3 <= told_room2 >= quarter2 + quarter2;"),
    ("lines are acknowledged one late", "slotwire_rules", "reached3 <= reach2 >= quarter2;", "reached3 <= reach2 > quarter2;"),
    ("a quarter of a ring counts as its half", "slotwire_rules", "32'd1 : 32'(out_size2[16:2]);", "32'd1 : 32'(out_size2[16:1]);"),
    ("a frame of another link is taken", "slotwire_rules", "src_ip2 != link2.peer_ip || src_port2 != link2.peer_port", "src_port2 != link2.peer_port"),
    ("a frame of another slot is taken", "slotwire_rules", "end else if (src_slot2 != row2.peer_slot) begin", "end else if (1'b0) begin"),
    ("a frame of another epoch is taken", "slotwire_rules", "end else if (epoch2 != row2.epoch) begin", "end else if (epoch2[7:0] != row2.epoch[7:0]) begin"),
    ("acknowledgements of what was never sent are taken", "slotwire_rules", "(!in_range2 && old_ack2) ||", "(!in_range2 && old_ack2 && acked2[31]) ||"),
    ("an acknowledgement from more than a ring ago is taken", "slotwire_rules", "assign old_ack2 = stale2 > 32'(in_size2);", "assign old_ack2 = stale2 > 32'(in_size2) + 32'd1;"),
    ("frames from far ahead are taken", "slotwire_rules", "assign not_ahead2 = ahead2 > 32'(out_size2);", "assign not_ahead2 = ahead2 > 32'(out_size2) + 32'd1;"),
    ("frames from far behind are taken", "slotwire_rules", "assign not_behind2 = known2 > 32'(out_size2);", "assign not_behind2 = known2 > 32'(out_size2) + 32'd1;"),
    ("gaps of sixteen lines are not seen", "slotwire_rules", "assign gap2 = known2[31] && known2[30:0] != '0;", "assign gap2 = known2[31] && known2[3:0] != '0;"),
    ("a duplicate of exactly all lines counts as new", "slotwire_rules", "assign duplicate2 = known2 >= 32'(lines2);", "assign duplicate2 = known2 > 32'(lines2);"),
    ("one line too many is no overrun", "slotwire_rules", "assign overrun2 = 18'(lines2) > 18'(out_free2) + 18'(known2[16:0]);", "assign overrun2 = 18'(lines2) > 18'(out_free2) + 18'(known2[16:0]) + 18'd1;"),
    ("known lines are not skipped", "slotwire_rules", "skip3 <= known2[9:0];", "skip3 <= '0;"),
    ("a second NAK for one gap", "slotwire_rules", "if (!row3.flags[NakSent]) begin", "if (1'b1) begin"),
    ("a duplicate leaves the gap as it was", "slotwire_rules", "              count[5'(slotwire_pkg::CounterDropDuplicate)] = 1'b1;\n              flags[NakSent] = 1'b0;", "              count[5'(slotwire_pkg::CounterDropDuplicate)] = 1'b1;\n              flags[NakSent] = row3.flags[NakSent];"),
    ("the window also shrinks", "slotwire_rules", "gained3 <= in_range2 && !gain2[31] && gain2 != '0;", "gained3 <= in_range2 && gain2 != '0;"),
    ("released lines leave the timer as it runs", "slotwire_rules", "          if (all_acked3) stop_tx = 1'b1;\n          else start_tx = 1'b1;", "          if (all_acked3) stop_tx = 1'b1;\n          else start_tx = 1'b0;"),
    ("backoff stays when lines are released", "slotwire_rules", "          to_ack = sent_before3;\n          forget_backoff = 1'b1;", "          to_ack = sent_before3;\n          forget_backoff = 1'b0;"),
    ("sent is left behind the released lines", "slotwire_rules", "to_ack = sent_before3;", "to_ack = 1'b0;"),
    ("a NAK goes back and gets no turn", "slotwire_rules", "              to_ack = 1'b1;\n              ready = 1'b1;", "              to_ack = 1'b1;\n              ready = 1'b0;"),
    ("no limit to the doubling", "slotwire_rules", "assign timeout2 = (doubled2 > 47'(link2.rto_max_us)) ? link2.rto_max_us : doubled2[31:0];", "assign timeout2 = doubled2[31:0];"),
    ("a timer that is just due waits", "slotwire_rules", "tx_due3 <= tx_left2[31] || tx_left2 == '0;", "tx_due3 <= tx_left2[31];"),
    ("an acknowledgement that is just due waits", "slotwire_rules", "ack_due3 <= ack_left2[31] || ack_left2 == '0;", "ack_due3 <= ack_left2[31];"),
    ("a link that comes up asks for no window", "slotwire_rules", "          if (at_limit3) flags[ProbeNow] = 1'b1;\n          start_tx = 1'b1;", "          if (at_limit3) flags[ProbeNow] = row3.flags[ProbeNow];\n          start_tx = 1'b1;"),
    ("a link that comes up tells nothing", "slotwire_rules", "told_differs3 <= told2 != '0 || told_room2 != '0;", "told_differs3 <= told2 != '0;"),
    ("a link that comes up wakes all slots", "slotwire_rules", "assign member2 = row2.link == target2 && row2.state != Free;", "assign member2 = row2.state != Free;"),
    ("a NAK also answers for a probe", "slotwire_rules", "if (send_type3 == Data || send_type3 == Probe) flags[ProbeNow] = 1'b0;", "if (send_type3 == Data || send_type3 == Probe || send_type3 == Nak) flags[ProbeNow] = 1'b0;"),
    ("the timer of acknowledgements runs on", "slotwire_rules", "        flags[NakNow] = 1'b0;\n        flags[AckTimer] = 1'b0;", "        flags[NakNow] = 1'b0;\n        flags[AckTimer] = row3.flags[AckTimer];"),
    ("lines sent again are not told from new ones", "slotwire_rules", "assign again_later = !high3[31] && high3 != '0;", "assign again_later = 1'b0;"),
    ("a slot with more to send loses its turn", "slotwire_rules", "(send_data3 ? (!n_all3 && window_more3) : n3 != '0)", "(send_data3 ? 1'b0 : n3 != '0)"),
    ("a frame is one line short of the link's most", "slotwire_rules", "n2 = link2.lines_per_frame[9:0];", "n2 = link2.lines_per_frame[9:0] - 10'd1;"),
    ("a faulted slot is not told of again", "slotwire_rules", "told_again2 = row2.state == Faulted && type2 != ResetFrame;", "told_again2 = 1'b0;"),
    ("the ring does not wrap when it is sent", "slotwire_tx", "assign mask = ~(32'hffff_ffff << order);", "assign mask = ~(32'hffff_fffe << order);"),
    ("the last line is not in the CRC", "slotwire_tx", "assign state = job.head.lines == '0 ? header_crc : stepped ^ line_crc;", "assign state = job.head.lines == '0 ? header_crc : last ? stepped : stepped ^ line_crc;"),
    ("the IPv4 checksum counts a byte too many", "slotwire_tx", "assign sum = ip_sum + 20'd50", "assign sum = ip_sum + 20'd51"),
    ("the CRC of a received frame is not looked at", "slotwire_rx", ".wdata_i(state != expected_q)", ".wdata_i(1'b0)"),
    ("a frame of half a line is taken", "slotwire_rx", "payload_bytes_q[5:0] != '0 ||", "payload_bytes_q[4:0] != '0 ||"),
    ("a fifth frame type is taken", "slotwire_rx", "link.frame_type > 4'(slotwire_pkg::FrameTypeReset)", "link.frame_type > 4'd5"),
    ("the card answers for its neighbour's address", "slotwire_rx", "in.dst_ip == own_ip_i &&", "in.dst_ip[31:1] == own_ip_i[31:1] &&"),
    ("the ring does not wrap when it is received", "slotwire_writer", "assign mask = ~(32'hffff_ffff << order);", "assign mask = ~(32'hffff_fffe << order);"),
    ("OUT_TAIL is shown before its lines are in memory", "slotwire_writer", ".begun_i(issued_i)", ".begun_i(done_i)"),
    ("a doorbell overtakes the lines before it", "slotwire_host", ".begun_i(issued_i)", ".begun_i(done_i)"),
    ("two operations of one slot at a time", "slotwire_rows", "(c5_valid && c5_slot[SlotW-1:0] == slot_of[i]);", "1'b0;"),
    ("a slot that had its turn is not queued again", "slotwire_rules", "ready && (!queued3 || kind3 == slotwire_pkg::OpTx) && kind3 != slotwire_pkg::OpInit;", "ready && !queued3 && kind3 != slotwire_pkg::OpInit;"),
    ("a register of the sweep goes on through a reset", "slotwire_rows", "      timer_clocks_q <= '0;\n      timer_slot_q <= '0;", "      timer_clocks_q <= timer_clocks_q;\n      timer_slot_q <= '0;"),
    # Flow control and order in the core.
    ("an acknowledgement leaves before its lines are in memory", "slotwire_tx", ".begun_i(received_i)", ".begun_i(written_i)"),
    ("a row is rewritten while its lines are written", "slotwire_rows", "tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i)", "tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && 1'b1 && refused_idle_i && pub_room_i)"),
    ("a row is rewritten while its lines are read", "slotwire_rows", "tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i", "1'b1 && writer_idle_i && refused_idle_i && pub_room_i"),
    ("a row is rewritten while its frames wait to be sent", "slotwire_rows", "(tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i", "(1'b1 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i"),
    ("a row is rewritten while verdicts wait", "slotwire_rows", "tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i", "tx_held_q == '0 && 1'b1 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i"),
    ("the room of the mark queue is ignored", "slotwire_rows", "assign rx_room = rx_held_q != 5'(VerdictDepth) && pub_room_i;", "assign rx_room = rx_held_q != 5'(VerdictDepth) && 1'b1;"),
    ("the room for verdicts is ignored", "slotwire_rows", "rx_held_q != 5'(VerdictDepth) && pub_room_i", "1'b1 && pub_room_i"),
    ("the room for frames is ignored", "slotwire_rows", "assign tx_room = tx_held_q != 4'(TxDepth);", "assign tx_room = 1'b1;"),
    ("a row that waits to be written holds nobody back", "slotwire_rows", "assign quiesce = (ctl_wanted && ctl_write_i) ||", "assign quiesce = (1'b0) ||"),
    ("operations begin between a row's turn and its writing", "slotwire_rows", "(ctl_wanted && ctl_write_i) || (slow_valid_q && slow_kind_q == slotwire_pkg::OpWrite)", "(ctl_wanted && ctl_write_i) || (1'b0)"),
    ("an operation begins a clock after another one of its slot", "slotwire_rows", CLASH, CLASH.replace("(c1_valid_q && c1_q.slot[SlotW-1:0] == slot_of[i])", "(1'b0)")),
    ("an operation begins four clocks after another one of its slot", "slotwire_rows", CLASH, CLASH.replace("(c4_valid_q && c4_slot_q[SlotW-1:0] == slot_of[i])", "(1'b0)")),
    ("a turn without a frame keeps its credit", "slotwire_rows", "tx_held_q - 4'(tx_gone) - 4'(tx_unused)", "tx_held_q - 4'(tx_gone) - 4'(1'b0)"),
    ("a frame after its doorbell takes no credit", "slotwire_rows", "assign may_tx_granted = grant[FromTx] || (grant[FromDoorbell] && fuses);", "assign may_tx_granted = grant[FromTx] || (1'b0);"),
    ("the credit of a verdict comes back before it is taken", "slotwire_rows", "5'(verdict_valid_o && verdict_ready_i)", "5'(verdict_valid_o)"),
    ("a verdict counts only when it is taken", "slotwire_rows", "if (rule_rx) received_q", "if (verdict_valid_o && verdict_ready_i) received_q"),
    ("a new frame overtakes those that wait", "slotwire_rows", "assign tx_job_o = frame_kept_valid ? job_kept : job;", "assign tx_job_o = rule_tx ? job : job_kept;"),
    ("a new verdict overtakes those that wait", "slotwire_rows", "assign verdict_o = verdict_kept_valid ? verdict_kept : verdict;", "assign verdict_o = rule_rx ? verdict : verdict_kept;"),
    ("the room for lines to send is ignored", "slotwire_tx", "assign room = reserved_q != CountW'(PayloadLines);", "assign room = 1'b1;"),
    ("one line more than there is room for is read", "slotwire_tx", "reserved_q != CountW'(PayloadLines)", "reserved_q != CountW'(PayloadLines + 1)"),
    ("the room for headers is ignored", "slotwire_tx", "assign job_free = jobs_held_q != 5'(Jobs);", "assign job_free = 1'b1;"),
    ("a frame does not wait for what it acknowledges", "slotwire_tx", "assign held = !may_leave;", "assign held = 1'b0;"),
    ("lines on their way count as read", "slotwire_tx", "assign reads_idle_o = !more_q && job_count == '0 && !frame_valid_i;", "assign reads_idle_o = !more_q && 1'b1 && !frame_valid_i;"),
    ("a frame without lines keeps the room of one", "slotwire_tx", "- CountW'(payload_pop) - CountW'(rsp_empty)", "- CountW'(payload_pop) - CountW'(1'b0)"),
    ("the room for what is to be told is ignored", "slotwire_writer", "assign able = present && done_room &&", "assign able = present && 1'b1 &&"),
    ("a line is written before it came", "slotwire_writer", "present && done_room && (left == '0 || payload_valid_i)", "present && done_room && (1'b1)"),
    ("a mark is shown one write early", "slotwire_core", ".issued_i(issued_now)", ".issued_i(issued_q)"),
    ("what is not told yet does not count as under way", "slotwire_writer", "!verdict_valid_i && done_count == '0", "!verdict_valid_i && 1'b1"),
    ("a verdict counts as written when its last line goes", "slotwire_writer", "else if (done_pop) written_q", "else if (step && last) written_q"),
    ("marks of lines go before the binding's", "slotwire_marks", "assign bindings_wait = bindings_q != '0;", "assign bindings_wait = 1'b0;"),
    ("the mark queue counts only itself", "slotwire_marks", "assign head_room_o = queue_count <= 6'(Heads - 8);", "assign head_room_o = queue_count != 6'(Heads);"),
    ("a mark is lost when the driver takes a moved slot", "slotwire_marks", "assign queue_pop = !pop && !tail_turn &&", "assign queue_pop = !tail_turn &&"),
    ("a moved slot that was taken is not told of again", "slotwire_marks", "if (init_i || pop || enters) stands", "if (init_i || enters) stands"),
    ("a read of memory passes the writes before it", "slotwire_host", "state_q == StIdle && !behind_q && reads_q", "state_q == StIdle && 1'b1 && reads_q"),
    ("a register answers before memory does", "slotwire_host", "(req_write_i || (quiet && !(to_proxy && binding_i)))", "(req_write_i || (1'b1 && !(to_proxy && binding_i)))"),
    ("marks are read before the binding's are shown", "slotwire_host", "(req_write_i || (quiet && !(to_proxy && binding_i)))", "(req_write_i || (quiet && !(1'b0)))"),
    ("a doorbell FIFO that is full is written", "slotwire_host", "(req_write_i || (quiet && !(to_proxy && binding_i))) &&\n                (!(to_process && req_write_i) || db_room)", "(req_write_i || (quiet && !(to_proxy && binding_i))) &&\n                (1'b1)"),
    ("the host's reads have no limit", "slotwire_host", "!behind_q && reads_q != ($clog2(ReadsMax) + 1)'(ReadsMax)", "!behind_q && reads_q != '1"),
    ("an event is lost without its flag", "slotwire_host", "lost_q <= (event_i && !event_room) || (lost_q && !event_pop);", "lost_q <= (1'b0) || (lost_q && !event_pop);"),
    ("the flag of lost events stays", "slotwire_host", "(event_i && !event_room) || (lost_q && !event_pop)", "(event_i && !event_room) || (lost_q && 1'b1)"),
    ("writes of memory have no limit", "slotwire_core", "< WriteCountW'(WritesMax);", "< WriteCountW'(WritesMax + 64);"),
    ("a read that waits gives way", "slotwire_core", "assign rd_host = rd_hold_q ? rd_hold_host_q :", "assign rd_host = 1'b0 ? rd_hold_host_q :"),
    ("a write that waits gives way", "slotwire_core", "assign wr_host = wr_hold_q ? wr_hold_host_q :", "assign wr_host = 1'b0 ? wr_hold_host_q :"),
    ("the host's writes have no turn", "slotwire_core", "wr_hold_q ? wr_hold_host_q : host_wr_valid && (!rx_wr_valid || wr_turns_q == 2'd3)", "wr_hold_q ? wr_hold_host_q : host_wr_valid && (!rx_wr_valid || 1'b0)"),
    ("the host's reads have no turn", "slotwire_core", "rd_hold_q ? rd_hold_host_q : host_rd_valid && (!tx_rd_valid || rd_turns_q == 3'd7)", "rd_hold_q ? rd_hold_host_q : host_rd_valid && (!tx_rd_valid || 1'b0)"),
    ("the room of the receive payload FIFO is ignored", "slotwire_rx", "room_q <= rst_ni && payload_count < CountW'(PayloadLines - 2) &&", "room_q <= rst_ni && 1'b1 &&"),
    ("the room of the receive payload FIFO is two lines too large", "slotwire_rx", "rst_ni && payload_count < CountW'(PayloadLines - 2) && stored_count", "rst_ni && payload_count < CountW'(PayloadLines) && stored_count"),
    ("the room for received frames is ignored", "slotwire_rx", "rst_ni && payload_count < CountW'(PayloadLines - 2) && stored_count < 6'(Frames - 2) &&", "rst_ni && payload_count < CountW'(PayloadLines - 2) && 1'b1 &&"),
    ("a beat is taken without room", "slotwire_rx", "assign taking = !valid_q || room_q;", "assign taking = 1'b1;"),
    ("an age is compared as long as its thing stays", "sw_fence", "assign may_leave_o = reached || free_q != '0;", "assign may_leave_o = reached;"),
    ("an age counts as reached one event early", "sw_fence", "(ahead == '1 && one_ended_i)", "(ahead == '1)"),
    ("a frame in the merge is cut by another one", "sw_frame_merge", "assign sel = inside_q ? last_q :", "assign sel = 1'b0 ? last_q :"),
    ("a frame that finds no room is stored", "sw_frame_fifo", "(DropWhenFull != 0 ? full : alone)", "(DropWhenFull != 0 ? 1'b0 : alone)"),
    ("a doorbell begins before the walk after a reset has passed", "slotwire_rows", "request[FromDoorbell] = db_valid_i && !quiesce && !init_q;", "request[FromDoorbell] = db_valid_i && !quiesce;"),
    ("a received frame begins before the walk after a reset has passed", "slotwire_rows", "request[FromRx] = rx_valid_i && rx_room && !quiesce && !init_q;", "request[FromRx] = rx_valid_i && rx_room && !quiesce;"),
    ("a frame follows a doorbell of OUT_HEAD", "slotwire_rows", "tx_held_q == '0 && !db_out_head_i;", "tx_held_q == '0 && 1'b1;"),
    ("a frame follows its doorbell while others wait", "slotwire_rows", "tx_held_q == '0 && !db_out_head_i", "1'b1 && !db_out_head_i"),
    ("an operation begins two clocks after another one of its slot", "slotwire_rows", CLASH, CLASH.replace("(c2_valid_q && c2_q.slot[SlotW-1:0] == slot_of[i])", "(1'b0)")),
    ("an operation begins three clocks after another one of its slot", "slotwire_rows", CLASH, CLASH.replace("(c3_valid_q && c3_slot_q[SlotW-1:0] == slot_of[i])", "(1'b0)")),
    ("a frame that does not wait keeps its credit", "slotwire_rows", "assign tx_gone = tx_valid_o && tx_ready_i;", "assign tx_gone = frame_kept_valid && tx_ready_i;"),
    ("a frame is lost when another one leaves", "slotwire_rows", "rule_tx && (frame_kept_valid || !tx_ready_i)),", "rule_tx && !tx_ready_i),"),
    ("a verdict is lost when another one leaves", "slotwire_rows", ".wvalid_i(rule_rx && (verdict_kept_valid || !verdict_ready_i)), .wready_o(verdict_room)", ".wvalid_i(rule_rx && !verdict_ready_i), .wready_o(verdict_room)"),
    ("the CRC's verdict is taken a clock early", "slotwire_rows", "assign crc_pop_o = c2_valid_q && c2_q.kind == slotwire_pkg::OpRx;", "assign crc_pop_o = c1_valid_q && c1_q.kind == slotwire_pkg::OpRx;"),
    ("a link's row from before the reset counts", "slotwire_rows", "assign link = link_known_q[link_addr] ? links[link_addr] : '0;", "assign link = links[link_addr];"),
    ("the driver's access of a row is done twice", "slotwire_rows", "assign ctl_wanted = ctl_valid_i && !ctl_busy_q;", "assign ctl_wanted = ctl_valid_i;"),
    ("a row is written without room for its marks", "slotwire_rows", "tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && pub_room_i)", "tx_held_q == '0 && rx_held_q == '0 && tx_idle_i && writer_idle_i && refused_idle_i && 1'b1)"),
    ("a row is written in the middle of a walk after a reset", "slotwire_rows", f"ctl_wanted && !init_q &&{ROW_MAY_BE_WRITTEN}", f"ctl_wanted && 1'b1 &&{ROW_MAY_BE_WRITTEN}"),
    ("a line too few is read of a frame", "slotwire_tx", "more_q <= more_q ? left_q != 10'd1 :", "more_q <= more_q ? left_q > 10'd2 :"),
    ("the unused line of a frame without lines is kept", "slotwire_tx", ".wvalid_i(mem_rsp_valid_i && !rsp_empty)", ".wvalid_i(mem_rsp_valid_i)"),
    ("only the last line's parity counts", "slotwire_tx", "(!starts && bad_q)", "(1'b0)"),
    ("the room for broken frames is ignored", "slotwire_tx", "(!header_bad || error_room)", "(1'b1)"),
    ("the lines of a broken frame are sent", "slotwire_tx", "assign tx_tvalid_o = lines_turn ? payload_valid && !drop_q :", "assign tx_tvalid_o = lines_turn ? payload_valid :"),
    ("a header goes before the last frame's lines", "slotwire_tx", "header_valid && !lines_turn && !held && (!header_bad || error_room)", "header_valid && 1'b1 && !held && (!header_bad || error_room)"),
    ("a frame ends a line early", "slotwire_tx", "assign tx_tlast_o = lines_turn ? send_left_q == 10'd1 :", "assign tx_tlast_o = lines_turn ? send_left_q == 10'd2 :"),
    ("the IPv4 checksum loses its second carry", "slotwire_tx", "~(header_sum[15:0] + 16'(header_sum[16]))", "~(header_sum[15:0])"),
    ("lines that were known are written after the first", "slotwire_writer", "skip_q <= skip == '0 ? '0 : skip - 10'd1;", "skip_q <= '0;"),
    ("a line more than is taken is written", "slotwire_writer", "take_q <= writes ? take - 10'd1 : take;", "take_q <= take;"),
    ("a frame without new lines shows a mark", "slotwire_writer", "assign moves = active_q ? moves_q : verdict_i.lines.take != '0;", "assign moves = active_q ? moves_q : 1'b1;"),
    ("a frame of one line shows the mark before it", "slotwire_writer", "assign tail = active_q ? tail_q : verdict_i.lines.at + 32'(verdict_i.lines.take);", "assign tail = active_q ? tail_q : verdict_i.lines.at;"),
    ("a frame in the middle of its writes counts as written", "slotwire_writer", "!active_q && !verdict_valid_i && done_count == '0", "1'b1 && !verdict_valid_i && done_count == '0"),
    ("the room for CRCs is ignored", "slotwire_rx", f"{RX_ROOM}crc_count < 6'(Frames - 2) && frame_count < 6'(Frames - 2)", f"{RX_ROOM}1'b1 && frame_count < 6'(Frames - 2)"),
    ("the room for received headers is ignored", "slotwire_rx", f"{RX_ROOM}crc_count < 6'(Frames - 2) && frame_count < 6'(Frames - 2)", f"{RX_ROOM}crc_count < 6'(Frames - 2) && 1'b1"),
    ("a last line that is cut is taken", "slotwire_rx", "!= now.lines) || (stores && !(&keep_q));", "!= now.lines) || (1'b0);"),
    ("a frame that ends early is taken", "slotwire_rx", "(!now.drop && 10'(stored + 10'(stores)) != now.lines) || (stores && !(&keep_q))", "(1'b0) || (stores && !(&keep_q))"),
    ("bytes behind the datagram are lines", "slotwire_rx", "!kept_q.drop && stored_q != kept_q.lines;", "!kept_q.drop && 1'b1;"),
    ("a datagram of another length is the card's", "slotwire_rx", f"{TO_CARD}in.total_length == 16'(in.udp_length + 16'd20) &&", f"{TO_CARD}1'b1 &&"),
    ("OUT_TAIL is lost when the driver takes a moved slot", "slotwire_marks", "assign tail_ready_o = !pop && !bindings_wait &&", "assign tail_ready_o = !bindings_wait &&"),
    ("a mark moves in the clock in which a slot is taken", "slotwire_marks", "assign move = !pop && show_ready_i && (", "assign move = show_ready_i && ("),
    ("a mark that moves while its interrupt is cleared is lost", "slotwire_marks", "pending_q[v] <= (pending_q[v] && !clear_i[v]) || set[v];", "pending_q[v] <= (pending_q[v] && !clear_i[v]) || (set[v] && !clear_i[v]);"),
    ("a read of memory passes the last write before it", "slotwire_host", "last_write_q <= issued_i + WriteCountW'(1);", "last_write_q <= issued_i;"),
    ("a doorbell does not wait for its fence", "slotwire_host", "assign db_valid_o = db_waiting && db_behind;", "assign db_valid_o = db_waiting;"),
    ("an answer of memory goes to the host if it asks as well", "slotwire_core", ".wdata_i(rd_host),", ".wdata_i(host_rd_valid),"),
    ("received lines are written with the host's strobes", "slotwire_core", "assign mem_wr_strb_o = wr_host ? host_wr_strb : '1;", "assign mem_wr_strb_o = host_wr_strb;"),
    ("a thing that has left may leave again", "sw_fence", "ThingsW'(reached) - ThingsW'(leave_i);", "ThingsW'(reached);"),
    ("a FIFO that is full takes a word", "sw_fifo", "assign wready_o = !count_q[PtrW];", "assign wready_o = 1'b1;"),
    ("a word goes past one that was fetched", "sw_fifo_ram", "in_ram_q == '0 && !fetched_q && ahead_count", "in_ram_q == '0 && 1'b1 && ahead_count"),
    ("a word is fetched without room", "sw_fifo_ram", "assign fetch = in_ram_q != '0 && ahead_count + AheadW'(fetched_q) < AheadW'(AheadDepth);", "assign fetch = in_ram_q != '0 && ahead_count < AheadW'(AheadDepth);"),
    # Writes that memory refuses.
    ("a refused write counts as a good one", "slotwire_refused", "assign refuses = done_i && err_i && valid && of_line;", "assign refuses = 1'b0;"),
    ("a mark of refused lines is shown", "slotwire_writer", "assign gone = refused_any_i && refused_q;", "assign gone = 1'b0;"),
    ("a frame that acknowledges refused lines is sent", "slotwire_tx", "header_bad || (refused_any_i && refused_q && !offered_q && header.head.frame_type != slotwire_pkg::FrameTypeReset)", "header_bad || (1'b0)"),
    ("a slot whose lines were refused sends no reset", "slotwire_tx", "(refused_any_i && refused_q && !offered_q && header.head.frame_type != slotwire_pkg::FrameTypeReset)", "(refused_any_i && refused_q && !offered_q)"),
    ("a frame vanishes that was offered", "slotwire_tx", "refused_q && !offered_q && header.head.frame_type", "refused_q && 1'b1 && header.head.frame_type"),
    ("a refusal is seen a clock after its mark", "slotwire_core", ".one_done_i(mem_wr_done_i && !mem_wr_err_i)", ".one_done_i(mem_wr_done_i)"),
    ("lines of the refused frame count as there", "slotwire_writer", "assign mem_from_o = active_q ? from_q : verdict_i.lines.at;", "assign mem_from_o = at;"),
    ("OUT_TAIL stays behind refused lines", "slotwire_rules", "row.out_tail = value3;", "row.out_tail = row3.out_tail;"),
    ("a row is written while frames of refused lines wait", "slotwire_core", "(refused_valid || (refused_any && !tx_idle))", "(refused_valid || (1'b0))"),
    ("a row is written before its slot was told of", "slotwire_core", "(refused_valid || (refused_any && !tx_idle))", "(1'b0 || (refused_any && !tx_idle))"),
    ("a slot that was refused stays so", "slotwire_refused", "assign clears = init_i || written_i;", "assign clears = init_i;"),
    ("a mark is shown without a look at what was refused", "slotwire_writer", "assign may_tell = !refused_any_i || looked_q;", "assign may_tell = 1'b1;"),
    ("a frame goes without a look at what was refused", "slotwire_tx", "assign may_go = !refused_any_i || looked_q || offered_q;", "assign may_go = 1'b1;"),
    ("a look before the refusal counts", "slotwire_writer", "looked_q <= rst_ni && done_valid && !done_pop && refused_any_i && !refusing_i;", "looked_q <= rst_ni && done_valid && !done_pop && refused_any_i;"),
    ("the limit of what is told does not hold writes", "slotwire_refused", "hold_o <= rst_ni && told_count != '0;", "hold_o <= 1'b0;"),
    # Streams of frames: rtl_mutants_frame.
    ("the first beats of a dropped frame stay", "sw_frame_fifo", "wptr_q <= bad ? commit_q : wptr_next;", "wptr_q <= bad ? wptr_q : wptr_next;"),
    ("the rest of a dropped frame is stored", "sw_frame_fifo", "dropping_q <= bad && !s_tlast_i;", "dropping_q <= 1'b0;"),
    ("a frame leaves before all of it is there", "sw_frame_fifo", "if (s_tlast_i && !bad) commit_q", "if (!bad) commit_q"),
    ("the second input of the merge always goes first", "sw_frame_merge", "inside_q ? last_q : (last_q ? !s0_tvalid_i : s1_tvalid_i)", "inside_q ? last_q : (s1_tvalid_i)"),
    ("a register slice loses the word that waits", "sw_skid", "valid_q <= !ready_q || wvalid_i;", "valid_q <= wvalid_i;"),
    ("a register slice overwrites the word that waits", "sw_skid", "if (ready_q) skid_q", "if (1'b1) skid_q"),
    # The classifier: rtl_mutants_classifier.
    ("the rule before the one that matches decides", "slotwire_classifier", "match_q <= match;", "match_q <= match | (match >> 1);"),
    ("ports of a later fragment count", "slotwire_classifier", "(four.fragment & 16'h3fff) == '0", "(four.fragment & 16'h2000) == '0"),
    ("half a tag is a tag", "slotwire_classifier", "== 16'h0081 && s_tkeep_i[17]", "== 16'h0081 && s_tkeep_i[13]"),
    ("ports that are cut off count", "slotwire_classifier", "(four.fragment & 16'h3fff) == '0 && there[37] &&", "(four.fragment & 16'h3fff) == '0 && there[33] &&"),
    ("options do not matter to ports", "slotwire_classifier", "ipv4 && four.ihl == 4'd5 && (four.fragment & 16'h3fff) == '0 && there[37] &&", "ipv4 && 1'b1 && (four.fragment & 16'h3fff) == '0 && there[37] &&"),
    ("the verdict changes within a frame", "slotwire_classifier", "if (first_q[Clocks-2]) verdict_q", "if (1'b1) verdict_q"),
    ("a mark is given that the rule does not set", "slotwire_classifier", "action.mark = row.marks[0] ? row.mark[MarkW-1:0] : '0;", "action.mark = row.mark[MarkW-1:0];"),
    ("the default cannot discard", "slotwire_classifier", "default_q[ActionW-1] <= row_i[7:0] == 8'(slotwire_pkg::ClassifierActionDrop);", "default_q[ActionW-1] <= 1'b0;"),
    ("a rule acts before it matches", "slotwire_classifier", "if (action_we_q && action_line_q == 6'(r)) action_q", "if (we_i && line_i == 6'(r)) action_q"),
    ("masks do not cover the last bit", "slotwire_classifier", "((key_q ^ value_q) & mask_q) == '0", "(((key_q ^ value_q) & mask_q) >> 1) == '0"),
    ("a tag does not move what is there", "slotwire_classifier", "assign there = tagged_q ? {4'd0, keep0_q[63:4]} : keep0_q;", "assign there = keep0_q;"),
    ("any version is IPv4", "slotwire_classifier", "four.version == 4'd4 && four.ihl", "1'b1 && four.ihl"),
    ("half an IPv6 header is one", "slotwire_classifier", "six.version == 4'd6 && there[53];", "six.version == 4'd6 && there[13];"),
    ("ports behind IPv6 that are cut off count", "slotwire_classifier", "assign ports6 = ipv6 && there[57] &&", "assign ports6 = ipv6 && 1'b1 &&"),
    ("frames without a tag have its field", "slotwire_classifier", "if (tagged_q) key.vlan", "if (1'b1) key.vlan"),
    ("a rule without an action matches", "slotwire_classifier", "used_q[r] <= row.action == 8'(slotwire_pkg::ClassifierActionQueue) || row.action == 8'(slotwire_pkg::ClassifierActionDrop);", "used_q[r] <= 1'b1;"),
    ("the default's queue is the first", "slotwire_classifier", "default_q[QueueW-1:0] <= row_i[16+:QueueW];", "default_q[QueueW-1:0] <= '0;"),
    ("the default decides as well", "slotwire_classifier", "chosen = match_q == '0 ? default_q : '0;", "chosen = default_q;"),
    ("ports of TCP do not count", "slotwire_classifier", f"{PORTS}(four.protocol == 8'd17 || four.protocol == 8'd6)", f"{PORTS}(four.protocol == 8'd17)"),
    ("a pause begins a frame", "slotwire_classifier", "if (s_tvalid_i) starts_q", "if (1'b1) starts_q"),
    # AXI: rtl_mutants_axi, rtl_mutants_memory.
    ("the room for answers to writes is ignored", "sw_axi_slave", "assign want_write = aw_valid && w_valid && !aw_bad && b_room;", "assign want_write = aw_valid && w_valid && !aw_bad && 1'b1;"),
    ("the room for lines that are read is ignored", "sw_axi_slave", "assign want_read = ar_valid && !ar_bad && plan_room;", "assign want_read = ar_valid && !ar_bad && 1'b1;"),
    ("a write is answered before the core has taken it", "sw_axi_slave", "(b_bad || taken_q != '0)", "(1'b1)"),
    ("reads always go before writes", "sw_axi_slave", "(!want_write || turn_q)", "(1'b1)"),
    ("reads count as writes that were taken", "sw_axi_slave", "host_req_ready_i && host_req_write_o && host_req_last", "host_req_ready_i && 1'b1 && host_req_last"),
    ("a burst is a beat too long", "sw_axi_slave", "assign w_last = w_beat_q == aw_len;", "assign w_last = w_beat_q == aw_len + 8'd1;"),
    ("bursts that stay at one address are taken", "sw_axi_slave", "assign aw_bad = aw_burst != BurstIncr ||", "assign aw_bad = 1'b0 ||"),
    ("a refused read takes a line of the next one", "sw_axi_slave", "r_go && r_ready && !plan_bad", "r_go && r_ready && 1'b1"),
    ("registers: reads always go before writes", "sw_axil_slave", "(turn_q || !(s_axil_awvalid_i && s_axil_wvalid_i))", "(1'b1)"),
    ("registers: a write is answered while it is offered", "sw_axil_slave", "StAsk: if (host_req_ready_i) state_q", "StAsk: if (host_req_ready_i || write_q) state_q"),
    ("registers: the strobes are the first word's", "sw_axil_slave", "64'(strb_q) << {addr_q[LineW-1:2], 2'b00}", "64'(strb_q) << 6'd0"),
    ("more reads than MaxReads", "sw_axi_master", "assign rd_ready_o = ar_ready && !reads_q[ReadsW-1];", "assign rd_ready_o = ar_ready && 1'b1;"),
    ("more writes than MaxWrites", "sw_axi_master", "w_ready && !writes_q[WritesW-1]", "w_ready && 1'b1"),
    ("a refused read is a good one", "sw_axi_master", "rsp_err_o <= m_axi_rresp_i[1];", "rsp_err_o <= 1'b0;"),
    ("beats of a burst keep its first byte's place", "sw_axi_slave", "next_addr = ((addr >> size) + AddrW'(1)) << size;", "next_addr = addr + (AddrW'(1) << size);"),
    ("who had the last turn has the next", "sw_axi_slave", "if (issue_write || issue_read) turn_q <= issue_write;", "if (issue_write || issue_read) turn_q <= issue_read;"),
    ("the room for answers to refused writes is ignored", "sw_axi_slave", "assign skip_write = aw_valid && w_valid && aw_bad && b_room;", "assign skip_write = aw_valid && w_valid && aw_bad && 1'b1;"),
    ("the room for answers to refused reads is ignored", "sw_axi_slave", "assign skip_read = ar_valid && ar_bad && plan_room;", "assign skip_read = ar_valid && ar_bad && 1'b1;"),
    ("a write ends with its first beat", "sw_axi_slave", "assign aw_pop = w_pop && w_last;", "assign aw_pop = w_pop && 1'b1;"),
    ("a refused write is answered as a good one", "sw_axi_slave", "assign s_axi_bresp_o = b_bad ? RespSlverr : RespOkay;", "assign s_axi_bresp_o = 1'b0 ? RespSlverr : RespOkay;"),
    ("an error of the core is a good answer", "sw_axi_slave", "plan_bad || line_err,", "plan_bad,"),
    ("an answer to a refused write takes a good one's turn", "sw_axi_slave", "QueueW'(b_pop && !b_bad)", "QueueW'(b_pop)"),
    ("registers: an error of the core is a good answer", "sw_axil_slave", "err_q <= host_rsp_err_i;", "err_q <= 1'b0;"),
    ("registers: writes always go before reads", "sw_axil_slave", "turn_q <= take_write;", "turn_q <= 1'b0;"),
    ("registers: a write goes without its data", "sw_axil_slave", "assign take_write = state_q == StIdle && s_axil_awvalid_i && s_axil_wvalid_i && !take_read;", "assign take_write = state_q == StIdle && s_axil_awvalid_i && 1'b1 && !take_read;"),
    ("a write is done when it is sent", "sw_axi_master", "wr_done_o <= write_back;", "wr_done_o <= m_axi_wvalid_o && m_axi_wready_i;"),
    ("reads are never given back", "sw_axi_master", "ReadsW'(read) - ReadsW'(read_back);", "ReadsW'(read);"),
    ("a write goes whose data finds no room", "sw_axi_master", "aw_ready && w_ready && !writes_q[WritesW-1]", "aw_ready && 1'b1 && !writes_q[WritesW-1]"),
    # The PCIe card's shell: rtl_mutants_pcie.
    ("half of a row is a row", "slotwire_pcie_host", "assign whole = &strb;", "assign whole = &strb[31:0];"),
    ("a row that is given up is written as far as it came", "slotwire_pcie_host", "gives_up ? '0 : table_write ? strb", "gives_up ? kept_strb : table_write ? strb"),
    ("slots and rules share their pieces", "slotwire_pcie_host", "assign is_rule = to_rules;", "assign is_rule = 1'b0;"),
    ("pieces of two rows become one", "slotwire_pcie_host", "assign same = kept_valid && kept_line == card_addr[28:6];", "assign same = kept_valid && 1'b1;"),
    ("pieces are forgotten", "slotwire_pcie_host", "assign strb = req_wstrb | (same ? kept_strb : '0);", "assign strb = req_wstrb | (1'b0 ? kept_strb : '0);"),
    ("bytes of a piece overwrite those that are kept", "slotwire_pcie_host", "req_wstrb[i] ? req_wdata[i*8+:8] : kept_data[i*8+:8]", "1'b1 ? req_wdata[i*8+:8] : kept_data[i*8+:8]"),
    ("what is behind the doorbells is the first of them", "slotwire_pcie_host", "(beyond) card_addr = Nowhere;", "(1'b0) card_addr = Nowhere;"),
    ("proxy pages are process pages", "slotwire_pcie_host", "(proxy ? 29'(slotwire_pkg::CardProxyPages)", "(1'b0 ? 29'(slotwire_pkg::CardProxyPages)"),
    ("a reset of the function does not wait for what is under way", "slotwire_pcie_host", "quiet_q == QuietW'(QuietClocks)) ||", "1'b1) ||"),
    ("a reset of the function does not wait for answers", "slotwire_pcie_host", "(asked_q == '0 && !host_req_valid_o && quiet_q", "(1'b1 && !host_req_valid_o && quiet_q"),
    ("a reset of the function leaves the core as it is", "slotwire_pcie_host", "assign core_rst_no = rst_ni && !resets;", "assign core_rst_no = rst_ni && 1'b1;"),
    ("pieces from before a reset count after it", "slotwire_pcie_host", "(!rst_ni || !runs) begin\n      piece_valid_q[0]", "(!rst_ni) begin\n      piece_valid_q[0]"),
    ("reads during a reset of the function get no answer", "slotwire_pcie_host", "assign refuses = !runs && req_valid && !req_write && asked_q == '0;", "assign refuses = 1'b0 && req_valid && !req_write && asked_q == '0;"),
    ("an error of the core is a good read", "slotwire_pcie_host", "assign rsp_err = !answers || host_rsp_err_i;", "assign rsp_err = !answers;"),
    ("a request that the bridge gives up is lost", "slotwire_pcie_irq", "| returned | irq_i;", "| irq_i;"),
    ("a request that the bridge gives up is tried at once", "slotwire_pcie_irq", "(valid_o && fail_i) wait_q <=", "(1'b0) wait_q <="),
    ("a request is not held until it is answered", "slotwire_pcie_irq", "else if (ack_i || fail_i) valid_o", "else if (1'b1) valid_o"),
    ("an interrupt asks for the first vector", "slotwire_pcie_irq", "assign next = any_high ? high : low;", "assign next = '0;"),
    ("the rest of a cut frame is a frame", "sw_frame_guard", "skip_q <= skips && src_open;", "skip_q <= 1'b0;"),
    ("a cut frame has no end", "sw_frame_guard", "assign ends = dst_open_q && (src_gone_i || end_q);", "assign ends = 1'b0;"),
    ("a cut frame ends as a good one", "sw_frame_guard", "assign m_tuser_o = ends || s_tuser_i;", "assign m_tuser_o = s_tuser_i;"),
    ("an end that finds no room is forgotten", "sw_frame_guard", "end_q <= dst_open && (src_gone_i || end_q);", "end_q <= 1'b0;"),
    ("short frames are not padded", "sw_frame_pad", "assign keep_o[i] = keep_i[i] || (first_q && last_i && i < Bytes);", "assign keep_o[i] = keep_i[i] || 1'b0;"),
    ("short ends of long frames are padded", "sw_frame_pad", "(first_q && last_i && i < Bytes)", "(1'b1 && last_i && i < Bytes)"),
    ("padding is what stood there", "sw_frame_pad", "keep_i[i] ? data_i[i*8+:8] : 8'd0", "1'b1 ? data_i[i*8+:8] : 8'd0"),
    ("frames that the MAC found damaged are taken", "slotwire_pcie", ".s_tlast_i(wire_tlast), .s_tuser_i(wire_tuser)", ".s_tlast_i(wire_tlast), .s_tuser_i(1'b0)"),
    ("frames that a reset cut go to the MAC", "slotwire_pcie", ".s_tkeep_i(out_tkeep), .s_tlast_i(out_tlast), .s_tuser_i(out_tuser)", ".s_tkeep_i(out_tkeep), .s_tlast_i(out_tlast), .s_tuser_i(1'b0)"),
    ("what the MAC begins during the reset behind it is taken", "slotwire_pcie", ".dst_gone_i(!mac_rst), .s_tvalid_i(rx_axis_tvalid)", ".dst_gone_i(!mac_rst_n), .s_tvalid_i(rx_axis_tvalid)"),
    ("the MAC's reset does not reach the guard of what goes out", "slotwire_pcie", ".dst_gone_i(!mac_rst_here), .s_tvalid_i(tx_tvalid)", ".dst_gone_i(1'b0), .s_tvalid_i(tx_tvalid)"),
    ("the core's reset does not reach the guard of what comes in", "slotwire_pcie", ".dst_gone_i(!core_rst_n), .s_tvalid_i(came_tvalid)", ".dst_gone_i(!rst_n), .s_tvalid_i(came_tvalid)"),
    ("the core's reset does not reach the guard of the host's frames", "slotwire_pcie", ".dst_gone_i(!core_rst_n), .s_tvalid_i(from_host_tvalid)", ".dst_gone_i(!rst_n), .s_tvalid_i(from_host_tvalid)"),
    # Output rings and marks in host memory: rtl_mutants_pcie.
    ("a line goes where a row says that is not valid", "slotwire_dma", "assign writes = s1_known_q && (!s1_line_q || fits);", "assign writes = 1'b1 && (!s1_line_q || fits);"),
    ("a line beyond its ring goes out", "slotwire_dma", "assign fits = (s1_addr_q >> row_order) == '0;", "assign fits = 1'b1;"),
    ("a large ring has one page", "slotwire_dma", "row_ring + PageW'(s1_addr_q[MemLineBits-1:6])", "row_ring + PageW'(0)"),
    ("a write counts as done before its answer", "slotwire_dma", "(!flight_writes || m_axi_bvalid_i);", "(!flight_writes || 1'b1);"),
    ("slot memory's answers pass those of host memory", "slotwire_dma", "assign local_done = order_valid && !order_dma && local_here;", "assign local_done = order_valid && local_here;"),
    ("host memory's answers pass those of slot memory", "slotwire_dma", "(flight_line ? order_valid && order_dma : fault_room)", "(flight_line ? order_valid : fault_room)"),
    ("slot memory's answers that wait are forgotten", "slotwire_dma", "assign local_here = locals_q != '0 || mem_wr_done_i;", "assign local_here = mem_wr_done_i;"),
    ("a refused write is told of at once", "slotwire_dma", "assign refusal_waits = refusal && patience_q != '0;", "assign refusal_waits = 1'b0;"),
    ("a refused write is never told of", "slotwire_dma", "else if (refusal_waits) patience_q <=", "else if (1'b0) patience_q <="),
    ("a refused line is a good one", "slotwire_dma", "assign line_err = bad;", "assign line_err = 1'b0;"),
    ("an error of the bridge is none", "slotwire_dma", "assign bad = flight_writes ? m_axi_bresp_i[1] : flight_line;", "assign bad = flight_writes ? 1'b0 : flight_line;"),
    ("a refused mark faults nobody", "slotwire_dma", "assign fault_push = retires && runs && !flight_line && bad;", "assign fault_push = retires && runs && !flight_line && 1'b0;"),
    ("a refused mark faults another slot", "slotwire_dma", ".wdata_i(flight_slot)", ".wdata_i(flight_slot ^ SlotW'(1))"),
    ("writes under way are not bounded", "slotwire_dma", "s1_valid_q && runs && flight_room &&", "s1_valid_q && runs && 1'b1 &&"),
    ("a mark forgets the other one that waits", "slotwire_dma", "? '0 : waits_now | {core_i.shows_head, core_i.shows_tail};", "? '0 : {core_i.shows_head, core_i.shows_tail};"),
    ("a mark that moves as another slot leaves the queue is lost", "slotwire_dma", "assign show_ready = !load && !clearing_q;", "assign show_ready = 1'b1 && !clearing_q;"),
    ("of two marks, one is written", "slotwire_dma", "assign mark_last = mark_bits_q != 2'b11;", "assign mark_last = 1'b1;"),
    ("IN_HEAD is written as OUT_TAIL", "slotwire_dma", "{row_marks, s1_head_q ? 12'(", "{row_marks, 1'b0 ? 12'("),
    ("OUT_TAIL is written as IN_HEAD's value", "slotwire_dma", "assign mark = s1_head_q ? head : tail;", "assign mark = 1'b1 ? head : tail;"),
    ("a mark overwrites its line", "slotwire_dma", "assign strb = s1_line_q ? '1 : 64'hf;", "assign strb = s1_line_q ? '1 : '1;"),
    ("DMA rows survive a reset", "slotwire_dma", "clearing_q <= 1'b1;", "clearing_q <= 1'b0;"),
    ("an invalid DMA row stays valid", "slotwire_dma", "clearing_q ? 1'b0 : core_i.access_row.valid[0];", "clearing_q ? 1'b0 : 1'b1;"),
    ("a DMA row is read before its marks are written", "slotwire_dma", "assign marks_drained = marks_due_q == '0;", "assign marks_drained = 1'b1;"),
    ("a DMA row is read before its lines are written", "slotwire_dma", "assign writes_drained = writes_due_q == '0;", "assign writes_drained = 1'b1;"),
    ("an interrupt comes before its marks", "slotwire_dma", "irq_next_q != '0 && irq_due_q == '0;", "irq_next_q != '0 && 1'b1;"),
    ("an interrupt that comes while another one waits is lost", "slotwire_dma", "      irq_wait_q <= irq_wait_q | irq_i;", "      irq_wait_q <= irq_wait_q;"),
    ("a line for host memory goes to slot memory as well", "slotwire_dma", "assign mem_wr_valid_o = wr_valid_i && !wr_dma_i;", "assign mem_wr_valid_o = wr_valid_i;"),
    ("the host's lines go to host memory", "slotwire_core", "assign mem_wr_dma_o = Dma != 0 && !wr_host && rx_wr_dma;", "assign mem_wr_dma_o = Dma != 0 && rx_wr_dma;"),
    ("a ring in host memory is one on the card", "slotwire_writer", "assign mem_dma_o = index[31];", "assign mem_dma_o = 1'b0;"),
    ("a DMA row's ring begins anywhere", "slotwire_host", "assign dma_ring_ok = dma_written.ring_low[11:0] == '0;", "assign dma_ring_ok = 1'b1;"),
    ("a DMA row's marks begin anywhere", "slotwire_host", "assign dma_marks_ok = dma_written.marks_low[11:0] == '0;", "assign dma_marks_ok = 1'b1;"),
    ("a DMA row has a larger ring than the card", "slotwire_host", "assign dma_order_ok = 32'(dma_written.order) <= MaxOrder;", "assign dma_order_ok = 1'b1;"),
    ("a DMA row is written in pieces", "slotwire_pcie_host", "(to_slots || to_links || to_rules || to_dma);", "(to_slots || to_links || to_rules);"),
    ("a reset of the function does not wait for host memory", "slotwire_pcie", ".dma_busy_i(dma_busy)", ".dma_busy_i(1'b0)"),
]

NUMBERS = {mutant[0]: number for number, mutant in enumerate(MUTANTS, 1)}
# Bugs that change nothing that can be seen, and why.
EQUIVALENT = {NUMBERS[what]: why for what, why in {
    "the room for CRCs is ignored": "equivalent: a CRC's verdict is taken before its frame's line count, of which there are as many at most",
    "the room for received headers is ignored": "equivalent: a header is taken before its frame's line count, of which there are as many at most",
    "a row is written without room for its marks": "equivalent: room is kept for eight operations, and a row needs one",
    "beats of a burst keep its first byte's place": "equivalent: only the line of a beat leaves the block, and it is the same one",
    "a reset of the function does not wait for answers": "equivalent: the bridge has answered its host, and reads that the core does not answer get an error",
    "a frame vanishes that was offered": "equivalent: the merge had taken nothing of it; only AXI-Stream's rule inside the core is broken",
}.items()}


def expression_around(text, start, end):
    """The whole expression that holds text[start:end]: a condition, the right side of an assignment, or what a port is given."""
    begin = max(text.rfind(";", 0, start), *(text.rfind(f"{word}\n", 0, start) for word in ("begin", "else", "(")), text.rfind(": begin", 0, start)) + 1
    begin = max(begin, text.rfind("assign ", begin, start))
    statement = text[begin:start]
    condition = list(re.finditer(r"\bif \(|\.\w+ ?\(", statement))
    # The first assignment outside of all parentheses: a `<=` inside them compares.
    flat = lambda at: statement[:at].count("(") == statement[:at].count(")")  # noqa: E731
    assignment = next((m for m in re.finditer(r"[\w\]]\s(?:<=|=)\s", statement) if flat(m.start())), None)
    for match in reversed(condition):
        left = begin + match.end()
        depth, right = 1, left
        while depth:
            depth += {"(": 1, ")": -1}.get(text[right], 0)
            right += 1
        if right - 1 >= end:
            return left, right - 1
    if assignment:
        return begin + assignment.end(), text.index(";", end - 1 if text[end - 1] == ";" else end)
    raise SystemExit(f"mutate_rtl.py: no expression around: {text[start:end]!r}")


def apply(text, number, mutant):
    what, name, old, new = mutant
    if text.count(old) != 1:
        raise SystemExit(f"mutate_rtl.py: bug {number} ({what}): its text stands {text.count(old)} times in {name}.sv, not once")
    at = text.index(old)
    same = 0
    while old[same] == new[same]:
        same += 1
    tail = 0
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start, end = at + same, at + len(old) - tail
    left, right = expression_around(text, start, end)
    right_part = text[left:right]
    wrong_part = text[left:start] + new[same:len(new) - tail] + text[end:right]
    return f"{text[:left]}((mutant_q == {number}) ? ({wrong_part}) : ({right_part})){text[right:]}"


def main():
    if sys.argv[1:] == ["--list"]:
        for number, (what, *_rest) in enumerate(MUTANTS, 1):
            print(number, what)
        return
    if sys.argv[1:] == ["--modules"]:
        print(";".join(sorted({mutant[1] for mutant in MUTANTS})))
        return
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    paths = {path.stem: path for path in sources.files(ROOT, [".sv"])}
    texts = {name: paths[name].read_text() for name in sorted({mutant[1] for mutant in MUTANTS})}
    for number, mutant in enumerate(MUTANTS, 1):
        texts[mutant[1]] = apply(texts[mutant[1]], number, mutant)
    for name, text in texts.items():
        # The number of the bug comes from the environment, once.
        body = text.index("\n);\n", text.index(f"\nmodule {name}")) + 4
        text = text[:body] + """
  import "DPI-C" function int slotwire_mutant();
  int mutant_q;
  initial mutant_q = slotwire_mutant();
""" + text[body:]
        path = out / f"{name}.sv"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main()
