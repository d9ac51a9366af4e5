"""One declared container: which of its copies is in force, and what is done so that there is one, and good.

    none -> attempt (image, volumes, create) -> in force: checking -> good
                                                   ^                  | ended, or no longer answers
                                                   +-- start, after a back-off

A copy in force that is outdated, lost for longer than the lease, or failing again and again on its node
is replaced: an attempt brings up another beside it, that one passes the gate (it answers), takes over, and
the copies left over are retired. With volumes the order turns: the old one is stopped, not destroyed,
before the new one runs, and is started again if the new one does not pass.

Everything is decided anew from what is observed, so it does not matter where a restart of the daemon
interrupted it.
"""

from collections.abc import Mapping

from tfd.protocol import logged
from tfd.protocol.route import Route
from tfd.supervision.attempt import Attempt
from tfd.supervision.copies import START_LIMIT, Copy
from tfd.supervision.declared import Declared
from tfd.supervision.history import History
from tfd.supervision.placement import NoPlace, Place, best_node
from tfd.supervision.turn import TRANSIENT, Turn
from tfd.supervision.upkeep import Upkeep
from tfd.world import (
    ContainerView,
    Level,
    LocationAction,
    LocationView,
    SetRoute,
    StartContainer,
    StopContainer,
    WatchHealth,
)

FAILURES_TO_MOVE = 3
"""Failures on one node within the window after which another node is tried."""


class Replica:
    """The state machine of one declared container; see the module.

    `serving` is the copy in force, `attempt` the try to have another. `condemned` are copies that must not be
    used again. `route` is where the proxy was told to lead, `placement` why it is where it is.
    """

    def __init__(self, declared: Declared, now: float, lease: float, homes: dict[str, Place]) -> None:
        self.declared = declared
        self.lease = lease
        self.copies: dict[Route, Copy] = {}
        self.serving: Route | None = None
        self.attempt: Attempt | None = None
        self.condemned: set[Route] = set()
        self.route: Route | None = None
        self.answered = False
        self.history = History(declared.name)
        self.upkeep = Upkeep(self.history)
        self.placement = ""
        self.no_place: NoPlace | None = None
        self._homes = homes
        self._since = now
        self._tried = False
        self._generation = 0
        self._was_well = False

    @property
    def current(self) -> Copy | None:
        """The copy in force."""
        return self.copies.get(self.serving) if self.serving else None

    def declare(self, declared: Declared, lease: float, now: float) -> None:
        """Take over a new declaration; another identity is tried at once."""
        self.lease = lease
        if declared == self.declared:
            return
        changed = declared.digest != self.declared.digest
        self.declared = declared
        if changed:
            self.history.forgive()
            self.answered = False
            self._since = now
            self._tried = False
            self._generation += 1

    def step(
        self, turn: Turn, views: Mapping[Route, tuple[LocationView, ContainerView]], settled: bool
    ) -> None:
        """Decide once. `views` are all containers that bear its name; `settled` allows to create new ones."""
        self._observe(turn, views)
        self._choose(turn)
        self._replace(turn, settled)
        if self.attempt is not None and self.attempt.brings and not self._tried:
            self._since = turn.now
        self._tend(turn)
        self._direct(turn)
        self._note_good(turn)

    def started(self, turn: Turn) -> bool:
        """Tell whether it answered once, or had the time to, for which its image had to be there."""
        return self.answered or turn.reached(self._since + START_LIMIT)

    def leaving(self) -> list[Route]:
        """Give the copies that have to go: the condemned, and all others once the one in force is good."""
        current = self.current
        secure = current is not None and self._is_well(current)
        fits = current is not None and self._fits(current)
        return [
            ref
            for ref, copy in self.copies.items()
            if ref in self.condemned
            or (
                secure
                and ref != self.serving
                and (fits or not self._fits(copy))
                and not (self.attempt and self.attempt.owns(copy))
            )
        ]

    def took(self, action: LocationAction, code: str, message: str) -> None:
        """Take in how an action ended; `code` and `message` are empty where it succeeded."""
        if self.attempt is not None:
            self.attempt.answered(action, code, message)
        match action:
            case StartContainer(location, container) if copy := self.copies.get(Route(location, container)):
                if code not in TRANSIENT:
                    copy.refused = message
                if code and copy is self.current:
                    self.history.reason = f"it cannot be started: {message}"
            case WatchHealth(location, container, _) if copy := self.copies.get(Route(location, container)):
                if code:
                    copy.watch_failed()
            case StopContainer(location, container, _) if Route(location, container) == self.serving:
                if code:
                    self.history.reason = f"it cannot be stopped: {message}"
            case _:
                pass

    # What is there

    def _observe(self, turn: Turn, views: Mapping[Route, tuple[LocationView, ContainerView]]) -> None:
        lost = self.current
        for ref in [ref for ref in self.copies if ref not in views]:
            del self.copies[ref]
        self.condemned &= views.keys()
        for ref, (location, view) in views.items():
            copy = self.copies.get(ref)
            if copy is None:
                copy = self.copies[ref] = Copy(ref, view)
            copy.observe(location, view, turn.now)
            generation = self.declared.generation(view.key)
            if generation is not None:
                self._generation = max(self._generation, generation + 1)
        self.history.prune(turn.now)
        if lost is not None and lost.ref not in self.copies:
            self.serving = None
            reason = f"its container at {lost.ref.location} is gone"
            self.history.struck(turn, logged.CONTAINER_DIED, lost.place, reason)

    def _choose(self, turn: Turn) -> None:
        """Say which copy is in force: the one before, unless it is bad and there is a good one."""
        usable = [
            copy
            for copy in self.copies.values()
            if copy.ref not in self.condemned and not (self.attempt and self.attempt.owns(copy))
        ]
        probe = self.declared.probe
        for copy in usable:
            copy.watch(probe, turn)
        best = min(usable, key=self._preference, default=None)
        current = self.current
        if best is None or best is current:
            return
        if current is None or (self._fits(best) and best.good(probe) and not current.good(probe)):
            self.serving = best.ref
            message = f"using the one that runs on {best.place}"
            self.history.log(turn, logged.CONTAINER_ADOPTED, message, best.place, id=best.ref.container)

    def _preference(self, copy: Copy) -> tuple[bool, bool, bool, bool, float, str, str]:
        """Order copies, the best first: of those not known to be good, an older declaration is safer."""
        good = copy.good(self.declared.probe)
        fits = self._fits(copy)
        ref = copy.ref
        return (
            not good,
            not copy.reachable,
            not copy.runs,
            fits is not good,
            copy.view.created,
            ref.location,
            ref.container,
        )

    def _fits(self, copy: Copy) -> bool:
        return self.declared.fits(copy.ref.location, copy.view.key)

    def _is_well(self, copy: Copy) -> bool:
        """Tell whether a copy does what is asked of it."""
        return copy.good(self.declared.probe) or copy.finished(self.declared.container.restart)

    # Another one

    def _wanted(self, turn: Turn) -> str:
        """Say why a new copy is wanted; empty where none is."""
        current = self.current
        if current is None:
            return "there is none"
        if not self._fits(current):
            return "it is declared anew"
        if current.view.volumes:
            return ""
        if current.lost_since is not None:
            return (
                f"{current.place} was not reached for {self.lease:.0f} s"
                if turn.reached(current.lost_since + self.lease)
                else ""
            )
        failures = self.history.failures_at(current.place)
        if failures >= FAILURES_TO_MOVE and (current.failure or self.attempt is not None):
            return f"{failures} failures on {current.place}"
        return ""

    def _replace(self, turn: Turn, settled: bool) -> None:
        reason = self._wanted(turn)
        if self.attempt is not None:
            obsolete = self._obsolete(turn, self.attempt, reason)
            if obsolete:
                self._give_up(turn, obsolete)
        self.no_place = self.no_place if reason else None
        if reason and self.attempt is None:
            self._begin(turn, reason, settled)
        if self.attempt is not None:
            self._further(turn, self.attempt)

    def _obsolete(self, turn: Turn, attempt: Attempt, wanted: str) -> str:
        if not wanted:
            return "it is not needed any more"
        allowed = self.declared.container.locations
        if attempt.declared.digest != self.declared.digest or (
            allowed and attempt.place.location not in allowed
        ):
            return "the declaration changed"
        if (
            attempt.lost_since is not None
            and not self.declared.volumes
            and turn.reached(attempt.lost_since + self.lease)
        ):
            return f"location {attempt.place.location} was not reached for {self.lease:.0f} s"
        return ""

    def _begin(self, turn: Turn, reason: str, settled: bool) -> None:
        if not self.history.may_try(turn) or (self.current and not self.history.may_interrupt(turn)):
            return
        ready = [
            copy
            for ref, copy in self.copies.items()
            if ref != self.serving and ref not in self.condemned and copy.reachable and self._fits(copy)
        ]
        if ready:
            copy = min(ready, key=self._preference)
            self.attempt = Attempt(self.declared, copy.place, copy.view.key, copy.ref)
            return
        if not settled:
            return
        self._place_anew(turn, reason)

    def _place_anew(self, turn: Turn, reason: str) -> None:
        request = self.declared.request(self._homes)
        choice = best_node(request, turn.world, self.history.failures_at, self._copies_at)
        if isinstance(choice, NoPlace):
            if self.no_place is None or choice.waiting is not self.no_place.waiting:
                what = Level.INFO if choice.waiting else logged.CONTAINER_UNPLACED
                self.history.log(turn, what, f"cannot be created: {choice.reason}", reason=choice.reason)
            self.no_place = choice
            return
        self.no_place = None
        current = self.current
        if current is not None and self._fits(current) and choice.place == current.place:
            return
        for name in request.volumes:
            self._homes.setdefault(name, choice.place)
        self.placement = choice.reason
        self.attempt = Attempt(self.declared, choice.place, self.declared.key(self._generation))
        message = f"creating it on {choice.place} since {reason}; {choice.reason}"
        self.history.log(turn, logged.CONTAINER_CREATING, message, choice.place, reason=reason)

    def _further(self, turn: Turn, attempt: Attempt) -> None:
        clear = attempt.advance(turn, self.copies.values())
        copy = self.copies.get(attempt.ref) if attempt.ref else None
        if clear and copy is not None:
            if self.current is None:
                self._take_over(turn, copy)
                return
            self._gate(turn, attempt, copy)
        if attempt.failure:
            self._fail(turn, attempt)

    def _gate(self, turn: Turn, attempt: Attempt, copy: Copy) -> None:
        """Let the new copy take over once it answers; say why if it will not."""
        if not copy.reachable or copy.busy(turn):
            return
        attempt.step = "waiting for the new one to answer"
        attempt.seen_at = turn.now if attempt.seen_at is None else attempt.seen_at
        probe = self.declared.probe
        copy.watch(probe, turn)
        if copy.settled(probe, turn) or (
            copy.finished(self.declared.container.restart) and copy.view.exit == 0
        ):
            self._take_over(turn, copy)
        elif not copy.runs and attempt.may_start(copy):
            attempt.started = copy.start(turn)
        elif copy.ended:
            attempt.failure = copy.ending
        elif turn.reached(attempt.seen_at + START_LIMIT):
            attempt.failure = f"no answer within {START_LIMIT:.0f} s: {copy.verdict_reason or 'no verdict'}"

    def _take_over(self, turn: Turn, copy: Copy) -> None:
        before = self.current
        self.serving = copy.ref
        self.attempt = None
        if before is not None:
            moved = copy.place != before.place
            kind = logged.CONTAINER_MOVED if moved else logged.CONTAINER_REPLACED
            message = f"the one on {copy.place} takes over from the one on {before.place}"
            self.history.log(turn, kind, message, copy.place)

    def _fail(self, turn: Turn, attempt: Attempt) -> None:
        kept = "; the one before it is kept" if self.current is not None else ""
        stops = attempt.stops
        reason = attempt.failure
        self._give_up(turn, "")
        self._tried = True
        self.history.struck(turn, logged.CONTAINER_REFUSED, attempt.place, f"{reason}{kept}")
        if stops:
            self.history.interrupted(turn)

    def _give_up(self, turn: Turn, why: str) -> None:
        attempt = self.attempt
        assert attempt is not None
        self.attempt = None
        self._generation += 1
        if attempt.ref is not None:
            self.condemned.add(attempt.ref)
        view = turn.location(attempt.place.location)
        for name, _ in attempt.declared.volumes:
            if view is not None and name not in view.volumes and attempt.failure:
                self._homes.pop(name, None)
        if why:
            message = f"the new one on {attempt.place} is given up: {why}"
            self.history.log(turn, Level.INFO, message, attempt.place, reason=why)

    # The one in force

    def _tend(self, turn: Turn) -> None:
        """Keep the copy in force running and watched, unless an attempt is about to stop it."""
        copy = self.current
        if copy is None or (self.attempt is not None and self.attempt.stops):
            return
        rivals = self.upkeep.tend(turn, self.declared, copy, self.copies.values())
        if self.attempt is None and self._fits(copy):
            self.condemned |= rivals

    def _direct(self, turn: Turn) -> None:
        wanted = self._destination()
        if wanted != self.route:
            self.route = wanted
            turn.actions.append(SetRoute(self.declared.name, wanted))

    def _destination(self) -> Route | None:
        copy = self.current
        if copy is None:
            return None
        kept = copy.ref if copy.ref == self.route else None
        if not copy.reachable:
            return kept
        if copy.held_back or copy.running_since is None or copy.failure:
            return None
        return copy.ref if copy.good(self.declared.probe) else kept

    # What is remembered

    def _note_good(self, turn: Turn) -> None:
        current = self.current
        well = current is not None and self._is_well(current)
        if current is not None and well:
            self.answered = True
            if not self._was_well:
                what, kind = (
                    ("ended well", logged.CONTAINER_FINISHED)
                    if current.ended
                    else ("good", logged.CONTAINER_STARTED)
                )
                self.history.log(turn, kind, f"{what} on {current.place}", current.place)
            if self._fits(current) and self.attempt is None:
                self.history.reason = ""
        self._was_well = well

    def _copies_at(self, place: Place) -> int:
        return sum(1 for copy in self.copies.values() if copy.place == place and copy.ref != self.serving)
