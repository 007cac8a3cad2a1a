"""`slotwire web serve --http`: an application that knows nothing of slots, behind two linked nodes."""
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from application import pieces
from web_nodes import MEGABYTE, SLOTWIRE, Load, RawClient, WebTest, eventually, first_answered, free_port, private_memory

APPLICATION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "application.py")


def known(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


class BridgeTest(WebTest):
    def start_application(self, address=None):
        self.address = address or f"{self.addresses['right']}:{free_port(self.addresses['right'])}"
        application = self.start([sys.executable, APPLICATION, self.address])
        application.wait_for("listening")
        return application

    def start_bridge(self, *options):
        self.bridge = self.start(["web", "serve", "web", *options], self.right)
        self.bridge.wait_for("requests for service 'web'")

    def start_all(self, *options):
        self.application = self.start_application()
        self.start_bridge("--http", self.address, *options)
        self.start_front("-q")

    def start_managed(self, processes, *options):
        self.start_bridge("--http", f"unix:{self.directory}/app-{{n}}.sock", "--start",
                          f"{sys.executable} {APPLICATION} unix:{{socket}}", "--processes", str(processes), *options)
        for number in range(processes):
            self.bridge.wait_for(f"process {number} accepts")
        self.start_front("-q")


class Pages(BridgeTest):
    def test_pages_of_every_kind(self):
        self.start_all()
        client = self.client()
        status, fields, body = client.get("/?a=b", "X-One: 1", "Connection: x-two", "X-Two: 2", "Keep-Alive: 5", "TE: gzip",
                                          "Slotwire-Timeout: 10000", "Slotwire-Other: x", "Proxy-Connection: x")
        self.assertEqual(status, 200)
        lines = body.decode().split("\n")
        self.assertEqual(lines[1], "GET /?a=b HTTP/1.1")
        self.assertEqual([line for line in lines[2:] if line], ["Host: test", "X-One: 1"])
        self.assertNotIn("connection", fields)
        for target in ("/bytes/1000000", "/chunks/1000000"):
            status, fields, body = client.get(target)
            self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, known(1000000)))
        status, fields, body = client.get("/stream/1000000")
        self.assertEqual((status, fields["transfer-encoding"], hashlib.sha256(body).hexdigest()), (200, ["chunked"], known(1000000)))
        client.send("HEAD /bytes/1000 HTTP/1.1\r\nHost: t\r\n\r\n")
        status, fields, body = client.response("HEAD")
        self.assertEqual((status, fields["content-length"]), (200, ["1000"]))
        for wanted in (204, 304, 404, 500):
            self.assertEqual(client.get(f"/status/{wanted}")[0], wanted)
        self.assertEqual(client.get("/raw/early-hints")[2], b"ok")

    def test_a_client_cannot_have_the_fields_of_the_web_server_removed(self):
        self.start_all()
        client = self.client()
        fields = ["X-Real-IP: 192.0.2.7", "X-Forwarded-Proto: https", "Cookie: a=b"]
        named = "Connection: Host, Content-Length, Transfer-Encoding, X-Two, x-real-ip, X-Forwarded-Proto, Cookie"
        status, _, body = client.get("/", *fields, "X-Two: 2", named)
        self.assertEqual(status, 200)
        self.assertEqual([line for line in body.decode().split("\n")[2:] if line], ["Host: test", *fields])
        client.send(f"POST /sum HTTP/1.1\r\nHost: t\r\n{named}\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(client.response()[2], f"3 {hashlib.sha256(b'abc').hexdigest()}".encode())
        client.send(f"POST /sum HTTP/1.1\r\nHost: t\r\n{named}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(client.response()[2], f"3 {hashlib.sha256(b'abc').hexdigest()}".encode())

    def test_bodies_up_and_down_at_a_gigabyte(self):
        self.need("curl")
        self.start_all("-q")
        size = 1 << 30
        made = f"import sys; sys.path.insert(0, {os.path.dirname(APPLICATION)!r}); from application import pieces\n"
        made += f"for piece in pieces({size}): sys.stdout.buffer.write(piece)"
        source = subprocess.Popen([sys.executable, "-c", made], stdout=subprocess.PIPE)
        put = subprocess.run(["curl", "-sS", "-T", "-", "-H", "Expect:", self.url + "/sum"], stdin=source.stdout, capture_output=True,
                             timeout=110)
        source.stdout.close()
        source.wait()
        self.assertEqual(put.stdout.decode(), f"{size} {known(size)}", put.stderr)
        got = subprocess.run(f"curl -sS {self.url}/bytes/{size} | sha256sum", shell=True, capture_output=True, timeout=110)
        self.assertEqual(got.stdout.split()[0].decode(), known(size), got.stderr)
        self.assertLess(private_memory(self.bridge.pid), 32 * 1024, "KiB")

    def test_bodies_with_a_length_and_in_chunks(self):
        self.start_all()
        client = self.client()
        body = os.urandom(3 * MEGABYTE)
        want = f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
        client.send(f"PUT /sum HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n")
        client.send(body)
        self.assertEqual(client.response()[2], want)
        client.send("POST /sum HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 100000):
            piece = body[at:at + 100000]
            client.send(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece))
        client.send("0\r\nTrailer: x\r\n\r\n")
        self.assertEqual(client.response()[2], want)
        client.send("PUT /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(client.head()[0], 100)
        client.send("abc")
        self.assertEqual(client.response()[2].split()[0], b"3")

    def test_an_answer_before_the_body_has_arrived(self):
        self.start_all()
        client = self.client()
        client.send("PUT /early HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n")
        client.send(bytes(100000))
        self.assertEqual(client.response()[0], 403)

    def test_a_websocket_passes(self):
        self.start_all()
        client = self.client()
        client.send("GET /socket HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
        status, fields, _ = client.response()
        self.assertEqual((status, fields["upgrade"], fields["sec-websocket-accept"]), (101, ["websocket"], ["x"]))
        body = os.urandom(4 * MEGABYTE)
        sender = threading.Thread(target=lambda: client.send(body))
        sender.start()
        self.assertEqual(client.file.read(len(body)), body)
        sender.join()
        client.socket.shutdown(1)
        self.assertTrue(client.is_closed())
        self.bridge.wait_for(r"GET /socket .*: 101, 4194304 bytes in, 4194304 out")

    def test_a_protocol_that_was_not_asked_for_is_refused(self):
        self.start_all()
        self.assertEqual(self.client().get("/socket")[0], 502)

    def test_invalid_responses_are_not_passed_on(self):
        self.start_all()
        for name in ("two-lengths", "both", "folded", "bare-lf", "large", "no-head"):
            with self.subTest(name):
                client = self.client()
                self.assertEqual(client.get(f"/raw/{name}")[0], 502)
                self.assertEqual(client.get("/bytes/3")[0], 200)
        client = self.client()
        self.assertNotIn("slotwire-unprocessed", client.get("/raw/unprocessed")[1])
        # What an application sends beyond its response reaches nobody.
        self.assertEqual(client.get("/raw/more")[2], b"abc")
        self.assertEqual(len(client.get("/bytes/7")[2]), 7)
        for name in ("bad-chunk", "short"):
            with self.subTest(name):
                client = self.client()
                client.send(f"GET /raw/{name} HTTP/1.1\r\nHost: t\r\n\r\n")
                with self.assertRaises(ConnectionResetError):  # before the head is sent, or within the body
                    self.assertEqual(client.head()[0], 200)
                    client.file.read()

    def test_a_kept_connection_that_the_application_closed_is_replaced(self):
        self.start_all("--keep-time", "60s")
        client = self.client()
        self.assertEqual(client.get("/bytes/3")[0], 200)
        self.application.stop(signal.SIGKILL)
        self.application = self.start_application(self.address)
        self.assertEqual(client.get("/bytes/3")[0], 200)
        client.send("PUT /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(client.response()[0], 200)


class Ends(BridgeTest):
    def test_a_client_that_leaves_ends_the_work(self):
        self.start_all()
        client = self.client()
        client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.application.wait_for("waiting")
        client.break_off()
        self.application.wait_for("left")
        self.bridge.wait_for("aborted: the client is gone")
        client = self.client()
        client.send("PUT /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc")
        _, after = self.application.wait_for("waiting", after=3)
        client.break_off()
        self.application.wait_for("left", after)
        client = self.client()
        client.send("GET /bytes/1000000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(client.head()[0], 200)
        client.break_off()
        self.bridge.wait_for("GET /bytes/1000000000 .*aborted: the client is gone")

    def test_the_deadline_ends_the_work(self):
        self.start_all()
        client = self.client()
        self.assertEqual(client.get("/wait", "Slotwire-Timeout: 100")[0], 504)
        self.application.wait_for("left")
        self.assertEqual(client.get("/bytes/3")[0], 200)

    def test_an_application_that_is_silent_is_given_up(self):
        self.start_all("--timeout", "200ms")
        client = self.client()
        self.assertEqual(client.get("/wait")[0], 504)
        self.application.wait_for("left")
        # A client that takes its time is not the application's fault.
        client.send("PUT /sum HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc")
        time.sleep(0.5)
        client.send("def")
        self.assertEqual(client.response()[0], 200)

    def test_an_application_that_is_not_there_is_said_as_not_processed(self):
        self.address = f"{self.addresses['right']}:{free_port(self.addresses['right'])}"
        self.start_bridge("--http", self.address)
        self.start_front("-q")
        status, fields, _ = self.client().get("/bytes/3")
        self.assertEqual((status, fields["slotwire-unprocessed"]), (503, ["1"]))
        self.bridge.wait_for("cannot be reached: Connection refused")
        self.start_application(self.address)
        self.assertEqual(self.client().get("/bytes/3")[0], 200)

    def test_requests_wait_in_order_and_then_are_refused(self):
        self.start_all("--at-once", "2", "--max-queue", "3")
        clients = [self.client() for _ in range(6)]
        for client in clients[:2]:
            client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        eventually(lambda: self.application.count("waiting") == 2, "two requests at the application")
        for client in clients[2:]:
            client.send("GET /bytes/5 HTTP/1.1\r\nHost: t\r\n\r\n")
        # Three wait; whichever comes last is refused.
        refused = first_answered(clients)
        status, fields, _ = refused.response()
        self.assertEqual((status, fields["slotwire-unprocessed"]), (503, ["1"]))
        clients[0].break_off()
        for client in clients[2:]:
            if client is not refused:
                self.assertEqual(client.response()[0], 200)

    def test_the_field_of_credit_says_how_many_places_are_left(self):
        self.start_all("--at-once", "3")
        first, second = self.client(), self.client()
        self.assertEqual(first.get("/bytes/3")[1]["slotwire-credit"], ["2"])  # beside the request that it answers
        second.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.application.wait_for("waiting")
        self.assertEqual(first.get("/bytes/3")[1]["slotwire-credit"], ["1"])

    def test_a_connection_beyond_the_limit_takes_the_place_of_an_idle_one(self):
        self.start_all("-n", "2")
        first, second = self.client(), self.client()
        self.assertEqual(first.get("/bytes/3")[0], 200)
        second.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.application.wait_for("waiting")
        third = self.client()
        third.send("GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n")
        status, fields, _ = first.head()
        self.assertEqual((status, fields), (100, {"connection": ["close"]}))
        first.break_off()
        self.assertEqual(third.response()[0], 200)

    def test_one_user_has_so_many_heads_that_are_not_finished(self):
        self.start_all("--max-unfinished-heads", "2")
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send("GET /bytes/3 HTTP/1.1\r\nHo")
        given_up = first_answered(clients)
        self.assertEqual(given_up.response()[0], 408)
        self.assertTrue(given_up.is_closed())
        self.bridge.wait_for("408.*too many heads of this user were not complete")
        for client in clients:
            if client is not given_up:
                client.send("st: t\r\n\r\n")
                self.assertEqual(client.response()[0], 200)
                client.close()
        self.assertEqual(self.bridge.stop(), 0)
        self.assertIn("1 heads given up (--max-unfinished-heads)", self.bridge.output())

    def test_one_process_has_fewer_heads_that_are_not_finished_than_its_user(self):
        self.start_all("--max-unfinished-heads", "3", "--max-unfinished-heads-per-process", "2")
        other = self.start(["tunnel", "listen", f"{self.addresses['left']}:0", "web", "-q"], self.left)
        match, _ = other.wait_for(r"connections to \S+:(\d+) go")
        elsewhere = RawClient((self.addresses["left"], int(match.group(1))))
        self.addCleanup(elsewhere.close)
        # The oldest head is of another process of the same user, which this one cannot take the place of.
        elsewhere.send("GET /bytes/3 HTTP/1.1\r\nHo")
        elsewhere_began = self.client()
        self.assertEqual(elsewhere_began.get("/bytes/3")[0], 200)
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send("GET /bytes/3 HTTP/1.1\r\nHo")
        given_up = first_answered(clients)
        self.assertEqual(given_up.response()[0], 408)
        elsewhere.send("st: t\r\n\r\n")
        self.assertEqual(elsewhere.response()[0], 200)

    def test_a_second_sigterm_ends_what_is_under_way(self):
        self.start_all()
        client = self.client()
        client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.application.wait_for("waiting")
        self.bridge.process.send_signal(signal.SIGTERM)
        self.bridge.wait_for("draining")
        self.bridge.process.send_signal(signal.SIGTERM)
        self.assertEqual(client.response()[0], 503)
        self.assertEqual(self.bridge.wait(), 0)
        self.application.wait_for("left")

    def test_the_log_as_json(self):
        self.start_all("--json")
        client = self.client()
        self.assertEqual(client.get("/bytes/3", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")[0], 200)
        client.send("GET / HTTP/1.1\r\n\r\n")  # without a Host
        self.assertEqual(client.response()[0], 400)
        client.close()
        self.assertEqual(self.bridge.stop(), 0)
        lines = [json.loads(line) for line in self.bridge.lines if line]
        self.assertEqual([line["event"] for line in lines], ["ready", "request", "request", "draining", "stopped"])
        self.assertTrue(all(line["time"].endswith("Z") for line in lines))
        good, bad = lines[1:3]
        for name, value in {"method": "GET", "target": "/bytes/3", "status": 200, "body_in": 0, "body_out": 3}.items():
            self.assertEqual(good[name], value, name)
        for line in lines:
            self.assertEqual((line["node"], line["component"], line["pid"]), ("right", "slotwire-web", self.bridge.pid))
            self.assertIn(line["level"], ("info", "warning", "error"))
            self.assertTrue(line["message"])
        self.assertEqual(good["trace"], "4bf92f3577b34da6a3ce929d0e0e4736")
        self.assertIn("@left", good["client"])
        self.assertGreater(good["seconds"], 0)
        self.assertFalse({"aborted", "problem"} & set(good))
        self.assertEqual((bad["status"], bad["aborted"]), (400, "the request or its response was broken off"))
        self.assertNotEqual(bad["problem"], "")
        self.assertEqual([lines[4][name] for name in ("requests", "failed", "heads_given_up")], [2, 0, 0])

    def test_a_slow_client_holds_nobody_and_no_memory(self):
        self.start_all("-q")
        slow = [self.client() for _ in range(20)]
        for client in slow:
            client.send("GET /bytes/100000000 HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(client.head()[0], 200)
        other = self.client()
        for _ in range(20):
            self.assertEqual(len(other.get("/bytes/100000")[2]), 100000)
        self.assertLess(private_memory(self.bridge.pid), 32 * 1024, "KiB")

    def test_draining_under_load_fails_no_request(self):
        self.start_all("-q")
        second = self.start(["web", "serve", "web", "--http", self.address, "-q"], self.right)
        second.wait_for("requests for service")
        load = Load(self, 8)
        load.answered(200)
        self.bridge.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.bridge.wait(), 0)
        before = load.count()
        load.answered(before + 200)
        load.end()
        self.assertEqual(load.failures, [])


class PlayedFastCgi(BridgeTest):
    """A FastCGI application that sends what the test says, whatever it is asked, and closes."""

    @staticmethod
    def record(kind, content):
        return bytes([1, kind, 0, 1]) + len(content).to_bytes(2, "big") + bytes(2) + content

    OUTPUT, ERRORS = 6, 7
    HEAD = b"Content-Type: text/plain\r\n\r\npong"
    END = bytes([1, 3, 0, 1, 0, 8, 0, 0]) + bytes(8)

    def play(self, *options):
        path = f"{self.directory}/fcgi.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(self.answer)

        threading.Thread(target=serve, daemon=True).start()
        self.start_bridge("--fastcgi", path, "--root", self.directory, *options)

    def test_half_an_answer_fails_the_health_check(self):
        self.answer = self.record(self.OUTPUT, self.HEAD)
        self.play("--health", "/ping", "--health-interval", "50ms", "--health-fall", "2")
        self.bridge.wait_for("fails its health check: it closed the connection before the end of its answer")
        self.answer += self.END
        self.bridge.wait_for("is well again")

    def test_what_it_prints_is_bounded(self):
        lines = b"".join(b"line %d \x1b[2J of a script in a loop\n" % number for number in range(1000))
        self.answer = self.record(self.ERRORS, b"x" * 5000 + b"\n" + lines) + self.record(self.OUTPUT, self.HEAD) + self.END
        with open(f"{self.directory}/a.php", "w"):
            pass
        self.play("--error-lines", "5", "--error-line-bytes", "100")
        self.start_front("-q")
        self.assertEqual(self.client().get("/a.php")[2], b"pong")
        self.bridge.wait_for("996 lines with ")
        printed = [line for line in self.bridge.output().splitlines() if " says: " in line]
        self.assertEqual(len(printed), 5)
        self.assertTrue(printed[0].endswith("says: " + 100 * "x" + "... and 4900 bytes more"), printed[0])
        self.assertTrue(printed[1].endswith("says: line 0 \\x1b[2J of a script in a loop"), printed[1])


class Usage(BridgeTest):
    """Options that cannot work, or would have no effect, are refused before anything is started."""

    def refused(self, *options):
        done = subprocess.run([SLOTWIRE, "web", "serve", "web", *options], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr + done.stdout

    def test_an_option_without_what_it_belongs_to(self):
        for options, needs in ((("--http", "127.0.0.1:1", "--root", "/srv"), "--fastcgi"),
                               (("--http", "127.0.0.1:1", "--front", "/index.php"), "--fastcgi"),
                               (("--http", "127.0.0.1:1", "--remote-address", "X-Real-IP"), "--fastcgi"),
                               (("--http", "127.0.0.1:1", "--processes", "2"), "--start"),
                               (("--http", "127.0.0.1:1", "--end-time", "2s"), "--start"),
                               (("--fastcgi", "/run/php.sock"), "--root")):
            with self.subTest(options=options):
                self.assertIn(needs, self.refused(*options))

    def test_scripts_and_fields_that_are_none(self):
        root = f"{self.directory}/www"
        os.makedirs(f"{root}/sub.php")
        os.makedirs(f"{self.directory}/outside")
        for name in ("www/index.php", "www/data.txt", "outside/x.php"):
            with open(f"{self.directory}/{name}", "w"):
                pass
        cases = []
        for option in ("--script", "--front"):
            for value, said in (("/nosuch.php", f"'{root}/nosuch.php' is not there"), ("/sub.php", "is no regular file"), ("/", "no"),
                                ("/index.php?x", "has a query"), ("/../outside/x.php", "'..'"), ("/data.txt", "'.php' (--suffix)"),
                                ("//index.php", "slash too many"), ("/index.php/", "does not end with"), ("", "")):
                cases.append((option, value, said))
        for value in ("../x.php", "/x.php", "data.txt", ""):
            cases.append(("--index", value, "without slashes"))
        cases += [("--suffix", "", "every file would be a script"), ("--suffix", "/.php", "has a slash")]
        for option in ("--remote-address", "--remote-port", "--remote-user", "--server-address", "--server-port", "--scheme"):
            cases += [(option, "$remote_addr", "X-My-Field $remote_addr;'"), (option, "X Real", "no name of a field"),
                      (option, "", "must not be empty")]
        for option, value, said in cases:
            with self.subTest(option=option, value=value):
                text = self.refused("--fastcgi", "/run/php.sock", "--root", root, option, value)
                self.assertIn(option, text)
                self.assertIn(said, text)
        # Where the files are not seen, only the names are looked at.
        self.start_bridge("--fastcgi", "/run/php.sock", "--root", root, "--no-local-root", "--front", "/nosuch.php")

    def test_values_that_cannot_be_right(self):
        for options, said in ((("--http", "127.0.0.1:1", "--start", ""), "--start"),
                              (("--http", "127.0.0.1:1", "--start", "app 8000", "--processes", "2"), "write {address}, {port}, {socket} or {n}"),
                              (("--http", "127.0.0.1:1", "--start", "app {prot}"), "{prot}"),
                              (("--http", "http://127.0.0.1:1/"), "HOST:PORT"),
                              (("--http", "127.0.0.1"), "HOST:PORT"),
                              (("--http", "127.0.0.1:0"), "'0' is no port from 1 to 65535"),
                              (("--fastcgi", "127.0.0.1:0", "--root", self.directory), "'0' is no port from 1 to 65535"),
                              (("--http", "unix:"), "has no path; expected unix:PATH"),
                              (("--fastcgi", "/run/php.sock", "--root", self.directory + "/absent"), "--local-root"),
                              (("--fastcgi", "/run/php.sock", "--root", "/x", "--local-root", self.directory + "/absent"), "absent"),
                              (("--fastcgi", "/run/php.sock", "--root", "/x", "--local-root", "x"), "must be an absolute path"),
                              (("--fastcgi", "/run/php.sock", "--root", "/x", "--local-root", "/tmp", "--no-local-root"), "excludes"),
                              (("--fastcgi", "/run/php.sock", "--root", __file__), "not a directory")):
            with self.subTest(options=options):
                self.assertIn(said, self.refused(*options))


class Managed(BridgeTest):
    def test_processes_share_the_requests_and_end_with_the_bridge(self):
        self.start_managed(3)
        pids = {self.request("GET", "/slow/1")[2] for _ in range(20)}
        load = Load(self, 6, "/slow/5")
        load.answered(60)
        load.end()
        self.assertEqual(load.failures, [])
        self.assertEqual(len(load.bodies | pids), 3)
        self.assertEqual(self.bridge.stop(), 0)
        for pid in load.bodies:
            self.assertFalse(os.path.exists(f"/proc/{int(pid)}"))

    def test_processes_end_when_the_bridge_is_killed(self):
        self.start_managed(2)
        load = Load(self, 4, "/slow/5")
        load.answered(20)
        load.end()
        self.bridge.stop(signal.SIGKILL)
        for pid in load.bodies:
            eventually(lambda: not os.path.exists(f"/proc/{int(pid)}"), "the end of a process")

    def test_a_process_that_is_killed_under_load_is_started_anew(self):
        self.start_managed(2, "-q")
        load = Load(self, 8, "/slow/3")
        load.answered(50)
        victim = int(next(iter(load.bodies)))
        os.kill(victim, signal.SIGKILL)
        _, after = self.bridge.wait_for(f"pid {victim}.*ended by signal 9")
        self.bridge.wait_for("accepts connections", after)
        load.answered(load.count() + 100)
        load.end()
        # What it had was a GET each time: the next process has it, unless a part of the response had been passed on.
        self.assertNotIn(502, load.failures)
        self.assertLessEqual(len(load.failures), 8)
        self.assertEqual(len(load.bodies), 3)

    def test_one_process_that_ends_is_waited_for(self):
        self.start_managed(1)
        self.assertEqual(self.client().get("/exit")[0], 502)
        # It was given to the next process, once.
        self.assertGreaterEqual(self.bridge.count(r"process 0 \(pid \d+\) started"), 2)
        # Its sockets close a moment before it has ended.
        self.bridge.wait_for(r"process 0 \(pid \d+\) (ended|was ended)")
        self.assertEqual(self.client().get("/bytes/3")[0], 200)

    def test_starting_all_processes_anew_under_load_fails_no_request(self):
        for processes in (1, 2):
            with self.subTest(processes=processes):
                if processes == 2:
                    self.front_process.stop()
                    self.bridge.stop()
                self.start_managed(processes, "-q")
                load = Load(self, 6, "/slow/2")
                load.answered(50)
                before = set(load.bodies)
                self.bridge.process.send_signal(signal.SIGHUP)
                self.bridge.wait_for("all processes were started anew")
                load.answered(load.count() + 50)
                load.end()
                self.assertEqual(load.failures, [])
                self.assertEqual(len(load.bodies - before), processes)

    def test_what_does_not_end_does_not_keep_a_process_from_being_started_anew(self):
        self.start_managed(1, "--drain-time", "200ms")
        client = self.client()
        client.send("GET /socket HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(client.response()[0], 101)
        self.bridge.process.send_signal(signal.SIGHUP)
        self.bridge.wait_for("has not finished its requests in time")
        self.bridge.wait_for("all processes were started anew")
        self.assertTrue(client.is_closed())
        self.assertEqual(self.client().get("/bytes/3")[0], 200)

    def test_a_command_that_cannot_run_is_said(self):
        self.start_bridge("--http", f"unix:{self.directory}/none.sock", "--start", "/no/such/program 'an argument'")
        self.bridge.wait_for("process 0 .*: cannot run /no/such/program: No such file or directory")
        self.bridge.wait_for("process 0 .* ended with status 127")
        self.start_front("-q")
        self.assertEqual(self.client().get("/bytes/3", "Slotwire-Timeout: 300")[0], 504)

    def test_a_process_is_not_started_at_an_address_that_is_taken(self):
        host = self.addresses["right"]
        tcp = f"{host}:{free_port(host)}"
        for address in (tcp, f"unix:{self.directory}/taken.sock"):
            with self.subTest(address=address):
                other = self.start_application(address)
                self.start_bridge("--http", address, "--start", f"{sys.executable} {APPLICATION} {{address}}")
                line, _ = self.bridge.wait_for("process 0 is not started: .* accepts connections at " + re.escape(address))
                self.assertIn(f"(pid {other.pid}, ", line.string)
                self.assertEqual(self.bridge.count(r"process 0 \(pid|process 0 accepts"), 0)
                self.start_front("-q")
                self.assertEqual(self.client().get("/", "Authorization: Basic c2VjcmV0", "Slotwire-Timeout: 100")[0], 504)
                self.assertNotIn("Authorization", other.output())
                other.stop()
                self.bridge.wait_for("process 0 accepts connections")
                self.assertEqual(self.client().get("/bytes/3")[0], 200)
                self.front_process.stop()
                self.bridge.stop(signal.SIGKILL)

    NOBODY = 65534

    def of_nobody(self, address):
        """The command of an application that another user runs, and may find, wherever these tests are."""
        os.chmod(self.directory, 0o755)
        os.makedirs(f"{self.directory}/open", exist_ok=True)
        os.chmod(f"{self.directory}/open", 0o777)
        program = shutil.copy(APPLICATION, f"{self.directory}/open")
        os.chmod(program, 0o755)
        return [self.need("setpriv"), f"--reuid={self.NOBODY}", f"--regid={self.NOBODY}", "--clear-groups",
                shutil.which("python3", path="/usr/bin"), program, address]

    def addresses_of_two_kinds(self):
        if os.geteuid() != 0:
            self.skipTest("two users need root")
        host = self.addresses["right"]
        return f"{host}:{free_port(host)}", f"unix:{self.directory}/open/s"

    def test_another_user_who_is_quicker_gets_no_requests(self):
        for address in self.addresses_of_two_kinds():
            with self.subTest(address=address):
                self.start_bridge("--http", address, "--start", "sleep 100", "-q")
                self.bridge.wait_for(r"process 0 \(pid \d+\) started")
                quick = self.start(self.of_nobody(address))
                quick.wait_for("listening")
                line, _ = self.bridge.wait_for(r"process 0 \(pid \d+\) gets no requests: a process of the user 'nobody'")
                self.assertIn(f"(pid {quick.pid}, ", line.string)
                self.assertEqual(self.bridge.count("process 0 accepts"), 0)
                quick.stop()
                self.bridge.stop()

    def test_another_user_cannot_hide_behind_many_sockets(self):
        address, _ = self.addresses_of_two_kinds()
        host, _, port = address.rpartition(":")
        text = ("import signal, socket\nsockets = []\nfor _ in range(200):\n    s = socket.socket()\n"
                "    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
                f"    s.bind(('{host}', {port}))\n    s.listen()\n    sockets.append(s)\n"
                "print('listening', flush=True)\nsignal.pause()")
        self.start_bridge("--http", address, "--start", "sleep 100", "-q")
        self.bridge.wait_for(r"process 0 \(pid \d+\) started")
        quick = self.start([*self.of_nobody(address)[:-2], "-c", text])
        quick.wait_for("listening")
        self.bridge.wait_for(r"process 0 \(pid \d+\) gets no requests: a process of the user 'nobody'")
        self.assertEqual(self.bridge.count("process 0 accepts"), 0)
        quick.stop()
        self.bridge.stop()

    def test_an_application_may_have_another_user_than_the_bridge(self):
        for address in self.addresses_of_two_kinds():
            with self.subTest(address=address):
                # Below a shell, in a group of its own.
                self.start_bridge("--http", address, "--start", f'sh -c "setsid {" ".join(self.of_nobody(address))} & wait"', "-q")
                self.bridge.wait_for("process 0 accepts connections")
                self.start_front("-q")
                self.assertEqual(self.client().get("/bytes/3")[0], 200)
                self.front_process.stop()
                pid = re.search(r"process 0 \(pid (\d+)\) started", self.bridge.output()).group(1)
                child = int(subprocess.run(["pgrep", "-P", pid], capture_output=True, check=True).stdout)
                self.bridge.stop()
                os.kill(child, signal.SIGKILL)

    def test_what_processes_print_is_noted(self):
        self.start_managed(1)
        self.bridge.wait_for(r"process 0 \(pid \d+\): listening")


if __name__ == "__main__":
    unittest.main()
