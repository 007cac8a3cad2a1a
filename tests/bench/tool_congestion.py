#!/usr/bin/env python3
"""The suite `congestion` in its shortest form: rows are complete, whatever their values are; and how its figures are computed."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path[:0] = [str(BENCH / "congestion"), str(Path(__file__).resolve().parents[1] / "node")]
import cells  # noqa: E402
import contenders  # noqa: E402
import plots  # noqa: E402
from bed import Flow, Failed, Result  # noqa: E402
from nodes import TIMEOUT  # noqa: E402

METRICS = {"cubic": {"utilisation", "mean queue", "sent again", "load"}, "cubic-4": {"Jain's index"}, "slotwire": {"utilisation", "mean queue", "sent again"},
           "beside cubic": {"share beside cubic"}}


def result(name, samples, told=None):
    return Result(name, samples, {}, {}, 0, told or {})


class Computed(unittest.TestCase):
    def test_bytes_between_samples_are_interpolated(self):
        flow = result("link 0", [(10.0, 0), (10.1, 1000), (10.3, 5000)])
        self.assertAlmostEqual(flow.bytes_at(10.05), 500)
        self.assertAlmostEqual(flow.bytes_at(10.2), 3000)
        self.assertEqual(flow.bytes_at(9), 0)
        self.assertEqual(flow.bytes_at(11), 5000)
        self.assertAlmostEqual(flow.megabits(10.1, 10.3), 4000 * 8 / 0.2 / 1e6)

    def test_jains_index_is_1_for_equals_and_1_of_n_for_one_that_has_all(self):
        self.assertAlmostEqual(contenders.jain([3, 3, 3, 3]), 1)
        self.assertAlmostEqual(contenders.jain([5, 0, 0, 0]), 0.25)
        self.assertAlmostEqual(contenders.jain([1, 3]), 0.8)
        self.assertEqual(contenders.jain([0, 0]), 0)

    def test_a_share_is_the_links_over_the_cubic_flows(self):
        cell = cells.Cell(10, 20)
        path = {"packets": 80, "bytes": 1_000_000, "over_s": 1, "dropped_queue": 20, "dropped_random": 0, "marked": 0, "mean_queueing_ms": 3, "largest_queueing_ms": 9, "late": 0}
        counters = lambda lines, again: [{"left": {"tx_lines": lines, "tx_lines_again": again, "timeouts": again}}]
        run = {"begin": 1, "end": 2, "report": {"to_right": path}, "load": 1, "before": counters(100, 10), "after": counters(300, 60),
               "results": [result("link 0", [(1, 0), (2, 500_000)]), result("cubic 0", [(1, 0), (2, 250_000)])]}
        figures = contenders.figures_of(cell, contenders.Contender("beside cubic", links=1, cubic=1), run)
        self.assertAlmostEqual(figures["share beside cubic"], 2)
        self.assertAlmostEqual(figures["utilisation"], 0.6)
        self.assertAlmostEqual(figures["passed"], 0.8)
        self.assertAlmostEqual(figures["dropped"], 20)
        self.assertAlmostEqual(figures["sent again"], 25)
        self.assertEqual(figures["timeouts"], 50)
        self.assertNotIn("Jain's index", figures)
        self.assertNotIn("marked", figures)

    def test_a_path_holds_what_its_name_says(self):
        cell = cells.Cell(100, 20, 0.25, ecn=True)
        self.assertEqual((cell.bdp_bytes, cell.queue_bytes, cell.queue_ms), (250_000, 62_500, 5))
        self.assertEqual(cell.ce_bytes, 31_250)
        self.assertIsNone(cells.Cell(100, 20).ce_bytes)
        self.assertEqual(cells.Cell(10, 1, 4).queue_bytes, cells.LEAST_QUEUE)
        self.assertEqual(cells.parse_cell("100/20/0.25/0/ecn"), cell)
        self.assertEqual(cells.parse_cell("100/20"), cells.Cell(100, 20))
        with self.assertRaises(ValueError):
            cells.parse_cell("100")
        for name, make in cells.MATRICES.items():
            found = make()
            self.assertEqual(len({cell.same_path for cell in found}), len(found), name)
        self.assertEqual(len(cells.quick()), 3)

    def test_rings_hold_more_than_the_path_does(self):
        for cell in cells.whole():
            for slots in (contenders.CONNECTIONS, contenders.SLOTS):
                ring = contenders.ring_bytes(cell, slots)
                self.assertEqual(ring & (ring - 1), 0)
                self.assertGreaterEqual(ring * slots, min(contenders.RINGS_PER_PATH * (cell.bdp_bytes + cell.queue_bytes), contenders.LARGEST_RING * slots))

    def test_pictures_are_valid_and_scaled_to_what_they_show(self):
        for largest in (0.003, 0.9, 1, 7, 99, 12345):
            self.assertGreaterEqual(plots.ticks(largest)[-1], largest)
            self.assertLessEqual(len(plots.ticks(largest)), 8)
        for text in (plots.lines("a < b", "Mb/s", [("one", [(0, 1), (1, 3)]), ("two", [])], 5), plots.bars("x", "%", ["g"], ["a", "b"], lambda g, n: None if n == "b" else 3)):
            self.assertTrue(xml.etree.ElementTree.fromstring(text).tag.endswith("svg"))

    def test_a_flow_that_lost_something_has_no_figures(self):
        class Ended:
            def __init__(self, line):
                self.line = line

            def next(self, *_):
                return self.line

            def end(self, _):
                pass

            def all(self, _):
                return []

        def finished(sent, received, wrong=0):
            flow = Flow.__new__(Flow)
            flow.name, flow.patience_s = "link 0", 1
            flow.sender, flow.sink = Ended({"streams": sent}), Ended({"streams": received, "wrong": wrong})
            flow.kill = lambda: None
            return flow.finish(checks=True)

        self.assertEqual(finished({"1": 5}, {"1": 5}).received, {"1": 5})
        for broken in (({"1": 5}, {"1": 4}), ({"1": 5, "2": 5}, {"1": 10}), ({"1": 5}, {"1": 5}, 1)):
            with self.assertRaisesRegex(Failed, "LOST"):
                finished(*broken)


@unittest.skipUnless(os.geteuid() == 0, "namespaces need root")
class Shortest(unittest.TestCase):
    def test_every_contender_has_rows_and_loses_nothing(self):
        names = "|".join(METRICS)
        with tempfile.TemporaryDirectory(prefix="slotwire-test-") as directory:
            done = subprocess.run([sys.executable, str(BENCH / "congestion" / "bench_congestion.py"), "--cell", "10/1", "--contenders", f"^({names})$",
                                   "--time-factor", "0.1", "--out", directory], capture_output=True, text=True, timeout=4 * TIMEOUT, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = json.loads(Path(directory, "congestion.json").read_text())
            self.assertIn("### 10 Mb/s", Path(directory, "congestion.md").read_text())
            self.assertTrue(Path(directory, "congestion-utilisation.svg").exists())
            table = subprocess.run([sys.executable, str(BENCH / "report.py"), "congestion", "--rows", str(Path(directory, "congestion.json"))],
                                   capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
        found = {}
        for row in rows:
            self.assertNotIn("LOST", row.get("note", ""))
            self.assertEqual(row["runs"], 1, row)
            self.assertIn(row["contender"], table)
            found.setdefault(row["contender"], set()).add(row["metric"])
            if row["metric"] == "utilisation":
                self.assertGreater(row["value"], 0, row)
                self.assertLess(row["value"], 1, row)
        for contender, metrics in METRICS.items():
            self.assertLessEqual(metrics, found.get(contender, set()), contender)


if __name__ == "__main__":
    unittest.main()
