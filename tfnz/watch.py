"""What a location offers an account, followed from the connection on. All of it in the loop's thread."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tfd.protocol.drivers.link import Answer, Failure
from tfnz.keyvalues import KeyValues
from tfnz.node import Node
from tfnz.volume import Volume

if TYPE_CHECKING:
    from tfnz.location import Location

LIMIT: Final = 60.0
"""Seconds for the location to tell all that there is."""

RETRY: Final = 1.0
"""Seconds until it is asked again where it could not tell."""

Record = Mapping[str, Any]

log = logging.getLogger(__name__)


class Watch:
    """Keeps a Location's nodes, volumes, external containers, keys and domains current.

    Args:
        location: whose.
        ready: called once when all was told for the first time.
        failed: called with why it cannot be told, for the first time.

    """

    def __init__(
        self, location: "Location", ready: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._location = location
        self._connection = location.connection
        self._ready = ready
        self._failed = failed
        self._told = False
        self.kv = KeyValues()
        self.domains: list[str] = []
        for event, handler in (
            ("node.changed", lambda body: self._node(body["node"])),
            ("node.gone", lambda body: self._node_gone(str(body["name"]))),
            ("volume.changed", lambda body: self.take_volume(body["volume"])),
            ("volume.gone", lambda body: self.drop_volume(str(body["uuid"]))),
            ("container.changed", lambda body: self._container(body["container"])),
            ("container.gone", self._container_gone),
            ("keys.changed", lambda body: self.take_keys(body["changes"])),
            ("domains.changed", lambda body: self._domains(body["domains"])),
        ):
            self._connection.register(event, handler)

    def begin(self) -> None:
        """Ask for all there is, after a connection was made."""
        self._connection.request("location.watch", {}, LIMIT, self._answered)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            log.warning(
                "Location %s does not tell what it offers: %s", self._location.location, answer.message
            )
            if not self._told:
                self._failed(answer.message)
            elif self._connection.ended is None:
                self._connection.loop.call_later(RETRY, self.begin)
            return
        self._take(answer)
        if not self._told:
            self._told = True
            self._ready()

    def _take(self, answer: Record) -> None:
        self._connection.lease = float(answer.get("lease", self._connection.lease))
        nodes = {str(record["name"]) for record in answer["nodes"]}
        for record in answer["nodes"]:
            self._node(record)
        for node in list(self._location.nodes.values()):
            if node.name not in nodes:
                self._node_gone(node.name)
        volumes = {str(record["uuid"]).encode() for record in answer["volumes"]}
        for volume in self._location.volumes.values():
            if volume.uuid not in volumes:
                self.drop_volume(volume.uuid)
        for record in answer["volumes"]:
            self.take_volume(record)
        self._containers(answer["containers"])
        self.tell_watchers(self.kv.replace(answer["keys"]))
        self._domains(answer["domains"])

    # Nodes

    def _node(self, record: Record) -> None:
        location = self._location
        known = location.node_named(str(record["name"]))
        location.restart_walk()
        if known is not None:
            known.update(record)
            return
        node = Node(location, record)
        location.nodes[node.pk] = node
        if self._told:
            self._connection.callbacks.put(location.new_node_callback, node)

    def _node_gone(self, name: str) -> None:
        node = self._location.node_named(name)
        if node is None:
            return
        del self._location.nodes[node.pk]
        self._location.restart_walk()
        for container in node.all_containers():
            container.gone(f"its node {name} is gone")

    # Volumes

    def take_volume(self, record: Record) -> Volume:
        """Take a volume as it is now, and give it."""
        volumes = self._location.volumes
        uuid = str(record["uuid"])
        if uuid in volumes:
            known = volumes[uuid]
            known.record = record
            return known
        volume = Volume(self._connection, self._location.user_pk, record)
        volumes.add(volume)
        return volume

    def drop_volume(self, uuid: str | bytes) -> None:
        """Forget a volume that is destroyed."""
        volumes = self._location.volumes
        if uuid not in volumes:
            return
        volume = volumes[uuid]
        volumes.remove(volume)
        volume.dead = True
        if not volume.in_hand:
            self._connection.callbacks.put(volume.termination_callback, volume, 0)

    def release_volume(self, volume: Volume) -> None:
        """Know that the thread that has a volume in hand did not destroy it; somebody else may have."""
        volume.in_hand = False
        if volume.dead:
            self._connection.callbacks.put(volume.termination_callback, volume, 0)

    # Containers

    def _containers(self, records: list[Record]) -> None:
        there = set()
        for record in records:
            there.add(str(record["uuid"]).encode())
            self._container(record)
        for container in list(self._location.own_containers.values()):
            if container.uuid not in there and container.created:
                container.gone("the location does not have it any more")
        for external in self._location.externals.values():
            if external.uuid not in there:
                self._location.externals.remove(external)

    def _container(self, record: Record) -> None:
        uuid = str(record["uuid"]).encode()
        own = self._location.own_containers.get(uuid)
        if own is not None:
            own.changed(record)
        elif record.get("tag") and record.get("holder") != self._connection.rid.hex():
            self._external(record, uuid)

    def _external(self, record: Record, uuid: bytes) -> None:
        from tfnz.container import ExternalContainer

        externals = self._location.externals
        if uuid in externals:
            externals[uuid].ip = record["ip"]
            return
        external = ExternalContainer(self._location, record)
        if not externals.will_clash(external.user, external.uuid, external.tag):
            externals.add(external)

    def _container_gone(self, body: Record) -> None:
        for own in list(self._location.own_containers.values()):
            if own.id == body["id"]:
                own.gone(str(body.get("reason") or "it was destroyed"))
        for external in self._location.externals.values():
            if external.container_id() == body["id"]:
                self._location.externals.remove(external)

    # Keys and domains

    def take_keys(self, changes: Mapping[str, Any]) -> None:
        """Take changes of the key-value store."""
        self.tell_watchers(self.kv.change(changes))

    def tell_watchers(self, changes: Mapping[str, Any]) -> None:
        """Tell those who watch the key-value store what changed."""
        if changes and self._told:
            for callback in self.kv.watchers:
                self._connection.callbacks.put(callback, dict(changes))

    def _domains(self, domains: list[Record]) -> None:
        self.domains = [str(domain["name"]) for domain in domains]
