#!/usr/bin/env python3
"""Has Spin search a model, and the same with each of its faults, which must be found.

    region_model_test.py region      how a region is found or made
    region_model_test.py reclaim     how slotwired removes what a dead process left
    region_model_test.py ladder      how a link moves from one carrier to another"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

# Models that are not beside this file.
FOLDERS = {"ladder": "../carrier"}
FAULTS = {
    "region": ["LATE_BIND", "NO_LOCK", "NO_BIND", "LOCK_STAYS", "ONE_LOOK"],
    "ladder": ["EARLY_RELEASE", "NO_SEQ", "NEW_COUNT", "NO_RESEND", "NO_LEAVE"],
    "reclaim": ["NO_LOCK", "STATE_FIRST", "NO_COUNT", "COUNT_LAST", "NO_RESCAN", "NO_RETRY", "BY_PLACE"],
}


def search(spin, compiler, model, defines):
    """The number of errors that were found (0, or 1: it ends with the first), and of states."""
    with tempfile.TemporaryDirectory() as directory:
        def run(*command):
            done = subprocess.run(command, cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                sys.exit(f"'{' '.join(command)}' failed:\n{done.stdout}")
            return done.stdout
        run(spin, *(f"-D{name}" for name in defines), "-a", str(pathlib.Path(__file__).resolve().parent / FOLDERS.get(model, ".") / (model + ".pml")))
        # One error at most, so no cycles; a state is kept in compressed form.
        run(compiler, "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-o", "pan", "pan.c")
        text = run("./pan", "-m100000")
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\S+) states, stored", text)
    if errors is None or states is None or "max search depth too small" in text:
        sys.exit(f"Spin did not search the whole model ({' '.join(defines)}):\n{text}")
    return int(errors[1]), int(float(states[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=FAULTS)
    parser.add_argument("--spin", default="spin")
    parser.add_argument("--compiler", default="cc")
    options = parser.parse_args()
    wrong = 0
    for defines, expected in [([], 0)] + [([fault], 1) for fault in FAULTS[options.model]]:
        errors, states = search(options.spin, options.compiler, options.model, defines)
        print(f"{' '.join(defines) or 'as it is':12} {states:9} states, {'a fault' if errors else 'no fault'}")
        wrong += errors != expected
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
