"""The slope of a line through measurements, by least squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Slope:
    """How much y grows with each x, and the standard error of that."""

    each: float
    error: float


def slope(xs: Sequence[float], ys: Sequence[float]) -> Slope:
    """Give the slope of the line that fits best. Raises ValueError: fewer than three points, or one x."""
    if len(xs) != len(ys) or len(xs) < 3:
        raise ValueError("a slope takes three points")
    mean_x, mean_y = fmean(xs), fmean(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if not spread:
        raise ValueError("all points have the same x")
    each = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    left = sum((y - mean_y - each * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return Slope(each, sqrt(left / (len(xs) - 2) / spread))
