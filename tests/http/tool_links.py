#!/usr/bin/env python3
"""Links that choose their carrier, in network namespaces with a real firewall and real proxies between them.

`left` and `right` are joined by `middle`, which forwards between them (or does not) and runs the proxies:

    left 10.9.1.2 --- 10.9.1.1 middle 10.9.2.1 --- 10.9.2.2 right

Firewall closed: nothing but HTTP to a proxy in the middle passes. What is measured is printed, not asserted.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "node"))
import proxies  # noqa: E402
from nodes import SLOTWIRE, TIMEOUT, Node, Process, certificates, run  # noqa: E402

# Longer runs by hand: SLOTWIRE_HTTP_ROUNDS=20 moves a link up and down 20 times.
ROUNDS = int(os.environ.get("SLOTWIRE_HTTP_ROUNDS", "2"))
RESTARTS = int(os.environ.get("SLOTWIRE_HTTP_RESTARTS", "2"))
LEFT, MIDDLE_LEFT, MIDDLE_RIGHT, RIGHT = "10.9.1.2", "10.9.1.1", "10.9.2.1", "10.9.2.2"
PROXY_PORT = 3128
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
RULES = """
table inet firewall {{
  chain forward {{
    type filter hook forward priority 0; policy {policy};
  }}
}}
"""


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT)


class Namespaces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("network namespaces need root")
        for program in ("ip", "nft"):
            if shutil.which(program, path=PATH) is None:
                raise unittest.SkipTest(f"{program} is not installed: see scripts/install-deps")
        probe = f"sw{os.getpid()}x"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, timeout=TIMEOUT)
        if made.returncode != 0:
            raise unittest.SkipTest(f"no network namespaces here: {made.stderr.strip()}")
        ip("netns", "del", probe)

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-http-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.names = {role: f"sw{os.getpid()}{role[0]}" for role in ("left", "middle", "right")}
        for name in self.names.values():
            ip("netns", "add", name)
            self.addCleanup(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        for side, near, far in (("left", LEFT, MIDDLE_LEFT), ("right", RIGHT, MIDDLE_RIGHT)):
            here, middle = self.names[side], self.names["middle"]
            ip("-n", here, "link", "add", "wire", "type", "veth", "peer", "name", side, "netns", middle)
            ip("-n", here, "addr", "add", near + "/24", "dev", "wire")
            ip("-n", middle, "addr", "add", far + "/24", "dev", side)
            ip("-n", here, "link", "set", "wire", "up")
            ip("-n", middle, "link", "set", side, "up")
            ip("-n", here, "route", "add", "default", "via", far)
        self.inside("middle", ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        self.proxies, self.processes, self.nodes = [], [], []
        self.addCleanup(self.end)

    def end(self):
        for process in reversed(self.processes):
            process.stop()
        for node in self.nodes:
            if node.engine is not None:
                node.engine.stop()
        for proxy in self.proxies:
            proxy.kill()

    def need(self, *programs):
        for program in programs:
            if shutil.which(program) is None:
                self.skipTest(f"{program} is not installed: see scripts/install-deps")

    def prefix(self, role):
        return ["ip", "netns", "exec", self.names[role]]

    def inside(self, role, command, **options):
        return subprocess.run([*self.prefix(role), *command], check=True, capture_output=True, text=True, timeout=TIMEOUT, **options)

    def firewall(self, open_):
        """What was let through before is not any more: there is no rule for connections that are established."""
        self.inside("middle", [shutil.which("nft", path=PATH), "-f", "-"],
                    input="flush ruleset\n" + RULES.format(policy="accept" if open_ else "drop"))

    def start_nodes(self, link, http=None, tls=True, listen=""):
        tables = certificates(self.directory, ["left", "right"]) if tls else {"left": "", "right": ""}
        left = f'[listen]\nudp = "{LEFT}:7401"\n{tables["left"]}[http]\n{http or ""}\n[[link]]\npeer = "right"\ncarrier = "auto"\n' \
               f'control = "{RIGHT}:7400"\ndial = true\n{link}\n[[service]]\nname = "echo"\nnodes = ["right"]\n'
        right = f'[listen]\ncontrol = "{RIGHT}:7400"\nudp = "{RIGHT}:7401"\ntcp = "{RIGHT}:7402"\nhttp = "{RIGHT}:8080"\n' \
                f'{tables["right"]}{listen}[[link]]\npeer = "left"\ncarrier = "auto"\nudp = "{LEFT}:7401"\ndial = false\n'
        for name, config in (("left", left), ("right", right)):
            node = Node(self.directory, name, config)
            node.prefix = self.prefix(name)
            self.nodes.append(node)
        self.left, self.right = self.nodes
        for node in reversed(self.nodes):
            node.start()
        self.serve = Process([SLOTWIRE, "serve", "echo", "--echo"], env={"SLOTWIRE_SOCKET": self.right.socket})
        self.processes.append(self.serve)
        self.serve.wait_for("serving '")

    def link(self, node=None):
        return (node or self.left).status()["links"][0]

    def wait_for_path(self, path):
        """Until both ends send over `path`."""
        end = time.monotonic() + TIMEOUT
        for node in (self.left, self.right):
            while (link := self.link(node))["path"] != path:
                self.assertLess(time.monotonic(), end, f"{node.name} does not take {path}: {link}\n{node.engine.output()}")

    def bench(self, *more):
        process = Process([SLOTWIRE, "bench", "echo", "--json", *more], env={"SLOTWIRE_SOCKET": self.left.socket})
        self.processes.append(process)
        return process

    def figures(self, bench):
        self.assertEqual(bench.wait(timeout=10 * TIMEOUT), 0, bench.output())
        final = [json.loads(line) for line in bench.lines if line and line.startswith("{")][-1]
        self.assertEqual((final["failed"], final["extra"], final["lost"]), (0, 0, 0), final)
        return final


class ThroughProxies(Namespaces):
    def wait_for_way(self, way):
        """Until the session goes over a WebSocket, or has found out that it cannot."""
        end = time.monotonic() + TIMEOUT
        text = "over a WebSocket" if way == "websocket" else "by requests ("
        while True:
            link = self.link()
            said = [subprocess.run([SLOTWIRE, "status"], check=True, capture_output=True, text=True, timeout=TIMEOUT,
                                   env=dict(os.environ, SLOTWIRE_SOCKET=node.socket)).stdout for node in (self.left, self.right)]
            dialled = self.right.status()["links"][0]
            # Whoever is dialled knows the way, and not why.
            if link.get("http_way") == way == dialled.get("http_way") and text in said[0] and text.rstrip(" (") in said[1]:
                return link
            self.assertLess(time.monotonic(), end, f"it does not go by {way}: {link}\n{self.left.engine.output()}\n{said}")

    def through(self, name, link, http=None, way="websocket", why=None):
        self.firewall(False)
        self.start_nodes(link, http=f'websocket_retry = "50ms"\nwebsocket_retry_max = "100ms"\n{http or ""}')
        self.wait_for_path("http")
        link = self.wait_for_way(way)
        if why is not None:
            self.assertIn(why, link["http_way_reason"])
        self.assertEqual(link["path"], "http")
        self.assertTrue(link["authenticated"], link)
        for other in link["paths"]:
            if other["path"] != "http":
                self.assertFalse(other["works"], other)
                self.assertTrue(other["reason"], other)
        bench = self.bench("-p", "4", "-d", "3600s", "-s", "3000", "-i", "100ms", "-W", f"{2 * TIMEOUT}s")
        bench.wait_for('"answered":[1-9]')
        for _ in range(RESTARTS):
            self.proxies[-1].restart()
            # Calls go on, in two reports: the first may be of calls from before.
            for _ in range(2):
                bench.wait_for('"answered":[1-9]', after=len(bench.lines))
            self.wait_for_way(way)
        bench.process.send_signal(signal.SIGINT)
        final = self.figures(bench)
        print(f"{name.capitalize()}: {final['sent']} calls, the longest took {final['max_us']:.0f} us, {RESTARTS} restarts of the proxy")

    def forward(self, proxy, more="", **expected):
        self.proxies.append(proxy)
        self.through(proxy.name, f'http = ["http://{RIGHT}:8080/slotwire"]', f'proxy = "{proxy.url}"\n{more}', **expected)

    def reverse(self, proxy, more="", **expected):
        self.proxies.append(proxy)
        self.through(proxy.name, f'http = ["{proxy.url}/slotwire"]', f'proxy = "none"\n{more}', **expected)

    def test_a_link_passes_an_authenticating_squid_and_says_so(self):
        login = proxies.Login("basic", "someone", "secret words")
        password = os.path.join(self.directory, "password")
        with open(password, "w") as file:
            file.write(login.password + "\n")
        self.forward(proxies.squid(self.directory, MIDDLE_LEFT, PROXY_PORT, login=login, prefix=self.prefix("middle")),
                     f'proxy_user = "{login.user}"\nproxy_password_file = "{password}"\n')

    def test_a_link_passes_a_squid_with_digest_authentication(self):
        login = proxies.Login("digest", "someone", "secret")
        password = os.path.join(self.directory, "password")
        with open(password, "w") as file:
            file.write(login.password + "\n")
        self.forward(proxies.squid(self.directory, MIDDLE_LEFT, PROXY_PORT, login=login, prefix=self.prefix("middle")),
                     f'proxy_user = "{login.user}"\nproxy_password_file = "{password}"\n')

    def test_a_link_passes_tinyproxy(self):
        self.forward(proxies.tinyproxy(self.directory, MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")))

    def test_a_link_passes_apache_as_a_forward_proxy(self):
        self.forward(proxies.apache(self.directory, MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")),
                     way="requests", why="for CONNECT")

    def test_a_link_passes_mitmproxy(self):
        self.forward(proxies.mitmproxy(self.directory, MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")))

    def test_a_link_passes_an_nginx_in_front_of_its_node(self):
        self.reverse(proxies.nginx(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, path="/slotwire",
                                   prefix=self.prefix("middle")))

    def test_a_link_passes_a_site_with_https_whose_authority_is_ones_own(self):
        self.need("openssl")

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.directory, timeout=TIMEOUT)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", "site-ca.key", "-out", "site-ca.pem", "-days", "2", "-subj", "/CN=site authority")
        openssl("req", *key, "-keyout", "site.key", "-out", "site.csr", "-subj", "/CN=site")
        with open(os.path.join(self.directory, "site.ext"), "w") as file:
            file.write(f"subjectAltName = IP:{MIDDLE_LEFT}\n")
        openssl("x509", "-req", "-in", "site.csr", "-CA", "site-ca.pem", "-CAkey", "site-ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "site.ext", "-out", "site.pem")
        files = [os.path.join(self.directory, name) for name in ("site.pem", "site.key", "site-ca.pem")]
        self.proxies.append(proxies.nginx(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, path="/slotwire",
                                          tls=(files[0], files[1]), prefix=self.prefix("middle")))
        self.through("nginx with https", f'http = ["https://{MIDDLE_LEFT}:{PROXY_PORT}/slotwire"]', f'proxy = "none"\nca = "{files[2]}"')

    def test_a_link_passes_an_nginx_that_nobody_has_set_up_for_it(self):
        self.reverse(proxies.nginx(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, path="/slotwire", defaults=True,
                                   name="nginx-defaults", prefix=self.prefix("middle")), way="requests", why="the upgrade is refused")

    def test_a_link_passes_a_haproxy_in_front_of_its_node(self):
        self.reverse(proxies.haproxy(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, path="/slotwire",
                                     prefix=self.prefix("middle")))

    def test_a_link_goes_by_requests_where_that_is_wanted(self):
        self.reverse(proxies.haproxy(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, path="/slotwire",
                                     prefix=self.prefix("middle")), more="websocket = false", way="requests", why="http.websocket is false")

    def test_a_link_passes_a_varnish_in_front_of_its_node(self):
        self.reverse(proxies.varnish(self.directory, f"{RIGHT}:8080", MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")))

    def test_a_link_passes_an_apache_in_front_of_its_node(self):
        self.reverse(proxies.apache(self.directory, MIDDLE_LEFT, PROXY_PORT, origin=f"{RIGHT}:8080", path="/slotwire",
                                    prefix=self.prefix("middle")))


class Programs(Namespaces):
    """Programs that expect TCP, through the tunnel over a link on HTTP through Squid."""

    def tunnel(self, service, port):
        serve = Process([*self.prefix("right"), SLOTWIRE, "tunnel", "serve", service, f"127.0.0.1:{port}"],
                        env={"SLOTWIRE_SOCKET": self.right.socket})
        self.processes.append(serve)
        serve.wait_for("connections to service")
        listen = Process([*self.prefix("left"), SLOTWIRE, "tunnel", "listen", f"127.0.0.1:{port}", service],
                         env={"SLOTWIRE_SOCKET": self.left.socket})
        self.processes.append(listen)
        listen.wait_for("connections to ")

    def test_http_redis_and_iperf3_pass_through_the_tunnel(self):
        self.need("curl", "redis-server", "redis-benchmark", "iperf3")
        self.firewall(False)
        self.proxies.append(proxies.squid(self.directory, MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")))
        self.start_nodes(f'http = ["http://{RIGHT}:8080/slotwire"]\n[[service]]\nname = "web"\nnodes = ["right"]\n'
                         '[[service]]\nname = "redis"\nnodes = ["right"]\n[[service]]\nname = "iperf"\nnodes = ["right"]\n',
                         f'proxy = "{self.proxies[0].url}"')
        self.wait_for_path("http")
        site = os.path.join(self.directory, "site")
        os.mkdir(site)
        page = os.urandom(10 << 20)
        with open(os.path.join(site, "page"), "wb") as file:
            file.write(page)
        for command, ready in (([sys.executable, "-u", "-m", "http.server", "-b", "127.0.0.1", "-d", site, "8000"], "Serving HTTP"),
                               (["redis-server", "--port", "6379", "--save", "", "--dir", site], "Ready to accept"),
                               (["iperf3", "-s", "-B", "127.0.0.1", "--forceflush"], "Server listening")):
            process = Process([*self.prefix("right"), *command])
            self.processes.append(process)
            process.wait_for(ready)
        for service, port in (("web", 8000), ("redis", 6379), ("iperf", 5201)):
            self.tunnel(service, port)
        got = subprocess.run([*self.prefix("left"), "curl", "-s", "http://127.0.0.1:8000/page"], capture_output=True, timeout=4 * TIMEOUT, check=True)
        self.assertEqual(got.stdout, page)
        redis = self.inside("left", ["redis-benchmark", "-n", "2000", "-c", "10", "-t", "set,get", "-q"])
        self.assertIn("GET", redis.stdout)
        iperf = json.loads(self.inside("left", ["iperf3", "-c", "127.0.0.1", "-n", "20M", "-J"]).stdout)
        # What is under way when the client ends its test does not count as received.
        self.assertGreater(iperf["end"]["sum_received"]["bytes"], 0)
        rate = iperf["end"]["sum_received"]["bits_per_second"]
        print("redis-benchmark:", " ".join(redis.stdout.split()), f"iperf3: {rate / 8e6:.1f} MB/s")
        self.assertEqual(self.link()["path"], "http")


class Moving(Namespaces):
    def test_a_link_moves_up_when_the_firewall_opens_and_down_when_it_closes_under_load(self):
        self.firewall(False)
        self.proxies.append(proxies.squid(self.directory, MIDDLE_LEFT, PROXY_PORT, prefix=self.prefix("middle")))
        self.start_nodes(f'http = ["http://{RIGHT}:8080/slotwire"]', f'proxy = "{self.proxies[0].url}"')
        self.wait_for_path("http")
        bench = self.bench("-p", "4", "-d", "3600s", "-i", "100ms")
        bench.wait_for('"answered":[1-9]')
        for _ in range(ROUNDS):
            self.firewall(True)
            self.wait_for_path("udp")
            bench.wait_for('"answered":[1-9]', after=len(bench.lines))
            self.firewall(False)
            self.wait_for_path("http")
            bench.wait_for('"answered":[1-9]', after=len(bench.lines))
        changes = self.link()["path_changes"]
        bench.process.send_signal(signal.SIGINT)
        final = self.figures(bench)
        print(f"{ROUNDS} times up and down: {final['sent']} calls, the longest took {final['max_us']:.0f} us")
        self.assertGreaterEqual(changes, 1 + 2 * ROUNDS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
