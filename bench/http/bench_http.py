#!/usr/bin/env python3
"""Links over HTTP beside links over TCP, and beside other ways through a proxy, in turn.

    bench_http.py [--runs N] [--seconds S] [--calls N] [--delay SECONDS] [--short-delay SECONDS] [--json FILE]

Cases (rows of these names; each has the same link over TCP as its floor, and the other ways as its peers):
  large/direct, large/squid, large/nginx   one large transfer through the tunnel, over HTTP without a proxy, through Squid as the
                                           explicit proxy, and with nginx in front of the node: MB/s in either direction
  large-20ms, large-200ms                  the same through Squid with a round trip of 20 ms, and of 200 ms
  round-trip/direct, round-trip/squid      calls of one caller (`slotwire bench`): p50
  round-trip-20ms                          the same through Squid with a round trip of 20 ms

These go by requests. ", WebSocket" behind a case's name: the same link over a WebSocket, in a tunnel that Squid makes. A peer of
large/... is curl with POSTs of two sizes: the least that requests cost there.

Everything runs on loopback addresses of this machine, all processes of both nodes and the proxies together. The ways of 20 ms
and 200 ms are delay_relay.py, which delays each direction by 10 ms (--short-delay) and 100 ms (--delay). Transfers end after --seconds
(six times as long at 200 ms) or when they
have had so many bytes as their way allows, and count until the receiver has the last byte. A peer that is not installed, or fails,
is left out, and the row's note says so.
"""
import argparse
import dataclasses
import json
import signal
import statistics
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ways import Lab, check_passed, proxies  # noqa: E402
from nodes import run  # noqa: E402
import traffic  # noqa: E402

REQUESTS = 64  # the most that a link may have on their way
RING = "2MiB"  # the largest
FAR_TIMES = 6  # as long for far transfers
FEWER_CALLS = 20  # one of so many at 20 ms, where each takes that long
MEGABYTE = 1_000_000
# The most that a transfer moves. httptunnel: less than it has in one request. Far ones: what takes a few seconds.
MOST_BYTES = 2000 * MEGABYTE
FAR_BYTES = 200 * MEGABYTE
TOGETHER, TOGETHER_BYTES = 8, 4 * MEGABYTE
HTTPTUNNEL_BYTES = 40 * MEGABYTE
FAR_HTTPTUNNEL_BYTES = 2 * MEGABYTE  # from the server
FEW_BYTES = 600_000  # ways that move some 60 kB in a round trip
DIRECTIONS = {"throughput to the server": True, "throughput from the server": False}
ROUND_TRIP = "round trip p50"
POST_BYTES = (60_000, 512 << 10)


@dataclasses.dataclass
class Measurement:
    """One way, measured once in each run. `way` makes a connection; or `calls` is the link that calls go over."""
    case: str
    way: object = None
    link: object = None
    calls: bool = False
    seconds: float = 1
    most: int = MOST_BYTES  # bytes
    most_from: int = MOST_BYTES  # from the server
    together: int = 1  # transfers at one time
    fewer: int = 1  # of so many calls one is made
    posts: bool = False  # `way` is of Lab.posts(): to the server alone


@dataclasses.dataclass
class Row:
    floor: str = ""
    peers: dict = dataclasses.field(default_factory=dict)  # by their name in the row: the case that was measured
    note: str = ""


@dataclasses.dataclass
class Plan:
    measurements: list = dataclasses.field(default_factory=list)
    rows: dict = dataclasses.field(default_factory=dict)  # Row by case
    missing: dict = dataclasses.field(default_factory=dict)  # by case: why it was not measured

    def add(self, case, make, **more):
        """`make` makes the way now, unless what it needs is not installed."""
        try:
            self.measurements.append(Measurement(case, make(), **more))
        except unittest.SkipTest as reason:
            self.missing[case] = str(reason)


class Figures:
    def __init__(self):
        self.values = {}

    def add(self, case, metric, unit, value):
        self.values.setdefault((case, metric, unit), []).append(value)

    def median(self, case, metric):
        return next((statistics.median(v) for (c, m, _), v in self.values.items() if (c, m) == (case, metric)), None)

    def rows(self, plan):
        rows = []
        for (case, metric, unit), values in self.values.items():
            row = plan.rows.get(case, Row())
            value, floor = statistics.median(values), self.median(row.floor, metric)
            peers = {name: self.median(peer, metric) for name, peer in row.peers.items()}
            absent = [f"{name} was left out: {plan.missing.get(peer, 'it was not measured')}" for name, peer in row.peers.items()
                      if peers[name] is None]
            made = {"suite": "http", "case": case, "metric": metric, "unit": unit, "value": value, "runs": len(values),
                    "spread": [min(values), max(values)], "floor": floor, "ratio_to_floor": value / floor if floor else None,
                    "peers": {name: peer for name, peer in peers.items() if peer is not None}}
            note = ". ".join(filter(None, [row.note, *absent]))
            rows.append(made | ({"note": note} if note else {}))
        return rows


def transfer_together(measurement, to_server):
    """MB/s of all transfers together."""
    results, failures = [], []

    def one():
        try:
            with measurement.way() as connection:
                traffic.round_trips(connection, 1, 1)  # what opening a way takes is not measured
                most = measurement.most if to_server else min(measurement.most, measurement.most_from)
                results.append(traffic.transfer(connection, to_server, measurement.seconds, most))
        except (OSError, AssertionError, unittest.SkipTest) as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(measurement.together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(count for count, _ in results) / max(took for _, took in results) / MEGABYTE


def measure(measurement, calls, figures):
    case = measurement.case
    calls = max(1, calls // measurement.fewer)
    if measurement.calls and measurement.link:
        text = run(["bench", "echo", "--json", "-p", "1", "-n", str(calls), "-W", "30s"], measurement.link.left, timeout=120).stdout
        figures.add(case, ROUND_TRIP, "us", json.loads(text.splitlines()[-1])["p50_us"])
    elif measurement.posts:
        count, took = measurement.way(measurement.seconds)
        figures.add(case, "throughput to the server", "MB/s", count / took / MEGABYTE)
    elif measurement.calls:
        with measurement.way() as connection:
            traffic.round_trips(connection, 1, 1)
            figures.add(case, ROUND_TRIP, "us", statistics.median(traffic.round_trips(connection, calls, measurement.seconds)))
    else:
        for metric, to_server in DIRECTIONS.items():
            figures.add(case, metric, "MB/s", transfer_together(measurement, to_server))
    if measurement.link:
        measurement.link.check_path()


def plan_near(lab, plan, seconds):
    """large/... and round-trip/... without a delay."""
    squid = lab.proxy(proxies.squid)
    server = lab.stream_server()
    nginx = lab.proxy(proxies.nginx, server, path="/s", name="nginx-stream")
    direct = lambda: lab.to_port(lab.traffic)
    links = {"tcp": lab.link("tcp", "tcp"), "direct": lab.link("direct", "http"), "squid": lab.link("squid", "http", proxy=squid.url),
             "nginx": lab.link("nginx", "http", site=proxies.nginx),
             "squid, WebSocket": lab.link("websocket", "http", proxy=squid.url, websocket=True)}
    # What goes through which proxy, beside a link: the name of a peer, and what makes it.
    others = {"direct": {"slotwire stream": lambda: lab.stream(server), "httptunnel": lab.httptunnel},
              "squid": {"slotwire stream": lambda: lab.stream(server, proxy=squid.url), "httptunnel": lambda: lab.httptunnel(squid.port),
                        "CONNECT (proxytunnel)": lambda: lab.connect_by_proxytunnel(squid.port)},
              "nginx": {"slotwire stream": lambda: lab.stream(f"{nginx.address}:{nginx.port}")}}
    for kind, where, calls in (("large", ("direct", "squid", "nginx", "squid, WebSocket"), False),
                               ("round-trip", ("direct", "squid", "squid, WebSocket"), True)):
        plan.add(f"{kind}, direct TCP", direct, calls=calls, seconds=seconds)
        through = lambda link: None if calls else lab.tunnel(link)  # calls need no tunnel
        plan.add(f"{kind}, carrier tcp", lambda: through(links["tcp"]), link=links["tcp"], calls=calls, seconds=seconds)
        for place in where:
            case = f"{kind}/{place}"
            plan.add(case, lambda: through(links[place]), link=links[place], calls=calls, seconds=seconds)
            row = plan.rows[case] = Row(f"{kind}, carrier tcp", {"direct TCP": f"{kind}, direct TCP"})
            for name, make in others.get(place, {}).items():
                row.peers[name] = f"{case}, {name}"
                plan.add(row.peers[name], make, calls=calls, seconds=seconds,
                         most=HTTPTUNNEL_BYTES if name == "httptunnel" else MOST_BYTES)
    # The least that requests cost: what curl moves on the same way, with bodies as they begin and as they may become.
    for place, at, proxy in (("direct", server, None), ("squid", server, squid.url), ("nginx", f"{nginx.address}:{nginx.port}", None)):
        for size in POST_BYTES:
            name = f"curl, POSTs of {size} bytes"
            plan.rows[f"large/{place}"].peers[name] = f"large/{place}, {name}"
            plan.add(f"large/{place}, {name}", lambda: lab.posts(at, size, proxy), seconds=seconds, posts=True)
    # The ring bounds what is on its way, and a link over HTTP has more of that than one over TCP.
    floor = f"large, carrier tcp, rings of {RING}"
    for place, case in (("tcp", floor), *((place, f"large/{place}, rings of {RING}") for place in others)):
        plan.add(case, lambda: lab.tunnel(links[place], RING), link=links[place], seconds=seconds)
        if case != floor:
            plan.rows[case] = Row(floor, {"direct TCP": "large, direct TCP"})
    return squid, server, links["squid"]


def plan_short(lab, plan, squid, server, seconds, delay_s):
    """large-20ms and round-trip-20ms."""
    far = lambda target: f"{target.rpartition(':')[0]}:{lab.relay(delay_s, target)}"
    url = f"http://{far(f'{squid.address}:{squid.port}')}"
    tcp = lab.link("short-tcp", "tcp", far=far)
    links = {"": lab.link("short-http", "http", proxy=url, requests=REQUESTS),
             ", WebSocket": lab.link("short-websocket", "http", proxy=url, websocket=True)}
    relayed = lab.relay(delay_s, f"{lab.host}:{lab.traffic}")
    for case, calls in (("large-20ms", False), ("round-trip-20ms", True)):
        more = {"calls": calls, "seconds": seconds, "fewer": FEWER_CALLS}
        through = lambda link: None if calls else lab.tunnel(link, RING)
        plan.add(f"{case}, carrier tcp", lambda: through(tcp), link=tcp, **more)
        peers = {"direct TCP": lambda: lab.to_port(relayed),
                 "slotwire stream": lambda: lab.stream(server, "--max-requests", str(REQUESTS), "--stream-window", "16MiB", proxy=url)}
        note = "" if calls else f"Rings of {RING}, http.requests = {REQUESTS}"
        for name, link in links.items():
            plan.add(case + name, lambda: through(link), link=link, **more)
            plan.rows[case + name] = Row(f"{case}, carrier tcp", {peer: f"{case}, {peer}" for peer in peers}, note)
        for name, make in peers.items():
            plan.add(f"{case}, {name}", make, most=FAR_BYTES, **more)
    return links[""]


def plan_far(lab, plan, squid, server, seconds, delay_s):
    """large-200ms."""
    far = lambda target: f"{target.rpartition(':')[0]}:{lab.relay(delay_s, target)}"
    proxy = far(f"{squid.address}:{squid.port}")
    url, port = f"http://{proxy}", int(proxy.rpartition(":")[2])
    tcp = lab.link("far-tcp", "tcp", far=far)
    http = lab.link("far-http", "http", proxy=url, requests=REQUESTS)
    case = "large-200ms"
    plan.rows[case] = Row(f"{case}, carrier tcp", note=f"Rings of {RING}, http.requests = {REQUESTS}. 'one request at a time' is slotwire stream "
                          "with --max-requests 2, the least, and bodies of 60,000 bytes: one is on its way while the other one is held. The relay ends "
                          "TCP connections, so that TCP's own windows limit no way here")
    more = {"seconds": seconds}
    plan.add(f"{case}, carrier tcp", lambda: lab.tunnel(tcp, RING), link=tcp, **more)
    plan.add(case, lambda: lab.tunnel(http, RING), link=http, **more)
    plan.add(f"{case}, default ring", lambda: lab.tunnel(http), link=http, most=FEW_BYTES, **more)
    plan.add(f"{case}, {TOGETHER} transfers at a time", lambda: lab.tunnel(http, RING), link=http, together=TOGETHER, most=TOGETHER_BYTES,
             **more)
    few, many = ("--max-requests", "2", "--body", "60000"), ("--max-requests", str(REQUESTS), "--stream-window", "16MiB")
    bytes_of = {"one request at a time": {"most": FEW_BYTES}, "httptunnel": {"most": HTTPTUNNEL_BYTES, "most_from": FAR_HTTPTUNNEL_BYTES}}
    for name, make in {"direct TCP": lambda: lab.to_port(lab.relay(delay_s, f"{lab.host}:{lab.traffic}")),
                       "slotwire stream": lambda: lab.stream(server, *many, proxy=url),
                       "one request at a time": lambda: lab.stream(server, *few, proxy=url),
                       "httptunnel": lambda: lab.httptunnel(port),
                       "CONNECT (proxytunnel)": lambda: lab.connect_by_proxytunnel(port)}.items():
        plan.rows[case].peers[name] = f"{case}, {name}"
        plan.add(f"{case}, {name}", make, **{"most": FAR_BYTES, **more, **bytes_of.get(name, {})})
    return http


def measure_unless_missing(measurement, calls, figures, plan):
    if measurement.case in plan.missing:
        return
    start = time.monotonic()
    try:
        measure(measurement, calls, figures)
    except unittest.SkipTest as reason:
        plan.missing[measurement.case] = str(reason)
    except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
        if measurement.link:
            raise
        plan.missing[measurement.case] = f"it failed: {error}"
    print(f"  {measurement.case}: {time.monotonic() - start:.1f} s", file=sys.stderr)


def bench(options):
    """The rows."""
    figures, plan = Figures(), Plan()
    with Lab() as lab:
        squid, server, near = plan_near(lab, plan, options.seconds)
        short = plan_short(lab, plan, squid, server, options.seconds, options.short_delay)
        far = plan_far(lab, plan, squid, server, FAR_TIMES * options.seconds, options.delay)
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", file=sys.stderr)
            for measurement in plan.measurements:
                measure_unless_missing(measurement, options.calls, figures, plan)
        for link in near, short, far:
            check_passed(squid, link)
    for case, reason in plan.missing.items():
        print(f"left out: {case}: {reason}", file=sys.stderr)
    return figures.rows(plan)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a transfer")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--delay", type=float, default=0.1, help="seconds, of each direction in the case large-200ms")
    parser.add_argument("--short-delay", type=float, default=0.01, help="seconds, of each direction in the cases of 20 ms")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # everything that was started ends with it
    try:
        rows = bench(options)
    except unittest.SkipTest as reason:
        sys.exit(f"bench_http.py: {reason}")
    text = json.dumps(rows, indent=1)
    if options.json:
        Path(options.json).write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
