"""What `bench/run` does where something fails, and where others use the machine."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.compare.programs import Ends, Place
from bench.compare.rounds import Kept, measured


class Starts:
    """A program whose starts and stops are counted, and which cannot be started more often than `most`."""

    def __init__(self, most: int) -> None:
        self.tries, self.stops, self._most = 0, 0, most

    @contextmanager
    def start(self, directory: Path) -> Iterator[Ends]:
        """Start it."""
        self.tries += 1
        if self.tries > self._most:
            raise RuntimeError("no such program")
        with ExitStack() as stack:
            yield Ends(Place(directory, 1, 2, 3), stack)
        self.stops += 1


def well(_ends: Ends) -> Mapping[str, float]:
    """Measure something."""
    return {"rate": 1.0}


def badly(_ends: Ends) -> Mapping[str, float]:
    """Fail."""
    raise KeyError("p50")


def test_a_failure_is_a_sample_that_says_why() -> None:
    """Whatever was raised, in one line, after all tries."""
    tries = []

    def fail() -> Mapping[str, float]:
        tries.append(1)
        raise RuntimeError("spiped:\n  refused")

    sample = measured("down", "spiped", 1, 2, fail)

    assert (sample.values, sample.failure, len(tries)) == ({}, "spiped: refused", 2)


def test_an_error_without_words_is_named_by_its_kind() -> None:
    """'p50' alone would tell nothing."""
    assert measured(
        "keep", "ssh", 0, 1, lambda: badly(Ends(Place(Path(), 1, 2, 3), ExitStack()))
    ).failure == ("KeyError('p50')")


def test_what_failed_once_is_tried_again() -> None:
    """And then it is no failure."""
    answers = iter([RuntimeError("once"), None])

    def measure() -> Mapping[str, float]:
        if error := next(answers):
            raise error
        return {"rate": 2.0}

    sample = measured("down", "ssh", 0, 2, measure)

    assert (sample.values, sample.failure) == ({"rate": 2.0}, "")


def test_ends_are_kept_from_figure_to_figure(tmp_path: Path) -> None:
    """Until they are stopped."""
    starts = Starts(1)
    kept = Kept(starts.start, tmp_path)

    assert [kept.measure(well), kept.measure(well)] == [{"rate": 1.0}] * 2
    kept.end()
    assert (starts.tries, starts.stops) == (1, 1)


def test_ends_are_started_anew_after_a_failure(tmp_path: Path) -> None:
    """What broke one figure does not break the next one; each start has a directory of its own."""
    starts = Starts(2)
    kept = Kept(starts.start, tmp_path)
    with pytest.raises(KeyError):
        kept.measure(badly)

    assert starts.stops == 1
    assert kept.measure(well) == {"rate": 1.0}
    kept.end()
    assert (starts.tries, starts.stops, len(list(tmp_path.iterdir()))) == (2, 2, 2)


def test_what_cannot_be_started_is_tried_once(tmp_path: Path) -> None:
    """Each further figure fails at once, with the same words."""
    starts = Starts(0)
    kept = Kept(starts.start, tmp_path)

    for _ in range(3):
        with pytest.raises(RuntimeError, match="no such program"):
            kept.measure(well)
    kept.end()
    assert starts.tries == 1
