"""Requests that two programs may understand differently, sent through each proxy to the server: what becomes of each is asserted, and that
nothing of an attacker's request ever becomes a request, or an answer, of somebody else.

An attacker sends each of the ambiguous requests of server_strict_test.cpp, which hide a second request, while others make requests
through the same proxy, so that they share its connections to the server. The server is http_site, which says what it has taken.
"""
import os
import re
import shutil
import socket
import tempfile
import threading
import unittest

import proxies
from nodes import BIN, TIMEOUT, Process

ATTACKER, SPOOFED = "127.0.0.9", "10.9.9.9"
HIDDEN = "POST /s/hidden HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nsmuggled"
BUSY = 20  # requests of somebody else, before, while and after an attack
REQUESTS = {
    "Content-Length and Transfer-Encoding": "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "Transfer-Encoding and Content-Length": "POST {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN,
    "unequal Content-Lengths": "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nContent-Length: " + str(len(HIDDEN)) + "\r\n\r\n" + HIDDEN,
    "an unknown Transfer-Encoding": "POST {} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "Transfer-Encoding in HTTP/1.0": "POST {} HTTP/1.0\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
}
# Fields that a proxy or the server might take for an X-Forwarded-For, or for the end of the header.
INJECTIONS = {
    "a field of the proxy's own": f"X-Forwarded-For: {SPOOFED}\r\n",
    "a bare line feed": f"X-A: b\nX-Forwarded-For: {SPOOFED}\r\n",
    "a bare carriage return": f"X-A: b\rX-Forwarded-For: {SPOOFED}\r\n",
    "a folded line": f"X-A: b\r\n X-Forwarded-For: {SPOOFED}\r\n",
    "a space before the colon": f"X-Forwarded-For : {SPOOFED}\r\n",
    "an end of the header within a field": "X-A: b\n\n" + HIDDEN + "\r\n",
}


def read_all(connection):
    data = bytearray()
    try:
        while piece := connection.recv(65536):
            data += piece
    except OSError:
        pass  # reset, or nothing more comes: what came counts
    return bytes(data)


class Others(threading.Thread):
    """Somebody else's requests through the same proxy: each must get its own answer."""

    def __init__(self, proxy, target, count=BUSY, at_once=None):
        super().__init__(daemon=True)
        self.proxy, self.target, self.count, self.at_once = proxy, target, count, at_once
        self.sent, self.problems = [], []

    def run(self):
        for number in range(self.count):
            body = f"of somebody else {number}"
            try:
                with socket.create_connection((self.proxy.address, self.proxy.port), timeout=TIMEOUT) as connection:
                    connection.sendall(f"POST {self.target} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
                                       .encode())
                    head, _, answer = read_all(connection).partition(b"\r\n\r\n")
                if b" 200 " not in head.split(b"\r\n")[0] or not self.is_answer(head, answer, body):
                    self.problems.append(f"{body}: {head[:200]} {answer[:200]}")
                self.sent.append(body)
            except OSError as error:
                self.problems.append(f"{body}: {error}")

    @staticmethod
    def is_answer(head, answer, body):
        if b"chunked" in head.lower():
            return answer == b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body.encode())
        return answer == body.encode()


class Attack(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.site = Process([os.path.join(BIN, "http_site"), "127.0.0.1"])
        self.addCleanup(self.site.stop)
        self.origin = f"127.0.0.1:{self.site.wait_for(r'serving on port ([0-9]+)')[0].group(1)}"

    def taken(self):
        """(path, source, body) of all requests that the server has taken so far."""
        with self.site.changed:
            lines = [line for line in self.site.lines if line]
        return [(fields[1], fields[2], bytes.fromhex(fields[3] if len(fields) > 3 else "").decode(errors="replace"))
                for fields in (line.split(" ") for line in lines) if fields[0] == "request"]

    def others(self, target):
        others = Others(self.proxy, target)
        others.start()
        return others

    def attack(self, request, target):
        """What the attacker gets. Others make requests before, meanwhile and afterwards."""
        groups = [self.others(target)]
        groups[0].join()
        groups.append(self.others(target))
        with socket.create_connection((self.proxy.address, self.proxy.port), timeout=TIMEOUT, source_address=(ATTACKER, 0)) as connection:
            # A proxy that waits for more, or keeps the connection, shall not be waited for.
            connection.settimeout(2)
            connection.sendall(request.encode())
            got = read_all(connection)
        groups.append(self.others(target))
        for others in groups:
            others.join()
            self.assertEqual(others.problems, [], "an answer of somebody else is another one than its own")
        return got

    def statuses(self, got):
        """Of the answers on the attacker's connection."""
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]

    def check(self, make, target, *outcomes):
        """`outcomes`: of each of REQUESTS, the statuses that the attacker gets. A server that takes more requests of an attacker than that
        gets good answers has taken something out of a body."""
        self.proxy = make()
        self.addCleanup(self.proxy.stop)
        found, problems = {}, []
        for name, request in REQUESTS.items():
            before = len(self.taken())
            got = self.attack(request.format(target(self.origin), self.origin), target(self.origin))
            statuses = self.statuses(got)
            found[name] = statuses
            mine = [each for each in self.taken()[before:] if not each[2].startswith("of somebody else")]
            if len(mine) != statuses.count(200):
                problems.append(f"{name}: the server took {mine}, the attacker was answered {got}")
        self.assertEqual(problems, [])
        self.assertEqual(found, dict(zip(REQUESTS, outcomes)))

    def inject(self, make, target):
        """No field that an attacker writes says where a request comes from."""
        self.proxy = make()
        self.addCleanup(self.proxy.stop)
        for name, fields in INJECTIONS.items():
            before = len(self.taken())
            got = self.attack(f"POST {target(self.origin)} HTTP/1.1\r\nHost: {self.origin}\r\n{fields}Content-Length: 4\r\nConnection: close\r\n\r\nmine",
                              target(self.origin))
            mine = [each for each in self.taken()[before:] if not each[2].startswith("of somebody else")]
            # Where two line feeds end a header, the hidden request is the attacker's next one: its own, with an answer of its own.
            self.assertLessEqual(set(mine), {("/s/echo", ATTACKER, "mine"), ("/s/hidden", ATTACKER, "smuggled")}, (name, got))
            self.assertEqual(len(mine), self.statuses(got).count(200), (name, mine, got))


def in_path(_origin):
    return "/s/echo"


def absolute(origin):
    return f"http://{origin}/s/echo"


class Smuggling(Attack):
    def test_through_nginx(self):
        self.check(lambda: proxies.nginx(self.directory, self.origin, path="/s"), in_path, [400], [400], [400], [501], [400])

    def test_through_haproxy(self):
        self.check(lambda: proxies.haproxy(self.directory, self.origin, path="/s", more="http-reuse always"), in_path, [411], [411], [400], [400], [400])

    def test_through_varnish(self):
        self.check(lambda: proxies.varnish(self.directory, self.origin), in_path, [400], [400], [400], [400], [411])

    def test_through_apache(self):
        self.check(lambda: proxies.apache(self.directory, origin=self.origin, path="/s"), in_path, [200], [200], [400], [400], [200])

    def test_through_squid(self):
        self.check(lambda: proxies.squid(self.directory, more="server_pconn_for_nonretriable allow all"), absolute, [200, 400], [200, 400], [411], [501], [200])

    def test_through_tinyproxy(self):
        self.check(lambda: proxies.tinyproxy(self.directory), absolute, [400], [400], [200], [400], [400])

    def test_through_mitmproxy(self):
        self.check(lambda: proxies.mitmproxy(self.directory), absolute, [400], [400], [400], [400], [400])


class Injection(Attack):
    def test_fields_injected_through_nginx(self):
        self.inject(lambda: proxies.nginx(self.directory, self.origin, path="/s"), in_path)

    def test_fields_injected_through_haproxy(self):
        self.inject(lambda: proxies.haproxy(self.directory, self.origin, path="/s", more="http-reuse always"), in_path)

    def test_fields_injected_through_varnish(self):
        self.inject(lambda: proxies.varnish(self.directory, self.origin), in_path)

    def test_fields_injected_through_apache(self):
        self.inject(lambda: proxies.apache(self.directory, origin=self.origin, path="/s"), in_path)

    def test_fields_injected_through_squid(self):
        self.inject(lambda: proxies.squid(self.directory), absolute)


if __name__ == "__main__":
    unittest.main()
