#!/usr/bin/env python3
"""Frames that neither node sent, with the peer's source address and port, over a link in the clear.

Whoever forges them here knows more than a stranger can: both slots, the epoch, the figures of the rings. What he does not know
is where the positions of the pairing began, and that is enough to keep him out.
"""
import os
import socket
import struct
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
import raw_process  # noqa: E402
from generate import encode  # noqa: E402
from nodes import TIMEOUT, NodeTest  # noqa: E402

PORT = 7401


class ForgedFrames(NodeTest):
    services = {"right": ["echo"], "left": []}

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("frames with a source address of somebody else can be sent by root only")
        super().setUp()
        self.serve(["echo", "--echo"], self.right)
        self.session = raw_process.Session(self.left.socket, "caller")
        self.addCleanup(self.session.close)
        self.slot = self.session.connect("echo")
        self.addCleanup(self.slot.close)
        self.call(b"once")
        # An IPv4 header of its own: the kernel adds nothing but its checksum.
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.addCleanup(self.raw.close)

    def call(self, body):
        self.slot.call(body, lambda: self.session.ring(self.slot))

    def right_slot(self):
        return self.right.status("--slots")["slot_table"][0]

    def forge(self, frame):
        source, target = (socket.inet_aton(self.addresses[name]) for name in ("left", "right"))
        udp = struct.pack(">HHHH", PORT, PORT, 8 + len(frame), 0) + frame
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0, source, target)
        self.raw.sendto(ip + udp, (self.addresses["right"], 0))

    def counter(self, name):
        return self.right.status()["counters"].get(name, 0)

    def wait_until(self, what, done):
        end = time.monotonic() + TIMEOUT
        while not done():
            self.assertLess(time.monotonic(), end, what)

    def frame(self, kind, seq, ack, lines=0):
        at = self.right_slot()
        return encode(kind, at["slot"], at["peer_slot"], at["epoch"], seq, ack, 64, bytes(64 * lines))

    def test_a_forged_frame_needs_the_positions_of_the_pairing(self):
        before = self.counter("drop_position")
        guesses = [(kind, seq, ack) for seq in (0, 1, 2, 1 << 31) for ack in (0, 1, 2, 1 << 31)
                   for kind in ("data", "ack", "nak", "probe", "reset")]
        for kind, seq, ack in guesses:
            self.forge(self.frame(kind, seq, ack, lines=kind == "data"))
        self.wait_until("forged frames did not arrive", lambda: self.counter("drop_position") == before + len(guesses))
        self.call(b"still there")
        # With them it is done, which shows that the guesses failed for no other reason.
        marks = self.right_slot()["marks"]
        self.forge(self.frame("reset", marks["out_tail"], marks["in_tail"]))
        self.wait_until("the reset with the right positions was not taken", lambda: self.counter("rx_resets") == 1)

    def test_two_pairings_begin_at_different_positions(self):
        first = self.right_slot()["marks"]
        other = self.session.connect("echo")
        self.addCleanup(other.close)
        both = [row["marks"] for row in self.right.status("--slots")["slot_table"]]
        self.assertEqual(len(both), 2)
        for mark in ("in_tail", "out_tail"):
            apart = [(row[mark] - first[mark]) & 0xffffffff for row in both if row != first]
            self.assertGreater(min(min(n, (1 << 32) - n) for n in apart), 100, both)


if __name__ == "__main__":
    unittest.main()
