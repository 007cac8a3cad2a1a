"""Several processes on one simulated card that serves their slots itself: each reaches its own, and no other's.

The processes do not use the client library and ring no bell, so nothing but the card's own look at their marks can move
their lines. One of them (this one) is hostile.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

import raw_process
from nodes import TIMEOUT, Process
from tool_card import SIMCARD, CardTest

RAW = os.path.join(os.path.dirname(__file__), "raw_process.py")
SPACE_FILE = re.compile(r"memfd:slotwire-slot(\d+)-(in|out)")
BUSY, QUIET = 3, 1  # processes beside the hostile one: those that make calls all the time, and one that does not
KILLS = 3  # of slotwired, while calls run
STORMS = 6  # lives of the hostile process in which it writes at random


def event():
    return ctypes.CDLL(None).timerfd_create(1, os.O_CLOEXEC | os.O_NONBLOCK)  # 1: CLOCK_MONOTONIC


def space_files(pid):
    """Every space file that a process has a descriptor of or has mapped: {(slot, in or out)}; by both ways."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            match = SPACE_FILE.search(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue  # closed meanwhile
        if match:
            found.add((int(match[1]), match[2]))
    with open(f"/proc/{pid}/maps") as maps:
        found.update((int(match[1]), match[2]) for match in map(SPACE_FILE.search, maps) if match)
    return found


def contents(pid):
    """Marks and lines of both space files of a process with one slot."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        match = SPACE_FILE.search(os.readlink(f"/proc/{pid}/fd/{fd}"))
        if match:
            with open(f"/proc/{pid}/fd/{fd}", "rb") as file:
                found[match[2]] = file.read()
    return found


class DirectMap(CardTest):
    front_end, key = "--vfio-user", "vfio_user"

    def card_options(self):
        self.log = os.path.join(self.directory, "pci.log")
        return ["--pci-log", self.log]

    def start_processes(self):
        self.right.engine.wait_for("card: it serves the slots of processes itself")
        self.serve(["echo-left", "--echo"], self.left)
        started = []
        for number in range(BUSY + QUIET):
            name = f"busy{number}" if number < BUSY else "quiet"
            process = self.start([sys.executable, RAW, self.right.socket, name, "echo-left"], stdin=subprocess.PIPE)
            self.addCleanup(process.process.stdin.close)
            process.wait_for("^connected")
            self.tell(process, "once", "^answered 1$")
            started.append(process)
        return started[:BUSY], started[BUSY]

    def hostile(self):
        """A session of this process, and its slot, which works."""
        session = raw_process.Session(self.right.socket, "hostile")
        self.addCleanup(session.close)
        slot = session.connect("echo-left")
        self.addCleanup(slot.close)
        slot.call(b"as any other")
        return session, slot

    def tell(self, process, word, answer):
        after = len(process.lines)
        process.process.stdin.write(word + "\n")
        process.process.stdin.flush()
        return process.wait_for(answer, after=after)[0]

    def slots(self):
        """Number of the slot of each process, by the engine."""
        return {row["pid"]: row["slot"] for row in self.right.status("--slots")["slot_table"] if "pid" in row}

    def test_processes_share_one_card_and_reach_their_own_slot_only(self):
        busy, quiet = self.start_processes()
        _, slot = self.hostile()
        # Nobody has a descriptor or a mapping of another's slot.
        numbers = self.slots()
        for pid in (os.getpid(), *(process.pid for process in (*busy, quiet))):
            self.assertEqual(space_files(pid), {(numbers[pid], "in"), (numbers[pid], "out")}, f"process {pid} of {numbers}")
        self.assertEqual(len(set(numbers.values())), BUSY + QUIET + 1, numbers)
        # The card has them all; what it was written over the bus is checked when the log is whole.
        self.assertEqual(space_files(self.card.pid), {(number, way) for number in numbers.values() for way in ("in", "out")})
        self.check_what_may_be_done(slot)

    def check_what_may_be_done(self, slot):
        for fd in (slot.own_fd, slot.other_fd):
            wanted = raw_process.SHRINK_GROW_SEAL
            self.assertEqual(raw_process.seals(fd) & wanted, wanted)
        for size in (0, raw_process.PAGE, 1 << 20):
            with self.assertRaises(PermissionError):
                os.ftruncate(slot.own_fd, size)
        with self.assertRaises(OSError):
            os.ftruncate(slot.other_fd, 0)
        with self.assertRaises(PermissionError):
            mmap.mmap(slot.other_fd, len(slot.other))
        with self.assertRaises(OSError):
            os.pwrite(slot.other_fd, b"marks", 0)

    def tearDown(self):
        super().tearDown()
        if self.card is not None:
            self.check_log()

    def check_log(self):
        """slotwired wrote rows, and its token into line 0 of slot memory; no line or doorbell of a slot."""
        with open(self.log) as file:
            accesses = [line.split() for line in file]
        written = [(int(bar), int(offset, 16)) for op, bar, offset, *_ in accesses if op == "write"]
        self.assertIn((4, 0), written, "the log is of something else")
        self.assertEqual([at for at in written if at[0] == 2 or (at[0] == 4 and at[1] != 0)], [])

    def test_a_hostile_process_harms_its_own_slot_only(self):
        busy, quiet = self.start_processes()
        before = contents(quiet.pid)
        self.assertEqual(set(before), {"in", "out"})
        for process in busy:
            self.tell(process, "run", "^runs$")
        bad = {"IN_TAIL": (raw_process.TAIL, lambda slot: slot.tail + slot.in_lines + 1),
               "OUT_HEAD": (raw_process.HEAD, lambda slot: slot.head + 1)}
        for name, (at, value) in bad.items():
            session, slot = self.hostile()
            self.fill(slot)
            slot.set_mark(at, value(slot))
            self.assertEqual(session.wait_closed(), ("fault", f"{name} was moved to where it cannot be"))
            self.right.engine.wait_for(rf"slot {slot.answer['slot']} of 'hostile'.* faulted: {name} was moved")
        faults = sum(self.storm(seed) for seed in range(STORMS))
        self.assertGreater(faults, 0)
        self.assertEqual(contents(quiet.pid), before, "marks or lines of the quiet process's slot")
        for process in busy:
            made = self.tell(process, "stop", r"^answered (\d+)$")
            self.assertGreater(int(made[1]), 1, "it stood still")
        for process in (*busy, quiet):
            self.tell(process, "once", "^answered 1$")
        for line in self.right.engine.output().splitlines():
            if " faulted: " in line:
                self.assertIn("of 'hostile'", line)

    def fill(self, slot):
        """Random lines all over its input ring."""
        for at in range(raw_process.PAGE, len(slot.own), raw_process.PAGE):
            slot.own[at:at + raw_process.PAGE] = os.urandom(raw_process.PAGE)

    def storm(self, seed):
        """Writes at random all over its pages until its slot is stopped. Returns whether by a fault."""
        chance = random.Random(seed)
        session, slot = self.hostile()
        for _ in range(200):
            if chance.random() < 0.05:
                self.fill(slot)
            at = chance.choice((raw_process.TAIL, raw_process.HEAD, raw_process.WAIT, 4 * chance.randrange(len(slot.own) // 4)))
            struct.pack_into("<I", slot.own, at, chance.choice((chance.getrandbits(32), chance.randrange(8), 0xffffffff - chance.randrange(8))))
        slot.set_mark(raw_process.TAIL, 1 << 31)
        return session.wait_closed()[0] == "fault"


class DirectWithLoss(CardTest):
    front_end, key = "--vfio-user", "vfio_user"
    loss = 50  # of a thousand, each way

    def test_calls_of_several_processes_survive_loss_and_killed_engines(self):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        wait = ["-W", f"{2 * TIMEOUT}s"]
        calls = [self.start(["bench", "echo", "-n", "300", *wait], self.left),
                 self.start(["bench", "echo-left", "-n", "300", "-p", "3", "-s", "3000", *wait], self.right)]
        for _ in range(KILLS):
            before = self.counters(self.left)["rx_lines"]
            while self.counters(self.left)["rx_lines"] < before + 300 and any(c.process.poll() is None for c in calls):
                pass  # the calls run
            self.right.kill()
            self.right.start()
            self.right.wait_for_link()
        for process, count in zip(calls, (300, 900)):
            self.assertEqual(process.wait(3 * TIMEOUT), 0, process.output())
            self.assertIn(f"{count} answered, 0 failed, 0 wrong, 0 answered twice", process.output())
        self.assertGreater(self.counters(self.left)["tx_lines_again"], 0)


class Sharing(unittest.TestCase):
    """What a client of the card may hand it in the place of space files."""
    VERSION, SHARE, UNSHARE, REPLY, ERROR = 1, 0x8001, 0x8002, 1, 1 << 5

    def setUp(self):
        if not os.path.exists(SIMCARD):
            self.skipTest("slotwire-simcard was not built: Verilator is missing (see scripts/install-deps)")
        directory = tempfile.TemporaryDirectory(prefix="slotwire-test-")
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "card.sock")
        self.card = Process([SIMCARD, "--vfio-user", path])
        self.addCleanup(self.card.stop)
        self.card.wait_for("^ready")
        self.client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.client.close)
        self.client.settimeout(TIMEOUT)
        self.client.connect(path)
        self.assertIn(b'"slotwire_slots":true', self.ask(self.VERSION, struct.pack("<HH", 0, 1) + b"{}\0")[1])

    def ask(self, command, body, fds=()):
        """The error number of the answer, and its body."""
        socket.send_fds(self.client, [struct.pack("<HHIII", 7, command, 16 + len(body), 0, 0) + body], list(fds))
        _, _, size, flags, error = struct.unpack("<HHIII", self.exactly(16))
        body = self.exactly(size - 16)
        self.assertEqual(flags & self.REPLY, self.REPLY)
        return error if flags & self.ERROR else 0, body

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.client.recv(size - len(data))
            self.assertTrue(piece, self.card.output())
            data += piece
        return data

    def file(self, size, seals=raw_process.SHRINK_GROW_SEAL):
        fd = os.memfd_create("space", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, raw_process.F_ADD_SEALS, seals)
        return fd

    def test_what_is_no_space_file_is_refused(self):
        order, size = 6, 2 * raw_process.PAGE
        good, wake, pipe = self.file(size), event(), os.pipe()
        for fd in (wake, *pipe):
            self.addCleanup(os.close, fd)
        reading = os.open(f"/proc/self/fd/{good}", os.O_RDONLY)
        self.addCleanup(os.close, reading)
        share = lambda slot, fds, in_order=order, out_order=order: self.ask(self.SHARE, struct.pack("<III", slot, in_order, out_order), fds)[0]
        wrong = {"slot 64 of 64": (64, (good, good, wake)), "no descriptors": (0, ()), "one too few": (0, (good, good)), "one too many": (0, (good, good, wake, wake)),
                 "no timerfd": (0, (good, good, pipe[1])), "a pipe": (0, (pipe[0], good, wake)), "another size": (0, (self.file(size + raw_process.PAGE), good, wake)),
                 "a file that may shrink": (0, (good, self.file(size, seals=0), wake)), "a ring too large": (0, (good, good, wake), 16, order),
                 "an order far too large": (0, (good, good, wake), 0xffffffff, order), "no right to write": (0, (good, reading, wake))}
        for what, arguments in wrong.items():
            with self.subTest(what):
                self.assertEqual(share(*arguments), errno.EINVAL)
        self.assertEqual(self.ask(self.SHARE, b"short", (good, good, wake))[0], errno.EINVAL)
        self.assertEqual(self.ask(self.UNSHARE, b"")[0], errno.EINVAL)
        # A row that is not bound has nothing to serve, and that is no error; nor is the end of what was never served.
        self.assertEqual(share(0, (good, good, wake)), 0)
        for slot in (0, 63, 64, 0xffffffff):
            self.assertEqual(self.ask(self.UNSHARE, struct.pack("<I", slot))[0], 0)
        self.assertEqual(space_files(self.card.pid), set())


if __name__ == "__main__":
    unittest.main()
