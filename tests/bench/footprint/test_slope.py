"""The slope of a line through measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.footprint.slope import slope

NUMBERS = st.integers(-10_000, 10_000)


@given(st.lists(NUMBERS, min_size=3, max_size=30, unique=True), NUMBERS, NUMBERS)
def test_points_on_a_line_have_its_slope(xs: list[int], each: int, offset: int) -> None:
    """And there is no error in it."""
    found = slope(xs, [each * x + offset for x in xs])

    assert found.each == pytest.approx(each, abs=1e-6)
    assert found.error == pytest.approx(0, abs=1e-3)


def test_points_beside_a_line_have_an_error() -> None:
    """The textbook's example: the best line through 1, 3, 2, 4 rises by 0.8."""
    found = slope([0, 1, 2, 3], [1, 3, 2, 4])

    assert found.each == pytest.approx(0.8)
    assert found.error == pytest.approx((1.8 / 2 / 5) ** 0.5)


@pytest.mark.parametrize(
    ("xs", "ys"), [([], []), ([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([5, 5, 5], [1, 2, 3])]
)
def test_too_little_is_refused(xs: list[int], ys: list[int]) -> None:
    """Two points, or several with one x, tell no slope with its error."""
    with pytest.raises(ValueError, match="point"):
        slope(xs, ys)
