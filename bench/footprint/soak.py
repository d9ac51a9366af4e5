"""The command behind `bench/soak`: whether memory grows while sessions and connections come and go.

tfd joins one location under several accounts, over a path that cuts every session after some ten seconds: it
comes back at once then, as after a blip. One session alone could not be cut as often, since a location that
is lost again and again is tried at growing intervals. Meanwhile new connections are relayed, each with a
request and an answer. At equal steps the path holds, and memory is looked at.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare.processes import adopt_orphans, use_all_descriptors
from bench.footprint import smaps
from bench.footprint.box import Box, compile_modules, location, serving
from bench.footprint.cutting import Cutting
from bench.footprint.printed import add_python, head, kib, mb, measured_with, row
from bench.footprint.slope import slope
from tests.support.waiting import wait_for
from tfd.protocol.invite import format_invite, parse_invite

RECONNECTS, CONNECTIONS, STEPS = 1440, 1_000_000, 20
ACCOUNTS = 32
LIFE = 10.5
"""Seconds of a session: after ten, tfd takes its loss for a new trouble and comes back after 0.25 s."""

AT_ONCE = 32
SLICE = 3.0
"""Seconds of one run of the load generator."""

WARM = 0.25
"""The part of the run that no slope is made of: heaps and pools take their size."""

FLAT = 0.01
"""The part of its memory by which a flat process grows at most, over all samples that count."""

SURE = 2.0
"""Standard errors by which a slope is above zero where it is no chance."""

TICK = 1.0
SETTLED = 3.0
"""Seconds of rest before a look: tfd gives back what it needs no more after two."""

LIMIT = 60.0
LEAST_STEPS = 4


CONNECTED = "connected to location"
"""In tfd's log, each time that a session is open."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was done until one moment, and what the processes have then."""

    seconds: float
    reconnects: int
    connections: int
    tfd: smaps.Memory
    location: smaps.Memory


class Soak:
    """A tfd whose sessions are cut, and what was done with it so far."""

    def __init__(self, found: Box, path: Cutting) -> None:
        self._found = found
        self._path = path
        self._begun = time.monotonic()
        self._at_first = self._opened()

    def _opened(self) -> int:
        return self._found.log.read_text().count(CONNECTED)

    @property
    def reconnects(self) -> int:
        """Sessions that were open again."""
        return self._opened() - self._at_first

    @property
    def connections(self) -> int:
        """Connections that tfd has accepted."""
        return sum(int(listener["total"]) for listener in self._found.status()["listeners"])

    def churn(self, reconnects: int, connections: int) -> None:
        """Have sessions and connections come and go until there were so many of both."""
        while (missing := self.connections < connections) or self.reconnects < reconnects:
            if missing:
                self._found.ends.place.load("churn", AT_ONCE, SLICE)
            else:
                time.sleep(TICK)

    def look(self) -> Sample:
        """Have no session cut for a moment, wait until all has come to rest, and look."""
        self._path.hold()
        wait_for(self._is_quiet, LIMIT, f"all sessions, and no connection; see {self._found.log}")
        time.sleep(SETTLED)
        pids = (self._found.pid, self._found.location_pid)
        ours, theirs = (smaps.total(smaps.read(pid)) for pid in pids)
        seconds = time.monotonic() - self._begun
        sample = Sample(seconds, self.reconnects, self.connections, ours, theirs)
        self._path.go_on()
        return sample

    def _is_quiet(self) -> bool:
        status = self._found.status()
        is_closed = not any(listener["open"] for listener in status["listeners"])
        return is_closed and all(one["connected"] for one in status["locations"])


@contextmanager
def soaking(python: str, accounts: int) -> Iterator[Soak]:
    """Run a tfd with so many sessions over a path that cuts each of them again and again."""
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        ends, invites = stack.enter_context(location(Path(name) / "soak", accounts))
        lines = [parse_invite(line) for line in invites]
        path = stack.enter_context(Cutting(("127.0.0.1", lines[0].port), LIFE, accounts))
        path.hold()
        through = [format_invite(replace(line, port=path.port)) for line in lines]
        found = stack.enter_context(serving(python, ends, through))
        soak = Soak(found, path)
        path.go_on()
        yield soak


def show(sample: Sample) -> None:
    """Print one line of the table."""
    memories = (sample.tfd, sample.location)
    sizes = (mb(size) for memory in memories for size in (memory.resident, memory.anonymous))
    row(f"{sample.seconds:,.0f}", f"{sample.reconnects:,}", f"{sample.connections:,}", *sizes)


def verdict(name: str, samples: Sequence[Sample], sizes: Sequence[int]) -> str:
    """Say how much a process grew with each thing that was done, and whether that is flat."""
    parts = []
    for unit, xs in (
        ("1,000 reconnects", [sample.reconnects / 1000 for sample in samples]),
        ("100,000 connections", [sample.connections / 100_000 for sample in samples]),
    ):
        if len(set(xs)) > 1:
            found = slope(xs, sizes)
            parts.append(f"{kib(found.each)} ± {kib(found.error)} KiB for {unit}")
    seconds = [sample.seconds for sample in samples]
    whole = slope(seconds, sizes)
    grown = whole.each * (seconds[-1] - seconds[0]) / sizes[0]
    if grown <= FLAT:
        word = "flat"
    else:
        word = "no more than chance" if whole.each <= SURE * whole.error else "it grows"
    return f"{name}: {', '.join(parts)}; {grown:+.2%} from the first of these to the last: {word}"


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    made = argparse.ArgumentParser("bench/soak", description="whether memory grows under churn")
    add_python(made)
    for name, default in (("reconnects", RECONNECTS), ("connections", CONNECTIONS), ("steps", STEPS)):
        made.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default:,}")
    made.add_argument("--accounts", type=int, default=ACCOUNTS, metavar="N", help=f"default {ACCOUNTS}")
    return made


def main() -> None:
    """Measure and print."""
    made = parser()
    options = made.parse_args()
    if options.steps < LEAST_STEPS or options.accounts < 1:
        made.error(f"it takes {LEAST_STEPS} steps and one account")
    use_all_descriptors()
    adopt_orphans()
    compile_modules(options.python)
    print(measured_with(options.python))
    head(
        "Memory under churn, MB (10^6 bytes)",
        *("seconds", "reconnects", "connections"),
        *("tfd RSS", "tfd anonymous", "tflocation RSS", "tflocation anonymous"),
    )
    with soaking(options.python, options.accounts) as soak:
        samples = [soak.look()]
        show(samples[0])
        for step in range(1, options.steps + 1):
            part = step / options.steps
            soak.churn(round(options.reconnects * part), round(options.connections * part))
            samples.append(soak.look())
            show(samples[-1])
    counted = samples[round(options.steps * WARM) :]
    first = counted[0]
    print(f"\nleast squares from {first.reconnects:,} reconnects and {first.connections:,} connections on:")
    print(verdict("tfd", counted, [sample.tfd.resident for sample in counted]))
    print(verdict("tflocation", counted, [sample.location.resident for sample in counted]))


if __name__ == "__main__":
    main()
