#!/usr/bin/env python3
"""Links over UDP and kernel TCP, alone and together, on paths that are narrower than what is sent into them.

    bench_congestion.py [--matrix quick|star|whole | --cell CELL ...] [--runs N] [--contenders REGEX] [--time-factor F] [--seed N]
                        [--bin DIR] [--tables TEXT] [--delay-tables TEXT] [--link-options TEXT] [--json FILE] [--out DIR]

A cell is a path: rate, round trip, queue in bandwidth-delay products, random loss, ECN; "100/20/1/0/ecn" is one. In each, in turn:

  cubic, bbr, cubic-4          one or four flows of the kernel's TCP
  slotwire, slotwire-4         one link, or four between four pairs of nodes
  beside cubic                 one link and one cubic flow that start together; its figures are of both
  1000 slots beside cubic      the same with 1,000 busy connections on the link
  cubic-20 at once, slotwire-20 at once   20 flows, or links of 20 pairs of nodes, that start together, from the first byte on
  delay                        one link whose nodes have --delay-tables, where slotwired has algorithms to choose from, at 100 Mb/s

Before that, `bed` says how much longer than the path's a round trip through the idle bed is. Utilisation is payload that arrived and was checked, over the bottleneck's rate; the queue is what a frame that comes at any time would
wait, averaged over time. A link has 8 busy connections unless the name says otherwise. Floors are cubic's figures in the same cell.
--matrix: three cells, about a minute; every rate with every round trip and each other property by itself; or all combinations, hours.
--bin: where slotwired and slotwire are. Needs root. docs/congestion-measurements.md has figures.
"""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contenders as field  # noqa: E402
import plots  # noqa: E402
from bed import TOOLS, Bed, Failed  # noqa: E402
from cells import MATRICES, parse_cell  # noqa: E402

QUICK_FACTOR = 0.3
DELAY_MBIT = 100
DELAY_TABLES = '[congestion]\nalgorithm = "delay"\n'
TABLE = ("added delay", "largest added delay", "utilisation", "passed", "Jain's index", "share beside cubic", "mean queue", "dropped", "marked", "sent again", "timeouts", "late frames", "load")
QUEUES_SHOWN = ("cubic", "bbr", "slotwire", "delay")


class Figures:
    """What was measured, by cell and contender."""

    def __init__(self):
        self.values = {}  # (cell, contender) -> {figure: [value for each run]}
        self.notes = {}
        self.series = {}  # the last run's
        self.queues = {}

    def add(self, cell, contender, figures, notes, series, queue):
        key = (cell.name, contender.name)
        kept = self.values.setdefault(key, {})
        for name, value in figures.items():
            kept.setdefault(name, []).append(value)
        for note in notes:
            if note not in self.notes.setdefault(key, []):
                self.notes[key].append(note)
        if series:
            self.series[key], self.queues[key] = series, queue

    def median(self, cell, contender, name):
        values = self.values.get((cell, contender), {}).get(name)
        return statistics.median(values) if values else None

    def rows(self):
        rows = []
        for (cell, contender), figures in self.values.items():
            for name, values in figures.items():
                value, floor = statistics.median(values), self.median(cell, field.FLOORS.get(contender), name)
                row = {"suite": "congestion", "case": f"{cell}, {contender}", "group": cell, "contender": contender, "metric": name,
                       "unit": field.UNITS[name], "value": value, "runs": len(values), "spread": [min(values), max(values)], "floor": floor,
                       "ratio_to_floor": value / floor if floor else None, "peers": {}}
                notes = self.notes.get((cell, contender))
                rows.append(row | ({"note": "; ".join(notes)} if notes else {}))
        for (cell, contender), figures in self.values.items():
            if not figures:
                rows.append({"suite": "congestion", "case": f"{cell}, {contender}", "group": cell, "contender": contender, "metric": "utilisation",
                             "unit": field.UNITS["utilisation"], "value": 0, "runs": 0, "spread": [0, 0], "floor": None, "ratio_to_floor": None,
                             "peers": {}, "note": "; ".join(self.notes.get((cell, contender), []))})
        return rows

    def markdown(self):
        """A table for each cell."""
        out = []
        for cell in dict.fromkeys(cell for cell, _ in self.values):
            mine = [contender for c, contender in self.values if c == cell]
            names = [name for name in TABLE if any(name in self.values[cell, contender] for contender in mine)]
            out += [f"### {cell}", "", "| " + " | ".join(["contender", *(f"{name}, {field.UNITS[name]}".rstrip(", ") for name in names)]) + " |",
                    "|---" * (len(names) + 1) + "|"]
            for contender in mine:
                values = [self.values[cell, contender].get(name) for name in names]
                out.append("| " + " | ".join([contender, *map(text_of, values)]) + " |")
            notes = [f"{contender}: {note}" for contender in mine for note in self.notes.get((cell, contender), [])]
            out += ["", *(f"- {note}" for note in notes), ""] if notes else [""]
        return "\n".join(out)

    def pictures(self, directory):
        """Bars over all cells, and lines over time for each cell and contender with more than one flow."""
        cells = list(dict.fromkeys(cell for cell, _ in self.values))
        names = list(dict.fromkeys(contender for _, contender in self.values))
        for figure, limit in (("utilisation", 1), ("mean queue", None), ("Jain's index", 1), ("share beside cubic", 1), ("sent again", None)):
            there = [name for name in names if any(self.median(cell, name, figure) is not None for cell in cells)]
            if there:
                text = plots.bars(f"Congestion: {figure}", field.UNITS[figure], cells, there, lambda cell, name: self.median(cell, name, figure), limit)
                Path(directory, f"congestion-{re.sub('[^a-z]+', '-', figure.lower())}.svg").write_text(text)
        for (cell, contender), series in self.series.items():
            if 1 < len(series) <= 4:
                text = plots.lines(f"{contender}: {cell}", "Mb/s", series, float(cell.split()[0]))
                Path(directory, f"congestion-time-{file_name(f'{cell} {contender}')}.svg").write_text(text)
        for cell in cells:
            shown = [(name, self.queues[cell, name]) for name in QUEUES_SHOWN if (cell, name) in self.queues]
            if shown:
                Path(directory, f"congestion-queue-{file_name(cell)}.svg").write_text(plots.lines(f"Queue: {cell}", "ms", shown))


def file_name(text):
    return re.sub("[^a-z0-9.]+", "-", text.lower()).strip("-")


def text_of(values):
    if not values:
        return "-"
    number = lambda value: f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    text = number(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({number(min(values))} .. {number(max(values))})"


def chosen_contenders(cell, options):
    field_of_cell = list(field.CONTENDERS)
    if options.has_algorithms and cell.megabits == DELAY_MBIT:
        field_of_cell.append(field.DELAY)
    return [contender for contender in field_of_cell if re.search(options.contenders, contender.name)]


def has_algorithms(programs):
    """Whether the slotwired that is measured has algorithms of congestion control."""
    reference = subprocess.run([os.path.join(programs, "slotwired"), "--print-config-reference"], capture_output=True, text=True, check=True).stdout
    return "[congestion]" in reference


def bench_cell(cell, options, figures):
    tables = {"": options.tables, "delay": options.delay_tables}
    with tempfile.TemporaryDirectory(prefix="slotwire-bench-congestion-") as directory:
        os.chmod(directory, 0o755)
        with Bed(directory, cell, options.seed, options.bin, tables, options.link_options) as bed:
            if not bed.realtime:
                print("  the bottleneck runs without SCHED_FIFO: its delays are those of a busy machine", file=sys.stderr)
            figures.add(cell, field.BED, field.measure_bed(bed), [], [], [])
            for _ in range(options.runs):
                for contender in chosen_contenders(cell, options):
                    begin = time.monotonic()
                    measured, notes, series, queue = field.measure(bed, contender, options.time_factor)
                    figures.add(cell, contender, measured, notes, series, queue)
                    shown = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
                    print(f"  {contender.name} ({time.monotonic() - begin:.1f} s): {shown}{'; '.join(['', *notes])}", file=sys.stderr, flush=True)


def write(options, figures):
    rows = json.dumps(figures.rows(), indent=1) + "\n"
    if options.json:
        Path(options.json).write_text(rows)
    if options.out:
        Path(options.out).mkdir(parents=True, exist_ok=True)
        Path(options.out, "congestion.json").write_text(rows)
        Path(options.out, "congestion.md").write_text(figures.markdown())
        figures.pictures(options.out)
    if not options.json and not options.out:
        print(rows, end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrix", choices=MATRICES, default="star")
    parser.add_argument("--cell", action="append", default=[], type=parse_cell, help='only this one, such as "100/20/1/0/ecn"; may be repeated')
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--contenders", default=".", metavar="REGEX", help="only those whose name fits")
    parser.add_argument("--time-factor", type=float, help="by which warm-ups and windows are longer; default: 1, quick: 0.3")
    parser.add_argument("--seed", type=int, default=1, help="of the random loss")
    parser.add_argument("--bin", default=TOOLS, help="where slotwired and slotwire are")
    parser.add_argument("--tables", default="", help="tables for the nodes' configurations")
    parser.add_argument("--delay-tables", default=DELAY_TABLES, help="the same for the contender 'delay'")
    parser.add_argument("--link-options", default="", help="lines for the nodes' [[link]] tables")
    parser.add_argument("--json", help="where the rows go; with neither --json nor --out to the standard output")
    parser.add_argument("--out", help="a directory for rows, tables and pictures")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_congestion.py: namespaces need root")
    if options.time_factor is None:
        options.time_factor = QUICK_FACTOR if options.matrix == "quick" and not options.cell else 1
    options.has_algorithms = has_algorithms(options.bin)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # everything that was started ends with it
    figures = Figures()
    cells = options.cell or MATRICES[options.matrix]()
    try:
        for number, cell in enumerate(cells, 1):
            print(f"{cell.name} (cell {number} of {len(cells)})", file=sys.stderr, flush=True)
            bench_cell(cell, options, figures)
            if options.out:
                write(options, figures)
    except Failed as error:
        sys.exit(f"bench_congestion.py: {error}")
    write(options, figures)


if __name__ == "__main__":
    main()
