"""Small graphs of the last hour, as inline SVG."""

from collections.abc import Sequence
from typing import Final

from tfd.metrics.history import SAMPLES

HEIGHT: Final = 40
SPARK_POINTS: Final = 60


def graph(title: str, curves: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Draw curves, given as class and values, over one scale. `title` is read out, and must be escaped."""
    peak = max((max(values, default=0) for _, values in curves), default=0)
    drawn = "".join(_curve(name, values, SAMPLES, peak) for name, values in curves)
    return _svg("graph", title, SAMPLES, f"{_base(SAMPLES)}{drawn}")


def spark(title: str, values: Sequence[float]) -> str:
    """Draw one curve in the size of a line of text."""
    points = coarse(values, SAMPLES // SPARK_POINTS)
    return _svg(
        "spark",
        title,
        SPARK_POINTS,
        f"{_base(SPARK_POINTS)}{_curve('', points, SPARK_POINTS, max(points, default=0))}",
    )


def coarse(values: Sequence[float], group: int) -> list[float]:
    """Give the greatest of each group of values, counted from the newest: a short burst stays visible."""
    ends = range(len(values), 0, -group)
    return [max(values[max(0, end - group) : end]) for end in reversed(ends)]


def _svg(name: str, title: str, width: int, inner: str) -> str:
    return (
        f'<svg class="{name}" viewBox="0 0 {width - 1} {HEIGHT}" preserveAspectRatio="none" role="img">'
        f"<title>{title}</title>{inner}</svg>"
    )


def _base(width: int) -> str:
    return f'<path class="base" d="M0 {HEIGHT}H{width - 1}"/>'


def _curve(name: str, values: Sequence[float], width: int, peak: float) -> str:
    """Draw the values with the newest at the right edge."""
    if not values:
        return ""
    first = width - len(values)
    points = [
        f"{first + index} {HEIGHT - (HEIGHT - 1) * value / peak if peak else HEIGHT:.1f}"
        for index, value in enumerate(values)
    ]
    line = "L".join(points)
    area = f"M{first} {HEIGHT}L{line}L{width - 1} {HEIGHT}Z"
    return f'<g class="{name}"><path class="area" d="{area}"/><path class="curve" d="M{line}"/></g>'
