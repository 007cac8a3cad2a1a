#!/usr/bin/env python3
"""Runs the seeded bugs of the RTL (mutate_rtl.py), each against the tests that could find it.

    run_mutants.py BIN [--only N[,N...]] [--first N] [--last N] [--first-finder] [--quick] [--doc] [--jobs N]

BIN is the directory with the mutated programs (target rtl_mutants). A bug of a card runs against full duplex, calm, with refusals and
with stress, and against lockstep, whatever finds it; and if none of these does, against longer runs one after the other. A bug of a
block that has a bench runs against that first. --first-finder: stops at the first that finds it. --quick:
without the longer runs. Bug 0, none, must pass every test.

Every wait in these programs is bounded in clocks, so a bug that makes the card stand still ends its run, which says that it hangs. A
run that does not end within LIMIT_S counts as found, and is said to hang. --doc: as rows of the table in docs/simulation.md. Exit
status: 0 if every bug was found that is not in EQUIVALENT, and bug 0 was not; 1 otherwise.
"""
import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutate_rtl  # noqa: E402

LIMIT_S = 120
# Every bug of a card runs against these: (name, command).
ALWAYS = [
    ("duplex", ["card_duplex_mutated", "--clocks", "20000", "--churn", "3000", "--rows", "1500", "--hang-clocks", "10000"]),
    ("refusals", ["card_duplex_mutated", "--clocks", "30000", "--memory-clocks", "60", "--memory-jumps", "--refuse", "1500", "--churn", "2500", "--mac-stalls", "500",
                  "--hang-clocks", "10000"]),
    ("stress", ["card_duplex_mutated", "--stress", "--refuse", "8000", "--seeds", "6", "--clocks", "60000"]),
    ("lockstep", ["lockstep_mutated", "--seeds", "8", "--steps", "500", "--no-shrink"]),
]
# And against these, one after the other, if none of them finds it.
LONGER = [
    ("card_test", ["card_test_mutated"]),
    ("free running", ["lockstep_mutated", "--free-running", "--seeds", "6"]),
    ("twins", ["lockstep_mutated", "--twins", "--seeds", "2", "--steps", "300", "--no-shrink"]),
    ("lockstep, 80 seeds", ["lockstep_mutated", "--first", "100", "--seeds", "80", "--steps", "500", "--no-shrink"]),
]
# The benches of blocks, and whether a card has the block as well.
BENCHES = {
    "slotwire_classifier": (["rtl_mutants_classifier"], False),
    "sw_axi_slave": (["rtl_mutants_axi", "rtl_mutants_memory"], False),
    "sw_axil_slave": (["rtl_mutants_axi"], False),
    "sw_axi_master": (["rtl_mutants_memory"], False),
    "sw_fifo": (["rtl_mutants_fifo"], True),
    "sw_fifo_ram": (["rtl_mutants_fifo"], True),
    "sw_skid": (["rtl_mutants_fifo"], True),
    "sw_frame_fifo": (["rtl_mutants_frame"], True),
    "sw_frame_merge": (["rtl_mutants_frame"], True),
    **{name: (["rtl_mutants_pcie"], False) for name in ("slotwire_pcie", "slotwire_pcie_host", "slotwire_pcie_irq", "sw_frame_pad", "slotwire_dma")},
    "sw_frame_guard": (["rtl_mutants_frame", "rtl_mutants_pcie"], False),
}


def reason(output):
    """The line that says what was seen."""
    assertion = re.search(r"%Error: (\S+?):\d+: Assertion failed in \S*?\.?(\w+): ", output) or re.search(r"Assertion failed in ([\w.]+)", output)
    if assertion:
        return "`" + assertion[assertion.lastindex].split(".")[-1] + "`"
    for pattern in (r"seed (\d+), (?:clock \d+: )?(.*)", r"seed \d+.*?(step \d+ of \d+: .*)", r"(\w+\.\w+) \(\d+ ms\)\n\[  PASSED", r"\[  FAILED  \] (\S+)"):
        found = re.search(pattern, output)
        if found:
            return found[found.lastindex].strip()[:110]
    return output.strip().splitlines()[-1][:110] if output.strip() else "no output"


def run(binaries, number, command):
    """What was seen, None if the run ended well; and the seconds that it took."""
    start = time.monotonic()
    try:
        ran = subprocess.run([str(binaries / command[0]), *command[1:]], env={**os.environ, "SLOTWIRE_MUTANT": str(number)}, capture_output=True, text=True,
                             timeout=LIMIT_S, check=False)
        seen = None if ran.returncode == 0 else reason(ran.stdout + ran.stderr)
    except subprocess.TimeoutExpired:
        seen = f"hangs (more than {LIMIT_S} s)"
    return seen, time.monotonic() - start


def find(binaries, number, first_finder, quick):
    """[(test, what it saw or None, seconds)]"""
    benches, in_card = BENCHES.get(mutate_rtl.MUTANTS[number - 1][1], ([], True)) if number else ([name for benches, _ in BENCHES.values() for name in benches], True)
    tests = [(name.replace("rtl_mutants_", "bench: "), [name]) for name in dict.fromkeys(benches)]
    if in_card:
        tests += ALWAYS
    seen = []
    for name, command in tests + (LONGER if in_card and not quick else []):
        found = any(what is not None for _, what, _ in seen)
        if found and (first_finder or (name, command) in LONGER):
            break
        seen.append((name, *run(binaries, number, command)))
    return number, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--only", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=len(mutate_rtl.MUTANTS))
    parser.add_argument("--first-finder", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--doc", action="store_true")
    arguments = parser.parse_args()
    numbers = arguments.only or range(arguments.first, arguments.last + 1)
    good = True
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, seen in pool.map(lambda n: find(arguments.bin, n, arguments.first_finder, arguments.quick), numbers):
            what = mutate_rtl.MUTANTS[number - 1][0] if number else "none"
            found = [(name, saw) for name, saw, _ in seen if saw is not None]
            right = bool(found) == (number != 0) or number in mutate_rtl.EQUIVALENT
            good = good and right
            if arguments.doc and number != 0:
                text = "; ".join(f"{name}: {saw}" for name, saw in found) or mutate_rtl.EQUIVALENT.get(number, "**not found**")
                print(f"| {number} | {what} | {text} |", flush=True)
            else:
                print(f"{'' if right else 'WRONG: '}{number} {what}", flush=True)
                for name, saw, seconds in seen:
                    print(f"    {name}: {saw if saw is not None else 'passes'} ({seconds:.1f} s)", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
