#!/usr/bin/env python3
"""A guest kernel with the simulated card as a PCI device in it, and a software node outside.

QEMU (emulation only) sends each access of the guest to slotwire-simcard, which answers from the RTL. In the guest slotwired
drives the card, first by sysfs, then by VFIO with an emulated IOMMU; messages go both ways between processes there and processes of a
software node outside, whose wire leads to the card. In the middle the function is reset.
"""
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "node"))
from nodes import BIN, SLOTWIRE, SLOTWIRED, TIMEOUT, Process  # noqa: E402
from tool_card import LIMITS, PROTOCOL, SIMCARD, CardTest, ip  # noqa: E402

KERNELS = os.environ.get("SLOTWIRE_GUEST_KERNELS", os.path.join(os.path.dirname(BIN), "cache", "guest-kernel"))
GUEST = "10.99.0.2"
MESSAGES = 500
# What they depend on is loaded before them.
FIRST = ["virtio_pci", "virtio_net"]
VFIO = ["vfio_iommu_type1", "vfio-pci"]
OPTIONS = {"vfio_iommu_type1": "allow_unsafe_interrupts=1"}


class Guest:
    """The kernel and the initial memory disk of the guest, unpacked and packed in `directory`."""

    def __init__(self, directory, package, config):
        self.unpacked = os.path.join(directory, "kernel")
        self.root = os.path.join(directory, "root")
        subprocess.run(["dpkg-deb", "-x", package, self.unpacked], check=True, timeout=TIMEOUT)
        self.kernel = glob.glob(os.path.join(self.unpacked, "boot", "vmlinuz-*"))[0]
        for name in ("bin", "etc", "dev", "proc", "sys", "run", "tmp", "modules", "lib64"):
            os.makedirs(os.path.join(self.root, name))
        shutil.copy("/bin/busybox", os.path.join(self.root, "bin"))
        shutil.copy(os.path.join(HERE, "init"), os.path.join(self.root, "init"))
        os.chmod(os.path.join(self.root, "init"), 0o755)
        with open(os.path.join(self.root, "etc", "card.toml"), "w") as file:
            file.write(config)
        for name in ("passwd", "group"):
            with open(os.path.join(self.root, "etc", name), "w") as file:
                file.write("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n" if name == "passwd" else "root:x:0:\nnogroup:x:65534:\n")
        os.symlink("lib64", os.path.join(self.root, "lib"))  # the gate has no environment that says where libraries are
        self.files = {os.path.basename(path)[:-3].replace("-", "_"): path
                      for path in glob.glob(os.path.join(self.unpacked, "lib", "modules", "**", "*.ko"), recursive=True)}
        self.packed = set()
        self.modules("first", FIRST)
        self.modules("vfio", VFIO)
        for program in (SLOTWIRE, SLOTWIRED, os.path.join(BIN, "slotwire-gate"), os.path.join(BIN, "slotwire-keeper")):
            self.program(program)
        self.disk = os.path.join(directory, "guest.gz")
        pack = f"cd {self.root} && find . | cpio -o -H newc --quiet | gzip -1 > {self.disk}"
        subprocess.run(["sh", "-c", pack], check=True, timeout=TIMEOUT)

    def modules(self, group, names):
        with open(os.path.join(self.root, "modules", group), "w") as list_:
            for name in names:
                self.module(name.replace("-", "_"), list_)

    def module(self, name, list_):
        """A module behind those that it depends on; one that has no file is built into this kernel."""
        if name in self.packed or name not in self.files:
            return
        self.packed.add(name)
        with open(self.files[name], "rb") as file:
            depends = re.search(rb"\0depends=([^\0]*)\0", file.read())
        for other in depends.group(1).decode().split(",") if depends else []:
            self.module(other.replace("-", "_"), list_)
        shutil.copy(self.files[name], os.path.join(self.root, "modules", name + ".ko"))
        list_.write(f"{name}.ko {OPTIONS.get(name, '')}".strip() + "\n")

    def program(self, path):
        """A program, without what a debugger needs, and the libraries that it loads."""
        subprocess.run(["strip", "-o", os.path.join(self.root, "bin", os.path.basename(path)), path], check=True, timeout=TIMEOUT)
        for line in subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout.splitlines():
            library = re.search(r"(/\S+) \(0x", line)
            if library:
                shutil.copy(library.group(1), os.path.join(self.root, "lib64"))


class GuestTest(CardTest):
    services = {"right": ["echo"], "left": ["echo-left"]}

    def setUp(self):
        for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("strip", "binutils")):
            if shutil.which(program) is None:
                self.skipTest(f"{program} is missing: scripts/install-deps installs {package}")
        if not os.path.exists("/bin/busybox"):
            self.skipTest("busybox is missing: scripts/install-deps installs busybox-static")
        packages = sorted(glob.glob(os.path.join(KERNELS, "*.deb")))
        if not packages:
            self.skipTest(f"no kernel for the guest in {KERNELS}: scripts/install-deps gets one")
        self.package = packages[-1]
        self.qemu, self.through = None, False
        super().setUp()

    def start_card(self):
        """The card and QEMU have an end each of one socket pair; the guest's network card is on the card's host side."""
        right = self.names["right"]
        ip("-n", right, "tuntap", "add", "guest", "mode", "tap")
        ip("-n", right, "link", "set", "guest", "up")
        self.log, self.qtest = os.path.join(self.directory, "pci.log"), os.path.join(self.directory, "qtest")
        ours, self.theirs = socket.socketpair()
        os.set_inheritable(ours.fileno(), True)
        self.card = Process([SIMCARD, "--pci-proxy-fd", str(ours.fileno()), "--qtest", self.qtest, "--pci-log", self.log, "--wire",
                             f"tap:wire@{self.names['left']}", "--host", f"veth:guest@{right}"], pass_fds=[ours.fileno()])
        ours.close()
        self.card.wait_for("^ready")
        left = self.names["left"]
        ip("-n", left, "link", "set", "lo", "up")
        ip("-n", left, "addr", "add", self.addresses["left"] + "/24", "dev", "wire")
        ip("-n", left, "link", "set", "wire", "up")
        self.bus = "unused"

    def add(self, name, peer, carrier, extra):
        if name == "left":
            return super().add(name, peer, carrier, extra)
        at, to = self.addresses[name], self.addresses[peer]
        config = f'[node]\nname = "{name}"\nrun_dir = "/run/slotwire"\n{LIMITS}{PROTOCOL}[memory]\nring = "16KiB"\nmax_ring = "64KiB"\n'
        config += f'slot_memory = "16MiB"\n[listen]\ncontrol = "{at}:7400"\n[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\n'
        config += f'carrier = "card"\nudp = "{to}:7401"\n[[service]]\nname = "echo-left"\nnodes = ["{peer}"]\n'
        self.guest = Guest(self.directory, self.package, config)
        self.words, words = socket.socketpair()
        os.set_inheritable(self.theirs.fileno(), True)
        # One processor: with two, QEMU 7.2's proxy takes its locks in two orders and stands still.
        self.qemu = Process(
            ["ip", "netns", "exec", self.names["right"], "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-machine", "q35,memory-backend=m", "-object", "memory-backend-memfd,id=m,size=320M,share=on", "-m", "320", "-smp", "1",
             "-accel", "tcg,thread=multi", "-kernel", self.guest.kernel, "-initrd", self.guest.disk,
             "-append", "console=ttyS0 quiet panic=-1 intel_iommu=on", "-device", "intel-iommu,intremap=off,caching-mode=on",
             "-device", "pcie-root-port,id=rp,chassis=1", "-device", f"x-pci-proxy-dev,bus=rp,id=c0,fd={self.theirs.fileno()}",
             "-netdev", "tap,id=n0,ifname=guest,script=no,downscript=no,vnet_hdr=off", "-device", "virtio-net-pci,netdev=n0,romfile=",
             "-serial", "stdio",
             "-qtest", f"unix:{self.qtest},server=on,wait=off", "-qtest-log", "none"],
            pass_fds=[self.theirs.fileno()], stdin=words)
        self.addCleanup(self.end_guest)
        words.close()
        self.theirs.close()
        return None

    def end_guest(self):
        if self.qemu.process.poll() is None:
            self.qemu.process.kill()
        self.qemu.wait()
        self.words.close()
        if not self.through:
            print(f"--- guest:\n{self.qemu.output()}\n--- card:\n{self.card.output()}")

    def tell(self, word):
        """The guest waits for a word, in two places."""
        self.words.sendall(word.encode() + b"\n")

    def guest_says(self, pattern):
        match, _ = self.qemu.wait_for(rf"GUEST (failed.*|{pattern})", timeout=4 * TIMEOUT)
        self.assertNotIn("GUEST failed", match.group(0), self.qemu.output())
        return match

    def accesses(self):
        with open(self.log) as file:
            for line in file:
                op, bar, offset, width, value = line.split()
                yield op, bar, int(offset, 16), int(width, 16), int(value, 16)

    def test_messages_through_a_pci_function(self):
        self.serve(["echo-left", "--echo"], self.left)
        card = self.guest_says(r"card (\S+) device (\S+) class (\S+) bars (.*)")
        self.assertEqual(card.groups()[2:4], ("0x5457", "0x028000"))
        self.assertEqual(len(card.group(5).split()), 3, "three BARs have addresses")
        self.guest_says("phase sysfs")
        self.guest_says("calls .*50 answered, 0 failed, 0 wrong, 0 answered twice")
        self.guest_says("phase vfio")
        self.qemu.wait_for("serving 'echo' on node 'right'", timeout=4 * TIMEOUT)
        calls = self.start(["bench", "echo", "-n", str(MESSAGES)], self.left)
        before = self.counters(self.left)["rx_lines"]
        while self.counters(self.left)["rx_lines"] < before + 40:
            self.assertIsNone(self.qemu.process.poll(), self.qemu.output())  # the calls run
        self.tell("reset")
        self.guest_says("reset in the middle")
        self.assertEqual(calls.wait(4 * TIMEOUT), 0, calls.output())
        self.assertIn(f"{MESSAGES} answered, 0 failed, 0 wrong, 0 answered twice", calls.output())
        self.guest_says(f"calls .*{MESSAGES} answered, 0 failed, 0 wrong, 0 answered twice")
        self.tell("end")
        interrupts = int(self.guest_says(r"interrupts (\d+)").group(2))
        self.guest_says("done")
        self.qemu.wait_for("Power down")
        # Not its exit status: QEMU 7.2 may crash when it takes its own proxy apart.
        self.qemu.wait(2 * TIMEOUT)
        self.assertEqual(self.card.wait(), 0, self.card.output())
        self.check_log(interrupts)
        self.through = True

    def check_log(self, interrupts):
        """What the function saw: no access of the wrong width or outside, and the interrupts."""
        counts, slots = {}, 64
        doorbells = 0
        for op, bar, offset, width, value in self.accesses():
            text = f"{op} {bar} {offset:#x} {width} {value:#x}"
            counts[op] = counts.get(op, 0) + 1
            self.assertNotEqual(op, "refused", text)
            if op in ("read", "write"):
                self.assertIn(width, (1, 2, 4, 8), text)
            if op == "write" and bar == "2":
                self.assertEqual(width, 4, text)
                self.assertLess(offset, slots * 4096, text)
                self.assertIn(offset % 4096, (0x00, 0x40), text)
                doorbells += 1
            if bar == "4":
                self.assertEqual((offset % 8, width), (0, 8), text)
        print(f"accesses: {counts}, {doorbells} doorbells, {interrupts} interrupts counted by the guest")
        self.assertGreater(doorbells, 4 * MESSAGES)
        # One reset by the guest in the middle, one by the driver that takes the card up again; the rest by QEMU and VFIO.
        self.assertGreaterEqual(counts["reset"], 2)
        self.assertGreater(interrupts, 0)
        self.assertLessEqual(interrupts, counts["interrupt"])


if __name__ == "__main__":
    unittest.main()
