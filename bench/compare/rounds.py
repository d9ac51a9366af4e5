"""Rounds: in each one, every figure of every program, the programs one after the other for each figure."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compare.figures import Figure
from bench.compare.processes import Foreign, first_line, started
from bench.compare.programs import LOAD, Ends, Place, Program, free_port
from tests.support.waiting import wait_for

FOREIGN_MOST = 0.15
"""Cores that others may use while something is measured; beyond that it is measured again."""

TRIES = 2
START_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: `foreign` and `stolen` are cores that others and the hypervisor used meanwhile."""

    figure: str
    program: str
    round: int
    values: dict[str, float]
    foreign: float
    stolen: float


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured; `quiet` has what others disturbed measured again."""

    rounds: int
    seconds: float
    quiet: bool


Say = Callable[[str], None]


@contextmanager
def backend(directory: Path, prefix: tuple[str, ...] = ()) -> Iterator[int]:
    """Run the backend and give its port."""
    port = free_port()
    with started([*prefix, LOAD / "backend", str(port)], directory / "backend.log") as process:
        first_line(process)
        yield port


@contextmanager
def running(program: Program, port: int, directory: Path) -> Iterator[Ends]:
    """Run both ends of a program on loopback, and wait until a byte comes back through them."""
    near = port if program.name == "bare" else free_port()
    with ExitStack() as stack:
        ends = Ends(Place(directory, near, free_port(), port), stack)
        begin(program, ends)
        yield ends


def begin(program: Program, ends: Ends) -> None:
    """Start both ends and wait until a byte comes back. Raises RuntimeError, AssertionError."""
    program.start(ends)
    wait_for(lambda: answers(ends.place), START_LIMIT, f"{program.name}; see {ends.place.directory}/*.log")


def answers(place: Place) -> bool:
    """Tell whether a byte comes back through a program."""
    try:
        return '"count":1' in place.load("first", 1)
    except RuntimeError:
        return False


def measure_all(
    programs: Sequence[Program], figures: Sequence[Figure], settings: Settings, say: Say
) -> Iterator[Sample]:
    """Measure; each round starts all programs anew and begins with another one."""
    for number in range(settings.rounds):
        shift = number % len(programs)
        order = [*programs[shift:], *programs[:shift]]
        with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name, ExitStack() as stack:
            directory = Path(name)
            port = stack.enter_context(backend(directory))
            together = {
                program.name: stack.enter_context(running(program, port, _made(directory / program.name)))
                for program in order
                if not all(figure.fresh for figure in figures)
            }
            for figure in figures:
                if figure.fresh and number:
                    continue
                for program in order:
                    say(f"round {number + 1} of {settings.rounds}: {figure.name}, {program.name}")
                    if not figure.fresh:
                        yield from _measure(program, figure, together[program.name], number, settings, say)
                    elif program.name != "bare":
                        fresh = _made(directory / f"{program.name}-{figure.name}")
                        with running(program, port, fresh) as ends:
                            yield from _measure(program, figure, ends, number, settings, say)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _measure(
    program: Program, figure: Figure, ends: Ends, number: int, settings: Settings, say: Say
) -> Iterator[Sample]:
    """Measure, again where others disturbed it; the least disturbed one counts."""
    best: Sample | None = None
    for _ in range(TRIES if settings.quiet and not figure.fresh else 1):
        foreign = Foreign()
        try:
            values = dict(figure.measure(program, ends, settings.seconds))
        except RuntimeError as error:
            say(f"{figure.name}, {program.name}: {error}")
            return
        cores, stolen = foreign.since()
        if best is None or cores < best.foreign:
            best = Sample(figure.name, program.name, number, values, cores, stolen)
        if cores <= FOREIGN_MOST:
            break
    assert best is not None
    yield best
