#!/usr/bin/env python3
"""Sums up what Verilator covered, for each file of the RTL.

    coverage_report.py [--missed] [--doc FILE] DATA...

DATA are what `lockstep --coverage` wrote. A line, a branch or a toggle of a bit counts as covered when any instance of its module covered it
in any run. --missed lists what was not; --doc writes the table between the marks of a page (`<!-- coverage -->`).
"""
import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

KINDS = ["line", "branch", "toggle"]
MARKS = ("<!-- coverage -->\n", "<!-- end of coverage -->\n")


def points(path):
    """(file, kind, place, count) of each point."""
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"C '(.*)' (\d+)$", line)
        if not found:
            continue
        keys = dict(part.split("\x02", 1) for part in found[1].split("\x01") if "\x02" in part)
        kind = keys["page"].split("/")[0].removeprefix("v_")
        if kind in KINDS:
            yield Path(keys["f"]).name, kind, (int(keys["l"]), int(keys["n"]), keys.get("o", "")), int(found[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--missed", action="store_true", help="list what was not covered")
    parser.add_argument("--doc", type=Path, metavar="FILE")
    parser.add_argument("data", nargs="+", type=Path)
    arguments = parser.parse_args()
    counts = defaultdict(int)
    for path in arguments.data:
        for file, kind, place, count in points(path):
            counts[file, kind, place] += count
    if not counts:
        sys.exit(f"no points of coverage in {', '.join(map(str, arguments.data))}; write them with lockstep --coverage")
    sums = defaultdict(lambda: [0, 0])
    for (file, kind, _), count in counts.items():
        for name in (file, "all"):
            sums[name, kind][0] += count != 0
            sums[name, kind][1] += 1
    present = [kind for kind in KINDS if ("all", kind) in sums]
    rows = ["| file | " + " | ".join(f"{kind}s" if kind != "branch" else "branches" for kind in present) + " |", "|---" * (len(present) + 1) + "|"]
    for name in sorted({name for name, _ in sums} - {"all"}) + ["all"]:
        cells = []
        for kind in present:
            hit, total = sums[name, kind] if (name, kind) in sums else (0, 0)
            cells.append(f"{hit} of {total} ({100 * hit / total:.1f} %)" if total else "-")
        rows.append(f"| {'**all**' if name == 'all' else f'`{name}`'} | " + " | ".join(cells) + " |")
    table = "\n".join(rows) + "\n"
    print(table, end="")
    if arguments.missed:
        for (file, kind, (line, column, what)), count in sorted(counts.items()):
            if count == 0:
                print(f"{file}:{line}:{column}: {kind} {what}")
    if arguments.doc:
        before, rest = arguments.doc.read_text().split(MARKS[0])
        _, after = rest.split(MARKS[1])
        arguments.doc.write_text(before + MARKS[0] + table + MARKS[1] + after)


if __name__ == "__main__":
    main()
