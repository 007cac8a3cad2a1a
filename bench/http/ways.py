"""The ways that bench_http.py compares, each as a TCP connection to traffic.py: pairs of nodes, streams, and what others have.

Everything is on loopback addresses and ends with the Lab.
"""
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / part) for part in ("node", "http")]
import proxies  # noqa: E402
from nodes import SLOTWIRE, TIMEOUT, Node, Process, free_port  # noqa: E402
import traffic  # noqa: E402

ANY_PROXY = {name: "" for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")}
# Bytes after which httptunnel begins another request. It stalls there in some versions: transfers stay below.
HTTPTUNNEL_REQUEST = "50M"
WEB_PATH = "/slotwire"


class Link:
    """Two nodes with a link between them, an echoing service, and a tunnel to traffic.py."""

    def __init__(self, left, right, path, url=None):
        self.left, self.right, self.path, self.url = left, right, path, url

    def wait_until_up(self):
        for node in (self.left, self.right):
            node.wait_for_link()
        end = time.monotonic() + TIMEOUT
        for node in (self.left, self.right):
            while path_of(node) != self.path:
                if time.monotonic() > end:
                    raise AssertionError(f"{node.name} does not take {self.path}:\n{node.engine.output()}")
                select.select([], [], [], 0.05)  # nothing tells outside of a node that its link moved

    def wait_for_websocket(self):
        end = time.monotonic() + TIMEOUT
        while (link := self.left.status()["links"][0]).get("http_way") != "websocket":
            if time.monotonic() > end:
                raise AssertionError(f"{self.left.name} has no WebSocket: {link}")
            select.select([], [], [], 0.05)  # nothing tells outside of a node that its session moved

    def check_path(self):
        for node in (self.left, self.right):
            path = path_of(node)
            if path != self.path:
                raise AssertionError(f"the link between {self.left.name} and {self.right.name} is on {path} instead of {self.path}")


class Lab(contextlib.ExitStack):
    def __init__(self):
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="slotwire-bench-")
        os.chmod(self.directory, 0o755)
        self.callback(shutil.rmtree, self.directory, True)
        pid = os.getpid()
        self.network = f"127.{1 + pid // 250 % 250}.{1 + pid % 250}"
        self.addresses = 0
        self.host = "127.0.0.1"
        self.traffic = self.port_of(self.start([sys.executable, str(HERE / "traffic.py"), self.host]), r"serving on port (\d+)")

    def start(self, arguments, node=None, **options):
        env = {**ANY_PROXY, **({"SLOTWIRE_SOCKET": node.socket} if node is not None else {})}
        process = Process(arguments if "/" in arguments[0] else [SLOTWIRE, *arguments], env=env, **options)
        self.callback(process.stop)
        return process

    def port_of(self, process, pattern):
        return int(process.wait_for(pattern)[0].group(1))

    def address(self):
        self.addresses += 1
        return f"{self.network}.{self.addresses}"

    def proxy(self, make, *arguments, **options):
        proxy = make(self.directory, *arguments, **options)
        self.callback(proxy.stop)
        return proxy

    def relay(self, delay_s, target):
        """The port of a relay on the same host that delays both directions."""
        process = self.start([sys.executable, str(HERE / "delay_relay.py"), "--delay", str(delay_s), target])
        return self.port_of(process, r"relaying on port (\d+)")

    # ---- nodes ----

    def link(self, name, carrier, *, far=lambda address: address, proxy=None, site=None, requests=None, websocket=False):
        """Nodes with a link over `carrier`.

        far: makes of the address of the right node's carrier what the left one connects to; proxy: the URL of a proxy; site: makes
        of the address of the right node's HTTP server a proxy before it; websocket: instead of requests.
        """
        at = {"left": self.address(), "right": self.address()}
        listen = lambda side: f'[listen]\ncontrol = "{at[side]}:7400"\ntcp = "{at[side]}:7402"\n'
        link = lambda peer, dial: f'[[link]]\npeer = "{name}-{peer}"\ndial = {dial}\n'
        left, right, url = listen("left"), listen("right"), None
        if carrier == "tcp":
            left += link("right", "true") + f'carrier = "tcp"\ncontrol = "{at["right"]}:7400"\ntcp = "{far(at["right"] + ":7402")}"\n'
            right += link("left", "false") + f'carrier = "tcp"\ncontrol = "{at["left"]}:7400"\n'
        else:
            server = at["right"] + ":8080"
            url = (self.proxy(site, server, path=WEB_PATH).url if site else f"http://{server}") + WEB_PATH
            left += f'[http]\nwebsocket = {str(websocket).lower()}\nproxy = "{proxy or "none"}"\n' + (f"requests = {requests}\n" if requests else "")
            left += link("right", "true") + f'carrier = "auto"\ncarriers = ["http"]\nhttp = ["{url}"]\n'
            right = right.replace("[listen]\n", f'[listen]\nhttp = "{server}"\n') + link("left", "false")
            right += 'carrier = "auto"\ncarriers = ["http"]\n'
        left += "".join(f'[[service]]\nname = "{service}"\nnodes = ["{name}-right"]\n' for service in ("echo", "traffic"))
        nodes = {side: Node(self.directory, f"{name}-{side}", config) for side, config in (("right", right), ("left", left))}
        for node in nodes.values():
            node.start()
            self.callback(node.stop)
        made = Link(nodes["left"], nodes["right"], carrier, url)
        made.wait_until_up()
        if websocket:
            made.wait_for_websocket()
        self.start(["serve", "echo", "--echo"], made.right).wait_for("serving '")
        self.start(["tunnel", "serve", "traffic", f"{self.host}:{self.traffic}", "-q"], made.right).wait_for("connections to service")
        return made

    def tunnel(self, link, ring=None):
        """A way through the tunnel over `link`."""
        listen = self.start(["tunnel", "listen", f"{self.host}:0", "traffic", "-q", *(["--ring", ring] if ring else [])], link.left)
        return self.to_port(self.port_of(listen, r"connections to \S+:(\d+) go"))

    # ---- streams ----

    def stream_server(self):
        """host:port of a `stream serve`."""
        process = self.start(["stream", "serve", "--http", f"{self.host}:0", "-q", "--stream-window", "16MiB", "--", "/s",
                              f"{self.host}:{self.traffic}"])
        return f"{self.host}:{self.port_of(process, r'serving http://[^ ]+:([0-9]+)/s')}"

    def stream(self, at, *options, proxy="none"):
        process = self.start(["stream", "connect", "--listen", f"{self.host}:0", "-q", "--no-websocket", "--proxy", proxy, *options, f"http://{at}/s"])
        return self.to_port(self.port_of(process, r"connections to \S+:(\d+) go"))

    # ---- others ----

    def posts(self, at, size, proxy=None):
        """What curl moves to a `stream serve` by POSTs of `size` bytes, eight at a time: no bundles, so each is refused with
        a short answer. A function of seconds that returns bytes and the seconds that they took."""
        curl = proxies.program("curl")
        body = os.path.join(self.directory, f"body-{size}")
        with open(body, "wb") as file:
            file.write(os.urandom(size))

        def run(count):
            start = time.monotonic()
            subprocess.run([curl, "-s", "-Z", "--parallel-max", "8", "--parallel-immediate", "-H", "Expect:", "-x", proxy or "",
                            "-H", "Content-Type: application/octet-stream", "--data-binary", "@" + body, "-o", os.devnull,
                            f"http://{at}/s?[1-{count}]"], check=True, env={**os.environ, **ANY_PROXY}, timeout=TIMEOUT,
                           stderr=subprocess.DEVNULL)  # it shows its progress whatever it is told
            return time.monotonic() - start

        def transfer(seconds):
            few = 50
            count = max(few, int(few * seconds / run(few)))
            return count * size, run(count)

        return transfer

    def to_port(self, port):
        @contextlib.contextmanager
        def way():
            with traffic.connect(self.host, port) as connection:
                yield connection

        return way

    def httptunnel(self, proxy_port=None):
        """hts and htc anew for each connection: they carry one after the other and do not always find out that one has ended."""
        for name in ("hts", "htc"):
            proxies.program(name)

        @contextlib.contextmanager
        def way():
            with contextlib.ExitStack() as stack:
                ports = free_port(self.host), free_port(self.host)
                proxy = ["-P", f"{self.host}:{proxy_port}"] if proxy_port else []
                for arguments, port in ((["hts", "-w", "-F", f"{self.host}:{self.traffic}", f"{self.host}:{ports[0]}"], ports[0]),
                                        (["htc", "-w", "-c", HTTPTUNNEL_REQUEST, *proxy, "-F", str(ports[1]), f"{self.host}:{ports[0]}"], ports[1])):
                    process = Process([proxies.program(arguments[0]), *arguments[1:]], env=ANY_PROXY)
                    stack.callback(end, process)
                    wait_for_listener(process, port)
                yield stack.enter_context(traffic.connect(self.host, ports[1]))

        return way

    def connect_by_proxytunnel(self, proxy_port):
        """TCP over a proxy's CONNECT; the program's standard input and output are the connection."""
        program = proxies.program("proxytunnel")

        @contextlib.contextmanager
        def way():
            mine, its = socket.socketpair()
            with mine, its:
                process = subprocess.Popen([program, "-q", "-p", f"{self.host}:{proxy_port}", "-d", f"{self.host}:{self.traffic}"],
                                           stdin=its, stdout=its, stderr=subprocess.DEVNULL, env={**os.environ, **ANY_PROXY})
                its.close()
                try:
                    mine.settimeout(traffic.TIMEOUT_S)
                    yield mine
                finally:
                    process.kill()
                    process.wait()

        return way


def check_passed(proxy, link):
    """That requests of `link` are in the log of a Squid."""
    log = Path(proxy.directory, "a").read_text()
    if link.url not in log:
        raise AssertionError(f"{proxy.name} has passed nothing to {link.url}")


def path_of(node):
    """What a node's link goes over just now: a carrier that it has chosen, or the one that is fixed."""
    link = node.status()["links"][0]
    return link.get("path") or link["carrier"]


def end(process):
    process.process.kill()
    process.wait()


def wait_for_listener(process, port):
    end_s = time.monotonic() + TIMEOUT
    while not proxies.listens(process.pid, port):
        if process.process.poll() is not None or time.monotonic() > end_s:
            raise AssertionError(f"{process.arguments} does not listen on {port}:\n{process.output()}")
        select.select([], [], [], 0.01)  # nothing tells that a program listens
