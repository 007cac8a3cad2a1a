"""Rings for streams and large messages: larger than the default while there is room, and never the reason for a refusal."""
import os
import socket
import unittest

import raw_process
from nodes import NodeTest, run

DEFAULT = 64 << 10
LINE = 64


class Bulk(NodeTest):
    extra_config = {"left": '[memory]\nslot_memory = "64MiB"\n', "right": '[memory]\nslot_memory = "4MiB"\nmax_ring = "256KiB"\n[limits]\nreserve = 0\n'}

    def connect(self, process, service, **more):
        answer, fds = process.ask({"op": "connect", "service": service, "timeout_ms": 10000, **more})
        for fd in fds:
            os.close(fd)
        return answer

    def process(self, node):
        process = raw_process.Session(node.socket, "bulk")
        self.addCleanup(process.close)
        return process

    def rings(self, node):
        """Bytes of the two rings of each slot that connected, in the order of their slots."""
        return [(slot["in_lines"] * LINE, slot["out_lines"] * LINE)
                for slot in node.status("--slots")["slot_table"] if not slot["acceptor"]]

    def test_are_a_part_of_what_is_free_and_never_smaller_than_the_default(self):
        self.serve(["here", "--echo"], self.left)
        process = self.process(self.left)
        opened = []
        while "ok" in (answer := self.connect(process, "here", bulk=True)):
            opened.append(self.rings(self.left)[-1])
            self.assertLess(len(opened), 2048)
        self.assertIn("memory", answer["error"]["text"], answer)
        sizes = [ring for rings in opened for ring in rings]
        self.assertEqual(sizes[0], 256 << 10)  # a 256th part of 64 MiB
        self.assertEqual(sizes[-1], DEFAULT)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        # With rings of the default there would have been 512.
        self.assertGreater(len(opened), 300)

    def test_what_is_asked_for_in_bytes_is_what_comes(self):
        self.serve(["here", "--echo"], self.left)
        process = self.process(self.left)
        for asked, rings in (({"bulk": True, "in_bytes": 4096}, (4096, 256 << 10)),
                             ({"bulk": True, "in_bytes": 8192, "out_bytes": 4096}, (8192, 4096)), ({}, (DEFAULT, DEFAULT))):
            self.assertIn("ok", self.connect(process, "here", **asked))
            self.assertIn(rings, self.rings(self.left), asked)

    def test_a_node_that_has_no_room_for_larger_ones_gets_the_default(self):
        self.serve(["echo", "--echo"], self.right)
        process = self.process(self.left)
        opened = 0
        while "ok" in (answer := self.connect(process, "echo", bulk=True)):
            opened += 1
            self.assertLess(opened, 64)
        # Of 4 MiB there this peer gets two thirds, less the next connection: after one of 512 KiB and eight of 256
        # KiB there is room for one of 128 KiB, and for none that is larger.
        rings = self.rings(self.left)
        self.assertEqual(rings[0], (256 << 10, 256 << 10))
        self.assertEqual(rings[-1], (DEFAULT, DEFAULT))
        self.assertEqual((opened, rings.count((DEFAULT, DEFAULT))), (10, 1))
        self.assertIn("of node 'right'", answer["error"]["text"], answer)
        self.assertEqual(sum(user["pending_opens"] for user in self.left.status()["users"]), 0)

    def test_a_node_whose_rings_are_smaller_gets_the_default(self):
        self.right.stop()
        with open(self.right.config) as file:
            config = file.read()
        with open(self.right.config, "w") as file:
            file.write(config.replace('max_ring = "256KiB"', 'max_ring = "128KiB"'))
        self.right.start()
        self.serve(["echo", "--echo"], self.right)
        process = self.process(self.left)
        while "ok" not in (answer := self.connect(process, "echo", bulk=True)):
            self.assertIn(answer["error"]["code"], ("link_down", "no_service"))  # it has just started
        self.assertEqual(self.rings(self.left), [(DEFAULT, DEFAULT)])

    def test_a_tunnel_asks_for_them(self):
        self.serve(["echo", "--echo"], self.left)
        listener = self.start(["tunnel", "listen", "127.0.0.1:0", "echo"], self.left)
        match, _ = listener.wait_for(r"127\.0\.0\.1:(\d+)")
        with socket.create_connection(("127.0.0.1", int(match.group(1)))):
            while not self.rings(self.left):
                pass  # the test has a time limit
            self.assertEqual(self.rings(self.left), [(256 << 10, 256 << 10)])


if __name__ == "__main__":
    unittest.main()
