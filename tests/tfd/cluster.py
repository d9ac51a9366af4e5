"""Locations in memory, for a supervisor to work on.

The truth of a location and what its link shows are kept apart: a link that is down shows what was last
known. What a container does is told by its image:

    web, db, ...    runs and answers half a second after its start
    mute            runs and never answers
    crash           ends with exit code 1 as soon as it runs
    job             ends with exit code 0 as soon as it runs
    absent          cannot be created: nobody has it
"""

from dataclasses import dataclass, field, replace
from itertools import count

from tfd.config.model import Config, Container, Daemon, Listener
from tfd.protocol.address import Address
from tfd.world import (
    BringImage,
    ContainerState,
    ContainerView,
    CreateContainer,
    DestroyContainer,
    EnsureVolume,
    HealthView,
    LocationAction,
    LocationView,
    NodeView,
    Probe,
    SetConnections,
    StartContainer,
    StopContainer,
    Verdict,
    VolumeView,
    WatchHealth,
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
                self.end(self._get(id_).id, 0)
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


def one_location(*nodes: NodeView, name: str = "home") -> Location:
    """Give a location with these nodes, or one."""
    return Location(name, {each.name: each for each in nodes or (node(),)})
