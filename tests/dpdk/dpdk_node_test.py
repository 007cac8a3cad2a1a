"""A node whose carrier is DPDK and a node on the kernel's UDP, in network namespaces of their own, with a wire between them.

The port is an interface of the kernel (net_af_packet on one end of a veth pair): the control connection goes through the kernel at
one address, the frames through DPDK at another one of the same interface.
"""
import os
import shutil
import sys
import tempfile
import time
import unittest

from nodes import BIN, TIMEOUT, Node, NodeTest, Process, certificates, run
from tool_card import ip

MODULE = os.path.join(BIN, "..", "lib", "slotwire-dpdk.so")
WIRE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lossy_wire.py")


class DpdkTest(NodeTest):
    """`left` has the port, `right` the kernel."""
    loss = 0  # of a thousand, each way
    encryption = "none"
    services = {"right": ["echo"], "left": ["echo-left"]}
    kernel = {"left": "10.98.0.1", "right": "10.98.0.2"}
    carriers = {"left": "10.98.0.11", "right": "10.98.0.2"}

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("network namespaces and raw sockets need root")
        if not os.path.exists(MODULE):
            self.skipTest("slotwire-dpdk.so was not built: DPDK is missing (see scripts/install-deps)")
        self.need("ip")
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes, self.wire = [], [], None
        self.names = {side: f"swd{os.getpid()}{side[0]}" for side in ("left", "right", "middle")}
        for name in self.names.values():
            ip("netns", "add", name)
            self.addCleanup(ip, "netns", "del", name)
        self.tls = {"left": "", "right": ""}
        if self.encryption != "none":
            self.need("openssl")
            self.tls = certificates(self.directory, self.tls)
        self.make_wire()
        self.left = self.add("left", "right", "dpdk", '[dpdk]\nport = "net_af_packet0,iface=wire"\nhugepages = false\n'
                                                      f'address = "{self.carriers["left"]}:7401"\n')
        self.right = self.add("right", "left", "udp", "")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_for_link()

    def make_wire(self):
        if self.loss == 0:
            ip("-n", self.names["left"], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.names["right"])
        else:
            for side in ("left", "right"):
                ip("-n", self.names["middle"], "link", "add", side, "type", "veth", "peer", "name", "wire", "netns", self.names[side])
                ip("-n", self.names["middle"], "link", "set", side, "up")
        for side in ("left", "right"):
            name = self.names[side]
            # A virtual wire carries what the kernel has not cut into packets yet; a port needs packets.
            ip("-n", name, "link", "set", "wire", "gso_max_segs", "1")
            ip("-n", name, "addr", "add", self.kernel[side] + "/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")
        if self.loss != 0:
            self.wire = Process(["ip", "netns", "exec", self.names["middle"], sys.executable, WIRE, "left", "right", str(self.loss)])
            self.processes.append(self.wire)
            self.wire.wait_for("^ready")

    def add(self, name, peer, carrier, extra):
        config = self.tls[name] + '[encryption]\nrekey_frames = 100\n'
        config += f'[listen]\ncontrol = "{self.kernel[name]}:7400"\n'
        if carrier == "udp":
            config += f'udp = "{self.carriers[name]}:7401"\n'
        config += f'{extra}[[link]]\npeer = "{peer}"\ncontrol = "{self.kernel[peer]}:7400"\ncarrier = "{carrier}"\n'
        config += f'udp = "{self.carriers[peer]}:7401"\nencryption = "{self.encryption}"\n'
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        node.prefix = ["ip", "netns", "exec", self.names[name]]
        self.nodes.append(node)
        return node

    def carrier(self, node, name):
        return next(c for c in node.status()["carriers"] if c["carrier"] == name)

    def both_ways(self, count, size):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        for service, node in (("echo", self.left), ("echo-left", self.right)):
            self.assertIn("0 lost", run(["ping", service, "-c", "5", "-i", "10ms", "-W", "20s"], node, timeout=4 * TIMEOUT).stdout)
            result = run(["bench", service, "-n", str(count), "-s", str(size)], node, timeout=3 * TIMEOUT).stdout
            self.assertRegex(result, rf"{count} answered, 0 failed, 0 wrong, 0 answered twice")


class Dpdk(DpdkTest):
    def test_calls_both_ways(self):
        self.both_ways(2000, 3000)
        # The kernel on the other side has learnt the port's address from its request; now it has to ask.
        ip("-n", self.names["right"], "neigh", "flush", "dev", "wire")
        self.assertIn("0 lost", run(["ping", "echo", "-c", "3", "-i", "10ms", "-W", "20s"], self.left, timeout=4 * TIMEOUT).stdout)
        carrier = self.carrier(self.left, "dpdk")
        port = carrier["port"]
        self.assertEqual((port["device"], port["address"]), ("net_af_packet0,iface=wire", "10.98.0.11:7401"))
        self.assertEqual((port["steering"], port["wake"], port["arp_conflicts"]), ("software", "doorbell socket", 0))
        self.assertGreaterEqual(port["arp_answered"], 1)
        self.assertEqual((carrier["rx_malformed"], carrier["rx_unknown_peer"], carrier["tx_dropped"]), (0, 0, 0))
        self.assertIn("steering by software", run(["status"], self.left).stdout)

    def test_an_idle_port_sleeps_and_wakes(self):
        self.serve(["echo-left", "--echo"], self.left)

        def cpu_s():
            with open(f"/proc/{self.left.status()['pid']}/stat") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before, sleeps, begin = cpu_s(), self.left.status()["sleeps"], time.monotonic()
        self.assertIn("0 lost", run(["ping", "echo-left", "-c", "6", "-i", "400ms", "-W", "20s"], self.right, timeout=4 * TIMEOUT).stdout)
        used, passed = cpu_s() - before, time.monotonic() - begin
        print(f"{used:.2f} s of CPU in {passed:.2f} s, {self.left.status()['sleeps'] - sleeps} sleeps", flush=True)
        self.assertLess(used, 0.2 * passed, "it polls instead of sleeping")
        self.assertGreaterEqual(self.left.status()["sleeps"] - sleeps, 6)

    def killed(self, node, other, service, kind):
        """Calls go on while `node` is killed and comes back: none is lost, none is answered twice."""
        self.serve(["echo", "--echo"], self.right)
        calls = self.start(["bench", service, "-n", "20000", "-s", "200"], self.left)
        before = other.status()["counters"]["rx_lines"]
        while other.status()["counters"]["rx_lines"] < before + 200:
            self.assertIsNone(calls.process.poll(), calls.output())
        node.kill()
        self.assertIsNone(calls.process.poll(), "the calls ended before the kill: " + calls.output())
        node.start()
        node.engine.wait_for(rf"carrier {kind} up")
        self.assertTrue(node.status()["recovered"])
        self.assertEqual(calls.wait(3 * TIMEOUT), 0, calls.output())
        self.assertIn("20000 answered, 0 failed, 0 wrong, 0 answered twice", calls.output())

    def test_the_port_s_node_is_killed_under_load(self):
        self.killed(self.left, self.right, "echo", "dpdk")

    def test_the_kernel_s_node_is_killed_under_load(self):
        self.killed(self.right, self.left, "echo", "udp")


class DpdkWithLoss(DpdkTest):
    loss = 50

    def test_calls_with_loss(self):
        self.both_ways(400, 3000)
        for node in self.nodes:
            self.assertGreater(node.status()["counters"]["tx_lines_again"], 0)
        self.wire.stop()
        said, _ = self.wire.wait_for(r"carried (\d+), lost (\d+)")
        print(said.group(0), flush=True)
        self.assertGreater(int(said.group(2)), 50)


class DpdkEncrypted(DpdkTest):
    """Encrypted frames of a port are opened by the kernel's carrier and the reverse, with loss and keys that change."""
    loss = 50
    encryption = "aes-256-gcm"

    def test_encrypted_calls_with_loss(self):
        self.both_ways(400, 3000)
        for node in self.nodes:
            link = node.status()["links"][0]
            self.assertEqual((link["encryption"], link["up"]), ("aes-256-gcm", True))
            keys = link["keys"]
            print(node.name, keys, flush=True)
            self.assertGreater(keys["opened"], 500)
            self.assertGreater(keys["tx_keys"], 3)
            self.assertEqual([keys[drop] for drop in ("forged", "clear", "too_short", "no_key", "not_sealed")], [0] * 5)
            self.assertGreater(node.status()["counters"]["tx_lines_again"], 0)
        self.assertRegex(run(["status"], self.left).stdout, r"right +dpdk +aes-256-gcm +up")


class DpdkMisconfigured(unittest.TestCase):
    def test_what_cannot_be_opened_is_said(self):
        if not os.path.exists(MODULE):
            self.skipTest("slotwire-dpdk.so was not built: DPDK is missing (see scripts/install-deps)")
        for port, expected in (("net_af_packet0,iface=nonesuch", "there is no interface 'nonesuch'"),
                               ("net_nonesuch0", "port 'net_nonesuch0': there is no such port")):
            with tempfile.TemporaryDirectory(prefix="slotwire-test-") as directory:
                node = Node(directory, "left", f'[dpdk]\nport = "{port}"\nhugepages = false\naddress = "10.98.0.11:7401"\n')
                engine = Process([os.path.join(BIN, "slotwired"), "-c", node.config])
                engine.wait_for(expected.replace("(", "\\("))
                self.assertEqual(engine.wait(), 1, engine.output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
