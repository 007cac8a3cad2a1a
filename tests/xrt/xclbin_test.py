"""The container that sim/xrt/make_xclbin.py writes, taken apart by itself, and that what describes the kernel agrees with its RTL."""
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
SHELL = ROOT / "hw" / "shells" / "xrt"
HEADER_BYTES, SECTION_BYTES = 456, 40


def sections(data):
    """Kind -> contents; checks the container on the way."""
    magic, signature = struct.unpack_from("<8si", data)
    assert magic == b"xclbin2\0" and signature == -1
    length, = struct.unpack_from("<Q", data, 304)
    assert length == len(data), (length, len(data))
    count, = struct.unpack_from("<I", data, 304 + 144)
    found, end = {}, HEADER_BYTES + SECTION_BYTES * count
    for number in range(count):
        kind, _, offset, size = struct.unpack_from("<I16s4xQQ", data, HEADER_BYTES + SECTION_BYTES * number)
        assert kind not in found and offset % 8 == 0 and offset >= end and offset + size <= len(data)
        found[kind] = data[offset:offset + size]
        end = offset + size
    return found


class Xclbin(unittest.TestCase):
    def make(self, *arguments):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "card.xclbin")
            subprocess.run([sys.executable, str(ROOT / "sim" / "xrt" / "make_xclbin.py"), path, *arguments], check=True, timeout=60)
            return Path(path).read_bytes()

    def test_the_container_holds_what_xrt_needs(self):
        found = sections(self.make("--command", "device --wire none"))
        archive = zipfile.ZipFile(io.BytesIO(found[0]))
        self.assertEqual(archive.read("behav_waveform/xsim/simulate.sh"), b"#!/bin/sh\nexec device --wire none\n")
        self.assertEqual(archive.infolist()[0].external_attr >> 16, 0o755)
        kernel = ElementTree.fromstring(found[2]).find("platform/device/core/kernel")
        self.assertEqual(kernel.get("name"), "slotwire_xrt")
        count, kind, properties, base, name = struct.unpack_from("<i4xIIQ64s", found[8])
        self.assertEqual((count, kind, properties >> 8), (2, 1, 2))
        self.assertEqual(struct.unpack_from("<IIQ64s", found[8], 8 + 80)[3].rstrip(b"\0"), b"cmac_0:cmac_0")
        self.assertEqual(name.rstrip(b"\0"), b"slotwire_xrt:slotwire_0")
        remap = kernel.find("instance/addrRemap")
        self.assertEqual((int(remap.get("base"), 0), int(remap.get("range"), 0)), (base, 1 << self.constant("window_bits")))
        self.assertEqual(struct.unpack_from("<i4xBB", found[6]), (1, 1, 1))
        self.assertEqual(struct.unpack("<iiii", found[7]), (1, 0, 0, 0))

    def test_the_same_contents_have_the_same_identity_and_others_another(self):
        one, same, other = (self.make("--command", command) for command in ("a", "a", "b"))
        self.assertEqual(one, same)
        self.assertNotEqual(one[304 + 112:304 + 128], other[304 + 112:304 + 128])

    def constant(self, name):
        with open(ROOT / "hw" / "regs" / "slotwire.toml", "rb") as file:
            described = tomllib.load(file)
        return next(constant["value"] for constant in described["constant"] if constant["name"] == name)

    def test_the_kernels_description_is_what_its_rtl_is(self):
        kernel = ElementTree.parse(SHELL / "kernel.xml").getroot().find("kernel")
        rtl = (SHELL / "slotwire_xrt.v").read_text(encoding="ascii")
        for port in kernel.find("ports"):
            signal = "_tdata" if port.get("portType") == "stream" else "_wdata"
            width, = re.findall(rf"wire \[(\d+):0\]\s+{port.get('name')}{signal},", rtl)
            self.assertEqual(int(width) + 1, int(port.get("dataWidth")), port.get("name"))
        slave = kernel.find("ports/port[@mode='slave']")
        self.assertEqual(int(slave.get("range"), 0), 1 << self.constant("window_bits"))
        self.assertIn(f"[{self.constant('window_bits') - 1}:0]  s_axi_control_awaddr", rtl)
        with open(ROOT / "hw" / "regs" / "slotwire.toml", "rb") as file:
            pages = {page["name"]: page for page in tomllib.load(file)["page"]}
        registers = {register["name"]: register["offset"] for register in pages["shell"]["register"]}
        self.assertEqual(int(kernel.find("args/arg[@name='memory']").get("offset"), 0), registers["memory_low"])
        self.assertEqual(registers["memory_high"], registers["memory_low"] + 4)

    def test_the_links_name_ports_that_there_are(self):
        ports = {port.get("name") for port in ElementTree.parse(SHELL / "kernel.xml").getroot().find("kernel/ports")}
        configurations = sorted(SHELL.glob("link_*.cfg"))
        self.assertEqual([path.stem for path in configurations], ["link_u250", "link_u280", "link_u50", "link_u55c"])
        for path in configurations:
            text = path.read_text(encoding="ascii")
            named = set(re.findall(r"slotwire_0\.(\w+)", text))
            self.assertLessEqual(named, ports, path.name)
            self.assertEqual(named, ports - {"s_axi_control"}, path.name)
            self.assertIn("nk=slotwire_xrt:1:slotwire_0", text)


if __name__ == "__main__":
    unittest.main()
