"""What the suite `congestion` sends through a bottleneck, and the figures of one measurement."""
import dataclasses
import os
import statistics
import time

from bed import TCP_PORT, Failed

# Rings hold so many times what the path does, so that they limit nothing, and no longer than needed drain afterwards.
RINGS_PER_PATH = 4
CONNECTIONS = 8  # of a link that is not "1,000 slots"
SLOTS = 1000
LEAST_RING, LARGEST_RING, LEAST_SLOTS_RING = 16 << 10, 2 << 20, 4 << 10
DRAIN_S = 30
# Payload is at most 1448 of 1538 bytes of the wire. More than this: a sink read what had waited for it since before the window.
MOST_PAYLOAD = 0.96
LARGEST_SHARE = 1000  # which also stands for "the cubic flow got nothing"
ECHOES = 50
UNITS = {"passed": "of the rate", "added delay": "ms", "largest added delay": "ms", "utilisation": "of the rate", "Jain's index": "", "share beside cubic": "of a cubic flow's", "mean queue": "ms", "largest queue": "ms",
         "dropped": "% of the frames", "marked": "% of the frames", "sent again": "% of the lines", "timeouts": "", "late frames": "%", "load": "processes"}


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    cubic: int = 0  # TCP flows with cubic
    bbr: int = 0
    links: int = 0
    slots: int = CONNECTIONS  # on each link
    from_start: bool = False  # figures are of everything from the first byte on
    algorithm: str = ""  # of the links; empty: as the command line says


CONTENDERS = (
    Contender("cubic", cubic=1),
    Contender("bbr", bbr=1),
    Contender("cubic-4", cubic=4),
    Contender("slotwire", links=1),
    Contender("slotwire-4", links=4),
    Contender("beside cubic", links=1, cubic=1),
    Contender("1000 slots beside cubic", links=1, slots=SLOTS, cubic=1),
    Contender("cubic-20 at once", cubic=20, from_start=True),
    Contender("slotwire-20 at once", links=20, slots=2, from_start=True),
)
BED = Contender("bed")  # nothing but the bed itself
DELAY = Contender("delay", links=1, algorithm="delay")
# What a contender's figures stand beside.
FLOORS = {"bbr": "cubic", "slotwire": "cubic", "cubic-4": "cubic", "slotwire-4": "cubic-4", "slotwire-20 at once": "cubic-20 at once",
          "beside cubic": "cubic", "1000 slots beside cubic": "cubic", "delay": "cubic"}


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds."""
    warm: float
    window: float

    @property
    def all(self):
        return self.warm + self.window


def times_of(cell, factor):
    """Long paths take long to fill: a window has some hundred round trips."""
    slow = cell.round_trip_ms + min(cell.queue_ms, 100) > 60
    return Times(factor * (4 if slow else 2), factor * (10 if slow else 5))


def power_of_two_from(value):
    return 1 << max(int(value) - 1, 1).bit_length()


def ring_bytes(cell, slots):
    path = cell.bdp_bytes + cell.queue_bytes
    least = LEAST_RING if slots <= CONNECTIONS else LEAST_SLOTS_RING
    return min(max(power_of_two_from(RINGS_PER_PATH * path / slots), least), LARGEST_RING)


def jain(values):
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def difference(after, before, name):
    return sum(after[i]["left"][name] - before[i]["left"][name] for i in range(len(after)))


def prepared(bed, contender, seconds):
    """(pairs, flows), ready to start."""
    pairs = [bed.pair(number, contender.algorithm) for number in range(contender.links)]
    flows = []
    try:
        for number, pair in enumerate(pairs):
            flows.append(bed.slotwire_flow(f"link {number}", pair, contender.slots, ring_bytes(bed.cell, contender.slots), seconds, DRAIN_S))
        for algorithm, count in (("cubic", contender.cubic), ("bbr", contender.bbr)):
            for number in range(count):
                flows.append(bed.tcp_flow(f"{algorithm} {number}", algorithm, 1, seconds, TCP_PORT + len(flows)))
    except BaseException:
        for flow in flows:
            flow.kill()
        raise
    return pairs, flows


def run_flows(bed, pairs, flows, times, contender):
    """Starts all together; what was measured between the warm-up's end and the window's end."""
    before = [pair.counters() for pair in pairs]
    drops = bed.device_drops()
    bed.report()
    load = os.getloadavg()[0]
    start = time.monotonic()
    try:
        for flow in flows:
            flow.start()
        if not contender.from_start:
            time.sleep(times.warm)
            bed.report()
        begin = time.monotonic()
        time.sleep(start + times.all - begin)
        report = bed.report()
        end = time.monotonic()
        results = [flow.finish(checks=flow.name.startswith("link")) for flow in flows]
    finally:
        for flow in flows:
            flow.kill()
    after = [pair.counters() for pair in pairs]
    return {"start": start, "begin": begin, "end": end, "report": report, "results": results, "before": before, "after": after,
            "device_drops": bed.device_drops() - drops, "load": load}


def passed(cell, run):
    """What the bottleneck let through in the window, headers and what was sent again included, over its rate."""
    path = run["report"]["to_right"]
    return path["bytes"] * 8 / path["over_s"] / 1e6 / cell.megabits


def figures_of(cell, contender, run):
    """Figures by name, and the throughput of each flow over time."""
    links = [result for result in run["results"] if result.name.startswith("link")]
    others = [result for result in run["results"] if not result.name.startswith("link")]
    rate = lambda result: result.megabits(run["begin"], run["end"])
    path = run["report"]["to_right"]
    offered = path["packets"] + path["dropped_queue"] + path["dropped_random"] or 1
    figures = {"utilisation": sum(map(rate, run["results"])) / cell.megabits, "passed": passed(cell, run), "mean queue": path["mean_queueing_ms"],
               "largest queue": path["largest_queueing_ms"], "dropped": 100 * path["dropped_queue"] / offered}
    if cell.ecn:
        figures["marked"] = 100 * path["marked"] / offered
    equals = links or others
    if len(equals) > 1:
        figures["Jain's index"] = jain([rate(result) for result in equals])
    if links and others:
        figures["share beside cubic"] = min(rate(links[0]) / max(rate(others[0]), 1e-9), LARGEST_SHARE)
    if links:
        lines = difference(run["after"], run["before"], "tx_lines")
        figures["sent again"] = 100 * difference(run["after"], run["before"], "tx_lines_again") / max(lines, 1)
        figures["timeouts"] = difference(run["after"], run["before"], "timeouts")
    else:
        told = [result.told for result in others]
        figures["sent again"] = 100 * sum(t["segments_again"] for t in told) / max(sum(t["segments"] for t in told), 1)
    figures["late frames"] = 100 * path["late"] / max(path["packets"], 1)
    figures["load"] = run["load"]
    return figures


def rates_over_time(run, step_s=0.25):
    """[(flow, [(seconds since the start, Mb/s)])]"""
    series = []
    for result in run["results"]:
        points, at = [], run["start"]
        while at + step_s <= run["end"]:
            points.append((round(at + step_s - run["start"], 2), round(result.megabits(at, at + step_s), 3)))
            at += step_s
        series.append((result.name, points))
    return series


def measure_bed(bed):
    """What a round trip takes beyond the path's own, with nothing else on it: how exact the bed is just now."""
    frame_ms = 2 * (100 + 28 + 14 + 24) * 8 / bed.cell.megabits / 1e3  # an echo's transmission, in both directions
    beyond = [took - bed.cell.round_trip_ms - frame_ms for took in bed.echo_ms(ECHOES)]
    return {"added delay": statistics.median(beyond), "largest added delay": beyond[-1]} if beyond else {}


def measure(bed, contender, factor):
    """(figures, notes, rates of the flows over time, queue over time) of one measurement; one that breaks has but a note."""
    times = times_of(bed.cell, factor)
    notes = []
    try:
        pairs, flows = prepared(bed, contender, times.all + 0.2)
        run = run_flows(bed, pairs, flows, times, contender)
    except (Failed, AssertionError) as error:
        return {}, ["a run failed: " + " ".join(str(error).split())[-400:]], [], []
    finally:
        bed.settle()
    if run["device_drops"]:
        notes.append(f"{run['device_drops']} frames were dropped outside of the bottleneck")
    figures = figures_of(bed.cell, contender, run)
    if figures["utilisation"] > MOST_PAYLOAD * figures["passed"]:
        notes.append(f"a sink was behind when the window began: {figures['utilisation']:.3g} of the rate was read as payload while "
                     f"{figures['passed']:.3g} passed")
    queue = [(round(at - run["start"], 3), wait) for at, wait in bed.queue_over_time(run["start"], run["end"])]
    return figures, notes, rates_over_time(run), queue
