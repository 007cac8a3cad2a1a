#!/usr/bin/env python3
"""A node that was written from the documents talks to a real one, and the conversation is the one of docs/control.md.

    tool_stranger.py --write    puts the conversation as it was into docs/control.md
"""
import os
import sys
import unittest

from nodes import TIMEOUT, NodeTest
from stranger import Stranger, shown

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "control.md")
BEGIN, END = "<!-- conversation: begin -->\n", "<!-- conversation: end -->\n"


def page_parts():
    with open(PAGE) as file:
        before, rest = file.read().split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


class WithStranger(NodeTest):
    services = {"right": ["echo"], "left": []}
    more_config = ""

    def add_node(self, name, peer):
        network = self.addresses[name].rsplit(".", 1)[0]
        self.stranger = network + ".77"
        if name == "right":
            self.extra_config = {"left": "", "right": '[[link]]\npeer = "stranger"\ndial = false\n' + self.more_config}
        return super().add_node(name, peer)

    def connect_stranger(self):
        node = Stranger("stranger", self.stranger, (self.addresses["right"], 7400), TIMEOUT)
        self.addCleanup(node.close)
        return node


class Documents(WithStranger):
    def converse(self):
        self.serve(["echo", "--echo"], self.right)
        node = self.connect_stranger()
        hello = node.greet()
        self.assertEqual((hello["type"], hello["version"], hello["node"]), ("hello", 1, "right"))
        self.assertEqual(node.open("absent")["code"], "no_service")
        self.assertEqual(node.open("echo", slot=2)["type"], "opened")
        body = bytes(range(256)) * 3
        self.assertEqual(node.call(body), body)
        node.send(type="close", slot=node.peer_slot, from_slot=2, epoch=node.epoch, reason="closed")
        node.send(type="hello", version=1, node="stranger", incarnation="00000000000000a7")
        self.assertEqual(node.receive()["type"], "error")
        return shown(node.said)

    def test_a_node_written_from_the_documents_holds_the_conversation_of_the_page(self):
        said = self.converse()
        self.assertEqual(page_parts()[1], "\n```\n" + "\n".join(said) + "\n```\n\n", "tests/node/tool_stranger.py --write")


class Unasked(WithStranger):
    """What nobody asked a peer for costs its control connection, and the peer is told why."""
    more_config = '[[service]]\nname = "there"\nnodes = ["stranger"]\n'
    OPENED = {"type": "opened", "slot": 3, "to": {"name": "x", "pid": 1, "uid": 0}}

    def greet(self):
        node = self.connect_stranger()
        node.greet()
        return node

    def receive(self, node, kind):
        while True:
            message = node.receive()
            if message["type"] == kind:
                return message

    def ended(self, node, why):
        self.assertIn(why, self.receive(node, "error")["text"])
        with self.assertRaises(ConnectionError):
            self.receive(node, "none")
        self.right.engine.wait_for("link to 'stranger': control connection lost: it sent " + why)

    def test_an_opened(self):
        node = self.greet()
        node.send(id=1, **self.OPENED)
        self.ended(node, "an answer to an open that was not sent to it")

    def test_an_answer_about_health(self):
        node = self.greet()
        node.send(type="health", services=[{"service": "echo", "processes": 1, "well": 1}])
        self.ended(node, "an answer about health that nobody asked for")

    def test_an_answer_that_comes_late_is_none_and_a_second_one_is(self):
        node = self.greet()
        call = self.start(["call", "there", "--timeout", "300ms"], self.right)
        asked = self.receive(node, "open")
        call.wait()
        self.assertEqual(self.receive(node, "close")["from_slot"], asked["slot"])
        node.send(id=asked["id"], **self.OPENED)
        node.send(type="open", id=7, service="absent", slot=1, epoch=1, in_order=6, out_order=6, in_first=0, out_first=0,
                  **{"from": {"name": "stranger", "pid": 1, "uid": 0}})
        self.assertEqual(self.receive(node, "refused")["id"], 7, "the late answer cost nothing")
        node.send(id=asked["id"], **self.OPENED)
        self.ended(node, "an answer to an open that was not sent to it, or that it has answered")

    def test_a_message_that_is_too_long(self):
        for greeted in (True, False):
            node = self.greet() if greeted else self.connect_stranger()
            node.connection.sendall((2 << 20).to_bytes(4, "big") + bytes(100000))
            self.assertIn("you sent a message of 2097152 bytes, allowed are 1 to 1048576", self.receive(node, "error")["text"])
            with self.assertRaises(ConnectionError):
                self.receive(node, "none")
            who = "link to 'stranger': control connection lost" if greeted else "control connection from .* turned away"
            self.right.engine.wait_for(who + ": it sent a message of 2097152 bytes")


if __name__ == "__main__":
    if "--write" in sys.argv:
        test = Documents("test_a_node_written_from_the_documents_holds_the_conversation_of_the_page")
        test.setUp()
        said = test.converse()
        test.tearDown()
        test.doCleanups()
        before, _, after = page_parts()
        with open(PAGE, "w") as page:
            page.write(before + BEGIN + "\n```\n" + "\n".join(said) + "\n```\n\n" + END + after)
    else:
        unittest.main()
