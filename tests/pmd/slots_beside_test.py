"""A card whose slots carry messages while its host path is a port of DPDK: neither disturbs the other.

`left` is in software, `right` has the simulated card. The host path belongs to an application on net_slotwire, so the nodes talk
about their links over a wire of their own.
"""
import os
import subprocess
import sys
import unittest

from nodes import BIN, TIMEOUT, Node, Process
from tool_card import LIMITS, PROTOCOL, SIMCARD, CardTest, ip

ECHO = os.path.join(BIN, "pmd_echo")
ASK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ask_echo.py")
FIRST_PORT = 9000


def mac_of(namespace, interface):
    return run_ip("-n", namespace, "-o", "link", "show", "dev", interface).split("link/ether ")[1].split()[0]


def run_ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout


class SlotsBesideDpdk(CardTest):
    control = {"left": "10.98.1.1", "right": "10.98.1.2"}

    def setUp(self):
        if not os.path.exists(ECHO):
            self.skipTest("pmd_echo was not built: the headers for drivers of DPDK are missing (see scripts/install-deps)")
        super().setUp()

    def start_card(self):
        self.bus = os.path.join(self.directory, "card.sock")
        self.queues = os.path.join(self.directory, "queues.sock")
        left, right = self.names["left"], self.names["right"]
        self.card = Process([SIMCARD, self.front_end, self.bus, "--wire", f"tap:wire@{left}", "--host", f"queues:{self.queues}"])
        self.card.wait_for("^ready")
        ip("-n", left, "link", "add", "talk", "type", "veth", "peer", "name", "talk", "netns", right)
        for side, name in self.names.items():
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", self.control[side] + "/24", "dev", "talk")
            ip("-n", name, "link", "set", "talk", "up")
        ip("-n", left, "addr", "add", self.addresses["left"] + "/24", "dev", "wire")
        ip("-n", left, "link", "set", "wire", "up")
        # The card has the address of the interface; nobody is there to answer for it on the wire.
        ip("-n", right, "addr", "add", self.addresses["right"] + "/24", "dev", "talk")
        ip("-n", left, "neigh", "replace", self.addresses["right"], "lladdr", mac_of(right, "talk"), "dev", "wire")
        ip("-n", right, "neigh", "replace", self.addresses["left"], "lladdr", mac_of(left, "wire"), "dev", "talk")

    def add(self, name, peer, carrier, extra):
        at, to = self.control[name], self.control[peer]
        config = f'{LIMITS}{PROTOCOL}[memory]\nring = "16KiB"\nmax_ring = "64KiB"\n[listen]\ncontrol = "{at}:7400"\n{extra}'
        config += f'[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\ncarrier = "{carrier}"\nudp = "{self.addresses[peer]}:7401"\n'
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        node.prefix = ["ip", "netns", "exec", self.names[name]]
        self.nodes.append(node)
        return node

    def test_messages_and_frames_side_by_side(self):
        echo = Process([ECHO, self.queues, str(FIRST_PORT)])
        self.processes.append(echo)
        echo.wait_for("^ready")
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        calls = [self.start(["bench", service, "-n", "300"], node) for service, node in (("echo", self.left), ("echo-left", self.right))]
        asks = Process(["ip", "netns", "exec", self.names["left"], sys.executable, ASK, self.addresses["right"], str(FIRST_PORT), "400"])
        self.processes.append(asks)
        self.assertEqual(asks.wait(4 * TIMEOUT), 0, asks.output())
        print(asks.output(), flush=True)
        self.assertIn("400 came back", asks.output())
        for call in calls:
            self.assertEqual(call.wait(4 * TIMEOUT), 0, call.output())
            self.assertRegex(call.output(), r"300 answered, 0 failed, 0 wrong, 0 answered twice")
        self.assertEqual(echo.stop(), 0, echo.output())
        said, _ = echo.wait_for(r"echoed (\d+) (\d+) (\d+) (\d+), missed 0, errors 0")
        print(said.group(0), flush=True)
        for number in range(4):
            self.assertGreaterEqual(int(said.group(1 + number)), 100, "a queue without its flow")


if __name__ == "__main__":
    unittest.main(verbosity=2)
