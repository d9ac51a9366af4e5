"""Locations in memory, and a driver that lets a supervisor work on them in time that jumps.

The truth of a location and what its link shows are kept apart: a link that is down shows what was last
known. What a container does is told by its image:

    web, db, ...    runs and answers half a second after its start
    mute            runs and never answers
    crash           ends with exit code 1 as soon as it runs
    job             ends with exit code 0 as soon as it runs
    absent          cannot be created: nobody has it
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from tfd.config.model import Address, Config, Container, Daemon, Listener
from tfd.supervisor import Supervisor
from tfd.world import (
    Action,
    BringImage,
    ContainerState,
    ContainerView,
    CreateContainer,
    DestroyContainer,
    Drain,
    EnsureVolume,
    HealthView,
    LocationAction,
    LocationView,
    NodeView,
    Note,
    Probe,
    Route,
    SetConnections,
    SetRoute,
    StartContainer,
    StopContainer,
    Verdict,
    VolumeView,
    WatchHealth,
    World,
)

GIBIBYTE = 1 << 30
RUNNING = ContainerState.RUNNING
STOPPED = ContainerState.STOPPED
FAST = 0.5
"""Seconds between two probes while the verdict changes."""


def container(name: str = "web", image: str = "web", **settings: object) -> Container:
    """Give a declared container."""
    return Container(name=name, image=image, **settings)  # type: ignore[arg-type]


def config(*containers: Container, environment: str = "prod", portless: tuple[str, ...] = ()) -> Config:
    """Give a configuration with a listener for each container that is not in `portless`."""
    listeners = tuple(
        Listener(name=f"127.0.0.1:{port}", binds=(Address("127.0.0.1", port),), container=each.name, port=80)
        for port, each in enumerate(containers, 8000)
        if each.name not in portless
    )
    return Config(
        daemon=Daemon(environment=environment),
        containers={each.name: each for each in containers},
        listeners=listeners,
    )


def node(name: str = "n1", **settings: object) -> NodeView:
    """Give a node with nothing on it."""
    values: dict[str, object] = {
        "online": True,
        "cpus": 4,
        "load": 0.0,
        "memory_total": 8 * GIBIBYTE,
        "memory_free": 8 * GIBIBYTE,
        "paging": 0.0,
        "containers": 0,
    }
    return NodeView(name=name, **(values | settings))  # type: ignore[arg-type]


class RefusalError(Exception):
    """The location answers with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Location:
    """One location: the truth, and the link's side of it."""

    name: str
    nodes: dict[str, NodeView]
    containers: dict[str, ContainerView] = field(default_factory=dict)
    volumes: dict[str, VolumeView] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    started: dict[str, float] = field(default_factory=dict)
    watches: dict[str, tuple[float, Probe]] = field(default_factory=dict)
    connections: tuple[tuple[str, str, str], ...] | None = None
    connected: bool = False
    listed: bool = False
    session: int = 0
    since: float = 0.0
    health: dict[str, HealthView] = field(default_factory=dict)
    known: LocationView | None = None
    serial: "count[int]" = field(default_factory=lambda: count(1))

    def view(self) -> LocationView:
        """What the link shows now."""
        if self.connected and self.listed:
            self.known = LocationView(
                name=self.name,
                connected=True,
                since=self.since,
                session=self.session,
                listed=True,
                round_trip=0.01,
                nodes=dict(self.nodes),
                containers=dict(self.containers),
                volumes=dict(self.volumes),
                health=dict(self.health),
            )
            return self.known
        known = self.known or LocationView(self.name, connected=False, since=0.0)
        return replace(
            known, connected=self.connected, since=self.since, session=self.session, listed=self.listed
        )

    def do(self, action: LocationAction, now: float) -> None:
        """Carry an action out; raises RefusalError."""
        match action:
            case CreateContainer():
                self._create(action, now)
            case StartContainer(_, id_):
                self.run(self._get(id_).id, now)
            case StopContainer(_, id_, _):
                self.end(self._get(id_).id, None)
            case DestroyContainer(_, id_):
                self.remove(id_)
            case WatchHealth(_, id_, probe):
                self.watches[self._get(id_).id] = (now, probe)
            case EnsureVolume(_, name, where):
                self.volumes.setdefault(name, VolumeView(name, where or next(iter(self.nodes))))
            case SetConnections(_, _, pairs):
                self.connections = pairs
            case BringImage():
                pass

    def run(self, id_: str, now: float) -> None:
        """Start a container's process."""
        if not self.nodes[self.containers[id_].node].online:
            raise RefusalError("engine", "node is offline")
        self.health.pop(id_, None)
        self.started[id_] = now
        self.containers[id_] = replace(self.containers[id_], state=RUNNING, exit=None)
        image = self.containers[id_].image
        if image in ("crash", "job"):
            self.end(id_, 1 if image == "crash" else 0)

    def end(self, id_: str, code: int | None) -> None:
        """End a container's process."""
        self.mute.discard(id_)
        self.health.pop(id_, None)
        self.containers[id_] = replace(self.containers[id_], state=STOPPED, exit=code)

    def remove(self, id_: str) -> None:
        """Remove a container behind everybody's back, or not."""
        for memory in (self.containers, self.health, self.watches, self.started):
            memory.pop(id_, None)
        self.mute.discard(id_)

    def probe(self, now: float) -> None:
        """Let every watch that can give a verdict now give it."""
        for id_, (since, probe) in self.watches.items():
            view = self.containers.get(id_)
            if view is None or view.state is not RUNNING:
                continue
            answers = view.image != "mute" and id_ not in self.mute
            begin = max(since, self.started.get(id_, since))
            verdict = Verdict.GOOD if answers else Verdict.BAD
            delay = min(probe.interval, FAST) * (probe.rise if answers else probe.fall)
            told = self.health.get(id_)
            fresh = told is None or told.verdict is not verdict or told.at < since
            if fresh and now >= begin + delay:
                self.health[id_] = HealthView(verdict, now, "" if answers else "connection refused")

    def _create(self, action: CreateContainer, now: float) -> None:
        if action.container.image == "absent":
            raise RefusalError("not-found", "image absent: nobody has it")
        if any((c.name, c.key) == (action.name, action.key) for c in self.containers.values()):
            return
        where = action.node or next(iter(self.nodes))
        serial = next(self.serial)
        id_ = f"{self.name}-{serial}"
        self.containers[id_] = ContainerView(
            id=id_,
            name=action.name,
            key=action.key,
            node=where,
            image=action.container.image,
            ip=f"10.0.0.{serial % 250}",
            state=ContainerState.CREATED,
            created=now,
            volumes=tuple(name for name, _ in action.volumes),
        )
        self.run(id_, now)

    def _get(self, id_: str) -> ContainerView:
        if id_ not in self.containers:
            raise RefusalError("not-found", f"no container {id_}")
        return self.containers[id_]


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
            case Note():
                pass
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


def one_location(*nodes: NodeView, name: str = "home") -> Location:
    """Give a location with these nodes, or one."""
    return Location(name, {each.name: each for each in nodes or (node(),)})
