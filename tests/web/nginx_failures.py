"""slotwire_pass when something goes wrong: which errors a client sees, what is tried again, what the far end learns."""
import os
import re
import signal
import socket
import struct
import threading
import time
import unittest

from web import MEGABYTE, WebTest, answer, each_request


class Errors(WebTest):
    def test_nobody_serves(self):
        nginx = self.nginx("slotwire_pass nobody; slotwire_connect_timeout 10s;", server="location /unknown { slotwire_pass not/in/the/directory; }")
        self.assertEqual(self.get(nginx)[0], 502)
        self.assertEqual(self.get(nginx, "/unknown")[0], 502)
        nginx.wait_for_log('no connection to slotwire service "nobody": no such service: [^,]*nobody')

    def test_a_service_that_a_variable_does_not_name(self):
        nginx = self.nginx("slotwire_pass $arg_service;")
        for service in ("", "?service=a:b", "?service=" + 64 * "a"):
            self.assertEqual(self.get(nginx, "/" + service)[0], 500)
        for name in ("", "a:b", 64 * "a"):
            nginx.wait_for_log(f'slotwire_pass: its variables give "{name}", which is no name of a service: expected 1 to 63 letters')

    def test_a_wrong_socket_is_named_once_by_each_worker_and_again_when_the_reason_changes(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="page")))
        path = os.path.join(self.directory, "typo.sock")
        nginx = self.nginx("slotwire_pass web; slotwire_connect_timeout 100ms;", workers=2, socket=path)
        reason = rf"\[error\] .*slotwired cannot be reached at {path} \({{}}\).*slotwire_socket"
        nginx.wait_for_log(reason.format("No such file or directory"), 2)
        for _ in range(20):
            self.assertEqual(self.get(nginx)[0], 504)
        self.assertEqual(len(re.findall(reason.format(".*"), nginx.log())), 2, "once per worker, not per request")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(path)
        listener.close()  # what a process that was killed leaves
        nginx.wait_for_log(reason.format("Connection refused"), 2)
        os.unlink(path)
        os.symlink(self.left.socket, path)
        nginx.wait_for_log(r'slotwired of node "left" is reached', 2)
        while self.get(nginx)[0] != 200:
            time.sleep(0.1)
        self.assertEqual(len(re.findall(reason.format("Connection refused"), nginx.log())), 2)

    def test_slotwired_is_not_there_yet(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="page")))
        self.left.stop()
        nginx = self.nginx("slotwire_pass web; slotwire_connect_timeout 30s;", server="location /short { slotwire_pass web; slotwire_connect_timeout 200ms; }")
        self.assertEqual(self.get(nginx, "/short")[0], 504)
        client = self.client(nginx)
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        self.left.start()
        self.assertEqual(client.read_response()[::2], (200, b"page"))

    def test_a_slotwired_that_hangs_holds_nobody_up(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="page")))
        nginx = self.nginx("slotwire_pass web; slotwire_connect_timeout 3s; slotwire_read_timeout 3s;", server="location /own { return 200 own; }")
        self.assertEqual(self.get(nginx)[0], 200)
        os.kill(self.left.engine.pid, signal.SIGSTOP)
        try:
            # A worker that starts now says hello to it, and waits for no answer.
            nginx.signal(signal.SIGHUP)
            nginx.wait_for_log(r"worker process \d+ exited with code 0")
            client = self.client(nginx)
            for _ in range(3):
                self.assertEqual(client.get("/own")[2], b"own")
            self.assertEqual(self.get(nginx)[0], 504)
        finally:
            os.kill(self.left.engine.pid, signal.SIGCONT)
        while self.get(nginx)[0] != 200:
            time.sleep(0.1)

    def test_a_server_that_does_not_answer(self):
        ended = threading.Event()

        def silent(stream, request):
            if stream.is_at_end():
                ended.set()

        self.backend(each_request(silent))
        nginx = self.nginx("slotwire_pass web; slotwire_read_timeout 300ms;")
        self.assertEqual(self.get(nginx)[0], 504)
        self.assertTrue(ended.wait(30), "the server did not learn that nginx gave up")

    def test_a_server_that_does_not_read(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.backend(lambda stream: release.wait(60))
        nginx = self.nginx("slotwire_pass web; slotwire_send_timeout 300ms; client_max_body_size 100m;")
        self.assertEqual(self.get(nginx, method="POST", body=bytes(32 * MEGABYTE))[0], 504)

    def test_bad_responses(self):
        responses = {
            "/no-http": "hello\r\n\r\n",
            "/zero-nine": "HTTP/0.9 200 OK\r\nContent-Length: 1\r\n\r\nx",
            "/both": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/two-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "/same-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "/negative": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "/plus": "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "/hexadecimal": "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
            "/huge": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "/empty-length": "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "/coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "/two-codings": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/fold": "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            "/bare-cr": "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
            "/bare-lf": "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n",
            "/bare-lf-end": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            "/bare-lf-status": "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            "/nul": "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            "/control": "HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
            "/delete": "HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 0\r\n\r\n",
            "/space-in-name": "HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n",
            "/no-colon": "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
            "/no-name": "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
            "/status-control": "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
            "/status-low": "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
            "/upgrade-unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "/many-fields": "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 257 + "Content-Length: 0\r\n\r\n",
            "/large-head": "HTTP/1.1 200 OK\r\nX: " + "y" * 5000 + "\r\nContent-Length: 0\r\n\r\n",
            "/end-in-head": "HTTP/1.1 200 OK\r\nX: ",
        }

        def bad(stream, request):
            stream.send(responses[request.target])
            stream.socket.shutdown(socket.SHUT_WR)

        self.backend(each_request(bad))
        nginx = self.nginx("slotwire_pass web; slotwire_buffers 8 8k;")
        for target in responses:
            with self.subTest(target):
                self.assertEqual(self.get(nginx, target)[0], 502)

    def test_bodies_that_are_cut_short_or_go_on(self):
        responses = {
            "/short": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            "/short-chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nshort",
            "/no-last-chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "/bad-chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n",
            "/long-chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nshort\r\n0\r\n\r\n",
        }

        def cut(stream, request):
            if request.target == "/more":
                stream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more")
            elif request.target == "/more-chunks":
                stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\nand more")
            else:
                stream.send(responses[request.target])
                stream.socket.shutdown(socket.SHUT_WR)

        backend = self.backend(each_request(cut))
        for buffering in ("on", "off"):
            nginx = self.nginx(f"slotwire_pass web; slotwire_buffering {buffering};")
            for target in responses:
                with self.subTest(target + " " + buffering):
                    client = self.client(nginx)
                    client.send(f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n")
                    with self.assertRaises(EOFError):
                        client.read_response()
            for _ in range(3):
                self.assertEqual(self.get(nginx, "/more")[::2], (200, b"four"))
                self.assertEqual(self.get(nginx, "/more-chunks")[::2], (200, b"four"))

    def test_a_broken_connection_is_no_end_of_a_response(self):
        def broken(stream, request):
            stream.send("HTTP/1.1 200 OK\r\n\r\n" + "half" * 50000)
            stream.backend.go.wait(30)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
            raise EOFError

        backend = self.backend(each_request(broken))
        for buffering in ("on", "off"):
            nginx = self.nginx(f"slotwire_pass web; slotwire_buffering {buffering};")
            backend.go = threading.Event()
            client = self.client(nginx)
            client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
            self.assertEqual(client.head()[0], "HTTP/1.1 200 OK")
            client.until(b"half")
            backend.go.set()
            rest = client.to_end()
            self.assertNotIn(b"0\r\n\r\n", rest)

    def test_headers_cannot_be_injected_by_the_configuration(self):
        backend = self.backend(each_request(lambda stream, request: answer(stream, body="page")))
        nginx = self.nginx("slotwire_pass web; slotwire_set_header X-Uri $uri;", server="location /r/ { rewrite ^/r/(.*)$ /x?$1 break; slotwire_pass web; }")
        self.assertEqual(self.get(nginx, "/a%0d%0aX-Evil:%201")[0], 500)
        self.assertEqual(self.get(nginx, "/r/a%0d%0aX-Evil:%201")[0] >= 400 or "X-Evil" not in backend.requests[-1], True)
        self.assertFalse(any("X-Evil" in request for request in backend.requests))


class Retries(WebTest):
    def two(self, first, second, location="", **options):
        """Backends behind `web` and `other`, the first of which is asked first."""
        self.first = self.backend(first)
        self.second = self.backend(second, "other")
        return self.nginx(f"slotwire_pass both; {location}", http="upstream both { slotwire_service web weight=100 max_fails=0; slotwire_service other; }", **options)

    good = staticmethod(each_request(lambda stream, request: answer(stream, body=f"second {len(request.body)}")))

    @staticmethod
    def drop(stream):
        stream.read_request()
        stream.close()

    def test_what_failed_is_tried_on_another_server(self):
        nginx = self.two(self.drop, self.good, "client_max_body_size 10m; client_body_buffer_size 8k;")
        self.assertEqual(self.get(nginx)[::2], (200, b"second 0"))
        self.assertEqual(self.get(nginx, method="PUT", body=bytes(100000))[::2], (200, b"second 100000"))
        nginx.wait_for_log("prematurely closed connection|peer closed it")

    def test_a_second_try_is_told_what_is_left_of_the_deadline(self):
        nginx = self.two(each_request(lambda stream, request: stream.is_at_end()), self.good, "slotwire_deadline 60s; slotwire_read_timeout 3s;")
        self.assertEqual(self.get(nginx)[::2], (200, b"second 0"))
        first, second = int(self.first.requests[0]["Slotwire-Timeout"]), int(self.second.requests[0]["Slotwire-Timeout"])
        self.assertLessEqual(first, 60000)
        self.assertLessEqual(second, first - 1000)

    def test_what_is_not_idempotent_is_not_repeated_once_it_was_sent(self):
        nginx = self.two(self.drop, self.good)
        for method in ("POST", "PATCH", "LOCK"):
            self.assertEqual(self.get(nginx, method=method, body=b"x")[0], 502)
        self.assertEqual(self.second.requests, [])

    def test_non_idempotent_allows_it(self):
        nginx = self.two(self.drop, self.good, "slotwire_next_upstream error timeout non_idempotent;")
        self.assertEqual(self.get(nginx, method="POST", body=b"x")[::2], (200, b"second 1"))

    def test_an_unbuffered_body_is_not_repeated(self):
        nginx = self.two(self.drop, self.good, "slotwire_request_buffering off;")
        self.assertEqual(self.get(nginx, method="PUT", body=bytes(100000))[0], 502)
        self.assertEqual(self.second.requests, [])

    def test_next_upstream_off_and_tries(self):
        nginx = self.two(self.drop, self.drop, "slotwire_next_upstream off;", server="location /one { slotwire_pass both; slotwire_next_upstream_tries 1; } location /two { slotwire_pass both; }")
        self.assertEqual(self.get(nginx)[0], 502)
        self.assertEqual(len(self.second.requests), 0)
        self.assertEqual(self.get(nginx, "/one")[0], 502)
        self.assertEqual(len(self.second.requests), 0)
        self.assertEqual(self.get(nginx, "/two")[0], 502)
        self.assertEqual((len(self.first.requests), len(self.second.requests)), (3, 1))

    def test_statuses_and_timeouts(self):
        def fail(stream, request):
            if request.target == "/silent":
                stream.is_at_end()
            elif request.target == "/invalid":
                stream.send("nonsense\r\n\r\n")
            else:
                answer(stream, request.target.strip("/") + " Failed", body="first")

        nginx = self.two(each_request(fail), self.good, """slotwire_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504 http_403 http_404 http_429;""",
                         server="location = /silent { slotwire_pass both; slotwire_read_timeout 3s; } location = /plain/500 { rewrite ^ /500 break; slotwire_pass both; } location = /plain/invalid { rewrite ^ /invalid break; slotwire_pass both; }")
        for target in ("/500", "/502", "/503", "/504", "/403", "/404", "/429", "/silent", "/invalid"):
            with self.subTest(target):
                self.assertEqual(self.get(nginx, target)[::2], (200, b"second 0"))
        self.assertEqual(self.get(nginx, "/401")[0], 401)
        self.assertEqual(self.get(nginx, "/plain/500")[::2], (500, b"first"))
        self.assertEqual(self.get(nginx, "/plain/invalid")[0], 502)

    def test_a_response_that_has_begun_is_not_replaced(self):
        def half(stream):
            stream.read_request()
            stream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            stream.close()

        nginx = self.two(half, self.good)
        client = self.client(nginx)
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        with self.assertRaises(EOFError):
            client.read_response()
        self.assertEqual(self.second.requests, [])

    def test_what_a_server_did_not_begin_may_be_tried_again_whatever_it_is(self):
        refuse = each_request(lambda stream, request: answer(stream, "503 Busy", fields="Slotwire-Unprocessed: 1\r\n", body="busy"))
        nginx = self.two(refuse, self.good, "client_body_buffer_size 8k; client_max_body_size 10m;",
                         server="location /off { slotwire_pass both; slotwire_next_upstream off; } location /streamed { slotwire_pass both; slotwire_request_buffering off; }")
        for body in (b"x", bytes(100000)):
            self.assertEqual(self.get(nginx, method="POST", body=body)[::2], (200, b"second %d" % len(body)))
        status, fields, body = self.get(nginx, "/off", method="POST", body=b"x")
        self.assertEqual((status, body), (503, b"busy"))
        self.assertNotIn("slotwire-unprocessed", fields)
        nginx.wait_for_log('the process that serves "[a-z]+" began nothing of the request')
        self.assertEqual(self.get(nginx, "/streamed", method="POST", body=bytes(100000))[0], 503)

    def test_a_503_without_the_mark_is_an_answer(self):
        nginx = self.two(each_request(lambda stream, request: answer(stream, "503 Busy", body="busy")), self.good)
        self.assertEqual(self.get(nginx, method="POST", body=b"x")[::2], (503, b"busy"))
        self.assertEqual(self.get(nginx)[::2], (503, b"busy"))

    def test_everybody_refuses(self):
        refuse = each_request(lambda stream, request: answer(stream, "503 Busy", fields="Slotwire-Unprocessed: 1\r\n", body="busy"))
        nginx = self.two(refuse, refuse)
        self.assertEqual(self.get(nginx, method="POST", body=b"x")[::2], (503, b"busy"))
        self.assertLessEqual(len(self.first.requests) + len(self.second.requests), 10)

    def test_an_idle_connection_that_was_closed_is_not_used(self):
        """A server that closes each connection after an answer, without having said so."""
        def once(stream):
            stream.read_request()
            answer(stream, body="page")
            stream.close()

        backend = self.backend(once)
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1;")
        client = self.client(nginx)
        for _ in range(50):
            self.assertEqual(client.get("/")[::2], (200, b"page"))

    def test_connections_that_end_all_at_once_are_replaced(self):
        """Every idle connection ends, which the worker finds when a request begins: a POST goes to a new one."""
        streams, begun = [], []

        def keep(stream):
            streams.append(stream)
            stream.told = False
            while True:
                stream.read_request()
                begun.append(stream.told)
                answer(stream, body="page")

        self.backend(keep)
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1;")
        client = self.client(nginx)
        for _ in range(20):
            self.assertEqual(client.get("/", method="POST", body=b"x")[::2], (200, b"page"))
            while len(streams) < 2:
                time.sleep(0.01)  # the one that was used, and the spare one
            worker = nginx.worker_pids()[0]
            os.kill(worker, signal.SIGSTOP)  # the request comes first, and both are there when it is looked at
            client.send("POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 1\r\n\r\nx")
            for stream in streams:
                stream.told = True
                try:
                    stream.send("HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n")
                except OSError:
                    pass
            streams.clear()
            time.sleep(0.1)
            os.kill(worker, signal.SIGCONT)
            self.assertEqual(client.read_response()[::2], (200, b"page"))
        self.assertNotIn(True, begun)

    def test_drain_notices(self):
        """A server that says that it ends: nothing is begun on the connection, even when the request is a POST."""
        def notify(stream):
            stream.read_request()
            answer(stream, body="page")
            stream.send("HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n")
            while not stream.is_at_end():
                stream.read_request()
                stream.backend.crossed.append(1)
                answer(stream, fields="Connection: close\r\n", body="page")

        backend = self.backend(notify)
        backend.crossed = []
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1;")
        client = self.client(nginx)
        for _ in range(50):
            got = client.get("/", method="POST", body=b"x")[::2]
            self.assertEqual(got, (200, b"page"), nginx.log()[-3000:])
        self.assertGreater(backend.connections, 20)


class Choice(WebTest):
    def name(self, name, count):
        def serve(stream, request):
            count[name] = count.get(name, 0) + 1
            answer(stream, body=name)
        return each_request(serve)

    def test_weights_backup_and_down(self):
        count = {}
        for service in ("web", "other", "third"):
            self.backend(self.name(service, count), service)
        nginx = self.nginx("slotwire_pass both;", http="upstream both { slotwire_service web weight=3; slotwire_service other; slotwire_service third backup; }",
                           server="location /down { slotwire_pass down; } location /backup { slotwire_pass backup; }",
                           pool="""upstream down { slotwire_service web down; slotwire_service other; }
                                   upstream backup { slotwire_service nobody max_fails=1; slotwire_service third backup; }""")
        client = self.client(nginx)
        for _ in range(40):
            client.get("/")
        self.assertEqual(count, {"web": 30, "other": 10})
        for _ in range(5):
            self.assertEqual(client.get("/down")[2], b"other")
        for _ in range(5):
            self.assertEqual(self.get(nginx, "/backup")[2], b"third")

    def test_requests_go_to_the_process_with_the_fewest_of_them(self):
        """Two processes of one service: while one is held up, the other one gets the requests."""
        release = threading.Event()
        self.addCleanup(release.set)
        held = threading.Event()
        names = []

        def serve(name):
            def handle(stream, request):
                if request.target == "/hold":
                    held.set()
                    release.wait(30)
                answer(stream, body=name)
            return each_request(handle)

        self.backend(serve("one"))
        self.backend(serve("two"))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=8;")
        slow = self.client(nginx)
        slow.send("GET /hold HTTP/1.1\r\nHost: example.test\r\n\r\n")
        self.assertTrue(held.wait(30))
        client = self.client(nginx)
        names = [client.get("/")[2] for _ in range(20)]
        release.set()
        self.assertEqual(set(names), {b"one", b"two"} - {slow.read_response()[2]})

    def test_a_process_that_fails_is_left_alone(self):
        """One of two processes breaks each connection: after max_fails it is asked no more."""
        bad = self.backend(Retries.drop)
        good = self.backend(each_request(lambda stream, request: answer(stream, body="good")))
        nginx = self.nginx("slotwire_pass group;", http="upstream group { slotwire_service web max_fails=2 fail_timeout=60s; }", pool="slotwire_pool spare=8;")
        for _ in range(40):
            self.assertEqual(self.get(nginx)[::2], (200, b"good"))
        self.assertLessEqual(len(bad.requests), 3)

    def test_configurations_that_are_refused(self):
        import subprocess
        wrong = {
            "upstream u { slotwire_service web; server 127.0.0.1:1; }": "slotwire_service and server together: put them into two upstream blocks",
            "upstream u { server 127.0.0.1:1; }": "not made of slotwire_service alone",
            "upstream u { slotwire_service web; keepalive 4; }": "not made of slotwire_service alone",
            "upstream u { slotwire_service web; zone z 64k; }": "remove it (slotwire_limits zone= counts for all workers)",
            "upstream u { least_conn; slotwire_service web; }": "remove the other load balancing method",
            "upstream u { slotwire_service web backup; slotwire_service mail backup; }": 'with "backup" alone: remove it from one',
            "upstream u { slotwire_service web weight=0; }": "invalid parameter",
            "upstream u { slotwire_service \"no such\"; }": "\"no such\" is no name of a service: expected 1 to 63 letters, digits",
            "upstream u { " + "slotwire_service web; " * 65 + "}": "more than 64 services in upstream \"u\": make several of it",
            "upstream u { slotwire_service web; } slotwire_set_header Slotwire-Timeout 1;": "use slotwire_deadline",
            "upstream u { slotwire_service web; } slotwire_pool max=0;": "invalid parameter",
            "upstream u { slotwire_service web; } slotwire_pool spare=9 max=8;": "is more than",
            "upstream u { slotwire_service web; } slotwire_ring request=5000;": "a power of two",
            "upstream u { slotwire_service web; } slotwire_buffers 1 4k;": "at least 2",
            "upstream u { slotwire_service web; } slotwire_pool spair=4;":
                'invalid parameter "spair=4" of slotwire_pool: did you mean "spare="? expected spare=N from 0 to 1000000, max=N',
            "upstream u { slotwire_service web; } slotwire_pool sprae=4;": 'did you mean "spare="?',
            "upstream u { slotwire_service web; } slotwire_pool SPARE=4;": 'did you mean "spare="?',
            "upstream u { slotwire_service web; } slotwire_pool other=4;": 'of slotwire_pool: expected spare=N',
            "upstream u { slotwire_service web; } slotwire_pool idle=4x;": "expected idle=TIME, as 500ms",
            "upstream u { slotwire_service web; } slotwire_limits request=4;": 'did you mean "requests="?',
            "upstream u { slotwire_service web; } slotwire_limits retries=4;": "expected retries=N%, 1% to 100%",
            "upstream u { slotwire_service web; } slotwire_limits zone=small:4k;": "expected zone=NAME:SIZE",
            "upstream u { slotwire_service web; } slotwire_limits zone=limits;": "expected zone=NAME:SIZE",
            "upstream u { slotwire_service web; } slotwire_cache_path %DIR%/cache keys_zone=one:1m; slotwire_limits zone=one:1m;":
                'the zone "one" is used by another directive already: give that of slotwire_limits another name',
            "upstream u { slotwire_service web; } slotwire_limits zone=one:1m zone=two:1m;": 'slotwire_limits has the zone "one" already: leave "zone=two:1m" out',
            "upstream u { slotwire_service web wieght=2; }": 'did you mean "weight="? expected weight=N from 1 on',
            "upstream u { slotwire_service web backup=1; }": 'did you mean "backup"?',
            "upstream u { slotwire_service web; } slotwire_next_upstream eror timeout;":
                'invalid value "eror" of slotwire_next_upstream: did you mean "error"? expected error, timeout',
            "upstream u { slotwire_service web; } slotwire_read_timeout 5x;": "has an invalid value: expected TIME",
            "upstream u { slotwire_service web; } slotwire_buffer_size 0;": '"slotwire_buffer_size" must be at least 1k',
            "upstream u { slotwire_service web; } slotwire_buffer_size 1;": '"slotwire_buffer_size" must be at least 1k',
            "upstream u { slotwire_service web; } slotwire_buffer_size x;": "has an invalid value: expected SIZE",
            "upstream u { slotwire_service web; } slotwire_next_upstream_tries x;": "has an invalid value: expected a number",
        }
        passes = {"slotwire_pass http://u;": 'no "http://"', "slotwire_pass u/;": "no slash at its end"}
        cases = [("slotwire_pass u;", *case) for case in wrong.items()]
        cases += [(location, "upstream u { slotwire_service web; }", expected) for location, expected in passes.items()]
        long_socket = "/run/" + "x" * 103
        cases.append(("return 200;", "", "the path has 108 bytes, and a socket's has 107 at most"))
        sockets = {"return 200;": long_socket, "return 201;": "''", "return 202;": "run/slotwire.sock"}
        cases += [(location, "", "is no absolute path; give that of the node's control socket")
                  for location in ("return 201;", "return 202;")]
        nginx = self.nginx("return 200;")
        for location, http, expected in cases:
            with self.subTest(location + http):
                nginx.write(self.http(location, http, "", "", socket=sockets.get(location, "")))
                got = subprocess.run(["nginx", "-t", "-e", "stderr", "-c", nginx.config], capture_output=True, text=True, timeout=30,
                                     env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
                self.assertNotEqual(got.returncode, 0, got.stderr)
                self.assertIn(expected, got.stderr)
    expected_alerts = r"exited on signal 9|\[emerg\]"

    def test_proxy_pass_to_services_is_refused(self):
        nginx = self.nginx("proxy_pass http://group;", http="upstream group { slotwire_service web; }")
        self.assertEqual(self.get(nginx)[0], 500)
        nginx.wait_for_log("use slotwire_pass instead of proxy_pass")


class Clients(WebTest):
    def test_a_client_that_goes_is_an_abort_at_the_far_end(self):
        began, ended = threading.Event(), threading.Event()

        def wait(stream, request):
            if request.target == "/half":
                stream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            began.set()
            if stream.is_at_end():
                ended.set()

        self.backend(each_request(wait))
        nginx = self.nginx("slotwire_pass web;", server="location /ignored { slotwire_pass web; slotwire_ignore_client_abort on; slotwire_read_timeout 2s; }")
        for target in ("/", "/half"):
            began.clear()
            ended.clear()
            client = self.client(nginx)
            client.send(f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n")
            self.assertTrue(began.wait(30))
            client.close()
            self.assertTrue(ended.wait(30), "the server did not learn that the client had gone")
        self.assertIn('" 499 ', nginx.access()[0])
        began.clear()
        ended.clear()
        client = self.client(nginx)
        client.send("GET /ignored HTTP/1.1\r\nHost: example.test\r\n\r\n")
        self.assertTrue(began.wait(30))
        client.close()
        self.assertFalse(ended.wait(0.5), "the request was aborted though slotwire_ignore_client_abort is on")

    def test_an_upload_that_breaks_off_is_an_abort(self):
        ended = threading.Event()
        sizes = []

        def count(stream):
            stream.read_request(body=False)
            try:
                while True:
                    stream._more()
                    sizes.append(len(stream.buffered))
            except (EOFError, OSError):
                ended.set()

        self.backend(count)
        nginx = self.nginx("slotwire_pass web; slotwire_request_buffering off; client_max_body_size 100m;")
        client = self.client(nginx)
        client.send(b"POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 10000000\r\n\r\n" + bytes(100000))
        while not sizes:
            time.sleep(0.01)
        client.close()
        self.assertTrue(ended.wait(30))

    def test_websockets_and_other_upgrades(self):
        def upgrade(stream):
            request = stream.read_request()
            if request["Upgrade"] != "echo" or request["Connection"] != "upgrade":
                return answer(stream, "400 No", body="no upgrade")
            stream.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nfirst words ")
            while True:
                stream._more()
                stream.send(stream.buffered.upper())
                stream.buffered = b""

        backend = self.backend(upgrade)
        nginx = self.nginx("slotwire_pass web; slotwire_set_header Upgrade $http_upgrade; slotwire_set_header Connection upgrade;",
                           server="location /plain { slotwire_pass web; }")
        client = self.client(nginx)
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly ")
        self.assertEqual(client.head()[0], "HTTP/1.1 101 Switching Protocols")
        client.until(b"first words ")
        client.until(b"EARLY ")
        body = os.urandom(4 * MEGABYTE).hex().encode()
        sender = threading.Thread(target=client.send, args=(body,))
        sender.start()
        self.assertEqual(client.exactly(len(body)), body.upper())
        sender.join()
        self.assertEqual(self.get(nginx, "/plain", fields="Upgrade: echo\r\nConnection: upgrade\r\n")[0], 400)

    def test_back_pressure_of_an_unbuffered_upload(self):
        release, taken = threading.Event(), []

        def slow(stream):
            request = stream.read_request(body=False)
            release.wait(60)
            taken.append(len(stream.body(request.fields)))
            answer(stream, body="taken")

        self.backend(slow)
        nginx = self.nginx("slotwire_pass web; slotwire_request_buffering off; client_max_body_size 1g; client_body_buffer_size 64k;")
        client = self.client(nginx)
        size = 256 * MEGABYTE
        client.send(f"POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: {size}\r\n\r\n")
        client.socket.settimeout(1.0)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < size:
                sent += client.socket.send(bytes(MEGABYTE))
        self.assertLess(sent, 64 * MEGABYTE, "what nobody reads was buffered")
        release.set()
        client.socket.settimeout(60)
        while sent < size:
            sent += client.socket.send(bytes(min(MEGABYTE, size - sent)))
        self.assertEqual(client.read_response()[2], b"taken")
        self.assertEqual(taken, [size])

    def test_back_pressure_of_an_unbuffered_download(self):
        sent = []

        def large(stream, request):
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {256 * MEGABYTE}\r\n\r\n")
            for _ in range(256):
                stream.send(bytes(MEGABYTE))
                sent.append(1)

        self.backend(each_request(large))
        nginx = self.nginx("slotwire_pass web; slotwire_buffering off;", server="location /no-file { slotwire_pass web; slotwire_max_temp_file_size 0; }")
        for target in ("/", "/no-file"):
            sent.clear()
            client = self.client(nginx)
            client.send(f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n")
            client.head()
            before = -1
            while len(sent) != before:
                before = len(sent)
                time.sleep(0.5)
            self.assertLess(before, 64, "what nobody reads was buffered")
            total = len(client.buffered)
            client.buffered = b""
            while total < 256 * MEGABYTE:
                total += len(client.socket.recv(MEGABYTE))
            self.assertEqual(total, 256 * MEGABYTE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
