#!/usr/bin/env python3
"""Writes an xclbin for XRT's hardware emulation: the container that XRT's library loads, and in it the command that starts the
device. No tool of the card's vendor is needed; the container's format is in XRT's header xclbin.h.

    make_xclbin.py FILE --command COMMAND [--kernel NAME] [--setting DIRECTORY]

COMMAND is run by a shell; its environment names the sockets. With --setting the files that XRT's library wants around an
emulation are written, too: emconfig.json, xrt.ini and the environment (environment.json).
"""
import argparse
import glob
import io
import json
import os
import struct
import sys
import uuid
import zipfile
from pathlib import Path
from xml.etree import ElementTree

KERNEL = "slotwire_xrt"
INSTANCE = "slotwire_0"
KERNEL_BASE = 0x1800000
# The network kernel beside it: only its registers (template.xml of xup_vitis_network_example).
NETWORK, NETWORK_BASE, NETWORK_RANGE = "cmac_0", 0x1A00000, 0x2000
KERNEL_XML = Path(__file__).resolve().parents[2] / "hw" / "shells" / "xrt" / "kernel.xml"
# Sections, types and modes by their numbers in xclbin.h.
BITSTREAM, EMBEDDED_METADATA, MEM_TOPOLOGY, CONNECTIVITY, IP_LAYOUT, GROUP_TOPOLOGY, GROUP_CONNECTIVITY = 0, 2, 6, 7, 8, 26, 27
IP_KERNEL = 1
AP_CTRL_NONE = 2
MEM_DDR4 = 1
MODE_HW_EMU = 4
HEADER_BYTES = 456  # of the container, before its section headers
SECTION_ALIGN = 8
DDR_BYTES = 16 << 30
VBNV = "slotwire_emulation"
# XRT's library sizes its message buffer by its first message, which carries the settings. Later ones of packet_size and less
# must fit it, since the library as Debian builds it forgets where a buffer moved to when it grows it.
PACKET_BYTES = 65536
PADDING_BYTES = 80000


def metadata(kernel):
    """What XRT needs to know of the kernel: its registers' range and the argument that says where slot memory is."""
    described = ElementTree.parse(KERNEL_XML).getroot().find("kernel")
    attributes = {key: described.get(key) for key in ("language", "vlnv", "attributes", "preferredWorkGroupSizeMultiple", "workGroupSize", "hwControlProtocol")}
    project = ElementTree.Element("project", name="slotwire")
    platform = ElementTree.SubElement(project, "platform", vendor="slotwire", boardid="emulation", name="emulation", featureRomTime="0")
    ElementTree.SubElement(platform, "version", major="1", minor="0")
    device = ElementTree.SubElement(platform, "device", name="fpga0", fpgaDevice="virtexuplus:emulation", addrWidth="0")
    core = ElementTree.SubElement(device, "core", name="OCL_REGION_0", target="hw_em", type="clc_region", clockFreq="0MHz", numComputeUnits="1")
    clocks = ElementTree.SubElement(core, "kernelClocks")
    ElementTree.SubElement(clocks, "clock", port="DATA_CLK", frequency="250.0MHz")
    described_kernel = ElementTree.SubElement(core, "kernel", name=kernel, debug="false", **attributes)
    ElementTree.SubElement(described_kernel, "module", name=kernel)
    ports = [port for port in described.find("ports") if port.get("portType") == "addressable"]
    described_kernel.extend(ports)
    names = {port.get("name") for port in ports}
    described_kernel.extend(argument for argument in described.find("args") if argument.get("port") in names)
    instance = ElementTree.SubElement(described_kernel, "instance", name=INSTANCE)
    slave = next(port for port in ports if port.get("mode") == "slave")
    ElementTree.SubElement(instance, "addrRemap", base=hex(KERNEL_BASE), range=slave.get("range"), port=slave.get("name"))
    network = ElementTree.SubElement(core, "kernel", name=NETWORK, debug="false", **dict(attributes, vlnv=f"xilinx.com:kernel:{NETWORK}:1.0", hwControlProtocol="ap_ctrl_none"))
    ElementTree.SubElement(network, "module", name=NETWORK)
    ElementTree.SubElement(network, "port", name="S_AXILITE", mode="slave", range=hex(NETWORK_RANGE), dataWidth="32", portType="addressable", base="0x0")
    ElementTree.SubElement(network, "arg", name="reset_reg", addressQualifier="0", id="0", port="S_AXILITE", size="0x4", offset="0x4", hostOffset="0x0", hostSize="0x4", type="uint")
    ElementTree.SubElement(ElementTree.SubElement(network, "instance", name=NETWORK), "addrRemap", base=hex(NETWORK_BASE), range=hex(NETWORK_RANGE), port="S_AXILITE")
    return ElementTree.tostring(project, encoding="utf-8", xml_declaration=True)


def simulation(command):
    """The archive that XRT's library unpacks; it starts the script in it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        script = zipfile.ZipInfo("behav_waveform/xsim/simulate.sh", date_time=(2000, 1, 1, 0, 0, 0))
        script.external_attr = 0o755 << 16
        files.writestr(script, f"#!/bin/sh\nexec {command}\n")
    return archive.getvalue()


def sections(kernel, command):
    name = f"{kernel}:{INSTANCE}".encode()
    topology = struct.pack("<i4x", 1) + struct.pack("<BB6xQQ16s", MEM_DDR4, 1, DDR_BYTES >> 10, 0, b"bank0")
    connectivity = struct.pack("<i", 1) + struct.pack("<iii", 0, 0, 0)
    return [(BITSTREAM, b"bitstream", simulation(command)), (EMBEDDED_METADATA, b"metadata", metadata(kernel)),
            (MEM_TOPOLOGY, b"mem_topology", topology), (CONNECTIVITY, b"connectivity", connectivity),
            (IP_LAYOUT, b"ip_layout", struct.pack("<i4x", 2) + struct.pack("<IIQ64s", IP_KERNEL, AP_CTRL_NONE << 8, KERNEL_BASE, name) +
             struct.pack("<IIQ64s", IP_KERNEL, AP_CTRL_NONE << 8, NETWORK_BASE, f"{NETWORK}:{NETWORK}".encode())),
            (GROUP_TOPOLOGY, b"group_topology", topology), (GROUP_CONNECTIVITY, b"group_connect", connectivity)]


def xclbin(kernel, command):
    parts = sections(kernel, command)
    # The same contents have the same identity.
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"slotwire:{kernel}:{command}").bytes
    at = HEADER_BYTES + 40 * len(parts)
    headers, body = b"", b""
    for kind, name, data in parts:
        padding = -at % SECTION_ALIGN
        body += bytes(padding)
        at += padding
        headers += struct.pack("<I16s4xQQ", kind, name, at, len(data))
        body += data
        at += len(data)
    header = struct.pack("<8si28s256sQ", b"xclbin2\0", -1, b"\xff" * 28, bytes(256), 0)
    header += struct.pack("<QQQHBBHH16s64s16s16sI4x", at, 0, 0, 0, 2, 1, MODE_HW_EMU, 0, bytes(16), VBNV.encode(), identity, b"", len(parts))
    assert len(header) == HEADER_BYTES
    return header + headers + body


def library():
    """XRT's library for emulation, as the system has it."""
    found = sorted(glob.glob("/usr/lib/*/libxrt_hwemu.so.2") + glob.glob("/opt/xilinx/xrt/lib/libxrt_hwemu.so.2"))
    if not found:
        sys.exit("make_xclbin.py: libxrt_hwemu.so.2 is not installed; install libxrt1 (scripts/install-deps)")
    return found[0]


def write_setting(directory):
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / "xrt"
    (root / "lib").mkdir(parents=True, exist_ok=True)
    link = root / "lib" / "libxrt_hwemu.so.2"
    link.unlink(missing_ok=True)
    link.symlink_to(library())
    board = {"Name": "opensrc_sim_demo_1", "NumDevices": "1", "DdrBanks": [{"Size": "16GB"}]}
    config = {"Version": {"FileVersion": "2.0"}, "Platform": {"Boards": [{"NumBoards": "1", "Devices": [board]}]}}
    (directory / "emconfig.json").write_text(json.dumps(config), encoding="ascii")
    (directory / "xrt.ini").write_text(f"[Emulation]\npacket_size={PACKET_BYTES}\nsystem_dpa=false\n[Debug]\npadding={'x' * PADDING_BYTES}\n",
                                       encoding="ascii")
    run = directory / "run"
    run.mkdir(exist_ok=True)
    environment = {"XILINX_XRT": str(root), "XCL_EMULATION_MODE": "hw_emu", "EMCONFIG_PATH": str(directory), "XRT_INI_PATH": str(directory / "xrt.ini"),
                   "SDACCEL_EM_RUN_DIR": str(run), "USER": f"slotwire-{os.getpid()}-{abs(hash(str(directory))) % 10**6}"}
    (directory / "environment.json").write_text(json.dumps(environment, indent=1), encoding="ascii")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--kernel", default=KERNEL, help="name of the kernel (default: %(default)s)")
    parser.add_argument("--setting", type=Path, help="also write what an emulation needs around it into this directory")
    arguments = parser.parse_args()
    arguments.file.write_bytes(xclbin(arguments.kernel, arguments.command))
    if arguments.setting:
        write_setting(arguments.setting.resolve())


if __name__ == "__main__":
    main()
