"""Two nodes with a simulated card each, which write output rings and marks into memory of their hosts.

The cards are PCI functions for which slotwired relays input rings and doorbells alone. Their wire is a socket between
them; each node's network stack is behind its card. slotwired maps each slot's pages for the card as it does for a card
behind an IOMMU; when it is killed, the function loses its right to write, is reset, and loses its pages, in this order.
"""
import os
import random
import signal
import struct
import subprocess
import sys
import unittest

import raw_process
from nodes import TIMEOUT, Process, run
from tool_card import LIMITS, SIMCARD, CardTest, ip
from tool_direct import RAW, contents
from tool_quotas import session_of

ADA = 1000  # a user that quotas hold for
ALLOW = "".join(f'[[allow]]\naction = "{action}"\nservice = "*"\nusers = ["*"]\n' for action in ("serve", "connect")) + \
    '[[allow]]\naction = "connect"\nservice = "*"\nnodes = ["*"]\n'
KILLS = 4  # of slotwired on each side, while calls run
STORMS = 4
RING, PAGE = 16 << 10, 4096  # of CardTest's nodes


class TwoCards(CardTest):
    front_end, key = "--vfio-user", "vfio_user"
    obstacle = None  # why output rings are on the card, if they are

    def start_card(self):
        wire = os.path.join(self.directory, "wire")
        self.cards = {}
        for side, end in (("right", "listen"), ("left", "connect")):
            self.cards[side] = Process([SIMCARD, "--vfio-user", self.socket_of(side), "--relayed", "--wire", f"{end}:{wire}", "--host",
                                        f"tap:host@{self.names[side]}", "--seed", str(os.getpid()), *self.options_of(side)])
            self.cards[side].wait_for("^ready")
            name = self.names[side]
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", self.addresses[side] + "/24", "dev", "host")
            ip("-n", name, "link", "set", "host", "up")
        self.card, self.bus = self.cards["right"], self.socket_of("right")

    def socket_of(self, side):
        return os.path.join(self.directory, side + ".card")

    def options_of(self, side):
        return []

    def add_left(self):
        return self.add("left", "right", "card", f'[card]\nvfio_user = "{self.socket_of("left")}"\n'
                        f'address = "{self.addresses["left"]}:7401"\n{self.card_config}')

    def setUp(self):
        super().setUp()
        for node in self.nodes:
            node.engine.wait_for("card: it writes output rings and marks into memory of this host" if self.obstacle is None else
                                 "card: output rings are on the card: .*" + self.obstacle)

    def tearDown(self):
        super().tearDown()
        if self.card is not None:
            self.assertEqual(self.cards["left"].stop(), 0, self.cards["left"].output())

    def rows(self, node):
        return node.status("--slots")["slot_table"]

    def wait_until_nothing_is_mapped(self, node):
        while node.status()["card_output"]["in_host"] != 0:
            pass
        self.assertEqual(node.status()["card_output"]["mapped"], 0)

    def run_calls(self):
        """Calls of both kinds both ways, which check every answer."""
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        wait = ["-W", f"{2 * TIMEOUT}s"]
        return [(self.start(["bench", "echo", "-n", "300", *wait], self.left), 300),
                (self.start(["bench", "echo-left", "-n", "200", "-p", "3", "-s", "3000", *wait], self.right), 600)]

    def check_calls(self, calls):
        for process, count in calls:
            self.assertEqual(process.wait(4 * TIMEOUT), 0, process.output())
            self.assertIn(f"{count} answered, 0 failed, 0 wrong, 0 answered twice", process.output())


class InHost(TwoCards):
    def test_calls_between_two_cards_with_output_in_host_memory(self):
        calls = self.run_calls()
        seen = []
        while not seen and calls[1][0].process.poll() is None:
            seen = [row for row in self.rows(self.left) if row["service"] == "echo-left"]
        self.assertEqual({row["output"] for row in seen}, {"host"})
        self.check_calls(calls)
        for node in self.nodes:
            counters = node.status()["card_counters"]
            self.assertGreater(counters["dma_lines"], 600)
            self.assertGreater(counters["dma_marks"], 0)
            self.assertEqual((counters["dma_refused"], counters["memory_refused"]), (0, 0))
        session = raw_process.Session(self.left.socket, "raw")
        slot = session.connect("echo")
        output = self.left.status()["card_output"]
        self.assertEqual(output, {"in_host": 1, "mapped": RING + PAGE, "obstacle": ""})
        self.assertEqual(self.left.status()["users"][0]["mapped"], RING + PAGE)
        self.assertRegex(run(["status"], self.left).stdout, r"output +rings in memory of this host: 1 slots, 20\S* ?KiB mapped for the card")
        self.assertRegex(run(["slots"], self.left).stdout, r"OUTPUT[\s\S]* host ")
        slot.close()
        session.close()

    def test_nothing_stays_mapped_of_processes_that_are_killed(self):
        calls, _ = self.run_calls()
        killed = self.start(["bench", "echo-left", "-n", "1000000", "-p", "2", "-s", "3000"], self.right)
        before = self.right.status()["counters"]["rx_lines"]
        while self.right.status()["counters"]["rx_lines"] - before < 200:
            pass  # its calls run
        self.assertIsNone(killed.process.poll(), killed.output())
        killed.stop(signal.SIGKILL)
        self.check_calls([calls])
        for process in self.processes:
            process.stop()
        for node in self.nodes:
            self.wait_until_nothing_is_mapped(node)

    def test_calls_survive_killed_engines(self):
        calls = self.run_calls()
        for _ in range(KILLS):
            for node in self.nodes:
                before = node.status()["counters"]["rx_lines"]
                while node.status()["counters"]["rx_lines"] - before < 100 and any(c.process.poll() is None for c, _ in calls):
                    pass  # the calls run
                node.kill()
                node.start()
                node.wait_for_link()
        self.check_calls(calls)
        for node in self.nodes:
            self.assertNotIn("faulted", node.engine.output())

    def test_a_hostile_process_harms_its_own_slot_only(self):
        self.serve(["echo-left", "--echo"], self.left)
        quiet = self.start([sys.executable, RAW, self.right.socket, "quiet", "echo-left"], stdin=subprocess.PIPE)
        self.addCleanup(quiet.process.stdin.close)
        quiet.wait_for("^connected")
        before = contents(quiet.pid)
        calls = self.start(["bench", "echo-left", "-n", "200", "-W", f"{2 * TIMEOUT}s"], self.right)
        for seed in range(STORMS):
            self.storm(seed)
        self.assertEqual(contents(quiet.pid), before, "marks or lines of the quiet process's slot")
        self.check_calls([(calls, 200)])
        for line in self.right.engine.output().splitlines():
            if " faulted: " in line:
                self.assertIn("of 'hostile'", line)

    def storm(self, seed):
        """Writes at random over all that it can write, its output space included: as root it may open it for that."""
        chance = random.Random(seed)
        session = raw_process.Session(self.right.socket, "hostile")
        slot = session.connect("echo-left")
        with open(f"/proc/self/fd/{slot.other_fd}", "r+b", buffering=0) as other:
            for _ in range(100):
                value = struct.pack("<I", chance.choice((chance.getrandbits(32), chance.randrange(8), 0xffffffff)))
                at = chance.choice((raw_process.TAIL, raw_process.HEAD, raw_process.WAIT))
                if chance.random() < 0.5:
                    os.pwrite(other.fileno(), value, at)
                else:
                    slot.own[at:at + 4] = value
                session.ring(slot)
        slot.set_mark(raw_process.TAIL, struct.unpack_from("<I", slot.own, raw_process.TAIL)[0] + (1 << 31))
        session.ring(slot)
        self.assertEqual(session.wait_closed()[0], "fault")
        session.close()
        slot.close()


class OverTheQuota(TwoCards):
    limits = LIMITS + f'mapped_per_user = "{(RING + PAGE) >> 10}KiB"\n'

    def add(self, name, peer, carrier, extra):
        return super().add(name, peer, carrier, extra + ALLOW)

    def test_what_a_user_may_not_have_mapped_is_on_the_card(self):
        self.serve(["echo", "--echo"], self.right)
        session = session_of(self.left.socket, ADA)
        self.addCleanup(session.close)
        slots = [session.connect("echo") for _ in range(2)]
        for slot in slots:
            self.addCleanup(slot.close)
            slot.call(b"either way", lambda slot=slot: session.ring(slot))
        rows = {row["slot"]: row for row in self.rows(self.left)}
        first, second = (rows[slot.answer["slot"]] for slot in slots)
        self.assertEqual((first["output"], second["output"]), ("host", "card"))
        self.assertIn("raise limits.mapped_per_user", second["output_why"])
        self.assertEqual([user["mapped"] for user in self.left.status()["users"] if user["uid"] == ADA], [RING + PAGE])


class Refused(TwoCards):
    REFUSED = 60  # which write into host memory the bus refuses

    def options_of(self, side):
        return ["--refuse-write", str(self.REFUSED)] if side == "right" else []

    def test_a_refused_write_ends_its_connection_and_no_other(self):
        self.serve(["echo", "--echo"], self.right)
        ended = self.start(["bench", "echo", "-n", "100000", "-W", f"{TIMEOUT}s"], self.left)
        self.assertNotEqual(ended.wait(2 * TIMEOUT), 0, ended.output())
        self.right.engine.wait_for("faulted: memory")
        self.assertRegex(self.calls("echo", self.left, 50), "50 answered, 0 failed, 0 wrong, 0 answered twice")
        self.assertEqual(self.right.status()["card_counters"]["dma_refused"], 1)


class TurnedOff(TwoCards):
    card_config = "host_output = false\n"
    obstacle = "card.host_output is false"

    def test_calls_work_and_the_status_says_why(self):
        self.both_ways(50)
        self.assertRegex(run(["status"], self.left).stdout, "output +rings on the card: card.host_output is false")
        self.assertEqual(self.right.status()["card_counters"]["dma_lines"], 0)


if __name__ == "__main__":
    unittest.main()
