"""A node whose links over DPDK are run by threads of their own (dpdk.lcores), beside one on the kernel's UDP."""
import os
import re
import unittest

from dpdk_node_test import DpdkTest, VhostTest
from nodes import TIMEOUT, run


class WorkersTest(DpdkTest):
    lcores = [0]

    def setUp(self):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < len(self.lcores):
            self.skipTest(f"{len(self.lcores)} CPUs are needed, this process may use {len(usable)}")
        self.cpus = usable[:len(self.lcores)]
        self.dpdk_extra = self.extra(self.cpus)
        super().setUp()

    @staticmethod
    def extra(cpus):
        return f"lcores = {cpus}\n" if cpus else ""

    def workers(self):
        return self.left.status()["workers"]


class OneWorker(WorkersTest):
    def test_calls_both_ways_and_what_the_status_says(self):
        self.both_ways(2000, 3000)
        carrier = self.carrier(self.left, "dpdk")
        self.assertEqual((carrier["rx_malformed"], carrier["rx_unknown_peer"], carrier["tx_dropped"]), (0, 0, 0))
        self.assertGreater(carrier["tx_frames"], 2000)
        status = self.left.status()
        self.assertEqual(len(status["workers"]), 1)
        self.assertEqual(status["workers"][0]["cpu"], self.cpus[0])
        self.assertGreaterEqual(status["counters"]["rx_lines"], status["workers"][0]["rx_lines"])
        self.assertGreater(status["workers"][0]["rx_lines"], 2000 * 3000 // 64)
        self.assertIn(f"worker 0 on CPU {self.cpus[0]}", run(["status"], self.left).stdout)
        threads = os.listdir(f"/proc/{status['pid']}/task")
        names = []
        for thread in threads:
            with open(f"/proc/{status['pid']}/task/{thread}/comm") as file:
                names.append(file.read().strip())
        self.assertIn("slotwire-worker", names)

    def test_an_idle_worker_sleeps_and_wakes(self):
        before = self.workers()[0]["sleeps"]
        self.sleeps_and_wakes(self.left, self.right, "echo-left")
        self.assertGreaterEqual(self.workers()[0]["sleeps"] - before, 6)

    def test_the_node_of_one_worker_is_killed_under_load(self):
        self.killed(self.left, self.right, "echo", "dpdk")

    def test_the_wire_under_a_worker_goes_down_and_comes_back(self):
        self.wire_down_and_up()


class TwoWorkers(WorkersTest):
    lcores = [0, 1]
    port = "net_af_packet0,iface=wire,qpairs=2"

    def calls_on_all(self, count):
        """Several connections at once, so that each worker has some."""
        calls = [self.start(["bench", "echo", "-n", str(count), "-s", "700"], self.left) for _ in range(4)]
        calls += [self.start(["bench", "echo-left", "-n", str(count), "-s", "700"], self.right) for _ in range(4)]
        return calls

    def finish(self, calls, count):
        for call in calls:
            self.assertEqual(call.wait(3 * TIMEOUT), 0, call.output())
            self.assertIn(f"{count} answered, 0 failed, 0 wrong, 0 answered twice", call.output())

    def serve_both(self):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)

    def test_each_worker_has_its_slots(self):
        self.serve_both()
        calls = self.calls_on_all(3000)
        self.finish(calls, 3000)
        for worker in self.workers():
            self.assertGreater(worker["rx_lines"], 1000, worker)
            self.assertGreater(worker["tx_lines"], 1000, worker)
        self.assertEqual(self.carrier(self.left, "dpdk")["port"]["queues"], 2)

    def test_a_capture_sees_the_frames_of_both(self):
        self.serve_both()
        path = os.path.join(self.directory, "frames.pcap")
        capture = self.start(["capture", "-w", path], self.left)
        # It runs once its file has something in it.
        while not os.path.exists(path) or os.path.getsize(path) == 0:
            self.assertIsNone(capture.process.poll(), capture.output())
            run(["ping", "echo", "-c", "1"], self.left)
        calls = self.calls_on_all(300)
        self.finish(calls, 300)
        capture.stop()
        self.assertGreater(os.path.getsize(path), 8 * 300 * 700)

    def test_another_number_of_workers_keeps_every_slot(self):
        """Killed under load and started with another number of threads, up and down, and with none."""
        self.serve_both()
        calls = self.calls_on_all(6000)
        for cpus in (self.cpus[:1], self.cpus, []):
            before = self.left.status()["counters"]["rx_lines"]
            while self.left.status()["counters"]["rx_lines"] < before + 500:
                for call in calls:
                    self.assertIsNone(call.process.poll(), "the calls ended before the kill: " + call.output())
            self.left.kill()
            with open(self.left.config) as file:
                config = re.sub("lcores = .*\n", "", file.read())
            config = re.sub("qpairs=.", f"qpairs={max(len(cpus), 1)}", config)  # nobody would empty a further queue
            with open(self.left.config, "w") as file:
                file.write(config.replace("[dpdk]\n", "[dpdk]\n" + self.extra(cpus)))
            self.left.start()
            self.left.engine.wait_for("carrier dpdk up")
            status = self.left.status()
            self.assertTrue(status["recovered"])
            self.assertEqual(len(status["workers"]), len(cpus))
        self.finish(calls, 6000)

    def test_the_node_of_two_workers_is_killed_under_load(self):
        self.killed(self.left, self.right, "echo", "dpdk")

    def test_a_clean_stop_delivers_what_was_written(self):
        self.serve_both()
        calls = self.calls_on_all(200)
        self.finish(calls, 200)
        engine = self.left.engine
        self.assertEqual(self.left.stop(), 0)
        self.assertRegex(engine.output(), "stopped$")
        self.assertNotIn("could not be delivered", engine.output())


class WorkersAtBothEnds(VhostTest):
    """Two threads each, joined by two pairs of queues: each end tells the other its ports."""
    devices = {"left": "net_vhost0,iface={},queues=2", "right": "net_virtio_user0,path={},queues=2,cq=1"}

    def setUp(self):
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            self.skipTest("2 CPUs are needed, this process may use 1")
        self.hugepages = f"false\nlcores = {usable[:2]}"
        super().setUp()

    def test_workers_at_both_ends_have_their_slots(self):
        self.serve(["echo", "--echo"], self.right)
        self.serve(["echo-left", "--echo"], self.left)
        calls = [self.start(["bench", service, "-n", "2000", "-s", "700"], node)
                 for service, node in (("echo", self.left), ("echo-left", self.right)) for _ in range(4)]
        for call in calls:
            self.assertEqual(call.wait(3 * TIMEOUT), 0, call.output())
            self.assertIn("2000 answered, 0 failed, 0 wrong, 0 answered twice", call.output())
        for node in self.nodes:
            for worker in node.status()["workers"]:
                self.assertGreater(worker["rx_lines"], 1000, worker)
                self.assertGreater(worker["tx_lines"], 1000, worker)

    def test_a_node_with_workers_is_killed_beside_another(self):
        self.killed(self.right, self.left, "echo", "dpdk")


if __name__ == "__main__":
    unittest.main(verbosity=2)
