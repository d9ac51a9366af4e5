"""One joined location as the daemon knows it: its link, its tickets, and a view of it kept current."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tfd.log import Log
from tfd.protocol.dataclass import replace
from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.stock import Stock
from tfd.protocol.events import Welcome
from tfd.world import (
    ContainerState,
    ContainerView,
    HealthView,
    LocationView,
    NodeView,
    Verdict,
    VolumeView,
)

NODES_INTERVAL: Final = 5.0
LISTS_INTERVAL: Final = 30.0
"""Seconds between two looks at what events tell anyway."""
RETRY: Final = 1.0
LIMIT: Final = 20.0
"""Seconds for the answer to a list."""


class Location:
    """Owner of a link; `view` is replaced by a new value whenever something changed.

    `stock` has the tickets for its containers.

    Args:
        loop: the loop that calls back.
        log: where answers that are not understood are told.
        name: the location's name here.
        make_link: makes the link, given its owner.
        changed: called after the view was replaced.
        lost: called when the session was lost.

    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        name: str,
        make_link: "Callable[[Location], Link]",
        changed: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self.name = name
        self.reconnects = 0
        """How often a session was opened after the first one."""
        self._was_open = False
        self.view = LocationView(name=name, connected=False, since=loop.now, reason="not connected yet")
        self._loop = loop
        self._log = log
        self._changed = changed
        self._lost = lost
        self._timers: dict[str, Timer] = {}
        self._asking: set[str] = set()
        self._to_list: set[str] = set()
        self._lists: dict[str, tuple[str, float, Callable[[Any], None]]] = {
            "node.list": ("nodes", NODES_INTERVAL, self._take_nodes),
            "container.list": ("containers", LISTS_INTERVAL, self._take_containers),
            "volume.list": ("volumes", LISTS_INTERVAL, self._take_volumes),
            "image.list": ("images", LISTS_INTERVAL, self._take_images),
        }
        self.link = make_link(self)
        self.stock = Stock(loop, log, self.link)

    def close(self) -> None:
        """End the session and drop the tickets."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.link.close()
        self.stock.close()

    # Results of actions, shown in the view before the supervisor is told that they are done

    def put_container(self, record: Mapping[str, Any]) -> None:
        """Show a container as the location answered. Raises ValueError where the answer is not understood."""
        container = _container(record)
        self._update(containers={**self.view.containers, container.id: container})

    def drop_container(self, container: str) -> None:
        """Show that a container is gone."""
        self._update(
            containers={key: value for key, value in self.view.containers.items() if key != container},
            health={key: value for key, value in self.view.health.items() if key != container},
        )
        self.stock.forget(self.view.containers.__contains__)

    def put_volume(self, record: Mapping[str, Any]) -> None:
        """Show a volume as the location answered. Raises ValueError where the answer is not understood."""
        volume = _volume(record)
        self._update(volumes={**self.view.volumes, volume.name: volume})

    def put_image(self, image: str, digest: str) -> None:
        """Show which digest an image of the configuration has at the location."""
        self._update(images={**self.view.images, image: digest})

    # The link's owner

    def link_opened(self, welcome: Welcome) -> None:
        """Ask for everything; of what happened meanwhile no event tells."""
        self.reconnects += self._was_open
        self._was_open = True
        self._to_list = set(self._lists)
        if welcome.resumed:
            self._update(connected=True, since=self._loop.now, reason="")
        else:
            self._update(
                connected=True,
                since=self._loop.now,
                reason="",
                session=self.view.session + 1,
                listed=False,
                images={},
                health={},
            )
        self.stock.clear()
        for name in self._lists:
            self._list(name)

    def link_lost(self, reason: str) -> None:
        """Show it; what is known of the containers stays."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._update(connected=False, since=self._loop.now, reason=reason)
        self._lost()

    def link_refused(self, reason: str) -> None:
        """Show why there is no session."""
        self._update(reason=reason)

    def link_event(self, name: str, body: dict[str, Any]) -> None:
        """Bring the view up to date."""
        try:
            if name == "container.changed":
                self.put_container(body.get("container", body))
            elif name == "container.gone":
                self.drop_container(str(body["id"]))
            elif name == "container.health":
                self._take_health(body)
        except (KeyError, TypeError, ValueError) as error:
            self._not_understood(name, error)

    # Lists

    def _list(self, name: str) -> None:
        if name not in self._asking:
            self._asking.add(name)
            self.link.request(name, {}, LIMIT, lambda answer: self._listed(name, answer))

    def _listed(self, name: str, answer: Answer) -> None:
        field, interval, take = self._lists[name]
        self._asking.discard(name)
        if not isinstance(answer, Failure):
            try:
                take(answer[field])
                self._to_list.discard(name)
            except (KeyError, TypeError, ValueError) as error:
                self._not_understood(name, error)
                interval = RETRY
        else:
            interval = RETRY
        if self.link.connected:
            if name in self._timers:
                self._timers[name].cancel()
            self._timers[name] = self._loop.call_later(interval, lambda: self._list(name))
            self._update(listed=not self._to_list or self.view.listed, round_trip=self.link.round_trip)

    def _take_nodes(self, records: Iterable[Mapping[str, Any]]) -> None:
        nodes = [_node(record) for record in records]
        self._update(nodes={node.name: node for node in nodes})

    def _take_containers(self, records: Iterable[Mapping[str, Any]]) -> None:
        containers = {container.id: container for container in map(_container, records)}
        health = {key: value for key, value in self.view.health.items() if key in containers}
        self._update(containers=containers, health=health)
        self.stock.forget(containers.__contains__)

    def _take_volumes(self, records: Iterable[Mapping[str, Any]]) -> None:
        volumes = [_volume(record) for record in records]
        self._update(volumes={volume.name: volume for volume in volumes})

    def _take_images(self, records: Iterable[Mapping[str, Any]]) -> None:
        names = {str(name): str(record["digest"]) for record in records for name in record["names"]}
        self._update(image_names=names)

    def _take_health(self, body: Mapping[str, Any]) -> None:
        container = str(body["id"])
        if container not in self.view.containers:
            return
        verdict = Verdict.GOOD if body["good"] else Verdict.BAD
        health = HealthView(verdict, self._loop.now, str(body.get("reason", "")))
        self._update(health={**self.view.health, container: health})

    def _update(self, **changes: Any) -> None:
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self._changed()

    def _not_understood(self, name: str, error: Exception) -> None:
        text = f"location {self.name}: its {name} is not understood: update the older of the two programs"
        self._log.limited("not understood", "warning", text, location=self.name, error=repr(error))


def _node(record: Mapping[str, Any]) -> NodeView:
    return NodeView(
        name=str(record["name"]),
        online=bool(record["online"]),
        cpus=int(record["cpus"]),
        load=float(record["load"]),
        memory_total=int(record["memory_total"]),
        memory_free=int(record["memory_free"]),
        paging=float(record["paging"]),
        containers=int(record["containers"]),
        images=frozenset(map(str, record.get("images") or ())),
    )


def _container(record: Mapping[str, Any]) -> ContainerView:
    code = record.get("exit")
    return ContainerView(
        id=str(record["id"]),
        name=str(record["name"]),
        key=str(record["key"]),
        node=str(record["node"]),
        image=str(record["image"]),
        ip=str(record["ip"] or ""),
        state=ContainerState(record["state"]),
        exit=None if code is None else int(code),
        reason=str(record.get("reason") or ""),
        created=float(record.get("created") or 0),
        volumes=tuple(map(str, record.get("volumes") or ())),
    )


def _volume(record: Mapping[str, Any]) -> VolumeView:
    size = record.get("size")
    return VolumeView(str(record["name"]), str(record["node"]), None if size is None else int(size))
