"""Rounds: in each one, every figure of every program, the programs one after the other for each figure."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
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
    """One measurement: `foreign` and `stolen` are cores that others and the hypervisor used meanwhile.

    Where it failed, it has no values, and `failure` says why.
    """

    figure: str
    program: str
    round: int
    values: dict[str, float]
    foreign: float
    stolen: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured; `quiet` has what others disturbed measured again."""

    rounds: int
    seconds: float
    quiet: bool

    @property
    def tries(self) -> int:
        """How often one thing is measured at most."""
        return TRIES if self.quiet else 1


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
    """Start both ends and wait until a byte comes back. Raises RuntimeError with what they complained of."""
    program.start(ends)
    try:
        wait_for(lambda: answers(ends.place), START_LIMIT, "the first byte")
    except AssertionError as error:
        logs = [ends.place.directory / f"{end}.log" for end in ("far", "near")]
        told = [log.read_text(errors="replace").strip() for log in logs if log.exists()]
        last = [text.splitlines()[-1] for text in told if text]
        raise RuntimeError(": ".join(["not started", str(error), *last])) from None


def answers(place: Place) -> bool:
    """Tell whether a byte comes back through a program."""
    try:
        return '"count":1' in place.load("first", 1)
    except RuntimeError:
        return False


class Kept:
    """A program's two ends, kept from figure to figure, and started anew after a figure that failed.

    Args:
        start: runs both ends in a directory that it is given.
        directory: where those directories are made.

    """

    def __init__(self, start: Callable[[Path], AbstractContextManager[Ends]], directory: Path) -> None:
        self._start, self._directory = start, directory
        self._stack = ExitStack()
        self._ends: Ends | None = None
        self._refused = ""

    def measure(self, measure: Callable[[Ends], Mapping[str, float]]) -> Mapping[str, float]:
        """Measure something. What could not be started is not tried again: each try would take long."""
        if self._refused:
            raise RuntimeError(self._refused)
        if self._ends is None:
            directory = Path(tempfile.mkdtemp(dir=self._directory))
            try:
                self._ends = self._stack.enter_context(self._start(directory))
            except Exception as error:
                self._refused = _told(error)
                raise
        try:
            return measure(self._ends)
        except Exception:
            self.end()
            raise

    def end(self) -> None:
        """Stop both ends."""
        self._ends = None
        self._stack.close()


def measured(
    figure: str, program: str, number: int, tries: int, measure: Callable[[], Mapping[str, float]]
) -> Sample:
    """Measure, again where others disturbed it or it failed; the least disturbed one counts."""
    found = Sample(figure, program, number, {}, 0.0, 0.0)
    for _ in range(tries):
        foreign = Foreign()
        try:
            values = dict(measure())
        except Exception as error:  # noqa: BLE001 - whatever fails is a line of the table, not the run's end
            found = found if found.values else replace(found, failure=_told(error))
            continue
        cores, stolen = foreign.since()
        if not found.values or cores < found.foreign:
            found = Sample(figure, program, number, values, cores, stolen)
        if cores <= FOREIGN_MOST:
            break
    return found


def _told(error: Exception) -> str:
    text = str(error) if isinstance(error, RuntimeError | AssertionError | OSError) else repr(error)
    return " ".join(text.split())


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

            def kept(program: Program, directory: Path = directory, port: int = port) -> Kept:
                return Kept(lambda where: running(program, port, where), directory)

            together = {program.name: kept(program) for program in order}
            for each in together.values():
                stack.callback(each.end)
            for figure in figures:
                for program in order if not (figure.fresh and number) else ():
                    if figure.fresh and program.name == "bare":
                        continue  # it has no ends
                    say(f"round {number + 1} of {settings.rounds}: {figure.name}, {program.name}")
                    ends = kept(program) if figure.fresh else together[program.name]
                    sample = _measure(program, figure, ends, number, settings)
                    if figure.fresh:
                        ends.end()
                    if sample.failure:
                        say(f"{figure.name}, {program.name}: {sample.failure}")
                    yield sample


def _measure(program: Program, figure: Figure, kept: Kept, number: int, settings: Settings) -> Sample:
    def measure() -> Mapping[str, float]:
        return kept.measure(lambda ends: figure.measure(program, ends, settings.seconds))

    return measured(figure.name, program.name, number, 1 if figure.fresh else settings.tries, measure)
