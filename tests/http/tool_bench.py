#!/usr/bin/env python3
"""The benchmark of links over HTTP in its shortest form: rows are complete, whatever their values are."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path[:0] = [str(BENCH / "http"), str(Path(__file__).resolve().parent.parent / "node"), str(Path(__file__).resolve().parent)]
import proxies  # noqa: E402
import traffic  # noqa: E402
from nodes import TIMEOUT, Process  # noqa: E402

THROUGHPUT = {"throughput to the server", "throughput from the server"}
CASES = {"large/direct": THROUGHPUT, "large/squid": THROUGHPUT, "large/nginx": THROUGHPUT, "large-20ms": THROUGHPUT, "large-200ms": THROUGHPUT,
         "round-trip/direct": {"round trip p50"}, "round-trip/squid": {"round trip p50"}, "round-trip-20ms": {"round trip p50"}}
# The same over a WebSocket; other ways stand beside the one that goes by requests.
WEBSOCKET = {"large/squid, WebSocket", "large-20ms, WebSocket", "round-trip/squid, WebSocket", "round-trip-20ms, WebSocket"}
KEYS = {"suite", "case", "metric", "unit", "value", "runs", "spread", "floor", "ratio_to_floor", "peers"}
# Peers that need no program of others.
PEERS = {"direct TCP"}


class Rows(unittest.TestCase):
    def test_every_case_has_a_row_with_its_floor_and_its_peers(self):
        for program in ("squid", "nginx"):
            proxies.program(program)
        with tempfile.TemporaryDirectory(prefix="slotwire-test-") as directory:
            file = os.path.join(directory, "rows.json")
            done = subprocess.run([sys.executable, str(BENCH / "http" / "bench_http.py"), "--runs", "1", "--seconds", "0.02", "--calls", "20",
                                   "--delay", "0.01", "--short-delay", "0.002", "--json", file], capture_output=True, text=True, timeout=4 * TIMEOUT)
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = json.loads(Path(file).read_text())
            table = subprocess.run([sys.executable, str(BENCH / "report.py"), "http", "--rows", file], capture_output=True, text=True,
                                   timeout=TIMEOUT, check=True).stdout
        found = {}
        for row in rows:
            self.assertLessEqual(KEYS, set(row), row)
            self.assertGreater(row["value"], 0, row)
            self.assertLessEqual(row["spread"][0], row["value"], row)
            self.assertIn(row["case"], table)
            if row["case"] in CASES:
                found.setdefault(row["case"], set()).add(row["metric"])
                self.assertGreater(row["floor"], 0, row)
                self.assertAlmostEqual(row["ratio_to_floor"], row["value"] / row["floor"], msg=row)
                self.assertLessEqual(PEERS | {"slotwire stream"}, set(row["peers"]), row)
                if row["case"] == "large-200ms":
                    self.assertIn("one request at a time", row["peers"])
        self.assertEqual(found, CASES)
        self.assertLessEqual(WEBSOCKET, {row["case"] for row in rows if row["floor"]})


class Relay(unittest.TestCase):
    def test_bytes_come_late_in_order_and_the_end_of_each_direction_by_itself(self):
        delay = 0.05
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        relay = Process([sys.executable, str(BENCH / "http" / "delay_relay.py"), "--delay", str(delay),
                         f"127.0.0.1:{listener.getsockname()[1]}"])
        self.addCleanup(relay.stop)
        port = int(relay.wait_for(r"relaying on port (\d+)")[0].group(1))
        sent = os.urandom(3 << 20)
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as near:
            start = time.monotonic()
            writer = threading.Thread(target=lambda: (near.sendall(sent), near.shutdown(socket.SHUT_WR)))
            writer.start()
            far, _ = listener.accept()
            with far:
                far.settimeout(TIMEOUT)
                self.assertEqual(traffic.read_exactly(far, len(sent)), sent)
                self.assertEqual(far.recv(1), b"")
                self.assertGreaterEqual(time.monotonic() - start, delay)
                far.sendall(b"answer")
                far.shutdown(socket.SHUT_WR)
                self.assertEqual(traffic.read_exactly(near, 6), b"answer")
                self.assertEqual(near.recv(1), b"")
                self.assertGreaterEqual(time.monotonic() - start, 2 * delay)
            writer.join()


if __name__ == "__main__":
    unittest.main(verbosity=2)
