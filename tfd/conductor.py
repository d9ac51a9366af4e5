"""Carries out what the supervisor decides, over the links and the proxy, and tells it the results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tfd.config.model import Config, Container
from tfd.locations.bringing import Files, bring_files, bring_image
from tfd.locations.location import Location
from tfd.log import Log
from tfd.outputs import Outputs
from tfd.protocol.drivers.link import Answer, Failure
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.relaying.tickets import TicketCallback, TicketFailure
from tfd.protocol.errors import Code
from tfd.protocol.route import Route
from tfd.proxy import Proxy
from tfd.supervisor import Supervisor
from tfd.world import (
    Action,
    BringImage,
    CreateContainer,
    DestroyContainer,
    Drain,
    EnsureVolume,
    LocationAction,
    Note,
    Probe,
    SetConnections,
    SetRoute,
    StartContainer,
    StopContainer,
    WatchHealth,
    World,
)

LIMIT: Final = 60.0
"""Seconds for what takes the engine a moment."""

CREATE_LIMIT: Final = 1800.0
"""Seconds for a creation: the location may have to pull and unpack the image for it."""


class Conductor:
    """The daemon's locations, and the way from decisions to requests.

    Args:
        loop: the loop that calls back.
        log: takes the supervisor's notes.
        supervisor: decides.
        make_proxy: makes the proxy, given its source of tickets.
        decided: called after each round of decisions.

    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        supervisor: Supervisor,
        make_proxy: "Callable[[Conductor], Proxy]",
        decided: Callable[[], None],
    ) -> None:
        self.locations: dict[str, Location] = {}
        self.proxy = make_proxy(self)
        self._loop = loop
        self._log = log
        self._supervisor = supervisor
        self._decided = decided
        self._ports: dict[str, tuple[int, ...]] = {}
        self._routes: dict[str, Route | None] = {}
        self._soon: Timer | None = None
        self._due: Timer | None = None
        self._closed = False
        self._outputs = Outputs(loop, log)
        self._bringing: dict[tuple[str, str], list[Callable[[str | Failure], None]]] = {}

    def configure(self, config: Config) -> None:
        """Know which ports the listeners lead to; what was decided before stays until the next round."""
        ports: dict[str, tuple[int, ...]] = {}
        for listener in config.listeners:
            ports[listener.container] = (*ports.get(listener.container, ()), listener.port)
        self._ports = ports
        self._outputs.configure(config)
        self.poke()

    def poke(self) -> None:
        """Have the supervisor decide soon; once, however often this is called meanwhile."""
        if self._soon is None and not self._closed:
            self._soon = self._loop.call_later(0, self._decide)

    def close(self) -> None:
        """End all sessions; the containers live on."""
        self._closed = True
        for timer in (self._soon, self._due):
            if timer is not None:
                timer.cancel()
        self._outputs.close()
        for location in self.locations.values():
            location.close()

    def drain(self, callback: Callable[[], None]) -> None:
        """Call `callback` once no connection uses any container."""
        left = {route for route in self._routes.values() if route is not None}

        def drained(route: Route) -> None:
            left.discard(route)
            if not left:
                callback()

        for route in tuple(left):
            self.proxy.drain(route, lambda route=route: drained(route))  # type: ignore[misc]
        if not left:
            callback()

    def answer_logs(self, words: Sequence[str], reply: Callable[[str], None]) -> None:
        """Answer `tfd logs`; see `tfd.logs.answer`."""
        from tfd import logs

        logs.answer(words, self._supervisor.report(), self.locations, reply)

    def take_ticket(self, route: Route, port: int, callback: TicketCallback) -> None:
        """Give a ticket for a container's port (see TicketSource)."""
        location = self.locations.get(route.location)
        if location is None:
            callback(TicketFailure(f"location {route.location} is not joined any more"))
        else:
            location.stock.take(route.container, port, callback)

    def _decide(self) -> None:
        self._soon = None
        world = World({name: location.view for name, location in self.locations.items()})
        for action in self._supervisor.decide(world, self._loop.now):
            self._carry_out(action)
        if self._due is not None:
            self._due.cancel()
            self._due = None
        deadline = self._supervisor.deadline()
        if deadline is not None:
            self._due = self._loop.call_at(deadline, self.poke)
        self._outputs.follow(self.locations)
        self._decided()

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Note):
            self._log.event(action.what, action.message, **dict(action.fields))
        elif isinstance(action, SetRoute):
            self._set_route(action)
        elif isinstance(action, Drain):
            self.proxy.drain(action.route, lambda: self._drained(action.route))
        else:
            location = self.locations.get(action.location)
            if location is None:
                text = f"location {action.location} is not joined any more"
                self._loop.call_later(0, lambda: self._end(action, Failure(Code.UNAVAILABLE, text)))
            else:
                self._ask(action, location)

    def _set_route(self, action: SetRoute) -> None:
        self.proxy.set_route(action.container, action.route)
        self._routes[action.container] = action.route
        location = self.locations.get(action.route.location) if action.route else None
        if action.route is not None and location is not None:
            for port in self._ports.get(action.container, ()):
                location.stock.prepare(action.route.container, port)

    def _drained(self, route: Route) -> None:
        self._supervisor.drained(route, self._loop.now)
        self.poke()

    def _ask(self, action: LocationAction, location: Location) -> None:
        match action:
            case BringImage(_, image):
                self._bring(action, location, image)
            case EnsureVolume(_, volume, node):
                params = _without_none({"name": volume, "node": node})
                self._request(action, location, "volume.ensure", params, self._volume_ensured)
            case CreateContainer():
                bring_files(
                    self._loop,
                    location.link,
                    action.container,
                    lambda files: self._create(action, location, files),
                )
            case StartContainer(_, container):
                self._request(action, location, "container.start", {"id": container}, _put_container)
            case StopContainer(_, container, timeout):
                params = {"id": container, "timeout": timeout}
                self._request(action, location, "container.stop", params, _put_container, LIMIT + timeout)
            case DestroyContainer(_, container):
                self._request(
                    action,
                    location,
                    "container.destroy",
                    {"id": container},
                    lambda location, _: location.drop_container(container),
                )
            case WatchHealth(_, container, probe):
                params = {"id": container, "probe": _probe(probe)}
                self._request(action, location, "health.watch", params, _nothing)
            case SetConnections(_, environment, pairs):
                params = {"environment": environment, "pairs": [list(pair) for pair in pairs]}
                self._request(action, location, "connections.set", params, _nothing)

    def _request(
        self,
        action: LocationAction,
        location: Location,
        name: str,
        params: Mapping[str, Any],
        shown: Callable[[Location, dict[str, Any]], None],
        limit: float = LIMIT,
    ) -> None:
        """Ask; on success have the result `shown` in the location's view; then tell the supervisor."""

        def answered(answer: Answer) -> None:
            if isinstance(answer, Failure):
                self._end(action, answer)
                return
            try:
                shown(location, answer)
            except (KeyError, TypeError, ValueError) as error:
                text = f"the location's answer to {name} is not understood: {error!r}"
                self._end(action, Failure(Code.MALFORMED, text))
            else:
                self._end(action, None)

        location.link.request(name, params, limit, answered)

    def _end(self, action: LocationAction, failure: Failure | None) -> None:
        if self._closed:
            return
        if failure is None:
            self._supervisor.done(action, self._loop.now)
        else:
            # Those that matter to people the supervisor notes, in its words and as often as is useful.
            what = type(action).__name__
            text = f"{what} at {action.location} failed ({failure.code}): {failure.message}"
            self._log.event("debug", text, location=action.location)
            self._supervisor.failed(action, failure.code, failure.message, self._loop.now)
        self.poke()

    def _bring(self, action: BringImage, location: Location, image: str) -> None:
        """Bring an image; two containers that need the same one wait for the same upload."""

        def brought(result: str | Failure) -> None:
            if isinstance(result, Failure):
                self._end(action, result)
                return
            location.put_image(image, result)
            self._end(action, None)

        waiting = self._bringing.get((location.name, image))
        if waiting is not None:
            waiting.append(brought)
            return
        waiting = self._bringing[location.name, image] = [brought]

        def all_brought(result: str | Failure) -> None:
            self._bringing.pop((location.name, image), None)
            for callback in waiting:
                callback(result)

        bring_image(self._loop, location.link, image, all_brought)

    def _create(self, action: CreateContainer, location: Location, files: Files | Failure) -> None:
        if isinstance(files, Failure):
            self._end(action, files)
            return
        params = _without_none(
            {
                "name": action.name,
                "key": action.key,
                "node": action.node,
                "image": action.image,
                "config": _container_config(action.container, action.volumes, files),
            }
        )
        self._outputs.creating(location.name, action.name, action.key)
        self._request(action, location, "container.create", params, _put_container, CREATE_LIMIT)

    @staticmethod
    def _volume_ensured(location: Location, answer: dict[str, Any]) -> None:
        location.put_volume(answer["volume"])


def _put_container(location: Location, answer: dict[str, Any]) -> None:
    location.put_container(answer["container"])


def _nothing(_location: Location, _answer: dict[str, Any]) -> None:
    """Show nothing: the answer has nothing in it."""


def _probe(probe: Probe) -> dict[str, Any]:
    return _without_none(
        {
            "kind": "tcp" if probe.path is None else "http",
            "port": probe.port,
            "path": probe.path,
            "interval": probe.interval,
            "timeout": probe.timeout,
            "rise": probe.rise,
            "fall": probe.fall,
        }
    )


def _container_config(
    container: Container, volumes: tuple[tuple[str, str], ...], files: Files
) -> dict[str, Any]:
    return _without_none(
        {
            "command": None if container.command is None else list(container.command),
            "entrypoint": None if container.entrypoint is None else list(container.entrypoint),
            "environment": dict(container.environment),
            "volumes": [list(volume) for volume in volumes],
            "files": files,
            "memory": container.memory,
            "cpus": container.cpus,
            "processes": container.processes,
        }
    )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
