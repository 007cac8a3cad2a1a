"""A node written from docs/control.md and docs/protocol.md alone: a control connection, a link over UDP, one slot.

It has no loss to recover from on the loopback interface, so of the protocol it has binding, data and acknowledgements only.
"""
import json
import os
import re
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
from generate import crc32c, encode  # noqa: E402

TYPES = ("data", "ack", "nak", "probe", "reset")
LINE = 64
HELD = {"incarnation", "udp_port", "tcp_port", "frame_lines", "pid", "uid", "slot"}  # differ from machine to machine


class Stranger:
    def __init__(self, name, address, control, timeout):
        self.name, self.said, self.timeout = name, [], timeout
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 0))
        self.udp.settimeout(timeout)
        self.connection = socket.socket()
        self.connection.bind((address, 0))
        self.connection.settimeout(timeout)
        self.connection.connect(control)
        self.pending = b""

    def close(self):
        self.connection.close()
        self.udp.close()

    # --- the control connection ---

    def send(self, **message):
        text = json.dumps(message)
        self.said.append(("->", message))
        self.connection.sendall(struct.pack(">I", len(text)) + text.encode())

    def receive(self):
        end = time.monotonic() + self.timeout  # pings come all the time
        while True:
            if time.monotonic() > end:
                raise TimeoutError("the node has sent nothing but pings")
            if len(self.pending) >= 4:
                length = struct.unpack(">I", self.pending[:4])[0]
                if len(self.pending) >= 4 + length:
                    message = json.loads(self.pending[4:4 + length])
                    self.pending = self.pending[4 + length:]
                    if message["type"] == "ping":
                        self.connection.sendall(b"\0\0\0\x0f" + b'{"type":"pong"}')
                    elif message["type"] != "pong":
                        self.said.append(("<-", message))
                        return message
                    continue
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionError("the node closed the connection")
            self.pending += data

    def greet(self):
        self.send(type="hello", version=1, node=self.name, incarnation="00000000000000a7", udp_port=self.udp.getsockname()[1], frame_lines=22)
        hello = self.receive()
        self.peer = (self.connection.getpeername()[0], hello["udp_port"])
        self.send(type="sync", pairs=[], last=True)
        return hello

    def open(self, service, slot=1, epoch=0x5A17, order=6, in_first=0xFFFFFFF0, out_first=0x100):
        self.slot, self.epoch, self.ring = slot, epoch, 1 << order
        self.sent, self.expected, self.consumed = in_first, out_first, out_first
        self.send(type="open", id=1, service=service, slot=slot, epoch=epoch, in_order=order, out_order=order, in_first=in_first,
                  out_first=out_first, **{"from": {"name": "stranger", "pid": 1, "uid": 0}})
        answer = self.receive()
        while answer["type"] == "sync":
            answer = self.receive()
        if answer["type"] == "opened":
            self.peer_slot = answer["slot"]
        return answer

    # --- the link ---

    def frame(self, kind, payload=b""):
        credit = self.ring - ((self.expected - self.consumed) & 0xFFFFFFFF)
        self.udp.sendto(encode(kind, self.peer_slot, self.slot, self.epoch, self.sent, self.expected, credit, payload), self.peer)

    def call(self, body):
        """A request of the service, and its answer: records of docs/architecture.md."""
        record = struct.pack("<IBBHII", len(body), 2, 3, 0, 1, 0) + body
        record += bytes(-len(record) % LINE)
        self.frame("data", record)
        self.sent = (self.sent + len(record) // LINE) & 0xFFFFFFFF
        lines = b""
        while True:
            frame, sender = self.udp.recvfrom(65536)
            if sender != self.peer:
                continue
            kind, dst, src, epoch, seq, ack, _, crc = struct.unpack(">BxHHHIIHI", frame[:22])
            checked = (kind >> 4, dst, src, epoch, crc) == (1, self.slot, self.peer_slot, self.epoch, crc32c(frame[:18] + bytes(4) + frame[22:]))
            if not checked:
                raise AssertionError(f"a frame that is not this pairing's: {frame[:22].hex()}")
            if TYPES[kind & 15] == "data" and seq == self.expected:
                lines += frame[22:]
                self.expected = (self.expected + (len(frame) - 22) // LINE) & 0xFFFFFFFF
                length = struct.unpack("<I", lines[:4])[0]
                if len(lines) >= 16 + length:
                    self.consumed = self.expected
                    self.frame("ack")
                    if ack != self.sent:
                        raise AssertionError("the answer does not acknowledge the request")
                    return lines[16:16 + length]
            elif TYPES[kind & 15] == "probe":
                self.frame("ack")


def shown(said):
    """The conversation as docs/control.md has it."""
    text = []
    for way, message in said:
        line = json.dumps(message)
        for key in HELD:
            line = re.sub(rf'"{key}": ("[^"]*"|\d+)', f'"{key}": <{key}>', line)
        text.append(f"{way} {line}")
    return text
