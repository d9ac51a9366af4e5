"""How long to wait before the next try: doubling, capped, and with a jitter that is no accident."""

from zlib import crc32

JITTER = 0.2
"""The part of a delay that differs between two that failed together, so that they do not retry together."""


class Backoff:
    """Delays of `first`, twice that, and so on up to `cap` seconds, less at most a fifth.

    The jitter is a hash of `seed` and the count, so the same story gives the same times. Once nothing has
    failed for `forget` seconds it starts over.
    """

    __slots__ = ("_cap", "_first", "_forget", "_last", "_seed", "count", "until")

    def __init__(self, seed: str, first: float = 1.0, cap: float = 60.0, forget: float = 600.0) -> None:
        self._seed = seed
        self._first = first
        self._cap = cap
        self._forget = forget
        self._last = float("-inf")
        self.count = 0
        self.until = float("-inf")

    def failed(self, now: float) -> float:
        """Note a failure; return when to try again, which is kept as `until`."""
        if now - self._last > self._forget:
            self.count = 0
        self._last = now
        doubled = min(self._cap, self._first * 2 ** min(self.count, 32))
        self.count += 1
        share = crc32(f"{self._seed}\0{self.count}".encode()) / 0xFFFFFFFF
        self.until = now + doubled * (1 - JITTER * share)
        return self.until
