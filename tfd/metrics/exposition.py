"""Metrics as Prometheus reads them: its text format, version 0.0.4 (prometheus.io, "Exposition formats")."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from tfd.protocol.dataclass import dataclass

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Point = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket (the last one is for what is above all `bounds`), and the sum of all values."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What all metrics are made from.

    `document` is the status document (tfd.document), `lag` the loop's, `process` has the process's figures by
    the names of their metrics, `now` is Unix time.
    """

    document: Mapping[str, Any]
    lag: Histogram
    process: Mapping[str, float]
    now: float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, kind and meaning, the labels of its points, and how they are had."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    points: Callable[[Seen], Iterable[Point] | Histogram]


def render(families: Iterable[Family], seen: Seen) -> str:
    """Give the text that a scrape is answered with."""
    lines: list[str] = []
    for family in families:
        points = family.points(seen)
        told = _buckets(family.name, points) if isinstance(points, Histogram) else _lines(family.name, points)
        if told:
            lines += [
                f"# HELP {family.name} {_help(family.help)}",
                f"# TYPE {family.name} {family.kind}",
                *told,
            ]
    return "".join(line + "\n" for line in lines)


def _lines(name: str, points: Iterable[Point]) -> list[str]:
    # A series that is there twice would make the whole answer invalid.
    values: dict[str, float] = {}
    for labels, value in points:
        key = _series(name, labels)
        values[key] = values.get(key, 0) + value
    return [f"{series} {_number(value)}" for series, value in values.items()]


def _buckets(name: str, histogram: Histogram) -> list[str]:
    total = 0
    lines = []
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        total += count
        lines.append(f"{_series(f'{name}_bucket', {'le': _number(bound)})} {total}")
    return [*lines, f"{name}_sum {_number(histogram.sum)}", f"{name}_count {total}"]


def _series(name: str, labels: Labels) -> str:
    if not labels:
        return name
    return name + "{" + ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # What is no character, such as half of a surrogate pair, has no UTF-8.
    return escaped.encode("utf-8", "replace").decode()


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
