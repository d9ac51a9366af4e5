"""Kinds of values with units: time spans in seconds, and sizes in bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tfd.config.problems import shown
from tfd.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from tfd.config.problems import Place

_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGT])(?:iB)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_POWERS = {"K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time span within bounds, which are seconds."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        """The bounds, and how to write it."""
        low, high = span_text(self.low), span_text(self.high)
        return f'seconds, or text such as "500ms", "30s", "5m", "2h" or "1d"; from {low} to {high}'

    def read(self, value: object, place: Place) -> float | None:
        """Read a time span in seconds."""
        seconds: float | None = None
        if isinstance(value, str) and (match := _SECONDS.fullmatch(value)):
            seconds = float(match[1]) * _UNITS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value
        if seconds is not None and self.low <= seconds <= self.high:
            return float(seconds)
        place.wrong(shown(value), self.allowed, _span_hint(value))
        return None


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes within bounds."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """The bounds, and how to write it."""
        low, high = size_text(self.low), size_text(self.high)
        return f'bytes, or text such as "512M" or "1.5G" (K, M, G, T: powers of 1024); from {low} to {high}'

    def read(self, value: object, place: Place) -> int | None:
        """Read a number of bytes."""
        size: int | None = None
        if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
            size = int(float(match[1]) * 2 ** _POWERS[match[2]])
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        if size is not None and self.low <= size <= self.high:
            return size
        place.wrong(shown(value), self.allowed, _size_hint(value))
        return None


def _span_hint(value: object) -> str:
    """Suggest the time span that was probably meant, when text looks like one."""
    if not isinstance(value, str):
        return ""
    text = value.replace(" ", "").lower()
    text += "s" if text.isdecimal() else ""
    return f"did you mean {text!r}?" if text != value and _SECONDS.fullmatch(text) else ""


def _size_hint(value: object) -> str:
    """Suggest the size that was probably meant, when text looks like one."""
    if not isinstance(value, str):
        return ""
    text = value.replace(" ", "").upper().removesuffix("B").removesuffix("I")
    return f"did you mean {text!r}?" if text != value and _SIZE.fullmatch(text) else ""


def span_text(seconds: float) -> str:
    """Write a time span in its largest unit that leaves no fraction."""
    for unit in ("d", "h", "m", "s") if seconds else ("s",):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms"


def size_text(size: int) -> str:
    """Write a number of bytes in its largest unit that leaves no fraction."""
    for unit in ("T", "G", "M", "K"):
        if size and size % 2 ** _POWERS[unit] == 0:
            return f"{size >> _POWERS[unit]}{unit}"
    return str(size)
