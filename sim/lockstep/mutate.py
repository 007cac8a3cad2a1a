#!/usr/bin/env python3
"""Makes a pipeline that can have one of many bugs, out of the right one: lockstep must find every one of them.

    mutate.py PIPELINE_DIRECTORY OUT_DIRECTORY

Writes OUT_DIRECTORY/mutated_pipeline.hpp, .cpp and mutated_pipeline_control.cpp: the class MutatedPipeline, which is the class Pipeline with every place of
MUTANTS in two versions, and slotwire::lockstep::mutant_names(). Which bug is on is set when the program runs.

A mutant is a name and a piece of pipeline.cpp that occurs there once, with <<right@@wrong>> around an expression or
[[right@@wrong]] around statements.
"""
import re
import sys
from pathlib import Path

MUTANTS = [
    ("quarter-is-half", "return size < 4 ? 1 : size / <<4@@2>>;"),
    ("link-up-keeps-sent", "take up at the marks (R9).\n    [[row.sent = row.in_head;@@;]]"),
    ("link-up-keeps-backoff", "[[row.backoff = 0;@@;]]\n    lower(row, regs::kRowNakSent);\n    if"),
    ("link-up-keeps-nak-sent", "row.backoff = 0;\n    [[lower(row, regs::kRowNakSent);@@;]]\n    if"),
    ("link-up-owes-no-ack", "if (<<row.out_tail != row.told_ack || row.out_tail + out_free(row) != row.told_limit@@false>>)"),
    ("link-up-does-not-probe", "[[if (row.limit == row.sent) raise(row, regs::kRowProbeNow);@@;]]"),
    ("link-down-goes-on-sending", "[[l.up = false;@@;]]\n  l.blocked = false;\n  for"),
    ("bind-tells-no-room", "row.told_limit = row.out_tail + <<out_free(row)@@0>>;\n  moved_.set(slot);"),
    ("fault-sends-no-reset", "if (state == SlotState::faulted) {\n    [[raise(row, regs::kRowResetNow);@@;]]"),
    ("timeout-without-end", "std::min<std::uint64_t>(doubled, <<config.retransmit_max_us@@kMaxTimeout>>)"),
    ("in-tail-one-too-far", "if (produced > <<in_size(row) - (row.in_tail - row.in_head)@@in_size(row) - (row.in_tail - row.in_head) + 1>>)"),
    ("out-head-one-too-far", "if (consumed > <<row.out_tail - row.out_head@@row.out_tail - row.out_head + 1>>)"),
    ("bell-restarts-timer", "if (<<!has(row, regs::kRowTxTimer)@@true>>) start_tx_timer(slot, now);\n    make_ready(slot);"),
    ("window-update-late", "row.told_limit >= <<quarter(out_size(row))@@quarter(out_size(row)) + 1>>)"),
    ("window-one-too-wide", "later(row.limit, row.sent) ? <<row.limit - row.sent@@row.limit - row.sent + 1>> : 0;"),
    ("data-before-nak", "} else if (<<has(row, regs::kRowNakNow)@@has(row, regs::kRowNakNow) && sendable(row, memory_[slot]) == 0>>) {"),
    ("counts-all-as-again", "later(row.high, row.sent) ? <<std::min(lines, row.high - row.sent)@@lines>> : 0;"),
    ("frame-leaves-ack-due", "lower(row, <<regs::kRowAckNow | regs::kRowNakNow@@regs::kRowNakNow + 0>>);"),
    ("probe-stays-due", "if (<<header.type == FrameType::data || header.type == FrameType::probe@@header.type == FrameType::data>>)"),
    ("frame-tells-no-ack", "[[row.told_ack = row.out_tail;@@;]]\n  row.told_limit = row.out_tail + out_free(row);\n  if (has"),
    ("ack-timer-goes-on", "[[if (has(row, regs::kRowAckTimer)) stop_ack_timer(slot);@@;]]"),
    ("takes-any-epoch", "if (<<row.epoch != header.epoch@@false>>)"),
    ("peer-slot-before-link", "if (<<row.link != link@@row.link != link && row.peer_slot == header.src_slot>>)"),
    ("stale-ack-one-too-old", "if (!in_range && row.in_head - header.ack > <<in_size(row)@@in_size(row) + 1>>)"),
    ("ack-past-in-tail", "const bool in_range = header.ack - row.in_head <= <<row.in_tail - row.in_head@@row.in_tail - row.in_head + 1>>;"),
    ("seq-one-too-far-ahead", "if (header.seq - row.out_tail > <<out_size(row)@@out_size(row) + 1>> &&"),
    ("seq-one-too-far-behind", "&& row.out_tail - header.seq > <<out_size(row)@@out_size(row) + 1>>)"),
    ("takes-stale-acks", "if (<<in_range@@true>>) take_ack(slot, header, now);"),
    ("takes-stale-naks", "if (<<in_range && row.sent != header.ack@@row.sent != header.ack>>) {"),
    ("probe-unanswered", "count(Counter::rx_probes);\n      [[raise(row, regs::kRowAckNow);@@;]]"),
    ("sent-stays-behind-ack", "[[if (later(row.in_head, row.sent)) row.sent = row.in_head;@@;]]"),
    ("ack-keeps-backoff", "row.sent = row.in_head;\n    [[row.backoff = 0;@@;]]\n    if (row.in_head == row.in_tail) {"),
    ("timer-stops-with-sent", "if (<<row.in_head == row.in_tail@@row.in_head == row.sent>>) {\n      stop_tx_timer(slot);"),
    ("window-shrinks", "if (<<later(limit, row.limit)@@limit != row.limit>>) {"),
    ("opened-window-keeps-backoff", "if (<<row.sent == row.in_head@@false>>) {  // nothing was in flight"),
    ("nak-for-every-gap", "if (<<!has(row, regs::kRowNakSent)@@true>>) {\n      raise"),
    ("duplicate-keeps-nak-sent", "count(Counter::drop_duplicate);\n    [[lower(row, regs::kRowNakSent);@@;]]"),
    ("takes-one-line-too-many", "if (fresh > <<out_free(row)@@out_free(row) + 1>>) {"),
    ("writes-known-lines", "payload.subspan(<<std::size_t{known} * regs::kLineBytes@@std::size_t{0}>>)"),
    ("lines-leave-nak-due", "lower(row, <<regs::kRowNakSent | regs::kRowNakNow@@regs::kRowNakSent + 0>>);\n  count(Counter::rx_lines"),
    ("lines-restart-ack-timer", "} else if (<<!has(row, regs::kRowAckTimer)@@true>>) {"),
    ("timeout-a-microsecond-late", "if (has(row, regs::kRowTxTimer) && <<!later(row.tx_deadline, now)@@later(now, row.tx_deadline)>>) tx_timer"),
    ("backoff-ends-early", "if (row.backoff < <<kMaxBackoff@@kMaxBackoff - 1>>) ++row.backoff;"),
    ("timeout-does-not-go-back", "if (<<row.sent != row.in_head@@false>>) {\n    go_back(slot, Loss::timeout, now);"),
    ("recovery-trusts-limit", "row.backoff = 0;\n  [[row.limit = row.in_head;@@;]]  // the window is not among"),
    ("reset-answers-reset", "state_of(row) == SlotState::faulted && <<header.type != FrameType::reset@@true>>)"),
    ("credit-never-zero", "header.credit = static_cast<std::uint16_t>(<<out_free(row)@@out_free(row) == 0 ? 1 : out_free(row)>>);"),
]

PLACE = re.compile(r"<<(?P<er>.*?)@@(?P<ew>.*?)>>|\[\[(?P<sr>.*?)@@(?P<sw>.*?)\]\]", re.S)


def edits(source: str) -> list[tuple[int, int, str]]:
    found = []
    for number, (name, piece) in enumerate(MUTANTS, start=1):
        place = PLACE.search(piece)
        expression = place["er"] is not None
        right, wrong = (place["er"], place["ew"]) if expression else (place["sr"], place["sw"])
        context = piece[: place.start()] + right + piece[place.end():]
        if source.count(context) != 1:
            raise SystemExit(f"mutate.py: {name}: found {source.count(context)} times in pipeline.cpp, not once: {context!r}")
        start = source.index(context) + place.start()
        if expression:
            text = f"(mutant_is({number}) ? ({wrong}) : ({right}))"
        else:
            text = f"if (mutant_is({number})) {{ {wrong} }} else {{ {right} }}"
        found.append((start, start + len(right), text))
    found.sort()
    for (_, end, _), (start, _, _) in zip(found, found[1:]):
        if start < end:
            raise SystemExit("mutate.py: two mutants overlap")
    return found


def main() -> int:
    source_dir, out_dir = Path(sys.argv[1]), Path(sys.argv[2])
    source = (source_dir / "pipeline.cpp").read_text(encoding="utf-8")
    header = (source_dir / "pipeline.hpp").read_text(encoding="utf-8")
    for start, end, text in reversed(edits(source)):
        source = source[:start] + text + source[end:]
    body = re.search(r"^class Pipeline \{.*?^\};", header, re.S | re.M)[0]
    body = re.sub(r"\bPipeline\b", "MutatedPipeline", body)
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "mutated_pipeline.hpp").write_text(
        "// Generated by sim/lockstep/mutate.py.\n#pragma once\n#include <span>\n#include <string_view>\n"
        '#include "core/pipeline/pipeline.hpp"\n'
        "namespace slotwire::lockstep {\n/// Which bug is on in this thread: 1.. in the order of the names; 0 none.\n"
        "void set_mutant(unsigned number);\nbool mutant_is(unsigned number);\n"
        "std::span<const std::string_view> mutant_names();\n}\n"
        "namespace slotwire::pipeline {\n" + body + "\n}\n", encoding="utf-8")
    def of_mutants(text: str) -> str:
        text = text.replace('#include "core/pipeline/pipeline.hpp"', '#include "mutated_pipeline.hpp"')
        return re.sub(r"\bPipeline(?=::|\()", "MutatedPipeline", text)

    control = (source_dir / "pipeline_control.cpp").read_text(encoding="utf-8")
    (out_dir / "mutated_pipeline_control.cpp").write_text(of_mutants(control), encoding="utf-8")
    source = of_mutants(source)
    source = source.replace("namespace {\n", "namespace {\n\nusing lockstep::mutant_is;\n", 1)
    names = ", ".join(f'"{name}"' for name, _ in MUTANTS)
    source += ("\nnamespace slotwire::lockstep {\nnamespace {\nthread_local unsigned the_mutant = 0;\n"
               f"constexpr std::string_view kNames[] = {{{names}}};\n}}\n"
               "void set_mutant(unsigned number) { the_mutant = number; }\n"
               "bool mutant_is(unsigned number) { return the_mutant == number; }\n"
               "std::span<const std::string_view> mutant_names() { return kNames; }\n}\n")
    (out_dir / "mutated_pipeline.cpp").write_text(source, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
