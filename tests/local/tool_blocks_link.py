"""'slotwire blocks link': what is published on one node reaches the subscribers on another one.

Both nodes run on this host. What belongs to node `right` runs in a network namespace of its own, since regions of the same name meet
within one; its slotwired is reached by its socket all the same.
"""
import json
import os
import signal
import subprocess
import unittest

from nodes import BIN, SLOTWIRE, TIMEOUT, NodeTest, Process, run

PEER = os.path.join(BIN, "local_blocks_peer")


class BlocksLink(NodeTest):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: the two nodes' processes run in two network namespaces")
        # Tests run beside each other, on one host.
        self.region = f"prices-{os.getpid()}"
        self.services = {node: [f"blocks/{self.region}/{node}"] for node in ("left", "right")}
        super().setUp()
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.communicate)
        holder.stdin.write("there\n")
        holder.stdin.flush()
        holder.stdout.readline()  # the namespace is there
        self.prefix = {self.left: [], self.right: [self.need("nsenter"), "--net", "--target", str(holder.pid)]}

    def launch(self, node, *arguments, **options):
        return self.start([*self.prefix[node], *arguments], node, **options)

    def link(self, node, *arguments):
        peer = "left" if node is self.right else "right"
        process = self.launch(node, SLOTWIRE, "blocks", "link", "--region", self.region, "--peer", peer, *arguments)
        process.wait_for("is linked")
        return process

    def peer(self, node, *arguments):
        """A publisher or subscriber that waits for lines; see blocks_peer.cpp."""
        process = self.launch(node, PEER, arguments[0], self.region, *arguments[1:], stdin=subprocess.PIPE)
        # Its end closes what it waits for, so it goes on; a test that failed kills it.
        self.addCleanup(lambda: process.process.poll() is None and process.process.kill())
        return process

    @staticmethod
    def go(process, times=1):
        process.process.stdin.write("\n" * times)
        process.process.stdin.flush()

    def finish(self, process, pattern):
        match, _ = process.wait_for(pattern)
        return match

    def regions(self, node):
        result = subprocess.run([*self.prefix[node], SLOTWIRE, "blocks", "--json"], capture_output=True, text=True, check=True, timeout=TIMEOUT)
        return json.loads(result.stdout)

    def test_all_messages_reach_all_subscribers_of_the_other_node_by_one_copy(self):
        links = [self.link(self.left), self.link(self.right)]
        subscribers = [self.peer(self.right, "subscribe", "eur", "block", "20000") for _ in range(3)]
        subscribers.append(self.peer(self.left, "subscribe", "eur", "block", "20000"))
        for subscriber in subscribers:
            subscriber.wait_for("subscribed")
            self.go(subscriber)
        links[1].wait_for("topic 'eur' comes from node 'left'")
        links[0].wait_for("topic 'eur' goes to node 'right'")
        # The subscriber of this node, and the process that links it.
        publisher = self.peer(self.left, "publish", "eur", "2", "20000", "3000")
        publisher.wait_for("has its subscribers")
        self.go(publisher, 3)
        for subscriber in subscribers:
            self.finish(subscriber, "^complete: 20000 taken$")
            subscriber.wait()
        # Nobody there wants it any more. Each message crossed the link once, and none came back.
        match = self.finish(links[1], r"topic 'eur' of node 'left' is not wanted any more; (\d+) messages came")
        self.assertEqual(int(match[1]), 20000)
        match = self.finish(links[0], r"topic 'eur' no longer goes to node 'right'; (\d+) messages went")
        self.assertEqual(int(match[1]), 20000)
        self.assertEqual(links[0].count("messages came"), 1)
        self.assertRegex(links[0].output(), r"topic 'eur' of node 'right' is not wanted any more; 0 messages came")

    def test_a_slow_subscriber_of_the_other_node_makes_the_publisher_wait(self):
        self.link(self.left)
        self.link(self.right)
        subscriber = self.peer(self.right, "subscribe", "slow", "block", "20000")
        subscriber.wait_for("subscribed")
        publisher = self.peer(self.left, "publish", "slow", "1", "20000", "60000")
        publisher.wait_for("has its subscribers")
        self.go(publisher, 3)
        # It stops when its memory, the rings, and the other node's memory are full: `slotwire blocks` says so.
        while not any(one["waits_for_room"] for region in self.regions(self.left) for one in region["publishers"]):
            pass
        self.assertEqual(publisher.count("published"), 0)
        self.go(subscriber)
        self.finish(subscriber, "^complete: 20000 taken$")

    def test_a_subscriber_that_drops_does_not_make_it_wait_and_one_that_blocks_may_join(self):
        links = [self.link(self.left), self.link(self.right)]
        dropping = self.peer(self.right, "subscribe", "mixed", "drop", "30000")
        dropping.wait_for("subscribed")
        links[0].wait_for("topic 'mixed' goes to node 'right'")
        publisher = self.peer(self.left, "publish", "mixed", "1", "30000", "20000")
        publisher.wait_for("has its subscribers")
        self.go(publisher)
        # All but its last message go, though nobody takes any: it waits for a line, not for room.
        while not any(one["published"] == 29999 for region in self.regions(self.left) for one in region["publishers"]):
            pass
        blocking = self.peer(self.right, "subscribe", "mixed", "block", "30000")
        blocking.wait_for("subscribed")
        while not any(one["overflow"] == "block" for region in self.regions(self.left)
                      for publication in region["publishers"] for one in publication["subscribers"]):
            pass
        self.go(dropping)
        self.go(publisher, 2)
        taken = int(self.finish(dropping, r"^complete: (\d+) taken$")[1])
        self.assertLess(taken, 30000)

    def test_the_node_starts_again_and_nothing_is_lost(self):
        links = [self.link(self.left), self.link(self.right)]
        subscriber = self.peer(self.right, "subscribe", "kept", "block", "60000")
        subscriber.wait_for("subscribed")
        self.go(subscriber)
        publisher = self.peer(self.left, "publish", "kept", "1", "60000", "2000")
        publisher.wait_for("has its subscribers")
        self.go(publisher, 3)
        links[1].wait_for("topic 'kept' comes")
        self.left.kill()
        self.left.start()
        self.right.kill()
        self.right.start()
        self.finish(subscriber, "^complete: 60000 taken$")

    def test_the_other_process_ends_and_comes_back(self):
        links = [self.link(self.left), self.link(self.right)]
        subscriber = self.peer(self.right, "subscribe", "again", "block", "10")
        subscriber.wait_for("subscribed")
        self.go(subscriber)
        links[1].wait_for("topic 'again' comes from node 'left'")
        links[0].stop(signal.SIGKILL)
        self.processes.remove(links[0])
        links[1].wait_for("topic 'again' of node 'left': .*messages that are published until it is back are missing here")
        self.link(self.left)
        _, line = links[1].wait_for("topic 'again' comes from node 'left'")
        links[1].wait_for("topic 'again' comes from node 'left'", after=line)
        publisher = self.peer(self.left, "publish", "again", "1", "10", "100")
        publisher.wait_for("has its subscribers")
        self.go(publisher, 3)
        self.finish(subscriber, "^complete: 10 taken$")

    def test_one_process_links_a_region(self):
        self.link(self.left)
        second = subprocess.run([SLOTWIRE, "blocks", "link", "--region", self.region, "--peer", "right", "--socket", self.left.socket],
                                capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(second.returncode, 1)
        self.assertIn("is linked by process", second.stderr)
        self.assertIn("--peer 'Right' is no node's name", run(["blocks", "link", "--region", "other", "--peer", "Right"], self.left, 2).stderr)
        twice = ["blocks", "link", "--region", "other", "--peer", "right", "--peer", "right"]
        self.assertIn("--peer 'right' is given twice", run(twice, self.left, 2).stderr)
        self.assertIn("node 'left' has no [[link]] to a node of that name", run(["blocks", "link", "--region", "other", "--peer", "rihgt"], self.left, 2).stderr)
        self.assertIn("--peer 'left' is this node itself", run(["blocks", "link", "--region", "other", "--peer", "left"], self.left, 2).stderr)

    def test_a_peer_that_no_service_names_is_told_at_the_start(self):
        region = f"other-{os.getpid()}"
        alone = self.launch(self.left, SLOTWIRE, "blocks", "link", "--region", region, "--peer", "right")
        alone.wait_for(r"nothing comes from node 'right' yet: .*no \[\[service\]\] in the configuration of node 'left' .*"
                       rf'it takes \[\[service\]\] name = "blocks/{region}/right"')
        # A peer that is there is not told of, nor does it tell of having been looked at.
        right = self.link(self.right)
        self.assertNotIn("nothing comes", self.link(self.left).output())
        subscriber = self.peer(self.right, "subscribe", "seen", "block", "1")
        right.wait_for("topic 'seen' comes from node 'left'")
        self.assertNotIn("topic ''", right.output())
        self.go(subscriber)

    def test_a_message_that_does_not_fit_is_told(self):
        self.link(self.left)
        right = self.link(self.right, "--memory", "64KiB")
        subscriber = self.peer(self.right, "subscribe", "large", "drop", "3")
        subscriber.wait_for("subscribed")
        self.go(subscriber)
        right.wait_for("topic 'large' comes")
        publisher = self.peer(self.left, "publish", "large", "1", "3", "200000")  # 8, 7927 and 15846 bytes
        publisher.wait_for("has its subscribers")
        self.go(publisher, 3)
        self.finish(subscriber, "^complete: 3 taken$")
        second = self.peer(self.left, "publish", "large", "1", "30", "200000")
        # It blocks: a link that may drop could drop those that are too large before it sends them.
        other = self.peer(self.right, "subscribe", "large", "block", "30")
        other.wait_for("subscribed")
        self.go(other)
        second.wait_for("has its subscribers")
        self.go(second, 3)
        right.wait_for(r"a message of \d+ bytes does not fit and is lost \(raise --memory\)")


if __name__ == "__main__":
    unittest.main()
