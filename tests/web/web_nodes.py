"""What tests of executing servers share: two nodes, a tunnel in front of the service 'web', raw HTTP clients."""
import http.client
import os
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))
from nodes import BIN, SLOTWIRE, TIMEOUT, NodeTest, free_port, run  # noqa: E402,F401

MEGABYTE = 1 << 20


def private_memory(pid):
    """Private memory of a process, KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty", "Private_Clean")))


def eventually(condition, what, timeout=TIMEOUT):
    """Waits until `condition()` holds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.005)


def first_answered(clients):
    """The first of them that has something to read."""
    ready, _, _ = select.select([client.socket for client in clients], [], [], TIMEOUT)
    if not ready:
        raise AssertionError("nobody was answered")
    return next(client for client in clients if client.socket is ready[0])


class RawClient:
    """A connection to a web server; one response after the other, without the politeness of a library."""

    def __init__(self, address, timeout=TIMEOUT):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def head(self):
        """Status, fields (names in small letters) and the head as it came; None at the end of the stream."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                if lines:
                    raise AssertionError(f"the stream ended within a head: {lines}")
                return None
            if line == b"\r\n":
                break
            lines.append(line.decode("latin-1").rstrip("\r\n"))
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields.setdefault(name.lower(), []).append(value.strip())
        return int(lines[0].split()[1]), fields, lines

    def response(self, method="GET"):
        """The next final response: status, fields, body."""
        while True:
            found = self.head()
            if found is None:
                return None
            status, fields, _ = found
            if status >= 200 or status == 101:
                break
        body = b""
        if method == "HEAD" or status in (101, 204, 304):
            pass
        elif "chunked" in fields.get("transfer-encoding", []):
            while True:
                size = int(self.file.readline(), 16)
                body += self.file.read(size)
                if self.file.readline() != b"\r\n":
                    raise AssertionError("a chunk without an end")
                if size == 0:
                    break
        elif "content-length" in fields:
            body = self.file.read(int(fields["content-length"][0]))
            if len(body) != int(fields["content-length"][0]):
                raise AssertionError("a body that was cut off")
        else:
            body = self.file.read()
        return status, fields, body

    def get(self, target, *fields):
        self.send(f"GET {target} HTTP/1.1\r\nHost: test\r\n" + "".join(field + "\r\n" for field in fields) + "\r\n")
        return self.response()

    def is_closed(self):
        """Waits for the end of the stream, or for more bytes."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def break_off(self):
        """Leaves with a reset, as a web server leaves that closes its connection: an orderly end would be a half-close."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class WebTest(NodeTest):
    """An executing server serves 'web' on the right node; `front` is where clients of the left node reach it."""
    services = {"right": ["web"], "left": []}

    def start_front(self, *options):
        self.front_process = self.start(["tunnel", "listen", f"{self.addresses['left']}:0", "web", *options], self.left)
        match, _ = self.front_process.wait_for(r"connections to \S+:(\d+) go")
        self.front = (self.addresses["left"], int(match.group(1)))

    def client(self):
        client = RawClient(self.front)
        self.addCleanup(client.close)
        return client

    def request(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.front, timeout=TIMEOUT)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    @property
    def url(self):
        return f"http://{self.front[0]}:{self.front[1]}"


class Load:
    """Clients that ask for one page after the other; each on a connection that it keeps while it may."""

    def __init__(self, test, clients, target="/bytes/1000"):
        self.test = test
        self.target = target
        self.failures = []
        self.bodies = set()
        self.done = 0
        self.ending = False
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        client = None
        while not self.ending:
            try:
                if client is None:
                    client = RawClient(self.test.front)
                client.send(f"GET {self.target} HTTP/1.1\r\nHost: t\r\n\r\n")
                # A drain notice in front of a response is passed over; between two it closes the connection.
                status, fields, body = client.response()
                with self.changed:
                    if status != 200:
                        self.failures.append(status)
                    else:
                        self.bodies.add(body)
                    self.done += 1
                    self.changed.notify_all()
                if fields.get("connection") == ["close"] or self.noticed(client):
                    client.close()
                    client = None
            except (OSError, TypeError, AssertionError) as error:
                with self.changed:
                    self.failures.append(repr(error))
                    self.done += 1
                    self.changed.notify_all()
                client = None
        if client is not None:
            client.close()

    @staticmethod
    def noticed(client):
        client.socket.setblocking(False)
        try:
            return bool(client.file.peek(1))
        except BlockingIOError:
            return False
        finally:
            client.socket.settimeout(TIMEOUT)

    def count(self):
        with self.changed:
            return self.done

    def answered(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: self.done >= count, TIMEOUT):
                raise AssertionError(f"{self.done} instead of {count} requests were answered")

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()
