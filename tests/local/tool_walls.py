"""What the isolation of a region is worth: processes that try to get at memory that is not theirs."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from nodes import BIN, TIMEOUT, Node, NodeTest, run

PEER = os.path.join(BIN, "local_blocks_peer")
# One that every user may run.
PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin") or sys.executable
ATTACKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "walls_attacker.py")
ADA, BOB, EVE = 1000, 1001, 1002  # users; they need no names


class Walls(NodeTest):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be several users")
        self.region = f"walls-{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes = [], []
        attacker = os.path.join(self.directory, "attacker.py")
        shutil.copy(ATTACKER, attacker)
        os.chmod(attacker, 0o644)
        self.attacker = attacker

    def node_with(self, config):
        node = Node(self.directory, f"node{len(self.nodes)}", config)
        self.nodes.append(node)
        node.start()
        self.node = node
        return node

    def strict(self, users=(ADA, BOB), more=""):
        names = ", ".join(f'"{user}"' for user in users)
        return self.node_with(more + f'[[region]]\nname = "walls-*"\nisolation = "strict"\nusers = [{names}]\n')

    def peer(self, uid, kind, topic, *arguments):
        process = self.start([PEER, kind, self.region, topic, *arguments], self.node, stdin=subprocess.PIPE, user=uid, group=uid, extra_groups=[])
        self.addCleanup(lambda: process.process.poll() is None and process.process.kill())
        return process

    @staticmethod
    def go(process, times=1):
        process.process.stdin.write("\n" * times)
        process.process.stdin.flush()

    def attack(self, uid, *pids):
        done = subprocess.run([PYTHON, self.attacker, *map(str, pids)], user=uid, group=uid, extra_groups=[], capture_output=True,
                              text=True, timeout=TIMEOUT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(lines[-1], "tried")
        return lines[:-1]

    def rows(self):
        return [row["node"] for row in json.loads(run(["blocks", "--json"], self.node).stdout) if row["region"] == self.region]

    def wait_for_rows(self, condition):
        end = time.monotonic() + TIMEOUT
        while not condition(rows := self.rows()):
            if time.monotonic() > end:
                outputs = "\n".join(f"{process.arguments[1:]}: {process.output()}" for process in self.processes)
                self.fail(f"it never came: {rows}\n{self.node.engine.output()}\n{outputs}")
        return rows

    def pair(self, publisher, subscriber, count, overflow="block", bytes="100"):
        to = self.peer(subscriber, "subscribe", "eur", overflow, count)
        to.wait_for("subscribed")
        self.go(to)
        by = self.peer(publisher, "publish", "eur", "1", count, bytes)
        by.wait_for("has its subscribers")
        return by, to

    def finish(self, by, to, count, times=2):
        self.go(by, times)
        by.wait_for(f"published {count}")
        to.wait_for(f"complete: {count} taken")
        self.go(by)
        self.assertEqual((by.wait(), to.wait()), (0, 0))

    def test_shared_blocks_are_read_only_even_for_their_publishers_user_and_for_root(self):
        self.node_with("")
        by, to = self.pair(ADA, ADA, "3")
        # Processes of one user read each other's blocks: that is what they share. None of them, and not root, writes into them.
        for uid in (ADA, 0):
            self.assertEqual(self.attack(uid, by.pid), ["read: memfd:slotwire-blocks"])
        # Another user reaches nothing.
        self.assertEqual(self.attack(EVE, by.pid, to.pid), [])
        self.finish(by, to, "3")

    def test_strict_users_meet_and_reach_nothing_of_each_other(self):
        self.strict()
        by, to = self.pair(ADA, BOB, "3")
        rows = self.rows()
        self.assertEqual([(row["isolation"], row["uid"], row["publishers"], row["subscribers"]) for row in rows],
                         [("strict", BOB, 0, 1), ("strict", ADA, 1, 0)])
        # The subscriber's user can take the descriptor of the copies as its process has it. It reads, and no more.
        taken = self.attack(BOB, to.pid)
        self.assertLessEqual(set(taken), {"took: memfd:slotwire-copies"})
        for uid in (ADA, EVE):
            # The memory of a cell is that of slotwired's user: whoever has no descriptor of it cannot open it, whoever's process it is in.
            self.assertEqual(self.attack(uid, by.pid, to.pid, self.node.engine.pid), [])
        # What the subscriber maps, it maps for reading; it has no mapping of anything of the publisher's.
        mappings = {}
        for process in (by, to):
            with open(f"/proc/{process.pid}/maps") as maps:
                mappings[process] = {(line.split()[4], line.split()[1][:2]) for line in maps if "memfd:slotwire" in line}
        inodes = [{inode for inode, _ in mappings[process]} for process in (by, to)]
        self.assertEqual(inodes[0] & inodes[1], set(), "no page is mapped by both")
        copies = self.mapped(to, "slotwire-copies")
        self.assertEqual(copies, {"r--s"})
        self.finish(by, to, "3")
        self.wait_for_rows(lambda rows: rows == [])

    @staticmethod
    def mapped(process, name):
        with open(f"/proc/{process.pid}/maps") as maps:
            return {line.split()[1] for line in maps if name in line}

    def test_strict_copies_everything_in_order_and_waits_for_the_slow(self):
        self.strict()
        by, first = self.pair(ADA, BOB, "20000", bytes="3000")
        second = self.peer(ADA, "subscribe", "eur", "block", "20000")
        second.wait_for("subscribed")
        self.wait_for_rows(lambda rows: len(rows) == 3)
        self.go(second)
        # The second one joins before the first message: its cell has to be known to the engine, which a message back and forth shows.
        self.wait_for_rows(lambda rows: all(row["memory"] > 1 << 20 for row in rows))
        self.go(by, 2)
        by.wait_for("published 20000")
        for to in (first, second):
            to.wait_for("complete: 20000 taken")
        self.go(by)
        by.wait()

    def test_a_user_that_the_rule_does_not_name_is_refused(self):
        self.strict()
        eve = self.peer(EVE, "subscribe", "eur", "block", "1")
        eve.wait_for(f"failed: region '{self.region}': .*user {EVE} may not open region .* names other users and groups")

    def test_messages_that_are_too_large_and_memory_that_is_too_much_are_refused(self):
        self.strict(more='[limits]\ncell_memory = "64KiB"\nblock_memory = "8MiB"\n')
        by = self.peer(ADA, "publish", "eur", "0", "1", "0")
        by.wait_for(r"failed: .*a publisher has at most 64KiB for its blocks .limits.cell_memory.")

    def test_kill_9_of_slotwired_loses_nothing_in_strict_regions(self):
        self.strict()
        # A message that was copied and not yet given back when slotwired was killed comes twice: see docs/blocks.md.
        by, to = self.pair(ADA, BOB, "300000", overflow="again")
        self.go(by)
        for _ in range(3):
            self.node.kill()
            self.node.start()
            rows = self.wait_for_rows(lambda rows: len(rows) == 2)
            self.assertEqual({row["origin"] for row in rows}, {"kept"})
        self.go(by)
        by.wait_for("published 300000")
        to.wait_for("complete: ")
        self.go(by)
        self.assertEqual((by.wait(), to.wait()), (0, 0))
        self.wait_for_rows(lambda rows: rows == [])

    def test_a_process_that_opens_a_strict_region_while_slotwired_is_restarted_gets_a_cell(self):
        self.strict()
        self.node.kill()
        to = self.peer(BOB, "subscribe", "eur", "block", "1")
        self.node.start()
        to.wait_for("subscribed")
        [row] = self.wait_for_rows(lambda rows: len(rows) == 1)
        self.assertEqual((row["isolation"], row["uid"]), ("strict", BOB))

    def test_order_holds_though_the_subscriber_reads_what_two_lives_have_copied(self):
        self.strict()
        by, to = self.pair(ADA, BOB, "2000", overflow="again")
        to.process.send_signal(signal.SIGSTOP)
        self.addCleanup(to.process.send_signal, signal.SIGCONT)
        self.go(by)
        # What the first life copies, at most 256 messages, lies there unread when the second one begins.
        self.wait_for_rows(lambda rows: len(rows) == 2)
        self.node.kill()
        self.node.start()
        self.wait_for_rows(lambda rows: {row["origin"] for row in rows} == {"kept"} and len(rows) == 2)
        to.process.send_signal(signal.SIGCONT)
        self.go(by)
        by.wait_for("published 2000")
        to.wait_for("complete: ")
        self.go(by)
        self.assertEqual((by.wait(), to.wait()), (0, 0))

    def test_a_process_that_dies_leaves_nothing_and_a_stop_is_said(self):
        self.strict()
        by, to = self.pair(ADA, BOB, "3")
        by.process.send_signal(signal.SIGKILL)
        by.wait()
        [row] = self.wait_for_rows(lambda rows: len(rows) == 1)
        self.assertEqual(row["uid"], BOB)
        self.assertEqual(self.node.stop(), 0)
        to.wait_for("failed: .*its slotwired has stopped, or has shut this process out; open the region again")
        to.wait()

    def asks_for_a_cell(self):
        """The beginning of a program that has a cell by hand: fds are its directory and its channel."""
        return f"""
import fcntl, json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect({self.node.socket!r})
s.send(json.dumps({{"op": "region", "id": 1, "region": {self.region!r}, "pid_namespace": os.stat("/proc/self/ns/pid").st_ino}}).encode())
text, fds, _, _ = socket.recv_fds(s, 65536, 4)
assert json.loads(text)["isolation"] == "strict", text
"""

    def test_a_publisher_is_told_at_once_that_slotwired_has_stopped(self):
        node = self.strict()
        by, to = self.pair(ADA, BOB, "3")
        self.assertEqual(node.stop(), 0)
        to.wait_for("is gone: its slotwired has stopped")
        self.go(by, 2)  # there is room for its messages, and nobody who takes them
        by.wait_for("is gone: its slotwired has stopped|published 3")
        self.assertEqual(by.count("published"), 0, by.output())

    def test_a_process_that_damages_its_directory_is_shut_out_by_the_next_slotwired(self):
        self.strict()
        program = self.asks_for_a_cell() + """
os.pwrite(fds[0], bytes([255] * 16), 0)
print("damaged", flush=True)
sys.stdin.readline()
"""
        eve = self.start([PYTHON, "-c", program], self.node, stdin=subprocess.PIPE, user=ADA, group=ADA, extra_groups=[])
        eve.wait_for("damaged")
        by, to = self.pair(ADA, BOB, "3")
        for _ in range(2):
            self.node.kill()
            self.node.start()
        self.finish(by, to, "3")
        self.wait_for_rows(lambda rows: rows == [])
        self.go(eve)
        self.assertEqual(eve.wait(), 0)

    def test_a_process_that_holds_its_lock_stops_nobody_else(self):
        self.strict(more='[limits]\nhandshake = "300ms"\n')
        program = self.asks_for_a_cell() + """
fcntl.lockf(fds[0], fcntl.LOCK_EX, 1)
channel = socket.socket(fileno=fds[1])
for _ in range(1000):
    try:
        channel.send(bytes([6]) + bytes(15), socket.MSG_DONTWAIT)
    except OSError:
        break
print("locked", flush=True)
channel.setblocking(True)
channel.recv(1)
print("shut out", flush=True)
"""
        eve = self.start([PYTHON, "-c", program], self.node, user=ADA, group=ADA, extra_groups=[])
        eve.wait_for("locked")
        by, to = self.pair(ADA, BOB, "3")
        self.finish(by, to, "3")
        eve.wait_for("shut out")
        eve.wait()


if __name__ == "__main__":
    unittest.main()
