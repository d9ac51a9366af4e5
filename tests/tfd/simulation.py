"""A driver that lets a supervisor work on locations in memory, in time that jumps."""

import heapq
from collections.abc import Callable
from itertools import count

from tests.tfd.cluster import FAST, RUNNING, Location, RefusalError
from tfd.config.model import Config
from tfd.protocol.logged import Kind
from tfd.protocol.route import Route
from tfd.supervisor import Supervisor
from tfd.world import Action, Drain, LocationAction, Note, SetRoute, WatchHealth, World


class Simulation:
    """A supervisor, its locations, and the time between them.

    `transcript` has every action in order. `errors` maps a kind of action to the errors that the next ones
    get; `delay` is how long the location takes for one.
    """

    def __init__(self, configuration: Config, *locations: Location, connected: bool = True) -> None:
        self.now = 1000.0
        self.config = configuration
        self.locations = {each.name: each for each in locations}
        self.transcript: list[Action] = []
        self.routes: dict[str, Route] = {}
        self.errors: dict[type, list[tuple[str, str]]] = {}
        self.delay = 0.2
        self.drain_time: float | None = 1.0
        self.checks: list[Callable[[], None]] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._due = True
        self.supervisor = Supervisor(configuration, self.now)
        if connected:
            for name in self.locations:
                self.connect(name)

    # What happens to the locations

    def connect(self, name: str, *, listing: float = 0.1) -> None:
        """Open a new session; its lists arrive `listing` seconds later."""
        location = self.locations[name]
        if location.connected:
            return
        location.session += 1
        location.connected, location.listed, location.since = True, False, self.now
        location.watches.clear()
        location.health.clear()
        location.connections = None
        session = location.session
        self.later(listing, lambda: self._list(location, session))
        self._due = True

    def disconnect(self, name: str) -> None:
        """Lose the session, and with it what is being done."""
        location = self.locations[name]
        if not location.connected:
            return
        location.view()
        location.connected, location.listed, location.since = False, False, self.now
        location.session += 1
        self._due = True

    def change(self, change: Callable[[], None]) -> None:
        """Let something happen at a location, and its link tell it."""
        change()
        self._due = True

    def restart(self) -> None:
        """Kill the daemon and start it anew: all memory and all sessions are gone."""
        for name in self.locations:
            self.disconnect(name)
            self.locations[name].known = None
        self.routes.clear()
        self.supervisor = Supervisor(self.config, self.now)
        for name in self.locations:
            self.connect(name)

    def reload(self, configuration: Config) -> None:
        """Give the supervisor another configuration."""
        self.config = configuration
        self.supervisor.reload(configuration, self.now)
        self._due = True

    # Time

    def later(self, delay: float, call: Callable[[], None]) -> None:
        """Call something after `delay` seconds."""
        heapq.heappush(self._queue, (self.now + delay, next(self._serial), call))

    def run(self, seconds: float) -> None:
        """Let time pass, from one event to the next."""
        end = self.now + seconds
        while True:
            self._settle()
            deadline = self.supervisor.deadline()
            assert deadline is None or deadline > self.now, "the supervisor wants to decide again at once"
            nexts = [end] + [at for at, _, _ in self._queue[:1]] + ([deadline] if deadline else [])
            self.now = min(nexts)
            self._due = self._due or (deadline is not None and deadline <= self.now)
            if self.now >= end:
                break
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
        self._settle()

    def world(self) -> World:
        """What the links show now."""
        return World({name: location.view() for name, location in self.locations.items()})

    # What is seen

    def taken(self, kind: type) -> list[Action]:
        """Give the actions of one kind so far."""
        return [action for action in self.transcript if isinstance(action, kind)]

    def notes(self) -> str:
        """Give the log."""
        return "\n".join(a.message for a in self.transcript if isinstance(a, Note))

    def copies(self, name: str, *, running: bool = True, environment: str = "prod") -> list[tuple[str, str]]:
        """Give location and id of the containers of a declared name."""
        return [
            (location.name, view.id)
            for location in self.locations.values()
            for view in location.containers.values()
            if view.name == f"{environment}/{name}/0" and (view.state is RUNNING or not running)
        ]

    def state(self, name: str) -> tuple[str, str]:
        """Give state and reason of a declared container."""
        for report in self.supervisor.report():
            if report.name == name:
                return str(report.state), report.reason
        raise AssertionError(f"{name} is not in the report")

    # The driver

    def _settle(self) -> None:
        for _ in range(50):
            for location in self.locations.values():
                before = dict(location.health)
                if location.connected:
                    location.probe(self.now)
                self._due = self._due or before != location.health
            if not self._due:
                return
            self._due = False
            for action in self.supervisor.decide(self.world(), self.now):
                self._carry_out(action)
            for check in self.checks:
                check()
        raise AssertionError("the supervisor does not come to rest")

    def _carry_out(self, action: Action) -> None:
        self.transcript.append(action)
        match action:
            case Note(what, message, fields):
                if isinstance(what, Kind):
                    assert set(what.fields) <= dict(fields).keys(), message
            case SetRoute(name, route):
                if route is None:
                    self.routes.pop(name, None)
                else:
                    self.routes[name] = route
            case Drain(route):
                if self.drain_time is not None:
                    self.later(self.drain_time, lambda: self._drained(route))
            case _:
                location = self.locations[action.location]
                assert location.connected, f"{action} for a location that is not connected"
                assert location.listed, f"{action} for a location that has not told what it runs"
                session = location.session
                self.later(self.delay, lambda: self._answer(location, session, action))

    def _answer(self, location: Location, session: int, action: LocationAction) -> None:
        if location.session != session:
            return
        errors = self.errors.get(type(action))
        self._due = True
        try:
            if errors:
                raise RefusalError(*errors.pop(0))
            location.do(action, self.now)
        except RefusalError as refused:
            self.supervisor.failed(action, refused.code, refused.message, self.now)
            return
        if isinstance(action, WatchHealth):
            for delay in (action.probe.rise, action.probe.fall):
                self.later(min(action.probe.interval, FAST) * delay, lambda: None)
        self.supervisor.done(action, self.now)

    def _drained(self, route: Route) -> None:
        self.supervisor.drained(route, self.now)
        self._due = True

    def _list(self, location: Location, session: int) -> None:
        if location.session == session:
            location.listed = True
            self._due = True
