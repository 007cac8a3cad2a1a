"""The paths that the suite `congestion` measures on: rate, round trip, queue, random loss, ECN."""
import dataclasses
import itertools

RATES_MBIT = (10, 100, 300)
ROUND_TRIPS_MS = (1, 20, 100)
QUEUES_BDP = (0.25, 1, 4)
LOSSES_PERCENT = (0, 0.1, 1, 2)
# A queue of a few frames measures how bursts of a few frames fare, so no queue is smaller than 20 of them.
LEAST_QUEUE = 30_000
FRAME = 1538  # bytes of the wire that a packet of 1500 bytes takes
LEAST_MARKING = 10 * FRAME
MARKING_BDP = 0.2  # CE is set beyond this


@dataclasses.dataclass(frozen=True)
class Cell:
    megabits: float
    round_trip_ms: float
    queue_bdp: float = 1
    loss_percent: float = 0
    ecn: bool = False

    @property
    def bdp_bytes(self):
        return self.megabits * 1e6 / 8 * self.round_trip_ms / 1e3

    @property
    def queue_bytes(self):
        return int(max(self.queue_bdp * self.bdp_bytes, LEAST_QUEUE))

    @property
    def ce_bytes(self):
        return int(min(max(MARKING_BDP * self.bdp_bytes, LEAST_MARKING), self.queue_bytes / 2)) if self.ecn else None

    @property
    def queue_ms(self):
        """How long a full queue takes to drain."""
        return self.queue_bytes * 8 / self.megabits / 1e3

    @property
    def name(self):
        ecn = " ECN" if self.ecn else ""
        return f"{self.megabits:g} Mb/s {self.round_trip_ms:g} ms {self.queue_bdp:g} BDP {self.loss_percent:g} %{ecn}"

    @property
    def same_path(self):
        """Equal for cells that differ in nothing but the name: small queues are all LEAST_QUEUE."""
        return (self.megabits, self.round_trip_ms, self.queue_bytes, self.loss_percent, self.ecn)


CENTRE = Cell(100, 20)


def without_repeats(cells):
    found = {}
    for cell in cells:
        found.setdefault(cell.same_path, cell)
    return list(found.values())


def quick():
    return [Cell(10, 20), CENTRE, dataclasses.replace(CENTRE, loss_percent=1)]


def star():
    """Every rate with every round trip, and from the centre each other property by itself."""
    cells = [Cell(rate, round_trip) for rate, round_trip in itertools.product(RATES_MBIT, ROUND_TRIPS_MS)]
    cells += [dataclasses.replace(CENTRE, queue_bdp=queue) for queue in QUEUES_BDP]
    cells += [dataclasses.replace(CENTRE, loss_percent=loss) for loss in LOSSES_PERCENT]
    cells += [dataclasses.replace(cell, ecn=True) for cell in (Cell(10, 20), CENTRE, Cell(300, 20))]
    return without_repeats(cells)


def whole():
    return without_repeats(Cell(*values) for values in itertools.product(RATES_MBIT, ROUND_TRIPS_MS, QUEUES_BDP, LOSSES_PERCENT, (False, True)))


MATRICES = {"quick": quick, "star": star, "whole": whole}


def parse_cell(text):
    """"100/20/1/0", and "/ecn" at the end: rate, round trip, queue in BDP, loss in percent."""
    parts = text.split("/")
    ecn = parts[-1] == "ecn"
    values = [float(part) for part in (parts[:-1] if ecn else parts)]
    if not 2 <= len(values) <= 4:
        raise ValueError(f"'{text}' is no cell; write rate/round trip[/queue[/loss]][/ecn], such as 100/20/1/0/ecn")
    return Cell(*values, **({"ecn": True} if ecn else {}))
