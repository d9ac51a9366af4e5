"""The Prometheus text: names and values that come back as they were, and promtool's own opinion."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from tests.tfd.metrics.documents import document
from tfd.metrics.exposition import Family, Histogram, Seen, render
from tfd.metrics.families import FAMILIES
from tfd.metrics.lag import BOUNDS
from tfd.metrics.process import figures

LAG = Histogram(BOUNDS, [1] * (len(BOUNDS) + 1), 12.5)


def seen(name: str = "web") -> Seen:
    """Give what metrics are made from, with one of everything that has a name."""
    return Seen(document(name, name), LAG, figures(10.0), 1_700_000_000.0)


def unescaped(text: str) -> str:
    """Read an escaped label value as the format says."""
    out, escape = "", False
    for character in text:
        if escape:
            out += {"n": "\n"}.get(character, character)
        elif character != "\\":
            out += character
        escape = character == "\\" and not escape
    return out


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_label_comes_back_as_it_was(value: str) -> None:
    """Quotes, backslashes and line ends included; a series is one line."""
    family = Family("a", "gauge", "b", ("c",), lambda _: [({"c": value}, 1)])
    *_, line = render([family], seen()).removesuffix("\n").split("\n")

    assert line.startswith('a{c="')
    assert line.endswith('"} 1')
    assert unescaped(line.removeprefix('a{c="').removesuffix('"} 1')) == value


def test_promtool_finds_nothing_to_complain_of() -> None:
    """It parses all metrics and lints their names, types and help, with strange names too."""
    for name in ("web", 'a"b\\c\nd\ud800é'):
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=render(FAMILIES, seen(name)).encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_each_metric_is_there_with_its_help_and_type() -> None:
    """Once each, and with the labels that the table says."""
    lines = render(FAMILIES, seen()).splitlines()

    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}" in lines
        assert f"# TYPE {family.name} {family.kind}" in lines
        sample = next(
            line
            for line in lines
            if line.startswith((f"{family.name}{{", f"{family.name} ", f"{family.name}_"))
        )
        labels = tuple(
            part.split("=")[0] for part in sample.partition("{")[2].rpartition("}")[0].split(",") if part
        )
        assert labels == family.labels


def test_one_series_is_told_once() -> None:
    """Two copies of one container, the old one on its way out, give one series for each state."""
    told = document()
    told["containers"].append(told["containers"][0] | {"state": "draining"})
    text = render(FAMILIES, Seen(told, LAG, figures(1), 0.0))
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]

    assert len(series) == len(set(series))
    assert 'tfd_container_state{container="web",state="draining"} 1' in text
    assert 'tfd_container_state{container="web",state="good"} 1' in text


def test_buckets_are_cumulative() -> None:
    """And the last one has all."""
    text = render(FAMILIES, seen())

    assert 'tfd_loop_lag_seconds_bucket{le="0.001"} 1\n' in text
    assert 'tfd_loop_lag_seconds_bucket{le="+Inf"} 11\n' in text
    assert "tfd_loop_lag_seconds_count 11\n" in text
    assert "tfd_loop_lag_seconds_sum 12.5\n" in text
