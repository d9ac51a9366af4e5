"""The end of a container that is no longer wanted: drain, stop, destroy, in that order.

What is to be retired is found anew in each decision, so nothing of this needs to survive a restart.
"""

from tfd.protocol.route import Route
from tfd.supervision.attempt import STOP_TIMEOUT
from tfd.supervision.copies import RUNNING
from tfd.supervision.turn import Turn
from tfd.world import ContainerView, DestroyContainer, Drain, StopContainer

DRAIN_LIMIT = 300.0
"""Seconds that the connections of a container have to end by themselves after another took over."""


class Retirement:
    """One container on its way out. `ending` says that there is no way back: it was told to stop."""

    __slots__ = ("_began", "_drained", "ending", "ref", "since")

    def __init__(self, ref: Route, now: float) -> None:
        self.ref = ref
        self.since = now
        self.ending = False
        self._began: float | None = None
        self._drained = False

    def drained(self) -> None:
        """Note that no connection uses the container any more."""
        self._drained = True

    def advance(self, turn: Turn, view: ContainerView, routed: bool) -> None:
        """Take the next step; `routed` says whether connections were ever led to it."""
        if turn.location(self.ref.location) is None:
            return
        runs = view.state in RUNNING
        if runs and routed and not self.ending and not self._drain(turn):
            return
        self.ending = True
        failing = turn.pending.failing(("container", self.ref.location, self.ref.container))
        if runs and not failing:
            turn.ask(StopContainer(self.ref.location, self.ref.container, STOP_TIMEOUT))
        else:
            turn.ask(DestroyContainer(self.ref.location, self.ref.container))

    def _drain(self, turn: Turn) -> bool:
        if self._began is None:
            self._began = turn.now
            turn.actions.append(Drain(self.ref))
        return self._drained or turn.reached(self._began + DRAIN_LIMIT)
