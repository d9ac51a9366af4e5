"""The loop's lag, on a real loop."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.loops import run_until, running_loop
from tfd.metrics.lag import BOUNDS, LagMeter


@given(st.lists(st.floats(0, 100), max_size=50))
def test_each_measurement_is_counted_once_in_its_bucket(values: list[float]) -> None:
    """As many below each bound as there are."""
    with running_loop() as (loop, _, _):
        meter = LagMeter(loop)
        for value in values:
            meter.record(value)
        meter.close()

    assert sum(meter.counts) == len(values)
    for index, bound in enumerate(BOUNDS):
        assert sum(meter.counts[: index + 1]) == sum(value <= bound for value in values)


def test_it_measures_by_itself_until_it_is_closed() -> None:
    """A first measurement comes within a second or so."""
    with running_loop() as (loop, _, _):
        meter = LagMeter(loop)
        run_until(loop, lambda: sum(meter.counts), 10, "a measurement")
        meter.close()

    assert sum(meter.counts) == 1
