"""What the logs of all programs share."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.drivers.log import Allowance, level_of
from tfd.protocol.logged import READY

INTERVAL = 10


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2 * INTERVAL))))
def test_each_key_is_told_once_in_a_while(asked: list[tuple[str, int]]) -> None:
    """Between two lines of one key lies the interval, and what was left out between them is counted."""
    allowance, now = Allowance(), 0
    told: dict[str, int] = {}
    left_out = {"a": 0, "b": 0}
    for key, pause in asked:
        now += pause
        answer = allowance.ask(key, INTERVAL, now)
        if key in told and now - told[key] < INTERVAL:
            left_out[key] += 1
            assert answer is None
        else:
            assert answer == left_out[key]
            told[key], left_out[key] = now, 0


def test_the_level_of_an_event() -> None:
    """A kind has its own, and a line without a kind is told by its level."""
    assert (level_of(READY), level_of("error")) == (READY.level, "error")
