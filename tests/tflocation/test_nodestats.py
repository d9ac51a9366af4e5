"""What nodes had to spare: rates from counters."""

from hypothesis import given
from hypothesis import strategies as st

from tflocation.engines.interface import NodeInfo
from tflocation.nodestats import INTERVAL, NodeStats, Spare


def node(uptime: float, idle: float, swapped: int = 0, load: float = 0.5, cpus: int = 4) -> NodeInfo:
    """Give a node with these counters."""
    return NodeInfo("one", True, cpus, load, 1 << 30, 1 << 29, 0.0, 0, uptime, idle, swapped)


def test_rates_are_of_the_time_between_two_readings() -> None:
    """At first the load average tells; then idle seconds and swapped bytes in each second."""
    stats = NodeStats()
    assert stats.spare(node(100, 50)) == Spare(2.0, 0)
    assert stats.spare(node(105, 65, 5000)) == Spare(3.0, 1000)
    assert stats.spare(node(105.5, 66, 9999)) == Spare(3.0, 1000)
    assert stats.spare(node(110, 65, 5000)) == Spare(0.0, 0)


def test_a_node_that_was_started_anew_or_counts_nothing() -> None:
    """Counters that went back, or stay 0, leave the load average."""
    stats = NodeStats()
    stats.spare(node(1000, 500, 100))
    assert stats.spare(node(3, 1, load=0.25)) == Spare(3.0, 0)
    other = NodeStats()
    assert other.spare(node(0, 0, load=0.25)) == Spare(3.0, 0)
    assert other.spare(node(0, 0, load=0.75)) == Spare(1.0, 0)


@given(st.lists(st.builds(node, st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 2**60))))
def test_whatever_is_counted_the_figures_make_sense(readings: list[NodeInfo]) -> None:
    """Between none and all processors, never negative."""
    stats = NodeStats()
    for reading in readings:
        spare = stats.spare(reading)
        assert 0 <= spare.idle <= reading.cpus
        assert spare.swapping >= 0


def test_the_average_start_is_of_the_latest_ones_there() -> None:
    """Other nodes' and old starts do not count."""
    stats = NodeStats()
    assert stats.start_time("one", 0) == 0
    stats.started("one", 1.0, 100)
    stats.started("one", 2.0, 101)
    stats.started("two", 9.0, 101)
    assert stats.start_time("one", 102) == 1.5
    assert stats.start_time("one", 100.5 + INTERVAL) == 2.0
    assert stats.start_time("one", 200 + INTERVAL) == 0
