"""Keeping one copy running: started when its process has ended, restarted when it no longer answers."""

from collections.abc import Iterable

from tfd.config.model import Restart
from tfd.protocol import logged
from tfd.protocol.route import Route
from tfd.supervision.attempt import STOP_TIMEOUT
from tfd.supervision.copies import Copy
from tfd.supervision.declared import Declared
from tfd.supervision.history import History
from tfd.supervision.turn import Turn
from tfd.world import ContainerState, StopContainer


class Upkeep:
    """Looks after the copy in force of one replica; `restarts` counts what it did."""

    __slots__ = ("_history", "restarts")

    def __init__(self, history: History) -> None:
        self._history = history
        self.restarts = 0

    def tend(self, turn: Turn, declared: Declared, copy: Copy, copies: Iterable[Copy]) -> set[Route]:
        """Do what the copy needs now; return those that run on its volumes and keep it from running."""
        if not copy.reachable or copy.busy(turn):
            return set()
        restart = declared.container.restart
        if copy.runs:
            copy.watch(declared.probe, turn)
            self._mend(turn, copy, "" if restart is Restart.NO else copy.trouble(declared.probe, turn))
            return set()
        if copy.view.volumes and turn.pending.creating(copy.ref.location, copy.view.name):
            return set()
        rivals = [other for other in copies if other is not copy and copy.shares_volumes(other)]
        if any(other.runs or other.busy(turn) for other in rivals):
            return {other.ref for other in rivals if other.runs}
        if copy.held_back or (copy.view.state is ContainerState.CREATED and not copy.refused):
            copy.start(turn)
        elif not copy.finished(restart):
            self._revive(turn, copy)
        return set()

    def _mend(self, turn: Turn, copy: Copy, trouble: str) -> None:
        """Stop a copy that runs and does not answer; it is started again as soon as it has ended."""
        if not trouble:
            copy.failure = ""
            copy.held_back = False
            return
        if not copy.failure:
            copy.failure = trouble
            self._history.struck(turn, logged.CONTAINER_UNHEALTHY, copy.place, trouble)
        stop = StopContainer(copy.ref.location, copy.ref.container, STOP_TIMEOUT)
        if self._history.may_try(turn) and turn.ask(stop):
            copy.held_back = True
            self.restarts += 1

    def _revive(self, turn: Turn, copy: Copy) -> None:
        """Start a copy whose process has ended, or could not be started."""
        if not copy.failure:
            copy.failure = copy.ending
            self._history.struck(turn, logged.CONTAINER_DIED, copy.place, copy.failure)
        if self._history.may_try(turn) and copy.start(turn):
            self.restarts += 1
