#!/usr/bin/env python3
"""Turns what the benchmarks print into rows, a table and pictures.

    report.py SUITE --google FILE... --rows FILE... [--json OUT] [--svg DIR] [--markdown]

--google: output of Google Benchmark (--benchmark_format=json, with repetitions); --rows: rows as bench_node writes them.
A row: {suite, case, metric, unit, value, runs, spread, floor, ratio_to_floor, peers: {name: value}}, and a note where one is
needed; value is the median of the runs, spread their smallest and largest. Floors were measured in the same run.
Rows with a group and a contender are shown together, the contenders of a group beside each other. --markdown: as a table in
Markdown, with the goals of rows that have one (goal: {text, value, met}).
"""
import argparse
import json
import re
import statistics
from pathlib import Path
from xml.sax.saxutils import escape

# Which floor a Google Benchmark case stands beside: (pattern of the case, name of its floor).
FLOORS = [
    (r"ring_record/(\d+)$", r"floor_memcpy_twice/\1"),
    (r"ring_ping_pong/(\d+)/real_time$", "floor_atomic_ping_pong/real_time"),
    (r"crc32c/(\d+)$", r"floor_memcpy/\1"),
    (r"pipeline_active/slots:\d+/lines:(\d+)$", r"floor_memcpy_frame/lines:\1"),
    (r"seal_and_open(?:_dpdk)?/lines:(\d+)/bits:\d+$", r"floor_memcpy_frame/lines:\1"),
    (r"pipeline_idle/slots:\d+$", "pipeline_idle/slots:16"),
]


# Metrics beside each other in a table of contenders.
COLUMNS = 3
# Slotwire among the contenders.
OWN = "slotwire"


def google_rows(suite: str, path: str) -> list[dict]:
    runs: dict[str, list[float]] = {}
    for entry in json.loads(Path(path).read_text())["benchmarks"]:
        if entry.get("run_type") != "iteration":
            continue
        scale = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[entry["time_unit"]]
        runs.setdefault(entry["run_name"], []).append(entry["real_time"] * scale)
    medians = {name: statistics.median(values) for name, values in runs.items()}
    rows = []
    for name, values in runs.items():
        floor = None
        for pattern, target in FLOORS:
            match = re.search(pattern, name)
            if match:
                floor = medians.get(match.expand(target))
                slots = re.match(r"pipeline_active/slots:(\d+)/", name)
                if floor and slots:  # one operation is a round of a frame for every slot
                    floor *= int(slots.group(1))
        rows.append({"suite": suite, "case": name, "metric": "time per operation", "unit": "ns", "value": medians[name],
                     "runs": len(values), "spread": [min(values), max(values)], "floor": floor,
                     "ratio_to_floor": medians[name] / floor if floor else None, "peers": {}})
    return rows


def table(rows: list[dict]) -> str:
    head = ("case", "metric", "median", "smallest .. largest", "floor", "ratio")
    lines = [head]
    for row in rows:
        number = lambda v: "-" if v is None else f"{v:,.1f}" if v < 1e5 else f"{v:,.0f}"
        ratio = row["ratio_to_floor"]
        lines.append((row["case"], row["metric"], f"{number(row['value'])} {row['unit']}",
                      f"{number(row['spread'][0])} .. {number(row['spread'][1])}", number(row["floor"]),
                      "-" if ratio is None else f"{ratio:.2f}"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def number(value: float | None) -> str:
    """Three digits that matter, and a letter for thousands and millions."""
    if value is None:
        return "-"
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {letter}" if value < 1e12 else f"{value:.3g}"
    return f"{value:.3g}"


def group_tables(rows: list[dict]) -> str:
    """A table for each group of rows: a line for each contender, a column for each metric with its ratio to the floor."""
    out = []
    for group in dict.fromkeys(row["group"] for row in rows):
        chosen = [row for row in rows if row["group"] == group]
        metrics = list(dict.fromkeys((row["metric"], row["unit"]) for row in chosen))
        lines = [(group, *(f"{metric}, {unit}" for metric, unit in metrics))]
        for contender in dict.fromkeys(row["contender"] for row in chosen):
            cells = []
            for metric, _ in metrics:
                row = next((r for r in chosen if r["contender"] == contender and r["metric"] == metric), None)
                ratio = row and row["ratio_to_floor"]
                cells.append("-" if row is None else number(row["value"]) + (f" ({ratio:.2f})" if ratio else "")
                             + f" [{number(row['spread'][0])} .. {number(row['spread'][1])}]")
            lines.append((contender, *cells))
        # Many columns become several tables: a line is to fit on a wide terminal.
        for first in range(1, len(lines[0]), COLUMNS):
            part = [(line[0], *line[first:first + COLUMNS]) for line in lines]
            widths = [max(len(line[i]) for line in part) for i in range(len(part[0]))]
            out.append("\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in part))
    return "\n\n".join(out) + "\n\nmedian (ratio to the floor) [smallest .. largest]"


def markdown(rows: list[dict]) -> str:
    """A line for each of Slotwire's figures, with those of the others beside it and the goal; groups without it: one for each figure."""
    lines = ["| case | metric | median (smallest .. largest) | beside it | goal | outcome |", "|---|---|---|---|---|---|"]
    own = {row["group"] for row in rows if row["contender"] == OWN}
    for row in rows:
        if row["contender"] != OWN and "goal" not in row and row["group"] in own:
            continue
        unit = f" {row['unit']}" if row["unit"] else ""
        value = f"{number(row['value'])}{unit} ({number(row['spread'][0])} .. {number(row['spread'][1])})"
        beside = ", ".join(f"{name} {number(peer)}" for name, peer in row["peers"].items()) if row["group"] in own else f"floor {number(row['floor'])}"
        goal = row.get("goal")
        outcome = "" if not goal else f"{number(goal['value'])}, {'met' if goal['met'] else 'missed'}"
        lines.append(f"| {row['case']} | {row['metric']} | {value} | {beside} | {goal['text'] if goal else ''} | {outcome} |")
    return "\n".join(lines)


def picture(title: str, unit: str, rows: list[dict]) -> str:
    """Horizontal bars, the spread as a whisker, the floor as a dashed line."""
    left, width, bar, gap = 300, 520, 18, 10
    top = 40
    largest = max(max(row["spread"][1], row["floor"] or 0) for row in rows) or 1
    height = top + len(rows) * (bar + gap) + 20
    at = lambda v: left + width * v / largest
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}" height="{height}" font-family="sans-serif" '
           'font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="22" font-size="15">{escape(title)} ({escape(unit)})</text>']
    for i, row in enumerate(rows):
        y = top + i * (bar + gap)
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(row["case"])}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{max(1, at(row["value"]) - left):.1f}" height="{bar}" fill="#4477aa"/>')
        out.append(f'<line x1="{at(row["spread"][0]):.1f}" x2="{at(row["spread"][1]):.1f}" y1="{y + bar / 2}" y2="{y + bar / 2}" '
                   'stroke="#222" stroke-width="1.5"/>')
        if row["floor"]:
            out.append(f'<line x1="{at(row["floor"]):.1f}" x2="{at(row["floor"]):.1f}" y1="{y - 3}" y2="{y + bar + 3}" '
                       'stroke="#cc3311" stroke-dasharray="3 2"/>')
        out.append(f'<text x="{left + width + 8}" y="{y + 13}">{row["value"]:,.1f}</text>')
    out.append(f'<text x="{left}" y="{height - 6}" fill="#cc3311">dashed: the floor measured in the same run</text></svg>')
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--google", nargs="*", default=[])
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--json")
    parser.add_argument("--svg")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    rows = [row for path in options.google for row in google_rows(options.suite, path)]
    for path in options.rows:
        rows += json.loads(Path(path).read_text())
    print(markdown(rows) if options.markdown else group_tables(rows) if all("group" in row for row in rows) else table(rows))
    for case, note in dict.fromkeys((row["case"], row["note"]) for row in rows if row.get("note")):
        print(f"{case}: {note}.")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    if options.svg:
        Path(options.svg).mkdir(parents=True, exist_ok=True)
        for group, metric, unit in sorted({(row.get("group", ""), row["metric"], row["unit"]) for row in rows}):
            chosen = [row for row in rows if (row.get("group", ""), row["metric"], row["unit"]) == (group, metric, unit)]
            title = f"{group} {metric}".strip()
            name = re.sub(r"[^a-z0-9]+", "-", f"{options.suite} {title}".lower()).strip("-")
            (Path(options.svg) / f"{name}.svg").write_text(picture(f"{options.suite}: {title}", unit, chosen) + "\n")


if __name__ == "__main__":
    main()
