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

from tfd.attempt import STOP_TIMEOUT, Attempt
from tfd.backoff import Backoff
from tfd.config.model import Restart
from tfd.copies import START_LIMIT, Copy
from tfd.declared import Declared
from tfd.placement import NoPlace, Place, Request, best_node
from tfd.turn import TRANSIENT, Turn
from tfd.world import (
    ContainerState,
    ContainerView,
    Level,
    LocationAction,
    LocationView,
    Route,
    SetRoute,
    StartContainer,
    StopContainer,
    WatchHealth,
)

FAILURE_WINDOW = 300.0
"""Seconds for which a failure on a node counts against it."""
FAILURES_TO_MOVE = 3
"""Failures on one node within the window after which another node is tried."""
STOP_FIRST_DELAY = 300.0
STOP_FIRST_CAP = 3600.0
"""Seconds between two tries to replace a container with volumes, since each one interrupts its service."""


class Replica:
    """The state machine of one declared container; see the module.

    `serving` is the copy in force, `attempt` the try to have another. `condemned` are copies that must not be
    used again. `route` is where the proxy was told to lead, `reason` why the last thing failed.
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
        self.restarts = 0
        self.reason = ""
        self.placement = ""
        self.no_place: NoPlace | None = None
        self._homes = homes
        self._declared_at = now
        self._generation = 0
        self._given_up: set[tuple[str, str]] = set()
        self._failures: list[tuple[float, Place]] = []
        self._retry = Backoff(declared.name)
        self._stop_first = self._slow_backoff()

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
            self.reason = ""
            self.answered = False
            self._declared_at = now
            self._generation += 1
            self._retry = Backoff(declared.name)
            self._stop_first = self._slow_backoff()

    def step(
        self, turn: Turn, views: Mapping[Route, tuple[LocationView, ContainerView]], settled: bool
    ) -> None:
        """Decide once. `views` are all containers that bear its name; `settled` allows to create new ones."""
        self._observe(turn, views)
        self._choose(turn)
        self._replace(turn, settled)
        self._tend(turn)
        self._direct(turn)
        current = self.current
        if current is not None and (current.good(self.declared.probe) or self.finished(current)):
            self._note_good(turn)

    def started(self, turn: Turn) -> bool:
        """Tell whether it answered once, or had the time to."""
        return self.answered or turn.reached(self._declared_at + START_LIMIT)

    def leaving(self) -> list[Route]:
        """Give the copies that have to go: the condemned, and all others once the one in force is good."""
        current = self.current
        secure = current is not None and (current.good(self.declared.probe) or self.finished(current))
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

    def finished(self, copy: Copy) -> bool:
        """Tell whether its process has ended and `restart` says that it stays so."""
        if not copy.ended or copy.held_back or not copy.reachable:
            return False
        restart = self.declared.container.restart
        return restart is Restart.NO or (restart is Restart.ON_FAILURE and copy.view.exit == 0)

    def took(self, action: LocationAction, code: str, message: str, now: float) -> None:
        """Take in how an action ended; `code` is empty where it succeeded."""
        if self.attempt is not None:
            self.attempt.answered(action, code, message)
        if not code:
            return
        match action:
            case WatchHealth(location, container, _):
                copy = self.copies.get(Route(location, container))
                if copy is not None:
                    copy.watch_failed()
            case StartContainer(location, container) if Route(location, container) == self.serving:
                self.reason = f"it cannot be started: {message}"
                if code not in TRANSIENT and self.current is not None:
                    self._failures.append((now, self.current.place))
            case StopContainer(location, container, _) if Route(location, container) == self.serving:
                self.reason = f"it cannot be stopped: {message}"
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
            if (ref.location, view.key) in self._given_up:
                self._given_up.discard((ref.location, view.key))
                self.condemned.add(ref)
            generation = self.declared.generation(view.key)
            if generation is not None:
                self._generation = max(self._generation, generation + 1)
        self._failures = [(at, place) for at, place in self._failures if at > turn.now - FAILURE_WINDOW]
        if lost is not None and lost.ref not in self.copies:
            self.serving = None
            self._struck(turn, lost.place, f"its container at {lost.ref.location} is gone")

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
            turn.note(
                Level.INFO,
                f"container {self.declared.name}: using the one that runs on {best.place}",
                container=self.declared.name,
                id=best.ref.container,
            )

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
        allowed = self.declared.container.locations
        return self.declared.generation(copy.view.key) is not None and (
            not allowed or copy.ref.location in allowed
        )

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
        failures = self._failures_at(current.place)
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
        if not turn.reached(self._retry.until):
            return
        if self.current is not None and not turn.reached(self._stop_first.until):
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
        container = self.declared.container
        request = Request(
            name=self.declared.wire_name,
            image=container.image,
            memory=container.memory,
            locations=container.locations,
            volumes=tuple(name for name, _ in self.declared.volumes),
            homes=self._homes,
        )
        choice = best_node(request, turn.world, self._failures_at, self._copies_at)
        if isinstance(choice, NoPlace):
            if self.no_place is None or choice.waiting is not self.no_place.waiting:
                level = Level.INFO if choice.waiting else Level.WARNING
                self._log(turn, level, f"cannot be created: {choice.reason}")
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
        self._log(turn, Level.INFO, f"creating it on {choice.place} since {reason}; {choice.reason}")

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
        if copy.settled(probe, turn) or (self.finished(copy) and copy.view.exit == 0):
            self._take_over(turn, copy)
        elif not copy.runs and attempt.may_start(copy):
            attempt.started = copy.start(turn)
        elif copy.ended:
            attempt.failure = _ending(copy)
        elif turn.reached(attempt.seen_at + START_LIMIT):
            attempt.failure = f"no answer within {START_LIMIT:.0f} s: {copy.verdict_reason or 'no verdict'}"

    def _take_over(self, turn: Turn, copy: Copy) -> None:
        before = self.current
        self.serving = copy.ref
        self.attempt = None
        if before is not None:
            self._log(turn, Level.INFO, f"the one on {copy.place} takes over from the one on {before.place}")

    def _fail(self, turn: Turn, attempt: Attempt) -> None:
        kept = "; the one before it is kept" if self.current is not None else ""
        stops = attempt.stops
        reason = attempt.failure
        self._give_up(turn, "")
        self._struck(turn, attempt.place, f"{reason}{kept}")
        if stops:
            turn.reached(self._stop_first.failed(turn.now))

    def _give_up(self, turn: Turn, why: str) -> None:
        attempt = self.attempt
        assert attempt is not None
        self.attempt = None
        self._generation += 1
        if attempt.ref is not None:
            self.condemned.add(attempt.ref)
        elif not attempt.failure:
            self._given_up.add((attempt.place.location, attempt.key))
        view = turn.location(attempt.place.location)
        for name, _ in attempt.declared.volumes:
            if view is not None and name not in view.volumes and attempt.failure:
                self._homes.pop(name, None)
        if why:
            self._log(turn, Level.INFO, f"the new one on {attempt.place} is given up: {why}")

    # The one in force

    def _tend(self, turn: Turn) -> None:
        """Keep the copy in force running and watched."""
        copy = self.current
        if copy is None or not copy.reachable or copy.busy(turn):
            return
        if self.attempt is not None and self.attempt.stops:
            return
        if copy.runs:
            copy.watch(self.declared.probe, turn)
            self._mend(turn, copy, copy.trouble(self.declared.probe, turn))
        elif self._rival_runs(turn, copy):
            self._condemn_rivals(copy)
        elif copy.held_back or copy.view.state is ContainerState.CREATED:
            copy.start(turn)
        elif not self.finished(copy):
            self._revive(turn, copy)

    def _mend(self, turn: Turn, copy: Copy, trouble: str) -> None:
        """Stop a copy that runs and does not answer; it is started again as soon as it has ended."""
        if not trouble or self.declared.container.restart is Restart.NO:
            copy.failure = ""
            copy.held_back = False
            return
        if not copy.failure:
            copy.failure = trouble
            self._struck(turn, copy.place, trouble)
        stop = StopContainer(copy.ref.location, copy.ref.container, STOP_TIMEOUT)
        if turn.reached(self._retry.until) and turn.ask(stop):
            copy.held_back = True
            self.restarts += 1

    def _revive(self, turn: Turn, copy: Copy) -> None:
        """Start a copy whose process has ended."""
        if not copy.failure:
            copy.failure = _ending(copy)
            self._struck(turn, copy.place, copy.failure)
        if turn.reached(self._retry.until) and copy.start(turn):
            self.restarts += 1

    def _rival_runs(self, turn: Turn, copy: Copy) -> bool:
        """Tell whether another copy uses the same volumes, or is being created to use them."""
        if copy.view.volumes and turn.pending.creating(copy.ref.location, copy.view.name):
            return True
        return any(
            other is not copy and copy.shares_volumes(other) and (other.runs or other.busy(turn))
            for other in self.copies.values()
        )

    def _condemn_rivals(self, copy: Copy) -> None:
        """Have those removed that keep the right one from running and that no attempt will use."""
        if self.attempt is None and self._fits(copy):
            self.condemned |= {
                other.ref
                for other in self.copies.values()
                if other is not copy and other.runs and copy.shares_volumes(other)
            }

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
        if not self.answered and current is not None:
            self.answered = True
            self._log(turn, Level.INFO, f"is good on {current.place}")
        if current is not None and self._fits(current) and self.attempt is None:
            self.reason = ""

    def _struck(self, turn: Turn, place: Place, reason: str) -> None:
        """Remember a failure on a node and wait before the next try."""
        self._failures.append((turn.now, place))
        self.reason = reason
        until = self._retry.failed(turn.now)
        turn.reached(until)
        self._log(turn, Level.WARNING, f"on {place}: {reason}; trying again in {until - turn.now:.1f} s")

    def _failures_at(self, place: Place) -> int:
        return sum(1 for _, where in self._failures if where == place)

    def _copies_at(self, place: Place) -> int:
        return sum(1 for copy in self.copies.values() if copy.place == place and copy.ref != self.serving)

    def _slow_backoff(self) -> Backoff:
        return Backoff(self.declared.name, STOP_FIRST_DELAY, STOP_FIRST_CAP, 4 * STOP_FIRST_CAP)

    def _log(self, turn: Turn, level: Level, message: str) -> None:
        turn.note(level, f"container {self.declared.name}: {message}", container=self.declared.name)


def _ending(copy: Copy) -> str:
    exit_ = "" if copy.view.exit is None else f" with exit code {copy.view.exit}"
    detail = f": {copy.view.reason}" if copy.view.reason else ""
    return f"its process ended{exit_}{detail}"
