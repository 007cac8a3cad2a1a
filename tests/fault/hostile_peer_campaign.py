#!/usr/bin/env python3
"""Hostile peers and strangers beside an honest pair of processes: what they do to a node may cost nobody but themselves.

    hostile_peer_campaign.py [--seconds 60] [--only KIND,...]

Two real nodes, an honest caller on one and a server on the other. The second node has a third link, to the node 'evil', which
is what attacks it, as is everybody who can reach its ports. The honest pair's rate is measured alone, beside each kind of
attacker, and beside all of them at once; and before and after each, beside as many processes that only take a processor
away. It must lose nothing, and the node must hold no more memory and descriptors afterwards than before. The ratio and the
processor time of the node's processes are printed; they are not judged. Several campaigns may run at once.
"""
import argparse
import json
import multiprocessing
import os
import random
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "node"))
import nodes  # noqa: E402

EVIL = {"type": "hello", "version": 1, "node": "evil", "incarnation": "00000000000000e1", "udp_port": 7401, "tcp_port": 0}


def framed(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def message(**fields):
    return framed(json.dumps(fields))


class Attacker:
    """Runs in a process of its own until it is ended. Everything may fail: the node may throw it out at any time."""

    def __init__(self, own, target, seed):
        self.own, self.target, self.random = own, target, random.Random(seed)

    def dial(self, timeout=2.0):
        connection = socket.socket()
        connection.settimeout(timeout)
        connection.bind((self.own, 0))
        connection.connect(self.target)
        return connection

    def as_evil(self):
        """A connection on which the node knows the link 'evil'; its hello has been read."""
        connection = self.dial()
        connection.sendall(message(**EVIL) + message(type="sync", pairs=[], last=True))
        connection.recv(65536)
        return connection

    def flood(self, data):
        """As fast as it is taken, without a look at what comes back."""
        connection = self.as_evil()
        connection.setblocking(True)
        connection.settimeout(5)
        while True:
            connection.sendall(data)
            try:
                while connection.recv(1 << 20, socket.MSG_DONTWAIT):
                    pass
            except BlockingIOError:
                continue
            return

    # --- the kinds ---

    def silent(self):
        """Connections that say nothing, as many as go."""
        held = []
        while True:
            try:
                held.append(self.dial(0.2))
            except OSError:
                time.sleep(0.01)
            if len(held) > 500:
                held.pop(self.random.randrange(len(held))).close()

    def garbage(self):
        """What is no message, from the first byte on."""
        texts = [os.urandom(64), struct.pack(">I", 0xFFFFFFFF), struct.pack(">I", 0), framed("[" * 200_000), framed('{"type":' * 50_000),
                 framed(b'{"type":"hello","version":1,"node":"\xc3'), framed("null"), framed('{"type":7}'), framed("{}"),
                 framed('{"type":"hello","version":1,"node":{"a":1},"incarnation":"00000000000000e1"}'), message(**dict(EVIL, version=99)),
                 message(**dict(EVIL, incarnation="xyz")), message(**dict(EVIL, node="left\n2026 critical forged")), b"GET / HTTP/1.1\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01"]
        while True:
            connection = self.dial()
            connection.sendall(self.random.choice(texts))
            connection.close()

    def pongs(self):
        self.flood(message(type="pong") * 1000)

    def pings(self):
        """Each wants an answer, which is read now and then only."""
        self.flood(message(type="ping") * 1000)

    def deaf(self):
        """Wants answers and reads none."""
        connection = self.as_evil()
        connection.settimeout(5)
        while True:
            connection.sendall(message(type="ping") * 1000)

    def opens(self):
        """Connections to a service, always from the same slot."""
        text = b"".join(message(type="open", id=i, service="echo", slot=3, epoch=7, in_order=6, out_order=6, in_first=1, out_first=2,
                                **{"from": {"name": "evil", "pid": 1, "uid": 0}}) for i in range(50))
        self.flood(text)

    def nonsense(self):
        """Messages that are right in themselves and have no place."""
        process = {"name": "evil", "pid": 1, "uid": 0}
        texts = [message(type="opened", id=77, slot=1, to=process), message(type="refused", id=78, code="busy", text="x"),
                 message(type="close", slot=1, from_slot=1, epoch=1, reason="died"), message(type="close", slot=65535, from_slot=0, epoch=0, reason="lost"),
                 message(type="sync", pairs=[[i, i, i] for i in range(1000)], last=False), message(**EVIL), message(**dict(EVIL, node="left")),
                 message(type="key", key=1, suite="aes-256-gcm", secret="00" * 32, salt="00" * 12), message(type="key_taken", key=5),
                 message(type="unheard-of"), message(type="error", text="\x1b[2J" + "x" * 900)]
        while True:
            connection = self.as_evil()
            try:
                for _ in range(200):
                    connection.sendall(self.random.choice(texts))
            except OSError:
                pass
            connection.close()

    def reconnects(self):
        """The link goes up and down as fast as it can."""
        while True:
            self.as_evil().close()

    def forged(self):
        """Frames with every field at random, from the address of the link."""
        self.frames(7401)

    def strangers(self):
        """The same from an address that belongs to no link."""
        self.frames(0)

    def frames(self, port):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind((self.own, port))
        while True:
            head = bytearray(self.random.randbytes(22))
            head[0] = 0x10 | self.random.randrange(6)
            head[2:6] = struct.pack(">HH", self.random.randrange(64), self.random.randrange(64))
            sender.sendto(bytes(head) + bytes(64 * self.random.choice((0, 1, 20))), (self.target[0], 7401))


KINDS = ("silent", "garbage", "pongs", "pings", "deaf", "opens", "nonsense", "reconnects", "forged", "strangers")


def attack(kind, own, target, seed):
    attacker = Attacker(own, target, seed)
    while True:
        try:
            getattr(attacker, kind)()
        except OSError:
            time.sleep(0.001)  # thrown out, or not let in: once more


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def burn():
    while True:
        pass


class Campaign(nodes.NodeTest):
    services = {"right": ["echo"], "left": []}

    def runTest(self):
        pass

    def add_node(self, name, peer):
        network = self.addresses[name].rsplit(".", 1)[0]
        self.evil = network + ".66"
        if name == "right":
            self.extra_config = {"left": "", "right": f'[[link]]\npeer = "evil"\ndial = false\nudp = "{self.evil}:7401"\n'}
        return super().add_node(name, peer)

    def holds(self):
        pid = self.right.engine.pid
        with open(f"/proc/{pid}/status") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        return memory, len(os.listdir(f"/proc/{pid}/fd"))

    def processors(self):
        """Seconds that the node's processes have used, by what they are."""
        pid = self.right.engine.pid
        gate = self.right.status()["gate"]["pid"]
        return {"slotwired": cpu_seconds(pid), "gate": cpu_seconds(gate)}

    def rate(self, seconds, targets):
        """Calls a second of the honest pair beside processes that run (function, arguments)."""
        beside = [multiprocessing.Process(target=function, args=arguments, daemon=True) for function, *arguments in targets]
        for process in beside:
            process.start()
        try:
            result = nodes.run(["bench", "echo", "-d", f"{seconds}s", "--json"], self.left, expect=None, timeout=seconds + 60)
        finally:
            for process in beside:
                process.kill()
                process.join()
        final = json.loads(result.stdout.splitlines()[-1]) if result.stdout else {}
        if result.returncode != 0:
            raise AssertionError(f"the honest pair lost something: {result.stdout}\n{result.stderr}\n{self.right.engine.output()[-3000:]}")
        return final

    def check_alive(self, what):
        for node in self.nodes:
            self.assertIsNone(node.engine.process.poll(), f"node {node.name} ended beside {what}:\n{node.engine.output()[-4000:]}")
        for link in self.right.status()["links"]:
            if link["peer"] == "left":
                self.assertTrue(link["control_up"] or "lost" in link["reason"], link)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each kind of attacker")
    parser.add_argument("--compare-seconds", type=int, default=5, help="for each comparison, at most --seconds")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds of attackers, with commas between them")
    options = parser.parse_args()
    kinds = options.only.split(",")
    campaign = Campaign()
    campaign.setUp()
    try:
        campaign.serve(["echo", "--echo"], campaign.right)
        target = (campaign.addresses["right"], 7400)
        short = min(options.seconds, options.compare_seconds)

        def beside(attackers, name):
            """The honest pair's rate beside attackers, and beside as many busy processes before and after."""
            busy = [(burn,) for _ in attackers]
            first = campaign.rate(short, busy)["calls_per_s"]
            used = campaign.processors()
            began = time.monotonic()
            rate = campaign.rate(options.seconds, attackers)["calls_per_s"]
            took = time.monotonic() - began
            shares = {part: (now - used[part]) / took for part, now in campaign.processors().items()}
            second = campaign.rate(short, busy)["calls_per_s"]
            campaign.check_alive(name)
            print(f"{name:12} {rate:8.0f} calls/s; beside as many busy processes {first:.0f} and {second:.0f}; ratio {2 * rate / (first + second):.2f}; "
                  "processors of the node: " + ", ".join(f"{part} {share:.2f}" for part, share in shares.items()), flush=True)

        print(f"{'alone':12} {campaign.rate(short, [])['calls_per_s']:8.0f} calls/s", flush=True)
        before = campaign.holds()
        for kind in kinds:
            beside([(attack, kind, campaign.evil, target, 1)], kind)
        if len(kinds) > 1:
            # Strangers have addresses of their own; 'evil' has one.
            beside([(attack, kind, campaign.evil, target, 2) for kind in kinds], "all at once")
        end = time.monotonic() + nodes.TIMEOUT
        while campaign.holds()[1] > before[1] and time.monotonic() < end:
            time.sleep(0.1)
        after = campaign.holds()
        print(f"the node held {before[0]} KiB and {before[1]} descriptors before, {after[0]} KiB and {after[1]} after")
        if after[1] > before[1] or after[0] > before[0] + 16384:
            raise AssertionError("the node did not give back what the attackers took")
        print("passed: nothing lost")
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"FAILED: {error}")
        return 1
    finally:
        campaign.tearDown()
        campaign.doCleanups()
    return 0


if __name__ == "__main__":
    sys.exit(main())
