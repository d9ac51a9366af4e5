"""The tables of `bench/run`."""

from collections.abc import Mapping

import pytest

from bench.compare.figures import Figure, Metric, Values
from bench.compare.programs import Ends, Kind, Program
from bench.compare.rounds import Sample
from bench.compare.table import disturbances, table


def nothing(_program: Program, _ends: Ends, _seconds: float) -> Values:
    """Measure nothing."""
    return {}


def not_started(_ends: Ends) -> None:
    """Start nothing."""


FIGURE = Figure("down", "Throughput", (Metric("rate", "MB/s", more=True, decimals=0),), nothing)
OURS = Program("tfd", Kind.OURS, not_started)
CURRENT = Program("tfd-pypi", Kind.OURS, not_started)
RIVAL = Program("ssh", Kind.RIVAL, not_started)
OTHER = Program("stunnel", Kind.RIVAL, not_started)
LIMIT = Program("bare", Kind.LIMIT, not_started)


def samples(rates: Mapping[str, list[float]]) -> list[Sample]:
    """Give a sample for each program's rate in each round."""
    return [
        Sample("down", program, number, {"rate": rate}, 0.0, 0.0)
        for program, values in rates.items()
        for number, rate in enumerate(values)
    ]


def rows(rates: Mapping[str, list[float]]) -> list[str]:
    """Give the rows of programs."""
    found = table(FIGURE, (OURS, CURRENT, RIVAL, OTHER, LIMIT), samples(rates))
    return [line for line in found[4:] if line.startswith("|")]


def test_a_row_has_the_median_and_the_spread() -> None:
    """An odd one out moves the spread and not the median; ours has no ratio."""
    assert rows({"tfd": [1000, 30, 1200]}) == ["| tfd | 1,000 (30-1,200) | - |"]


def test_a_single_round_has_no_spread() -> None:
    """The value stands alone."""
    assert rows({"tfd": [7.4]}) == ["| tfd | 7 | - |"]


def test_a_ratio_is_the_median_of_those_within_the_rounds() -> None:
    """A round in which everything was slow counts as the others; a limit is set in italics."""
    found = rows({"tfd": [100, 10, 300], "ssh": [50, 5, 100], "bare": [200, 20, 600]})

    assert found[1:] == ["| ssh | 50 (5-100) | 2.00 better |", "| *bare* | 200 (20-600) | 0.50 worse |"]


def test_where_less_is_better_the_ratio_says_so() -> None:
    """The same numbers are worse for a time."""
    figure = Figure("ping", "Round trip", (Metric("p50", "ms"),), nothing)
    found = table(
        figure,
        (OURS, RIVAL),
        [Sample("ping", name, 0, {"p50": value}, 0.0, 0.0) for name, value in (("tfd", 2.0), ("ssh", 1.0))],
    )

    assert found[-4:-1] == [
        "| ssh | 1.00 | 2.00 worse |",
        "",
        "The best rivals: ms ssh (tfd 2.00 worse).",
    ]


def test_a_round_that_one_program_missed_counts_for_no_ratio() -> None:
    """What failed leaves a gap, and a program without any sample no row."""
    found = table(
        FIGURE,
        (OURS, RIVAL, LIMIT),
        [
            Sample("down", "tfd", 1, {"rate": 4.0}, 0.0, 0.0),
            Sample("down", "ssh", 0, {"rate": 1.0}, 0.0, 0.0),
            Sample("down", "ssh", 1, {"rate": 2.0}, 0.0, 0.0),
        ],
    )

    assert found[4:6] == ["| tfd | 4 | - |", "| ssh | 2 (1-2) | 2.00 better |"]


def test_all_of_ours_are_set_beside_the_best_rival() -> None:
    """The one with the best median, limits left out; the variant's row has tfd's ratio to it."""
    rates = {"tfd": [90.0], "tfd-pypi": [150.0], "ssh": [100.0], "stunnel": [50.0], "bare": [900.0]}

    found = table(FIGURE, (OURS, CURRENT, RIVAL, OTHER, LIMIT), samples(rates))

    assert found[5] == "| tfd-pypi | 150 | 0.60 worse |"
    assert found[-2] == "The best rivals: MB/s ssh (tfd 0.90 worse, tfd-pypi 1.50 better)."


def test_a_value_of_nothing_is_no_measure() -> None:
    """Where the best rival has 0 there is no ratio, and so no line about it."""
    figure = Figure("churn", "New connections", (Metric("lost", "failed"),), nothing)
    found = table(
        figure,
        (OURS, RIVAL),
        [Sample("churn", name, 0, {"lost": 0.0}, 0.0, 0.0) for name in ("tfd", "ssh")],
    )

    assert found[4:] == ["| tfd | 0.00 | - |", "| ssh | 0.00 | - |", ""]


def test_what_failed_says_so_below_the_table() -> None:
    """In which round and why; the rounds that went well count, and a program without one has dashes."""
    found = table(
        FIGURE,
        (OURS, RIVAL, OTHER),
        [
            *samples({"tfd": [4.0, 6.0], "ssh": [2.0]}),
            Sample("down", "ssh", 1, {}, 0.0, 0.0, "not over after 120 s"),
            Sample("down", "stunnel", 0, {}, 0.0, 0.0, "not started"),
            Sample("down", "stunnel", 1, {}, 0.0, 0.0, "not started"),
        ],
    )

    assert found[5:7] == ["| ssh | 2 | 2.00 better |", "| stunnel | - | - |"]
    assert found[-3:-1] == [
        "- ssh could not be measured in round 2: not over after 120 s",
        "- stunnel could not be measured in round 1, 2: not started",
    ]


@pytest.mark.parametrize("values", [{}, {"other": 1.0}])
def test_what_was_not_measured_is_a_dash(values: dict[str, float]) -> None:
    """A program that cannot do a part of a figure has its row all the same."""
    found = table(FIGURE, (OURS,), [Sample("down", "tfd", 0, values, 0.0, 0.0)])

    assert found[-2] == "| tfd | - | - |"


def test_disturbances_are_counted() -> None:
    """How many measurements others disturbed, and by how much at most."""
    found = disturbances(
        [Sample("down", "tfd", number, {}, load, 0.01) for number, load in enumerate((0.0, 0.2, 0.5))], 0.15
    )

    assert found.startswith("2 of 3 measurements had more than 0.15 of a core")
    assert "(at most 0.50)" in found
