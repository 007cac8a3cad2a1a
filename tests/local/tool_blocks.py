"""The examples of blocks and 'slotwire blocks', as a newcomer runs them. No slotwired runs."""
import json
import os
import subprocess
import unittest

from nodes import BIN, TIMEOUT, run

EXAMPLES = os.path.join(BIN, "example_")


class Blocks(unittest.TestCase):
    region = "example"

    def test_examples_and_report(self):
        subscriber = subprocess.Popen([EXAMPLES + "subscribe", "counter", "20000"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(subscriber.kill)
        publisher = subprocess.run([EXAMPLES + "publish", "counter", "19999"], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual((publisher.returncode, publisher.stderr), (0, ""))
        # The subscriber has all but one, and waits for it.
        report = self.wait_for_report(lambda region: region["idle"])
        self.assertEqual(report["idle"], [{"topic": "counter", "pid": subscriber.pid}])
        publisher = subprocess.run([EXAMPLES + "publish", "counter", "1"], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(publisher.returncode, 0, publisher.stderr)
        self.assertEqual(subscriber.communicate(timeout=TIMEOUT)[0], f"20000 messages, sum {19998 * 19999 // 2}\n")
        self.assertEqual(subscriber.returncode, 0)

    def test_a_publisher_without_subscribers_says_so(self):
        publisher = subprocess.run([EXAMPLES + "publish", "nobody-listens", "1"], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(publisher.returncode, 1)
        self.assertIn("the topic has 0 subscribers, 1 were waited for", publisher.stderr)

    def test_unknown_region(self):
        self.assertIn("no process of this user is attached to region 'nowhere'", run(["blocks", "--region", "nowhere"], expect=1).stderr)
        run(["blocks", "--regio"], expect=2)

    def test_lists_by_process(self):
        region = f"lists-{os.getpid()}"

        def peer(*arguments):
            process = subprocess.Popen([os.path.join(BIN, "local_blocks_peer"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
            return process

        def say(process):
            process.stdin.write("\n")
            process.stdin.flush()

        subscriber = peer("subscribe", region, "eur", "block", "3")
        self.assertIn("subscribed", subscriber.stdout.readline())
        slow = peer("subscribe", region, "eur", "block", "3")
        self.assertIn("subscribed", slow.stdout.readline())
        idle = peer("subscribe", region, "usd", "drop", "3")
        self.assertIn("subscribed", idle.stdout.readline())
        publisher = peer("publish", region, "eur", "1", "3", "100")
        say(subscriber)  # the other one never takes anything
        self.assertIn("has its subscribers", publisher.stdout.readline())
        say(publisher)  # two messages, of 8 and 27 bytes; it waits before the third
        while True:
            [shown] = json.loads(run(["blocks", "--region", region, "--json"]).stdout)
            [one] = shown["publishers"]
            behind = {other["pid"]: other["behind_bytes"] for other in one["subscribers"]}
            if one["published"] == 2 and behind[subscriber.pid] == 0:
                break
        self.assertEqual((one["kept_bytes"], behind[slow.pid]), (35, 35))
        rows = [line.split() for line in run(["blocks", "--region", region, "--processes"]).stdout.splitlines()]
        rows = rows[next(i for i, row in enumerate(rows) if row[:1] == ["PROCESS"]) + 1:]
        [out] = [row for row in rows if row[0] == str(publisher.pid)]
        self.assertEqual((out[1:7], set(out[7:])), (["eur", "out", "2", "35", "B", "-"], {str(subscriber.pid), str(slow.pid)}))
        self.assertIn([str(slow.pid), "eur", "in", "2", "35", "B", "0", str(publisher.pid)], rows)
        self.assertIn([str(subscriber.pid), "eur", "in", "0", "0", "B", "0", str(publisher.pid)], rows)
        self.assertIn([str(idle.pid), "usd", "in", "0", "0", "0", "nobody"], rows)
        self.assertEqual(rows, sorted(rows, key=lambda row: int(row[0])))

    def test_a_damaged_region_does_not_hide_the_others(self):
        peers = {}
        for name in ("damaged", "whole"):
            region = f"{name}-{os.getpid()}"
            peers[region] = process = subprocess.Popen([os.path.join(BIN, "local_blocks_peer"), "subscribe", region, "eur", "block", "3"],
                                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
            self.assertIn("subscribed", process.stdout.readline())
        [damaged, whole] = peers
        descriptors = f"/proc/{peers[damaged].pid}/fd"
        [directory] = [one for one in os.listdir(descriptors) if "slotwire-region" in os.readlink(f"{descriptors}/{one}")]
        with open(f"{descriptors}/{directory}", "r+b") as file:
            file.write(b"damaged!")  # where its magic number was
        shown = run(["blocks", "--json"], expect=1)
        rows = {row["region"]: row for row in json.loads(shown.stdout)}
        self.assertEqual(len(rows[whole]["idle"]), 1)
        self.assertIn(f"process {peers[damaged].pid} has region", rows[damaged]["problem"])
        self.assertIn(f"slotwire blocks: region '{damaged}': process", shown.stderr)
        shown = run(["blocks"], expect=1)
        self.assertIn(f"Region {whole}: ", shown.stdout)
        self.assertIn(damaged, shown.stderr)

    def wait_for_report(self, condition):
        while True:
            for region in json.loads(run(["blocks", "--region", self.region, "--json"]).stdout):
                self.assertEqual(region["region"], self.region)
                if condition(region):
                    text = run(["blocks", "--region", self.region]).stdout
                    self.assertIn("nobody publishes", text)
                    return region


if __name__ == "__main__":
    unittest.main()
