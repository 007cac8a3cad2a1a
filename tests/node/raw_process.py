"""A process of a node without the client library: it asks for slots itself and touches their memory by hand.

As a program, `raw_process.py SOCKET NAME SERVICE`, it connects to a service that echoes and obeys lines on its standard
input: `once` makes a call, `run` makes calls until the next line. Every answer is compared with what was sent.
"""
import fcntl
import json
import mmap
import os
import random
import select
import socket
import struct
import sys
import threading

TIMEOUT = 30 * int(os.environ.get("SLOTWIRE_TEST_SLOWNESS", "1"))
PAGE, LINE, HEADER = 4096, 64, 16
TAIL, HEAD, WAIT = 0x00, 0x40, 0x80
SUMMARY, WORDS = 0x00, 0x40  # of the bell page
REQUEST, REPLY, WHOLE = 2, 3, 3
WAIT_READABLE, WAIT_STEP = 1, 4
MOST_BODY = 2000
FENCE = threading.Lock()
F_ADD_SEALS, F_GET_SEALS, SHRINK_GROW_SEAL = 1033, 1034, 0x2 | 0x4 | 0x1  # <linux/fcntl.h>

TFD_IOC_SET_TICKS = 0x40085400  # <linux/timerfd.h>


def signal(event):
    """Makes a kick or a wake readable."""
    fcntl.ioctl(event, TFD_IOC_SET_TICKS, struct.pack("<Q", 1))


class Slot:
    """One slot: its two space files mapped as they may be, and its wake."""

    def __init__(self, answer, fds):
        self.answer = answer
        self.own_fd, self.other_fd, self.wake = fds[:3]
        self.more = fds[3:]
        self.in_lines, self.out_lines = 1 << answer["in_order"], 1 << answer["out_order"]
        self.own = mmap.mmap(self.own_fd, os.fstat(self.own_fd).st_size)
        self.other = mmap.mmap(self.other_fd, os.fstat(self.other_fd).st_size, prot=mmap.PROT_READ)
        self.tail, self.head, self.waits, self.calls = self.mark(self.own, TAIL), self.mark(self.own, HEAD), 0, 0

    @staticmethod
    def mark(page, at):
        return struct.unpack_from("<I", page, at)[0]

    def set_mark(self, at, value):
        struct.pack_into("<I", self.own, at, value & 0xffffffff)

    def wait_for_lines(self, lines):
        """Sleeps on the wake, as the library does, until so many lines are there."""
        while (self.mark(self.other, TAIL) - self.head) & 0xffffffff < lines:
            self.waits += WAIT_STEP
            self.set_mark(WAIT, self.waits | WAIT_READABLE)
            with FENCE:  # taking a lock is a full barrier: WAIT is seen before the mark is looked at once more
                pass
            if (self.mark(self.other, TAIL) - self.head) & 0xffffffff < lines:
                if not select.select([self.wake], [], [], TIMEOUT)[0]:
                    raise AssertionError(f"not woken in {TIMEOUT} s; marks {self.marks()}")
                os.read(self.wake, 8)
            self.set_mark(WAIT, 0)

    def marks(self):
        return {"IN_TAIL": self.mark(self.own, TAIL), "OUT_HEAD": self.mark(self.own, HEAD),
                "IN_HEAD": self.mark(self.other, HEAD), "OUT_TAIL": self.mark(self.other, TAIL)}

    def ring_bytes(self, page, lines, at, size):
        data = b""
        while len(data) < size:
            first = PAGE + (at + len(data) // LINE) % lines * LINE
            data += page[first:first + LINE]
        return data[:size]

    def call(self, body, ring=lambda: None):
        """A request and its answer. `ring`: a proxy in software has to be told; a card watches the marks."""
        self.calls += 1
        record = struct.pack("<IBBHII", len(body), REQUEST, WHOLE, 0, self.calls, 0) + body
        for i in range(0, len(record), LINE):
            first = PAGE + (self.tail + i // LINE) % self.in_lines * LINE
            part = record[i:i + LINE]
            self.own[first:first + len(part)] = part
        self.tail += -(-len(record) // LINE)
        self.set_mark(TAIL, self.tail)
        ring()
        self.wait_for_lines(1)
        length, kind, _, _, call, _ = struct.unpack("<IBBHII", self.ring_bytes(self.other, self.out_lines, self.head, HEADER))
        if (length, kind, call) != (len(body), REPLY, self.calls):
            raise AssertionError(f"call {self.calls} of {len(body)} bytes: got length {length}, kind {kind}, id {call}")
        lines = -(-(HEADER + length) // LINE)
        self.wait_for_lines(lines)
        if self.ring_bytes(self.other, self.out_lines, self.head, HEADER + length)[HEADER:] != body:
            raise AssertionError(f"call {self.calls} of {len(body)} bytes: the answer is another")
        self.head += lines
        self.set_mark(HEAD, self.head)

    def close(self):
        self.own.close()
        self.other.close()
        for fd in (self.own_fd, self.other_fd, self.wake, *self.more):
            os.close(fd)


class Session:
    def __init__(self, path, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(path)
        self.asked = 0
        answer, self.fds = self.ask({"op": "hello", "version": 2, "name": name})
        if "ok" not in answer:
            raise AssertionError(f"hello: {answer}")

    def receive(self):
        text, fds, _, _ = socket.recv_fds(self.socket, 1 << 18, 8)
        return json.loads(text), fds

    def ask(self, request):
        self.asked += 1
        self.socket.send(json.dumps(dict(request, id=self.asked)).encode())
        while True:
            answer, fds = self.receive()
            if answer.get("id") == self.asked:
                return answer, fds

    def connect(self, service):
        answer, fds = self.ask({"op": "connect", "service": service, "timeout_ms": 1000 * TIMEOUT})
        if "ok" not in answer:
            raise AssertionError(f"connect: {answer}")
        return Slot(answer, fds)

    def ring(self, slot):
        """The bell of the slot, and a kick, for a proxy in software."""
        local = slot.answer["local"]
        with mmap.mmap(self.fds[0], PAGE) as bells:
            for at, bit in ((WORDS + local // 64 * 8, local % 64), (SUMMARY, local // 64)):
                bells[at + bit // 8] |= 1 << bit % 8
        signal(self.fds[2])

    def wait_closed(self):
        """The reason and the text with which a connection ends."""
        while True:
            event, _ = self.receive()
            if event.get("ev") == "closed":
                return event["reason"], event.get("text", "")

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)


def seals(fd):
    return fcntl.fcntl(fd, F_GET_SEALS)


def main(path, name, service):
    session = Session(path, name)
    slot = session.connect(service)
    chance = random.Random(os.getpid())
    print("connected", flush=True)
    for line in iter(sys.stdin.readline, ""):
        done = 0
        while True:
            slot.call(chance.randbytes(chance.randrange(MOST_BODY)))
            done += 1
            if line.strip() == "run" and done == 1:
                print("runs", flush=True)
            if line.strip() == "once" or select.select([sys.stdin], [], [], 0)[0]:
                break
        print(f"answered {done}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
