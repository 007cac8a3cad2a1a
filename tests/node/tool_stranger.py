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


class Documents(NodeTest):
    services = {"right": ["echo"], "left": []}

    def add_node(self, name, peer):
        network = self.addresses[name].rsplit(".", 1)[0]
        self.stranger = network + ".77"
        if name == "right":
            self.extra_config = {"left": "", "right": '[[link]]\npeer = "stranger"\ndial = false\n'}
        return super().add_node(name, peer)

    def converse(self):
        self.serve(["echo", "--echo"], self.right)
        node = Stranger("stranger", self.stranger, (self.addresses["right"], 7400), TIMEOUT)
        self.addCleanup(node.close)
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
