"""A bottleneck between two network namespaces, nodes on both sides of it, and bulk traffic through it.

Everything is inside namespaces that bench_bottleneck made, and ends with it: with close(), and also when this process is killed.
"""
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "node"))
import nodes  # noqa: E402

SIDES = ("left", "right")
ADDRESS = {"left": "10.78.0.1", "right": "10.78.0.2"}
MAC = {"left": "02:00:00:78:00:01", "right": "02:00:00:78:00:02"}
FIRST_PORT = 7400
TCP_PORT = 5000
# Where programs of this benchmark are; the nodes' may be elsewhere (Bed.programs).
TOOLS = nodes.BIN
SAMPLES_MS = 50  # of the queue's length
# Frames that may wait between a namespace and the bottleneck, which is to be the only place where any are dropped.
DEVICE_QUEUE = 20_000
# The kernel's buffers for TCP may hold any path of the matrix.
TCP_MEMORY = 64 << 20
SET_UP = """
set -e
ip link set lo up
ip link set {device} address {mac} txqueuelen {queue}
ip link set {device} up
ip address add {address}/24 dev {device}
ip neighbour replace {peer} lladdr {peer_mac} dev {device} nud permanent
cd /proc/sys/net/ipv4
echo {ecn} > tcp_ecn
echo 1 > tcp_no_metrics_save
echo "4096 131072 {memory}" > tcp_rmem
echo "4096 131072 {memory}" > tcp_wmem
"""

# One end answers each datagram, the other one prints how long answers took, ms.
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('{right}', {port}))
print('{{"ready": true}}', flush=True)
while True:
    data, sender = s.recvfrom(2000)
    s.sendto(data, sender)
"""
ASK = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({timeout})
s.connect(('{right}', {port}))
times = []
for i in range({count}):
    start = time.monotonic()
    s.send(i.to_bytes(100, 'little'))
    try:
        while int.from_bytes(s.recv(2000), 'little') != i:
            pass
        times.append((time.monotonic() - start) * 1e3)
    except TimeoutError:
        pass  # a path may lose at random
print('{{"times": %s}}' % times)
"""


class Failed(Exception):
    """What was to be measured did not work; a figure in itself."""


class Lines:
    """A process that prints lines of JSON."""

    def __init__(self, arguments, **options):
        self.process = nodes.Process(arguments, **options)
        self.read = 0

    def next(self, key, timeout=nodes.TIMEOUT):
        """The next line with `key`; those before it are passed over."""
        try:
            match, self.read = self.process.wait_for(f'.*"{key}".*', self.read, timeout)
        except AssertionError as error:
            raise Failed(str(error)) from None
        return json.loads(match.group(0))

    def end(self, timeout):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(self.process.arguments[-8:])} did not end in {timeout:.0f} s") from None
        if code != 0:
            raise Failed(f"{' '.join(self.process.arguments[-8:])} ended with {code}: {self.process.lines[-2:]}")

    def all(self, key):
        return [json.loads(line) for line in self.process.lines if line is not None and line.startswith("{") and f'"{key}"' in line]

    def kill(self):
        self.process.process.kill()
        self.process.wait()


@dataclasses.dataclass
class Pair:
    """Two nodes with a link between them, from left to right."""
    left: nodes.Node
    right: nodes.Node

    def counters(self):
        return {side: node.status()["counters"] for side, node in (("left", self.left), ("right", self.right))}


@dataclasses.dataclass
class Result:
    """What became of one sender and its sink. Times are seconds of CLOCK_MONOTONIC."""
    name: str
    samples: list  # (time, bytes so far)
    sent: dict  # bytes by number of the stream
    received: dict
    wrong: int
    told: dict  # the sender's last line

    def bytes_at(self, when):
        before = (self.samples[0][0], 0)
        for sample in self.samples:
            if sample[0] >= when:
                between = sample[0] - before[0]
                return sample[1] if between <= 0 else before[1] + (sample[1] - before[1]) * (when - before[0]) / between
            before = sample
        return before[1]

    def megabits(self, begin, end):
        return (self.bytes_at(end) - self.bytes_at(begin)) * 8 / (end - begin) / 1e6


class Flow:
    """A sender on the left, and its sink on the right. Ready to start when made."""

    def __init__(self, bed, name, sink, sender, patience_s):
        self.name = name
        self.patience_s = patience_s
        self.sink = self.sender = None
        try:
            self.sink = Lines([*bed.inside("right"), *sink[1]], env=sink[0])
            self.sink.next("ready")
            self.sender = Lines([*bed.inside("left"), *sender[1]], env=sender[0], stdin=subprocess.PIPE)
            self.sender.next("ready", patience_s)
        except BaseException:
            self.kill()
            raise

    def start(self):
        self.sender.process.process.stdin.write("\n")
        self.sender.process.process.stdin.flush()

    def finish(self, checks):
        """Waits for its end. `checks`: all that was sent has to arrive."""
        try:
            told = self.sender.next("end", self.patience_s)
            self.sender.end(nodes.TIMEOUT)
            got = self.sink.next("end", self.patience_s)
            self.sink.end(nodes.TIMEOUT)
        finally:
            self.kill()
        if checks and told["streams"] != got["streams"]:
            differing = {number: (sent, got["streams"].get(number)) for number, sent in told["streams"].items() if sent != got["streams"].get(number)}
            raise Failed(f"LOST: {self.name} sent and received of its streams {differing}")
        if got["wrong"] != 0:
            raise Failed(f"LOST: {got['wrong']} streams of {self.name} had wrong content")
        samples = [(sample["t"], sample["bytes"]) for sample in self.sink.all("t")]
        return Result(self.name, samples, told["streams"], got["streams"], got["wrong"], told)

    def kill(self):
        for end in (self.sender, self.sink):
            if end is not None:
                if end.process.process.stdin:
                    with contextlib.suppress(OSError):
                        end.process.process.stdin.close()
                end.kill()


class Bed:
    """`tables`: tables for the nodes' configurations, by algorithm ("": the usual one); `link_options`: lines for their [[link]];
    `programs`: where slotwired and slotwire are."""

    def __init__(self, directory, cell, seed=1, programs=TOOLS, tables=None, link_options=""):
        nodes.SLOTWIRE, nodes.SLOTWIRED = os.path.join(programs, "slotwire"), os.path.join(programs, "slotwired")
        self.directory, self.cell = directory, cell
        self.tables, self.link_options = tables or {}, link_options
        self.pairs = {}
        self.stack = contextlib.ExitStack()
        try:
            self._start(seed)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stack.close()

    def _start(self, seed):
        cell = self.cell
        arguments = ["--rate", cell.megabits, "--delay", cell.round_trip_ms / 2, "--queue", cell.queue_bytes, "--loss", f"{cell.loss_percent},0",
                     "--seed", seed, "--samples", SAMPLES_MS]
        if cell.ce_bytes:
            arguments += ["--ce", cell.ce_bytes]
        self.relay = Lines([os.path.join(TOOLS, "bench_bottleneck"), *map(str, arguments)])
        self.stack.callback(self.relay.kill)
        self.spaces = self.relay.next("left")
        self.realtime = self.spaces["realtime"]
        for side, other in zip(SIDES, reversed(SIDES)):
            script = SET_UP.format(device=self.spaces["device"], mac=MAC[side], address=ADDRESS[side], peer=ADDRESS[other], peer_mac=MAC[other],
                                   queue=DEVICE_QUEUE, ecn=int(cell.ecn), memory=TCP_MEMORY)
            done = subprocess.run([*self.inside(side), "sh", "-c", script], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Failed(f"setting up the namespace '{side}': {done.stderr.strip()}")

    def inside(self, side):
        return ["nsenter", f"--net={self.spaces[side]}", "setpriv", "--pdeathsig", "TERM"]

    def report(self):
        """What the bottleneck has done since the last report."""
        self.relay.process.process.send_signal(signal.SIGUSR1)
        return self.relay.next("time_s")

    def queue_over_time(self, begin, end):
        """[(seconds of CLOCK_MONOTONIC, ms that a frame to the right would wait)]"""
        return [(sample["t"], sample["queueing_ms"][0]) for sample in self.relay.all("queueing_ms") if begin <= sample["t"] <= end]

    def device_drops(self):
        """Frames that were dropped elsewhere than in the bottleneck."""
        drops = 0
        for side in SIDES:
            text = subprocess.run([*self.inside(side), "ip", "-s", "-j", "link", "show", self.spaces["device"]], capture_output=True, text=True, check=True)
            counts = json.loads(text.stdout)[0]["stats64"]
            drops += counts["tx"]["dropped"] + counts["rx"]["dropped"]
        return drops

    def echo_ms(self, count):
        """Round trips of a small datagram through the idle bed, sorted. Those that were lost are left out."""
        texts = [text.format(right=ADDRESS["right"], port=TCP_PORT, count=count, timeout=2) for text in (ECHO, ASK)]
        echo = Lines([*self.inside("right"), sys.executable, "-c", texts[0]])
        try:
            echo.next("ready")
            asker = Lines([*self.inside("left"), sys.executable, "-c", texts[1]])
            try:
                return sorted(asker.next("times", 4 * nodes.TIMEOUT)["times"])
            finally:
                asker.kill()
        finally:
            echo.kill()

    def settle(self):
        """Waits until nothing is on its way any more."""
        time.sleep((self.cell.queue_ms + 2 * self.cell.round_trip_ms) / 1e3 + 0.1)

    def pair(self, number, algorithm=""):
        """Pair `number` of those whose links have `algorithm`; started when it is first asked for."""
        key = (number, algorithm)
        if key not in self.pairs:
            self.pairs[key] = self._start_pair(len(self.pairs), self.tables.get(algorithm) or "")
        return self.pairs[key]

    def _start_pair(self, number, tables):
        control, udp = FIRST_PORT + 2 * number, FIRST_PORT + 2 * number + 1
        made = {}
        for side, other in zip(SIDES, reversed(SIDES)):
            config = f'[listen]\ncontrol = "{ADDRESS[side]}:{control}"\nudp = "{ADDRESS[side]}:{udp}"\n{tables}\n' \
                     f'[[link]]\npeer = "{other}{number}"\ncontrol = "{ADDRESS[other]}:{control}"\nudp = "{ADDRESS[other]}:{udp}"\n{self.link_options}\n'
            if side == "left":
                config += f'[[service]]\nname = "bulk"\nnodes = ["right{number}"]\n'
            node = nodes.Node(self.directory, f"{side}{number}", config)
            node.prefix = self.inside(side)
            node.start()
            self.stack.callback(stop, node)
            made[side] = node
        pair = Pair(**made)
        for node in made.values():
            node.wait_for_link()
        return pair

    def slotwire_flow(self, name, pair, connections, ring_bytes, seconds, patience_s):
        end = os.path.join(TOOLS, "bench_congestion_end")
        many = ["-n", str(connections)]
        sender = [end, "send", "bulk", *many, "--ring", str(ring_bytes), "--time", str(int(seconds * 1e3)), "--patience", str(int(patience_s * 1e3))]
        return Flow(self, name, ({"SLOTWIRE_SOCKET": pair.right.socket}, [end, "sink", "bulk", *many]),
                    ({"SLOTWIRE_SOCKET": pair.left.socket}, sender), seconds + 2 * patience_s)

    def tcp_flow(self, name, algorithm, connections, seconds, port=TCP_PORT):
        end = os.path.join(TOOLS, "bench_congestion_end")
        at, many = f"{ADDRESS['right']}:{port}", ["-n", str(connections)]
        sender = [end, "tcp-send", at, *many, "--algorithm", algorithm, "--time", str(int(seconds * 1e3))]
        return Flow(self, name, ({}, [end, "tcp-sink", at, *many]), ({}, sender), seconds + nodes.TIMEOUT)


def stop(node):
    """A node whose link has broken may take its time; it is not what is measured."""
    if node.engine is None:
        return
    try:
        node.stop()
    except AssertionError as error:
        print(error, file=sys.stderr)
