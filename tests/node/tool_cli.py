"""status, top, ping, call, serve, bench and cut against two linked nodes."""
import json
import os
import unittest

from nodes import NodeTest, run


class Cli(NodeTest):
    def test_status_shows_the_node_its_links_services_and_slots(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-p", "3", "-d", "60s", "-i", "50ms"], self.left)
        bench.wait_for("calls/s")
        left = self.left.status("--slots", "--sessions")
        self.assertEqual(left["node"], "left")
        self.assertEqual([(link["peer"], link["up"]) for link in left["links"]], [("right", True)])
        self.assertEqual(left["slots"]["used"], 3)
        self.assertEqual({slot["service"] for slot in left["slot_table"]}, {"echo"})
        self.assertEqual(len(left["session_table"]), 3)
        self.assertGreater(left["counters"]["tx_lines"], 0)
        right = self.right.status("--sessions")
        self.assertEqual(right["services"], [{"service": "echo", "processes": 1, "well": 1, "failing": 0, "drained": 0}])
        self.assertEqual(right["session_table"][0]["services"], ["echo"])
        text = run(["status", "--slots", "--sessions"], self.left).stdout
        for part in ("node left", "1.00 GiB", "right", "tx_lines", "Payload lines sent", "slotwire-bench-0", "connects"):
            self.assertIn(part, text)
        self.assertNotIn("drop_crc", text, "counters that are 0 are left out")
        self.assertNotIn("\x1b", text, "no colours when it is not a terminal")

    def test_slots_are_those_of_status_and_can_be_chosen(self):
        self.serve(["echo", "--echo"], self.left)
        self.serve(["other", "--echo"], self.left)
        clients = {}
        for service, count in (("echo", 2), ("other", 1)):
            clients[service] = self.start(["bench", service, "-p", str(count), "-d", "60s", "-i", "50ms"], self.left)
            clients[service].wait_for("calls/s")

        def slots(*options):
            return json.loads(run(["slots", "--json", *options], self.left).stdout)

        everything = slots()
        self.assertEqual(len(everything), 6)
        # Counts of lines move between two looks at a node; what stays is the same.
        for row, same in zip(everything, self.left.status("--slots")["slot_table"], strict=True):
            self.assertEqual({key: row[key] for key in ("slot", "service", "pid", "peer_pid", "pairing", "state")},
                             {key: same[key] for key in ("slot", "service", "pid", "peer_pid", "pairing", "state")})
        self.assertEqual({row["service"] for row in slots("--service", "echo")}, {"echo"})
        self.assertEqual(len(slots("--service", "echo")), 4)
        one = everything[0]
        mine = [row["slot"] for row in everything if row["pid"] == one["pid"]]
        self.assertEqual([row["slot"] for row in slots("--process", str(one["pid"]))], mine)
        named = [row["slot"] for row in everything if row["name"] == one["name"]]
        self.assertEqual([row["slot"] for row in slots("--process", one["name"])], named)
        self.assertEqual(slots("--process", str(one["pid"]), "--service", "none"), [])
        text = run(["slots", "--service", "other"], self.left).stdout
        self.assertRegex(text, r"(?m)^ +\d+ +other +serves +\S+ \(\d+\) .* direct +open ")
        self.assertNotIn("echo ", text)
        self.assertIn("no slots", run(["slots", "--service", "none"], self.left).stdout)

    def test_status_of_a_node_without_its_peer_says_why(self):
        self.right.stop()
        self.left.engine.wait_for("link to 'right': .*(lost|down|closed|ended)")
        text = run(["status"], self.left).stdout
        self.assertRegex(text, r"right +udp +none +down .*control connection down")

    def test_top_shows_rates_busiest_first(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-p", "2", "-d", "60s", "-i", "50ms"], self.left)
        bench.wait_for("calls/s")
        view = json.loads(run(["top", "--once", "-i", "200ms", "--json"], self.left).stdout)
        self.assertEqual(view["links"][0]["peer"], "right")
        self.assertEqual(view["links"][0]["slots"], 2)
        self.assertEqual(view["links"][0]["carrier"], "udp")
        self.assertGreater(view["links"][0]["tx_lines_per_s"], 0)
        self.assertGreater(view["links"][0]["rx_lines_per_s"], 0)
        busy = [slot["tx_lines_per_s"] + slot["rx_lines_per_s"] for slot in view["slots"]]
        self.assertEqual(busy, sorted(busy, reverse=True))
        text = run(["top", "--once", "-i", "50ms"], self.left).stdout
        self.assertRegex(text, r"right +udp +up +2 ")

    def test_ping_measures_round_trips(self):
        self.serve(["echo", "--echo"], self.right)
        lines = [json.loads(line) for line in run(["ping", "echo", "-c", "5", "-i", "0", "--json"], self.left).stdout.splitlines()]
        self.assertEqual([line["seq"] for line in lines[:-1]], [1, 2, 3, 4, 5])
        figures = lines[-1]
        self.assertEqual((figures["sent"], figures["received"], figures["lost"], figures["node"]), (5, 5, 0, "right"))
        self.assertLessEqual(figures["min_us"], figures["p50_us"])
        self.assertLessEqual(figures["p50_us"], figures["max_us"])
        text = run(["ping", "echo", "-c", "2", "-i", "1ms"], self.left).stdout
        self.assertIn("2 sent, 2 answered, 0 lost", text)

    def test_ping_on_one_node_is_a_direct_pair(self):
        self.serve(["echo", "--echo"], self.right)
        figures = json.loads(run(["ping", "echo", "-c", "3", "-i", "0", "--json"], self.right).stdout.splitlines()[-1])
        self.assertTrue(figures["direct"])
        self.assertEqual(figures["received"], 3)

    def test_ping_counts_what_a_stopped_server_does_not_answer(self):
        server = self.serve(["echo", "--echo"], self.right)
        ping = self.start(["ping", "echo", "-i", "1ms", "-W", "50ms"], self.left)
        ping.wait_for("answer from")
        os.kill(server.pid, 19)  # SIGSTOP
        try:
            ping.wait_for("no answer to seq")
        finally:
            os.kill(server.pid, 18)  # SIGCONT
        _, line = ping.wait_for("no answer to seq")
        ping.wait_for("answer from", line)
        self.assertEqual(ping.stop(2), 0)
        self.assertRegex(ping.output(), r"\d+ sent, \d+ answered, [1-9]\d* lost")

    def test_call_carries_any_body(self):
        self.serve(["echo", "--echo"], self.right)
        self.assertEqual(run(["call", "echo", "some text"], self.left).stdout, "some text")
        self.assertEqual(run(["call", "echo", ""], self.left).stdout, "")
        body = os.urandom(3 << 20)
        self.assertEqual(run(["call", "echo"], self.left, input=body, text=False).stdout, body)
        path = os.path.join(self.directory, "body")
        with open(path, "wb") as file:
            file.write(body[:100])
        self.assertEqual(run(["call", "echo", "--file", path], self.left, text=False).stdout, body[:100])
        answer = json.loads(run(["call", "echo", "x", "--json"], self.left).stdout)
        self.assertEqual((answer["ok"], answer["data"]), (True, "x"))

    def test_serve_runs_a_program_for_each_request(self):
        server = self.serve(["upper", "--exec", "tr a-z A-Z"], self.right)
        self.assertEqual(run(["call", "upper", "shout"], self.left).stdout, "SHOUT")
        body = os.urandom(300000).hex()
        self.assertEqual(run(["call", "upper"], self.left, input=body).stdout, body.upper())
        server.wait_for("request of 5 bytes")

    def test_serve_turns_failures_of_the_program_into_errors(self):
        self.serve(["upper", "--exec", "cat >/dev/null; echo some; exit 7"], self.right)
        result = run(["call", "upper", "x"], self.left, expect=1)
        self.assertIn("error 7", result.stderr)
        self.assertEqual(result.stdout, "")
        answer = json.loads(run(["call", "upper", "x", "--json"], self.left, expect=1).stdout)
        self.assertEqual((answer["ok"], answer["code"]), (False, 7))

    def test_serve_stops_a_program_that_is_too_slow_or_writes_too_much(self):
        slow = self.serve(["upper", "--exec", "sleep 1000", "--time-limit", "50ms"], self.right)
        self.assertIn("error 408", run(["call", "upper", "x"], self.left, expect=1).stderr)
        slow.stop()
        self.serve(["upper", "--exec", "cat /dev/zero", "--max-output", "1MiB"], self.right)
        self.assertIn("error 413", run(["call", "upper", "x"], self.left, expect=1).stderr)

    def test_serve_ends_after_its_count(self):
        server = self.serve(["echo", "--echo", "-n", "2"], self.right)
        run(["call", "echo", "1"], self.left)
        run(["call", "echo", "2"], self.left)
        self.assertEqual(server.wait(), 0)
        self.assertIn("2 requests answered", server.output())

    def test_bench_checks_every_answer(self):
        self.serve(["echo", "--echo"], self.right)
        result = json.loads(run(["bench", "echo", "-p", "4", "-n", "200", "-s", "1000", "--json"], self.left).stdout)
        self.assertEqual((result["sent"], result["answered"], result["wrong"], result["lost"], result["extra"]), (800, 800, 0, 0, 0))
        self.assertLessEqual(result["p50_us"], result["p99_us"])

    def test_bench_sees_wrong_answers(self):
        self.serve(["upper", "--exec", "head -c 4; printf wrong"], self.right)
        result = json.loads(run(["bench", "upper", "-n", "3", "--json"], self.left, expect=1).stdout)
        self.assertEqual((result["answered"], result["wrong"]), (3, 3))

    def test_cut_brings_the_link_back_and_loses_nothing(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-p", "2", "-n", "3000", "--json"], self.left)
        lines = len(self.left.engine.lines)
        run(["cut", "right"], self.left)
        self.left.engine.wait_for("control connection up", lines)
        self.assertEqual(bench.wait(), 0, bench.output())
        result = json.loads(bench.output())
        self.assertEqual((result["answered"], result["wrong"], result["lost"]), (6000, 0, 0))

    def test_exit_statuses_tell_what_went_wrong(self):
        self.assertIn("no process", run(["call", "nobody", "x"], self.left, expect=3).stderr)
        self.assertIn("no process", run(["call", "echo", "x"], self.left, expect=3).stderr)
        run(["call", "echo", "x", "--no-such-option"], self.left, expect=2)
        run(["call", "echo", "x", "--timeout", "later"], self.left, expect=2)
        run([], self.left, expect=2)
        run(["serve", "echo"], self.left, expect=2)
        for name in ("no such", "", "x" * 64, "q?"):
            for command in (["tunnel", "listen", "127.0.0.1:0", name], ["tunnel", "serve", name, "127.0.0.1:1"], ["call", name, "x"],
                            ["ping", name], ["bench", name], ["serve", name, "--echo"], ["slots", "--service", name],
                            ["cache", "--service", name], ["web", "serve", name, "--http", "127.0.0.1:1"]):
                said = run(command, self.left, expect=2)
                self.assertIn("cannot be the name of a service", said.stderr + said.stdout)
        for command in (["ping", "nobody"], ["bench", "nobody"]):
            self.assertIn("no process", run(command, self.left, expect=3).stderr)
        for count in ("0", "-1", "x", "00"):
            for command in (["ping", "echo", "-c"], ["bench", "echo", "-n"], ["serve", "echo", "--echo", "-n"], ["capture", "-w", "-", "-c"]):
                said = run([*command, count], self.left, expect=2)
                self.assertIn("is no number from 1 on", said.stderr + said.stdout)
        taken = os.path.join(self.directory, "taken.pcapng")
        with open(taken, "w") as file:
            file.write("of an earlier capture")
        self.assertIn("no link", run(["capture", "-l", "nowhere", "-w", taken], self.left, expect=2).stderr)
        with open(taken) as file:
            self.assertEqual(file.read(), "of an earlier capture")
        self.assertEqual(run(["capture", "-l", "nowhere"], self.left, expect=2).stdout, "")
        said = run(["stream", "connect", "http://127.0.0.1:1/s", "--max-streams", "3"], expect=2)
        self.assertIn("--listen", said.stderr + said.stdout)
        said = run(["stream", "connect", "http://127.0.0.1:1/s", "--held", "4", "--max-requests", "4"], expect=2)
        self.assertIn("give at most 3, or raise --max-requests", said.stderr + said.stdout)
        self.assertIn("no link", run(["cut", "nowhere"], self.left, expect=2).stderr)
        nowhere = os.path.join(self.directory, "none.sock")
        for command in (["status"], ["call", "echo", "x"], ["ping", "echo"], ["serve", "echo", "--echo"], ["bench", "echo"]):
            self.assertIn("start it", run([*command, "--socket", nowhere], expect=69).stderr)
        self.right.stop()
        self.assertIn("link", run(["call", "echo", "x", "-W", "200ms"], self.left, expect=4).stderr)

    def test_every_help_is_a_manual(self):
        for command in ([], ["status"], ["top"], ["ping"], ["call"], ["serve"], ["bench"], ["capture"], ["cut"], ["tunnel", "listen"],
                        ["tunnel", "serve"]):
            text = run([*command, "--help"]).stdout
            self.assertIn("Example" if command else "Exit status", text)
            self.assertTrue(all(len(line) <= 160 for line in text.splitlines()), command)


class Refused(NodeTest):
    extra_config = {"left": "", "right": '[[allow]]\naction = "serve"\nservice = "echo"\nusers = ["root"]\n'}

    def test_policy_refuses_with_its_own_exit_status(self):
        self.assertIn("refused", run(["serve", "other", "--echo"], self.right, expect=5).stderr)
        self.serve(["echo", "--echo"], self.right)
        self.assertIn("refused", run(["call", "echo", "x"], self.left, expect=5).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
