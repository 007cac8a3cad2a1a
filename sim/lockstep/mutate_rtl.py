#!/usr/bin/env python3
"""Writes a copy of the card's RTL that holds many bugs, each asleep until its number is chosen at the start of a simulation.

    mutate_rtl.py RTL_DIR TOP OUTPUT_DIR    writes OUTPUT_DIR/*.sv; fails if a text to be changed is not there exactly once
    mutate_rtl.py --list                    one line for each bug: its number and what it is

One model with all of them is built once; bug N is an expression that has its wrong value when SLOTWIRE_MUTANT=N. Bug 0 is none.
"""
import re
import sys
from pathlib import Path

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
]


def expression_around(text, start, end):
    """The whole expression that holds text[start:end]: a condition, the right side of an assignment, or what a port is given."""
    begin = max(text.rfind(";", 0, start), *(text.rfind(f"{word}\n", 0, start) for word in ("begin", "else", "(")), text.rfind(": begin", 0, start)) + 1
    begin = max(begin, text.rfind("assign ", begin, start))
    statement = text[begin:start]
    condition = list(re.finditer(r"\bif \(|\.\w+\(", statement))
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
    return f"{text[:left]}((slotwire_sim_card.mutant_q == {number}) ? ({wrong_part}) : ({right_part})){text[right:]}"


def main():
    if sys.argv[1:] == ["--list"]:
        for number, (what, *_rest) in enumerate(MUTANTS, 1):
            print(number, what)
        return
    sources, top, out = (Path(argument) for argument in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    texts = {path.stem: path.read_text() for path in sorted(sources.glob("*.sv"))}
    for number, mutant in enumerate(MUTANTS, 1):
        texts[mutant[1]] = apply(texts[mutant[1]], number, mutant)
    # The number of the bug comes from the environment, once.
    top_text = top.read_text()
    body = top_text.index(");", top_text.index("module slotwire_sim_card")) + 2
    texts[top.stem] = (top_text[:body] + """

  import "DPI-C" function int slotwire_mutant();
  int mutant_q /* verilator public */;
  initial mutant_q = slotwire_mutant();
""" + top_text[body:])
    for name, text in texts.items():
        path = out / f"{name}.sv"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main()
