"""Figures of our programs alone: tfd's start, and what tflocation answers in a second."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench.compare import ours
from bench.compare.processes import scheduled_seconds
from bench.compare.programs import Ends, Place, free_port
from bench.compare.rounds import Sample, Settings, backend, measured
from bench.compare.table import failures
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
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        port = stack.enter_context(backend(directory))
        location = Ends(Place(directory, free_port(), free_port(), port), stack)
        ours.start_location(location)
        ours.configure(location)
        _ready(location, ours.RISE)  # which creates the container
        samples = [
            measured("start", "tfd", number, how.tries, lambda: _start(location))
            for number in range(2 * how.rounds)
        ]
    rows = [sample.values for sample in samples if sample.values]
    say("### tfd's start, ms (`start`)\n")
    if rows:
        say("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
        say("| " + " | ".join(_shown([1e3 * row[key] for row in rows]) for key in rows[0]) + " |")
    say("\n".join([*failures(samples), ""]))
    return samples


def _start(location: Ends) -> dict[str, float]:
    ready, processor = _ready(location, 1)
    default, _ = _ready(location, ours.RISE)
    imports, compute = ours.import_seconds("tfd.daemon")
    return {
        "ready": ready,
        "ready processor": processor,
        "ready by default": default,
        "imports": imports,
        "imports processor": compute,
    }


def _ready(location: Ends, rise: int) -> tuple[float, float]:
    """Give the seconds to READY=1 where so many good answers are wanted, and the processor's part of it."""
    ours.write_configuration(location, rise)
    with ExitStack() as stack:
        ends = Ends(location.place, stack)
        seconds = ours.seconds_to_ready(ends, ours.command(location))
        return seconds, scheduled_seconds(ends.near)


def location(how: Settings, say: Say) -> list[Sample]:
    """Measure listings of few and of many containers, and tickets."""
    samples = [
        measured(f"location {containers}", "tflocation", 0, how.tries, partial(_location, containers))
        for containers in (FEW, MANY)
    ]
    say("### tflocation (`location`)\n")
    say("| containers | listed, ms | longest, ms | µs for each | tickets/s |\n|---|---|---|---|---|")
    for values in (sample.values for sample in samples if sample.values):
        count, listed, longest = values["containers"], values["listed"], values["longest"]
        each, tickets = listed / count * 1e3, values["tickets"]
        say(f"| {count:,} | {listed:.1f} | {longest:.1f} | {each:.1f} | {tickets:,.0f} |")
    say("\n".join([*failures(samples), ""]))
    return samples


def _location(containers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        place = Place(Path(name), free_port(), free_port(), free_port())
        (line,) = ours.start_location(Ends(place, stack), containers)
        invite = parse_invite(line)
        client = stack.enter_context(Client(invite.port, invite.public))
        client.open().call("join", token=invite.token)
        listed = [1e3 * _list(client, containers) for _ in range(CALLS)]
        tickets = _tickets(client)
    return {
        "containers": containers,
        "listed": median(listed),
        "longest": max(listed),
        "tickets": tickets,
    }


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
