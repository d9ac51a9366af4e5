"""Figures of our programs alone: tfd's start, and what tflocation answers in a second."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.compare import ours
from bench.compare.processes import scheduled_seconds
from bench.compare.programs import Ends, Place, free_port
from bench.compare.rounds import Sample, Settings, backend
from tests.support.client import Client
from tfd.protocol.invite import parse_invite

FEW, MANY = 10, 1000
CALLS = 20
TICKETS_AT_ONCE = 64
REQUESTS = 50
"""An account may hold 4,096 tickets that are not used."""

Say = Callable[[str], None]


def _shown(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def start(how: Settings, say: Say) -> list[Sample]:
    """Measure the time from the start of the process to READY=1, and that of its imports.

    By default READY=1 waits for a second good answer of the container, half a second after the first one;
    what tfd takes itself is what it takes where one is enough.
    """
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        port = stack.enter_context(backend(directory))
        location = Ends(Place(directory, free_port(), free_port(), port), stack)
        ours.start_location(location)
        ours.configure(location)
        _ready(location, ours.RISE)  # which creates the container
        for _ in range(2 * how.rounds):
            ready, processor = _ready(location, 1)
            default, _ = _ready(location, ours.RISE)
            imports, compute = ours.import_seconds("tfd.daemon")
            rows.append(
                {
                    "ready": ready,
                    "ready processor": processor,
                    "ready by default": default,
                    "imports": imports,
                    "imports processor": compute,
                }
            )
    say("### tfd's start, ms (`start`)\n")
    say("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    say("| " + " | ".join(_shown([1e3 * row[key] for row in rows]) for key in rows[0]) + " |\n")
    return [Sample("start", "tfd", number, row, 0.0, 0.0) for number, row in enumerate(rows)]


def _ready(location: Ends, rise: int) -> tuple[float, float]:
    """Give the seconds to READY=1 where so many good answers are wanted, and the processor's part of it."""
    ours.write_configuration(location, rise)
    with ExitStack() as stack:
        ends = Ends(location.place, stack)
        seconds = ours.seconds_to_ready(ends, ours.command(location))
        return seconds, scheduled_seconds(ends.near)


def location(say: Say) -> list[Sample]:
    """Measure listings of few and of many containers, and tickets."""
    samples = []
    say("### tflocation (`location`)\n")
    say("| containers | listed, ms | µs for each | tickets/s |\n|---|---|---|---|")
    for containers in (FEW, MANY):
        with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
            place = Place(Path(name), free_port(), free_port(), free_port())
            (line,) = ours.start_location(Ends(place, stack), containers)
            invite = parse_invite(line)
            client = stack.enter_context(Client(invite.port, invite.public))
            client.open().call("join", token=invite.token)
            listed = [1e3 * _list(client, containers) for _ in range(CALLS)]
            rate = _tickets(client)
        each = median(listed) / containers * 1e3
        say(f"| {containers:,} | {_shown(listed)} | {each:.1f} | {rate:,.0f} |")
        values = {"listed": median(listed), "tickets": rate}
        samples.append(Sample(f"location {containers}", "tflocation", 0, values, 0.0, 0.0))
    say("")
    return samples


def _list(client: Client, expected: int) -> float:
    begun = time.perf_counter()
    found = client.call("container.list")["containers"]
    seconds = time.perf_counter() - begun
    if len(found) != expected:
        raise RuntimeError(f"the location lists {len(found)} containers of {expected}")
    return seconds


def _tickets(client: Client) -> float:
    """Give the tickets that one session is handed out in a second, by one request after the other."""
    container = client.call("container.list")["containers"][0]["id"]
    begun = time.perf_counter()
    for _ in range(REQUESTS):
        client.call("ticket.take", id=container, port=80, count=TICKETS_AT_ONCE)
    return REQUESTS * TICKETS_AT_ONCE / (time.perf_counter() - begun)
