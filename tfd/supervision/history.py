"""How one replica fared: its failures by node, the reason of the last, and when to try again."""

from tfd.protocol.backoff import Backoff
from tfd.protocol.logged import Kind
from tfd.supervision.placement import Place
from tfd.supervision.turn import Turn
from tfd.world import Level

FAILURE_WINDOW = 300.0
"""Seconds for which a failure on a node counts against it."""
STOP_FIRST_DELAY = 300.0
STOP_FIRST_CAP = 3600.0
"""Seconds between two tries to replace a container with volumes, since each one interrupts its service."""


class History:
    """What is remembered of a replica's failures; `reason` is that of the last, empty once all is well."""

    __slots__ = ("_failures", "_interruption", "_name", "_retry", "reason")

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures: list[tuple[float, Place]] = []
        self.forgive()

    def forgive(self) -> None:
        """Let the next try be made at once: something else is declared now."""
        self.reason = ""
        self._retry = Backoff(self._name)
        self._interruption = Backoff(self._name, STOP_FIRST_DELAY, STOP_FIRST_CAP, 4 * STOP_FIRST_CAP)

    def prune(self, now: float) -> None:
        """Forget failures that count no longer."""
        self._failures = [(at, place) for at, place in self._failures if at > now - FAILURE_WINDOW]

    def struck(self, turn: Turn, kind: Kind, place: Place, reason: str) -> None:
        """Remember a failure on a node, tell of it, and wait before the next try."""
        self.count(turn.now, place, reason)
        until = self._retry.failed(turn.now)
        turn.reached(until)
        message = f"on {place}: {reason}; trying again in {until - turn.now:.1f} s"
        self.log(turn, kind, message, place, reason=reason)

    def count(self, now: float, place: Place, reason: str) -> None:
        """Count a failure against a node."""
        self._failures.append((now, place))
        self.reason = reason

    def interrupted(self, turn: Turn) -> None:
        """Remember that a try in vain interrupted the service."""
        turn.reached(self._interruption.failed(turn.now))

    def may_try(self, turn: Turn) -> bool:
        """Tell whether the back-off is over."""
        return turn.reached(self._retry.until)

    def may_interrupt(self, turn: Turn) -> bool:
        """Tell whether another try may interrupt the service of a container with volumes."""
        return turn.reached(self._interruption.until)

    def failures_at(self, place: Place) -> int:
        """Count the failures on a node within the window."""
        return sum(1 for _, where in self._failures if where == place)

    def log(
        self, turn: Turn, what: Kind | Level, message: str, place: Place | None = None, **fields: str
    ) -> None:
        """Have a line about the replica logged, and about its place where it has one."""
        if place is not None:
            fields = {"location": place.location, "node": place.node, **fields}
        turn.note(what, f"container {self._name}: {message}", container=self._name, **fields)
