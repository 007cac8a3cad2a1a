#!/usr/bin/env python3
"""Nodes whose configurations do not fit each other: frames of different sizes, and a wrong UDP port."""
import time
import unittest

from nodes import TIMEOUT, NodeTest, run


class Misfits(NodeTest):
    def why(self, node):
        return node.status()["links"][0]["reason"]

    def wait_for_why(self, node, text):
        end = time.monotonic() + TIMEOUT
        while text not in self.why(node):
            self.assertLess(time.monotonic(), end, self.why(node))


class DifferentMtu(Misfits):
    extra_config = {"left": "", "right": ""}

    def add_node(self, name, peer):
        node = super().add_node(name, peer)
        with open(node.config) as file:
            text = file.read()
        with open(node.config, "w") as file:
            file.write(text.replace("[listen]\n", f"[listen]\nmtu = {9000 if name == 'left' else 1500}\n"))
        return node

    def test_nodes_with_different_mtu_send_frames_that_both_take(self):
        self.serve(["echo", "--echo"], self.right)
        body = "x" * 20000  # more than either frame holds
        answer = run(["call", "echo", body], self.left)
        self.assertEqual(answer.stdout.rstrip("\n"), body)
        for node in self.nodes:
            carrier = node.status()["carriers"][0]
            self.assertEqual((carrier["rx_malformed"], carrier["rx_too_large"]), (0, 0), carrier)
            self.assertEqual(self.why(node), "")


class WrongPort(Misfits):
    def add_node(self, name, peer):
        node = super().add_node(name, peer)
        if name == "left":
            with open(node.config) as file:
                text = file.read()
            with open(node.config, "w") as file:
                file.write(text.replace(f'udp = "{self.addresses[peer]}:7401"', f'udp = "{self.addresses[peer]}:7409"'))
        return node

    def test_a_wrong_udp_port_is_told_by_the_state_of_the_link(self):
        self.wait_for_why(self.left, "frames go to UDP port 7409 ('udp' of the [[link]]), but the peer listens on 7401")
        self.serve(["echo-left", "--echo"], self.left)
        caller = self.start(["call", "echo-left", "hello"], self.right)
        # The answer of the left node would go to port 7409; what the right one sends comes from a port that left does not expect.
        self.wait_for_why(self.left, "datagrams came from the peer's host but from port 7401")
        self.assertGreater(self.left.status()["carriers"][0]["rx_other_port"], 0)
        self.left.engine.wait_for("link to 'right': frames go to UDP port 7409")
        caller.stop()


if __name__ == "__main__":
    unittest.main()
