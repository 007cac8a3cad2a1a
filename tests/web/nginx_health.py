"""Health of services, draining, and circuit breaking: who gets connections and requests, and who does not."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from web import Backend, WebTest, answer, each_request
from web_nodes import eventually
from nodes import run

FAST = '[health]\ninterval = "50ms"\nfall = 2\nrise = 2\n'


class HealthTest(WebTest):
    services = {"right": ["web"], "left": []}
    extra_config = {"left": FAST + '[[service]]\nname = "pair"\nnodes = ["left", "right"]\nspread = true\n', "right": FAST}

    def serve(self, service, node):
        process = self.start(["serve", service, "--echo"], node)
        process.wait_for("serving")
        return process

    def session(self, node, pid):
        return next(row for row in node.status("--sessions")["session_table"] if row["pid"] == pid)

    def service(self, node, name):
        return next(row for row in node.status()["services"] if row["service"] == name)


class Health(HealthTest):
    def test_a_process_that_does_not_answer_gets_no_connection_while_another_is_well(self):
        hung, good = self.serve("web", self.right), self.serve("web", self.right)
        eventually(lambda: self.service(self.right, "web")["well"] == 2, "both are well")
        hung.process.send_signal(signal.SIGSTOP)
        try:
            self.right.engine.wait_for(rf"\(pid {hung.pid}\) is failing: it does not answer")
            found = self.service(self.right, "web")
            self.assertEqual((found["processes"], found["well"], found["failing"], found["drained"]), (2, 1, 1, 0))
            self.assertEqual(self.session(self.right, hung.pid)["health"], "failing")
            for _ in range(4):  # every other one would wait for the process that hangs
                self.assertEqual(run(["call", "web", "hello", "--timeout", "20s"], self.left).stdout.strip(), "hello")
        finally:
            hung.process.send_signal(signal.SIGCONT)
        self.right.engine.wait_for(rf"\(pid {hung.pid}\) is well: it answers")
        self.assertEqual(self.service(self.right, "web")["well"], 2)

    def test_the_only_process_gets_connections_though_it_fails(self):
        only = self.serve("web", self.right)
        only.process.send_signal(signal.SIGSTOP)
        try:
            self.right.engine.wait_for(rf"\(pid {only.pid}\) is failing")
            call = self.start(["call", "web", "hello", "--timeout", "30s"], self.left)
            eventually(lambda: self.session(self.right, only.pid)["slots"] == 1, "it was given the connection")
        finally:
            only.process.send_signal(signal.SIGCONT)
        self.assertEqual(call.wait(), 0)

    def test_a_node_whose_processes_all_fail_gets_no_connections_while_another_is_well(self):
        here, there = self.serve("pair", self.left), self.serve("pair", self.right)
        run(["call", "pair", "hello"], self.left)  # so that the node is asked

        def heard(row):
            found = [one for one in self.left.status()["remote_services"] if one["service"] == "pair"]
            return [(one["node"], one["failing"], one["well"]) for one in found] == [row]

        eventually(lambda: heard(("right", False, 1)), "the node answers")
        there.process.send_signal(signal.SIGSTOP)
        try:
            self.left.engine.wait_for("service 'pair' on node 'right' is failing: of its 1 processes none is well")
            self.assertTrue(heard(("right", True, 0)))
            for _ in range(4):
                run(["call", "pair", "hello", "--timeout", "20s"], self.left)
            self.assertRegex(run(["status"], self.left).stdout, r"pair +right +failing +1 +0")
        finally:
            there.process.send_signal(signal.SIGCONT)
        self.left.engine.wait_for("service 'pair' on node 'right' is well again")
        here.stop()
        run(["call", "pair", "hello"], self.left)

    def test_requests_leave_a_process_that_hangs_by_the_connections_that_they_have(self):
        backends = [self.backend(each_request(lambda stream, request: answer(stream))) for _ in range(2)]
        nginx = self.nginx("slotwire_pass group; slotwire_read_timeout 2s; add_header X-Who $upstream_addr;",
                           http="upstream group { slotwire_service web max_fails=0; }", pool="slotwire_pool spare=8;")
        hung = backends[0].tunnel

        def who():
            """Whom the request was given to first; one that does not answer is followed by another one."""
            return int(self.get(nginx)[1]["x-who"].split(",")[0].rpartition("/")[2])

        found = set()
        while len(found) < 2:  # nginx has connections to both
            found.add(who())
        hung.process.send_signal(signal.SIGSTOP)
        try:
            self.right.engine.wait_for(rf"\(pid {hung.pid}\) is failing")
            # The other node and nginx learn of it a moment later: until then, one request may be given to it. It has half
            # of the idle connections, so that it would get every other request.
            self.assertLessEqual([who() for _ in range(12)].count(hung.pid), 1)
        finally:
            hung.process.send_signal(signal.SIGCONT)

    def test_the_bridge_asks_its_application_by_http(self):
        status = "200 OK"

        def handle(stream, request):
            answer(stream, status=status if request.target == "/healthz" else "200 OK", body=request.target)

        backend = Backend(self.addresses["right"], each_request(handle))
        self.addCleanup(backend.close)
        bridge = self.start(["web", "serve", "web", "--http", f"{backend.address}:{backend.port}", "--health", "/healthz",
                             "--health-interval", "50ms", "--health-fall", "2"], self.right)
        bridge.wait_for("go to")
        nginx = self.nginx("slotwire_pass web;")
        status = "500 No"
        bridge.wait_for("fails its health check: status 500 instead of 200")
        self.right.engine.wait_for("is failing: it says that it is not ready")
        self.assertEqual(self.get(nginx)[::2], (200, b"/"))  # nobody else serves it
        status = "200 OK"
        bridge.wait_for("is well again")
        self.right.engine.wait_for("is well: it answers")
        asked = next(request for request in backend.requests if request.target == "/healthz")
        self.assertEqual((asked.method, asked["User-Agent"]), ("GET", "slotwire-health"))


class Drain(HealthTest):
    def test_a_drained_process_loses_its_connections_and_gets_them_again(self):
        backends = [self.backend(each_request(lambda stream, request: answer(stream))) for _ in range(2)]
        nginx = self.nginx("slotwire_pass web; add_header X-Who $upstream_addr;")
        first, second = (backend.tunnel.pid for backend in backends)

        def who():
            status, fields, _ = self.get(nginx)
            self.assertEqual(status, 200)
            return int(fields["x-who"].rpartition("/")[2])

        found = set()
        while len(found) < 2:
            found.add(who())
        self.assertIn("gets nothing new", run(["drain", str(first)], self.right).stdout)
        self.assertEqual(self.session(self.right, first)["health"], "drained")

        def left():
            who()  # requests go on, and none fails
            return self.session(self.right, first)["slots"] == 0

        eventually(left, "nginx has closed its connections to it")
        # It outlives slotwired.
        self.right.kill()
        self.right.start()
        eventually(lambda: self.session(self.right, first)["attached"] and self.session(self.right, second)["attached"],
                   "both came back")
        self.assertEqual({who() for _ in range(10)}, {second})
        self.assertEqual(self.service(self.right, "web")["drained"], 1)
        self.assertRegex(run(["status"], self.right).stdout, r"web +2 +1 +0 +1")
        self.assertEqual(json.loads(run(["drain", str(first), "--undo", "--json"], self.right).stdout),
                         {"pid": first, "drained": False})
        run(["drain", str(second)], self.right)
        eventually(lambda: who() == first, "it gets requests again")

    def test_when_all_are_drained_nobody_is_connected(self):
        only = self.serve("web", self.right)
        run(["drain", str(only.pid)], self.right)
        failed = run(["call", "web", "hello"], self.left, expect=3)
        self.assertIn("all are drained (slotwire drain)", failed.stderr)
        self.assertIn("no process with pid 1 ", run(["drain", "1"], self.right, expect=None).stderr)
        run(["drain", str(only.pid), "--undo"], self.right)
        run(["call", "web", "hello"], self.left)


class Limits(WebTest):
    """Circuit breaking in nginx."""

    def setUp(self):
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)

    def hold(self, stream, request):
        if request.target == "/wait":
            self.release.wait(60)
        answer(stream, body=request.target)

    def waiting(self, nginx, count, backend, target="/wait"):
        """Clients whose requests are under way at the backend."""
        before = len(backend.requests)
        clients = [self.client(nginx) for _ in range(count)]
        for client in clients:
            client.send(f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n")
        eventually(lambda: len(backend.requests) == before + count, "they are under way")
        return clients

    def refused(self, nginx, limit, target="/"):
        status, fields, _ = self.get(nginx, target)
        self.assertEqual((status, fields.get("slotwire-limit"), fields.get("retry-after")), (503, limit, "1"))
        nginx.wait_for_log(f'a request to service "web" is refused by the limit "{limit}"')

    def test_requests_of_a_service(self):
        backend = self.backend(each_request(self.hold))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_limits requests=2;")
        clients = self.waiting(nginx, 2, backend)
        self.refused(nginx, "requests")
        self.release.set()
        for client in clients:
            self.assertEqual(client.read_response()[0], 200)
        self.assertEqual(self.get(nginx)[0], 200)

        def reported():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as tool:
                tool.connect(self.left.socket)
                tool.send(b'{"op": "figures", "id": 1}')
                rows = json.loads(tool.recv(1 << 20))["figures"]
            return any(one["limited_requests"] == 1 for row in rows for one in row["figures"])

        eventually(reported, "the figures say how many were refused")

    def test_requests_of_a_process(self):
        backend = self.backend(each_request(self.hold))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_limits process=1;")
        clients = self.waiting(nginx, 1, backend)
        self.refused(nginx, "process")
        self.release.set()
        self.assertEqual(clients[0].read_response()[0], 200)
        self.assertEqual(self.get(nginx)[0], 200)

    def test_requests_that_wait(self):
        backend = self.backend(each_request(self.hold))
        nginx = self.nginx("slotwire_pass web; slotwire_connect_timeout 30s;", pool="slotwire_pool max=1 spare=1 queue=0;")
        eventually(lambda: self.get(nginx)[0] == 200, "its one connection is there")
        clients = self.waiting(nginx, 1, backend)
        self.refused(nginx, "waiting")
        self.release.set()
        self.assertEqual(clients[0].read_response()[0], 200)

    def test_retries(self):
        broken = threading.Event()
        self.addCleanup(broken.set)

        def breaks(stream, request):
            if request.target == "/wait":
                broken.wait(60)
                raise EOFError
            answer(stream)

        first, second = self.backend(each_request(breaks)), self.backend(each_request(self.hold))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_limits retries=1% least_retries=1;")
        while not first.requests or not second.requests:
            self.get(nginx)
        clients = [self.client(nginx) for _ in range(8)]
        before = len(first.requests) + len(second.requests)
        for client in clients:
            client.send("GET /wait HTTP/1.1\r\nHost: example.test\r\n\r\n")
        eventually(lambda: len(first.requests) + len(second.requests) == before + 8, "all are under way")
        broken.set()
        # Of those that the first one breaks off, one may be tried again while the second one holds it.
        nginx.wait_for_log('is refused by the limit "retries"')
        self.release.set()
        answers = [client.read_response() for client in clients]
        refused = [fields for status, fields, _ in answers if status == 503]
        self.assertTrue(refused)
        self.assertEqual({fields.get("slotwire-limit") for fields in refused}, {"retries"})
        retried = sum(request.target == "/wait" for request in second.requests) + sum(
            request.target == "/wait" for request in first.requests) - 8
        self.assertEqual(retried, 1)
        self.assertEqual([status for status, _, _ in answers].count(200) + len(refused), 8)

    def test_a_refusal_may_have_a_page_of_its_own_and_a_body_is_not_lost(self):
        backend = self.backend(each_request(self.hold))
        nginx = self.nginx("slotwire_pass web; slotwire_intercept_errors on; error_page 503 = /busy;",
                           server="location /busy { return 200 busy; }", pool="slotwire_limits requests=1;")
        clients = self.waiting(nginx, 1, backend)
        client = self.client(nginx)
        self.assertEqual(client.get("/", method="POST", body=bytes(100000))[::2], (200, b"busy"))
        self.assertEqual(client.get("/", method="HEAD")[0], 200)
        self.release.set()
        self.assertEqual(clients[0].read_response()[0], 200)
        self.assertEqual(client.get("/", method="POST", body=bytes(100000))[::2], (200, b"/"))

    def test_wrong_limits_are_refused(self):
        nginx = self.nginx("return 200;", pool="slotwire_limits requests=10 process=5 retries=20% least_retries=2;")
        log = nginx.error_log
        for wrong in ("requests=0", "requests=x", "retries=20", "retries=0%", "retries=101%", "process=-1", "more=1"):
            with self.subTest(wrong):
                nginx.error_log = os.path.join(self.directory, "tested.log")
                nginx.write(self.http("return 200;", "", "", f"slotwire_limits {wrong};"))
                program = shutil.which("nginx") or "/usr/sbin/nginx"
                tested = subprocess.run([program, "-t", "-e", nginx.error_log, "-c", nginx.config], capture_output=True, text=True)
                self.assertNotEqual(tested.returncode, 0)
                self.assertIn(f'invalid parameter "{wrong}"', tested.stderr)
        nginx.error_log = log

    def test_a_process_without_credit_comes_after_those_that_have_some(self):
        full = self.backend(each_request(lambda stream, request: answer(stream, fields="Slotwire-Credit: 0\r\n")))
        free = self.backend(each_request(lambda stream, request: answer(stream, fields="Slotwire-Credit: 5\r\n")))
        nginx = self.nginx("slotwire_pass web;")
        while not full.requests or not free.requests:
            self.get(nginx)
        before = len(full.requests), len(free.requests)
        for _ in range(40):
            self.assertNotIn("slotwire-credit", self.get(nginx)[1])
        # What a process says holds for a second; without it they would take turns.
        self.assertLess(2 * (len(full.requests) - before[0]), len(free.requests) - before[1])


if __name__ == "__main__":
    unittest.main()
