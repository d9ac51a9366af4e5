"""Tables of medians with their spread, and the ratio of tfd to each program."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bench.compare.figures import Figure, Metric
from bench.compare.programs import Kind, Program
from bench.compare.rounds import Sample

BASE = "tfd"
"""Whose ratio to each other program is in the tables."""


Rows = Mapping[int, Mapping[str, float]]
"""A program's values by round."""


def table(figure: Figure, programs: Sequence[Program], samples: Iterable[Sample]) -> list[str]:
    """Give the lines of one figure's table in Markdown.

    A ratio is the median of the ratios within each round, tfd's value by the other's; "better" or "worse"
    says which way it points. Below it are the best rival of each column, and what could not be measured.
    """
    mine = [sample for sample in samples if sample.figure == figure.name]
    named = {sample.program for sample in mine}
    found = {program: _rows(program, mine) for program in programs if program.name in named}
    ours = next((rows for program, rows in found.items() if program.name == BASE), {})
    lines = [f"### {figure.title} (`{figure.name}`)", ""]
    heads = [f"{metric.title} | {BASE}:" for metric in figure.metrics]
    lines += ["| program | " + " | ".join(heads) + " |", "|---" * (1 + 2 * len(heads)) + "|"]
    for program, rows in found.items():
        cells = [
            _value(metric, rows) + " | " + _against(metric, program, rows, ours) for metric in figure.metrics
        ]
        name = f"*{program.name}*" if program.kind is Kind.LIMIT else program.name
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    best = [text for metric in figure.metrics if (text := _best(metric, found))]
    if best:
        lines += ["", f"The best rivals: {'; '.join(best)}."]
    return [*lines, *failures(mine), ""]


def failures(samples: Iterable[Sample]) -> list[str]:
    """Give lines that say which measurements of which programs failed, and why."""
    failed = [sample for sample in samples if sample.failure]
    lines = [""] if failed else []
    for name in dict.fromkeys(sample.program for sample in failed):
        theirs = [sample for sample in failed if sample.program == name]
        for reason in dict.fromkeys(sample.failure for sample in theirs):
            rounds = ", ".join(str(sample.round + 1) for sample in theirs if sample.failure == reason)
            lines.append(f"- {name} could not be measured in round {rounds}: {reason}")
    return lines


def _rows(program: Program, samples: Iterable[Sample]) -> Rows:
    return {
        sample.round: sample.values
        for sample in samples
        if sample.program == program.name and not sample.failure
    }


def _values(metric: Metric, rows: Rows) -> list[float]:
    return [row[metric.key] for row in rows.values() if metric.key in row]


def _value(metric: Metric, rows: Rows) -> str:
    values = _values(metric, rows)
    if not values:
        return "-"
    shown = f"{median(values):,.{metric.decimals}f}"
    if len(values) > 1:
        shown += f" ({min(values):,.{metric.decimals}f}-{max(values):,.{metric.decimals}f})"
    return shown


def _against(metric: Metric, program: Program, rows: Rows, ours: Rows) -> str:
    return "-" if program.name == BASE else _ratio(metric, ours, rows) or "-"


def _ratio(metric: Metric, ours: Rows, theirs: Rows) -> str:
    """Say how ours are to theirs, empty where no round has both."""
    ratios = [
        ours[number][metric.key] / row[metric.key]
        for number, row in theirs.items()
        if row.get(metric.key) and number in ours and metric.key in ours[number]
    ]
    if not ratios:
        return ""
    ratio = median(ratios)
    is_better = ratio >= 1 if metric.more else ratio <= 1
    return f"{ratio:.2f} {'better' if is_better else 'worse'}"


def _best(metric: Metric, found: Mapping[Program, Rows]) -> str:
    """Say which rival has the best median of a column, and how ours are to it; empty where none has one."""
    medians = {
        program.name: (median(values), rows)
        for program, rows in found.items()
        if program.kind is Kind.RIVAL and (values := _values(metric, rows))
    }
    if not medians:
        return ""
    sign = -1 if metric.more else 1
    name, (_, theirs) = min(medians.items(), key=lambda item: sign * item[1][0])
    ratios = {
        program.name: _ratio(metric, rows, theirs)
        for program, rows in found.items()
        if program.kind is Kind.OURS
    }
    told = ", ".join(f"{ours} {ratio}" for ours, ratio in ratios.items() if ratio)
    return f"{metric.title} {name} ({told})" if told else ""


def disturbances(samples: Sequence[Sample], most: float) -> str:
    """Say how much of it others disturbed."""
    disturbed = sum(sample.foreign > most for sample in samples)
    worst = max((sample.foreign for sample in samples), default=0.0)
    stolen = max((sample.stolen for sample in samples), default=0.0)
    return (
        f"{disturbed} of {len(samples)} measurements had more than {most:g} of a core of other load beside "
        f"them (at most {worst:.2f}); the hypervisor took at most {stolen:.2f} of a core."
    )
