"""Tables of medians with their spread, and the ratio of tfd to each program."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.compare.figures import Figure, Metric
from bench.compare.programs import Kind, Program
from bench.compare.rounds import Sample


def table(figure: Figure, programs: Sequence[Program], samples: Iterable[Sample]) -> list[str]:
    """Give the lines of one figure's table in Markdown.

    A ratio is the median of the ratios within each round, tfd's value by the other's; "better" or "worse"
    says which way it points.
    """
    mine = [sample for sample in samples if sample.figure == figure.name]
    lines = [f"### {figure.title} (`{figure.name}`)", ""]
    heads = [f"{metric.title} | tfd:" for metric in figure.metrics]
    lines += ["| program | " + " | ".join(heads) + " |", "|---" * (1 + 2 * len(heads)) + "|"]
    for program in programs:
        rows = {sample.round: sample.values for sample in mine if sample.program == program.name}
        if rows:
            ours = {sample.round: sample.values for sample in mine if sample.program == "tfd"}
            cells = [cell for metric in figure.metrics for cell in _cells(metric, rows, ours, program)]
            name = f"*{program.name}*" if program.kind is Kind.LIMIT else program.name
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


Rows = dict[int, dict[str, float]]


def _cells(metric: Metric, rows: Rows, ours: Rows, program: Program) -> tuple[str, str]:
    values = [row[metric.key] for row in rows.values() if metric.key in row]
    if not values:
        return "-", "-"
    shown = f"{median(values):,.{metric.decimals}f}"
    if len(values) > 1:
        shown += f" ({min(values):,.{metric.decimals}f}-{max(values):,.{metric.decimals}f})"
    if program.kind is Kind.OURS:
        return shown, "-"
    ratios = [
        ours[number][metric.key] / row[metric.key]
        for number, row in rows.items()
        if row.get(metric.key) and number in ours and metric.key in ours[number]
    ]
    if not ratios:
        return shown, "-"
    ratio = median(ratios)
    is_better = ratio >= 1 if metric.more else ratio <= 1
    return shown, f"{ratio:.2f} {'better' if is_better else 'worse'}"


def disturbances(samples: Sequence[Sample], most: float) -> str:
    """Say how much of it others disturbed."""
    disturbed = sum(sample.foreign > most for sample in samples)
    worst = max((sample.foreign for sample in samples), default=0.0)
    stolen = max((sample.stolen for sample in samples), default=0.0)
    return (
        f"{disturbed} of {len(samples)} measurements had more than {most:g} of a core of other load beside "
        f"them (at most {worst:.2f}); the hypervisor took at most {stolen:.2f} of a core."
    )
