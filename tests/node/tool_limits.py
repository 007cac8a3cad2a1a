"""A node whose processes may open few files: how many slots it has all the same, and what it says where that is too few."""
import glob
import os
import shutil
import sys
import tempfile
import unittest

import raw_process
from nodes import Node, NodeTest

FILES = 2000  # that slotwired, and each process of its keeper, may open
SLOTS = 1500  # three of four: as 15,000 of 20,000
LIMITS = f"[limits]\nslots = {SLOTS}\nsessions = 16\nregions = 8\nregion_processes = 16\nregion_lists = 8\n[memory]\nring = \"4KiB\"\n"


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def keepers(node):
    """Processes of a node's keeper: their command line names the node's run_dir."""
    found = []
    for comm in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(comm) as file:
                name = file.read().strip()
            with open(os.path.join(os.path.dirname(comm), "cmdline")) as file:
                command_line = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name == "slotwire-keeper" and os.path.dirname(node.socket) in command_line:
            found.append(int(comm.split("/")[2]))
    return found


def waking(slot):
    """A slot of a direct pair whose other end is woken by each record: both are on one node, nobody else does it."""
    set_mark = slot.set_mark

    def set_and_wake(at, value):
        set_mark(at, value)
        if at == raw_process.TAIL:
            raw_process.signal(slot.more[0])

    slot.set_mark = set_and_wake
    return slot


class Limits(NodeTest):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes = [], []
        self.prlimit = self.need("prlimit")

    def limited(self, config):
        node = Node(self.directory, "node", config)
        node.prefix = [self.prlimit, f"--nofile={FILES}:{FILES}"]
        self.nodes.append(node)
        node.start()
        return node

    def test_three_slots_for_four_descriptors_and_again_after_a_kill(self):
        node = self.limited(LIMITS)
        self.assertNotIn("need", node.engine.output())
        self.serve(["echo", "--echo"], node)
        session = raw_process.Session(node.socket, "many")
        first = waking(session.connect("echo"))
        for number in range(SLOTS // 2 - 2):
            slot = waking(session.connect("echo"))
            if number % 32 == 0:
                slot.call(b"there")  # the server has accepted all up to this one; what exceeds its backlog is closed
            slot.close()  # the connection stays, its other end has it
        last = waking(session.connect("echo"))
        self.assertEqual(node.status()["slots"]["used"], SLOTS)
        self.assertLess(open_files(node.engine.pid), FILES)
        kept = keepers(node)
        self.assertGreater(len(kept), 1, "one process cannot keep that many")
        for pid in kept:
            self.assertLess(open_files(pid), FILES)
        for slot in (first, last):
            slot.call(b"before")
        refused, _ = session.ask({"op": "connect", "service": "echo", "timeout_ms": 20000})
        self.assertNotIn("ok", refused)
        self.assertIn("slots", str(refused), "it is limits.slots that is reached, not the descriptors")
        node.kill()
        node.start()
        node.engine.wait_for(rf"taken over from an earlier slotwired: \d+ sessions, {SLOTS} slots")
        self.assertLess(open_files(node.engine.pid), FILES)
        for slot in (first, last):
            slot.call(b"after")
        for slot in (first, last):
            slot.close()
        session.close()

    def test_says_at_the_start_what_is_missing(self):
        node = self.limited("[limits]\nslots = 4000\nsessions = 16\nregion_lists = 8\n")
        node.engine.wait_for(r"limits.slots = 4000 and limits.sessions = 16 need \d+ descriptors, and this process may "
                             rf"open {FILES}: raise LimitNOFILE \(or ulimit -Hn\) to \d+, or lower limits.slots to \d+")


if __name__ == "__main__":
    unittest.main()
