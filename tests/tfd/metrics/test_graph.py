"""The graphs: well-formed, within their frame, the newest at the right."""

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from tfd.metrics.graph import HEIGHT, coarse, graph, spark
from tfd.metrics.history import SAMPLES

VALUES = st.lists(st.floats(0, 1e30), max_size=SAMPLES)


@given(VALUES, VALUES)
def test_a_graph_stays_in_its_frame(one: list[float], two: list[float]) -> None:
    """Every point of every curve, whatever the values are."""
    for text, width in ((graph("t", [("in", one), ("out", two)]), SAMPLES), (spark("t", one), 60)):
        root = ET.fromstring(text)  # noqa: S314 - it is our own
        for path in root.iter("path"):
            for x, y in re.findall(r"(\d+) ([\d.]+)", path.get("d", "")):
                assert 0 <= float(x) <= width - 1
                assert 0 <= float(y) <= HEIGHT


@given(st.lists(st.integers(0, 100), max_size=50), st.integers(1, 7))
def test_a_short_burst_stays_visible(values: list[int], group: int) -> None:
    """The greatest value of each group is what is drawn."""
    drawn = coarse(values, group)

    assert len(drawn) == -(-len(values) // group)
    assert max(drawn, default=0) == max(values, default=0)
    assert drawn[-1:] == ([max(values[-group:])] if values else [])
