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
