"""A software node and a node whose card is the simulated RTL, over real interfaces in namespaces of their own.

The wire is a TAP interface in the software node's namespace; the card node's network stack is behind the card, on a TAP
interface in its namespace: all it sends and receives, the control connection too, passes through the RTL.
"""
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from nodes import BIN, TIMEOUT, Node, NodeTest, Process, free_port, run

SIMCARD = os.path.join(BIN, "slotwire-simcard")
# A simulated card is some thousand times slower than a card: timers that fit it.
PROTOCOL = '[protocol]\nretransmit = "30ms"\nretransmit_max = "300ms"\nack_delay = "3ms"\n'
LIMITS = "[limits]\nslots = 64\nsessions = 32\n"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT)


class CardTest(NodeTest):
    """`left` is in software, `right` has the card."""
    loss = 0
    front_end, key = "--bus", "socket"  # of the simulated card, and what [card] says of it
    card_config = ""  # more in [card]
    limits = LIMITS
    frame_addresses = {}  # of nodes that have another one for frames than for the control connection
    services = {"right": ["echo", "web"], "left": ["echo-left", "web-left"]}

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("network namespaces and TAP interfaces need root")
        if not os.path.exists(SIMCARD):
            self.skipTest("slotwire-simcard was not built: Verilator is missing (see scripts/install-deps)")
        self.need("ip")
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes, self.card = [], [], None
        self.names = {side: f"sw{os.getpid()}{side[0]}" for side in ("left", "right")}
        self.addresses = {"left": "10.99.0.1", "right": "10.99.0.2"}
        for name in self.names.values():
            ip("netns", "add", name)
            self.addCleanup(ip, "netns", "del", name)
        self.start_card()
        self.left = self.add_left()
        self.right = self.add("right", "left", "card", f'[card]\n{self.key} = "{self.bus}"\naddress = "{self.addresses["right"]}:7401"\n{self.card_config}')
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_for_link()

    def add_left(self):
        return self.add("left", "right", "udp", f'udp = "{self.addresses["left"]}:7401"\n')

    def start_card(self):
        self.bus = os.path.join(self.directory, "card.sock")
        self.card = Process([SIMCARD, self.front_end, self.bus, *self.card_options(), "--wire", f"tap:wire@{self.names['left']}", "--host",
                             f"tap:host@{self.names['right']}", "--loss", str(self.loss), "--seed", str(os.getpid())])
        self.card.wait_for("^ready")
        for side, interface in (("left", "wire"), ("right", "host")):
            name = self.names[side]
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", self.addresses[side] + "/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")

    def card_options(self):
        return []

    def add(self, name, peer, carrier, extra):
        at, to, frames_to = self.addresses[name], self.addresses[peer], self.frame_addresses.get(peer, self.addresses[peer])
        config = f'{self.limits}{PROTOCOL}[memory]\nring = "16KiB"\nmax_ring = "64KiB"\n[listen]\ncontrol = "{at}:7400"\n{extra}'
        config += f'[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\ncarrier = "{carrier}"\nudp = "{frames_to}:7401"\n'
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        node.prefix = ["ip", "netns", "exec", self.names[name]]
        self.nodes.append(node)
        return node

    def tearDown(self):
        super().tearDown()
        if self.card is not None:
            self.assertEqual(self.card.stop(), 0, self.card.output())

    def calls(self, service, node, count):
        """Calls that check every answer; returns what `slotwire bench` says."""
        return run(["bench", service, "-n", str(count)], node, timeout=3 * TIMEOUT).stdout

    def both_ways(self, count):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        for service, node in (("echo", self.left), ("echo-left", self.right)):
            self.assertIn("0 lost", run(["ping", service, "-c", "5", "-i", "10ms", "-W", "20s"], node, timeout=4 * TIMEOUT).stdout)
            self.assertRegex(self.calls(service, node, count), rf"{count} answered, 0 failed, 0 wrong, 0 answered twice")

    def web(self, service, server, client, pages):
        """nginx behind a tunnel; every page that curl gets through it is compared with the file."""
        nginx, curl = self.need("nginx"), self.need("curl")
        root = os.path.join(self.directory, service)
        os.mkdir(root)
        os.chmod(root, 0o755)
        sums = {}
        for name, size in pages.items():
            data = os.urandom(size)
            sums[name] = hashlib.sha256(data).hexdigest()
            with open(os.path.join(root, name), "wb") as file:
                file.write(data)
        port, entry = free_port(), free_port()
        config = os.path.join(self.directory, service + ".conf")
        with open(config, "w") as file:
            file.write(f"daemon off; master_process off; user root; error_log stderr; pid {root}.pid;\nevents {{}}\n"
                       f"http {{ access_log off; client_body_temp_path {root}.b; proxy_temp_path {root}.p; fastcgi_temp_path {root}.f;\n"
                       f"uwsgi_temp_path {root}.u; scgi_temp_path {root}.s; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n")
        self.start([nginx, "-e", "stderr", "-c", config])
        self.start(["tunnel", "serve", service, f"127.0.0.1:{port}"], server).wait_for("connections to service")
        self.start(["tunnel", "listen", f"127.0.0.1:{entry}", service], client).wait_for(r"connections to \S+ go")
        for name, expected in sums.items():
            body = subprocess.run([curl, "-sS", "--fail", "--retry", "20", "--retry-connrefused", "--retry-delay", "0", "--max-time", "100",
                                   f"http://127.0.0.1:{entry}/{name}"], capture_output=True, timeout=4 * TIMEOUT)
            self.assertEqual(body.returncode, 0, body.stderr.decode())
            self.assertEqual(hashlib.sha256(body.stdout).hexdigest(), expected, name)

    def counters(self, node):
        return node.status()["counters"]


class Card(CardTest):
    def test_messages_both_ways(self):
        self.both_ways(200)

    def test_status_shows_what_only_the_card_counts(self):
        self.both_ways(20)
        self.assertEqual(self.left.status()["card_counters"], {})
        counters = self.right.status()["card_counters"]
        self.assertEqual((counters["memory_refused"], counters["memory_errors"]), (0, 0))
        self.assertGreater(counters["doorbells"], 0)
        self.assertRegex(run(["status"], self.right).stdout, r"CARD COUNTER[\s\S]*\n *doorbells +\d+ +Process marks written")

    def test_a_killed_engine_takes_up_where_the_card_is(self):
        self.serve(["echo", "--echo"], self.right)
        calls = self.start(["bench", "echo", "-n", "600"], self.left)
        self.right.engine.wait_for("carrier card up")
        before = self.counters(self.left)["rx_lines"]
        while self.counters(self.left)["rx_lines"] < before + 20:
            pass  # the calls run
        self.right.kill()
        self.right.start()
        self.right.wait_for_link()
        self.assertEqual(calls.wait(3 * TIMEOUT), 0, calls.output())
        self.assertIn("600 answered, 0 failed, 0 wrong, 0 answered twice", calls.output())

    def test_a_card_that_goes_away_ends_its_connections_and_comes_back(self):
        self.serve(["echo", "--echo"], self.right)
        self.assertIn("0 lost", run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "20s"], self.left).stdout)
        lines = len(self.right.engine.lines)
        self.card.stop(signal.SIGKILL)
        self.right.engine.wait_for("the card went away", after=lines)
        self.start_card()
        self.right.engine.wait_for("the card is back", after=lines)
        deadline = time.monotonic() + 2 * TIMEOUT
        while "0 lost" not in run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "5s"], self.left, expect=None).stdout:
            self.assertLess(time.monotonic(), deadline, self.right.engine.output())


class PciCard(Card):
    """The same with the card as a PCI function that the engine relays for: its way to it is PcieBus."""
    front_end, key = "--vfio-user", "vfio_user"

    def card_options(self):
        self.log = os.path.join(self.directory, "pci.log")
        return ["--relayed", "--pci-log", self.log]

    def tearDown(self):
        super().tearDown()
        if self.card is not None:
            self.check_log()

    def check_log(self):
        """Every access has the width that its place asks for, and none was refused."""
        slots, tail_or_head = 64, (0x00, 0x40)
        with open(self.log) as file:
            accesses = [line.split() for line in file]
        self.assertGreater(sum(1 for a in accesses if a[0] == "write" and a[1] == "4"), 0, "no lines were written")
        for op, bar, offset, width, value in accesses:
            text = f"{op} {bar} {offset} {width} {value}"
            offset, width = int(offset, 16), int(width, 16)
            self.assertNotEqual(op, "refused", text)
            if op == "write" and bar == "2":
                self.assertEqual(width, 4, text)
                self.assertLess(offset, slots * 4096, text)
                self.assertIn(offset % 4096, tail_or_head, text)
            if bar == "4":
                self.assertEqual((offset % 64, width % 64), (0, 0), text)


class DirectCard(Card):
    """The same with a PCI function that serves the slots of processes itself."""
    front_end, key = "--vfio-user", "vfio_user"

    def setUp(self):
        super().setUp()
        self.right.engine.wait_for("card: it serves the slots of processes itself")


class CardGivenUp(CardTest):
    card_config = 'give_up = "1s"\n'

    def ping(self):
        deadline = time.monotonic() + 2 * TIMEOUT
        while "0 lost" not in run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "5s"], self.left, expect=None).stdout:
            self.assertLess(time.monotonic(), deadline, self.right.engine.output())

    def test_links_of_a_card_that_stays_away_move_to_software_and_back_at_a_restart(self):
        self.serve(["echo", "--echo"], self.right)
        self.assertIn("0 lost", run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "20s"], self.left).stdout)
        self.card.stop(signal.SIGKILL)
        # Its network interface went with it.
        self.right.engine.wait_for("the card stays away .* cannot go over UDP")
        name = self.names
        ip("-n", name["left"], "link", "add", "wire", "type", "veth", "peer", "name", "host", "netns", name["right"])
        for side, interface in (("left", "wire"), ("right", "host")):
            ip("-n", name[side], "addr", "add", self.addresses[side] + "/24", "dev", interface)
            ip("-n", name[side], "link", "set", interface, "up")
        self.right.engine.wait_for("its links go over UDP")
        self.right.wait_for_link()
        self.assertEqual(self.right.status()["card_chosen"]["kind"], "software")
        self.ping()
        calls = self.start(["bench", "echo", "-n", "400000"], self.left)
        before = self.counters(self.left)["rx_lines"]
        while self.counters(self.left)["rx_lines"] < before + 1000:
            pass  # the calls run
        self.right.kill()
        ip("-n", name["left"], "link", "del", "wire")
        self.start_card()
        self.right.start()
        self.right.wait_for_link()
        self.right.engine.wait_for("carrier card up")
        self.assertEqual(self.right.status()["card_chosen"]["kind"], self.key)
        before = self.counters(self.left)["rx_lines"]
        while self.counters(self.left)["rx_lines"] < before + 100:
            self.assertIsNone(calls.process.poll(), calls.output())  # the calls that began in software go on
        calls.stop(signal.SIGINT)
        self.assertRegex(calls.output(), r"[0-9]+ answered, 0 failed, 0 wrong, 0 answered twice")


class CardWithLoss(CardTest):
    loss = 50  # of a thousand, each way

    def test_messages_with_loss(self):
        self.both_ways(100)
        self.assertGreater(self.counters(self.left)["tx_lines_again"], 0)

    def test_http_through_the_tunnel_to_the_card(self):
        self.web("web", self.right, self.left, {"small": 700, "page": 20_000, "big": 300_000})

    def test_http_through_the_tunnel_from_the_card(self):
        self.web("web-left", self.left, self.right, {"small": 700, "page": 20_000, "big": 300_000})
        self.assertGreater(self.counters(self.right)["tx_frames"], 0)


if __name__ == "__main__":
    unittest.main()
