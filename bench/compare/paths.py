"""A path with a delay between the two ends: how long a new connection's first byte takes."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.compare.processes import first_line, run, started
from bench.compare.programs import LOAD, Ends, Place, Program, free_port
from bench.compare.rounds import Sample, Say, Settings, backend, begin

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
    samples = []
    for trip, loss in kinds:
        samples += _measure(programs, trip, loss, CONNECTIONS if how.quiet else CONNECTIONS // 2, progress)
    heads = [f"{trip:g} ms{f', {loss:.0%} lost' if loss else ''}" for trip, loss in kinds]
    say("### First byte of a new connection over a path, in round trips: p50 (p99) (`path`)\n")
    say("| program | " + " | ".join(heads) + " |\n" + "|---" * (1 + len(heads)) + "|")
    for program in programs:
        mine = [sample for sample in samples if sample.program == program.name]
        cells = [f"{sample.values['p50']:.2f} ({sample.values['p99']:.1f})" for sample in mine]
        say(f"| {program.name} | " + " | ".join(cells) + " |")
    say("")
    return samples


def _measure(
    programs: Sequence[Program], trip: float, loss: float, connections: int, progress: Say
) -> list[Sample]:
    samples = []
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        names = [f"tfd-bench-{end}-{os.getpid()}" for end in ("near", "far")]
        near, far = (stack.enter_context(namespace(name)) for name in names)
        words: list[str | Path] = [LOAD / "path", names[0], NEAR, names[1], FAR, str(trip / 2), str(loss)]
        first_line(stack.enter_context(started(words, directory / "path.log")))
        port = stack.enter_context(backend(directory, far))
        for program in programs:
            progress(f"path of {trip:g} ms{f' with {loss:.0%} lost' if loss else ''}: {program.name}")
            (directory / program.name).mkdir()
            place = Place(directory / program.name, free_port(), free_port(), port, FAR, near, far)
            with ExitStack() as running:
                begin(program, Ends(place, running))
                answer = json.loads(place.load("first", connections, limit=LIMIT))
            values = {"p50": answer["p50"] / trip, "p99": answer["p99"] / trip}
            samples.append(Sample(f"path {trip:g} ms {loss:g}", program.name, 0, values, 0.0, 0.0))
    return samples
