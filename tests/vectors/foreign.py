#!/usr/bin/python3
"""Writes tests/vectors/foreign.json: frames that others made and read, not the tables of hw/regs from which software and RTL are made.

Ethernet, VLAN, IPv4, IPv6, UDP and TCP headers and their checksums are scapy's or text2pcap's; the CRC-32C is that of scapy's SCTP. What
a frame's fields are, and whether it belongs to a card, is what tshark reads in it (never sw/tools/dissector). Only the 22 bytes of the
link header are written here, from the text of docs/protocol.md. tests/unit/foreign_test.cpp, tests/lockstep/foreign_card_test.cpp and
tests/rtl/classifier_test.cpp run the frames.

  foreign.py          writes the file
  foreign.py --check  exits 1 when it is not what would be written, 77 when scapy or tshark is missing
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPOption_Router_Alert, IPv6, Raw, fragment, raw, wrpcap
    from scapy.layers.sctp import crc32c
except ImportError:
    print("SKIPPED: python3-scapy is missing (scripts/install-deps)")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
CARD = {"mac": "02:53:4c:54:57:01", "ip": "10.0.0.1", "port": 7401}
PEER = {"mac": "02:53:4c:54:58:00", "ip": "10.0.1.0", "port": 7500}
SLOT, PEER_SLOT, EPOCH = 5, 2, 0x1234
IN, OUT, CREDIT = 0xFFFFFFF4, 100, 16  # first positions of the input and the output ring; lines of each
FIELDS = ("eth.dst eth.type vlan.priority vlan.dei vlan.id vlan.etype ip.version ip.hdr_len ip.len ip.flags.mf ip.frag_offset ip.ttl ip.proto ip.src ip.dst "
          "ip.checksum.status ipv6.nxt udp.srcport udp.dstport udp.length udp.checksum.status tcp.srcport tcp.dstport").split()


def lines(seq, count):
    """The line at position p has 64 bytes with the low byte of p."""
    return b"".join(bytes([(seq + i) & 0xFF]) * 64 for i in range(count))


def link(frame_type, dst, src, seq, ack, credit, count=0, version=1):
    """A link frame, written from docs/protocol.md ("The frame")."""
    def head(crc):
        return struct.pack(">BBHHHIIHI", version << 4 | frame_type, 0, dst, src, EPOCH, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, credit, crc)
    payload = lines(seq, count)
    # SCTP sends its CRC least significant byte first; a link header has it the other way.
    crc = struct.unpack("<I", struct.pack(">I", crc32c(head(0) + payload)))[0]
    return head(crc) + payload


def to_card(payload, ether=None, ip=None, udp=None):
    return (ether or Ether(dst=CARD["mac"], src=PEER["mac"])) / (ip or IP(src=PEER["ip"], dst=CARD["ip"])) / \
        (udp or UDP(sport=PEER["port"], dport=CARD["port"])) / Raw(payload)


def from_card(payload):
    return raw(Ether(dst=PEER["mac"], src=CARD["mac"]) / IP(src=CARD["ip"], dst=PEER["ip"], id=0, flags="DF", ttl=64) /
               UDP(sport=CARD["port"], dport=PEER["port"], chksum=0) / Raw(payload))


def data(count, seq=OUT, **other):
    return link(0, SLOT, PEER_SLOT, seq, IN, CREDIT, count, **other)


def text2pcap(payload, directory):
    """A datagram whose headers are Wireshark's."""
    dump, out = directory / "dump", directory / "made.pcap"
    dump.write_text("".join(f"{i:06x} {payload[i:i + 16].hex(' ')}\n" for i in range(0, len(payload), 16)))
    subprocess.run(["text2pcap", "-q", "-F", "pcap", "-4", f"{PEER['ip']},{CARD['ip']}", "-u", f"{PEER['port']},{CARD['port']}", dump, out], check=True, capture_output=True)
    packet = out.read_bytes()[24 + 16:]
    return packet[:14 + struct.unpack(">H", packet[16:18])[0]]


def tshark(frames, directory):
    """The fields of each frame as tshark reads them; "": there is none."""
    capture = directory / "frames.pcap"
    wrpcap(str(capture), [Ether(frame) for frame in frames])
    fields = [argument for field in FIELDS for argument in ("-e", field)]
    ran = subprocess.run(["tshark", "-r", capture, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.defragment:FALSE", "-T", "fields",
                          "-E", "occurrence=f", "-E", "separator=,", *fields], check=True, capture_output=True, text=True, env={"HOME": str(directory), "PATH": "/usr/bin:/bin"})
    rows = [dict(zip(FIELDS, line.split(","))) for line in ran.stdout.splitlines()]
    assert len(rows) == len(frames), ran.stdout
    return rows


def number(text):
    return int(text, 0) if text else 0


def of_card(read, mac):
    """By docs/card.md, "Which frames are the card's", of what tshark read."""
    return (read["eth.dst"] == mac and number(read["eth.type"]) == 0x0800 and read["ip.dst"] == CARD["ip"] and number(read["ip.proto"]) == 17 and
            number(read["udp.dstport"]) == CARD["port"] and number(read["ip.hdr_len"]) == 20 and not number(read["ip.frag_offset"]) and
            read["ip.flags.mf"] not in ("1", "True") and number(read["ip.len"]) == 20 + number(read["udp.length"]))


def rule(read):
    """By docs/registers.md, "A rule of the classifier", of what tshark read."""
    mac = int(read["eth.dst"].replace(":", ""), 16)
    tagged = number(read["eth.type"]) == 0x8100
    four, six = read["ip.version"] == "4", read["ipv6.nxt"] != ""
    protocol = number(read["ip.proto"]) if four else number(read["ipv6.nxt"])
    whole = four and number(read["ip.hdr_len"]) == 20 and not number(read["ip.frag_offset"]) and read["ip.flags.mf"] not in ("1", "True")
    ports = (whole or six) and protocol in (6, 17)
    layer = "tcp" if protocol == 6 else "udp"
    address = lambda text: int.from_bytes(bytes(map(int, text.split("."))), "big") if four else 0  # noqa: E731
    return {"dst_mac": mac, "ether_type": number(read["vlan.etype"] if tagged else read["eth.type"]),
            "vlan": number(read["vlan.priority"]) << 13 | (read["vlan.dei"] in ("1", "True")) << 12 | number(read["vlan.id"]) if tagged else 0,
            "src_ip": address(read["ip.src"]), "dst_ip": address(read["ip.dst"]), "protocol": protocol,
            "src_port": number(read[f"{layer}.srcport"]) if ports else 0, "dst_port": number(read[f"{layer}.dstport"]) if ports else 0,
            "tagged": tagged, "ipv4": four, "ipv6": six, "ports": ports}


def make(directory):
    wrong = bytearray(data(1))
    wrong[-1] ^= 1
    options = IP(src=PEER["ip"], dst=CARD["ip"], options=IPOption_Router_Alert())
    pieces = fragment(IP(src=PEER["ip"], dst=CARD["ip"], id=7) / UDP(sport=PEER["port"], dport=CARD["port"]) / Raw(data(22)), fragsize=800)
    ether = Ether(dst=CARD["mac"], src=PEER["mac"])
    # (who made it, what it is, the frame, lines that the slot accepts, the counter that counts it if it is dropped)
    frames = [
        ("scapy", "one line", raw(to_card(data(1))), 1, ""),
        ("scapy", "two lines, no UDP checksum", raw(to_card(data(2), udp=UDP(sport=PEER["port"], dport=CARD["port"], chksum=0))), 2, ""),
        ("scapy", "sixteen lines, other time to live, service and identification",
         raw(to_card(data(16), ip=IP(src=PEER["ip"], dst=CARD["ip"], ttl=3, tos=0xB8, id=0xBEEF, flags="DF"))), 16, ""),
        ("scapy", "one line with padding behind the datagram", raw(to_card(data(1))) + bytes(70), 1, ""),
        ("text2pcap", "one line", text2pcap(data(1), directory), 1, ""),
        ("text2pcap", "twelve lines", text2pcap(data(12), directory), 12, ""),
        ("scapy", "a wrong line", raw(to_card(bytes(wrong))), 0, "drop_crc"),
        ("scapy", "another version", raw(to_card(data(1, version=2))), 0, "drop_version"),
        ("scapy", "half a line", raw(to_card(data(1)[:-32])), 0, "drop_length"),
        ("scapy", "lines beyond the ring", raw(to_card(data(1, seq=OUT + 17))), 0, "drop_position"),
        ("scapy", "another port", raw(to_card(data(1), udp=UDP(sport=PEER["port"], dport=CARD["port"] + 1))), 0, ""),
        ("scapy", "another address", raw(to_card(data(1), ip=IP(src=PEER["ip"], dst="10.0.0.2"))), 0, ""),
        ("scapy", "another MAC address", raw(to_card(data(1), ether=Ether(dst="02:53:4c:54:57:02", src=PEER["mac"]))), 0, ""),
        ("scapy", "a tag", raw(to_card(data(1), ether=ether / Dot1Q(prio=5, vlan=0x123))), 0, ""),
        ("scapy", "options", raw(to_card(data(1), ip=options)), 0, ""),
        ("scapy", "the first fragment", raw(ether / pieces[0]), 0, ""),
        ("scapy", "the second fragment", raw(ether / pieces[1]), 0, ""),
        ("scapy", "another length", raw(to_card(data(1), udp=UDP(sport=PEER["port"], dport=CARD["port"], len=20, chksum=0))), 0, ""),
        ("scapy", "TCP", raw(ether / IP(src=PEER["ip"], dst=CARD["ip"]) / TCP(sport=1234, dport=CARD["port"]) / Raw(b"x" * 40)), 0, ""),
        ("scapy", "TCP behind a tag", raw(ether / Dot1Q(prio=3, id=1, vlan=7) / IP(src=PEER["ip"], dst=CARD["ip"]) / TCP(sport=443, dport=51000)), 0, ""),
        ("scapy", "IPv6 and UDP", raw(ether / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=53, dport=CARD["port"]) / Raw(b"y" * 60)), 0, ""),
        ("scapy", "IPv6 and TCP", raw(ether / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=80, dport=40000)), 0, ""),
        ("scapy", "ICMP", raw(ether / IP(src=PEER["ip"], dst=CARD["ip"]) / ICMP() / Raw(b"z" * 30)), 0, ""),
        ("scapy", "ARP", raw(Ether(dst="ff:ff:ff:ff:ff:ff", src=PEER["mac"]) / ARP(psrc=PEER["ip"], pdst=CARD["ip"])) + bytes(18), 0, ""),
    ]
    read = tshark([frame for _, _, frame, _, _ in frames], directory)
    to = []
    for (maker, name, frame, taken, dropped), fields in zip(frames, read):
        # text2pcap has MAC addresses of its own.
        mac = ":".join(f"{byte:02x}" for byte in frame[:6]) if maker == "text2pcap" else CARD["mac"]
        ours = of_card(fields, mac)
        assert ours or (taken == 0 and dropped == ""), (name, fields)
        to.append({"made_by": maker, "name": name, "card_mac": int(mac.replace(":", ""), 16), "bytes": frame.hex(), "ours": ours, "lines": taken, "dropped": dropped,
                   "rule": rule(fields)})
    sent = [from_card(link(0, PEER_SLOT, SLOT, IN, OUT, CREDIT, 3)), from_card(link(1, PEER_SLOT, SLOT, IN, OUT + 1, CREDIT - 1))]
    for fields in tshark(sent, directory):
        # 1: good; a UDP checksum of 0 is none (3: not present).
        assert fields["ip.checksum.status"] == "1" and fields["udp.checksum.status"] == "3" and number(fields["ip.len"]) == 20 + number(fields["udp.length"]), fields
        assert (fields["eth.dst"], fields["ip.dst"], number(fields["udp.dstport"])) == (PEER["mac"], PEER["ip"], PEER["port"]), fields
    return {"text": "Written by tests/vectors/foreign.py; do not edit.",
            "slot": {"slot": SLOT, "peer_slot": PEER_SLOT, "epoch": EPOCH, "in": IN, "out": OUT, "order": 4},
            "to_card": to,
            "from_card": [{"name": "three lines", "in_tail": (IN + 3) & 0xFFFFFFFF, "bytes": sent[0].hex()},
                          {"name": "an acknowledgement of one line", "after": "one line", "bytes": sent[1].hex()}]}


def main():
    if not shutil.which("tshark") or not shutil.which("text2pcap"):
        print("SKIPPED: tshark is missing (scripts/install-deps)")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        text = json.dumps(make(pathlib.Path(directory)), indent=1) + "\n"
    path = HERE / "foreign.json"
    if sys.argv[1:] == ["--check"]:
        return 0 if path.read_text() == text else 1
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
