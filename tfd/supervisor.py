"""The supervisor: declared and observed in, actions out, and nothing else.

It does no I/O and has no clock: the caller gives the time, in seconds of one monotonic clock. It can be
asked at any moment and any number of times; what was asked for is not asked for again until it is
answered, given up, or forgotten with its session. See `Replica` for one container's life.

Each container of the environment has to be declared: those that are not, or not any more, are retired.
Containers of other environments are never touched.
"""

from collections.abc import Iterable, Iterator, Mapping

from tfd.config.model import Config
from tfd.protocol import logged
from tfd.protocol.route import Route
from tfd.supervision.declared import Declared, declared
from tfd.supervision.placement import Place
from tfd.supervision.replica import Replica
from tfd.supervision.report import judge
from tfd.supervision.retirement import Retirement
from tfd.supervision.turn import Pending, Subject, Turn
from tfd.world import (
    Action,
    ContainerView,
    LocationAction,
    LocationView,
    ReplicaState,
    Report,
    SetConnections,
    SetRoute,
    World,
)

Views = Mapping[Route, tuple[LocationView, ContainerView]]


class Supervisor:
    """Decides what is to be done so that the declared containers are there, and good.

    Args:
        config: the declared state.
        now: the time of the start; adoption waits from then for locations that do not answer.

    """

    def __init__(self, config: Config, now: float) -> None:
        self._config = config
        self._now = now
        self._pending = Pending()
        self._homes: dict[str, Place] = {}
        self._replicas: dict[str, Replica] = {}
        self._retirements: dict[Route, Retirement] = {}
        self._routed: set[Route] = set()
        self._taken_over: frozenset[Route] = frozenset()
        self._unrouted: list[str] = []
        self._listed: set[str] = set()
        self._first_seen: dict[str, float] = {}
        self._connections: dict[str, tuple[float, tuple[tuple[str, str, str], ...]]] = {}
        self._states: dict[str, tuple[ReplicaState, str, float]] = {}
        self._world = World({})
        self._ready = False
        self._wake: float | None = now
        self._declare(declared(config), now)

    def take_over(self, routes: Iterable[Route]) -> None:
        """Know which containers have connections from before the start: they drain like those of now."""
        self._taken_over = frozenset(routes)

    def reload(self, config: Config, now: float) -> None:
        """Take over another configuration; what did not change goes on undisturbed.

        The environment may change and with it every name: containers of the one before are then left alone.
        """
        self._now = now
        self._config = config
        self._wake = now
        self._declare(declared(config), now)

    def decide(self, world: World, now: float) -> list[Action]:
        """Give the actions to take now, in this order; none that was given before and is not answered."""
        self._now = now
        self._world = world
        for late in self._pending.expired(world, now):
            self.failed(late, "time-out", "the location did not answer in time", now)
        turn = Turn(world, now, self._pending)
        for name in self._unrouted:
            turn.actions.append(SetRoute(name, None))
        self._unrouted.clear()
        self._decide(turn)
        for expiry in self._pending.expiries():
            turn.reached(expiry)
        self._wake = turn.wake
        return turn.actions

    def done(self, action: LocationAction, now: float) -> None:
        """Take in that an action succeeded; the location's view shows it already."""
        self._now = now
        self._wake = now
        if self._pending.done(action):
            for replica in self._replicas.values():
                replica.took(action, "", "")

    def failed(self, action: LocationAction, code: str, message: str, now: float) -> None:
        """Take in that an action failed: `code` of the protocol, or "lost" with its session."""
        self._now = now
        self._wake = now
        if not self._pending.failed(action, code, now):
            return
        if isinstance(action, SetConnections):
            self._connections.pop(action.location, None)
        for replica in self._replicas.values():
            replica.took(action, code, message)

    def drained(self, route: Route, now: float) -> None:
        """Take in that no connection uses a route any more that was to be drained."""
        self._now = now
        self._wake = now
        retirement = self._retirements.get(route)
        if retirement is not None:
            retirement.drained()

    def deadline(self) -> float | None:
        """When to decide again if nothing happens before; None for never."""
        return self._wake

    def ready(self) -> bool:
        """Tell whether every declared container answered once, or its start limit is over."""
        return self._ready

    def report(self) -> list[Report]:
        """Tell how every declared container fares, and which others are on their way out."""
        told = [self._report(replica) for replica in self._replicas.values()]
        for name, container in self._config.containers.items():
            if not container.enabled:
                told.append(Report(name, ReplicaState.STOPPED, 0.0, container.image, reason="not enabled"))
        return told + [
            entry for ref, leaving in self._retirements.items() for entry in self._gone(ref, leaving)
        ]

    def _declare(self, wanted: dict[str, Declared], now: float) -> None:
        lease = self._config.daemon.lease
        for name in [n for n in self._replicas if n not in wanted or self._renamed(n, wanted[n])]:
            replica = self._replicas.pop(name)
            if replica.route is not None:
                self._unrouted.append(name)
        for name, declaration in wanted.items():
            if name in self._replicas:
                self._replicas[name].declare(declaration, lease, now)
            else:
                self._replicas[name] = Replica(declaration, now, lease, self._homes)
        self._replicas = {name: self._replicas[name] for name in wanted}
        self._ready = not self._replicas

    def _renamed(self, name: str, declaration: Declared) -> bool:
        return self._replicas[name].declared.wire_name != declaration.wire_name

    def _decide(self, turn: Turn) -> None:
        ours = self._ours(turn)
        settled = self._settled(turn)
        by_name: dict[str, dict[Route, tuple[LocationView, ContainerView]]] = {}
        for ref, entry in ours.items():
            by_name.setdefault(entry[1].name, {})[ref] = entry
        leaving: set[Route] = set()
        ready = True
        for name, replica in self._replicas.items():
            views = by_name.pop(replica.declared.wire_name, {})
            replica.condemned |= {ref for ref in views if self._is_ending(ref)}
            replica.step(turn, views, settled)
            if replica.route is not None:
                self._routed.add(replica.route)
            leaving.update(replica.leaving())
            ready = replica.started(turn) and ready
            self._judge(name, replica, turn)
        for undeclared in by_name.values():
            leaving.update(undeclared)
        self._ready = ready
        self._retire(turn, ours, leaving)
        self._connect(turn)
        self._forget(ours)

    def _ours(self, turn: Turn) -> dict[Route, tuple[LocationView, ContainerView]]:
        """Give all containers of this environment, wherever they were last seen."""
        prefix = f"{self._config.daemon.environment}/"
        return {
            Route(view.name, container.id): (view, container)
            for view in turn.world.locations.values()
            for container in view.containers.values()
            if container.name.startswith(prefix)
        }

    def _settled(self, turn: Turn) -> bool:
        """Tell whether every location has told what it runs, or had the time of a lease for it.

        Without that wait, a restart would double what runs at a location that is slow to answer.
        """
        settled = True
        for name, view in turn.world.locations.items():
            first = self._first_seen.setdefault(name, turn.now)
            if view.listed:
                self._listed.add(name)
            if name in self._listed:
                continue
            since = max(first, view.since) if view.connected else first
            settled = turn.reached(since + self._config.daemon.lease) and settled
        return settled

    def _retire(self, turn: Turn, ours: Views, leaving: set[Route]) -> None:
        for ref in [ref for ref in self._retirements if ref not in leaving]:
            del self._retirements[ref]
        for ref in sorted(leaving, key=lambda ref: (ref.location, ref.container)):
            retirement = self._retirements.get(ref)
            view = ours[ref][1]
            if retirement is None:
                retirement = self._retirements[ref] = Retirement(ref, turn.now)
                turn.note(
                    logged.CONTAINER_RETIRED,
                    f"container {view.name} at {ref.location} is retired",
                    container=view.name,
                    location=ref.location,
                    node=view.node,
                    id=ref.container,
                )
            in_use = ref in self._routed or ref in self._taken_over
            retirement.advance(turn, view, in_use)

    def _is_ending(self, ref: Route) -> bool:
        retirement = self._retirements.get(ref)
        return retirement is not None and retirement.ending

    def _connect(self, turn: Turn) -> None:
        for name in turn.world.locations:
            view = turn.location(name)
            if view is None:
                continue
            wanted = (view.since, tuple(sorted(self._pairs(name))))
            if self._connections.get(name) != wanted and turn.ask(
                SetConnections(name, self._config.daemon.environment, wanted[1])
            ):
                self._connections[name] = wanted

    def _pairs(self, location: str) -> Iterator[tuple[str, str, str]]:
        """Give the connections allowed at one location: every copy of one reaches the other in force."""
        for replica in self._replicas.values():
            for other in replica.declared.container.connects_to:
                target = self._replicas[other].serving if other in self._replicas else None
                if target is None or target.location != location:
                    continue
                for ref in replica.copies:
                    if ref.location == location:
                        yield ref.container, other, target.container

    def _forget(self, ours: Views) -> None:
        """Drop what was remembered of containers that are gone."""
        live: set[Subject] = set()
        for ref in ours:
            live |= {("container", ref.location, ref.container), ("watch", ref.location, ref.container)}
        self._pending.clear(live)
        self._routed &= ours.keys()

    def _judge(self, name: str, replica: Replica, turn: Turn) -> None:
        state, reason = judge(replica, turn.world)
        before = self._states.get(name)
        since = before[2] if before is not None and before[0] is state else turn.now
        self._states[name] = (state, reason, since)

    def _report(self, replica: Replica) -> Report:
        name = replica.declared.name
        state, reason, since = self._states.get(name, (ReplicaState.WAITING, "", self._now))
        copy = replica.current
        return Report(
            name=name,
            state=state,
            since=since,
            image=replica.declared.container.image,
            location=copy.ref.location if copy else "",
            node=copy.view.node if copy else "",
            id=copy.ref.container if copy else "",
            ip=copy.view.ip if copy else "",
            restarts=replica.upkeep.restarts,
            placement=replica.placement,
            reason=reason,
        )

    def _gone(self, ref: Route, leaving: Retirement) -> Iterator[Report]:
        view = self._world.locations.get(ref.location)
        container = view.containers.get(ref.container) if view is not None else None
        if container is None:
            return
        yield Report(
            name=container.name,
            state=ReplicaState.DRAINING,
            since=leaving.since,
            image=container.image,
            location=ref.location,
            node=container.node,
            id=container.id,
            ip=container.ip,
            reason="not wanted any more",
        )
