"""Delays between tries."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.backoff import Backoff


@given(st.text(), st.lists(st.floats(0, 59), max_size=50))
def test_delays(seed: str, pauses: list[float]) -> None:
    """They double up to a minute, less at most a fifth, and the same story gives the same times."""
    first, second = Backoff(seed), Backoff(seed)
    now = 0.0
    for count, pause in enumerate([0.0, *pauses]):
        now += pause
        until = first.failed(now)
        full = min(60.0, 2.0**count)

        assert second.failed(now) == until == first.until
        assert full * 0.8 - 1e-6 <= until - now <= full + 1e-6


def test_seeds_differ() -> None:
    """Two that fail together do not retry together."""
    assert len({Backoff(f"c{number}").failed(0.0) for number in range(10)}) == 10


def test_forgets() -> None:
    """After ten quiet minutes it starts over."""
    backoff = Backoff("web")
    for _ in range(10):
        backoff.failed(0.0)

    assert backoff.failed(601.0) - 601.0 <= 1.0
