"""The library for executing servers: the examples, behind two linked nodes."""
import hashlib
import os
import signal
import subprocess
import threading
import unittest

from web_nodes import BIN, MEGABYTE, WebTest, private_memory


class ExampleTest(WebTest):
    program = "example_web_hello"

    def setUp(self):
        super().setUp()
        self.server = self.start([os.path.join(BIN, self.program), "web"], self.right)
        self.server.wait_for("serving 'web'")
        self.start_front("-q")


class Hello(ExampleTest):
    def test_answers_at_once_later_and_from_another_thread(self):
        client = self.client()
        for _ in range(3):
            status, fields, body = client.get("/hello")
            self.assertEqual((status, body), (200, b"hello from slots\n"))
            self.assertNotIn("connection", fields)
            self.assertEqual(client.get("/thread")[2], b"from another thread\n")
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab")
        client.send("cde")
        self.assertEqual(client.response()[2], b"abcde")
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n")
        client.send("0A\r\n0123456789\r\n0\r\nA-Trailer: x\r\n\r\n")
        self.assertEqual(client.response()[2], b"abc0123456789")
        self.assertEqual(client.get("/nothing")[0], 404)

    def test_a_head_without_a_body(self):
        client = self.client()
        client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n")
        status, fields, body = client.response("HEAD")
        self.assertEqual((status, fields["content-length"], body), (200, ["17"], b""))
        self.assertEqual(client.get("/hello")[0], 200)

    def test_expect_100_continue(self):
        client = self.client()
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(client.head()[0], 100)
        client.send("abc")
        self.assertEqual(client.response()[2], b"abc")
        # One that nobody asks for its body gets its answer, and the connection ends.
        client.send("POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        status, fields, _ = client.response()
        self.assertEqual((status, fields["connection"]), (200, ["close"]))
        self.assertTrue(client.is_closed())

    def test_bodies_that_are_too_large_for_the_handler(self):
        client = self.client()
        client.send(f"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {MEGABYTE + 1}\r\n\r\n")
        client.send(b"x" * (MEGABYTE + 1))
        self.assertEqual(client.response()[0], 413)
        self.assertEqual(client.get("/hello")[0], 200)

    def test_requests_that_could_be_read_in_two_ways_are_refused(self):
        good = "POST /echo HTTP/1.1\r\nHost: test\r\n"
        cases = {
            "two lengths": (400, good + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
            "a list of lengths": (400, good + "Content-Length: 3, 3\r\n\r\nabc"),
            "a length with a sign": (400, good + "Content-Length: +3\r\n\r\nabc"),
            "length and coding": (400, good + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "coding twice": (400, good + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "another coding": (501, good + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "coding with a tab": (400, good + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
            "a folded line": (400, good + "X: a\r\n b\r\n\r\n"),
            "a bare line feed": (400, good + "X: a\nContent-Length: 3\r\n\r\nabc"),
            "a bare carriage return": (400, good + "X: a\rb\r\n\r\n"),
            "a nul": (400, good + "X: a\0b\r\n\r\n"),
            "a space before the colon": (400, good + "Content-Length : 3\r\n\r\nabc"),
            "no name": (400, good + ": x\r\n\r\n"),
            "no host": (400, "GET /hello HTTP/1.1\r\n\r\n"),
            "two hosts": (400, "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            "an empty line first": (400, "\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
            "another version": (505, "GET /hello HTTP/3.0\r\nHost: a\r\n\r\n"),
            "a fragment": (400, "GET /hello#x HTTP/1.1\r\nHost: a\r\n\r\n"),
            "connect": (501, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            "a large head": (431, good + "X: " + "a" * (64 << 10) + "\r\n\r\n"),
            "many fields": (431, good + "X: a\r\n" * 300 + "\r\n"),
            "a bad timeout": (400, good + "Slotwire-Timeout: 1s\r\n\r\n"),
            "a chunk without a size": (400, good + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
            "a negative chunk": (400, good + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"),
            "a chunk in 0x": (400, good + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
            "a chunk that is longer": (400, good + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
            "a chunk with a bare line feed": (400, good + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
            "a huge chunk": (400, good + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        }
        for name, (status, text) in cases.items():
            with self.subTest(name):
                client = self.client()
                client.send(text + "GET /hello HTTP/1.1\r\nHost: smuggled\r\n\r\n")
                answer = client.response()
                self.assertEqual(answer[0], status)
                self.assertTrue(client.is_closed(), "what follows is not answered")

    def test_a_request_at_one_byte_a_time(self):
        client = self.client()
        for byte in b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n":
            client.send(bytes([byte]))
        self.assertEqual(client.response()[2], b"ab")

    def test_http_1_0_is_answered_and_closed(self):
        client = self.client()
        client.send("GET /hello HTTP/1.0\r\n\r\n")
        self.assertEqual(client.response()[2], b"hello from slots\n")
        self.assertTrue(client.is_closed())


class Streams(ExampleTest):
    program = "example_web_stream"

    def test_bodies_of_a_gigabyte_both_ways(self):
        self.need("curl")
        size = 1 << 30
        upload = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
        put = subprocess.run(["curl", "-sS", "-T", "-", "-H", "Expect:", self.url + "/count"], stdin=upload.stdout,
                             capture_output=True, timeout=110)
        upload.stdout.close()
        upload.wait()
        self.assertEqual(put.stdout, b"%d\n" % size, put.stderr)
        got = subprocess.run(f"curl -sS {self.url}/zeros/{size} | sha256sum", shell=True, capture_output=True, timeout=110)
        want = hashlib.sha256()
        for _ in range(size // MEGABYTE):
            want.update(bytes(MEGABYTE))
        self.assertEqual(got.stdout.split()[0].decode(), want.hexdigest(), got.stderr)
        self.assertLess(private_memory(self.server.pid), 32 * 1024, "KiB")

    def test_a_body_is_mirrored_while_it_arrives(self):
        body = os.urandom(20 * MEGABYTE)
        client = self.client()
        client.send(f"POST /mirror HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n")
        sender = threading.Thread(target=lambda: client.send(body))
        sender.start()
        self.assertEqual(client.response()[2], body)
        sender.join()
        client.send("POST /mirror HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):  # each comes back before the next is sent
            client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            if piece == b"one":
                self.assertEqual(client.head()[0], 200)
            self.assertEqual(int(client.file.readline(), 16), len(piece))
            self.assertEqual(client.file.read(len(piece) + 2), piece + b"\r\n")
        client.send("0\r\n\r\n")
        self.assertEqual(client.file.read(5), b"0\r\n\r\n")

    def test_a_client_that_does_not_read_stops_its_handler_alone(self):
        slow = self.client()
        slow.send("GET /zeros/1000000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        slow.head()
        other = self.client()
        for _ in range(20):
            self.assertEqual(len(other.get("/zeros/1000000")[2]), 1000000)
        self.assertLess(private_memory(self.server.pid), 32 * 1024, "KiB")

    def test_the_handler_learns_that_its_client_left(self):
        client = self.client()
        client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.server.wait_for("waiting")
        client.break_off()
        self.server.wait_for("given up: the client is gone")

    def test_the_handler_learns_that_its_client_left_in_the_middle_of_a_body_that_it_does_not_read(self):
        client = self.client()
        client.send("PUT /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
        self.server.wait_for("waiting")
        client.break_off()
        self.server.wait_for("given up: the client is gone")

    def test_the_deadline_ends_a_request(self):
        client = self.client()
        status, fields, _ = client.get("/wait", "Slotwire-Timeout: 50")
        self.assertEqual(status, 504)
        self.server.wait_for("given up: the time for the request is over")
        self.assertNotIn("connection", fields)
        self.assertEqual(client.get("/zeros/3")[2], bytes(3))

    def test_draining_fails_no_request_and_ends(self):
        idle, busy, crossing = self.client(), self.client(), self.client()
        for client in (idle, busy, crossing):
            self.assertEqual(client.get("/zeros/3")[0], 200)
        busy.send("POST /mirror HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc")
        self.assertEqual(busy.head()[0], 200)
        self.assertEqual(busy.file.read(3), b"abc")
        self.server.process.send_signal(signal.SIGTERM)
        status, fields, _ = idle.head()
        self.assertEqual((status, fields), (100, {"connection": ["close"]}))
        # A request that crossed with the notice is answered, and the connection ends with it.
        self.assertEqual(crossing.head()[0], 100)
        status, fields, body = crossing.get("/zeros/3")
        self.assertEqual((status, fields["connection"], body), (200, ["close"], bytes(3)))
        self.assertTrue(crossing.is_closed())
        # One under way goes on; its notice follows.
        busy.send("def")
        self.assertEqual(busy.file.read(3), b"def")
        self.assertEqual(busy.head()[0], 100)
        self.assertIsNone(self.server.process.poll())
        busy.close()
        idle.close()
        self.assertEqual(self.server.wait(), 0)

    def test_a_client_that_stays_is_ended_at_the_drain_time(self):
        client = self.client()
        client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        self.server.wait_for("waiting")
        self.server.process.send_signal(signal.SIGTERM)
        self.server.wait_for("given up: the server was stopped")
        self.assertEqual(client.response()[0], 503)
        self.assertEqual(self.server.wait(), 0)

    def test_requests_go_on_when_slotwired_is_killed_and_started_again(self):
        client = self.client()
        self.assertEqual(client.get("/zeros/3")[0], 200)
        client.send("PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 8000000\r\n\r\n")
        client.send(bytes(1000000))
        for node in (self.left, self.right):
            node.kill()
            node.start()
        client.send(bytes(7000000))
        self.assertEqual(client.response()[2], b"8000000\n")
        again = self.client()
        self.assertEqual(again.get("/zeros/3")[0], 200)


if __name__ == "__main__":
    unittest.main()
