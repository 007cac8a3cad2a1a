#!/usr/bin/env python3
"""Makes copies of sources of http_stream with bugs in them, which the simulation of a lossy HTTP must find.

    mutate.py HTTP_STREAM_DIR OUT_DIR    writes the changed sources and mutants.cpp, the table of names

Bugs that cost a little and lose nothing, such as a repeated opening request that opens a second half-open session, are
not here: tests/http/ has a test for each of them.

Each bug is one place in one source, changed so that it is there while sim_mutant(number) holds.
"""
import sys
from pathlib import Path

# name, file, the text that stands there once, and what takes its place; {is} becomes the condition.
MUTANTS = [
    ("a part that has arrived is delivered again", "receive_queue.cpp",
     "if (part.number < next_ || ahead_.contains(part.number)) return Taken::duplicate;",
     "if ((part.number < next_ && !({is} && part.number + 1 == next_)) || ahead_.contains(part.number)) return Taken::duplicate;\n"
     "  if (part.number < next_) --next_;"),
    ("a range is acknowledged one part too long", "receive_queue.cpp",
     "ranges.push_back({first, end - first});", "ranges.push_back({first, end - first + ({is} ? 1 : 0)});"),
    ("parts out of order are joined at once", "receive_queue.cpp",
     "  if (part.number != next_) {", "  if (part.number != next_ && !{is}) {"),
    ("credit is not given as messages are taken", "receive_queue.cpp",
     "  taken_cost_ += whole.cost;", "  taken_cost_ += {is} ? whole.bytes.size() : whole.cost;"),
    ("what an unanswered request carried is not sent again", "client.cpp",
     "  ++counters.failures;\n  end.out().lose(request.parts, request.number);",
     "  ++counters.failures;\n  if (!{is}) end.out().lose(request.parts, request.number);"),
    ("what a lost response carried is not sent again", "server_session.cpp",
     "    if (awaited(carried.number)) return false;\n    end_.out().lose(carried.parts, carried.number);",
     "    if (awaited(carried.number)) return false;\n    if (!{is}) end_.out().lose(carried.parts, carried.number);"),
    ("a request that arrives twice is answered to the first copy only", "server_session.cpp",
     "      same->id = id;\n      return true;", "      if (!{is}) same->id = id;\n      return true;"),
    ("a lost duplex connection loses what it carried", "client.cpp",
     "  ++counters.duplex_lost;\n  end.out().lose_all();", "  ++counters.duplex_lost;\n  if (!{is}) end.out().lose_all();"),
    ("a duplex connection that failed is asked for again at once", "duplex_tries.cpp",
     "  failures_.next_us = now_us + delay - random % (delay / 4 + 1);",
     "  failures_.next_us = {is} ? now_us : now_us + delay - random % (delay / 4 + 1);"),
    ("a duplex connection that was lost is never asked for again", "duplex_tries.cpp",
     "  failed(why, now_us, random);\n}", "  failed(why, now_us, random);\n  if ({is}) failures_.next_us = kNever;\n}"),
    ("a try for a duplex connection has no end", "client.cpp",
     "  if (tries.late(now_us)) tries", "  if (tries.late(now_us) && !{is}) tries"),
    ("a duplex connection on which nothing comes is kept", "client.cpp",
     "  if (duplex && now_us >= duplex_lost_at()) {", "  if (duplex && now_us >= duplex_lost_at() && !{is}) {"),
    ("the server does not notice that the client gave up its duplex connection", "server_session.cpp",
     "static_cast<std::int16_t>(bundle.generation - generation_) > 0) {\n    owner_.end_duplex",
     "static_cast<std::int16_t>(bundle.generation - generation_) > 0 && !{is}) {\n    owner_.end_duplex"),
    ("the end of a session does not wait for what was sent before", "session.cpp",
     "  bundle.end = cut_ ? 0 : out_.end();", "  bundle.end = cut_ || {is} ? 0 : out_.end();"),
    ("no request is made when the last one was answered", "client.cpp",
     "  if (awaited.size() < target || probes_left != 0) return true;",
     "  if ((awaited.size() < target && !({is} && next_number % 64 == 0)) || probes_left != 0) return true;"),
    ("a message is removed when it is sent", "send_queue.cpp",
     "    sent_cost_ = part.cost_end;\n    ++sent_;",
     "    sent_cost_ = part.cost_end;\n    ++sent_;\n    part.arrived = part.arrived || ({is} && sent_ % 50 == 0);"),
    ("memory of an ended session is not given back", "send_queue.cpp",
     "  pool_->give_back(lent_ - needed);", "  if (!{is}) pool_->give_back(lent_ - needed);"),
    ("a released session is kept", "server.cpp",
     "    if (entry->released && entry->session->state() == SessionState::closed) erase(number);",
     "    if (entry->released && entry->session->state() == SessionState::closed && !{is}) erase(number);"),
    ("a damaged bundle is taken", "bundle.cpp",
     "!= claimed) return invalid(\"is damaged\");", "!= claimed && !{is}) return invalid(\"is damaged\");"),
]


def main() -> int:
    room, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    sources: dict[str, str] = {}
    for number, (name, file, old, new) in enumerate(MUTANTS, 1):
        text = sources.get(file) or (room / file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            print(f"mutate.py: '{name}': its place is {text.count(old)} times in {file}; bring MUTANTS up to date", file=sys.stderr)
            return 1
        sources[file] = text.replace(old, new.replace("{is}", f"sim_mutant({number})"))
    for file, text in sources.items():
        head = "// Generated by sim/http/mutate.py.\n"
        text = text.replace("namespace slotwire::http_stream {\n", "namespace slotwire::http_stream {\nbool sim_mutant(int number);\n", 1)
        (out / file).write_text(head + text, encoding="utf-8")
    names = "".join(f'    "{name}",\n' for name, *_ in MUTANTS)
    (out / "mutants.cpp").write_text(
        '// Generated by sim/http/mutate.py.\n#include "sim/http/mutants.hpp"\n'
        "namespace slotwire::http_stream {\nnamespace {\nint the_mutant = 0;\n"
        f"constexpr std::string_view kNames[] = {{\n{names}}};\n}}\n"
        "bool sim_mutant(int number);\nbool sim_mutant(int number) { return the_mutant == number; }\n"
        "void set_mutant(int number) { the_mutant = number; }\n"
        "std::span<const std::string_view> mutant_names() { return kNames; }\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
