#!/usr/bin/env python3
"""What slotwired says of links over HTTP: where it listens, what is wrong in its configuration, and why a link is not up."""
import contextlib
import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "node"))
from nodes import SLOTWIRE, SLOTWIRED, TIMEOUT, Node, free_port, run  # noqa: E402

LINK = '[[link]]\npeer = "b"\ncarrier = "auto"\ndial = true\n'


class Failures(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        # Proxies that the machine has configured are none of the test's business.
        proxies = mock.patch.dict(os.environ, {name: "" for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")})
        proxies.start()
        self.addCleanup(proxies.stop)

    def node(self, name, config):
        node = Node(self.directory, name, config)
        node.start()
        self.addCleanup(node.stop)
        return node

    def refused(self, config):
        """What a check of the configuration, and a start with it, say: they must be the same."""
        node = Node(self.directory, "a", config)
        said = []
        for arguments in (("--check",), ()):
            result = subprocess.run([SLOTWIRED, "-c", node.config, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
            self.assertEqual(result.returncode, 78, result.stderr)
            said.append(result.stderr)
        self.assertEqual(said[0], said[1])
        return said[0].replace(node.config, "a.toml")

    def test_a_node_says_where_it_listens(self):
        port = free_port()
        node = self.node("b", f'[listen]\ncontrol = "127.0.0.1:0"\nhttp = "127.0.0.1:{port}"\ntcp = "127.0.0.1:0"\nudp = "127.0.0.1:0"\n'
                              '[[link]]\npeer = "a"\ncarrier = "auto"\ndial = false\n')
        node.engine.wait_for(r"info .*control connections on 127\.0\.0\.1:[1-9]\d*")
        node.engine.wait_for(rf"info .*links over HTTP on 127\.0\.0\.1:{port}: plain HTTP, path /slotwire")
        node.engine.wait_for(r"info .*carrier tcp on 127\.0\.0\.1:[1-9]\d*")
        node.engine.wait_for(r"info .*carrier udp on 127\.0\.0\.1:[1-9]\d*")

    def test_an_invalid_url_is_refused_by_the_check_and_the_start(self):
        said = self.refused(LINK + 'http = ["example.org/slotwire"]\n[http]\npath = "slotwire"\nproxy = "socks5://p:1"\n'
                                   'proxy_user = "me"\ntrusted_proxies = ["front"]\n')
        for place, key in (("8:8", "link.http"), ("10:8", "http.path"), ("11:9", "http.proxy"), ("12:14", "http.proxy_user"),
                           ("13:19", "http.trusted_proxies")):
            self.assertIn(f"a.toml:{place}: key '{key}': ", said)

    def test_a_file_that_is_missing_is_refused_by_the_check_and_the_start(self):
        said = self.refused(LINK + 'http = ["http://127.0.0.1:1/"]\n[http]\nca = "ca.pem"\nproxy_user = "me"\nproxy_password_file = "/"\n')
        self.assertIn(f"a.toml:10:6: key 'http.ca': cannot read '{self.directory}/ca.pem': No such file or directory", said)
        self.assertIn("a.toml:12:23: key 'http.proxy_password_file': cannot read '/': it is no regular file", said)

    def test_a_failure_is_logged_once_and_shown_by_top_and_status(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(TIMEOUT)
            port = server.getsockname()[1]
            node = self.node("a", LINK + f'http = ["http://127.0.0.1:{port}/slotwire"]\n')
            # Each is tried again, and the second one fails for good.
            for answer in 3 * [b""] + 4 * [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    self.assertTrue(connection.recv(65536))
                    connection.sendall(answer)
        for reason in ("without an answer", "nothing is served at"):
            node.engine.wait_for("link to 'b' over HTTP: .*" + reason)
            self.assertEqual(node.engine.count(reason), 1, node.engine.output())
        for command in (("status",), ("top", "--once", "-i", "10ms")):
            said = run(command, node).stdout
            self.assertRegex(said, r"(?m)^ *LINK +CARRIER .*WHY")
            self.assertRegex(said, r"(?m)^ *b +auto .*over HTTP: http://127\.0\.0\.1")

    def test_top_keeps_to_the_width_of_a_terminal(self):
        node = self.node("a", LINK + f'http = ["http://127.0.0.1:{free_port()}/slotwire"]\n')
        node.engine.wait_for("refuses the connection")
        for columns, has_why in ((80, False), (130, True)):
            master, slave = os.openpty()
            self.addCleanup(os.close, master)
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            top = subprocess.Popen([SLOTWIRE, "top", "--once", "-i", "10ms", "--socket", node.socket], stdout=slave)
            os.close(slave)
            said = b""
            with contextlib.suppress(OSError):  # the end of a terminal
                while piece := os.read(master, 65536):
                    said += piece
            self.assertEqual(top.wait(TIMEOUT), 0)
            lines = re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()
            self.assertEqual(any("control connection down" in line for line in lines), has_why, lines)
            self.assertLessEqual(max(len(line.rstrip()) for line in lines), columns, lines)

    def test_a_caller_over_http_is_shown_without_a_port(self):
        port = free_port()
        node = self.node("b", f'[listen]\nhttp = "127.0.0.1:{port}"\n[[link]]\npeer = "a"\ncarrier = "auto"\ndial = false\n')
        run(["stream", "connect", f"http://127.0.0.1:{port}/slotwire", "--target", "control"], expect=None, input="")
        node.engine.wait_for(r"control connection from 127\.0\.0\.1 over HTTP ended before it said who it is")


if __name__ == "__main__":
    unittest.main()
