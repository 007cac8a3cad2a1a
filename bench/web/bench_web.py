#!/usr/bin/env python3
"""Requests from nginx to an executing server on another host: through slots, and through what people use today.

    bench_web.py [--runs N] [--seconds S] [--connections N,N...] [--json FILE]

Two network namespaces joined by a veth pair are the two hosts. wrk asks an nginx on 'left' (two workers); the application is on 'right'
(two processes or workers) and answers with 1 KiB or 64 KiB. The same nginx has a location for each way:

  slotwire   slotwire_pass; an executing server of two processes that use slotwire_web.hpp
  bridge     slotwire_pass; 'slotwire web serve' in front of an nginx on a local socket
  proxy      proxy_pass with keepalive over TCP to that nginx
  fastcgi    fastcgi_pass with keepalive over TCP to a FastCGI application of libfcgi
  haproxy    proxy_pass with keepalive to HAProxy, and from there to that nginx

Each run measures every way once, in turn. Requests a second, p50 and p99 are wrk's; processor time is that of all processes of both hosts
but wrk, by the scheduler's own count, so the work that the kernel does in interrupts is in nobody's; it is told by program and host, too. `connections` rows count what is
established between the hosts under load. Needs root.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "node"))
from nodes import BIN, SLOTWIRE, TIMEOUT, Node, Process  # noqa: E402

SIZES = {"1KiB": ("/1k", 1024), "64KiB": ("/64k", 65536)}
MODULE = os.environ.get("SLOTWIRE_NGINX_MODULE", os.path.join(BIN, "..", "lib", "ngx_http_slotwire_module.so"))
WAYS = ("slotwire", "bridge", "proxy", "fastcgi", "haproxy")
WORKERS = 2
WARM_UP = 1  # seconds before processor time is measured
WRK_REPORT = 'done = function(s, l, r) io.write(string.format("RESULT %d %d %d %f %f\\n", s.requests, s.duration, s.errors.connect + ' \
             's.errors.read + s.errors.write + s.errors.timeout + s.errors.status, l:percentile(50), l:percentile(99))) end\n'

LEFT_NGINX = """
load_module {module};
user root;
worker_processes {workers};
error_log {directory}/left-error.log warn;
pid {directory}/left.pid;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  slotwire_socket {socket};
  {temp}
  upstream proxy {{ server {right}:8081; keepalive 256; keepalive_requests 1000000000; }}
  upstream haproxy {{ server {right}:8082; keepalive 256; keepalive_requests 1000000000; }}
  upstream fastcgi {{ server {right}:9000; keepalive {workers}; }}
  server {{
    listen {left}:8080 backlog=4096;
    location = /requests {{ stub_status; }}
    location /slotwire/ {{ rewrite ^/slotwire(/.*) $1 break; slotwire_pass app; }}
    location /bridge/ {{ rewrite ^/bridge(/.*) $1 break; slotwire_pass bridged; }}
    location /proxy/ {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://proxy/; }}
    location /haproxy/ {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://haproxy/; }}
    location /fastcgi/ {{
      rewrite ^/fastcgi(/.*) $1 break;
      fastcgi_keep_conn on;
      fastcgi_param SCRIPT_NAME $uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_pass fastcgi;
    }}
  }}
}}
"""
RIGHT_NGINX = """
user root;
worker_processes {workers};
error_log {directory}/right-error.log warn;
pid {directory}/right.pid;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  open_file_cache max=10;
  {temp}
  server {{
    listen {right}:8081 backlog=4096;
    listen unix:{directory}/right.sock;
    default_type text/plain;
    location = /1k {{ alias {directory}/1k; }}
    location = /64k {{ alias {directory}/64k; }}
  }}
}}
"""
HAPROXY = """
global
  nbthread {workers}
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind {right}:8082
  default_backend app
backend app
  http-reuse always
  server app {right}:8081 maxconn 4096
"""


def command(*arguments):
    subprocess.run(arguments, check=True, capture_output=True, text=True)


class Lab:
    """The two hosts, and everything that runs on them. Ends with close()."""

    def __init__(self):
        self.tag = f"swbw{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix="slotwire-bench-web-")
        os.chmod(self.directory, 0o755)
        self.address = {"left": "10.77.0.1", "right": "10.77.0.2"}
        self.processes = []
        self.nodes = []
        self.missing = {}
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def prefix(self, host):
        return ["ip", "netns", "exec", f"{self.tag}-{host}"]

    def start(self):
        for host in ("left", "right"):
            command("ip", "netns", "add", f"{self.tag}-{host}")
            command(*self.prefix(host), "ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "veth0", "netns", f"{self.tag}-left", "type", "veth", "peer", "name", "veth0", "netns", f"{self.tag}-right")
        for host, address in self.address.items():
            command(*self.prefix(host), "ip", "addr", "add", f"{address}/24", "dev", "veth0")
            command(*self.prefix(host), "ip", "link", "set", "veth0", "up")
        for name, bytes_ in (("1k", 1024), ("64k", 65536)):
            Path(self.directory, name).write_text("x" * bytes_, encoding="ascii")
        self.start_nodes()
        self.start_right()
        self.start_left()

    def start_nodes(self):
        for name, peer in (("left", "right"), ("right", "left")):
            at, to = self.address[name], self.address[peer]
            config = f'[listen]\ncontrol = "{at}:7400"\nudp = "{at}:7401"\n' \
                     f'[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\nudp = "{to}:7401"\n'
            if name == "left":
                config += "".join(f'[[service]]\nname = "{service}"\nnodes = ["right"]\n' for service in ("app", "bridged"))
            node = Node(self.directory, name, config)
            node.prefix = self.prefix(name)
            self.nodes.append(node)
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_for_link()

    def run(self, host, arguments, **options):
        env = {"SLOTWIRE_SOCKET": self.nodes[0 if host == "left" else 1].socket}
        process = Process([*self.prefix(host), *arguments], env=env, **options)
        self.processes.append(process)
        return process

    def texts(self):
        temp = "".join(f"{kind}_temp_path {self.directory}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return {"workers": WORKERS, "directory": self.directory, "left": self.address["left"], "right": self.address["right"], "temp": temp,
                "socket": self.nodes[0].socket, "module": MODULE}

    def nginx(self, host, text):
        path = os.path.join(self.directory, f"{host}-nginx.conf")
        Path(path).write_text(text.format(**self.texts()), encoding="ascii")
        process = self.run(host, ["nginx", "-p", self.directory, "-e", f"{self.directory}/{host}-error.log", "-c", path])
        return process

    def start_right(self):
        self.nginx("right", RIGHT_NGINX)
        wait_for(self.prefix("right"), self.address["right"], 8081)
        for number in range(WORKERS):
            self.run("right", [os.path.join(BIN, "bench_web_app"), "app"]).wait_for("serving")
            self.run("right", [SLOTWIRE, "web", "serve", "bridged", "--http", f"unix:{self.directory}/right.sock", "--quiet"]).wait_for("bridged")
        application = os.path.join(BIN, "bench_web_fcgi")
        if os.path.exists(application):
            self.start_fcgi(application)
        else:
            self.missing["fastcgi"] = "libfcgi-dev is not installed"
        if shutil.which("haproxy"):
            path = os.path.join(self.directory, "haproxy.cfg")
            Path(path).write_text(HAPROXY.format(**self.texts()), encoding="ascii")
            self.run("right", ["haproxy", "-db", "-f", path])
            wait_for(self.prefix("right"), self.address["right"], 8082)
        else:
            self.missing["haproxy"] = "haproxy is not installed"

    def start_fcgi(self, application):
        """The kernel spreads connections over the processes, which share one listening socket. They end with the first of them."""
        script = f"import ctypes, os, signal, socket\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n" \
                 f"s.bind(('{self.address['right']}', 9000))\ns.listen(4096)\nos.dup2(s.fileno(), 0)\n" \
                 f"for _ in range({2 * WORKERS - 1}):\n  if os.fork() == 0:\n    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG\n    break\nos.execv('{application}', ['{application}'])\n"
        self.run("right", [sys.executable, "-c", script])
        wait_for(self.prefix("right"), self.address["right"], 9000)

    def start_left(self):
        self.nginx("left", LEFT_NGINX)
        wait_for(self.prefix("left"), self.address["left"], 8080)

    def servers(self):
        """Processes of both hosts, without wrk and those that only start others."""
        tops = [process.pid for process in self.processes] + [node.engine.pid for node in self.nodes]
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path("/proc", entry, "stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
                    parents[int(entry)] = int(fields[1])
                except (OSError, IndexError):
                    pass
        found = set(tops)
        grown = True
        while grown:
            grown = False
            for pid, parent in parents.items():
                if parent in found and pid not in found:
                    found.add(pid)
                    grown = True
        # The keeper is nobody's child.
        for pid in parents:
            try:
                if self.directory.encode() in Path("/proc", str(pid), "cmdline").read_bytes() and pid not in found and pid != os.getpid():
                    found.add(pid)
            except OSError:
                pass
        return found

    def processor_ns(self):
        """By program and host, as "slotwired right"."""
        spaces = {host: Path("/run/netns", f"{self.tag}-{host}").stat().st_ino for host in ("left", "right")}
        used = {}
        for pid in self.servers():
            try:
                space = Path("/proc", str(pid), "ns", "net").stat().st_ino
                name = Path("/proc", str(pid), "comm").read_text(encoding="ascii", errors="replace").strip()
                if name == "wrk":
                    continue
                role = name + "".join(f" {host}" for host, number in spaces.items() if number == space)
                for task in os.listdir(f"/proc/{pid}/task"):
                    spent = int(Path("/proc", str(pid), "task", task, "schedstat").read_text(encoding="ascii").split()[0])
                    used[role] = used.get(role, 0) + spent
            except OSError:
                pass
        return used

    def requests(self):
        """How many requests the web server has begun, this one included."""
        text = subprocess.run([*self.prefix("left"), "curl", "-sS", "--max-time", "10", f"http://{self.address['left']}:8080/requests"],
                              capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
        return int(re.search(r"\n\s*\d+ \d+ (\d+)", text).group(1))

    def wrk(self, path, connections, seconds):
        """Processor time is measured in the middle of the run: wrk breaks off what is under way at its end, so at the beginning of each run
        servers open connections, and at its end they close them."""
        script = os.path.join(self.directory, "report.lua")
        Path(script).write_text(WRK_REPORT, encoding="ascii")
        with subprocess.Popen([*self.prefix("left"), "wrk", "-t1", f"-c{connections}", f"-d{seconds + WARM_UP + 1}s", "--timeout", "10s", "-s", script,
                               f"http://{self.address['left']}:8080{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(WARM_UP)
            begun, before = self.requests(), self.processor_ns()
            time.sleep(seconds)
            ended, after = self.requests(), self.processor_ns()
            text, errors_text = process.communicate(timeout=TIMEOUT + seconds)
        match = re.search(r"RESULT (\d+) (\d+) (\d+) (\S+) (\S+)", text)
        if match is None:
            raise RuntimeError(f"wrk failed: {text}{errors_text}")
        requests, microseconds, errors, p50, p99 = (float(value) for value in match.groups())
        measured = ended - begun
        if errors or measured <= 0:
            raise RuntimeError(f"{path} with {connections} connections: {errors:.0f} errors in {requests:.0f} requests\n{text}")
        roles = {role: (spent - before.get(role, 0)) / measured / 1e3 for role, spent in after.items()}
        return {"rate": requests / microseconds * 1e6, "p50": p50, "p99": p99, "cpu": sum(roles.values()), "roles": roles}

    def check(self, way, path, size):
        """The body is what it should be, once, before anything is measured."""
        result = subprocess.run([*self.prefix("left"), "curl", "-sS", "--max-time", "10", f"http://{self.address['left']}:8080/{way}{path}"],
                                capture_output=True, timeout=TIMEOUT, check=False)
        if result.stdout != b"x" * size:
            log = Path(self.directory, "left-error.log")
            raise RuntimeError(f"{way}{path}: {len(result.stdout)} bytes came: {result.stdout[:200]!r} {result.stderr!r}\n"
                               f"{log.read_text(errors='replace')[-2000:] if log.exists() else ''}")

    def between_hosts(self):
        """TCP connections established between the hosts, those of the link's own control connection included."""
        shown = subprocess.run([*self.prefix("right"), "ss", "-Htn", "state", "established", "dst", self.address["left"]], capture_output=True,
                               text=True, check=True).stdout
        return len(shown.splitlines())

    def close(self):
        for process in reversed(self.processes):
            try:
                process.stop()
            except AssertionError as error:
                print(error, file=sys.stderr)
        for node in self.nodes:
            if node.engine is not None:
                node.stop()
        for host in ("left", "right"):
            subprocess.run(["ip", "netns", "del", f"{self.tag}-{host}"], capture_output=True, check=False)
        shutil.rmtree(self.directory, True)


def wait_for(prefix, address, port):
    """Until somebody listens there: the kernel refuses connections before."""
    script = f"import socket, sys\nwhile True:\n  s = socket.socket()\n  if s.connect_ex(('{address}', {port})) == 0: break\n  s.close()\n"
    subprocess.run([*prefix, sys.executable, "-c", script], check=True, timeout=TIMEOUT)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement; wrk takes whole seconds")
    parser.add_argument("--connections", default="2,16,64,256")
    parser.add_argument("--sizes", default="1KiB,64KiB")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("two network namespaces are made: run it as root")
    chosen = options.ways.split(",")
    values = {}
    lab = Lab()
    try:
        ways = [way for way in chosen if way not in lab.missing]
        for way in ways:
            for size in options.sizes.split(","):
                lab.check(way, *SIZES[size])
        for run in range(options.runs):
            for size in options.sizes.split(","):
                for connections in (int(text) for text in options.connections.split(",")):
                    # Who is first changes from run to run.
                    for way in ways[run % len(ways):] + ways[:run % len(ways)]:
                        before = lab.between_hosts()
                        measured = lab.wrk(f"/{way}{SIZES[size][0]}", connections, options.seconds)
                        measured["connections"] = lab.between_hosts() if way in ("proxy", "fastcgi", "haproxy") else before
                        values.setdefault((size, connections, way), []).append(measured)
                        print(f"run {run + 1}: {size}/{connections} {way}: {measured['rate']:,.0f}/s, p50 {measured['p50']:,.0f} us, p99 "
                              f"{measured['p99']:,.0f} us, {measured['cpu']:.1f} us of processor time a request ("
                              + ", ".join(f"{role} {spent:.1f}" for role, spent in sorted(measured["roles"].items(), key=lambda item: -item[1])
                                          if spent >= LEAST_SHOWN_US) + ")", file=sys.stderr, flush=True)
    finally:
        lab.close()
    rows = make_rows(values, lab.missing)
    text = json.dumps(rows, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


LEAST_SHOWN_US = 0.5  # of processor time in a request, from which on a program is named
METRICS = {"rate": ("requests a second", "1/s"), "p50": ("p50", "us"), "p99": ("p99", "us"), "cpu": ("processor time per request", "us")}


def make_rows(values, missing):
    rows = []
    for (size, connections, way), runs in values.items():
        for key, (metric, unit) in METRICS.items():
            figures = [run[key] for run in runs]
            others = {other: statistics.median(run[key] for run in values[(size, connections, other)])
                      for other in WAYS if other != way and (size, connections, other) in values}
            row = {"suite": "web", "case": f"{size}/{connections}", "group": f"{size}/{connections}", "contender": way, "metric": metric,
                   "unit": unit, "value": statistics.median(figures), "runs": len(figures), "spread": [min(figures), max(figures)],
                   "floor": None, "ratio_to_floor": None, "peers": others}
            if missing:
                row["note"] = ". ".join(f"{name} was left out: {why}" for name, why in missing.items())
            rows.append(row)
        for role in sorted({role for run in runs for role in run["roles"]}):
            figures = [run["roles"].get(role, 0) for run in runs]
            if statistics.median(figures) >= LEAST_SHOWN_US:
                rows.append({"suite": "web", "case": f"{size}/{connections}", "group": f"{size}/{connections}", "contender": way,
                             "metric": f"processor time per request, {role}", "unit": "us", "value": statistics.median(figures),
                             "runs": len(figures), "spread": [min(figures), max(figures)], "floor": None, "ratio_to_floor": None, "peers": {}})
    return rows


if __name__ == "__main__":
    main()
