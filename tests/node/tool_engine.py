"""slotwired as an operator meets it."""
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from nodes import SLOTWIRE, SLOTWIRED, NodeTest, Process, run
from tool_gate import keepers


class WrongUsage(unittest.TestCase):
    """What is wrong is said with its place and what to do."""

    def said(self, *command, status):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def directory(self):
        directory = tempfile.TemporaryDirectory(prefix="slotwire-test-")
        self.addCleanup(directory.cleanup)
        return directory.name

    def test_a_configuration_that_is_not_there(self):
        path = self.directory() + "/nope.toml"
        said = self.said(SLOTWIRED, "-c", path, status=78)
        self.assertIn(path + ": cannot be read (No such file or directory); begin with a copy of examples/single-node.toml", said)

    def test_a_directory_above_that_is_mistyped_is_not_made(self):
        directory = self.directory()
        os.mkdir(directory + "/run")
        config = directory + "/slotwired.toml"
        for key, path in (("run_dir", "/rnu/slotwire"), ("control_socket", "/rnu/sockets/slotwire.sock")):
            with open(config, "w") as file:
                file.write(f'[node]\nname = "n"\nrun_dir = "{directory}/run"\n' if key != "run_dir" else '[node]\nname = "n"\n')
                file.write(f'{key} = "{directory}{path}"\n')
            said = self.said(SLOTWIRED, "-c", config, status=78)
            self.assertIn(f"node.{key}: '", said)
            self.assertIn(f"cannot be made, since '{directory}/rnu' is no directory; did you mean '{directory}/run'?", said)
            said = self.said(SLOTWIRED, "--check", "-c", config, status=78)
            self.assertIn(f"key 'node.{key}': '", said)
            self.assertIn(f"cannot be made, since '{directory}/rnu' is no directory", said)

    def test_an_address_that_is_taken_is_said_and_a_stop_is_not_waited_for(self):
        directory = self.directory()
        with socket.create_server(("127.0.0.1", 0)) as other:
            at = f"127.0.0.1:{other.getsockname()[1]}"
            with open(directory + "/slotwired.toml", "w") as file:
                file.write(f'[node]\nname = "n"\nrun_dir = "{directory}/run"\n[listen]\ncontrol = "{at}"\n')
            started = Process([SLOTWIRED, "-c", directory + "/slotwired.toml"])
            self.addCleanup(started.stop)
            started.wait_for(f"listen.control = {at} is taken by another process; slotwired tries again")
            started.process.send_signal(signal.SIGTERM)
            started.wait_for("it was asked to end while listen.control")
            self.assertEqual(started.wait(), 0)
        self.assertFalse(os.path.exists(directory + "/rnu"))

    def test_a_relative_path_of_an_application(self):
        said = self.said(SLOTWIRE, "web", "serve", "x", "--fastcgi", "rel.sock", "--root", "/", status=2)
        self.assertIn("'rel.sock' is taken for HOST:PORT, since it begins neither with '/' nor with 'unix:'", said)
        self.assertIn("give its absolute path or unix:PATH", said)

    def test_a_suite_of_benchmarks_that_is_not_known(self):
        bench = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "bench")
        said = self.said(bench, "noed", status=2)
        self.assertIn("there is no suite 'noed'; did you mean 'node'?", said)
        self.assertIn("Suites: slot pipeline local node card dpdk http web congestion", said)


class Engine(NodeTest):
    def test_a_log_that_nobody_reads_any_more_does_not_end_it(self):
        # Closes the reading end of its standard error: what it says from now on meets a broken pipe.
        engine = self.left.engine
        engine.abandon_output()
        self.right.stop()
        self.right.start()  # the link went down and comes back: both are logged
        self.serve(["echo", "--echo"], self.right)
        self.assertEqual(run(["call", "echo", "still here"], self.left).stdout, "still here")
        self.assertEqual(engine.process.poll(), None)

    def test_a_stop_right_after_the_start_is_orderly(self):
        for _ in range(20):
            self.assertEqual(self.left.stop(), 0)
            self.left.start()

    def reload(self, config):
        with open(self.left.config, "w") as file:
            file.write(config)
        after = len(self.left.engine.lines)
        self.left.engine.process.send_signal(signal.SIGHUP)
        return after

    def test_a_reload_takes_up_services_and_names_what_waits_for_a_restart(self):
        self.serve(["moved", "--echo"], self.right)
        self.assertIn("no such service", run(["call", "moved", "x"], self.left, expect=3).stderr)
        with open(self.left.config) as file:
            config = file.read()
        after = self.reload(config + '[[service]]\nname = "moved"\nnodes = ["right"]\n[wait]\nspin = "3us"\n')
        self.left.engine.wait_for("wait.spin changed .* from the next start", after)
        self.assertEqual(run(["call", "moved", "x"], self.left).stdout, "x")
        # All of a file or nothing of it.
        rule = '[[allow]]\naction = "serve"\nservice = "*"\nusers = ["no-such-user"]\n'
        after = self.reload(config + '[[service]]\nname = "other"\nnodes = ["right"]\n' + rule)
        self.left.engine.wait_for("configuration not reloaded, the old one stays: .*no-such-user", after)
        self.assertEqual(run(["call", "moved", "x"], self.left).stdout, "x")
        after = self.reload(config + "[[service]\n")
        self.left.engine.wait_for("configuration not reloaded, the old one stays", after)
        self.assertEqual(run(["call", "moved", "x"], self.left).stdout, "x")
        # The file of another node: its rules and limits are not this node's.
        other = config.replace('name = "left"', 'name = "other"') + '[[service]]\nname = "moved"\nnodes = ["nowhere"]\n'
        after = self.reload(other)
        self.left.engine.wait_for("configuration not reloaded, the old one stays: .* is now that of node 'other', and this is node 'left'", after)
        self.assertEqual(run(["call", "moved", "x"], self.left).stdout, "x")


class SlowKeeper(NodeTest):
    """A keeper that is stopped for a moment: it is asked ahead, and when it is too far behind requests wait for it."""

    CALLS = 40  # more than it is asked ahead
    # Connections over spare slots do not need it.
    extra_config = {"left": "[limits]\nspare_slots = 0\n", "right": "[limits]\nspare_slots = 0\n"}

    def stop_keeper(self, node):
        stopped = keepers(node)
        self.assertTrue(stopped)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.go_on, stopped)
        return stopped

    @staticmethod
    def go_on(stopped):
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def calls_until_some_wait(self, node):
        after = len(node.engine.lines)
        calls = [self.start(["call", "echo", f"call{number}"], self.left) for number in range(self.CALLS)]
        node.engine.wait_for("(requests|connections of other nodes) wait for it", after)
        self.assertTrue([call for call in calls if call.process.poll() is None])
        return calls

    def call_while_stopped(self, node):
        self.assertEqual(run(["call", "echo", "before"], self.left).stdout, "before")
        after = len(node.engine.lines)
        stopped = self.stop_keeper(node)
        self.assertEqual(run(["call", "echo", "meanwhile"], self.left).stdout, "meanwhile")
        node.engine.wait_for("slotwire-keeper.* does not answer.*kept when it goes on", after)
        self.assertEqual(node.status()["keeper"]["state"], "silent")
        self.assertRegex(run(["status"], node).stdout, "SILENT: .*pid [0-9]+\\) does not answer")
        calls = self.calls_until_some_wait(node)
        self.go_on(stopped)
        for number, call in enumerate(calls):
            self.assertEqual(call.wait(), 0, call.output())
            self.assertIn(f"call{number}", call.output())
        self.assertEqual(run(["call", "echo", "after"], self.left).stdout, "after")
        while node.status()["keeper"]["state"] != "keeps":
            pass  # the test has a time limit

    def test_of_the_node_that_asks(self):
        self.serve(["echo", "--echo"], self.right)
        self.call_while_stopped(self.left)

    def test_of_the_node_that_is_asked(self):
        self.serve(["echo", "--echo"], self.right)
        self.call_while_stopped(self.right)

    def test_a_process_that_ends_while_it_waits_leaves_nothing(self):
        self.serve(["echo", "--echo"], self.right)
        stopped = self.stop_keeper(self.left)
        for call in self.calls_until_some_wait(self.left):
            call.stop(signal.SIGKILL)
        self.go_on(stopped)
        self.assertEqual(run(["call", "echo", "after"], self.left).stdout, "after")
        while self.left.status()["sessions"]["used"] != 0:
            pass  # the test has a time limit

    def test_what_it_was_asked_before_slotwired_was_killed_is_kept(self):
        self.serve(["echo", "--echo"], self.right)
        stopped = self.stop_keeper(self.left)
        bench = self.start(["bench", "echo", "-d", "600s", "-i", "20ms"], self.left)
        bench.wait_for("calls/s")
        self.left.kill()
        self.go_on(stopped)
        self.left.start()
        self.left.engine.wait_for("taken over from an earlier slotwired: 1 sessions, 1 slots")
        lines = bench.count("calls/s")
        while bench.count("calls/s") < lines + 3:
            self.assertIsNone(bench.process.poll(), bench.output())


class GoneKeeper(NodeTest):
    extra_config = {"left": "[limits]\nkeeper_starts = 0\n", "right": ""}

    def test_the_end_of_the_keeper_is_told_and_what_runs_goes_on(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-d", "60s", "-i", "20ms"], self.left)
        bench.wait_for("calls/s")
        for pid in keepers(self.left):
            os.kill(pid, signal.SIGKILL)
        self.left.engine.wait_for("the keeper .* has ended: what there is goes on")
        self.assertEqual(self.left.status()["keeper"]["state"], "gone")
        self.assertIn("NOT KEPT", run(["status"], self.left).stdout)
        lines = bench.count("calls/s")
        while bench.count("calls/s") < lines + 3:
            self.assertIsNone(bench.process.poll(), bench.output())
        self.assertIn("the keeper is gone", run(["call", "echo", "x"], self.left, expect=None).stderr)
        bench.stop()
        self.left.stop()
        self.left.start()
        self.assertEqual(run(["call", "echo", "x"], self.left).stdout, "x")


class KilledTogether(NodeTest):
    extra_config = {"left": "[limits]\nkeeper_starts = 0\n", "right": ""}

    def test_the_next_start_says_what_is_lost(self):
        warning = "the keeper of an earlier slotwired was killed"
        self.assertNotIn(warning, self.left.engine.output())
        for pid in keepers(self.left):
            os.kill(pid, signal.SIGKILL)
        self.left.engine.wait_for("the keeper .* has ended")
        self.left.kill()
        self.left.start()
        self.left.engine.wait_for(warning)
        # In good order nothing is left behind, and nothing is said.
        for order in (False, True):
            if order:
                for pid in keepers(self.left):
                    os.kill(pid, signal.SIGKILL)
                self.left.engine.wait_for("the keeper .* has ended")
            self.left.stop()
            self.left.start()
            self.assertNotIn(warning, self.left.engine.output())


class KilledKeeper(NodeTest):
    def kill_keeper(self, node):
        before = set(keepers(node))
        after = len(node.engine.lines)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        node.engine.wait_for(r"the new keeper \(pid \d+\) has all that the old one had", after)
        new = set(keepers(node))
        self.assertEqual(len(new), len(before))
        self.assertFalse(new & before)
        state = node.status()["keeper"]
        self.assertEqual((state["state"], state["lost"], state["waiting"]), ("keeps", 0, 0))

    def test_is_started_again_and_the_next_crash_of_slotwired_loses_no_call(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-d", "60s", "-i", "20ms", "-p", "4"], self.left)
        bench.wait_for("calls/s")
        for node in (self.left, self.right):
            for _ in range(2):
                self.kill_keeper(node)
                node.kill()
                node.start()
                node.engine.wait_for("taken over from an earlier slotwired: [1-9]")
        lines = bench.count("calls/s")
        while bench.count("calls/s") < lines + 5:
            self.assertIsNone(bench.process.poll(), bench.output())
        self.assertEqual(run(["call", "echo", "x"], self.left).stdout, "x")
        bench.stop(signal.SIGINT)
        self.assertNotIn("lost", bench.output())

    def test_who_connects_meanwhile_waits_and_is_served(self):
        self.serve(["echo", "--echo"], self.right)
        for pid in keepers(self.left):
            os.kill(pid, signal.SIGKILL)
        for _ in range(5):
            self.assertEqual(run(["call", "echo", "x"], self.left).stdout, "x")


class Spread(NodeTest):
    """Connections to a service of several nodes."""
    services = {"left": [], "right": []}
    extra_config = {"left": '[[service]]\nname = "spread"\nnodes = ["right", "left"]\nspread = true\n'
                            '[[service]]\nname = "ordered"\nnodes = ["right", "left"]\n', "right": ""}

    def answers(self, service, calls):
        return [run(["call", service, ""], self.left).stdout for _ in range(calls)]

    def test_they_take_turns_where_that_is_said_and_go_where_the_service_is(self):
        for service in ("spread", "ordered"):
            for node in self.nodes:
                self.serve([service, "--exec", f"printf {node.name}"], node)
        # Each call connects anew.
        self.assertEqual(self.answers("spread", 6), ["right", "left"] * 3)
        self.assertEqual(self.answers("ordered", 3), ["left"] * 3)  # processes of this node come first
        self.right.stop()
        self.left.engine.wait_for("link to 'right': control connection lost")
        self.assertEqual(self.answers("spread", 4), ["left"] * 4)

    def served(self, service):
        [row] = [row for row in self.left.status()["configured_services"] if row["service"] == service]
        return row

    def test_one_that_nobody_serves_is_in_the_status_all_the_same(self):
        row = self.served("spread")
        self.assertEqual((row["nodes"], row["served"]), (["right", "left"], "not known"))
        self.serve(["spread", "--exec", "printf left"], self.left)
        self.assertEqual(self.served("spread")["served"], "now")
        self.right.stop()
        self.left.engine.wait_for("link to 'right': control connection lost")
        row = self.served("ordered")
        self.assertEqual(row["served"], "not now")
        self.assertIn("the link to 'right' is down: ", row["reason"])
        self.assertRegex(run(["status"], self.left).stdout, "ordered +right, left +not served now +the link to 'right' is down")

    def test_a_node_that_is_not_named_answers_when_no_named_one_can(self):
        self.serve(["spread", "--exec", "printf left"], self.left)
        self.right.stop()
        self.left.engine.wait_for("link to 'right': control connection lost")
        self.assertEqual(self.answers("spread", 3), ["left"] * 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
