"""What is said of a soak: slopes, and whether memory grows."""

import pytest

from bench.footprint.smaps import Memory
from bench.footprint.soak import Sample, verdict

MB = 1_000_000
NOISE = (0, 40_960, 8_192, 20_480)


def samples(reconnects: int = 72, connections: int = 50_000) -> list[Sample]:
    """Steps of a soak."""
    return [
        Sample(30.0 * step, reconnects * step, connections * step, Memory(), Memory()) for step in range(16)
    ]


@pytest.mark.parametrize(("each", "word"), [(0, "flat"), (-100_000, "flat"), (102_400, "it grows")])
def test_growth_is_told(each: int, word: str) -> None:
    """By bytes for each step: none, less, and more than one part in a hundred."""
    steps = samples()
    sizes = [20 * MB + each * step + NOISE[step % 4] for step in range(16)]

    assert verdict("tfd", steps, sizes).endswith(word)


def test_what_chance_explains_is_called_so() -> None:
    """A last sample that is above all others makes no slope."""
    assert verdict("tfd", samples(), [20 * MB] * 15 + [22 * MB]).endswith("no more than chance")


def test_slopes_are_those_of_both_units() -> None:
    """Of 72 reconnects and 50,000 connections a step, KiB for 1,000 and for 100,000 of them."""
    line = verdict("tfd", samples(), [20 * MB + 73_728 * step for step in range(16)])

    assert line.startswith(
        "tfd: 1,000.0 ± 0.0 KiB for 1,000 reconnects, 144.0 ± 0.0 KiB for 100,000 connections;"
    )


def test_what_was_not_done_has_no_slope() -> None:
    """A soak of connections alone tells of these alone."""
    line = verdict("tfd", samples(reconnects=0), [20 * MB] * 16)

    assert "reconnects" not in line
    assert "for 100,000 connections" in line
