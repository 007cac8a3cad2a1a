#!/usr/bin/env python3
"""Runs the seeded bugs of the RTL (mutate_rtl.py), each against the tests one after the other until one finds it.

    run_mutants.py BIN [--only N[,N...]] [--first N] [--last N] [--doc] [--jobs N]

BIN is the directory with the mutated programs (lockstep_mutated, card_duplex_mutated, rtl_mutants_axi, rtl_mutants_memory, rtl_mutants_classifier). Bug 0,
none, must pass every test. A run that does not end within LIMIT_S counts as found, and is said to hang. --doc: as the table of
docs/simulation.md. Exit status: 0 if every bug was found and bug 0 was not, 1 otherwise.
"""
import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutate_rtl  # noqa: E402

LIMIT_S = 120
# In this order: what is quick first. For a card, and for blocks that it does not have or hardly stirs.
CARD = [
    ("full duplex", ["card_duplex_mutated", "--clocks", "12000", "--churn", "3000"]),
    ("stress", ["card_duplex_mutated", "--stress", "--seeds", "6", "--clocks", "60000"]),
    ("lockstep", ["lockstep_mutated", "--seeds", "12", "--steps", "500", "--no-shrink"]),
    ("free running", ["lockstep_mutated", "--free-running", "--seeds", "6"]),
    ("twins", ["lockstep_mutated", "--twins", "--seeds", "2", "--steps", "300", "--no-shrink"]),
    ("lockstep, 80 seeds", ["lockstep_mutated", "--first", "100", "--seeds", "80", "--steps", "500", "--no-shrink"]),
]
BLOCKS = {
    "slotwire_classifier": [("rtl_classifier_test", ["rtl_mutants_classifier"])],
    "sw_axi_slave": [("rtl_axi_test", ["rtl_mutants_axi"]), ("rtl_memory_test", ["rtl_mutants_memory"])],
    "sw_axil_slave": [("rtl_axi_test", ["rtl_mutants_axi"])],
    "sw_axi_master": [("rtl_memory_test", ["rtl_mutants_memory"])],
}


def reason(output):
    """The line that says what was seen."""
    assertion = re.search(r"%Error: (\S+?):\d+: Assertion failed in \S*?\.?(\w+): ", output) or re.search(r"Assertion failed in ([\w.]+)", output)
    if assertion:
        return "assertion " + assertion[assertion.lastindex].split(".")[-1]
    for pattern in (r"seed (\d+), (?:clock \d+: )?(.*)", r"seed \d+.*?(step \d+ of \d+: .*)", r"(\w+\.\w+) \(\d+ ms\)\n\[  PASSED", r"\[  FAILED  \] (\S+)"):
        found = re.search(pattern, output)
        if found:
            return found[found.lastindex].strip()[:110]
    return output.strip().splitlines()[-1][:110] if output.strip() else "no output"


def run(binaries, number, command):
    """What was seen; nothing: the run ended well."""
    try:
        ran = subprocess.run([str(binaries / command[0]), *command[1:]], env={**os.environ, "SLOTWIRE_MUTANT": str(number)}, capture_output=True, text=True,
                             timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"hangs (more than {LIMIT_S} s)"
    return None if ran.returncode == 0 else reason(ran.stdout + ran.stderr)


def find(binaries, number):
    what, module = ("none", "") if number == 0 else mutate_rtl.MUTANTS[number - 1][:2]
    for name, command in BLOCKS.get(module, CARD):
        seen = run(binaries, number, command)
        if seen is not None:
            return number, what, name, seen
    return number, what, None, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--only", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=len(mutate_rtl.MUTANTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--doc", action="store_true")
    arguments = parser.parse_args()
    numbers = arguments.only or range(arguments.first, arguments.last + 1)
    good = True
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, what, name, seen in pool.map(lambda n: find(arguments.bin, n), numbers):
            right = (name is None) == (number == 0)
            good = good and right
            if arguments.doc and number != 0:
                print(f"| {number} | {what} | {name + ': ' + seen if name else '**not found**'} |", flush=True)
            else:
                print(f"{'' if right else 'WRONG: '}{number} {what}: {name + ': ' + seen if name else 'passes'}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
