"""A real nginx with the module on one node, backends behind another one, and a client that sees every byte."""
import os
import re
import shutil
import signal
import socket
import threading
import time
import unittest

from nodes import BIN, SLOTWIRE, TIMEOUT, NodeTest, Process, free_port, run

MODULE = os.environ.get("SLOTWIRE_NGINX_MODULE", os.path.join(BIN, "..", "lib", "ngx_http_slotwire_module.so"))
MEGABYTE = 1 << 20


class Backend(threading.Thread):
    """An HTTP server that does what the test says: `handle(stream)` for each connection, in a thread of its own."""

    def __init__(self, address, handle):
        super().__init__(daemon=True)
        self.listener = socket.create_server((address, 0), backlog=512)
        self.address, self.port = self.listener.getsockname()[:2]
        self.handle = handle
        self.lock = threading.Lock()
        self.requests = []  # of what read_request() returned, in order
        self.connections = 0
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        with connection:
            try:
                self.handle(Stream(connection, self))
            except (OSError, EOFError):
                pass  # the other end broke off: what the test expects is seen there

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Request:
    def __init__(self, line, fields):
        self.line = line
        self.method, self.target, self.version = line.split(" ", 2)
        self.fields = fields
        self.body = b""

    def __getitem__(self, name):
        """The values of a field, in order, joined."""
        return ", ".join(value for key, value in self.fields if key.lower() == name.lower())

    def __contains__(self, name):
        return any(key.lower() == name.lower() for key, _ in self.fields)


class Stream:
    """One end of an HTTP/1.1 connection, byte by byte."""

    def __init__(self, connection, backend=None):
        self.socket = connection
        self.backend = backend
        self.buffered = b""

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        self.buffered += piece

    def until(self, mark):
        while mark not in self.buffered:
            self._more()
        found, self.buffered = self.buffered.split(mark, 1)
        return found

    def exactly(self, count):
        found = bytearray(self.buffered[:count])
        self.buffered = self.buffered[count:]
        while len(found) < count:
            piece = self.socket.recv(min(count - len(found), MEGABYTE))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)

    def to_end(self):
        try:
            while True:
                self._more()
        except EOFError:
            found, self.buffered = self.buffered, b""
            return found

    def is_at_end(self):
        """Waits: closed (in whatever way) with nothing more to read?"""
        try:
            self._more()
            return False
        except (EOFError, ConnectionError):
            return not self.buffered

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return lines[0], [tuple(line.split(": ", 1)) for line in lines[1:]]

    def body(self, fields):
        values = {key.lower(): value for key, value in fields}
        if values.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                body += self.exactly(size)
                self.until(b"\r\n")
                if size == 0:
                    return body
        return self.exactly(int(values["content-length"])) if "content-length" in values else None

    def read_request(self, body=True):
        line, fields = self.head()
        request = Request(line, fields)
        if self.backend:
            with self.backend.lock:
                self.backend.requests.append(request)
        if body:
            request.body = self.body(fields) or b""
        return request

    def read_response(self, method="GET"):
        """(status, fields by lower-case name, body)"""
        line, fields = self.head()
        status = int(line.split(" ")[1])
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        else:
            body = self.body(fields)
            if body is None:
                body = self.to_end()
        values = {}
        for key, value in fields:
            values.setdefault(key.lower(), []).append(value)
        return status, {key: ", ".join(value) for key, value in values.items()}, body

    def get(self, target, method="GET", fields="", body=b"", host="example.test"):
        length = f"Content-Length: {len(body)}\r\n" if body or method in ("POST", "PUT", "PATCH") else ""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}{fields}\r\n".encode("latin-1") + body)
        return self.read_response(method)

    def close(self):
        self.socket.close()


def answer(stream, status="200 OK", fields="", body=b""):
    body = body.encode("latin-1") if isinstance(body, str) else body
    stream.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode("latin-1") + body)


def each_request(handle):
    """A backend's `handle`: `handle(stream, request)` for each request of a kept connection."""
    def serve(stream):
        while True:
            handle(stream, stream.read_request())
    return serve


class Nginx:
    def __init__(self, directory, address, http, top="", prefix=(), workers=1):
        self.directory = directory
        os.makedirs(os.path.join(directory, "temp"))
        self.port = free_port(address)
        self.address = address
        self.error_log = os.path.join(directory, "error.log")
        self.access_log = os.path.join(directory, "access.log")
        self.config = os.path.join(directory, "nginx.conf")
        self.prefix = list(prefix)
        self.workers = workers
        self.top = top
        self.write(http)
        self.process = None

    def write(self, http):
        paths = "".join(f"{kind}_temp_path {self.directory}/temp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        http = http.replace("%LISTEN%", f"{self.address}:{self.port}").replace("%DIR%", self.directory)
        with open(self.config, "w") as file:
            file.write(f"""{self.top} daemon off; worker_processes {self.workers}; {user} pid {self.directory}/pid;
                error_log {self.error_log} info; worker_shutdown_timeout 30s;
                events {{ use epoll; worker_connections 2048; }}
                http {{ access_log {self.access_log}; {paths} {http} }}""")

    def start(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = Process([*self.prefix, program, "-e", self.error_log, "-c", self.config])
        self.wait_for_log(r"start worker process \d+")
        self.connect().close()

    def log(self):
        with open(self.error_log, errors="replace") as file:
            return file.read()

    def wait_for_log(self, pattern, count=1):
        """Waits until the log has `pattern` so many times; returns the matches."""
        end = time.monotonic() + TIMEOUT
        while True:
            found = list(re.finditer(pattern, self.log())) if os.path.exists(self.error_log) else []
            if len(found) >= count:
                return found
            if self.process.process.poll() is not None:
                raise AssertionError(f"nginx ended before '{pattern}':\n{self.process.output()}\n{self.log()}")
            if time.monotonic() > end:
                raise AssertionError(f"nginx did not log '{pattern}' {count} times:\n{self.log()[-8000:]}")
            time.sleep(0.01)

    def connect(self):
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                return Stream(socket.create_connection((self.address, self.port), timeout=TIMEOUT))
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise

    def signal(self, which):
        self.process.process.send_signal(which)

    def worker_pids(self):
        return [int(pid) for pid in os.popen(f"pgrep -P {self.process.pid}").read().split()]

    def access(self):
        with open(self.access_log) as file:
            return file.read().splitlines()

    def stop(self):
        return self.process.stop(signal.SIGQUIT)


class WebTest(NodeTest):
    """nginx on the node `left`; the node `right` serves what the test says."""
    services = {"right": ["web", "other", "third", "nobody"], "left": []}

    def setUp(self):
        if not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
            self.skipTest("nginx is not installed: see scripts/install-deps")
        if not os.path.exists(MODULE):
            self.skipTest("the nginx module is not built: see scripts/install-deps")
        super().setUp()
        self.nginxes = []
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()
        for nginx in self.nginxes:
            self.assertEqual(nginx.stop(), 0, nginx.log()[-8000:])
            bad = [line for line in nginx.log().splitlines() if re.search(r"\[(alert|emerg|crit)\]|open socket", line)
                   and not re.search(self.expected_alerts, line)]
            self.assertEqual(bad, [])
        super().tearDown()

    expected_alerts = r"exited on signal 9"

    def backend(self, handle, service="web", node=None):
        """A backend behind `slotwire tunnel serve`."""
        node = node or self.right
        backend = Backend(self.addresses[node.name], handle)
        self.addCleanup(backend.close)
        backend.tunnel = self.tunnel(f"{backend.address}:{backend.port}", service, node)
        return backend

    def tunnel(self, address, service="web", node=None):
        tunnel = self.start(["tunnel", "serve", service, address, "-q"], node or self.right)
        tunnel.wait_for("connections to service")
        return tunnel

    def nginx(self, location, http="", server="", top="", workers=1, pool="", socket="", **options):
        """An nginx whose `location /` is `location`."""
        directory = os.path.join(self.directory, f"nginx{len(self.nginxes)}")
        os.mkdir(directory)
        nginx = Nginx(directory, self.addresses["left"], self.http(location, http, server, pool, socket), f"load_module {os.path.abspath(MODULE)}; {top}",
                      workers=workers, **options)
        nginx.start()
        self.nginxes.append(nginx)
        return nginx

    def http(self, location, http="", server="", pool="", socket=""):
        return f"""slotwire_socket {socket or self.left.socket}; slotwire_temp_path %DIR%/temp/slotwire; {pool} {http}
            server {{ listen %LISTEN%; server_name example.test; {server} location / {{ {location} }} }}"""

    def client(self, nginx):
        stream = nginx.connect()
        self.clients.append(stream)
        return stream

    def get(self, nginx, target="/", **options):
        stream = nginx.connect()
        try:
            return stream.get(target, **options)
        finally:
            stream.close()
