"""slotwire stream over a WebSocket: where an upgrade passes it is used, elsewhere requests go on, and nothing is lost between the two."""
import os
import socket
import threading
import unittest

import proxies
from nodes import certificates
from tool_stream import MEGABYTE, StreamTest, digest, echo, read_exactly, read_to_end

# A proxy that was restarted is tried again soon, so that a test need not wait.
SOON = ("--websocket-retry", "50ms", "--websocket-retry-max", "100ms")
OVER = "the session goes over a WebSocket"
RESTARTS = 10
PIECE = 65536


class Swallowing(threading.Thread):
    """A proxy that passes everything, but nothing more on a connection once an upgrade on it was answered."""

    def __init__(self, origin):
        super().__init__(daemon=True)
        host, _, port = origin.rpartition(":")
        self.origin = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.swallowed = threading.Event()
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._both, args=(near,), daemon=True).start()

    def _both(self, near):
        with near, socket.create_connection(self.origin) as far:
            upgraded = threading.Event()
            back = threading.Thread(target=self._pass, args=(far, near, upgraded), daemon=True)
            back.start()
            self._pass(near, far, upgraded)
            back.join()

    def _pass(self, source, sink, upgraded):
        try:
            while piece := source.recv(65536):
                if upgraded.is_set():
                    self.swallowed.set()
                    continue
                sink.sendall(piece)
                if piece.startswith(b"HTTP/1.1 101 "):
                    upgraded.set()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # an end has left

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class WebSocketTest(StreamTest):
    def over(self, url, *options, env=None, megabytes=5):
        """It comes up over a WebSocket, and every byte arrives; returns the port."""
        port = self.listen(url, *SOON, *options, env=env)
        self.client.wait_for(OVER)
        self.transfer(port, megabytes)
        self.assertEqual(self.client.count(OVER), 1, self.client.output())
        return port

    def by_requests(self, url, why, *options, env=None, megabytes=2):
        port = self.listen(url, *SOON, *options, env=env)
        self.client.wait_for("the session goes by requests: .*" + why)
        self.transfer(port, megabytes)
        self.assertEqual(self.client.count(OVER), 0, self.client.output())
        return port

    def restarts(self, proxy, url, env=None):
        """What is under way at each restart is lost with the proxy; the session has a WebSocket again after each."""
        port = self.listen(url, *SOON, env=env)
        self.client.wait_for(OVER)
        body = os.urandom((RESTARTS + 2) * 2 * MEGABYTE)
        connection = self.connect(port)

        def send():
            # The time-out of a socket is that of a whole sendall(), and restarts take their time.
            for start in range(0, len(body), PIECE):
                connection.sendall(body[start:start + PIECE])
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        for _ in range(RESTARTS):
            received += read_exactly(connection, 2 * MEGABYTE)
            after = len(self.client.lines)
            proxy.restart()
            self.client.wait_for(OVER, after=after)
        received += read_to_end(connection)
        sender.join()
        self.assertEqual(len(received), len(body))
        self.assertEqual(digest(received), digest(body))
        self.assertEqual(self.server.count(": opened$"), 1, "the session was resumed, not begun anew")


class Direct(WebSocketTest):
    def test_a_session_goes_over_a_websocket_where_nothing_is_on_the_way(self):
        self.over(f"http://{self.serve(self.target(echo))}/s", megabytes=20)

    def test_over_tls(self):
        certificates(self.directory, ["localhost"])
        at = self.serve(self.target(echo), options=("--certificate", os.path.join(self.directory, "localhost.pem"),
                                                    "--key", os.path.join(self.directory, "localhost.key")))
        self.over(f"https://localhost:{at.rpartition(':')[2]}/s", "--ca", os.path.join(self.directory, "ca.pem"), megabytes=20)

    def test_none_is_tried_that_is_not_wanted(self):
        port = self.listen(f"http://{self.serve(self.target(echo))}/s", *SOON, "--no-websocket")
        self.transfer(port, 5)
        self.assertEqual(self.client.count("WebSocket"), 0, self.client.output())

    def test_a_session_whose_websocket_passes_nothing_goes_on_by_requests(self):
        swallowing = Swallowing(self.serve(self.target(echo)))
        self.addCleanup(swallowing.close)
        port = self.listen(f"http://{swallowing.address}/s")
        self.transfer(port, 5)
        self.client.wait_for("the session goes by requests: .* passes nothing")
        self.assertTrue(swallowing.swallowed.is_set())
        self.transfer(port, 1)
        self.assertEqual(self.client.count(OVER), 0, self.client.output())


class Behind(WebSocketTest):
    def site(self, make, **options):
        at = self.serve(self.target(echo), options=("--trusted-proxy", "127.0.0.1"))
        return self.proxy(make, at, **options)

    def apache(self, parent, origin, **options):
        return proxies.apache(parent, origin=origin, path="/s", **options)

    def test_behind_nginx_that_passes_upgrades(self):
        self.over(self.site(proxies.nginx, path="/s").url + "/s")

    def test_behind_nginx_that_knows_nothing_of_it(self):
        self.by_requests(self.site(proxies.nginx, path="/s", defaults=True).url + "/s", r"refused \(status 200\), since a proxy")

    def test_behind_haproxy(self):
        self.over(self.site(proxies.haproxy, path="/s").url + "/s")

    def test_behind_varnish(self):
        self.over(self.site(proxies.varnish).url + "/s")

    def test_behind_apache(self):
        self.over(self.site(self.apache).url + "/s")

    def test_ten_restarts_of_nginx_lose_nothing(self):
        front = self.site(proxies.nginx, path="/s")
        self.restarts(front, front.url + "/s")

    def test_ten_restarts_of_haproxy_lose_nothing(self):
        front = self.site(proxies.haproxy, path="/s")
        self.restarts(front, front.url + "/s")


class Through(WebSocketTest):
    def origin(self):
        return f"http://{self.serve(self.target(echo))}/s"

    def test_through_squid_by_connect(self):
        proxy = self.proxy(proxies.squid)
        self.over(self.origin(), env={"http_proxy": proxy.url})

    def test_through_squid_with_basic_authentication(self):
        proxy = self.proxy(proxies.squid, login=proxies.Login("basic", "user", "pass:word"))
        self.over(self.origin(), env={"http_proxy": proxy.url, "SLOTWIRE_PROXY_USER": "user:pass:word"})

    def test_through_squid_with_digest_authentication(self):
        proxy = self.proxy(proxies.squid, login=proxies.Login("digest", "user", "password"))
        self.over(self.origin(), env={"http_proxy": proxy.url, "SLOTWIRE_PROXY_USER": "user:password"})

    def test_a_squid_that_makes_no_tunnel_to_this_port(self):
        proxy = self.proxy(proxies.squid, first="http_access deny CONNECT")
        self.by_requests(self.origin(), "status 403 for CONNECT", env={"http_proxy": proxy.url})

    def test_through_tinyproxy(self):
        proxy = self.proxy(proxies.tinyproxy)
        self.over(self.origin(), env={"http_proxy": proxy.url}, megabytes=2)

    def test_an_apache_that_makes_no_tunnel_to_this_port(self):
        proxy = self.proxy(proxies.apache)
        self.by_requests(self.origin(), "status 403 for CONNECT", env={"http_proxy": proxy.url})

    def test_through_mitmproxy(self):
        proxy = self.proxy(proxies.mitmproxy)
        self.over(self.origin(), env={"http_proxy": proxy.url}, megabytes=2)

    def test_ten_restarts_of_squid_lose_nothing(self):
        proxy = self.proxy(proxies.squid)
        self.restarts(proxy, self.origin(), env={"http_proxy": proxy.url})

    def test_ten_restarts_of_mitmproxy_lose_nothing(self):
        proxy = self.proxy(proxies.mitmproxy)
        self.restarts(proxy, self.origin(), env={"http_proxy": proxy.url})


if __name__ == "__main__":
    unittest.main()
