#!/usr/bin/env python3
"""Writes the test vectors of the protocol: frames.json, exchanges.json, encrypted.json and the section of docs/protocol.md that shows
them.

The exchanges below are written from the rules of docs/protocol.md, by hand; frames are encoded here, not by the pipeline. So
the test that runs them through the pipeline (tests/unit/vectors_test.cpp) compares two implementations. The same holds for
encrypted frames (aes_gcm.py; tests/carrier/link_keys_test.cpp).

  generate.py          writes the four files
  generate.py --check  exits 1 when one of them is not what would be written
"""
import json
import pathlib
import sys

from aes_gcm import seal

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "vectors"
PAGE = ROOT / "docs" / "protocol.md"
BEGIN, END = "<!-- vectors: begin -->", "<!-- vectors: end -->"

TYPES = {"data": 0, "ack": 1, "nak": 2, "probe": 3, "reset": 4}
SLOT, PEER, EPOCH = 1, 2, 0x5A17
I, O = 0xFFFFFFFC, 0x100  # first positions of the input and the output space
TX, ACK, NAK_SENT = 0x20, 0x40, 0x10  # flags of the row
BOUND, FAULTED, RESET = 1, 2, 3


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def w(position):
    return position & 0xFFFFFFFF


def encode(type, dst, src, epoch, seq, ack, credit, payload=b"", flags=0, version=1):
    head = bytes([version << 4 | TYPES.get(type, type), flags])
    for value, size in ((dst, 2), (src, 2), (epoch, 2), (w(seq), 4), (w(ack), 4), (credit, 2)):
        head += value.to_bytes(size, "big")
    crc = crc32c(head + bytes(4) + payload)
    return head + crc.to_bytes(4, "big") + payload


def lines(seq, count):
    """The line at position p holds 64 bytes with the low byte of p."""
    return b"".join(bytes([w(seq + i) & 0xFF]) * 64 for i in range(count))


def out(type, seq, ack, credit, count=0):
    """A frame that the slot sends."""
    return encode(type, PEER, SLOT, EPOCH, seq, ack, credit, lines(seq, count))


def peer(type, seq, ack, credit, count=0, **other):
    """A frame that the slot's peer sends."""
    payload = lines(seq, count) + bytes(other.get("more", 0))
    return encode(type, SLOT, other.get("src", PEER), other.get("epoch", EPOCH), seq, ack, credit, payload)


def step(event, *frames, **row):
    return {**event, "frames": [f.hex() for f in frames], "row": {k: w(v) for k, v in row.items()}}


def bell(in_tail=I, out_head=O):
    return {"doorbell": {"in_tail": w(in_tail), "out_head": w(out_head)}}


def receive(frame):
    return {"receive": frame.hex()}


def tick(us):
    return {"tick_us": us}


def exchange(name, rule, text, steps, credit=16):
    return {"name": name, "rule": rule, "text": text, "credit": credit, "steps": steps}


damaged = bytearray(peer("data", O, I, 16, 1))
damaged[40] ^= 0x10

EXCHANGES = [
    exchange("send and release", "R4, R5", "Six lines are written. A frame has at most 4, and ends where the ring ends.", [
        step(bell(I + 6), out("data", I, O, 16, 4), out("data", I + 4, O, 16, 2), in_tail=I + 6, sent=I + 6, flags=TX, tx_deadline=10000),
        step(receive(peer("ack", O, I + 6, 10)), in_head=I + 6, flags=0)]),
    exchange("delayed acknowledgement", "R3, R6", "Less than a quarter of the ring waits for a frame to ride on, at most 1000 us.", [
        step(receive(peer("data", O, I, 16, 1)), out_tail=O + 1, flags=ACK, ack_deadline=1000),
        step(tick(999)),
        step(tick(1), out("ack", I, O + 1, 15), told_ack=O + 1, flags=0)]),
    exchange("piggybacked acknowledgement", "R6", "Data of the other direction carries it.", [
        step(receive(peer("data", O, I, 16, 1)), out_tail=O + 1, flags=ACK),
        step(bell(I + 1), out("data", I, O + 1, 15, 1), in_tail=I + 1, sent=I + 1, told_ack=O + 1, flags=TX)]),
    exchange("a quarter of the ring", "R6", "Four of 16 lines are acknowledged at once.", [
        step(receive(peer("data", O, I, 16, 4)), out("ack", I, O + 4, 12), out_tail=O + 4, told_ack=O + 4)]),
    exchange("gap", "R3", "One NAK for a gap, however many frames follow it.", [
        step(receive(peer("data", O + 1, I, 16, 1)), out("nak", I, O, 16), flags=NAK_SENT),
        step(receive(peer("data", O + 2, I, 16, 1))),
        step(receive(peer("data", O, I, 16, 1)), out_tail=O + 1, flags=ACK)]),
    exchange("go back", "R9", "A NAK releases what the peer has and sends the rest again.", [
        step(bell(I + 6), out("data", I, O, 16, 4), out("data", I + 4, O, 16, 2), in_tail=I + 6, sent=I + 6, flags=TX),
        step(receive(peer("nak", O, I + 2, 16)), out("data", I + 2, O, 16, 2), out("data", I + 4, O, 16, 2), in_head=I + 2, limit=I + 18)]),
    exchange("timeout", "R9", "Doubles from 10000 us to the limit of 40000 us; progress starts it anew.", [
        step(bell(I + 1), out("data", I, O, 16, 1), in_tail=I + 1, sent=I + 1, flags=TX, tx_deadline=10000),
        step(tick(10000), out("data", I, O, 16, 1), backoff=1, tx_deadline=30000),
        step(tick(20000), out("data", I, O, 16, 1), backoff=2, tx_deadline=70000),
        step(tick(40000), out("data", I, O, 16, 1), backoff=3, tx_deadline=110000),
        step(receive(peer("ack", O, I + 1, 15)), in_head=I + 1, backoff=0, flags=0)]),
    exchange("closed window", "R7, R9", "The peer has room for 2 lines, then for none; a probe asks; the third line follows the answer.", [
        step(bell(I + 3), out("data", I, O, 16, 2), in_tail=I + 3, sent=I + 2, flags=TX),
        step(receive(peer("ack", O, I + 2, 0)), in_head=I + 2),
        step(tick(10000), out("probe", I + 2, O, 16), backoff=1),
        step(receive(peer("ack", O, I + 2, 1)), out("data", I + 2, O, 16, 1), limit=I + 3, sent=I + 3, backoff=0, tx_deadline=20000)], credit=2),
    exchange("probed", "R9", "A probe is answered at once.", [
        step(receive(peer("probe", O, I, 16)), out("ack", I, O, 16))]),
    exchange("duplicate and overlap", "R3", "Known lines are acknowledged and not written; of an overlapping frame the new lines are.", [
        step(receive(peer("data", O, I, 16, 2)), out_tail=O + 2, flags=ACK),
        step(receive(peer("data", O, I, 16, 2)), out("ack", I, O + 2, 14), told_ack=O + 2, flags=0),
        step(receive(peer("data", O + 1, I, 16, 3)), out_tail=O + 4, flags=ACK)]),
    exchange("window update", "R3, R7", "A full ring refuses a line. Three lines read are kept quiet about, the fourth is told.", [
        *[step(receive(peer("data", O + n, I, 16, 4)), out("ack", I, O + n + 4, 12 - n), out_tail=O + n + 4, told_ack=O + n + 4) for n in (0, 4, 8, 12)],
        step(receive(peer("data", O + 16, I, 16, 1)), out("ack", I, O + 16, 0)),
        step(bell(I, O + 3), out_head=O + 3),
        step(bell(I, O + 4), out("ack", I, O + 16, 4), out_head=O + 4, told_limit=O + 20)]),
    exchange("impossible mark", "R8, R10", "IN_TAIL more than a ring ahead faults the slot; its peer is told, and again when it still talks.", [
        step(bell(I + 17), out("reset", I, O, 16), state=FAULTED, fault=1),
        step(receive(peer("probe", O, I, 16)), out("reset", I, O, 16))]),
    exchange("reset by the peer", "R8", "The slot stops and stays silent.", [
        step(receive(peer("reset", O, I, 16)), state=RESET, fault=3),
        step(receive(peer("data", O, I, 16, 1)))]),
    exchange("dropped", "R2", "Another epoch, a damaged payload (its 18th byte), another slot of the peer, a type that is none, one line and a "
             "half, a line on an ack, a data frame without lines, 21 bytes: nothing changes.", [
        step(receive(peer("data", O, I, 16, 1, epoch=EPOCH - 1))),
        step(receive(bytes(damaged))),
        step(receive(peer("data", O, I, 16, 1, src=PEER + 1))),
        step(receive(peer(5, O, I, 16))),
        step(receive(peer("data", O, I, 16, 1, more=32))),
        step(receive(peer("ack", O, I, 16, 1))),
        step(receive(peer("data", O, I, 16))),
        step(receive(peer("ack", O, I, 16)[:21]))]),
    exchange("positions of a stranger", "R2", "An acknowledgement of a line that was not produced, one from more than a ring ago, lines more than a ring "
             "ahead or behind, a reset from there: nothing changes. A ring ago is accepted.", [
        step(receive(peer("data", O, I + 1, 16, 1))),
        step(receive(peer("data", O, I - 17, 16, 1))),
        step(receive(peer("probe", O + 17, I, 16))),
        step(receive(peer("probe", O - 17, I, 16))),
        step(receive(peer("reset", O, I + 1, 16))),
        step(receive(peer("reset", O + 17, I, 16))),
        step(receive(peer("probe", O - 16, I - 16, 16)), out("ack", I, O, 16))]),
    exchange("window that shrinks", "R5", "A smaller window than the known one is not believed.", [
        step(receive(peer("ack", O, I, 2))),
        step(bell(I + 4), out("data", I, O, 16, 4), in_tail=I + 4, sent=I + 4, flags=TX)]),
    exchange("stale NAK", "R5, R9", "A NAK from before the last acknowledgement makes nobody go back.", [
        step(bell(I + 4), out("data", I, O, 16, 4), in_tail=I + 4, sent=I + 4, flags=TX),
        step(receive(peer("ack", O, I + 2, 14)), in_head=I + 2),
        step(receive(peer("nak", O, I, 16)))]),
    exchange("delayed acknowledgement is not put off", "R6", "A second frame does not start the ack timer anew.", [
        step(receive(peer("data", O, I, 16, 1)), out_tail=O + 1, flags=ACK, ack_deadline=1000),
        step(tick(600)),
        step(receive(peer("data", O + 1, I, 16, 1)), out_tail=O + 2, ack_deadline=1000),
        step(tick(400), out("ack", I, O + 2, 14), told_ack=O + 2, flags=0)]),
    exchange("impossible OUT_HEAD", "R10", "Lines that were never delivered cannot have been read.", [
        step(receive(peer("data", O, I, 16, 1)), out_tail=O + 1, flags=ACK),
        step(bell(I, O + 2), out("reset", I, O + 1, 15), state=FAULTED, fault=2, flags=0, told_ack=O + 1)]),
    exchange("link up with a closed window", "R9", "What the peer may have missed is told, and where the window is closed, it is asked for.", [
        step(bell(I + 3), out("data", I, O, 16, 2), in_tail=I + 3, sent=I + 2, flags=TX),
        step(receive(peer("data", O, I + 2, 0, 1)), in_head=I + 2, out_tail=O + 1, flags=TX | ACK),
        step({"link": "down"}, flags=0),
        step({"link": "up"}, out("probe", I + 2, O + 1, 15), told_ack=O + 1, flags=TX, tx_deadline=10000)], credit=2),
    exchange("link down and up", "R9", "Nothing runs while the link is down; then everything that is not acknowledged is sent.", [
        step(bell(I + 2), out("data", I, O, 16, 2), in_tail=I + 2, sent=I + 2, flags=TX),
        step({"link": "down"}, flags=0),
        step(tick(1000000)),
        step({"link": "up"}, out("data", I, O, 16, 2), flags=TX, tx_deadline=1010000)]),
    exchange("restart", "R9", "A new proxy has the row's marks alone: it asks for the window. The peer has the fifth line already.", [
        step(bell(I + 5), out("data", I, O, 16, 4), out("data", I + 4, O, 16, 1), in_tail=I + 5, sent=I + 5, flags=TX),
        step(receive(peer("data", O, I + 4, 16, 1)), in_head=I + 4, limit=I + 20, out_tail=O + 1, flags=TX | ACK),
        step({"restart": True}, out("probe", I + 4, O + 1, 15), limit=I + 4, sent=I + 4, told_ack=O + 1, flags=TX),
        step(receive(peer("ack", O + 1, I + 5, 15)), in_head=I + 5, sent=I + 5, limit=I + 20, flags=0)]),
]

FRAMES = [
    {"name": name, "fields": dict(version=1, flags=0, type=type, dst_slot=dst, src_slot=src, epoch=epoch, seq=w(seq), ack=w(ack), credit=credit),
     "payload_lines": count, "hex": encode(type, dst, src, epoch, seq, ack, credit, lines(seq, count)).hex()}
    for name, type, dst, src, epoch, seq, ack, credit, count in [
        ("data, one line", "data", 2, 1, 0x5A17, 0, 0, 16, 1),
        ("data, two lines over the wrap", "data", 2, 1, 0x5A17, 0xFFFFFFFF, 7, 64, 2),
        ("ack", "ack", 1, 2, 0x5A17, 7, 1, 63, 0),
        ("ack, closed window", "ack", 1, 2, 0x5A17, 7, 0xFFFFFFFF, 0, 0),
        ("nak", "nak", 1, 2, 0x5A17, 7, 1, 63, 0),
        ("probe", "probe", 65535, 65534, 0xFFFF, 0x01020304, 0x05060708, 32768, 0),
        ("reset", "reset", 0, 0, 0, 0, 0, 0, 0),
    ]
]



def encrypted(name, suite, key_id, sequence, frame):
    """The secrets are counted up, so that they can be shown in few words."""
    key, salt = bytes(range(16 if suite == "aes-128-gcm" else 32)), bytes(range(0xA0, 0xAC))
    head = b"\xe1" + bytes(3) + key_id.to_bytes(4, "big") + sequence.to_bytes(8, "big") + bytes(32)
    nonce = bytes(a ^ b for a, b in zip(salt, bytes(4) + sequence.to_bytes(8, "big")))
    sealed, tag = seal(key, nonce, head, frame)
    return {"name": name, "suite": suite, "key": key.hex(), "salt": salt.hex(), "key_id": key_id, "sequence": sequence,
            "frame": frame.hex(), "datagram": (head + tag + sealed).hex()}


ENCRYPTED = [
    encrypted("an ack, the key's first frame", "aes-256-gcm", 0x01020304, 0, encode("ack", 1, 2, 0x5A17, 7, 1, 63)),
    encrypted("data, two lines", "aes-256-gcm", 0xFFFFFFFF, 0x0123456789, encode("data", 2, 1, 0x5A17, 0xFFFFFFFF, 7, 64, lines(0xFFFFFFFF, 2))),
    encrypted("data, one line", "aes-128-gcm", 1, 0xFFFFFFFF, encode("data", 2, 1, 0x5A17, 0, 0, 16, lines(0, 1))),
]

ABOUT = ("Slot 1 is paired with slot 2 over link 0, epoch 0x5a17, both rings 16 lines, mapped once; IN marks start at 0xfffffffc, "
         "OUT marks at 0x100; `credit` lines are known to be free at the peer. The link: 4 lines a frame, first timeout 10000 us, "
         "longest 40000 us, acknowledgement delay 1000 us. Time starts at 0 and only tick_us moves it. The line at position p holds 64 "
         "bytes with the low byte of p. After each step's event timers are looked at (tick_us only) and everything due is sent: `frames`. `row` has the fields "
         "that the step changed; state, fault, flags, backoff, in_tail, sent, in_head, limit, out_tail, out_head, told_ack and told_limit "
         "that are not in it did not change.")


def shown(frame_hex):
    head, payload = frame_hex[:44], bytes.fromhex(frame_hex[44:])

    def run(line):
        return f" + {len(line)} x {line[0]:02x}" if line == line[:1] * len(line) else " + " + line.hex()
    return head + "".join(run(payload[i:i + 64]) for i in range(0, len(payload), 64))


def name_of(position):
    return f"0x{position:x}"


def page_section():
    text = ["", "### Frames", ""]
    for frame in FRAMES:
        f = frame["fields"]
        text += [f"- {frame['name']}: {f['type']} to slot {f['dst_slot']} from slot {f['src_slot']}, epoch 0x{f['epoch']:x}, seq {name_of(f['seq'])}, "
                 f"ack {name_of(f['ack'])}, credit {f['credit']}", "  `" + shown(frame["hex"]) + "`"]
    text += ["", "### Encrypted frames", "", "Keys are the bytes 00, 01, 02, ...; the salt is `" + ENCRYPTED[0]["salt"] + "`.", ""]
    for e in ENCRYPTED:
        text += [f"- {e['name']}: {e['suite']}, key 0x{e['key_id']:x}, sequence 0x{e['sequence']:x}, frame `{shown(e['frame'])}`",
                 f"  `{e['datagram'][:96]}` + tag `{e['datagram'][96:128]}` + `{e['datagram'][128:]}`"]
    text += ["", "### Exchanges", "", ABOUT, ""]
    for e in EXCHANGES:
        text += [f"**{e['name']}** ({e['rule']}). {e['text']}", "", "```"]
        for s in e["steps"]:
            if "doorbell" in s:
                text.append("doorbell IN_TAIL " + name_of(s["doorbell"]["in_tail"]) + " OUT_HEAD " + name_of(s["doorbell"]["out_head"]))
            elif "receive" in s:
                text.append("receive  " + shown(s["receive"]))
            elif "tick_us" in s:
                text.append(f"tick     {s['tick_us']} us")
            elif "link" in s:
                text.append("link     " + s["link"])
            else:
                text.append("restart")
            text += ["  sends  " + shown(f) for f in s["frames"]]
            if s["row"]:
                text.append("  row    " + " ".join(f"{k}={name_of(v)}" for k, v in s["row"].items()))
        text += ["```", ""]
    return "\n".join(text)


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    files = {
        HERE / "frames.json": json.dumps(FRAMES, indent=1) + "\n",
        HERE / "exchanges.json": json.dumps({"about": ABOUT, "exchanges": EXCHANGES}, indent=1) + "\n",
        HERE / "encrypted.json": json.dumps(ENCRYPTED, indent=1) + "\n",
        PAGE: before + BEGIN + "\n" + page_section() + END + after,
    }
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what tests/vectors/generate.py writes; run it")
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
