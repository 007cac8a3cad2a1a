"""tunnel: real TCP programs through slots."""
import hashlib
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import threading
import unittest

from nodes import NodeTest, free_port, run

MEGABYTE = 1 << 20


class Target(threading.Thread):
    """A TCP server of the test: runs `handle(socket)` for each connection in a thread of its own."""

    def __init__(self, address, handle):
        super().__init__(daemon=True)
        self.listener = socket.create_server((address, 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.handle = handle
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        with connection:
            try:
                self.handle(connection)
            except OSError:
                pass  # the other end broke off: what the test expects is seen there

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def read_to_end(connection):
    data = bytearray()
    while True:
        piece = connection.recv(65536)
        if not piece:
            return bytes(data)
        data += piece


def echo(connection):
    while True:
        piece = connection.recv(65536)
        if not piece:
            connection.shutdown(socket.SHUT_WR)
            return
        connection.sendall(piece)


class TunnelTest(NodeTest):
    def tunnel(self, port, *listen_options, serve_options=(), on=None):
        """Both ends of a tunnel to `port` of the right node's address; returns the port to connect to."""
        self.serve_end = self.start(["tunnel", "serve", "web", f"{on or self.addresses['right']}:{port}", *serve_options], self.right)
        self.serve_end.wait_for("connections to service")
        self.listen_end = self.start(["tunnel", "listen", f"{self.addresses['left']}:0", "web", *listen_options], self.left)
        match, _ = self.listen_end.wait_for(r"connections to \S+:(\d+) go")
        return int(match.group(1))

    def target(self, handle):
        target = Target(self.addresses["right"], handle)
        self.addCleanup(target.close)
        return target.port

    def connect(self, port):
        connection = socket.create_connection((self.addresses["left"], port), timeout=30)
        self.addCleanup(connection.close)
        return connection


class Streams(TunnelTest):
    def test_both_directions_carry_every_byte(self):
        port = self.tunnel(self.target(echo))
        body = os.urandom(10 * MEGABYTE)
        connection = self.connect(port)
        sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received = read_to_end(connection)
        sender.join()
        self.assertEqual(len(received), len(body))
        self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(body).digest())
        self.listen_end.wait_for("closed: both ends closed")
        self.assertRegex(self.listen_end.output(), f"{len(body)} bytes to the slot, {len(body)} from it")

    def test_each_direction_ends_by_itself(self):
        def upper_after_the_end(connection):
            connection.sendall(read_to_end(connection).upper())

        port = self.tunnel(self.target(upper_after_the_end))
        connection = self.connect(port)
        connection.sendall(b"half ")
        connection.sendall(b"closed")
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(connection), b"HALF CLOSED")

    def test_the_target_may_end_first(self):
        got = queue.Queue()

        def farewell(connection):
            connection.sendall(b"no more from here")
            connection.shutdown(socket.SHUT_WR)
            got.put(read_to_end(connection))

        port = self.tunnel(self.target(farewell))
        connection = self.connect(port)
        self.assertEqual(read_to_end(connection), b"no more from here")
        connection.sendall(b"still to there")
        connection.shutdown(socket.SHUT_WR)
        self.serve_end.wait_for("closed: both ends closed")
        self.assertEqual(got.get(timeout=30), b"still to there")

    def test_two_hundred_connections_at_once(self):
        port = self.tunnel(self.target(echo))
        connections = [self.connect(port) for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.sendall(number.to_bytes(4, "big") * 1000)
            connection.shutdown(socket.SHUT_WR)
        for number, connection in enumerate(connections):
            self.assertEqual(read_to_end(connection), number.to_bytes(4, "big") * 1000)

    def test_connections_beyond_the_limit_wait_for_their_turn(self):
        port = self.tunnel(self.target(echo), "-n", "4", serve_options=("-n", "2"))
        connections = [self.connect(port) for _ in range(12)]
        for number, connection in enumerate(connections):
            connection.sendall(bytes([number]) * 100)
            connection.shutdown(socket.SHUT_WR)
        for number, connection in enumerate(connections):
            self.assertEqual(read_to_end(connection), bytes([number]) * 100)
        self.listen_end.wait_for("all 4 connections are in use")

    def test_a_slow_reader_stops_the_writer_and_nobody_else(self):
        release = threading.Event()
        slow_started = threading.Event()

        def serve(connection):
            if connection.recv(1) == b"s":
                slow_started.set()
                release.wait(60)
                connection.sendall(hashlib.sha256(read_to_end(connection)).digest())
            else:
                echo(connection)

        port = self.tunnel(self.target(serve))
        slow = self.connect(port)
        slow.sendall(b"s")
        slow_started.wait(30)
        slow.setblocking(False)
        body = os.urandom(64 * MEGABYTE)
        sent = 0
        # Everything on the way fills up: the kernel's buffers and the rings. After that nothing more is taken.
        while True:
            _, writable, _ = select.select([], [slow], [], 1.0)
            if not writable:
                break
            sent += slow.send(body[sent:sent + 65536])
            self.assertLess(sent, len(body), "the tunnel buffered without bound")
        used = self.memory(self.listen_end.pid), self.memory(self.serve_end.pid)
        self.assertLess(max(used), 64 * 1024, "KiB of memory in use by an end of the tunnel")
        other = self.connect(port)
        other.sendall(b"x" + b"quick")
        self.assertEqual(other.recv(5), b"quick")
        release.set()
        slow.setblocking(True)
        slow.sendall(body[sent:])
        slow.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(slow), hashlib.sha256(body).digest())

    @staticmethod
    def memory(pid):
        """Private memory of a process, KiB."""
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty", "Private_Clean")))

    def test_a_reset_arrives_as_a_reset(self):
        ended = threading.Event()
        errors = []

        def note(connection):
            try:
                read_to_end(connection)
            except ConnectionResetError as error:
                errors.append(error)
            ended.set()

        port = self.tunnel(self.target(note))
        connection = self.connect(port)
        connection.sendall(b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        self.assertTrue(ended.wait(30))
        self.assertEqual(len(errors), 1)
        self.listen_end.wait_for("broken: tcp: Connection reset by peer")
        self.serve_end.wait_for("broken: the other end of the tunnel broke off")

    def test_a_target_that_refuses_closes_the_client_and_is_logged(self):
        port = self.tunnel(free_port(self.addresses["right"]))
        with self.assertRaises(ConnectionResetError):  # which may come while the connection is still being opened
            self.connect(port).recv(1)
        self.serve_end.wait_for(r"broken: target \S+: Connection refused")
        self.listen_end.wait_for("broken: the other end of the tunnel broke off")

    def test_nobody_serving_closes_the_client_and_is_logged(self):
        listen = self.start(["tunnel", "listen", f"{self.addresses['left']}:0", "web"], self.left)
        port = int(listen.wait_for(r"connections to \S+:(\d+) go")[0].group(1))
        with self.assertRaises(ConnectionResetError):  # which may come while the connection is still being opened
            self.connect(port).recv(1)
        listen.wait_for("broken: no such service: no process on node 'right' serves 'web'|broken: no such service")

    def test_a_new_connection_waits_for_a_node_that_comes_back(self):
        port = self.tunnel(self.target(echo))
        self.right.kill()
        self.left.engine.wait_for(r"link to 'right': control connection lost")
        connection = self.connect(port)
        connection.sendall(b"x")
        self.right.start()
        self.assertEqual(connection.recv(1), b"x")

    def test_connections_go_on_when_slotwired_is_killed_and_started_again(self):
        port = self.tunnel(self.target(echo))
        connection = self.connect(port)
        body = os.urandom(8 * MEGABYTE)
        half = threading.Event()
        received = bytearray()

        def read_all():
            while len(received) < len(body):
                received.extend(connection.recv(65536))
                if len(received) > MEGABYTE:
                    half.set()

        reader = threading.Thread(target=read_all)
        writer = threading.Thread(target=lambda: connection.sendall(body))
        reader.start()
        writer.start()
        self.assertTrue(half.wait(30))
        for node in (self.left, self.right):
            node.kill()
            node.start()
        writer.join(30)
        reader.join(30)
        self.assertEqual(bytes(received), body)
        # New connections work as well.
        again = self.connect(port)
        again.sendall(b"new")
        self.assertEqual(again.recv(3), b"new")

    def test_what_arrived_before_a_reset_is_delivered(self):
        def send_and_break(connection):
            connection.recv(1)
            connection.sendall(b"last words" * 1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.recv(1)  # until the client has them all

        port = self.tunnel(self.target(send_and_break))
        connection = self.connect(port)
        connection.sendall(b"x")
        received = b""
        while len(received) < 10000:
            received += connection.recv(65536)
        self.assertEqual(received, b"last words" * 1000)
        connection.sendall(b"x")
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)

    def test_the_death_of_one_end_resets_the_other(self):
        port = self.tunnel(self.target(echo))
        connection = self.connect(port)
        connection.sendall(b"x")
        self.assertEqual(connection.recv(1), b"x")
        self.serve_end.stop(signal.SIGKILL)
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)
        self.listen_end.wait_for("broken: slot: .*died")

    def test_a_wrong_address_is_said(self):
        for address in ("nonsense", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:http"):
            self.assertIn(address, run(["tunnel", "serve", "web", address], self.right, expect=2).stderr)
        self.assertIn("0 to 65535", run(["tunnel", "listen", "127.0.0.1:99999", "web"], self.left, expect=2).stderr)
        self.assertIn("no-such-host", run(["tunnel", "serve", "web", "no-such-host.invalid:80"], self.right, expect=1).stderr)
        with socket.create_server((self.addresses["left"], 0)) as busy:
            result = run(["tunnel", "listen", f"{self.addresses['left']}:{busy.getsockname()[1]}", "web"], self.left, expect=1)
            self.assertIn("in use", result.stderr)


class OverTcp(Streams):
    carrier = "tcp"


class Programs(TunnelTest):
    def nginx(self):
        program = self.need("nginx")
        directory = os.path.join(self.directory, "nginx")
        os.makedirs(os.path.join(directory, "www"))
        with open(os.path.join(directory, "www", "big"), "wb") as file:
            self.big = os.urandom(10 * MEGABYTE)
            file.write(self.big)
        port = free_port(self.addresses["right"])
        temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w") as file:
            file.write(f"""daemon off; master_process off; {user} pid {directory}/pid; error_log {directory}/error.log notice;
                events {{ worker_connections 1024; }}
                http {{ access_log off; {temporary} client_max_body_size 100m;
                server {{ listen {self.addresses['right']}:{port}; root {directory}/www;
                  location /put {{ client_body_in_file_only on; proxy_pass http://{self.addresses['right']}:{port}/done; }}
                  location /done {{ return 200 "$http_content_length"; }} }} }}""")
        self.start([program, "-e", f"{directory}/error.log", "-c", config])
        self.wait_for_port(self.addresses["right"], port)
        return port

    def wait_for_port(self, address, port):
        for _ in range(100000):
            try:
                socket.create_connection((address, port), timeout=10).close()
                return
            except ConnectionRefusedError:
                pass
        self.fail(f"nothing listens on {address}:{port}")

    def test_curl_through_nginx_both_ways(self):
        curl = self.need("curl")
        port = self.tunnel(self.nginx())
        url = f"http://{self.addresses['left']}:{port}"
        got = subprocess.run([curl, "-sS", "--max-time", "60", url + "/big"], capture_output=True, timeout=90)
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(hashlib.sha256(got.stdout).digest(), hashlib.sha256(self.big).digest())
        put = subprocess.run([curl, "-sS", "--max-time", "60", "-T", "-", "-H", "Expect:", "-X", "POST", url + "/put"], input=self.big,
                             capture_output=True, timeout=90)
        self.assertEqual(put.returncode, 0, put.stderr)
        bodies = os.listdir(os.path.join(self.directory, "nginx", "client_body"))
        stored = []
        for name in bodies:
            with open(os.path.join(self.directory, "nginx", "client_body", name), "rb") as file:
                stored.append(hashlib.sha256(file.read()).hexdigest())
        self.assertIn(hashlib.sha256(self.big).hexdigest(), stored)

    def test_wrk_gets_every_answer(self):
        wrk = self.need("wrk")
        port = self.tunnel(self.nginx(), "-q", serve_options=("-q",))
        result = subprocess.run([wrk, "-t1", "-c50", "-d2s", f"http://{self.addresses['left']}:{port}/done"], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("Socket errors", result.stdout)
        self.assertNotIn("Non-2xx", result.stdout)

    def test_redis_through_the_tunnel(self):
        server = self.need("redis-server")
        benchmark = self.need("redis-benchmark")
        cli = self.need("redis-cli")
        at = free_port(self.addresses["right"])
        redis = self.start([server, "--bind", self.addresses["right"], "--port", str(at), "--save", "", "--dir", self.directory])
        redis.wait_for("eady to accept connections")
        port = self.tunnel(at, "-q", serve_options=("-q",))
        where = ["-h", self.addresses["left"], "-p", str(port)]
        value = os.urandom(30000).hex()
        done = subprocess.run([cli, *where, "-x", "set", "key"], input=value, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.strip(), "OK", done.stderr)
        self.assertEqual(subprocess.run([cli, *where, "get", "key"], capture_output=True, text=True, timeout=60).stdout.strip(), value)
        load = subprocess.run([benchmark, *where, "-c", "20", "-n", "5000", "-P", "4", "-t", "set,get,lpush", "-q"], capture_output=True, text=True, timeout=100)
        self.assertEqual(load.returncode, 0, load.stderr)
        self.assertEqual(load.stdout.count("requests per second"), 3, load.stdout)
        count = subprocess.run([cli, *where, "llen", "mylist"], capture_output=True, text=True, timeout=60).stdout.strip()
        self.assertEqual(count, "5000")


if __name__ == "__main__":
    unittest.main(verbosity=2)
