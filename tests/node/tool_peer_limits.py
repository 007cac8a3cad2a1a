"""What one peer can take from the others of a node, and how long what it holds outlives it: each test has a hostile peer."""
import os
import re
import signal
import unittest

from nodes import TIMEOUT, NodeTest, run
from stranger import Stranger

SLOTS = 64


class PeerLimits(NodeTest):
    services = {"right": ["echo"], "left": []}
    limits = f'[limits]\nslots = {SLOTS}\nlinger = "200ms"\n'

    def add_node(self, name, peer):
        network = self.addresses[name].rsplit(".", 1)[0]
        self.stranger_address = network + ".77"
        if name == "right":
            self.extra_config = {"left": "", "right": self.limits + '[[link]]\npeer = "stranger"\ndial = false\n'}
        return super().add_node(name, peer)

    def setUp(self):
        super().setUp()
        self.serve(["echo", "--echo"], self.right)

    def come(self):
        node = Stranger("stranger", self.stranger_address, (self.addresses["right"], 7400), TIMEOUT)
        self.addCleanup(node.close)
        node.greet()
        return node

    def open_until_refused(self, node, order=6, most=SLOTS):
        for slot in range(1, most + 1):
            answer = node.open("echo", slot=slot, order=order)
            if answer["type"] == "refused":
                return slot - 1, answer
        raise AssertionError("the peer took them all")

    def link(self):
        return next(link for link in self.right.status()["links"] if link["peer"] == "stranger")

    def wait_for_slots(self, number):
        while self.link()["slots"] != number:
            pass

    def reload(self, old, new, said):
        with open(self.right.config) as file:
            config = file.read()
        self.assertIn(old, config)
        with open(self.right.config, "w") as file:
            file.write(config.replace(old, new))
        os.kill(self.right.engine.pid, signal.SIGHUP)
        self.right.engine.wait_for(said)


class Shares(PeerLimits):
    def test_one_peer_does_not_take_all_slots_also_over_restarts_of_both(self):
        node = self.come()
        held, answer = self.open_until_refused(node)
        self.assertEqual(answer["code"], "quota", answer)
        for word in ("link to node 'stranger'", "slots of node 'right'", "limits.peer_share = 2", "close connections"):
            self.assertIn(word, answer["text"])
        self.assertGreater(held, SLOTS // 2, "alone, a peer has most of a node")
        link = self.link()
        self.assertEqual((link["slots"], link["memory"], link["refused_opens"]), (held, held * 8192, 1))
        self.assertTrue(re.search(rf"stranger +{held} ", run(["status"], self.right).stdout))
        self.assertEqual(run(["call", "echo", "hello"], self.left).stdout, "hello")
        # A slotwired that was killed counts what it took over; a peer that comes back under its name has its account.
        self.right.kill()
        self.right.start()
        self.assertEqual(self.link()["slots"], held)
        self.right.wait_for_link()
        node = self.come()  # its sync has no pairings: they end, and the server closes them
        self.wait_for_slots(0)
        self.assertEqual(self.open_until_refused(node)[0], held)
        again = self.come()  # the same node, connected anew
        self.wait_for_slots(0)
        self.assertEqual(again.open("echo", slot=1)["type"], "opened")


class Memory(PeerLimits):
    limits = '[limits]\nmemory_per_session = "256MiB"\n[memory]\nslot_memory = "256MiB"\n'

    def test_one_peer_does_not_take_all_memory(self):
        node = self.come()
        held, answer = self.open_until_refused(node, order=15)
        self.assertEqual(answer["code"], "quota", answer)
        self.assertIn("of slot memory of node 'right'", answer["text"])
        self.assertIn("limits.peer_share", answer["text"])
        self.assertEqual(self.link()["memory"], held * (4 << 20))
        self.assertEqual(run(["call", "echo", "hello"], self.left).stdout, "hello")


class Quotas(PeerLimits):
    limits = PeerLimits.limits + "slots_per_peer = 3\n"

    def test_a_quota_names_its_key_and_a_reload_changes_it(self):
        node = self.come()
        held, answer = self.open_until_refused(node)
        self.assertEqual(held, 3)
        self.assertEqual(answer["code"], "quota", answer)
        self.assertIn("has 3 of its 3 slots of node 'right' in use", answer["text"])
        self.assertIn("raise limits.slots_per_peer there", answer["text"])
        self.reload("slots_per_peer = 3", "slots_per_peer = 4", r"limits.slots_per_peer changed: it holds from now on")
        self.assertEqual(node.open("echo", slot=9)["type"], "opened")
        self.assertEqual(node.open("echo", slot=10)["code"], "quota")
        node.send(type="close", slot=node.peer_slot, from_slot=10, epoch=node.epoch, reason="closed")
        self.assertEqual(self.link()["refused_opens"], 2)


class Rates(PeerLimits):
    limits = PeerLimits.limits + "opens_per_peer = 1\n"

    def test_opens_beyond_the_rate_are_refused(self):
        node = self.come()
        for slot in range(1, 50):
            answer = node.open("absent", slot=slot)
            if answer["code"] != "no_service":
                break
        self.assertEqual(answer["code"], "busy", answer)
        self.assertIn("limits.opens_per_peer = 1", answer["text"])
        self.assertIn("node 'right'", answer["text"])


class Absence(PeerLimits):
    limits = PeerLimits.limits + 'link_down = "300ms"\n'

    def test_what_a_peer_that_left_holds_comes_back(self):
        gone = self.come()
        for slot in range(1, 6):
            self.assertEqual(gone.open("echo", slot=slot)["type"], "opened")
        self.assertEqual(self.link()["slots"], 5)
        free = self.right.status()["memory"]["free"]
        gone.close()
        self.right.engine.wait_for(r"link to node 'stranger' was down for longer than limits.link_down = 300ms: its 5 connections end")
        self.wait_for_slots(0)
        self.assertGreater(self.right.status()["memory"]["free"], free)
        self.assertEqual(run(["call", "echo", "hello"], self.left).stdout, "hello")


if __name__ == "__main__":
    unittest.main()
