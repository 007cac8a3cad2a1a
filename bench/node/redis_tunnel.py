#!/usr/bin/env python3
"""redis-benchmark directly and through `slotwire tunnel` between two nodes, in turn, on this machine.

    redis_tunnel.py [--runs N] [--requests N]    prints a Markdown table: medians, requests per second and p50/p99 in milliseconds

Everything runs on the loopback interface: two slotwired, the two ends of the tunnel, redis-server and redis-benchmark share the
machine's processors, so the ratio says what the whole path costs here.
"""
import argparse
import csv
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "node"))
from nodes import NodeTest, free_port  # noqa: E402

# Name, share of the requests, arguments of redis-benchmark.
CASES = [("1 client", 0.2, ["-c", "1"]), ("20 clients", 1, ["-c", "20"]), ("20 clients, pipeline of 16", 4, ["-c", "20", "-P", "16"])]


class Tunnel(NodeTest):
    def runTest(self):
        pass

    def measure(self, port, host, arguments, requests):
        text = subprocess.run(["redis-benchmark", "-h", host, "-p", str(port), "-n", str(requests), "-t", "get", "-d", "100", "--csv", *arguments],
                              capture_output=True, text=True, check=True, timeout=300).stdout
        row = [row for row in csv.DictReader(text.splitlines())][0]
        return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])

    def compare(self, runs, requests):
        host = self.addresses["right"]
        at = free_port(host)
        redis = self.start([self.need("redis-server"), "--bind", host, "--port", str(at), "--save", "", "--dir", self.directory])
        redis.wait_for("eady to accept connections")
        serve = self.start(["tunnel", "serve", "web", f"{host}:{at}", "-q"], self.right)
        serve.wait_for("connections to service")
        listen = self.start(["tunnel", "listen", f"{self.addresses['left']}:0", "web", "-q"], self.left)
        port = int(listen.wait_for(r"connections to \S+:(\d+) go")[0].group(1))
        print("| GET, 100 bytes | directly: requests/s | p50 / p99 ms | through the tunnel: requests/s | p50 / p99 ms | ratio |")
        print("|---|---|---|---|---|---|")
        for name, share, arguments in CASES:
            count = int(requests * share)
            direct, tunnel = [], []
            for _ in range(runs):
                direct.append(self.measure(at, host, arguments, count))
                tunnel.append(self.measure(port, self.addresses["left"], arguments, count))
            d = [statistics.median(column) for column in zip(*direct)]
            t = [statistics.median(column) for column in zip(*tunnel)]
            print(f"| {name} | {d[0]:,.0f} | {d[1]:.2f} / {d[2]:.2f} | {t[0]:,.0f} | {t[1]:.2f} / {t[2]:.2f} | {t[0] / d[0]:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=50_000)
    options = parser.parse_args()
    bench = Tunnel()
    bench.setUp()
    try:
        bench.compare(options.runs, options.requests)
    finally:
        bench.tearDown()
        bench.doCleanups()


if __name__ == "__main__":
    main()
