"""A container's output cut into lines, no more of them than are good for the journal. No I/O and no clock."""

from typing import Final

from tfd.protocol.dataclass import dataclass

LONGEST: Final = 8192
"""Bytes of one line: a longer one is cut into several."""

RATE: Final = 200.0
"""Lines a second of one container that go on for ever."""

BURST: Final = 2000.0
"""Lines that a container which was quiet may write at once."""

_LONG_AGO: Final = float("-inf")


class Lines:
    """The lines of a stream of bytes that comes in pieces; the rest of a line waits for its end."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Give the lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= LONGEST:
            whole = len(self._rest) // LONGEST * LONGEST
            lines.append(self._rest[:whole])
            self._rest = self._rest[whole:]
        return [text for line in lines for text in _texts(line)]

    def end(self) -> list[str]:
        """Give what waits for an end that will not come."""
        rest, self._rest = self._rest, b""
        return _texts(rest) if rest else []


def _texts(line: bytes) -> list[str]:
    """Give a line as text, in several parts where it is too long; what is no UTF-8 is shown as such."""
    line = line.rstrip(b"\r")
    starts = range(0, max(1, len(line)), LONGEST)
    return [line[start : start + LONGEST].decode(errors="backslashreplace") for start in starts]


@dataclass(slots=True)
class Allowance:
    """How many lines may pass: a token bucket, by seconds of one clock. `refused` counts the others."""

    refused: int = 0
    _tokens: float = BURST
    _at: float = _LONG_AGO

    def take(self, now: float) -> bool:
        """Take one, or count that there was none."""
        self._tokens = min(BURST, self._tokens + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True
