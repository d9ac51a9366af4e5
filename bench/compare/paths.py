"""A path with a delay between the two ends: how long a new connection's first byte takes."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench.compare.processes import first_line, run, started
from bench.compare.programs import LOAD, Ends, Place, Program, free_port
from bench.compare.rounds import Sample, Say, Settings, backend, begin, measured
from bench.compare.table import failures

NEAR, FAR = "10.218.77.1", "10.218.77.2"
ROUND_TRIPS = (1.0, 20.0, 100.0)
"""Milliseconds."""
LOSSES = (0.0, 0.01)
CONNECTIONS = 20
LIMIT = 300.0


@contextmanager
def namespace(name: str) -> Iterator[tuple[str, ...]]:
    """Make a network namespace, and give what begins a command inside it."""
    run(["ip", "netns", "add", name])
    try:
        run(["ip", "-n", name, "link", "set", "lo", "up"])
        yield ("ip", "netns", "exec", name)
    finally:
        run(["ip", "netns", "del", name])


def compare(programs: Sequence[Program], how: Settings, say: Say, progress: Say) -> list[Sample]:
    """Measure every path with every program, one connection after the other, and print one table."""
    losses = LOSSES if how.quiet else LOSSES[:1]
    kinds = [(trip, loss) for trip in ROUND_TRIPS for loss in losses]
    samples = [sample for trip, loss in kinds for sample in _measure(programs, trip, loss, how, progress)]
    say("### First byte of a new connection over a path, in round trips: p50 (p99) (`path`)\n")
    say(
        "| program | "
        + " | ".join(_named(*kind) for kind in kinds)
        + " |\n"
        + "|---" * (1 + len(kinds))
        + "|"
    )
    for program in programs:
        mine = [sample.values for sample in samples if sample.program == program.name]
        cells = [f"{values['p50']:.2f} ({values['p99']:.1f})" if values else "-" for values in mine]
        say(f"| {program.name} | " + " | ".join(cells) + " |")
    say("\n".join([*failures(samples), ""]))
    return samples


def _named(trip: float, loss: float) -> str:
    return f"{trip:g} ms{f', {loss:.0%} lost' if loss else ''}"


def _measure(
    programs: Sequence[Program], trip: float, loss: float, how: Settings, progress: Say
) -> Iterator[Sample]:
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        names = [f"tfd-bench-{end}-{os.getpid()}" for end in ("near", "far")]
        near, far = (stack.enter_context(namespace(name)) for name in names)
        words: list[str | Path] = [LOAD / "path", names[0], NEAR, names[1], FAR, str(trip / 2), str(loss)]
        first_line(stack.enter_context(started(words, directory / "path.log")))
        port = stack.enter_context(backend(directory, far))
        connections = CONNECTIONS if how.quiet else CONNECTIONS // 2

        def first_bytes(program: Program) -> Mapping[str, float]:
            where = Path(tempfile.mkdtemp(dir=directory))
            with ExitStack() as running:
                place = Place(where, free_port(), free_port(), port, FAR, near, far)
                begin(program, Ends(place, running))
                answer = json.loads(place.load("first", connections, limit=LIMIT))
            return {key: answer[key] / trip for key in ("p50", "p99")}

        for program in programs:
            progress(f"path of {_named(trip, loss)}: {program.name}")
            figure = f"path {trip:g} ms {loss:g}"
            yield measured(figure, program.name, 0, how.tries, partial(first_bytes, program))
