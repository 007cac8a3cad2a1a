#!/usr/bin/env python3
"""Fuzzes with libFuzzer: every target for a stated processor time, several at once, each with a corpus that it keeps.

  tests/fuzz/campaign.py [--seconds N] [--turn N] [--jobs N] [--build DIR] [TARGET...]

Needs the fuzz build: cmake --preset fuzz && cmake --build build-fuzz. Targets take turns of --turn seconds until each has
used --seconds of processor time (its children's included) since the corpus began; a campaign that is ended goes on where it
was. The corpus, what each target printed and what was found are in DIR/campaign. A finding ends its target's campaign;
the others go on. Prints a row for each target at the end, and whenever it is asked by SIGUSR1.

Exit status: 0 if every target used its time and nothing was found, 1 otherwise.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAX_LEN = 4096  # bytes of an input; as in the tests (cmake/fuzz.cmake)
TIMEOUT = 20  # seconds that one input may take


class Target:
    """One libFuzzer program, its directory and what it has used so far."""

    def __init__(self, program, directory):
        self.name = program.name
        self.program = program
        self.directory = directory / program.name
        self.corpus = self.directory / "corpus"
        self.findings = self.directory / "findings"
        for one in (self.corpus, self.findings):
            one.mkdir(parents=True, exist_ok=True)
        self.account = self.directory / "account.json"
        saved = json.loads(self.account.read_text()) if self.account.exists() else {}
        self.cpu = saved.get("processor_seconds", 0.0)
        self.runs = saved.get("runs", 0)
        self.coverage = saved.get("coverage", 0)
        self.process = None

    def found(self):
        return sorted(one.name for one in self.findings.iterdir())

    def start(self, seconds):
        seeds = ROOT / "tests/fuzz/corpus" / self.name.removeprefix("fuzz_")
        self.output = open(self.directory / "output", "wb")
        self.process = subprocess.Popen(
            [self.program, f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", f"-timeout={TIMEOUT}", "-print_final_stats=1",
             f"-artifact_prefix={self.findings}/", self.corpus, seeds],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, process_group=0)

    def ended(self, usage, status):
        """Books a turn. False if it ended in a way that no finding explains."""
        self.output.close()
        self.process = None
        text = (self.directory / "output").read_text(errors="replace")
        self.cpu += usage.ru_utime + usage.ru_stime
        executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
        self.runs += int(executed[-1]) if executed else 0
        covered = re.findall(r"cov: (\d+)", text)
        self.coverage = int(covered[-1]) if covered else self.coverage
        self.account.write_text(json.dumps(
            {"processor_seconds": round(self.cpu, 1), "runs": self.runs, "coverage": self.coverage}) + "\n")
        if status != 0 and not self.found():
            print(f"{self.name} ended with status {status}; its last lines:", *text.splitlines()[-15:], sep="\n  ", flush=True)
            return False
        return True


def table(targets):
    print(f"{'target':<22}{'processor s':>12}{'runs':>14}{'edges':>8}  found")
    for one in targets:
        print(f"{one.name:<22}{one.cpu:>12.0f}{one.runs:>14,}{one.coverage:>8}  {', '.join(one.found()) or 'nothing'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3600, help="processor time for each target (default 3600)")
    parser.add_argument("--turn", type=int, default=300, help="seconds until the next target's turn (default 300)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets that run at once (default: one a processor)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-fuzz", help="the fuzz build (default build-fuzz)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    options = parser.parse_args()
    programs = sorted(one for one in (options.build / "bin").glob("fuzz_*") if os.access(one, os.X_OK))
    unknown = set(options.targets) - {one.name for one in programs}
    if unknown or not programs:
        parser.error(f"not in {options.build}/bin: {', '.join(sorted(unknown)) or 'any target'}; "
                     "build them with: cmake --preset fuzz && cmake --build build-fuzz")
    targets = [Target(one, options.build / "campaign") for one in programs if not options.targets or one.name in options.targets]
    signal.signal(signal.SIGUSR1, lambda *_: table(targets))
    broken = set()
    try:
        while True:
            waiting = [one for one in targets
                       if one.process is None and one.cpu < options.seconds and not one.found() and one.name not in broken]
            running = [one for one in targets if one.process is not None]
            for one in sorted(waiting, key=lambda target: target.cpu)[:options.jobs - len(running)]:
                one.start(max(1, min(options.turn, int(options.seconds - one.cpu) + 1)))
                running.append(one)
            if not running:
                break
            pid, status, usage = os.wait4(-1, 0)
            for one in running:
                if one.process.pid == pid:
                    one.process.returncode = os.waitstatus_to_exitcode(status)
                    if not one.ended(usage, one.process.returncode):
                        broken.add(one.name)
    finally:
        for one in targets:
            if one.process is not None:
                os.killpg(one.process.pid, signal.SIGKILL)
    table(targets)
    sys.exit(1 if broken or any(one.found() or one.cpu < options.seconds for one in targets) else 0)


if __name__ == "__main__":
    main()
