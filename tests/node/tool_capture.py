"""capture: real traffic as tshark sees it with the generated dissector."""
import http.client
import http.server
import json
import os
import socket
import subprocess
import threading
import unittest

from nodes import NodeTest, free_port, run

DISSECTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sw", "tools", "dissector", "slotwire.lua")


class Capture(NodeTest):
    def fields(self, file, *names):
        self.need("tshark")
        command = ["tshark", "-n", "-r", file, "-X", "lua_script:" + DISSECTOR, "-T", "fields", "-E", "separator=|"]
        for name in names:
            command += ["-e", name]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ, WIRESHARK_CONFIG_DIR=self.directory))
        self.assertEqual(result.returncode, 0, result.stderr)
        return [line.split("|") for line in result.stdout.splitlines()]

    def test_shows_real_traffic(self):
        self.need("tshark")
        self.serve(["echo", "--echo"], self.right)
        file = os.path.join(self.directory, "trace.pcapng")
        capture = self.start(["capture", "-w", file, "-c", "200", "--json"], self.left)
        self.start(["bench", "echo", "-d", "60s", "-s", "100"], self.left)
        self.assertEqual(capture.wait(), 0, capture.output())
        said = json.loads(capture.output())
        self.assertEqual((said["frames"], said["dropped"]), (200, 0))
        rows = self.fields(file, "frame.interface_name", "slotwire.frame_type", "slotwire.lines", "slotwire.crc_ok", "slotwire.record.kind",
                           "slotwire.record.length", "ip.src", "slotwire.epoch")
        self.assertEqual(len(rows), 200)
        self.assertEqual({row[0] for row in rows}, {"right"})
        self.assertEqual({row[3] for row in rows}, {"1"}, "every CRC is right")
        data = [row for row in rows if row[1] == "0"]
        self.assertGreater(len(data), 50)
        self.assertEqual({(row[4], row[5]) for row in data if row[4]}, {("2", "100"), ("3", "100")}, "requests and replies of 100 bytes")
        self.assertEqual({row[2] for row in data}, {"2"})
        self.assertEqual({row[6] for row in rows}, {"10.0.0.1", "10.1.0.0"}, "both directions")
        self.assertEqual(len({row[7] for row in data}), 1, "one pairing")

    def test_standard_output_and_duration(self):
        self.serve(["echo", "--echo"], self.right)
        bench = self.start(["bench", "echo", "-d", "60s", "-i", "20ms"], self.left)
        bench.wait_for("calls/s")
        result = run(["capture", "-d", "200ms", "--link", "right"], self.left, text=False)
        self.assertEqual(result.stdout[:4], bytes.fromhex("0a0d0d0a"))
        self.assertRegex(result.stderr.decode(), r"[1-9]\d* frames captured, \d+ dropped")

    def test_one_at_a_time_and_unknown_links_are_refused(self):
        for command in (["capture", "-w", "/dev/null", "-d", "10ms", "-l"], ["cut"]):
            said = run([*command, "rihgt"], self.left, expect=2).stderr
            self.assertIn("there is no link to a node 'rihgt'; did you mean 'right'?; there are links to right", said)
        file = os.path.join(self.directory, "first")
        first = self.start(["capture", "-w", file, "--json"], self.left)
        self.serve(["echo", "--echo"], self.right)
        # Seen to run: its file has bytes.
        while not os.path.exists(file) or os.path.getsize(file) == 0:
            self.assertIsNone(first.process.poll(), first.output())
            run(["ping", "echo", "-c", "1"], self.left)
        result = run(["capture", "-w", "/dev/null", "-d", "1ms"], self.left, expect=None)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("another capture", result.stderr)
        self.assertEqual(first.stop(), 0)

    def test_one_that_has_ended_makes_room_though_no_frame_comes(self):
        self.right.kill()  # nothing is sent any more but what the carrier tries
        for _ in range(3):
            run(["capture", "-w", "/dev/null", "-d", "1ms"], self.left)
        self.right.start()

    def test_decodes_calls(self):
        self.serve(["echo", "--echo"], self.right)
        capture = self.start(["capture", "--decode", "auto", "-c", "20"], self.left)
        self.start(["bench", "echo", "-d", "60s", "-s", "100"], self.left)
        self.assertEqual(capture.wait(), 0, capture.output())
        self.assertEqual(capture.count(r"^\d\d:\d\d:\d\d\.\d{6}  (to|from) right slot \d+  echo  records "), 20, capture.output())
        self.assertGreater(capture.count(r"to right .* call \d+ id \d+, 100 bytes"), 5, capture.output())
        self.assertGreater(capture.count(r"from right .* reply id \d+, 100 bytes"), 5, capture.output())

    def test_decodes_http_and_says_what_is_none(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"hello")
            do_HEAD = do_POST = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((self.addresses["right"], 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        port = free_port(self.addresses["left"])
        self.start(["tunnel", "serve", "web", f"{self.addresses['right']}:{server.server_port}"], self.right).wait_for("go to")
        self.start(["tunnel", "listen", f"{self.addresses['left']}:{port}", "web"], self.left).wait_for("go to service")
        capture = self.start(["capture", "--decode", "http", "--json"], self.right)
        # Seen to run: a request of a connection of its own is shown.
        while capture.count('"label":"GET"') == 0:
            client = http.client.HTTPConnection(self.addresses["left"], port, timeout=60)
            client.request("GET", "/first")
            client.getresponse().read()
            client.close()
        client = http.client.HTTPConnection(self.addresses["left"], port, timeout=60)
        client.request("POST", "/second?x=1", body=b"b" * 100_000, headers={"Content-Type": "text/plain"})
        self.assertEqual(client.getresponse().read()[:5], b"hello")
        client.close()
        capture.wait_for('"POST /second')
        with socket.create_connection((self.addresses["left"], port), timeout=60) as stranger:
            stranger.sendall(b"GET /third HTTP/1.1\r\n\r\n" + b"no http\r\n\r\n")
            capture.wait_for('"invalid":true')
        self.assertEqual(capture.stop(), 0)
        rows = [json.loads(line) for line in capture.output().splitlines() if '"label"' in line]
        post = next(row for row in rows if row["label"] == "POST")
        self.assertEqual((post["link"], post["service"], post["outgoing"], post["language"], post["text"]),
                         ("left", "web", False, "http", "POST /second?x=1, 100000 bytes"))
        self.assertIn((True, "2xx", "200 OK, 5 bytes"), {(row["outgoing"], row["label"], row["text"]) for row in rows})

    def test_the_end_of_slotwired_ends_it(self):
        file = os.path.join(self.directory, "trace.pcapng")
        capture = self.start(["capture", "-w", file], self.left)
        self.serve(["echo", "--echo"], self.right)
        # Seen to run: frames are counted once its reader has the file's first bytes.
        while not os.path.exists(file) or os.path.getsize(file) == 0:
            run(["ping", "echo", "-c", "1"], self.left)
        self.left.kill()
        self.assertEqual(capture.wait(), 69, capture.output())
        self.left.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
