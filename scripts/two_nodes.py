#!/usr/bin/env python3
"""Two linked nodes with load on them; scripts/run builds the programs and starts this. Standard library only."""
import argparse
import atexit
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

CALLERS = 8      # calling processes on each node
SERVERS = 8      # serving processes on each node
CALL_BYTES = 64
PAGE_BYTES = 1024
BIG_BYTES = 10 << 20
HTTP_CONNECTIONS = 32
PHP_CHILDREN = 4  # on each node
PHP_PAGE = "<?php header('Content-Type: application/octet-stream'); header('X-Served-By: php-fpm'); echo file_get_contents(__DIR__ . '/page');\n"
START_LIMIT = 20  # seconds for anything to get ready

# wrk checks every response against the page.
WRK_SCRIPT = """
local page = "%s"
local threads = {}
wrong = 0
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body) if status ~= 200 or body ~= page then wrong = wrong + 1 end end
function done(summary, latency, requests)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
  local e = summary.errors
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, bad,
           e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


class Failed(Exception):
    pass


def say(text=""):
    print(text, flush=True)


class Program:
    """A child process that dies with this one; its output is read by a thread."""

    def __init__(self, arguments, env=None, quiet=True):
        self.arguments = arguments
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=dict(os.environ, **(env or {})), process_group=0, text=True, errors="replace")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                del self.lines[:-1000]
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def output(self):
        return "\n".join(line for line in self.lines if line is not None)

    def wait_for(self, pattern):
        def look():
            for line in self.lines:
                if line is None:
                    raise Failed(f"{' '.join(self.arguments)} ended:\n{self.output()}")
                match = re.search(pattern, line)
                if match:
                    return match
            return None

        with self.changed:
            match = self.changed.wait_for(look, START_LIMIT)
        if not match:
            raise Failed(f"{' '.join(self.arguments)} did not say '{pattern}' in {START_LIMIT} s:\n{self.output()}")
        return match

    def finish(self, limit):
        """Waits for its end; returns its exit status."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(self.arguments)} did not end in {limit} s:\n{self.output()}")
        self.reader.join(5)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()

    def bury(self):
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Network:
    """Where the two nodes are: two namespaces joined by a veth pair, or two loopback addresses. Namespaces go with their holders."""

    def __init__(self, world):
        self.names = {"left": None, "right": None}
        number = os.getpid() % 250 + 1
        self.addresses = {"left": f"127.77.{number}.1", "right": f"127.77.{number}.2"}
        self.kind = "two loopback addresses (network namespaces need root)"
        if os.geteuid() != 0 or not shutil.which("ip"):
            return
        try:
            for side in self.names:
                holder = world.start(["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"])
                holder.wait_for("^ready")
                self.names[side] = holder.process.pid
            addresses = {"left": f"10.77.{number}.1", "right": f"10.77.{number}.2"}
            subprocess.run(self.inside("left", ["ip", "link", "add", "slotwire0", "type", "veth", "peer", "name", "slotwire0", "netns",
                                                str(self.names["right"])]), check=True, capture_output=True)
            for side in self.names:
                subprocess.run(self.inside(side, ["ip", "address", "add", addresses[side] + "/24", "dev", "slotwire0"]), check=True, capture_output=True)
                subprocess.run(self.inside(side, ["ip", "link", "set", "slotwire0", "up"]), check=True, capture_output=True)
            self.addresses = addresses
            self.kind = "two network namespaces joined by a veth pair"
        except (Failed, subprocess.CalledProcessError):
            self.names = {"left": None, "right": None}
            self.kind = "two loopback addresses (network namespaces are not permitted here)"

    def inside(self, side, command):
        holder = self.names[side]
        return command if holder is None else ["nsenter", f"--net=/proc/{holder}/ns/net", *command]


class World:
    """Everything that is started, and its end."""

    def __init__(self, programs):
        self.programs = programs
        self.running = []
        self.directory = tempfile.mkdtemp(prefix="slotwire-run-")
        os.chmod(self.directory, 0o755)
        atexit.register(self.clean_up)
        self.network = Network(self)

    def start(self, arguments, side=None, env=None):
        env = dict(env or {})
        if side is not None:
            env["SLOTWIRE_SOCKET"] = self.socket(side)
            arguments = self.network.inside(side, arguments)
        program = Program(arguments, env)
        self.running.append(program)
        return program

    def socket(self, side):
        return os.path.join(self.directory, side, side + ".sock")

    def slotwire(self, side, *arguments):
        return self.start([os.path.join(self.programs, "slotwire"), *arguments], side)

    def clean_up(self):
        # In the reverse order: what serves ends before the engine, the engines before their namespaces.
        for program in reversed(self.running):
            program.stop()
            program.bury()
        self.running = []
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_nodes(self):
        engines = {}
        for side, other in (("left", "right"), ("right", "left")):
            at, to = self.network.addresses[side], self.network.addresses[other]
            path = os.path.join(self.directory, side + ".toml")
            services = f'[[service]]\nname = "echo-{other}"\nnodes = ["{other}"]\n'
            services += "".join(f'[[service]]\nname = "{name}"\nnodes = ["left", "right"]\nspread = true\n' for name in ("pages", "php"))
            with open(path, "w") as file:
                file.write(f'[node]\nname = "{side}"\nrun_dir = "{self.directory}/{side}"\n'
                           f'[listen]\ncontrol = "{at}:7400"\nudp = "{at}:7401"\n[[link]]\npeer = "{other}"\ncontrol = "{to}:7400"\n{services}')
            engines[side] = self.start([os.path.join(self.programs, "slotwired"), "-c", path], side)
        for engine in engines.values():
            engine.wait_for("is ready")
            engine.wait_for("control connection up")
            engine.wait_for("carrier udp up")

    def start_servers(self):
        servers = [self.slotwire(side, "serve", f"echo-{side}", "--echo") for side in ("left", "right") for _ in range(SERVERS)]
        for server in servers:
            server.wait_for("serving '")

    def start_web(self):
        """nginx on left, executing servers on both nodes; the paths under which its page is reached, by what answers. What is not
        installed is left out. None: no nginx, no module for it, or nothing to ask it with."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        module = os.path.abspath(os.path.join(self.programs, "..", "lib", "ngx_http_slotwire_module.so"))
        pages = os.path.join(self.programs, "example_web_pages")
        self.missing = [text for there, text in ((nginx, "nginx"), (shutil.which("wrk"), "wrk"), (os.path.exists(module), "the nginx module"),
                                                 (os.path.exists(pages), "example_web_pages")) if not there]
        if self.missing:
            return None
        home = os.path.join(self.directory, "nginx")
        www = os.path.join(home, "www")
        os.makedirs(www)
        for path in (self.directory, home, www):
            os.chmod(path, 0o755)
        self.page = "".join(chr(ord("a") + (i * 7 + i // 26) % 26) for i in range(PAGE_BYTES))
        with open(os.path.join(www, "page"), "w") as file:
            file.write(self.page)
        self.big = os.urandom(BIG_BYTES)
        with open(os.path.join(www, "big"), "wb") as file:
            file.write(self.big)
        with open(os.path.join(www, "page.php"), "w") as file:
            file.write(PHP_PAGE)
        self.script = os.path.join(self.directory, "check.lua")
        with open(self.script, "w") as file:
            file.write(WRK_SCRIPT % self.page)
        for side in ("left", "right"):
            self.start([pages, "pages", www], side).wait_for("serving 'pages'")
        ways = {"C++ over slots": "/slots", "nginx over TCP": "/tcp"}
        if self.start_php(www):
            ways["PHP over slots"] = "/php"
        at = self.network.addresses["right"]
        behind = self.free_port("right", at)
        self.start_nginx(nginx, "right", home, f"server {{ listen {at}:{behind}; root {www}; default_type application/octet-stream; }}")
        at_left = self.network.addresses["left"]
        self.port = self.free_port("left", at_left)
        self.start_nginx(nginx, "left", home, f"""
          slotwire_socket {self.socket("left")};
          upstream behind {{ server {at}:{behind}; keepalive 64; }}
          server {{
            listen {at_left}:{self.port};
            location /slots/ {{ rewrite ^/slots(/.*) $1 break; slotwire_pass pages; }}
            location /php/ {{ rewrite ^/php/page$ /page.php break; slotwire_pass php; }}
            location /tcp/ {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://behind/; }}
          }}""", f"load_module {module};")
        return ways

    def start_php(self, www):
        """PHP-FPM behind a bridge on each node. False: it is not installed."""
        found = [path for directory in ("/usr/sbin", "/usr/bin") if os.path.isdir(directory) for path in sorted(os.listdir(directory))
                 if re.fullmatch(r"php-fpm[0-9.]*", path)]
        php = shutil.which(found[-1], path="/usr/sbin:/usr/bin") if found else None
        if php is None:
            self.missing = ["PHP-FPM"]
            return False
        for side in ("left", "right"):
            path = os.path.join(self.directory, f"php-{side}")
            root = "user = www-data\ngroup = www-data\nlisten.owner = root\n" if os.geteuid() == 0 else ""
            with open(path + ".conf", "w") as file:
                file.write(f"[global]\nerror_log = {path}.log\ndaemonize = no\nprocess_control_timeout = 5s\n[pages]\nlisten = {path}.sock\n{root}"
                           f"pm = static\npm.max_children = {PHP_CHILDREN}\n")
            self.start([php, "-n", "-F", "-y", path + ".conf"], side)
            serve = self.slotwire(side, "web", "serve", "php", "--fastcgi", path + ".sock", "--root", www, "--at-once", str(PHP_CHILDREN), "--quiet")
            serve.wait_for("'php'")
        return True

    def start_nginx(self, nginx, side, home, http, first=""):
        temporary = "".join(f"{kind}_temp_path {home}/{side}-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = os.path.join(home, f"{side}.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(config, "w") as file:
            file.write(f"{first} daemon off; worker_processes 2; {user} pid {home}/{side}.pid; error_log {home}/{side}.log;\n"
                       f"events {{ worker_connections 1024; }}\n"
                       f"http {{ access_log off; keepalive_requests 100000000; {temporary} {http} }}\n")
        self.start([nginx, "-e", f"{home}/{side}.log", "-c", config], side)

    def start_page(self):
        """The page that shows node left; its address, or None where slotwire-page was not built."""
        program = os.path.join(self.programs, "slotwire-page")
        if not os.path.exists(program):
            return None
        # On the host's own loopback, where a browser is: the control socket is reached from everywhere.
        page = Program([program, "--listen", "127.0.0.1:0", "--socket", self.socket("left")])
        self.running.append(page)
        return page.wait_for(r"The page: (\S+)").group(1)

    def free_port(self, side, address):
        # Below the ports that the kernel gives to whoever asks for any: one of these may be taken before it is bound.
        code = ("import random, socket\n"
                "while True:\n"
                "    try:\n"
                f"        at = ('{address}', random.randrange(10_000, 30_000)); socket.socket().bind(at); print(at[1]); break\n"
                "    except OSError as error:\n"
                "        if error.errno != 98: raise\n")
        return int(subprocess.run(self.network.inside(side, [sys.executable, "-c", code]), check=True, capture_output=True, text=True).stdout)

    def fetch(self, path):
        """Gets a page from within left; returns the SHA-256 of its body."""
        at = self.network.addresses["left"]
        code = ("import hashlib, http.client, sys, time\n"
                "for _ in range(200):\n"
                "    try:\n"
                f"        c = http.client.HTTPConnection('{at}', {self.port}, timeout=20); c.request('GET', '{path}'); r = c.getresponse()\n"
                "        print(r.status, hashlib.sha256(r.read()).hexdigest()); break\n"
                "    except ConnectionError as error:\n"
                "        last = error; time.sleep(0.05)\n"
                "else: sys.exit(str(last))\n")
        result = subprocess.run(self.network.inside("left", [sys.executable, "-c", code]), capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise Failed(f"{path} cannot be had: {result.stderr.strip()}")
        status, digest = result.stdout.split()
        if status != "200":
            raise Failed(f"{path} answered {status}")
        return digest

    def wrk(self, path, seconds):
        return self.start(["wrk", "-t1", f"-c{HTTP_CONNECTIONS}", f"-d{seconds}s", "-s", self.script,
                           f"http://{self.network.addresses['left']}:{self.port}{path}/page"], "left")


def wrk_result(program, limit):
    code = program.finish(limit)
    match = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", program.output())
    if code != 0 or not match:
        raise Failed(f"wrk failed:\n{program.output()}")
    requests, duration, wrong, errors, p50, p99 = map(int, match.groups())
    return {"requests": requests, "rate": requests / (duration / 1e6), "wrong": wrong, "errors": errors, "p50_us": p50, "p99_us": p99}


def call_line(name, figures):
    return f"  {name:<22} {figures['calls_per_s']:>9.0f} calls/s    p50 {figures['p50_us']:>8.0f} us   p99 {figures['p99_us']:>8.0f} us"


def http_line(name, result):
    return (f"  {name:<22} {result['rate']:>9.0f} requests/s p50 {result['p50_us']:>8.0f} us   p99 {result['p99_us']:>8.0f} us"
            + (f"   {result['errors']} errors, {result['wrong']} wrong" if result["errors"] or result["wrong"] else ""))


class Calls:
    """The calling processes of both nodes."""

    def __init__(self, world, seconds):
        self.programs = {}
        for side, other in (("left", "right"), ("right", "left")):
            self.programs[f"{side} -> {other}"] = world.slotwire(side, "bench", f"echo-{other}", "-p", str(CALLERS), "-s", str(CALL_BYTES),
                                                                 "-d", f"{seconds}s", "-i", "1s", "--json")
        self.shown = {name: 0 for name in self.programs}

    def latest(self):
        """The newest figures of each direction that were not returned before; empty when there are none."""
        figures = {}
        for name, program in self.programs.items():
            with program.changed:
                lines = [line for line in program.lines if line and line.startswith("{")]
            if lines and lines[-1] != self.shown[name]:
                self.shown[name] = lines[-1]
                figures[name] = json.loads(lines[-1])
        return figures

    def finish(self, limit):
        """Waits for the end; the final figures. Raises Failed unless every call was answered exactly once with the right content."""
        finals = {}
        for name, program in self.programs.items():
            code = program.finish(limit)
            lines = [line for line in program.lines if line and line.startswith("{")]
            final = json.loads(lines[-1]) if lines else {}
            if code != 0 or not final.get("final"):
                raise Failed(f"calls {name} failed (exit status {code}):\n{program.output()[-2000:]}")
            if final["wrong"] or final["failed"] or final["lost"] or final["extra"] or not final["answered"]:
                raise Failed(f"calls {name}: {final}")
            finals[name] = final
        return finals


def prepare(world):
    say(f"two nodes on {world.network.kind}")
    world.start_nodes()
    say("  link left <-> right is up (one UDP link carries everything)")
    world.start_servers()
    web = world.start_web()
    say(f"  {SERVERS} serving and {CALLERS} calling processes on each node")
    if web is None:
        say(f"  no HTTP: {', '.join(world.missing)} is missing (scripts/install-deps)")
    else:
        say(f"  nginx on left at {world.network.addresses['left']}:{world.port}; a C++ server and PHP-FPM on each node answer through slots")
        for missing in world.missing:
            say(f"  {missing} is missing (scripts/install-deps)")
    world.page_url = world.start_page()
    return web


def check_big(world, web):
    wanted = hashlib.sha256(world.big).hexdigest()
    for name, path in web.items():
        if not path.startswith("/php") and world.fetch(path + "/big") != wanted:
            raise Failed(f"a page of {BIG_BYTES >> 20} MiB fetched from {name} is not what was written")


def show_progress(calls, until):
    while time.monotonic() < until:
        for name, figures in calls.latest().items():
            say(call_line(name, figures))
        time.sleep(0.1)


def require_sound(name, result):
    if result["wrong"] or result["errors"] or not result["requests"]:
        raise Failed(f"HTTP {name}: {result['requests']} responses, {result['wrong']} of them wrong, {result['errors']} errors")


def run_once(world):
    web = prepare(world)
    say("\ncalls across, both directions at once:")
    seconds = 5
    calls = Calls(world, seconds)
    show_progress(calls, time.monotonic() + seconds)
    finals = calls.finish(60)
    results = {}
    mixed = None
    if web is not None:
        check_big(world, web)
        say("HTTP, one after the other:")
        for name, path in web.items():
            world.fetch(path + "/page")  # until it answers
            results[name] = wrk_result(world.wrk(path, 3), 30)
            require_sound(name, results[name])
            say(http_line(name, results[name]))
        say("calls and HTTP at the same time:")
        calls = Calls(world, 3)
        loads = {name: world.wrk(path, 3) for name, path in web.items()}
        mixed = calls.finish(60)
        for name, load in loads.items():
            require_sound(name + " beside calls", wrk_result(load, 30))
        for name, figures in mixed.items():
            say(call_line(name, figures))
    say("\nresult:")
    for name, final in finals.items():
        say(call_line(name, final))
    for name, result in results.items():
        say(http_line("HTTP " + name, result))
    if results:
        say(f"  C++ over slots, half of it on the same node, reaches {100 * results['C++ over slots']['rate'] / results['nginx over TCP']['rate']:.0f} % of the rate of nginx over TCP")
    answered = sum(final["answered"] for final in finals.values()) + sum(final["answered"] for final in (mixed or {}).values())
    responses = sum(result["requests"] for result in results.values())
    say(f"  {answered} calls answered exactly once with the right content; {responses} HTTP responses complete, none wrong"
        + (f", and {BIG_BYTES >> 20} MiB pages intact" if web else ""))
    say("nothing was lost")


def run_on(world):
    web = prepare(world)
    program = os.path.relpath(os.path.join(world.programs, "slotwire"))
    if world.page_url is not None:
        say(f"\nthe page of node left: {world.page_url}")
    if web is not None:
        for name, path in web.items():
            say(f"  {name}: http://{world.network.addresses['left']}:{world.port}{path}/page")
    say("\nlook at it from another terminal:")
    for side in ("left", "right"):
        say(f"  {program} top --socket {world.socket(side)}")
    say(f"  {program} status --slots --socket {world.socket('left')}")
    say(f"  {program} cut right --socket {world.socket('left')}          # drops the link's connections; nothing is lost")
    say(f"  {program} capture -w /tmp/trace.pcapng -d 5s --socket {world.socket('left')}")
    say("Ctrl-C ends everything and removes every trace\n")
    calls = Calls(world, 3600)
    turn = 0
    load, name = None, None
    while True:
        if web is not None and (load is None or load.process.poll() is not None):
            if load is not None:
                say(http_line("HTTP " + name, wrk_result(load, 10)))
                world.running.remove(load)
            name = list(web)[turn % len(web)]
            load = world.wrk(web[name], 5)
            turn += 1
        for direction, figures in calls.latest().items():
            say(call_line(direction, figures))
            if figures.get("final"):
                calls = Calls(world, 3600)
        for direction, program in calls.programs.items():
            if program.process.poll() not in (None, 0):
                raise Failed(f"calls {direction} failed:\n{program.output()[-2000:]}")
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="directory of slotwired and slotwire")
    parser.add_argument("--once", action="store_true", help="bounded; exits 0 if nothing was lost, else 1")
    arguments = parser.parse_args()

    def end(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    world = None
    try:
        world = World(arguments.bin)
        run_once(world) if arguments.once else run_on(world)
        return 0
    except KeyboardInterrupt:
        say("\nstopping")
        return 130 if arguments.once else 0
    except Failed as failure:
        say(f"failed: {failure}")
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if world is not None:
            world.clean_up()


if __name__ == "__main__":
    sys.exit(main())
