"""Time spans and sizes at their edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.config.test_kinds import read
from tfd.config.units import Seconds, Size, size_text, span_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400), (3, 3), (0.25, 0.25), ("0s", 0)],
)
def test_seconds(text: object, seconds: float) -> None:
    """Time spans are seconds."""
    assert seconds == read(Seconds(0, 86400), text)


@pytest.mark.parametrize(
    "text", ["1", "s", "-1s", "1 s", "1S", "1.s", ".5s", "1e3s", "1w", "2d", True, float("nan")]
)
def test_wrong_seconds(text: object) -> None:
    """What is no time span, or one beyond the bounds, is refused."""
    assert read(Seconds(0, 86400), text) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("1K", 1024), ("512M", 2**29), ("1.5G", 3 * 2**29), ("1T", 2**40), ("1MiB", 2**20), (1000, 1000)],
)
def test_size(text: object, size: int) -> None:
    """Sizes are bytes, and their units powers of 1024."""
    assert size == read(Size(1, 2**40), text)


@pytest.mark.parametrize("text", ["1", "1k", "1MB", "1 M", "-1M", "M", "1e3M", 0, 2**41, 1.0, True])
def test_wrong_size(text: object) -> None:
    """What is no size, or one beyond the bounds, is refused."""
    assert read(Size(1, 2**40), text) is None


@given(st.integers(0, 10**6))
def test_span_text(milliseconds: int) -> None:
    """A time span that is printed in a message is read back as the same."""
    seconds = milliseconds / 1000
    found = read(Seconds(0, 10**6), span_text(seconds))

    assert found == pytest.approx(seconds)


@given(st.integers(0, 2**44))
def test_size_text(size: int) -> None:
    """A size that is printed in a message is read back as the same."""
    text = size_text(size)

    assert size == read(Size(0, 2**44), int(text) if text.isdecimal() else text)
