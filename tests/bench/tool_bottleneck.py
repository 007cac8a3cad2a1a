#!/usr/bin/env python3
"""bench_bottleneck between two namespaces, with the kernel's UDP through it. What takes time is bounded from below only."""
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "bench" / "congestion"), str(Path(__file__).resolve().parents[1] / "node")]
import bed as beds  # noqa: E402
from bed import ADDRESS, TOOLS, Bed  # noqa: E402
from cells import Cell  # noqa: E402
from nodes import TIMEOUT  # noqa: E402

PORT = 9000
PAYLOAD = 1472  # with which a packet has 1500 bytes
FRAME = 1538
ECT0, CE = 2, 3

# Sends numbered datagrams.
SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, {tos})
for i in range({count}):
    s.sendto(i.to_bytes(8, 'little') + bytes({size} - 8), ('{to}', {port}))
"""
# Prints the numbers and the ECN bits of what it got, when a datagram without content says that it is over.
RECEIVE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
s.bind(('{at}', {port}))
print('{{"ready": true}}', flush=True)
numbers, marks = [], []
while True:
    data, control, _, _ = s.recvmsg(2000, 100)
    if not data:
        break
    numbers.append(int.from_bytes(data[:8], 'little'))
    marks.append(next(value[0] & 3 for _, kind, value in control if kind == socket.IP_TOS))
print('{{"numbers": %s, "marks": %s}}' % (numbers, marks), flush=True)
"""


@unittest.skipUnless(os.geteuid() == 0, "namespaces need root")
class Through(unittest.TestCase):
    def bed(self, cell, seed=1):
        directory = tempfile.TemporaryDirectory(prefix="slotwire-test-")
        self.addCleanup(directory.cleanup)
        bed = Bed(directory.name, cell, seed)
        self.addCleanup(bed.close)
        return bed

    def start(self, bed, side, text, **values):
        process = beds.Lines([*bed.inside(side), sys.executable, "-c", text.format(at=ADDRESS[side], port=PORT, **values)])
        self.addCleanup(process.kill)
        process.next("ready")
        return process

    def run_left(self, bed, text, **values):
        done = subprocess.run([*bed.inside("left"), sys.executable, "-c", text.format(to=ADDRESS["right"], port=PORT, **values)], capture_output=True,
                              text=True, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def through(self, cell, count, size=PAYLOAD, tos=0, seed=1):
        """Sends `count` datagrams at once; (what the sink got, what the bottleneck says)."""
        bed = self.bed(cell, seed)
        sink = self.start(bed, "right", RECEIVE)
        bed.report()
        self.run_left(bed, SEND, count=count, size=size, tos=tos)
        # The last one is sent until it comes through: its frame may be lost too.
        deadline = time.monotonic() + TIMEOUT
        end = f"import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('{ADDRESS['right']}', {PORT}))"
        while sink.process.process.poll() is None:
            self.assertLess(time.monotonic(), deadline, "the sink did not end")
            subprocess.run([*bed.inside("left"), sys.executable, "-c", end], check=True, timeout=TIMEOUT)
            select.select([], [], [], 0.02)  # what is on its way
        self.assertEqual(bed.device_drops(), 0)
        return sink.next("numbers"), bed.report()["to_right"]

    def test_what_does_not_exceed_it_arrives_in_order_and_unmarked(self):
        got, told = self.through(Cell(100, 2, ecn=True), count=10, size=200, tos=ECT0)
        self.assertEqual(got["numbers"], list(range(10)))
        self.assertEqual(set(got["marks"]), {ECT0})
        self.assertEqual((told["dropped_queue"], told["dropped_random"], told["marked"]), (0, 0, 0))

    def test_a_burst_is_cut_to_the_queue_and_takes_as_long_as_the_rate_allows(self):
        bed_rate = 10
        start = time.monotonic()
        got, told = self.through(Cell(bed_rate, 1), count=300)
        took = time.monotonic() - start
        self.assertGreater(told["dropped_queue"], 0)
        passed = len(got["numbers"])
        self.assertGreaterEqual(passed, 30_000 // FRAME)
        self.assertEqual(got["numbers"], sorted(set(got["numbers"])))
        self.assertGreater(took, passed * FRAME * 8 / (bed_rate * 1e6))
        self.assertLessEqual(told["largest_queueing_ms"], 30_000 * 8 / (bed_rate * 1e3))

    def test_every_packet_that_is_dropped_is_counted_and_no_other_is(self):
        ends, count = 20, 2000
        got, told = self.through(Cell(300, 1, 4, loss_percent=10), count=count, size=64)
        missing = count - len(got["numbers"])
        # Those that end the test are a few more, and may be lost too.
        dropped = told["dropped_random"] + told["dropped_queue"]
        self.assertLessEqual(missing, dropped)
        self.assertLess(dropped, missing + ends)
        # Six standard deviations.
        self.assertGreater(told["dropped_random"], 200 - 6 * 13.4)
        self.assertLess(told["dropped_random"], 200 + 6 * 13.4 + ends)

    def test_marks_arrive_on_packets_with_ect_only(self):
        got, told = self.through(Cell(10, 20, 4, ecn=True), count=60, tos=ECT0)
        self.assertEqual(told["dropped_queue"], 0)
        self.assertEqual(len(got["numbers"]), 60)
        self.assertGreater(got["marks"].count(CE), 0)
        self.assertEqual(got["marks"].count(CE), told["marked"])
        self.assertEqual(set(got["marks"]), {ECT0, CE})
        got, told = self.through(Cell(10, 20, 4, ecn=True), count=60)
        self.assertEqual(set(got["marks"]), {0})
        self.assertEqual(told["marked"], 0)

    def test_a_round_trip_takes_at_least_the_delay_of_both_directions(self):
        for round_trip_ms in (1, 20):
            bed = self.bed(Cell(100, round_trip_ms))
            shortest = bed.echo_ms(20)[0]
            self.assertGreaterEqual(shortest, round_trip_ms)
            bed.close()


class Program(unittest.TestCase):
    def test_invalid_arguments_are_refused_with_what_is_valid(self):
        for arguments, expected in (
                (["--rate", "0"], "the rate must be"), (["--rate", "-3"], "the rate must be"), (["--rate", "10,nan"], "the rate must be"),
                (["--rate", "10", "--queue", "100"], "the queue must be"), (["--rate", "10", "--delay", "-1"], "the delay must be"),
                (["--rate", "10", "--delay", "1e300"], "the delay must be"), (["--rate", "10", "--loss", "0,100"], "the random loss must be"),
                (["--rate", "10", "--queue", "5000", "--ce", "5000"], "the threshold of CE must be"), ([], "--rate is required"),
                (["--rate", "fast"], "fast"), (["--rate", "10", "--device", "a-name-that-is-too-long"], "1 to 15 bytes")):
            done = subprocess.run([os.path.join(TOOLS, "bench_bottleneck"), *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(expected, done.stdout + done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "namespaces need root")
    def test_it_ends_with_whoever_started_it(self):
        program = os.path.join(TOOLS, "bench_bottleneck")
        starter = subprocess.Popen([sys.executable, "-c", f"""
import signal, subprocess
relay = subprocess.Popen(['{program}', '--rate', '10'], stdout=subprocess.PIPE)
relay.stdout.readline()
print(relay.pid, flush=True)
signal.pause()
"""], stdout=subprocess.PIPE, text=True)
        self.addCleanup(starter.stdout.close)
        relay = os.pidfd_open(int(starter.stdout.readline()))
        self.addCleanup(os.close, relay)
        starter.send_signal(signal.SIGKILL)
        starter.wait(TIMEOUT)
        self.assertTrue(select.select([relay], [], [], TIMEOUT)[0], "bench_bottleneck goes on without the process that started it")


if __name__ == "__main__":
    unittest.main()
