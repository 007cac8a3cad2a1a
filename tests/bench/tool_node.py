#!/usr/bin/env python3
"""The suite `node` in its shortest form: rows are complete and agree with each other, whatever their values are."""
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests" / "node")]
import report  # noqa: E402
from nodes import TIMEOUT  # noqa: E402

BENCH = Path(os.environ.get("SLOTWIRE_BIN", ROOT / "build" / "bin")) / "bench_node"
SHORTEST = ["--runs", "1", "--calls", "100", "--seconds", "1", "--slots", "50"]
CALLS = {"p50", "p99", "calls", "processor time per call", "sleeps per call"}
# What the same number of processes needs without Slotwire.
RELAYS = {"relay", "relay, awake"}
PEERS = {"bare tcp", "bare udp", "zeromq", "nng", "grpc"}
OWN = "slotwire"
TUNNELS = {"tunnel-iperf3": "throughput", "tunnel-pgbench": "transactions", "tunnel-wrk": "requests", "tunnel-redis": "requests"}
SLOTS = {"idle slots of each node", "connections opened", "memory per slot, slotwired", "shared memory per slot", "descriptors per slot, slotwired"}
# Of each case: metrics by contender, and how many goals it has.
CASES = {
    **{case: ({name: CALLS for name in PEERS | RELAYS | {OWN}}, goals) for case, goals in (("call-1", 2), ("call-16", 1), ("call-64", 1))},
    "under-way-64": ({name: CALLS for name in PEERS | {OWN, "bare tcp, sent together"}}, 1),
    "one-way-64": ({name: {"messages"} for name in (PEERS | {OWN}) - {"grpc"}}, 1),
    "large-1MiB": ({name: {"throughput"} for name in (PEERS | RELAYS | {OWN}) - {"grpc", "bare udp"}}, 1),
    **{case: ({name: {metric} for name in ("direct", OWN, "4 relays", "2 relays")}, 1) for case, metric in TUNNELS.items()},
    "peers-4": ({name + more: CALLS for name in RELAYS | {OWN, "bare tcp"} for more in ("", ", one of them")}, 1),
    **{case: ({name: {"connections", "processor time per connection"} for name in (OWN, "slotwire, 64 at once", "bare tcp", "relays")}, 2)
       for case in ("open-remote", "open-local")},
    "slots-60000": ({OWN: CALLS | SLOTS, "slotwire, one slot": CALLS}, 1),
    "hog": ({name + more: CALLS for name in (OWN, "relay", "bare tcp") for more in ("", ", no hog")}, 1),
    "idle": ({name: {"processor of an idle slotwired"} for name in (OWN, "slotwire, 1000 slots")}, 2),
    "round-trips": ({name: {"round-trip p50", "round-trip p99", "round-trip calls", "40-byte messages", "64 KiB messages"}
                     for name in ("bare tcp", "same node", "two nodes, udp", "two nodes, udp, aes-256-gcm", "two nodes, tcp")}, 0),
}
# What a goal compares with, where that is no contender's name.
BEST_PEER = re.compile(r"of the best peer, (.+)$")


class Shortest(unittest.TestCase):
    def check(self, *cases):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.json"
            ran = subprocess.run([BENCH, "--cases", ",".join(cases), "--json", path, *SHORTEST], capture_output=True, text=True, timeout=3 * TIMEOUT)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            rows = json.loads(path.read_text())
        left_out = set(re.findall(r"left out: (\w+)", ran.stderr))
        skipped = dict(re.findall(r"(\S+) is skipped: (.+)", ran.stderr))
        for case in cases:
            if case in skipped:
                self.assertNotIn(case, {row["group"] for row in rows})
                continue
            self.check_case(case, [row for row in rows if row["group"] == case], left_out)
        self.assertEqual({row["group"] for row in rows} | set(skipped), set(cases))
        if skipped:
            self.skipTest("; ".join(f"{case}: {why}" for case, why in skipped.items()))
        return rows

    def check_case(self, case, rows, left_out):
        contenders, goals = CASES[case]
        found = {}
        for row in rows:
            found.setdefault(row["contender"], {})[row["metric"]] = row
        for name, metrics in contenders.items():
            if name not in left_out:
                self.assertLessEqual(metrics, set(found.get(name, {})), f"{case}, {name}")
        for row in rows:
            name = f"{row['case']}, {row['metric']}"
            self.assertEqual((row["suite"], row["runs"]), ("node", 1), name)
            self.assertTrue(math.isfinite(row["value"]), name)
            self.assertEqual(row["spread"], [row["value"]] * 2, name)
            if row["metric"] not in ("shared memory per slot", "memory per slot, slotwired", "lost messages") and not re.search("per connection|sleeps per call", row["metric"]):
                self.assertGreater(row["value"], 0, name)
            others = {other["contender"]: other["value"] for other in rows if other["metric"] == row["metric"] and other is not row}
            self.assertEqual(row["peers"], others, name)
            if row["floor"]:
                self.assertIn(row["floor"], [*others.values(), row["value"]], name)
                self.assertAlmostEqual(row["ratio_to_floor"], row["value"] / row["floor"], msg=name)
            if "goal" in row:
                self.check_goal(name, row)
        self.assertEqual(sum("goal" in row for row in rows), goals, case)

    def check_goal(self, name, row):
        goal = row["goal"]
        sense, factor, against = re.fullmatch(r"(at most|at least) ([0-9.]+)(?: of (.+))?", goal["text"]).groups()
        value = row["value"]
        if against:
            best = BEST_PEER.search(goal["text"])
            peers = {peer: at for peer, at in row["peers"].items() if not peer.startswith(OWN)}
            value /= max(peers.values()) if best else row["peers"][against]
            if best:
                self.assertEqual(peers[best.group(1)], max(peers.values()), name)
        self.assertAlmostEqual(goal["value"], value, msg=name)
        self.assertEqual(goal["met"], value <= float(factor) if sense == "at most" else value >= float(factor), name)

    def test_calls(self):
        self.check("call-1", "call-16", "under-way-64")

    def test_calls_of_many(self):
        self.check("call-64")

    def test_messages(self):
        self.check("one-way-64", "large-1MiB")

    def test_peers_and_a_hog(self):
        self.check("peers-4", "hog")

    def test_opens(self):
        self.check("open-remote", "open-local")

    def test_idle_slots(self):
        slots = {row["metric"]: row["value"] for row in self.check("slots-60000", "idle") if row["case"] == "slots-60000"}
        self.assertEqual(slots["idle slots of each node"], 50)
        # One for each slot, duplicates of the two that the keeper has where there is room, and some of sessions.
        self.assertGreaterEqual(slots["descriptors per slot, slotwired"], 1)
        self.assertLess(slots["descriptors per slot, slotwired"], 6)

    def test_iperf3(self):
        self.check("tunnel-iperf3")

    def test_pgbench(self):
        self.check("tunnel-pgbench")

    def test_wrk(self):
        self.check("tunnel-wrk")

    def test_redis(self):
        self.check("tunnel-redis")

    def test_round_trips(self):
        rows = self.check("round-trips")
        floors = {(row["contender"], row["metric"]): row["floor"] for row in rows}
        values = {(row["contender"], row["metric"]): row["value"] for row in rows}
        self.assertEqual(floors["same node", "round-trip p50"], values["bare udp", "round-trip p50"])
        self.assertEqual(floors["same node", "40-byte messages"], values["bare tcp", "40-byte messages"])


class Selected(unittest.TestCase):
    def test_every_case_can_be_chosen_and_no_other(self):
        known = subprocess.run([BENCH, "--help"], capture_output=True, text=True, check=True).stdout
        names = re.search(r"--cases .*?\{([^}]*)\}", known, re.S).group(1)
        self.assertEqual(set(re.split(r",\s*", names)), {*CASES, "all", "calls"})
        refused = subprocess.run([BENCH, "--cases", "call-2"], capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("call-2", refused.stdout + refused.stderr)

    def test_a_program_that_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            ran = subprocess.run([BENCH, "--cases", "tunnel-iperf3", *SHORTEST], capture_output=True, text=True, env={"PATH": directory})
        self.assertEqual((ran.returncode, json.loads(ran.stdout)), (0, []))
        self.assertIn("tunnel-iperf3 is skipped: there is no program 'iperf3' (package iperf3)", ran.stderr)


class Table(unittest.TestCase):
    def row(self, contender, value, **more):
        return {"suite": "node", "case": f"{contender}, c", "group": "c", "contender": contender, "metric": "p50", "unit": "us", "value": value, "runs": 3,
                "spread": [value - 1, value + 1], "floor": 20, "ratio_to_floor": value / 20, "peers": {"bare tcp": 20}, **more}

    def test_goals_stand_beside_the_figures(self):
        rows = [self.row("slotwire", 10, case="c", goal={"text": "at most 0.4 of bare tcp", "value": 0.5, "met": False}), self.row("bare tcp", 20)]
        lines = report.markdown(rows).splitlines()
        self.assertEqual(lines[2:], ["| c | p50 | 10 us (9 .. 11) | bare tcp 20 | at most 0.4 of bare tcp | 0.5, missed |"])

    def test_groups_without_slotwire_are_shown_whole(self):
        lines = report.markdown([self.row("same node", 10), self.row("bare tcp", 20)]).splitlines()
        self.assertEqual(lines[2:], ["| same node, c | p50 | 10 us (9 .. 11) | floor 20 |  |  |", "| bare tcp, c | p50 | 20 us (19 .. 21) | floor 20 |  |  |"])


if __name__ == "__main__":
    unittest.main()
