"""Regions and slotwired: it takes over those that were there before it, makes those that come after it, and keeps neither longer than
its processes."""
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


class Regions(NodeTest):
    def setUp(self):
        # Tests run beside each other, on one host.
        self.region = f"kept-{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes = [], []
        self.node = self.new_node("")

    def new_node(self, config):
        node = Node(self.directory, f"node{len(self.nodes)}", config)
        self.nodes.append(node)
        return node

    def peer(self, kind, topic, *arguments):
        """A publisher or subscriber that waits for lines; see blocks_peer.cpp."""
        process = self.start([PEER, kind, self.region, topic, *arguments], self.node, stdin=subprocess.PIPE)
        self.addCleanup(lambda: process.process.poll() is None and process.process.kill())
        return process

    @staticmethod
    def go(process, times=1):
        process.process.stdin.write("\n" * times)
        process.process.stdin.flush()

    def rows(self):
        """What slotwired says of this test's region. Its processes may be looked at a quarter of a second late."""
        shown = json.loads(run(["blocks", "--json"], self.node).stdout)
        return [row["node"] for row in shown if row["region"] == self.region and row.get("node")]

    def wait_for_row(self, condition):
        """Asks until it is so; each time it starts a program, which takes milliseconds."""
        end = time.monotonic() + TIMEOUT
        while not condition(rows := self.rows()):
            if time.monotonic() > end:
                self.fail(f"it never came: {rows}\n{self.node.engine.output()}")
        return rows

    def pair(self, count="3"):
        subscriber = self.peer("subscribe", "eur", "block", count)
        subscriber.wait_for("subscribed")
        self.go(subscriber)
        publisher = self.peer("publish", "eur", "1", count, "100")
        publisher.wait_for("has its subscribers")
        return subscriber, publisher

    def finish(self, subscriber, publisher, count="3"):
        self.go(publisher, 2)
        publisher.wait_for(f"published {count}")
        subscriber.wait_for(f"complete: {count} taken")
        self.go(publisher)
        self.assertEqual((publisher.wait(), subscriber.wait()), (0, 0))

    def held(self, *options):
        """The descriptors that slotwired has of this test's region."""
        return json.loads(run(["blocks", "--json", "--region", self.region, *options], self.node).stdout)

    def wait_for_list(self, condition):
        end = time.monotonic() + TIMEOUT
        while True:
            shown = self.held("--held", "eur")
            if len(shown["lists"]) == 1 and condition(shown["lists"][0]):
                return shown
            if time.monotonic() > end:
                self.fail(f"it never came: {shown}\n{self.node.engine.output()}")

    def test_processes_in_cells_have_descriptors(self):
        self.node = self.new_node(f'[[region]]\nname = "{self.region}"\nisolation = "strict"\nusers = ["*"]\n')
        self.node.start()
        subscriber = self.peer("hold", "eur", "block", "3")
        subscriber.wait_for("subscribed")
        publisher = self.peer("publish", "eur", "1", "3", "100")
        publisher.wait_for("has its subscribers")
        self.go(publisher)  # two messages of 8 and 27 bytes, which slotwired copies for a subscriber that takes nothing
        end = time.monotonic() + TIMEOUT
        while True:
            shown = self.held("--held")
            lists = {one["publisher"]: one for one in shown["lists"]}
            processes = {row["pid"]: row for row in shown["attached"] if row["pid"] in (publisher.pid, subscriber.pid)}
            if publisher.pid in lists and len(processes) == 2 and len(shown["lists"]) == 2:
                break
            self.assertLess(time.monotonic(), end, shown)
        self.assertEqual((processes[publisher.pid]["writes"], processes[publisher.pid]["isolation"]), (["eur"], "strict"))
        self.assertEqual(processes[subscriber.pid]["reads"], ["eur"])
        self.assertEqual((lists[publisher.pid]["topic"], "damage" in lists[publisher.pid]), ("eur", False))
        self.assertGreater(lists[publisher.pid]["memory"], 4 << 20)

    def test_a_shared_one_whose_rule_says_strict_is_warned_of(self):
        subscriber, publisher = self.pair()
        self.node = self.new_node(f'[[region]]\nname = "{self.region}"\nisolation = "strict"\nusers = ["*"]\n')
        self.node.start()
        self.node.engine.wait_for(f"warn.*region '{self.region}' of user {os.geteuid()} is shared, though its \\[\\[region\\]\\] rule says strict")
        [row] = self.rows()
        self.assertEqual((row["origin"], row["isolation"]), ("found", "shared"), "it is left as it is")
        self.finish(subscriber, publisher)

    def test_a_view_is_shown_with_who_holds_it_also_when_its_publisher_was_killed(self):
        self.node.start()
        holder = self.peer("hold", "eur", "drop", "1")
        holder.wait_for("subscribed")
        self.go(holder)
        waiter = self.peer("hold", "eur", "block", "3")
        waiter.wait_for("subscribed")
        self.go(waiter)
        publisher = self.peer("publish", "eur", "2", "3", "100")
        publisher.wait_for("has its subscribers")
        self.go(publisher)
        holder.wait_for("holds 1 views of 8 bytes")
        # It has published two messages, of 8 and 27 bytes. One subscriber holds the first, the other waits for the third.
        shown = self.wait_for_list(lambda one: len(one["blocks"]) == 2 and one["blocks"][0]["state"] == "held")
        [one] = shown["lists"]
        self.assertEqual((one["publisher"], one["published"], one["isolation"], one["more"]), (publisher.pid, True, "shared", 0))
        self.assertEqual([block["bytes"] for block in one["blocks"]], [8, 27])
        self.assertEqual(len({block["offset"] for block in one["blocks"]}), 2)
        self.assertIn({"pid": holder.pid, "claim": "held"}, one["blocks"][0]["holders"])
        self.assertEqual(one["blocks"][1]["holders"], [{"pid": waiter.pid, "claim": "awaited"}])
        processes = {row["pid"]: row for row in shown["attached"]}
        self.assertEqual(set(processes), {holder.pid, waiter.pid, publisher.pid})
        self.assertEqual((processes[publisher.pid]["writes"], processes[publisher.pid]["pidfd"]), (["eur"], True))
        self.assertEqual(processes[holder.pid]["reads"], ["eur"])
        self.assertGreater(processes[publisher.pid]["memory"], 4 << 20)
        text = run(["blocks", "--region", self.region, "--held"], self.node).stdout
        self.assertRegex(text, rf"eur +{publisher.pid} +0 +\d+ +8 +held .*{holder.pid}")
        self.assertRegex(text, rf"eur +{publisher.pid} +1 +\d+ +27 +awaited +{waiter.pid}\?")
        self.assertEqual(self.held("--held", "usd")["lists"], [])

        os.kill(publisher.pid, signal.SIGKILL)
        publisher.wait()
        shown = self.wait_for_list(lambda one: not one["published"])
        [one] = shown["lists"]
        self.assertEqual((one["publisher"], [block["bytes"] for block in one["blocks"]]), (publisher.pid, [8, 27]))
        self.assertIn({"pid": holder.pid, "claim": "held"}, one["blocks"][0]["holders"])
        self.assertEqual({row["pid"] for row in shown["attached"]}, {holder.pid, waiter.pid})
        self.assertIn(f"{publisher.pid} (gone)", run(["blocks", "--region", self.region, "--held"], self.node).stdout)
        self.go(holder)
        holder.wait_for("released")
        waiter.process.kill()
        end = time.monotonic() + TIMEOUT
        while (left := self.held("--held"))["lists"]:
            self.assertLess(time.monotonic(), end, left)

    def test_one_that_was_there_before_is_taken_over_and_goes_with_its_last_process(self):
        subscriber, publisher = self.pair()
        self.node.start()
        self.node.engine.wait_for(f"region '{self.region}' of user {os.geteuid()} is taken over: 2 processes")
        [row] = self.rows()
        self.assertEqual((row["origin"], row["isolation"], row["processes"], row["publishers"], row["subscribers"]), ("found", "shared", 2, 1, 1))
        self.assertNotIn("rule says strict", self.node.engine.output())
        self.assertGreater(row["memory"], 4 << 20, "the publisher's memory counts")
        [user] = [user for user in self.node.status()["users"] if user["uid"] == os.geteuid()]
        self.assertGreaterEqual(user["block_memory"], row["memory"])
        self.finish(subscriber, publisher)
        self.wait_for_row(lambda rows: rows == [])

    def test_one_that_is_made_while_it_runs_is_its_from_the_beginning(self):
        self.node.start()
        subscriber = self.peer("subscribe", "eur", "block", "3")
        subscriber.wait_for("subscribed")
        self.go(subscriber)
        [row] = self.rows()
        self.assertEqual(row["origin"], "made")
        self.wait_for_row(lambda rows: rows[0]["processes"] == 1)
        publisher = self.peer("publish", "eur", "1", "3", "100")
        publisher.wait_for("has its subscribers")
        self.finish(subscriber, publisher)
        self.wait_for_row(lambda rows: rows == [])

    def test_kill_9_loses_nothing_and_the_next_one_takes_over_again(self):
        self.node.start()
        subscriber, publisher = self.pair(count="2000")
        self.go(publisher)
        for _ in range(3):
            self.node.kill()
            self.assertEqual(len([line for line in open("/proc/net/unix") if f".{self.region}." in line and "~" not in line]), 2)
            self.node.start()
            [row] = self.wait_for_row(lambda rows: rows and rows[0]["processes"] == 2)
            self.assertEqual(row["origin"], "kept")
        self.go(publisher)
        subscriber.wait_for("complete: 2000 taken")
        self.go(publisher)
        self.assertEqual((publisher.wait(), subscriber.wait()), (0, 0))
        self.wait_for_row(lambda rows: rows == [])

    def test_what_a_dead_process_left_is_reclaimed_though_nobody_waits_for_it(self):
        # Two publishers of two topics: neither watches the other.
        first, second = (self.peer("publish", topic, "0", "2", "0") for topic in ("one", "two"))
        for process in (first, second):
            process.wait_for("has its subscribers")
        self.node.start()
        [row] = self.rows()
        self.assertEqual((row["processes"], row["publishers"]), (2, 2))
        first.process.send_signal(signal.SIGKILL)
        first.wait()
        [after] = self.wait_for_row(lambda rows: rows[0]["processes"] == 1)
        self.assertEqual(after["publishers"], 1)
        self.assertLess(after["memory"], row["memory"] - (4 << 20) + 1)
        second.process.send_signal(signal.SIGKILL)
        second.wait()
        self.wait_for_row(lambda rows: rows == [])

    def test_a_user_that_has_its_memory_gets_no_more(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be several users")
        self.node = self.new_node('[limits]\nblock_memory_per_user = "6MiB"\n')
        self.node.start()

        def publisher(topic):
            process = self.start([PEER, "publish", self.region, topic, "0", "1", "0"], self.node, stdin=subprocess.PIPE, user=1000)
            self.addCleanup(lambda: process.process.poll() is None and process.process.kill())
            return process

        first = publisher("one")
        first.wait_for("has its subscribers")
        second = publisher("two")
        second.wait_for("failed: .*user 1000 has .* of its 6MiB of memory for blocks in use .raise limits.block_memory_per_user")
        self.go(first, 3)
        first.wait()

    def test_names_that_others_take_and_memory_that_is_none_are_left_alone(self):
        """Another user announces a region of root's, and one of its own whose descriptor is something else."""
        if os.geteuid() != 0:
            self.skipTest("only root can be several users")
        program = f"""
import os, socket, sys
namespace = os.stat("/proc/self/ns/pid").st_ino
kept = []
def announce(uid, fd):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(f"\\0slotwire.{{uid}}.{{namespace}}.{self.region}.{{os.getpid()}}.{{fd}}")
    kept.append(s)
pipe = os.pipe()
memory = os.memfd_create("slotwire-region", os.MFD_ALLOW_SEALING)
os.ftruncate(memory, 1 << 20)
for fd in (0, pipe[0], memory, 4000000000):
    for uid in (0, 1000):
        announce(uid, fd)
print("ready", flush=True)
sys.stdin.read()
"""
        process = self.start([PYTHON, "-c", program], self.node, stdin=subprocess.PIPE, user=1000)
        process.wait_for("ready")
        self.node.start()
        self.assertEqual(self.rows(), [])
        process.process.stdin.close()
        process.wait()


if __name__ == "__main__":
    unittest.main()
