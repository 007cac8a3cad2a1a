#!/usr/bin/env python3
"""Synthesises designs for UltraScale+ with Yosys, measures them, and compares them with their budgets.

    run.py [--results DIR] DESIGN...     synthesises; writes DIR/DESIGN.json; exits 1 if one is over its budget
    run.py --doc DIR [--check]           writes docs/synthesis.md from DIR/*.json (--check: only says whether it would change)
    run.py --list

budgets.toml holds one table for each design: top, params, what it is, and the most that it may use. Figures:

    luts     LUT1 to LUT6 and INV
    lutram   LUTs used as memory (RAM32M: 4, RAM32M16 and RAM64M8: 8, and so on)
    ffs      flip-flops
    ramb36   block RAMs of 36 Kib; one of 18 Kib counts a half
    uram     UltraRAMs
    path_ns  longest path by `sta`: cells only, without routing, and without paths through memories, which have no timing in
             Yosys' library. Trust ratios: about 5.0 ns here stands for 250 MHz (published modules that run there give 4.6 to 5.4)
    levels   most LUTs in a row, of a second run without carry chains and wide multiplexers; measured if there is a budget

Exit status: 0 within the budgets, 1 not, 77 without Yosys.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import sources  # noqa: E402  (hw/sources.py)

FIGURES = ["luts", "lutram", "ffs", "ramb36", "uram", "path_ns", "levels"]
LUTRAM = {"RAM32X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM128X1D": 4,
          "RAM256X1D": 8, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1}
TIMEOUT_S = 1200
SKIPPED = 77


class Failed(Exception):
    """A tool failed, or said something unknown."""


def yosys(script: str) -> None:
    try:
        ran = subprocess.run(["yosys", "-q", "-p", script], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"yosys did not end within {TIMEOUT_S} s") from error
    if ran.returncode != 0:
        raise Failed(f"yosys failed:\n{ran.stdout[-1000:]}\n{ran.stderr[-2000:]}")


def read_script(design: dict) -> str:
    files = sources.files(ROOT, [".sv"])
    include = " ".join(f"-I{d}" for d in sources.include_directories(ROOT))
    # On the deferred module: `hierarchy -chparam` of Yosys 0.23 fails on a top whose modules have parameters of their own.
    chparam = "".join(f"chparam -set {k} {int(v)} $abstract\\{design['top']}\n" for k, v in design.get("params", {}).items())
    return f"read_verilog -sv -defer {include} {' '.join(map(str, files))}\n{chparam}hierarchy -check -top {design['top']}\n"


def measure(design: dict, work: Path) -> dict:
    top = design["top"]
    stat, sta, ltp = work / "stat", work / "sta", work / "ltp"
    common = f"synth_xilinx -family xcup -flatten -noiopad -noclkbuf -uram -top {top}"
    yosys(f"""{read_script(design)}
{common}
tee -o {stat} stat
read_verilog -lib -specify +/xilinx/cells_sim.v
tee -o {sta} sta
""")
    cells = {name: int(count) for name, count in re.findall(r"^\s+([A-Z]\w+)\s+(\d+)$", stat.read_text(), re.M)}
    latest = re.search(r"Latest arrival time in '\S+' is (\d+)", sta.read_text())
    figures = {
        "luts": sum(n for cell, n in cells.items() if re.fullmatch(r"LUT[1-6]|INV", cell)),
        "lutram": sum(n * LUTRAM[cell] for cell, n in cells.items() if cell in LUTRAM),
        "ffs": sum(n for cell, n in cells.items() if re.fullmatch(r"FD[RSPC]E(_1)?", cell)),
        "ramb36": sum(n * (1 if "36" in cell else 0.5) for cell, n in cells.items() if cell.startswith("RAMB")),
        "uram": sum(n for cell, n in cells.items() if cell.startswith("URAM")),
        "path_ns": int(latest[1]) / 1000 if latest else 0.0,
    }
    known = re.compile(r"LUT[1-6]|INV|FD[RSPC]E(_1)?|RAMB\w+|URAM\w+|CARRY\d|MUXF\d|DSP\w+|VCC|GND|BUFG")
    unknown = [cell for cell in cells if cell not in LUTRAM and not known.fullmatch(cell)]
    if unknown:
        raise Failed(f"cells that run.py does not know: {' '.join(unknown)}")
    if "levels" in design.get("budget", {}):
        yosys(f"""{read_script(design)}
{common} -nocarry -nowidelut
tee -o {ltp} ltp -noff w:* t:LUT1 t:LUT2 t:LUT3 t:LUT4 t:LUT5 t:LUT6 %u %u %u %u %u %u
""")
        length = re.search(r"Longest topological path in \S+ \(length=(\d+)\)", ltp.read_text())
        if not length:
            raise Failed("no longest path")
        figures["levels"] = int(length[1])
    return figures


def over_budget(figures: dict, budget: dict) -> list[str]:
    unknown = [key for key in budget if key not in FIGURES]
    if unknown:
        raise Failed(f"budgets of unknown figures: {' '.join(unknown)}")
    return [f"{key} {figures[key]} is more than {most}" for key, most in budget.items() if figures[key] > most]


def document(designs: dict, results: Path) -> str:
    lines = [
        "# Synthesis",
        "",
        "Generated by `hw/synth/run.py --doc` from what Yosys measured (`ctest -L synth`); do not edit. UltraScale+",
        "(`synth_xilinx -family xcup`), no vendor tool: counts are of mapped cells before placement. *Path* is the longest one",
        "through cells, without routing and without paths through memories, which have no timing in Yosys' library. Trust its",
        "ratios: published modules that are believed to run at 250 MHz come out at 4.6 to 5.4 ns by the same flow, so about",
        "5.0 ns stands for 250 MHz. *Levels*: LUTs in a row without carry chains and wide multiplexers, where they are measured. The",
        "test compares the figures with `hw/synth/budgets.toml`.",
        "",
        "| design | parameters | LUT | LUT as RAM | FF | RAMB36 | URAM | path, ns | levels |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, design in designs.items():
        path = results / f"{name}.json"
        if not path.exists():
            raise Failed(f"{path} is missing: run {name} first")
        figures = json.loads(path.read_text())
        params = ", ".join(f"{k} {v}" for k, v in design.get("params", {}).items()) or "as they are"
        cells = [f"{figures[k]:g}" if k in figures else "" for k in FIGURES]
        lines.append(f"| {design['top']} | {params} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--results", type=Path, metavar="DIR")
    parser.add_argument("--doc", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    with open(HERE / "budgets.toml", "rb") as file:
        designs = tomllib.load(file)
    if arguments.list:
        print("\n".join(designs))
        return 0
    if arguments.doc:
        text, page = document(designs, arguments.doc), ROOT / "docs/synthesis.md"
        if arguments.check:
            same = page.exists() and page.read_text() == text
            print("docs/synthesis.md is as measured" if same else "docs/synthesis.md is stale")
            return 0 if same else 1
        page.write_text(text)
        return 0
    if not shutil.which("yosys"):
        print("SKIPPED: yosys was not found (scripts/install-deps)")
        return SKIPPED
    good = True
    for name in arguments.designs or designs:
        if name not in designs:
            print(f"no such design: {name}; there are: {' '.join(designs)}", file=sys.stderr)
            return 2
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="slotwire-synth-") as work:
                figures = measure(designs[name], Path(work))
            over = over_budget(figures, designs[name].get("budget", {}))
        except Failed as failure:
            print(f"{name}: FAILED: {failure}")
            good = False
            continue
        words = "  ".join(f"{k} {v:g}" for k, v in figures.items())
        print(f"{name}: {words}  ({time.monotonic() - start:.0f} s)" + "".join(f"\n  OVER BUDGET: {o}" for o in over), flush=True)
        good = good and not over
        if arguments.results:
            arguments.results.mkdir(parents=True, exist_ok=True)
            (arguments.results / f"{name}.json").write_text(json.dumps(figures) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
