"""The last hour's samples: rates, bounds, listeners that come and go."""

from hypothesis import given
from hypothesis import strategies as st

from tfd.metrics.history import LISTENERS, SAMPLES, History, Series
from tfd.proxy import ListenerStatistics


def counts(number: int, opened: int = 1) -> ListenerStatistics:
    """Give a listener's counts that all have grown to a number."""
    return ListenerStatistics(opened, 0, number, number * 10, number * 100, {})


@given(st.lists(st.floats(0, 1e9, width=32), max_size=3 * SAMPLES))
def test_the_newest_values_are_kept(values: list[float]) -> None:
    """As many as an hour has, in their order."""
    series = Series()
    for value in values:
        series.put(value)

    assert list(series.values) == values[-SAMPLES:]


def test_rates_are_growth_by_time() -> None:
    """The first sample makes none; open connections are as they are."""
    history = History()
    history.sample({"a": counts(100), "b": counts(5)}, 15.0)
    history.sample({"a": counts(130, 7), "b": counts(5)}, 15.0)

    assert history.accepted.values == (2.0,)
    assert history.bytes_in.values == (20.0,)
    assert history.bytes_out.values == (200.0,)
    assert history.open.values == (8.0,)
    assert history.listeners["a"].values == (220.0,)
    assert history.listeners["b"].values == (0.0,)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 50)), max_size=20))
def test_no_rate_is_below_nothing(steps: list[dict[str, int]]) -> None:
    """Whichever listeners go, and come back with their counts at 0."""
    history = History()
    for step in steps:
        history.sample({name: counts(number) for name, number in step.items()}, 1.0)

    for series in (history.accepted, history.bytes_in, history.bytes_out, *history.listeners.values()):
        assert min(series.values, default=0) >= 0


def test_a_thousand_listeners_do_not_fill_the_memory() -> None:
    """A bounded number of them has a history of its own; the sums have all."""
    history = History()
    for step in range(3):
        history.sample({str(name): counts(step) for name in range(1000)}, 1.0)

    assert len(history.listeners) == LISTENERS
    assert history.accepted.values == (1000.0, 1000.0)
