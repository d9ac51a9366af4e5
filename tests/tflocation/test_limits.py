"""Limits of an account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import CommandError
from tflocation.limits import GIB, Limits, Usage, check_container, check_volumes, readable

SMALL = Limits(containers=2, memory=100, volumes=50)


@given(st.integers(0, 4), st.integers(0, 200), st.integers(0, 200))
def test_a_container_is_refused_exactly_beyond_a_limit(containers: int, memory: int, asked: int) -> None:
    """The last container and byte that the limits allow are given, and no more."""
    fits = containers < 2 and memory + asked <= 100
    try:
        check_container(SMALL, Usage(containers, memory), asked)
        allowed = True
    except CommandError as error:
        allowed = False
        assert error.code == "limit"  # noqa: PT017 - either outcome is looked at
    assert allowed == fits


def test_the_message_says_which_limit_its_value_and_what_was_asked() -> None:
    """Whoever reads it knows what to ask the administrator for."""
    with pytest.raises(CommandError, match=r"volumes: .* limit is 50 B, 40 B is in use, 11 B more asked for"):
        check_volumes(SMALL, Usage(volumes=40), 11)
    check_volumes(SMALL, Usage(volumes=40), 10)


def test_sizes_are_written_in_the_largest_unit() -> None:
    """A number is short and exact enough."""
    assert [readable(size) for size in (0, 1023, 1024, 3 * GIB // 2)] == ["0 B", "1023 B", "1 KiB", "1.5 GiB"]
