#!/usr/bin/env python3
"""`slotwire stream serve` with ten thousand sessions that were opened and never ask again, beside a client that does."""
import os
import random
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "node"))
from nodes import TIMEOUT, SLOTWIRE, Process  # noqa: E402
import tool_hostile as wire  # noqa: E402

SESSIONS = 10_000
SOURCES = 20  # addresses that they come from
EXTRA = 100  # places beyond them
GRACE = "1s"  # after the 15 s in which a session counts as up
BYTES_EACH = 16 << 10  # of memory that a session without messages may take
ANSWER_NOW = 4
ANSWER_HEAD = struct.Struct(">4sI16sQQQIIIHH")


def echo(listener):
    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Stranger:
    """One HTTP connection, over which sessions are opened one after the other."""

    def __init__(self, address, port):
        self.connection = socket.socket()
        self.connection.bind((address, 0))
        self.connection.settimeout(TIMEOUT)
        self.connection.connect(("127.0.0.1", port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body):
        """The fields of the answering bundle."""
        self.connection.sendall(wire.post(body, path="/s"))
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + self.length(data[:end]):
            piece = self.connection.recv(65536)
            if not piece:
                raise ConnectionError("the server ended the connection")
            data += piece
        return ANSWER_HEAD.unpack_from(data, end + 4)

    @staticmethod
    def length(head):
        return next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))

    def open_session(self, rng):
        """False: refused. One request uses the key, so that the session exists; then nothing."""
        answer = self.ask(wire.opening(rng))
        key, flags = answer[2], answer[9]
        if flags & 2:
            return False
        self.ask(wire.bundle(key=key, sequence=2, flags=ANSWER_NOW))
        return True


class ManySessions(unittest.TestCase):
    def start(self, arguments, pattern):
        process = Process([SLOTWIRE, "stream", *arguments], env={name: "" for name in ("http_proxy", "all_proxy", "no_proxy")})
        self.addCleanup(process.stop)
        return process, int(process.wait_for(pattern)[0].group(1))

    def memory(self):
        with open(f"/proc/{self.server.pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) << 10

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def echo_once(self):
        """Seconds that the honest client's stream takes."""
        start = time.monotonic()
        self.honest.sendall(b"x" * 1000)
        left = 1000
        while left > 0:
            left -= len(self.honest.recv(left))
        return time.monotonic() - start

    def open_all(self):
        """The longest round trip of the honest client meanwhile."""
        rng = random.Random(os.urandom(8))  # a nonce that is repeated opens no session
        strangers = [Stranger(f"127.0.0.{2 + i}", self.port) for i in range(SOURCES)]
        slowest = 0
        for number in range(SESSIONS):
            self.assertTrue(strangers[number % SOURCES].open_session(rng), f"session {number} is refused")
            if number % 500 == 0:
                slowest = max(slowest, self.echo_once())
        more = [stranger.open_session(rng) for stranger in strangers for _ in range(EXTRA)]
        self.assertLess(sum(more), EXTRA, "sessions are opened beyond the limit")
        self.opened += SESSIONS + sum(more)
        for stranger in strangers:
            stranger.connection.close()
        return slowest

    def wait_for_ends(self):
        with self.server.changed:
            ended = lambda: sum("closed: timed_out" in line for line in self.server.lines if line is not None)
            self.assertTrue(self.server.changed.wait_for(lambda: ended() >= self.opened, 4 * TIMEOUT), f"{ended()} sessions have ended")

    def test_ten_thousand_sessions_that_never_ask_again(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.addCleanup(listener.close)
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        places = str(SESSIONS + EXTRA)
        self.server, self.port = self.start(
            ["serve", "--http", "127.0.0.1:0", "--max-sessions", places, "--max-sessions-per-source", places, "--memory", "4GiB",
             "--grace", GRACE, "--", "/s", f"127.0.0.1:{listener.getsockname()[1]}"], r"serving http://[^ ]+:([0-9]+)/s")
        _, port = self.start(["connect", "--listen", "127.0.0.1:0", "--proxy", "none", f"http://127.0.0.1:{self.port}/s"],
                             r"connections to \S+:(\d+) go")
        self.honest = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.addCleanup(self.honest.close)
        alone = max(self.echo_once() for _ in range(20))
        memory, descriptors = self.memory(), self.descriptors()
        self.opened, held = 0, []
        for _ in range(2):
            start = time.monotonic()
            slowest = self.open_all()
            took = time.monotonic() - start
            held.append(self.memory() - memory)
            print(f"{SESSIONS} sessions in {took:.1f} s, {held[-1] / SESSIONS:.0f} bytes each; an echo took {1000 * slowest:.1f} ms at most, "
                  f"{1000 * alone:.1f} ms alone")
            self.assertLess(held[-1], SESSIONS * BYTES_EACH)
            self.assertLess(slowest, TIMEOUT / 10, "the honest client is held up")
            if len(held) == 2:
                break
            self.wait_for_ends()
            self.echo_once()
            # Nothing is left of them: their places, and what they held, are there for the next ten thousand.
            self.assertLessEqual(self.descriptors(), descriptors + 2)
        self.assertLess(held[1], held[0] + (16 << 20), "memory is not used again")


if __name__ == "__main__":
    unittest.main()
