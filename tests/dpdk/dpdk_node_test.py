"""A node whose carrier is DPDK and a node on the kernel's UDP, in network namespaces of their own, with a wire between them.

The port is an interface of the kernel (net_af_packet on one end of a veth pair): the control connection goes through the kernel at
one address, the frames through DPDK at another one of the same interface.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from nodes import BIN, TIMEOUT, Node, NodeTest, Process, certificates, run
from tool_card import CardTest, ip

MODULE = os.path.join(BIN, "..", "lib", "slotwire-dpdk.so")
WIRE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lossy_wire.py")


class PortTest(NodeTest):
    """What nodes with ports are made to do, whatever the ports are."""
    hugepages = "false"

    def need_module(self):
        if not os.path.exists(MODULE):
            self.skipTest("slotwire-dpdk.so was not built: DPDK is missing (see scripts/install-deps)")

    def carrier(self, node, name):
        return next(c for c in node.status()["carriers"] if c["carrier"] == name)

    def both_ways(self, count, size):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        for service, node in (("echo", self.left), ("echo-left", self.right)):
            self.assertIn("0 lost", run(["ping", service, "-c", "5", "-i", "10ms", "-W", "20s"], node, timeout=4 * TIMEOUT).stdout)
            result = run(["bench", service, "-n", str(count), "-s", str(size)], node, timeout=3 * TIMEOUT).stdout
            self.assertRegex(result, rf"{count} answered, 0 failed, 0 wrong, 0 answered twice")

    def sleeps_and_wakes(self, node, other, service):
        """An idle node sleeps, and each of six calls, far apart, wakes it."""
        self.serve([service, "--echo"], node)

        def cpu_s():
            with open(f"/proc/{node.status()['pid']}/stat") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before, sleeps, begin = cpu_s(), node.status()["sleeps"], time.monotonic()
        self.assertIn("0 lost", run(["ping", service, "-c", "6", "-i", "400ms", "-W", "20s"], other, timeout=4 * TIMEOUT).stdout)
        used, passed = cpu_s() - before, time.monotonic() - begin
        print(f"{used:.2f} s of CPU in {passed:.2f} s, {node.status()['sleeps'] - sleeps} sleeps", flush=True)
        self.assertLess(used, 0.2 * passed, "it polls instead of sleeping")
        self.assertGreaterEqual(node.status()["sleeps"] - sleeps, 6)

    def wire_down_and_up(self):
        """Calls go on while the interface under the port of `left` goes down and comes back: none is lost."""
        self.serve(["echo", "--echo"], self.right)
        calls = self.start(["bench", "echo", "-n", "20000", "-s", "200", "-W", "60s"], self.left)
        counter = lambda name, *nodes: sum(node.status()["counters"][name] for node in nodes)
        before = counter("rx_lines", self.left)
        while counter("rx_lines", self.left) < before + 200:
            self.assertIsNone(calls.process.poll(), calls.output())
        ip("-n", self.names["left"], "link", "set", "wire", "down")
        again = counter("tx_lines_again", *self.nodes)
        end = time.monotonic() + TIMEOUT
        # Whose frame was under way has noticed, more than once.
        while counter("tx_lines_again", *self.nodes) < again + 3:
            self.assertIsNone(calls.process.poll(), "the calls ended before the wire went: " + calls.output())
            self.assertLess(time.monotonic(), end, "nothing was lost")
        ip("-n", self.names["left"], "link", "set", "wire", "up")
        self.assertEqual(calls.wait(3 * TIMEOUT), 0, calls.output())
        self.assertIn("20000 answered, 0 failed, 0 wrong, 0 answered twice", calls.output())

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


class DpdkTest(PortTest):
    """`left` has the port, `right` the kernel."""
    loss = 0  # of a thousand, each way
    port = "net_af_packet0,iface=wire"
    dpdk_extra = ""
    encryption = "none"
    library = {}
    mtu = 1500
    services = {"right": ["echo"], "left": ["echo-left"]}
    kernel = {"left": "10.98.0.1", "right": "10.98.0.2"}
    carriers = {"left": "10.98.0.11", "right": "10.98.0.2"}

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("network namespaces and raw sockets need root")
        self.need_module()
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
        self.left = self.add("left", "right", "dpdk", f'[dpdk]\nport = "{self.port}"\nhugepages = {self.hugepages}\n'
                                                      f'address = "{self.carriers["left"]}:7401"\n{self.dpdk_extra}')
        self.right = self.add("right", "left", "udp", "")
        for node in self.nodes:
            node.start()
            self.started(node)
        for node in self.nodes:
            node.wait_for_link()

    def started(self, node):
        """What a port needs that is there only once its slotwired runs."""

    def inside(self, name):
        """What starts the slotwired of `name` in its namespaces, which are its own."""
        return []

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
        if name in self.library:
            config += f'library = "{self.library[name]}"\n'
        config += f'[listen]\ncontrol = "{self.kernel[name]}:7400"\nmtu = {self.mtu}\n'
        if carrier == "udp":
            config += f'udp = "{self.carriers[name]}:7401"\n'
        config += f'{extra}[[link]]\npeer = "{peer}"\ncontrol = "{self.kernel[peer]}:7400"\ncarrier = "{carrier}"\n'
        config += f'udp = "{self.carriers[peer]}:7401"\nencryption = "{self.encryption}"\n'
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        node.prefix = ["ip", "netns", "exec", self.names[name], *self.inside(name)]
        self.nodes.append(node)
        return node


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
        self.sleeps_and_wakes(self.left, self.right, "echo-left")

    def test_the_wire_goes_down_and_comes_back_under_load(self):
        self.wire_down_and_up()

    def test_the_port_s_node_is_killed_under_load(self):
        self.killed(self.left, self.right, "echo", "dpdk")

    def test_the_kernel_s_node_is_killed_under_load(self):
        self.killed(self.right, self.left, "echo", "udp")


class Jumbo(DpdkTest):
    """IP packets of 9000 bytes: the interfaces and the rings of raw sockets have to be made for them."""
    port = "net_af_packet0,iface=wire,framesz=16384,blocksz=65536,framecnt=512"
    mtu = 9000

    def make_wire(self):
        super().make_wire()
        for side in ("left", "right"):
            ip("-n", self.names[side], "link", "set", "wire", "mtu", str(self.mtu))

    def test_long_frames_both_ways(self):
        self.both_ways(500, 30000)
        carrier = self.carrier(self.left, "dpdk")
        self.assertEqual((carrier["rx_malformed"], carrier["tx_dropped"]), (0, 0))
        self.assertGreater(carrier["rx_bytes"] / carrier["rx_frames"], 1500, "frames are short")
        self.assertEqual(carrier["port"]["zero_copy"], "from 64 lines on")


class Xdp(DpdkTest):
    """The port takes its frames before the kernel's network stack sees them, and only those."""
    port = "net_af_xdp0,iface=wire"

    def setUp(self):
        self.need_module()
        with open(MODULE, "rb") as file:
            if b"slotwire_steer" not in file.read():
                self.skipTest("the program that steers on net_af_xdp was not built: clang or libbpf-dev was missing (scripts/install-deps)")
        super().setUp()

    def test_calls_over_an_xdp_socket_beside_the_kernel(self):
        self.both_ways(2000, 3000)
        carrier = self.carrier(self.left, "dpdk")
        port = carrier["port"]
        self.assertEqual((port["driver"], port["steering"], port["wake"]), ("net_af_xdp", "XDP program", "XDP socket"))
        # The control connection and all else of the interface went through the kernel.
        self.assertEqual((port["rx_other"], carrier["rx_malformed"], carrier["rx_unknown_peer"]), (0, 0, 0))
        self.assertIn("steering by XDP program", run(["status"], self.left).stdout)

    def test_an_idle_xdp_port_sleeps_and_wakes(self):
        self.sleeps_and_wakes(self.left, self.right, "echo-left")

    def test_the_wire_under_an_xdp_port_goes_down_and_comes_back(self):
        self.wire_down_and_up()

    def test_a_program_that_a_killed_node_left_behind_is_replaced(self):
        self.killed(self.left, self.right, "echo", "dpdk")
        self.assertEqual(self.left.stop(), 0)
        left = subprocess.run(["ip", "-n", self.names["left"], "link", "show", "wire"], capture_output=True, text=True, timeout=TIMEOUT).stdout
        self.assertNotIn("xdp", left, "the program is still there")


class Tap(DpdkTest):
    """The port is a TAP interface, bridged to the wire. Its driver says that it takes rules, and this kernel may lack what they need."""
    port = "net_tap0,iface=port"

    def make_wire(self):
        super().make_wire()
        name = self.names["left"]
        ip("-n", name, "addr", "flush", "dev", "wire")
        ip("-n", name, "link", "add", "bridge", "type", "bridge")
        ip("-n", name, "link", "set", "wire", "master", "bridge")
        ip("-n", name, "addr", "add", self.kernel["left"] + "/24", "dev", "bridge")
        ip("-n", name, "link", "set", "bridge", "up")

    def started(self, node):
        if node is not self.left:
            return
        # The driver's address is its own; the interface, the other end of it, needs another one.
        ip("-n", self.names["left"], "link", "set", "port", "address", "02:00:00:00:00:77")
        ip("-n", self.names["left"], "link", "set", "port", "master", "bridge")
        ip("-n", self.names["left"], "link", "set", "port", "up")

    def kernel_takes_rules(self):
        """Whether the kernel has the parts of traffic control that the driver makes rules of."""
        name = self.names["left"]
        for command in (["qdisc", "add", "dev", "bridge", "root", "handle", "1:", "multiq"], ["qdisc", "add", "dev", "bridge", "ingress"],
                        ["filter", "add", "dev", "bridge", "ingress", "protocol", "ip", "flower", "dst_ip", "10.0.0.1", "action", "drop"]):
            if subprocess.run([self.need("tc"), "-n", name, *command], capture_output=True, timeout=TIMEOUT).returncode != 0:
                print(f"this kernel has not: tc {' '.join(command)}", flush=True)
                return False
        return True

    def test_where_rules_are_refused_software_steers_and_says_so(self):
        self.both_ways(500, 3000)
        port = self.carrier(self.left, "dpdk")["port"]
        print(f"steering: {port['steering']}", flush=True)
        self.assertEqual(port["wake"], "receive interrupt")
        if self.kernel_takes_rules():
            self.assertIn("rte_flow", port["steering"])
            return
        self.assertEqual(port["steering"], "software")
        self.assertIn("steering by software", run(["status"], self.left).stdout)
        self.left.engine.wait_for("steering by software")


class DpdkInPlace(DpdkTest):
    """Lines are sent from where they are in slot memory."""
    dpdk_extra = 'zero_copy = "on"\n'
    loss = 20

    def test_calls_with_loss_out_of_slot_memory(self):
        self.both_ways(400, 3000)
        self.assertEqual(self.carrier(self.left, "dpdk")["port"]["zero_copy"], "on")
        self.assertIn("zero copy on", run(["status"], self.left).stdout)
        self.left.engine.wait_for("zero copy on")
        # What a slot leaves behind when its process is killed in the middle of it.
        for _ in range(5):
            calls = self.start(["bench", "echo", "-n", "1000000", "-s", "30000"], self.left)
            before = self.left.status()["counters"]["tx_lines"]
            while self.left.status()["counters"]["tx_lines"] < before + 2000:
                self.assertIsNone(calls.process.poll(), calls.output())
            calls.stop(signal.SIGKILL)
        self.both_ways(100, 3000)


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


class VhostTest(PortTest):
    """Two ports that are joined by shared memory: `left` has net_vhost, `right` net_virtio_user. Needs no privileges."""
    services = {"right": ["echo"], "left": ["echo-left"]}
    ports = {"left": "10.98.0.11", "right": "10.98.0.12"}
    devices = {"left": "net_vhost0,iface={}", "right": "net_virtio_user0,path={}"}
    mtu = 1500

    def setUp(self):
        self.need_module()
        super().setUp()

    def add_node(self, name, peer):
        device = self.devices[name].format(os.path.join(self.directory, "wire"))
        config = (f'[listen]\ncontrol = "{self.addresses[name]}:7400"\nmtu = {self.mtu}\n'
                  f'[dpdk]\nport = "{device}"\nhugepages = {self.hugepages}\naddress = "{self.ports[name]}:7401"\n'
                  f'[[link]]\npeer = "{peer}"\ncontrol = "{self.addresses[peer]}:7400"\ncarrier = "dpdk"\nudp = "{self.ports[peer]}:7401"\n')
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        self.nodes.append(node)
        return node


class Vhost(VhostTest):
    def test_calls_both_ways_over_shared_memory(self):
        self.both_ways(2000, 3000)
        for node, driver in ((self.left, "net_vhost"), (self.right, "net_virtio_user")):
            carrier = self.carrier(node, "dpdk")
            self.assertEqual((carrier["port"]["driver"], carrier["port"]["wake"]), (driver, "receive interrupt"))
            self.assertEqual((carrier["rx_malformed"], carrier["rx_unknown_peer"]), (0, 0))

    def test_idle_ports_sleep_and_are_interrupted(self):
        self.sleeps_and_wakes(self.left, self.right, "echo-left")
        self.sleeps_and_wakes(self.right, self.left, "echo")

    def test_the_vhost_node_is_killed_under_load(self):
        """The port of the other node is lost with it, and opened anew."""
        self.killed(self.left, self.right, "echo", "dpdk")
        self.right.engine.wait_for("the port .* has no link")

    def test_the_virtio_user_node_is_killed_under_load(self):
        self.killed(self.right, self.left, "echo", "dpdk")


class BesideCard(CardTest, PortTest):
    """`left` has a port on the wire that the simulated card of `right` is on."""
    loss = 20
    frame_addresses = {"left": "10.99.0.11"}
    services = {"right": ["echo"], "left": ["echo-left"]}

    def setUp(self):
        self.need_module()
        super().setUp()

    def add_left(self):
        return self.add("left", "right", "dpdk", f'[dpdk]\nport = "net_af_packet0,iface=wire"\nhugepages = false\n'
                                                 f'address = "{self.frame_addresses["left"]}:7401"\n')

    def test_messages_with_a_card_both_ways_with_loss(self):
        self.both_ways(100)
        carrier = self.carrier(self.left, "dpdk")
        self.assertEqual((carrier["rx_malformed"], carrier["rx_unknown_peer"]), (0, 0))
        self.assertGreater(carrier["rx_frames"], 200)
        self.right.engine.wait_for("carrier card up")
        self.assertGreater(self.counters(self.right)["rx_frames"], 200)
        self.assertGreater(self.counters(self.left)["tx_lines_again"], 0)  # there was loss

    def test_the_node_beside_a_card_is_killed_under_load(self):
        self.serve(["echo", "--echo"], self.right)
        calls = self.start(["bench", "echo", "-n", "600"], self.left)
        before = self.counters(self.right)["rx_lines"]
        while self.counters(self.right)["rx_lines"] < before + 20:
            self.assertIsNone(calls.process.poll(), calls.output())
        self.left.kill()
        self.assertIsNone(calls.process.poll(), "the calls ended before the kill: " + calls.output())
        self.left.start()
        self.left.wait_for_link()
        self.assertEqual(calls.wait(3 * TIMEOUT), 0, calls.output())
        self.assertIn("600 answered, 0 failed, 0 wrong, 0 answered twice", calls.output())


# DPDK's driver that computes AES-GCM, and what the processor must have for it.
CRYPTO = [os.path.realpath(path) for path in glob.glob("/usr/lib/*/librte_crypto_ipsec_mb.so.23")]


def lacks_crypto():
    if not CRYPTO:
        return "DPDK's driver crypto_aesni_gcm is missing: librte-crypto-ipsec-mb23 (scripts/install-deps)"
    with open("/proc/cpuinfo") as file:
        return "" if " aes " in file.read() else "this processor has no AES instructions"


class VhostJumbo(VhostTest):
    """IP packets of 9000 bytes, whose lines the port takes out of slot memory."""
    mtu = 9000

    def test_long_frames_both_ways_over_shared_memory(self):
        self.both_ways(500, 60000)
        carrier = self.carrier(self.left, "dpdk")
        self.assertEqual(carrier["port"]["zero_copy"], "from 32 lines on")
        self.assertEqual((carrier["rx_malformed"], carrier["rx_unknown_peer"], carrier["tx_dropped"]), (0, 0, 0))
        self.assertGreater(carrier["tx_bytes"] / carrier["tx_frames"], 1500, "frames are short")
        self.assertEqual(self.carrier(self.right, "dpdk")["port"]["zero_copy"], "off: not with net_virtio_user")


class Hugepages:
    """Memory from hugepages, where the host has them free."""
    hugepages = 'true\nmemory = "64MiB"'

    def setUp(self):
        needed, free = 64 * self.ports_here, 0
        for path in glob.glob("/sys/kernel/mm/hugepages/hugepages-*kB"):
            with open(path + "/free_hugepages") as file:
                free += int(file.read()) * int(re.search(r"hugepages-(\d+)kB$", path).group(1)) // 1024
        if free < needed:
            self.skipTest(f"{needed} MiB in hugepages are needed, {free} MiB are free (vm.nr_hugepages)")
        super().setUp()

    def hugepages_kib(self, node):
        with open(f"/proc/{node.status()['pid']}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Hugetlb", "Shared_Hugetlb")))


class DpdkHugepages(Hugepages, DpdkTest):
    ports_here = 1

    def test_calls_with_memory_from_hugepages(self):
        self.both_ways(2000, 3000)
        self.assertGreater(self.hugepages_kib(self.left), 1024)


class VhostHugepages(Hugepages, VhostTest):
    ports_here = 2

    def test_calls_over_shared_hugepages(self):
        self.both_ways(2000, 3000)
        for node in self.nodes:
            self.assertGreater(self.hugepages_kib(node), 1024)


class KernelThroughPort(PortTest):
    """Two hosts with nothing but a port each: what is not the ports' own, the control connection too, goes between the kernels through
    them. `left` has net_vhost, `right` net_virtio_user."""
    services = {"right": ["echo"], "left": ["echo-left"]}
    kernel = {"left": "10.97.0.1", "right": "10.97.0.2"}
    ports = {"left": "10.97.0.11", "right": "10.97.0.12"}
    devices = Vhost.devices

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("network namespaces and TAP interfaces need root")
        self.need_module()
        self.need("ip")
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes = [], []
        self.names = {side: f"swk{os.getpid()}{side[0]}" for side in self.kernel}
        for side, name in self.names.items():
            ip("netns", "add", name)
            self.addCleanup(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "tuntap", "add", "dev", "host", "mode", "tap")
            ip("-n", name, "addr", "add", self.kernel[side] + "/24", "dev", "host")
        self.left = self.add("left", "right")
        self.right = self.add("right", "left")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_for_link()

    def add(self, name, peer):
        device = self.devices[name].format(os.path.join(self.directory, "wire"))
        config = (f'[listen]\ncontrol = "{self.kernel[name]}:7400"\n[dpdk]\nport = "{device}"\nhugepages = false\n'
                  f'address = "{self.ports[name]}:7401"\nkernel_interface = "host"\n'
                  f'[[link]]\npeer = "{peer}"\ncontrol = "{self.kernel[peer]}:7400"\ncarrier = "dpdk"\nudp = "{self.ports[peer]}:7401"\n')
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        node = Node(self.directory, name, config)
        node.prefix = ["ip", "netns", "exec", self.names[name]]
        self.nodes.append(node)
        return node

    def test_the_control_connection_goes_through_the_ports(self):
        self.both_ways(1000, 3000)
        for node in self.nodes:
            port = self.carrier(node, "dpdk")["port"]
            self.assertEqual(port["kernel_interface"], "host")
            self.assertGreater(port["to_kernel"], 10)
            self.assertGreater(port["from_kernel"], 10)
            with open(f"/proc/{node.status()['pid']}/net/dev") as file:
                self.assertIn("host:", file.read())
        # The kernels speak to each other about other things as well, in long frames too.
        ping = shutil.which("ping")
        if ping is not None:
            said = subprocess.run(["ip", "netns", "exec", self.names["left"], ping, "-c", "5", "-i", "0.2", "-s", "1400", "-W", "10",
                                   self.kernel["right"]], capture_output=True, text=True, timeout=TIMEOUT)
            self.assertIn(" 0% packet loss", said.stdout, said.stdout + said.stderr)

    def test_a_node_whose_host_is_reached_through_the_port_is_killed_under_load(self):
        self.killed(self.right, self.left, "echo", "dpdk")


class DpdkEncrypted(DpdkTest):
    """Encrypted frames of a port are opened by the kernel's carrier and the reverse, with loss and keys that change."""
    loss = 50
    encryption = "aes-256-gcm"
    library = {"left": "auto"}

    def test_encrypted_calls_with_loss(self):
        self.both_ways(400, 3000)
        expected = "OpenSSL" if lacks_crypto() else "DPDK"
        print(f"encrypted by {expected}: {lacks_crypto() or 'its driver is there'}", flush=True)
        self.assertEqual(self.carrier(self.left, "dpdk")["encryption"]["library"], expected)
        for node, by in ((self.left, expected), (self.right, "OpenSSL")):
            self.assertEqual(node.status()["links"][0]["keys"]["library"], by)
        self.left.engine.wait_for(f"encryption over dpdk by {expected}")
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


class DpdkEncryptedWithoutDriver(DpdkTest):
    """DPDK is there and its driver for AES-GCM is not: `left` has an empty device in its place."""
    encryption = "aes-128-gcm"

    def setUp(self):
        if missing := lacks_crypto():
            self.skipTest(missing)
        super().setUp()

    def inside(self, name):
        if name == "right":
            return []
        return ["sh", "-c", "".join(f"mount --bind /dev/null {path} && " for path in CRYPTO) + 'exec "$@"', "sh"]

    def test_openssl_encrypts_instead_and_says_why_unless_dpdk_must(self):
        self.both_ways(100, 3000)
        said = self.carrier(self.left, "dpdk")["encryption"]
        self.assertEqual(said["library"], "OpenSSL")
        self.assertIn("install librte-crypto-ipsec-mb23", said["why"])
        self.assertRegex(run(["status"], self.left).stdout, "encryption by OpenSSL .*install librte-crypto-ipsec-mb23")
        self.left.engine.wait_for("encryption over dpdk by OpenSSL .*its driver is missing")
        self.assertEqual(self.left.stop(), 0)
        with open(self.left.config) as file:
            config = file.read()
        with open(self.left.config, "w") as file:
            file.write(config.replace("[encryption]\n", '[encryption]\nlibrary = "dpdk"\n'))
        engine = Process([*self.left.prefix, os.path.join(BIN, "slotwired"), "-c", self.left.config])
        self.processes.append(engine)
        engine.wait_for('its driver is missing.*install librte-crypto-ipsec-mb23 and libipsec-mb1, or set encryption.library = "openssl"')
        self.assertEqual(engine.wait(), 1, engine.output())


class DpdkMisconfigured(unittest.TestCase):
    def refused(self, port, more, expected, more_dpdk="", hugepages=False, status=1):
        if not os.path.exists(MODULE):
            self.skipTest("slotwire-dpdk.so was not built: DPDK is missing (see scripts/install-deps)")
        with tempfile.TemporaryDirectory(prefix="slotwire-test-") as directory:
            node = Node(directory, "left", f'{more}[dpdk]\nport = "{port}"\nhugepages = {str(hugepages).lower()}\n'
                                           f'address = "10.98.0.11:7401"\n{more_dpdk}')
            engine = Process([os.path.join(BIN, "slotwired"), "-c", node.config])
            engine.wait_for(re.escape(expected))
            self.assertEqual(engine.wait(), status, engine.output())

    def test_what_cannot_be_opened_is_said(self):
        self.refused("net_af_packet0,iface=nonesuch", "", "there is no interface 'nonesuch'")
        self.refused("net_nonesuch0", "", "port 'net_nonesuch0': there is no such port")

    def test_a_processor_that_is_not_there_is_said(self):
        self.refused("net_null0", "", "there is no processor 1000; this host has", 'lcore = 1000\n')

    def test_hugepages_that_are_not_there_are_said(self):
        # More than any host of tests has.
        self.refused("net_null0", "", "64 GiB in hugepages are wanted (dpdk.memory), and free are", 'memory = "64GiB"\n', hugepages=True)

    def test_a_kernel_interface_that_cannot_be_is_said(self):
        if os.geteuid() != 0:
            self.skipTest("TAP interfaces need root")
        self.refused("net_null0", "", "the kernel's interface 'lo': attaching to it: Invalid argument; it is there and is no TAP interface",
                     'kernel_interface = "lo"\n')
        self.refused("net_af_packet0,iface=lo", "", "is given but the kernel has the interface under 'net_af_packet0' itself",
                     'kernel_interface = "host"\n', status=78)

    def test_a_ring_too_small_for_long_frames_is_said(self):
        if os.geteuid() != 0:
            self.skipTest("raw sockets need root")
        self.refused("net_af_packet0,iface=lo", "[listen]\nmtu = 9000\n", "its ring has room for frames of 2048 bytes, and listen.mtu is 9000")


if __name__ == "__main__":
    unittest.main(verbosity=2)
