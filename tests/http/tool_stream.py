"""slotwire stream: byte streams through plain HTTP, directly and through real proxies."""
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import proxies
from nodes import SLOTWIRE, TIMEOUT, Process, certificates, free_port

MEGABYTE = 1 << 20


class Target(threading.Thread):
    """A TCP server of the test: runs `handle(socket)` for each connection in a thread of its own."""

    def __init__(self, handle):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
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
    while piece := connection.recv(65536):
        data += piece
    return bytes(data)


def read_exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def echo(connection):
    while piece := connection.recv(65536):
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class StreamTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        # Proxies that the machine has configured are none of the test's business.
        self.environment = {name: "" for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")}

    def start(self, *arguments, env=None, shell="", **options):
        """`shell`: redirections of standard descriptors."""
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", SLOTWIRE] if shell else [SLOTWIRE]
        process = Process([*command, *arguments], env=dict(self.environment, **(env or {})), **options)
        self.addCleanup(process.stop)
        return process

    def proxy(self, make, *arguments, **options):
        proxy = make(self.directory, *arguments, **options)
        self.addCleanup(proxy.stop)
        return proxy

    def target(self, handle):
        target = Target(handle)
        self.addCleanup(target.close)
        return target.address

    def serve(self, *targets, options=(), port=0):
        """`stream serve` on /s; returns host:port."""
        self.server = self.start("stream", "serve", "--http", f"127.0.0.1:{port}", "-v", *options, "--", "/s", *targets)
        match, _ = self.server.wait_for(r"serving https?://(127\.0\.0\.1:\d+)/s")
        return match.group(1)

    def listen(self, url, *options, env=None):
        """`stream connect --listen`; returns the port."""
        self.client = self.start("stream", "connect", "-v", "--listen", "127.0.0.1:0", *options, url, env=env)
        match, _ = self.client.wait_for(r"connections to 127\.0\.0\.1:(\d+) go")
        return int(match.group(1))

    def connect(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.addCleanup(connection.close)
        return connection

    def run_once(self, url, *options, given=b"", env=None, expect=0):
        """`stream connect` with standard input and output."""
        result = subprocess.run([SLOTWIRE, "stream", "connect", *options, url], input=given, capture_output=True, timeout=4 * TIMEOUT,
                                env={**os.environ, **self.environment, **(env or {})})
        self.assertEqual(result.returncode, expect, result.stderr.decode())
        return result

    def transfer(self, port, megabytes):
        """Both ways at once, over a target that echoes."""
        body = os.urandom(megabytes * MEGABYTE)
        connection = self.connect(port)
        sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received = read_to_end(connection)
        sender.join()
        self.assertEqual(len(received), len(body))
        self.assertEqual(digest(received), digest(body))


class Direct(StreamTest):
    def test_standard_input_and_output_carry_every_byte(self):
        at = self.serve(self.target(echo))
        body = os.urandom(20 * MEGABYTE)
        result = self.run_once(f"http://{at}/s", given=body)
        self.assertEqual(digest(result.stdout), digest(body))
        self.server.wait_for(f"{len(body)} bytes to the target, {len(body)} from it, .* closed: both ends closed")

    def test_a_local_port_carries_every_byte_both_ways(self):
        port = self.listen(f"http://{self.serve(self.target(echo))}/s")
        self.transfer(port, 20)
        self.client.wait_for("closed: both ends closed")

    def test_each_direction_ends_by_itself(self):
        def upper_after_the_end(connection):
            connection.sendall(read_to_end(connection).upper())

        at = self.serve(self.target(upper_after_the_end))
        self.assertEqual(self.run_once(f"http://{at}/s", given=b"half closed").stdout, b"HALF CLOSED")
        connection = self.connect(self.listen(f"http://{at}/s"))
        connection.sendall(b"again")
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(connection), b"AGAIN")

    def test_the_target_may_end_first(self):
        got = []
        done = threading.Event()

        def farewell(connection):
            connection.sendall(b"no more from here")
            connection.shutdown(socket.SHUT_WR)
            got.append(read_to_end(connection))
            done.set()

        connection = self.connect(self.listen(f"http://{self.serve(self.target(farewell))}/s"))
        self.assertEqual(read_to_end(connection), b"no more from here")
        connection.sendall(b"but from here")
        connection.shutdown(socket.SHUT_WR)
        self.assertTrue(done.wait(TIMEOUT))
        self.assertEqual(got, [b"but from here"])

    def test_a_long_answer_arrives_whole(self):
        # Nothing goes back for long: what the server has to say next must not wait for the client.
        body = os.urandom(30 * MEGABYTE)
        at = self.serve(self.target(lambda c: c.sendall(body)))
        self.assertEqual(digest(self.run_once(f"http://{at}/s", "--stream-window", "16MiB").stdout), digest(body))

    def test_many_streams_share_one_session(self):
        port = self.listen(f"http://{self.serve(self.target(echo))}/s", "-q")
        problems = []

        def one(number):
            try:
                body = os.urandom(200_000 + number)
                connection = self.connect(port)
                sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
                sender.start()
                received = read_to_end(connection)
                sender.join()
                if digest(received) != digest(body):
                    problems.append(f"stream {number}: {len(received)} bytes of {len(body)}")
            except OSError as error:
                problems.append(f"stream {number}: {error}")

        threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertEqual(self.server.count(": opened$"), 1)

    def test_a_stream_that_nobody_reads_stops_no_other(self):
        flood = self.target(lambda connection: connection.sendall(bytes(50 * MEGABYTE)))
        at = self.serve("flood=" + flood, "echo=" + self.target(echo))
        stuck = self.connect(self.listen(f"http://{at}/s", "--target", "flood"))
        self.assertTrue(stuck.recv(1))
        port = self.listen(f"http://{at}/s", "--target", "echo")
        self.transfer(port, 2)

    def test_an_answer_takes_no_longer_than_the_network(self):
        connection = self.connect(self.listen(f"http://{self.serve(self.target(echo))}/s"))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(200):
            connection.sendall(b"%8d" % number)
            self.assertEqual(read_exactly(connection, 8), b"%8d" % number)

    def test_targets_have_names(self):
        at = self.serve("one=" + self.target(lambda c: c.sendall(b"1")), "two=" + self.target(lambda c: c.sendall(b"2")))
        self.assertEqual(self.run_once(f"http://{at}/s").stdout, b"1")
        self.assertEqual(self.run_once(f"http://{at}/s", "--target", "two").stdout, b"2")

    def test_only_configured_targets_are_reached(self):
        other = self.target(lambda c: c.sendall(b"secret"))
        at = self.serve(self.target(echo))
        result = self.run_once(f"http://{at}/s", "--target", other, expect=3)
        self.assertIn(b"no such target", result.stderr)
        self.assertEqual(result.stdout, b"")
        self.server.wait_for("there is no target")

    def test_a_target_that_is_down_is_told(self):
        at = self.serve(f"127.0.0.1:{free_port()}")
        result = self.run_once(f"http://{at}/s", expect=1)
        self.assertIn(b"cannot reach the target", result.stderr)
        self.server.wait_for("cannot connect to .*: Connection refused")

    def test_a_wrong_path_is_told_at_once(self):
        at = self.serve(self.target(echo))
        result = self.run_once(f"http://{at}/other", expect=4)
        self.assertIn(b"nothing is served at", result.stderr)

    def test_a_server_that_would_not_do_what_was_asked_does_not_start(self):
        for arguments, reason in ((["--ca", "/etc/ssl/certs/ca-certificates.crt", "/s", "127.0.0.1:1"], "needs HTTPS"),
                                  (["/s", "a=127.0.0.1:1", "a=127.0.0.1:2"], "two targets are named 'a'"),
                                  (["/s", "=127.0.0.1:1"], "empty name"), (["/s", "127.0.0.1:70000"], "1 to 65535")):
            result = subprocess.run([SLOTWIRE, "stream", "serve", "--http", "127.0.0.1:0", *arguments], capture_output=True, text=True,
                                    timeout=TIMEOUT)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(reason, result.stderr)

    def test_no_server_is_told(self):
        result = self.run_once(f"http://127.0.0.1:{free_port()}/s", "--give-up", "2", expect=4)
        self.assertIn(b"refuses the connection", result.stderr)

    def test_the_reason_is_told_once_while_the_client_still_tries(self):
        client = self.start("stream", "connect", f"http://127.0.0.1:{free_port()}/s", shell="</dev/null")
        client.wait_for("trouble: .* refuses the connection")
        client.wait()
        self.assertEqual(client.count("trouble: "), 1, client.output())

    def test_a_name_that_is_not_known_is_told_while_the_client_still_tries(self):
        client = self.start("stream", "connect", "http://no-such-host.invalid:8080/s", shell="</dev/null")
        client.wait_for("trouble: the name 'no-such-host.invalid' cannot be resolved")
        self.assertEqual(client.stop(), 0)
        self.assertEqual(client.count("trouble: "), 1, client.output())

    def test_a_client_that_fills_the_memory_of_streams_stops_no_other(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        at = self.serve("sink=" + self.target(lambda c: hold.wait(TIMEOUT)), "echo=" + self.target(echo),
                        options=("--stream-memory", "4MiB", "--stream-window", "1MiB"))
        greedy = self.listen(f"http://{at}/s", "--target", "sink")
        for _ in range(20):
            # One that the client cannot serve may be reset before connect() returns.
            with contextlib.suppress(BlockingIOError, ConnectionError):
                connection = self.connect(greedy)
                connection.setblocking(False)
                while connection.send(bytes(65536)):
                    pass
        self.server.wait_for("streams refused: .* --stream-memory")
        self.client.wait_for("broken: the other end has too many streams, or no memory")
        self.transfer(self.listen(f"http://{at}/s", "--target", "echo"), 5)
        self.assertEqual(self.server.count("streams refused"), 1)

    def test_a_server_that_stops_tells_its_clients(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        at = self.serve(self.target(lambda c: hold.wait(TIMEOUT)))
        client = subprocess.Popen([SLOTWIRE, "stream", "connect", f"http://{at}/s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=dict(os.environ, **self.environment))
        self.server.wait_for(": opened$")
        self.server.stop()
        _, said = client.communicate(timeout=TIMEOUT)
        self.assertEqual(client.returncode, 4, said)
        self.assertIn(b"the server stops", said)

    def test_a_listening_client_outlives_its_server(self):
        target = self.target(echo)
        at = self.serve(target)
        port = self.listen(f"http://{at}/s")
        self.transfer(port, 1)
        self.server.stop(signal.SIGKILL)
        self.serve(target, port=at.rpartition(":")[2])
        self.client.wait_for("another one is begun")
        self.transfer(port, 1)

    def test_a_closed_standard_input_is_at_its_end(self):
        def count(connection):
            connection.sendall(b"%d bytes" % len(read_to_end(connection)))

        at = self.serve(self.target(count))
        client = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", SLOTWIRE, "stream", "connect", f"http://{at}/s"], capture_output=True,
                                timeout=TIMEOUT, env=dict(os.environ, **self.environment))
        self.assertEqual((client.returncode, client.stdout), (0, b"0 bytes"), client.stderr)

    def test_a_closed_standard_output_is_told(self):
        at = self.serve(self.target(echo))
        client = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", SLOTWIRE, "stream", "connect", f"http://{at}/s"], capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=TIMEOUT, env=dict(os.environ, **self.environment))
        self.assertEqual(client.returncode, 1, client.stderr)
        self.assertIn(b"standard output is closed", client.stderr)

    def test_a_signal_ends_a_client_whatever_its_standard_input_is(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        at = self.serve(self.target(lambda c: hold.wait(TIMEOUT)))
        for redirection in ("</dev/null", "<&-"):
            for how in (signal.SIGTERM, signal.SIGINT):
                client = self.start("stream", "connect", "-v", f"http://{at}/s", shell=redirection)
                client.wait_for("the session is up")
                self.assertEqual(client.stop(how), 0, redirection)

    def test_a_signal_ends_a_client_whose_server_says_nothing(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        client = self.start("stream", "connect", "-v", f"http://127.0.0.1:{silent.getsockname()[1]}/s", shell="</dev/null")
        connection, _ = silent.accept()
        self.addCleanup(connection.close)
        self.assertTrue(connection.recv(1))
        self.assertEqual(client.stop(), 0)

    def test_ssh_like_use_ends_with_the_last_byte(self):
        at = self.serve(self.target(lambda c: c.sendall(b"x" * MEGABYTE)))
        client = subprocess.Popen([SLOTWIRE, "stream", "connect", f"http://{at}/s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env=dict(os.environ, **self.environment))
        self.addCleanup(client.stdout.close)
        self.assertEqual(len(client.stdout.read()), MEGABYTE)
        client.stdin.close()
        self.assertEqual(client.wait(TIMEOUT), 0)


class Tls(StreamTest):
    def setUp(self):
        super().setUp()
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed: see scripts/install-deps")
        certificates(self.directory, ["localhost", "client"])

    def file(self, name):
        return os.path.join(self.directory, name)

    def serve_tls(self, *options):
        at = self.serve(self.target(echo), options=("--certificate", self.file("localhost.pem"), "--key", self.file("localhost.key"), *options))
        return f"https://localhost:{at.rpartition(':')[2]}/s"

    def test_tls_carries_every_byte(self):
        port = self.listen(self.serve_tls(), "--ca", self.file("ca.pem"))
        self.transfer(port, 10)

    def test_a_foreign_certificate_is_refused_by_its_issuer(self):
        result = self.run_once(self.serve_tls(), expect=5)
        self.assertIn(b"CN=test authority", result.stderr)

    def test_clients_show_certificates(self):
        url = self.serve_tls("--ca", self.file("ca.pem"))
        mine = ("--ca", self.file("ca.pem"), "--certificate", self.file("client.pem"), "--key", self.file("client.key"))
        self.assertEqual(self.run_once(url, *mine, given=b"proved").stdout, b"proved")
        self.run_once(url, "--ca", self.file("ca.pem"), "--give-up", "1", expect=4)

    def test_nothing_older_than_tls_1_3_is_spoken(self):
        url = self.serve_tls()
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain, self.assertRaises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")


class BehindNginx(StreamTest):
    def behind(self, handle=echo, options=(), **nginx):
        at = self.serve(self.target(handle), options=("--trusted-proxy", "127.0.0.1", *options))
        self.front = self.proxy(proxies.nginx, at, path="/s", **nginx)
        return self.front.url + "/s"

    def test_a_path_of_a_site_carries_every_byte(self):
        self.transfer(self.listen(self.behind()), 20)

    def test_a_site_that_knows_nothing_of_it_carries_every_byte(self):
        # As nginx is by default: HTTP/1.0 to the server, bodies and responses buffered.
        self.transfer(self.listen(self.behind(defaults=True)), 5)

    def test_tls_ends_at_the_site(self):
        certificates(self.directory, ["localhost"])
        url = self.behind(tls=(os.path.join(self.directory, "localhost.pem"), os.path.join(self.directory, "localhost.key")))
        url = url.replace("http://127.0.0.1", "https://localhost")
        self.transfer(self.listen(url, "--ca", os.path.join(self.directory, "ca.pem")), 5)

    def test_a_transfer_goes_on_when_the_site_is_killed_and_started_again(self):
        port = self.listen(self.behind())
        body = os.urandom(30 * MEGABYTE)
        connection = self.connect(port)
        sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received = bytearray()
        for quarter in range(1, 4):
            received += read_exactly(connection, quarter * len(body) // 4 - len(received))
            self.front.restart()
        received += read_to_end(connection)
        sender.join()
        self.assertEqual(digest(received), digest(body))
        self.assertEqual(self.server.count(": opened$"), 1, "the session was resumed, not begun anew")

    def test_a_held_request_is_cut_and_the_session_goes_on(self):
        hold = threading.Event()
        url = self.behind(lambda c: (hold.wait(TIMEOUT), c.sendall(b"late")), more="proxy_read_timeout 1s;", defaults=True)
        connection = self.connect(self.listen(url))
        self.client.wait_for("trouble: .*504")
        hold.set()
        self.assertEqual(read_exactly(connection, 4), b"late")


class ThroughForwardProxies(StreamTest):
    def through(self, proxy, *options, env=None, megabytes=5):
        url = f"http://{self.serve(self.target(echo))}/s"
        port = self.listen(url, *options, env=dict({"http_proxy": proxy.url}, **(env or {})))
        self.transfer(port, megabytes)
        self.client.wait_for(f"through the proxy {proxy.url}")

    def test_through_squid(self):
        self.through(self.proxy(proxies.squid))

    def test_through_squid_with_basic_authentication(self):
        self.through(self.proxy(proxies.squid, login=proxies.Login("basic", "user", "pass:word")), env={"SLOTWIRE_PROXY_USER": "user:pass:word"})
        self.client.wait_for("Basic authentication at the proxy")

    def test_through_squid_with_digest_authentication(self):
        login = os.path.join(self.directory, "login")
        with open(login, "w") as file:
            file.write("user:password\n")
        self.through(self.proxy(proxies.squid, login=proxies.Login("digest", "user", "password")), "--proxy-user", login)
        self.client.wait_for("Digest authentication at the proxy")

    def test_squid_refuses_a_wrong_login(self):
        proxy = self.proxy(proxies.squid, login=proxies.Login("basic", "user", "password"))
        url = f"http://{self.serve(self.target(echo))}/s"
        result = self.run_once(url, env={"http_proxy": proxy.url, "SLOTWIRE_PROXY_USER": "user:wrong"}, expect=5)
        self.assertIn(b"does not accept the one that was given", result.stderr)
        result = self.run_once(url, env={"http_proxy": proxy.url}, expect=5)
        self.assertIn(b"give a user and a password for the proxy", result.stderr)

    def test_through_tinyproxy(self):
        self.through(self.proxy(proxies.tinyproxy), megabytes=2)

    def test_through_apache(self):
        self.through(self.proxy(proxies.apache), megabytes=2)

    def test_no_proxy_is_heeded(self):
        url = f"http://{self.serve(self.target(echo))}/s"
        port = self.listen(url, env={"http_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": "127.0.0.0/8"})
        self.transfer(port, 1)

    def test_no_proxy_is_used_where_that_is_said(self):
        url = f"http://{self.serve(self.target(echo))}/s"
        self.transfer(self.listen(url, "--proxy", "none", env={"http_proxy": f"http://127.0.0.1:{free_port()}"}), 1)

    def test_a_proxy_that_intercepts_tls_is_named(self):
        certificates(self.directory, ["localhost"])
        at = self.serve(self.target(echo), options=("--certificate", os.path.join(self.directory, "localhost.pem"),
                                                    "--key", os.path.join(self.directory, "localhost.key")))
        url = f"https://localhost:{at.rpartition(':')[2]}/s"
        proxy = self.proxy(proxies.mitmproxy, options=("ssl_verify_upstream_trusted_ca=" + os.path.join(self.directory, "ca.pem"),))
        result = self.run_once(url, env={"https_proxy": proxy.url}, expect=5)
        self.assertIn(b"mitmproxy", result.stderr)
        self.assertIn(b"If a proxy on the way intercepts TLS", result.stderr)
        allowed = self.run_once(url, "--ca", os.path.join(proxy.directory, "mitmproxy-ca-cert.pem"), given=b"read by the proxy",
                                env={"https_proxy": proxy.url})
        self.assertEqual(allowed.stdout, b"read by the proxy")


class BehindOthers(StreamTest):
    def behind(self, make, megabytes=5, **options):
        at = self.serve(self.target(echo))
        proxy = self.proxy(make, at, **options)
        self.transfer(self.listen(proxy.url + "/s"), megabytes)

    def test_behind_haproxy(self):
        self.behind(proxies.haproxy, path="/s")

    def test_behind_varnish(self):
        self.behind(proxies.varnish)

    def test_behind_apache(self):
        self.behind(lambda parent, origin, **more: proxies.apache(parent, origin=origin, path="/s", **more))


if __name__ == "__main__":
    unittest.main()
