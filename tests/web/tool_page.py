"""slotwire-page: the page in a real browser, who may look, and metrics that Prometheus reads."""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import unittest

from nodes import BIN, TIMEOUT, NodeTest

PAGE = os.path.join(BIN, "slotwire-page")


class Page(NodeTest):
    def open_page(self, *arguments):
        self.page = self.start([PAGE, "--listen", "127.0.0.1:0", *arguments], self.left)
        match, _ = self.page.wait_for(r"The page: http://127\.0\.0\.1:(\d+)/(?:#token=([0-9a-f]+))?")
        self.port, self.token = int(match[1]), match[2]

    def request(self, method, path, body=None, host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if host is not None:
            fields["Host"] = host
        connection.request(method, path, body, fields)
        try:
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    def log_in(self, token):
        return self.request("POST", "/api/login", json.dumps({"token": token}), Content_Type="application/json")

    def test_only_who_has_the_token_looks(self):
        self.open_page()
        for path in ("/api/state", "/metrics"):
            self.assertEqual(self.request("GET", path)[0].status, 401)
            self.assertEqual(self.request("GET", path, Authorization="Bearer " + self.token[:-1])[0].status, 401)
            for scheme in ("Bearer ", "bearer ", "Bearer   "):
                self.assertEqual(self.request("GET", path, Authorization=scheme + self.token)[0].status, 200)
            for scheme in ("", "Bearer", "Basic "):
                self.assertEqual(self.request("GET", path, Authorization=scheme + self.token)[0].status, 401)
            self.assertEqual(self.request("GET", path, Cookie="slotwire_page=" + self.token)[0].status, 401)
        self.assertEqual(self.log_in("wrong")[0].status, 403)
        self.assertEqual(self.request("POST", "/api/login", "token=" + self.token)[0].status, 415)
        for body in ("", "[]", "{", '{"token": 7}', "[" * 900):
            self.assertEqual(self.request("POST", "/api/login", body, Content_Type="application/json")[0].status, 403, body)
        answer, _ = self.log_in(self.token)
        self.assertEqual(answer.status, 204)
        cookie = answer.getheader("Set-Cookie")
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        cookie = cookie.split(";")[0]
        self.assertEqual(json.loads(self.request("GET", "/api/state", Cookie=cookie)[1])["node"]["node"], "left")
        self.assertEqual(self.request("POST", "/api/logout", Cookie=cookie)[0].status, 204)
        self.assertEqual(self.request("GET", "/api/state", Cookie=cookie)[0].status, 401)

    def test_a_name_that_somebody_turned_to_this_address_is_refused(self):
        self.open_page("--host", "page.example.org")
        self.assertEqual(self.request("GET", "/", host="attacker.example.org")[0].status, 421)
        self.assertEqual(self.request("GET", "/", host="page.example.org")[0].status, 200)
        answer, text = self.request("GET", "/")
        self.assertIn("default-src 'self'", answer.getheader("Content-Security-Policy"))
        self.assertIn("<title>Slotwire</title>", text)

    def test_what_is_no_request_costs_its_connection_alone(self):
        self.open_page("--open-metrics", "--max-connections", "8")
        for sent, status in ((b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 413),
                             (b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", 413),
                             (b"nonsense\r\n\r\n", 400),
                             (b"GET / HTTP/1.1\r\n\r\n", 421),
                             (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
                             (b"GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404)):
            with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as stranger:
                stranger.sendall(sent)
                self.assertEqual(stranger.recv(4096).split()[1], str(status).encode(), sent[:40])
        # Eight that say nothing take all places; a ninth is closed at once, and the first's place is free when it leaves.
        silent = [socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) for _ in range(8)]
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as ninth:
            self.assertEqual(ninth.recv(1), b"")
        for one in silent:
            one.close()
        while True:
            try:
                if self.request("GET", "/metrics")[0].status == 200:
                    break
            except (http.client.HTTPException, ConnectionError):
                pass

    def test_prometheus_reads_the_metrics(self):
        promtool = self.need("promtool")
        self.serve(["echo", "--echo"], self.right)
        self.open_page("--open-metrics")
        bench = subprocess.run([os.path.join(BIN, "slotwire"), "bench", "echo", "-n", "100"], capture_output=True, text=True, timeout=TIMEOUT,
                               env=dict(os.environ, SLOTWIRE_SOCKET=self.left.socket))
        self.assertEqual(bench.returncode, 0, bench.stderr)
        answer, text = self.request("GET", "/metrics")
        self.assertEqual(answer.getheader("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        self.assertEqual(values["slotwire_up"], "1")
        self.assertEqual(values['slotwire_link_up{peer="right",carrier="udp"}'], "1")
        self.assertGreaterEqual(int(values["slotwire_pipeline_tx_lines_total"]), 100)
        answer, text = self.request("GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("openmetrics-text; version=1.0.0", answer.getheader("Content-Type"))
        self.assertTrue(text.endswith("\n# EOF\n"))
        # The dashboard asks for metrics that there are.
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "grafana", "slotwire.json"), encoding="utf-8") as file:
            dashboard = json.load(file)
        names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        asked = {name for panel in dashboard["panels"] for target in panel.get("targets", []) for name in
                 re.findall(r"slotwire_[a-z_]+", target["expr"])}
        self.assertTrue(asked)
        for name in asked:
            self.assertIn(name.removesuffix("_total").removesuffix("_bucket").removesuffix("_count").removesuffix("_sum"), names)

    def test_a_slotwired_that_is_away_is_told_and_comes_back(self):
        self.open_page("--open-metrics")
        self.assertIn("\nslotwire_up 1\n", self.request("GET", "/metrics")[1])
        self.left.stop()
        while "\nslotwire_up 0\n" not in self.request("GET", "/metrics")[1]:
            pass  # a look is half a second old at most
        state = json.loads(self.request("GET", "/api/state", Authorization="Bearer " + self.token)[1])
        self.assertRegex(state["trouble"], "slotwired.* (cannot be reached|went away)")
        self.left.start()
        while "\nslotwire_up 1\n" not in self.request("GET", "/metrics")[1]:
            pass

    def test_the_page_in_a_browser(self):
        chromium = self.need("chromium")
        self.serve(["echo", "--echo"], self.right)
        # Its name is text on the page, whatever it holds.
        client = self.start(["/bin/sh", "-c", f"exec {os.path.join(BIN, 'slotwire')} bench echo -p 2 -d 60"], self.left)
        self.open_page()
        while len(json.loads(self.request("GET", "/api/state", Authorization="Bearer " + self.token)[1])["slots"]) != 2:
            pass
        profile = os.path.join(self.directory, "profile")
        self.addCleanup(shutil.rmtree, profile, True)
        shown = subprocess.run([chromium, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--user-data-dir=" + profile,
                                "--virtual-time-budget=5000", "--dump-dom", f"http://127.0.0.1:{self.port}/#token={self.token}"],
                               capture_output=True, text=True, timeout=2 * TIMEOUT)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for text in ("slotwire-bench-0", "slotwire-serve", "on right", "1.0 GiB", "<meter"):
            self.assertIn(text, shown.stdout)
        self.assertNotIn(self.token, shown.stdout)
        client.stop()

    def test_newcomers_are_told_what_is_wrong(self):
        def fails(*arguments, status=2):
            result = subprocess.run([PAGE, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
            self.assertEqual(result.returncode, status)
            return result.stderr

        self.assertIn("an address and a port are expected", fails("--listen", "7480"))
        self.assertIn("an address and a port are expected", fails("--listen", "127.0.0.1:70000"))
        self.open_page()
        self.assertIn("Address already in use", fails("--listen", f"127.0.0.1:{self.port}", status=1))
        token = os.path.join(self.directory, "token")
        self.assertIn("cannot be read", fails("--token-file", token))
        with open(token, "w", encoding="ascii") as file:
            file.write("short\n")
        os.chmod(token, 0o644)
        self.assertIn("chmod 600", fails("--token-file", token))
        os.chmod(token, 0o600)
        self.assertIn("at least 16 characters", fails("--token-file", token))


if __name__ == "__main__":
    unittest.main()
