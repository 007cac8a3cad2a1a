#!/usr/bin/env python3
"""Two nodes over DPDK ports, beside DPDK alone on the same ports and the kernel's UDP on the same wire, in turn.

    bench_dpdk.py [--runs N] [--calls N] [--idle SECONDS] [--json FILE]

Ports: net_af_packet and net_af_xdp on a pair of virtual Ethernet interfaces between two network namespaces, and net_vhost with
net_virtio_user. Needs root. For each:
  - one line there and back between two processes, DPDK alone (the floor of the wire) and the carrier, both polling;
  - the same with the answering carrier asleep: what waking it takes;
  - the same through a chain of four processes on the same processors, memory, port, memory and back, which do nothing else: the
    floor of a call between two nodes, whose processes are as many;
  - calls and one-way messages of 40 bytes between two nodes, beside the same over the kernel's UDP; messages per second of processor
    time of both slotwired;
  - the share of a processor that an idle slotwired takes.
And what sending a frame takes of the processor with its lines copied and with them sent from where they are (dpdk.zero_copy), for
1 to 139 lines, on the drivers that can, in turn in one process.
The floor of calls between nodes is the floor of the wire and two round trips on one node: each call passes a node's slotwired four times.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "node"))
from nodes import Node, Process  # noqa: E402

BIN = os.environ["SLOTWIRE_BIN"]
LINES = os.path.join(BIN, "bench_dpdk_lines")
END, NODE = os.path.join(BIN, "bench_dpdk_end"), os.path.join(BIN, "bench_node")
TIMEOUT = 120
KERNEL = {"left": "10.98.0.1", "right": "10.98.0.2"}
PORT = {"left": "10.98.0.11", "right": "10.98.0.12"}
PORTS = {"af_packet": {side: "net_af_packet0,iface=wire" for side in KERNEL},
         "af_xdp": {side: "net_af_xdp0,iface=wire" for side in KERNEL},
         "vhost": {"left": "net_virtio_user0,path={}", "right": "net_vhost0,iface={}"}}  # the right one is started first
# Two pairs of ports in one namespace, and the lines that fit their frames: a pair's numbers stand for {a} and {b}, its own for {i}.
RING = "framesz=16384,blocksz=65536,framecnt=512"
IN_PLACE = {"vhost": ("net_vhost{a},iface={socket}{i}", "net_virtio_user{b},path={socket}{i}", 9000, (1, 8, 22, 32, 64, 139)),
            "af_packet": ("net_af_packet{a},iface=lines{a}," + RING, "net_af_packet{b},iface=lines{b}," + RING, 9000, (1, 8, 22, 32, 64, 139)),
            "tap": ("net_tap{a},iface=tap{i}", "net_af_packet{b},iface=tap{i}", 1500, (1, 8, 22))}
OTHER = {"left": "right", "right": "left"}


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


def cpu_s(pid):
    """Processor time of all threads of a process."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Wire:
    """Two namespaces with a virtual wire, or a directory for a socket."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-bench-")
        os.chmod(self.directory, 0o755)
        self.names = {side: f"swb{os.getpid()}{side[0]}" for side in KERNEL}
        self.socket = os.path.join(self.directory, "wire")
        self.count = 0

    def __enter__(self):
        for name in self.names.values():
            run("ip", "netns", "add", name)
        run("ip", "-n", self.names["left"], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.names["right"])
        for side, name in self.names.items():
            run("ip", "-n", name, "link", "set", "wire", "gso_max_segs", "1")
            run("ip", "-n", name, "addr", "add", KERNEL[side] + "/24", "dev", "wire")
            for device in ("wire", "lo"):
                run("ip", "-n", name, "link", "set", device, "up")
        name = self.names["left"]
        for pair in ("lines0", "lines1"), ("lines2", "lines3"):
            run("ip", "-n", name, "link", "add", pair[0], "type", "veth", "peer", "name", pair[1])
        for device in ("lines0", "lines1", "lines2", "lines3"):
            run("ip", "-n", name, "link", "set", device, "mtu", "9000", "gso_max_segs", "1", "up")
        return self

    def __exit__(self, *_):
        for name in self.names.values():
            run("ip", "netns", "del", name)
        shutil.rmtree(self.directory, True)

    def inside(self, side, *arguments):
        return ["ip", "netns", "exec", self.names[side], *arguments]

    def device(self, port, side):
        return PORTS[port][side].format(self.socket)

    def end(self, port, side, *more):
        # An end polls: each has a processor of its own.
        cpus = sorted(os.sched_getaffinity(0))
        cpu = cpus[0] if side == "left" else cpus[-1]
        return self.inside(side, "taskset", "-c", str(cpu), END, "--device", self.device(port, side), "--address", f"{PORT[side]}:7401", "--peer",
                           f"{PORT[OTHER[side]]}:7401", *more)

    def there_and_back(self, port, calls, carrier=(), answer=(), ask=()):
        other = Process(self.end(port, "right", *carrier, *answer))
        try:
            other.wait_for("^ready")
            trips = json.loads(run(*self.end(port, "left", *carrier, "--calls", str(calls), *ask)).splitlines()[-1])
            if trips["lost"]:
                print(f"{port} {' '.join([*carrier, *answer])}: {trips['lost']} of {calls} were not answered within a second", file=sys.stderr)
            return trips
        finally:
            other.stop()
            if other.count("did not wake"):
                print(f"{port}: {other.output()}", file=sys.stderr)

    def chain(self, port, calls):
        """A line from memory through two processes with ports to memory, and back."""
        others = []
        try:
            for side in ("right", "left"):  # the one that listens first
                hop = os.path.join(self.directory, f"hop-{side}")
                others.append(Process(self.inside(side, END, "--hop", hop, "--device", self.device(port, side), "--address",
                                                  f"{PORT[side]}:7401", "--peer", f"{PORT[OTHER[side]]}:7401")))
                others[-1].wait_for("^ready")
            others.append(Process([END, "--hop", os.path.join(self.directory, "hop-right")]))
            others[-1].wait_for("^ready")
            return json.loads(run(END, "--hop", os.path.join(self.directory, "hop-left"), "--calls", str(calls)).splitlines()[-1])
        finally:
            for other in others:
                other.stop()

    def in_place(self, port):
        """Nanoseconds of processor time a frame, by "copied" and "in place" and by lines."""
        device, other, mtu, lines = IN_PLACE[port]
        name = lambda pattern, i: pattern.format(a=2 * i, b=2 * i + 1, i=i, socket=self.socket)
        return json.loads(run(*self.inside("left", LINES, "--mtu", str(mtu), "--device", *(name(device, i) for i in range(2)), "--other",
                                           *(name(other, i) for i in range(2)), "--lines", *map(str, lines))).splitlines()[-1])

    def nodes(self, port):
        """Two nodes over `port`, or over the kernel's UDP."""
        self.count += 1
        directory = os.path.join(self.directory, str(self.count))
        os.mkdir(directory)
        nodes = {}
        for side in ("right", "left"):
            data = KERNEL if port == "kernel" else PORT
            config = f'[log]\nlevel = "info"\n[listen]\ncontrol = "{KERNEL[side]}:7400"\n'
            if port == "kernel":
                config += f'udp = "{KERNEL[side]}:7401"\n'
            else:
                config += f'[dpdk]\nport = "{self.device(port, side)}"\nhugepages = false\naddress = "{PORT[side]}:7401"\n'
            config += (f'[[link]]\npeer = "{OTHER[side]}"\ncontrol = "{KERNEL[OTHER[side]]}:7400"\n'
                       f'carrier = "{"udp" if port == "kernel" else "dpdk"}"\nudp = "{data[OTHER[side]]}:7401"\n'
                       '[[service]]\nname = "echo"\nnodes = ["right"]\n')
            nodes[side] = Node(directory, side, config)
            nodes[side].prefix = self.inside(side)
            nodes[side].start()
        for node in nodes.values():
            node.wait_for_link()
        return nodes


def call(node, count, what):
    return json.loads(run(NODE, "--call", node.socket, "echo", str(count), what))


class Figures:
    def __init__(self):
        self.values = {}

    def add(self, case, metric, unit, value):
        self.values.setdefault((case, metric, unit), []).append(value)

    def median(self, case, metric):
        return next((statistics.median(v) for (c, m, _), v in self.values.items() if (c, m) == (case, metric)), None)

    def rows(self):
        rows = []
        for (case, metric, unit), values in self.values.items():
            value, floor = statistics.median(values), self.floor(case, metric)
            peer = self.median("nodes, kernel UDP", metric)
            rows.append({"suite": "dpdk", "case": case, "metric": metric, "unit": unit, "value": value, "runs": len(values),
                         "spread": [min(values), max(values)], "floor": floor, "ratio_to_floor": value / floor if floor else None,
                         "peers": {"kernel UDP": peer} if peer is not None and case != "nodes, kernel UDP" else {}})
        return rows

    def floor(self, case, metric):
        what, _, port = case.partition(", ")
        if what == "lines in place":
            return self.median(f"lines copied, {port}", metric)
        wire = self.median(f"wire, {port}", metric)
        if what == "carrier" and metric.startswith("round trip"):
            return wire
        local = self.median("one node", metric)
        if what == "nodes" and metric == "round trip p50" and wire and local:
            return wire + 2 * local
        return None


def measure_nodes(wire, port, calls, figures, idle_s):
    case = "nodes, kernel UDP" if port == "kernel" else f"nodes, {port}"
    nodes = wire.nodes(port)
    server = Process([NODE, "--serve", nodes["right"].socket, "echo"])
    pids = [node.status()["pid"] for node in nodes.values()]
    try:
        for name, node in [(case, nodes["left"])] + ([("one node", nodes["right"])] if port == "kernel" else []):
            trips = call(node, calls, "round-trips")
            figures.add(name, "round trip p50", "us", trips["p50"])
            figures.add(name, "round trip p99", "us", trips["p99"])
        count = 400 * calls
        before = sum(map(cpu_s, pids))
        figures.add(case, "40-byte messages", "messages/s", call(nodes["left"], count, "messages")["rate"])
        figures.add(case, "40-byte messages a processor second", "messages", count / (sum(map(cpu_s, pids)) - before))
        if idle_s:
            before = [cpu_s(pid) for pid in pids]
            time.sleep(idle_s)  # what is measured: nothing happens
            for pid, had in zip(pids, before):
                figures.add(case, "processor of an idle slotwired", "%", (cpu_s(pid) - had) / idle_s * 100)
    finally:
        server.stop()
        for side in ("left", "right"):
            nodes[side].stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--idle", type=int, default=10, help="seconds")
    parser.add_argument("--ports", nargs="*", default=list(PORTS), choices=list(PORTS))
    parser.add_argument("--json")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_dpdk.py: network namespaces and raw sockets need root")
    figures = Figures()
    with Wire() as wire:
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", file=sys.stderr)
            for port in options.ports:
                for case, carrier in ((f"wire, {port}", ()), (f"carrier, {port}", ("--carrier",))):
                    trips = wire.there_and_back(port, options.calls, carrier)
                    figures.add(case, "round trip p50", "us", trips["p50"])
                    figures.add(case, "round trip p99", "us", trips["p99"])
                trips = wire.chain(port, options.calls)
                figures.add(f"chain, {port}", "round trip p50", "us", trips["p50"])
                figures.add(f"chain, {port}", "round trip p99", "us", trips["p99"])
                trips = wire.there_and_back(port, max(options.calls // 50, 20), ("--carrier",), ("--sleep",), ("--pause", "5000"))
                figures.add(f"carrier, {port}", "asleep for 5 ms: p50", "us", trips["p50"])
                figures.add(f"carrier, {port}", "asleep for 5 ms: p99", "us", trips["p99"])
            for port in IN_PLACE:
                for how, times in wire.in_place(port).items():
                    for lines, ns in times.items():
                        figures.add(f"lines {how}, {port}", f"sending {lines} lines", "ns", ns)
            for port in ["kernel", *options.ports]:
                measure_nodes(wire, port, options.calls, figures, options.idle if number == 0 else 0)
    rows = figures.rows()
    text = json.dumps(rows, indent=1)
    if options.json:
        Path(options.json).write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
