#!/usr/bin/env python3
"""Strangers on the HTTP server of a node, beside a link that runs over it: each costs itself alone."""
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "node"))
from nodes import SLOTWIRE, TIMEOUT, NodeTest, Process, free_port  # noqa: E402

PATH = "/slotwire"
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def bundle(key=bytes(16), sequence=1, flags=0, sections=b"", hold_ms=25000):
    """As docs/http-stream.md has it: a request without parts."""
    body = struct.pack(">4sI16sQQQIIIHHBBBBQQ", b"SLH\x01", 0, key, sequence, 0, 1, 0, hold_ms, 0, flags, 0, 1, 0, 0, 0, 0, 1 << 17) + sections
    return body[:4] + struct.pack(">I", crc32c(body)) + body[8:]


def message_bundle(key, sequence, message):
    """A request of a session with one message, its first."""
    run = struct.pack(">QHH", 0, 1, len(message)) + message
    body = struct.pack(">4sI16sQQQIIIHHBBBBQQ", b"SLH\x01", 0, key, sequence, 0, 1, 0, 0, 0, 4, 0, 1, 0, 0, 1, 0, 1 << 17) + run
    return body[:4] + struct.pack(">I", crc32c(body)) + body[8:]


def opening(rng):
    return bundle(flags=1, sections=rng.randbytes(16) + struct.pack(">II", 66000, 60000))


def post(body, path=PATH, length=None):
    return (f"POST {path} HTTP/1.1\r\nHost: node\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(body) if length is None else length}\r\n\r\n").encode() + body


class Hostile(NodeTest):
    carrier = "udp"

    def setUp(self):
        self.rng = random.Random(11)
        self.port = None
        super().setUp()

    def add_node(self, name, peer):
        from nodes import Node
        if self.port is None:
            self.port = free_port(self.addresses["right"])
        at = self.addresses[name]
        if name == "left":
            config = f'[listen]\nudp = "{at}:7401"\n[http]\nproxy = "none"\n[[link]]\npeer = "right"\ncarrier = "auto"\ncarriers = ["http"]\n' \
                     f'dial = true\nhttp = ["http://{self.addresses["right"]}:{self.port}{PATH}"]\n[[service]]\nname = "echo"\nnodes = ["right"]\n'
        else:
            config = f'[listen]\nhttp = "{at}:{self.port}"\n[[link]]\npeer = "left"\ncarrier = "auto"\ndial = false\n'
        node = Node(self.directory, name, config)
        self.nodes.append(node)
        return node

    def connect(self):
        """From an address of the stranger's own, so that the places of its source are counted apart from the peer's."""
        stranger = socket.socket()
        stranger.bind((self.addresses["left"][:-1] + "9", 0))
        stranger.settimeout(TIMEOUT)
        stranger.connect((self.addresses["right"], self.port))
        self.addCleanup(stranger.close)
        return stranger

    def gate(self):
        return self.right.status()["gate"]["pid"]

    def memory_kib(self):
        with open(f"/proc/{self.gate()}/status") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.gate()}/fd"))

    def calls_go_on(self, attack):
        self.serve(["echo", "--echo"], self.right)
        gate, before = self.gate(), self.memory_kib()
        bench = Process([SLOTWIRE, "bench", "echo", "--json", "-p", "2", "-d", "3600s", "-i", "100ms"], env={"SLOTWIRE_SOCKET": self.left.socket})
        self.processes.append(bench)
        bench.wait_for('"answered":[1-9]')
        attack()
        bench.wait_for('"answered":[1-9]', after=len(bench.lines))
        bench.process.send_signal(signal.SIGINT)
        self.assertEqual(bench.wait(), 0, bench.output())
        final = [json.loads(line) for line in bench.lines if line and line.startswith("{")][-1]
        self.assertEqual((final["failed"], final["wrong"], final["extra"], final["lost"]), (0, 0, 0, 0), final)
        self.assertEqual(self.gate(), gate, "the gate was ended")
        after = self.memory_kib()
        print(f"{final['sent']} calls; gate {before} KiB before, {after} KiB after")
        self.assertLess(after - before, 64 << 10, "the strangers fill the gate's memory")

    def answer(self, stranger):
        """The status of the next answer; None: the connection was ended."""
        data = b""
        try:
            while b"\r\n" not in data:
                got = stranger.recv(4096)
                if not got:
                    return None
                data += got
        except ConnectionError:
            return None
        return int(data.split()[1])

    def test_bodies_that_are_no_bundles_are_refused_and_cost_no_one_else_anything(self):
        def attack():
            for _ in range(300):
                size = self.rng.randrange(0, 2000)
                self.assertEqual(self.answer_of(post(self.rng.randbytes(size))), 400)
            damaged = bytearray(opening(self.rng))
            damaged[40] ^= 1
            self.assertEqual(self.answer_of(post(bytes(damaged))), 400)
        self.calls_go_on(attack)

    def answer_of(self, request):
        stranger = self.connect()
        try:
            stranger.sendall(request)
            return self.answer(stranger)
        finally:
            stranger.close()

    def test_an_endless_body_ends_at_the_limit(self):
        def attack():
            stranger = self.connect()
            stranger.sendall(post(b"", length=1 << 40))
            self.assertIn(self.answer(stranger), (413, None))
        self.calls_go_on(attack)

    def test_an_endless_header_ends_at_the_limit(self):
        def attack():
            stranger = self.connect()
            try:
                stranger.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode())
                for i in range(1 << 16):
                    stranger.sendall(f"X-{i}: {'y' * 100}\r\n".encode())
                    if select.select([stranger], [], [], 0)[0]:
                        break
            except ConnectionError:
                return
            self.assertIn(self.answer(stranger), (431, 400, None))
        self.calls_go_on(attack)

    def test_keys_that_are_guessed_speak_for_nobody(self):
        def attack():
            for i in range(300):
                self.assertEqual(self.answer_of(post(bundle(key=self.rng.randbytes(16), sequence=i + 1))), 200)
        self.calls_go_on(attack)

    def test_a_thousand_sessions_that_never_ask_again_are_bounded(self):
        def attack():
            statuses = [self.answer_of(post(opening(self.rng))) for _ in range(1000)]
            self.assertEqual(set(statuses), {200}, "an opening is answered, by a refusal where there is no place")
        self.calls_go_on(attack)

    def open_session(self):
        """The key of a new session; None: there was no place."""
        stranger = self.connect()
        stranger.sendall(post(opening(self.rng)))
        data = b""
        while b"\r\n\r\n" not in data:
            data += stranger.recv(4096)
        header, body = data.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in header.lower().split(b"\r\n") if line.startswith(b"content-length"))
        while len(body) < length:
            body += stranger.recv(4096)
        stranger.close()
        flags, = struct.unpack_from(">H", body, 60)
        return None if flags & 2 else body[8:24]

    def test_names_of_streams_that_a_stranger_makes_up_end_nothing(self):
        def attack():
            for name in (b"frames/", b"frames/" + b"0" * 31, b"frames/" + b"0" * 33, b"frames/" + b"g" * 32, b"frames/" + b"A" * 32,
                         b"frames/" + b"0" * 32, b"frames/" + b"A" * 900, b"frames/\0", b"frames", b"", b"control\0", b"\xff\xfe"):
                key = self.open_session()
                self.assertIsNotNone(key)
                self.answer_of(post(message_bundle(key, 2, struct.pack(">BI", 1, 1) + name)))
        self.calls_go_on(attack)

    def test_sessions_that_never_say_who_they_are_keep_no_peer_out(self):
        keys = [key for _ in range(200) if (key := self.open_session()) is not None]
        for key in keys:
            self.answer_of(post(bundle(key=key, sequence=2, flags=4)))
        # The peer's gate, and with it its session, begins anew.
        mark = len(self.left.engine.lines)
        os.kill(self.left.status()["gate"]["pid"], signal.SIGKILL)
        self.left.engine.wait_for("it is started again", after=mark)
        end = time.monotonic() + TIMEOUT
        while not self.left.status()["links"][0]["up"]:
            self.assertLess(time.monotonic(), end, self.left.status()["links"])
            for key in keys[-60:]:
                self.answer_of(post(bundle(key=key, sequence=3, flags=4)))

    def test_connections_that_say_nothing_take_no_place_of_the_peer(self):
        def attack():
            for _ in range(1500):
                try:
                    self.connect()
                except (ConnectionError, TimeoutError):
                    break
            run = self.right.status()
            self.assertTrue(run["links"][0]["up"], run["links"])
        self.calls_go_on(attack)

    def test_two_requests_that_two_parsers_read_differently_are_refused(self):
        def attack():
            body = opening(self.rng)
            for more in ("Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n", "Host: other\r\n", "X: y\r\n folded: z\r\n",
                         "Transfer-Encoding: xchunked\r\n"):
                request = post(body).replace(b"Host: node\r\n", b"Host: node\r\n" + more.encode())
                self.assertEqual(self.answer_of(request), 400, more)
        self.calls_go_on(attack)


if __name__ == "__main__":
    unittest.main(verbosity=2)
