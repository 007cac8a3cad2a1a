"""A node whose card is the RTL kernel behind XRT's own library, in XRT's hardware emulation, and a software node.

The wire is a TAP interface in the software node's namespace, made by the emulated device. The card node's network stack is on a
TAP interface that slotwire-xrt-host makes in its namespace: all it sends and receives, the control connection too, passes through
registers of the kernel. So the wire carries what the wire of a real card carries.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))
from nodes import BIN, TIMEOUT, Process, run  # noqa: E402
import tool_card  # noqa: E402

HOST = os.path.join(BIN, "slotwire-xrt-host")
DEVICE = os.path.join(BIN, "slotwire-xrt-emulation")
MAKE_XCLBIN = os.environ["SLOTWIRE_MAKE_XCLBIN"]
SHORT_SLEEP = os.environ["SLOTWIRE_SHORT_SLEEP"]
EXIT_UNUSABLE = 2
# Ended by its watchdog; or by a signal, since an assertion of XRT's library fails now and then when a device dies.
GONE = (3, -signal.SIGABRT, -signal.SIGSEGV)
# Longest that any process that has XRT's library open may live: when a device dies the library turns in a circle.
MOST_SECONDS = 8 * TIMEOUT


class HostProcess(Process):
    """slotwire-xrt-host under `timeout`, with the device that XRT's library starts: one process group."""

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()


class Setting:
    """What XRT's library wants around an emulation, in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.xclbin("card.xclbin")
        with open(os.path.join(directory, "setting", "environment.json")) as file:
            self.environment = json.load(file)
        # The sockets stand in a directory of this name under /tmp.
        self.sockets = os.path.join("/tmp", self.environment["USER"])
        self.environment["LD_PRELOAD"] = SHORT_SLEEP

    def xclbin(self, name, arguments="", kernel=None):
        path = os.path.join(self.directory, name)
        more = ["--kernel", kernel] if kernel else []
        subprocess.run([sys.executable, MAKE_XCLBIN, path, "--command", f"{DEVICE} {arguments}", "--setting", os.path.join(self.directory, "setting"),
                        *more], check=True, timeout=TIMEOUT)
        return path

    def host(self, xclbin, bus, *more):
        return HostProcess(["timeout", "--foreground", "-k", "5", str(MOST_SECONDS), HOST, "--xclbin", xclbin, "--bus", bus, *(more if "--memory" in more else ("--memory", "copied", *more))],
                       env=self.environment, cwd=self.directory, process_group=0)

    def remove(self):
        shutil.rmtree(self.sockets, True)


def need_emulation(test):
    for program in (HOST, DEVICE):
        if not os.path.exists(program):
            test.skipTest(f"{os.path.basename(program)} was not built: XRT or Verilator is missing (see scripts/install-deps)")
    if shutil.which("unzip") is None:
        test.skipTest("unzip is missing, which XRT's library needs (see scripts/install-deps)")


class Host(unittest.TestCase):
    """slotwire-xrt-host by itself: what it says when something is wrong."""

    def setUp(self):
        need_emulation(self)
        self.directory = tempfile.mkdtemp(prefix="slotwire-xrt-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.setting = Setting(self.directory)
        self.addCleanup(self.setting.remove)
        self.bus = os.path.join(self.directory, "bus")

    def refused(self, xclbin, pattern, *more):
        host = self.setting.host(xclbin, self.bus, *more)
        self.addCleanup(host.end)
        host.wait_for(pattern)
        self.assertEqual(host.wait(), EXIT_UNUSABLE, host.output())

    def test_an_absent_device(self):
        self.refused(self.setting.xclbin("card.xclbin"), r"device 0000:99:00\.1: it cannot be opened .*; look which devices there are with `xbutil examine`",
                     "--device", "0000:99:00.1")

    def test_an_absent_xclbin(self):
        self.refused(os.path.join(self.directory, "none"), r"device 0: xclbin \S+/none is not there; give the file")

    def test_a_file_that_is_no_xclbin(self):
        self.refused(MAKE_XCLBIN, r"device 0: xclbin \S+ cannot be read \(.*\); give the file")

    def test_an_xclbin_of_another_kernel(self):
        self.refused(self.setting.xclbin("other.xclbin", kernel="vadd"), r"has no kernel slotwire_xrt \(it has: vadd, cmac_0\); give the file")

    def test_a_card_of_another_version(self):
        self.refused(self.setting.xclbin("old.xclbin", "--report-version 7"),
                     r"device 0: the card has version 7 of the registers, this program 1; install releases that match")

    def test_memory_that_the_card_does_not_see(self):
        """What XRT's emulation calls mapped memory is none: the card looks for itself, and says so."""
        self.refused(self.setting.xclbin("card.xclbin"), r"device 0: its memory cannot be mapped \(the card does not see what is written to it\); switch peer-to-peer on",
                     "--memory", "mapped")

    def test_memory_that_cannot_be_mapped_is_copied(self):
        host = self.setting.host(self.setting.xclbin("card.xclbin"), self.bus, "--memory", "automatic")
        self.addCleanup(host.end)
        host.wait_for(r"^ready: device 0 .*slot memory copied \(it cannot be mapped: the card does not see")
        self.assertEqual(host.stop(), 0, host.output())

    def test_the_port_is_told_of(self):
        """The network kernel gets its error correction, and what becomes of the link is told."""
        host = self.setting.host(self.setting.xclbin("card.xclbin", "--bad-frames 3"), self.bus)
        self.addCleanup(host.end)
        host.wait_for(r"device 0: the port is up \(FEC rs\); 3 damaged frames came")
        self.assertEqual(host.stop(), 0, host.output())

    def test_ends_of_a_cable_that_differ_in_error_correction(self):
        host = self.setting.host(self.setting.xclbin("card.xclbin", "--far-fec-off"), self.bus)
        self.addCleanup(host.end)
        host.wait_for(r"device 0: the port is down: its lanes are not aligned; look at the cable, and whether the other end has FEC rs, too \(--fec\)")
        self.assertEqual(host.stop(), 0, host.output())
        other = self.setting.host(self.setting.xclbin("card.xclbin", "--far-fec-off"), self.bus, "--fec", "off")
        self.addCleanup(other.end)
        other.wait_for(r"device 0: the port is up \(FEC off\)")
        self.assertEqual(other.stop(), 0, other.output())

    def test_an_xclbin_without_that_network_kernel(self):
        self.refused(self.setting.xclbin("card.xclbin"), r"the xclbin has no network kernel cmac_1; name the one", "--network", "cmac_1")

    def test_a_socket_that_cannot_be_had(self):
        self.bus = "/nowhere/bus"
        self.refused(self.setting.xclbin("card.xclbin"), r"bus socket /nowhere/bus: .*; choose a path")

    def test_a_device_that_dies(self):
        host = self.setting.host(self.setting.xclbin("card.xclbin"), self.bus, "--answer-timeout", "500")
        self.addCleanup(host.end)
        device, _ = host.wait_for(r"emulated device: ready, process (\d+)")
        host.wait_for("^ready: device 0 .*, 64 slots, 131072 lines of slot memory")
        os.kill(int(device[1]), signal.SIGKILL)
        # The library turns in a circle, or the process gets SIGPIPE, or the library aborts: in every case it ends and says so. It is called for this only
        # while a driver is there.
        with socket.socket(socket.AF_UNIX) as driver:
            driver.connect(self.bus)
            host.wait_for(r"slotwire-xrt-host: (device 0: .* did not return in 500 ms|the device closed its connection|crashed).* slotwired goes on in software")
        self.assertIn(host.wait(), GONE, host.output())

    def test_a_clean_end(self):
        host = self.setting.host(self.setting.xclbin("card.xclbin"), self.bus)
        self.addCleanup(host.end)
        host.wait_for("^ready")
        self.assertEqual(host.stop(), 0, host.output())
        self.assertFalse(os.path.exists(self.bus))


class XrtCard(tool_card.CardTest):
    """`left` is in software, `right` has the card behind XRT."""

    def setUp(self):
        need_emulation(self)
        self.setting_directory = tempfile.mkdtemp(prefix="slotwire-xrt-")
        self.addCleanup(shutil.rmtree, self.setting_directory, True)
        self.setting = Setting(self.setting_directory)
        self.addCleanup(self.setting.remove)
        super().setUp()

    def start_card(self):
        self.bus = os.path.join(self.directory, "card.sock")
        xclbin = self.setting.xclbin("card.xclbin", f"--wire tap:wire@{self.names['left']} --seed {os.getpid()}")
        self.card = self.setting.host(xclbin, self.bus, "--interface", f"host@{self.names['right']}")
        self.addCleanup(self.card.end)
        device, _ = self.card.wait_for(r"emulated device: ready, process (\d+)")
        self.device = int(device[1])
        self.card.wait_for("^ready")
        for side, interface in (("left", "wire"), ("right", "host")):
            name = self.names[side]
            for command in (["link", "set", "lo", "up"], ["addr", "add", self.addresses[side] + "/24", "dev", interface], ["link", "set", interface, "up"]):
                subprocess.run(["ip", "-n", name, *command], check=True, capture_output=True, timeout=TIMEOUT)

    def test_messages_both_ways(self):
        self.both_ways(60)
        # They went through the card: it counted them.
        self.assertGreater(self.counters(self.right)["tx_lines"], 60)
        self.assertGreater(self.counters(self.right)["rx_lines"], 60)

    def test_a_device_that_dies_ends_its_connections_and_the_node_goes_on_in_software(self):
        self.serve(["echo", "--echo"], self.right)
        self.assertIn("0 lost", run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "20s"], self.left, timeout=4 * TIMEOUT).stdout)
        lines = len(self.right.engine.lines)
        os.kill(self.device, signal.SIGKILL)
        self.card.wait_for("slotwired goes on in software")
        self.assertIn(self.card.wait(), GONE, self.card.output())
        self.right.engine.wait_for("the card went away", after=lines)
        # In software: a connection within the node.
        self.assertIn("0 lost", run(["ping", "echo", "-c", "3", "-i", "10ms", "-W", "20s"], self.right, timeout=4 * TIMEOUT).stdout)
        # The card again: so are the connections over it.
        self.start_card()
        self.right.engine.wait_for("the card is back", after=lines, timeout=2 * TIMEOUT)
        deadline = time.monotonic() + 4 * TIMEOUT
        while "0 lost" not in run(["ping", "echo", "-c", "2", "-i", "10ms", "-W", "5s"], self.left, expect=None, timeout=4 * TIMEOUT).stdout:
            self.assertLess(time.monotonic(), deadline, self.right.engine.output())


# Those are run by tests/node.
del tool_card.Card, tool_card.CardWithLoss

if __name__ == "__main__":
    unittest.main()
