"""A location: where an account's containers run, and the session that holds them."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tfd.protocol.errors import Code
from tfd.protocol.events import Welcome
from tfnz import account as accounts
from tfnz.base import READY_LIMIT, Key, Taggable, as_text, new_uuid
from tfnz.connection import RemoteError
from tfnz.keyvalues import KeyValues, Value, check_changes
from tfnz.node import Node
from tfnz.session import Session
from tfnz.stats import RankBias, ranked
from tfnz.volume import MISSING, Volume
from tfnz.waiting import Waiting
from tfnz.watch import Watch

if TYPE_CHECKING:
    from tfd.protocol.drivers.link import Answer
    from tfnz.container import Container, ExternalContainer
    from tfnz.endpoint import WebEndpoint
    from tfnz.tunnel import Tunnel

__all__ = ["Location", "RankBias", "last_image"]

PORT: Final = accounts.PORT
"""TCP port of a location where its address names none."""

Callback = Callable[..., object]

log = logging.getLogger(__name__)


class Location(Session):
    """A session with a location. What it starts lives until `disconnect`, or the end of the program.

    Args:
        location: its name; default is the content of `~/.20ft/default_location`.
        location_ip: an address to dial, `host` or `host:port`, instead of the one that is known.
        debug_log: log at level DEBUG; None leaves logging alone.
        quiet: leave logging alone; otherwise it goes to standard error.
        new_node_callback: called as (node) when a node appears later.
        debug: another name of `debug_log`.

    Raises:
        RuntimeError: no account, its files cannot be used, or the location does not answer.
        ValueError: the location refuses the account; `quiet` and `debug_log` are both set.
        TimeoutError: the location does not tell what it offers.

    Attributes:
        location: its name. nodes: by their `pk`. volumes, externals: collections of what the account has.
        tunnels: of this session, by uuid. user_pk: the account's public key, 32 bytes.

    """

    def __init__(
        self,
        location: str | None = None,
        location_ip: str | None = None,
        debug_log: bool | None = False,
        *,
        quiet: bool = False,
        new_node_callback: Callback | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__(location, location_ip, debug or debug_log, quiet=quiet)
        self.new_node_callback = new_node_callback
        self._endpoints: dict[str, WebEndpoint] | None = None
        self._walked = 0
        self.watch = Watch(self, self.mark_as_ready, self.mark_as_failed)
        self.connect()

    def connection_opened(self, welcome: Welcome) -> None:  # noqa: ARG002 - as told
        """Follow what the location offers, from now on."""
        self.watch.begin()

    # Nodes

    def node(self) -> Node:
        """Give the best node of now. Raises ValueError where there is none."""
        return self.ranked_nodes()[0]

    def ranked_nodes(self, bias: RankBias | None = None, **_older: Any) -> list[Node]:
        """Give the nodes, the best first, or by one statistic. Raises ValueError where there are none."""
        nodes = ranked(list(self.nodes.values()), bias)
        if not nodes:
            raise ValueError(f"location {self.location} has no node that works at present")
        return nodes

    def best_node(self, bias: RankBias | None = None, force_refresh: bool = False) -> Node:
        """Give the best node; the next call, without new statistics, the next best, and so round.

        Args:
            bias: what counts most.
            force_refresh: ask the location for new statistics first.

        Raises:
            ValueError: there is none.

        """
        if force_refresh:
            for record in self.connection.call("node.list", {})["nodes"]:
                node = self.node_named(str(record["name"]))
                if node is not None:
                    node.update(record)
            self.restart_walk()
        nodes = self.ranked_nodes(bias)
        position, self._walked = self._walked, self._walked + 1
        return nodes[position % len(nodes)]

    def restart_walk(self) -> None:
        """Let the next `best_node` be the best: there are new statistics."""
        self._walked = 0

    def node_named(self, name: str) -> Node | None:
        """Give the node that the location calls so, None where there is none."""
        return next((node for node in list(self.nodes.values()) if node.name == name), None)

    # Volumes

    def create_volume(
        self,
        tag: Key | None = None,
        asynchronous: bool = True,
        termination_callback: Callback | None = None,
        *,
        size: int | None = None,
        node: Node | None = None,
        **older: Any,
    ) -> Volume:
        """Create a volume.

        Args:
            tag: another name for it.
            asynchronous: False makes each write wait for the disk, where the storage can.
            termination_callback: called once as (volume, 0) when anyone has destroyed it.
            size: its limit in bytes; the location's default if not given.
            node: one that is to be able to mount it.
            older: `async`, the older name of `asynchronous`.

        Raises:
            ValueError: a bad tag, a tag that is taken, a limit of the account.
            TimeoutError: the location does not answer.

        """
        asynchronous = bool(older.pop("async", asynchronous))
        if older:
            raise TypeError(f"create_volume has no argument {next(iter(older))}")
        params: dict[str, Any] = {"key": as_text(new_uuid()), "synchronous": not asynchronous}
        valid = Taggable.valid_tag(tag)
        optional = {
            "tag": None if valid is None else as_text(valid),
            "size": size,
            "node": None if node is None else node.name,
        }
        params |= {name: value for name, value in optional.items() if value is not None}
        record = self.connection.call("volume.create", params)["volume"]
        volume = self._known(record)
        volume.termination_callback = termination_callback
        log.info("Created volume: %s", as_text(volume.uuid))
        return volume

    def ensure_volume(self, key: Key) -> Volume:
        """Give a volume by uuid, tag or `uuid:tag`, else create one with this tag. Raises as both do."""
        try:
            return self.volume(key)
        except KeyError:
            pass
        try:
            return self.create_volume(tag=key)
        except RemoteError as error:
            if error.code != Code.EXISTS:
                raise
        # Another program was first.
        for record in self.connection.call("volume.list", {})["volumes"]:
            if record.get("tag") == as_text(key).lower():
                return self._known(record)
        return self.volume(key)

    def _known(self, record: Mapping[str, Any]) -> Volume:
        return self.connection.on_loop(lambda: self.watch.take_volume(record))

    def volume(self, key: Key) -> Volume:
        """Give a volume by uuid, tag or `uuid:tag`. Raises KeyError; ValueError for more than one colon."""
        return self.volumes.get(self.user_pk, key)

    def node_and_volume(self, key: Key) -> tuple[Node, Volume]:
        """Give a volume and the best node that can mount it. Raises KeyError where there is no volume."""
        volume = self.volume(key)
        at = self.node_named(str(volume.record.get("node") or ""))
        return at if at is not None else self.best_node(), volume

    def all_volumes(self) -> list[Volume]:
        """Give the account's volumes."""
        return list(self.volumes.values())

    def destroy_volume(self, volume: Volume, *, when_free: bool = False) -> None:
        """Destroy a volume with its data, and call its callback in this thread.

        With `when_free` it only leaves the lists now where containers of this session mount it, and is
        destroyed when the last of them ends. Raises ValueError where it is mounted otherwise, unknown or
        destroyed already; TimeoutError.
        """
        if not isinstance(volume, Volume) or volume.dead:
            raise ValueError(f"{volume!r}: {MISSING}")
        volume.in_hand = True
        try:
            params = {"name": volume.name, "when_free": True} if when_free else {"name": volume.name}
            self.connection.call("volume.destroy", params)
        except BaseException as error:
            self.connection.loop.call_from_thread(lambda: self.watch.release_volume(volume))
            if isinstance(error, RemoteError) and error.code == Code.NOT_FOUND:
                self.connection.on_loop(lambda: self.watch.drop_volume(volume.uuid))
                raise ValueError(f"{volume!r}: {MISSING}") from None
            raise
        self.connection.on_loop(lambda: self.watch.drop_volume(volume.uuid))
        log.info("Destroyed volume: %s", as_text(volume.uuid))
        self.connection.callbacks.call(volume.termination_callback, volume, 0)

    # The key-value store

    @property
    def kv(self) -> KeyValues:
        """The account's key-value store at this location: a mapping to read."""
        return self.watch.kv

    def set_kv(
        self, changes: Mapping[str, Value | None], *, expect: Mapping[str, Value | None] | None = None
    ) -> None:
        """Add, replace or (None) delete entries, all or none.

        Args:
            changes: values are bytes, text, numbers, booleans; they come back with their type.
            expect: entries (None: absent) without which nothing is changed, so that two programs that change
                the same entry notice.

        Raises:
            ValueError: other keys or types, a limit, or something else than was expected.
            TimeoutError: the location does not answer.

        """
        check_changes(changes)
        params: dict[str, Any] = {"changes": dict(changes)}
        if expect is not None:
            check_changes(expect)
            params["expect"] = dict(expect)
        self.connection.call("keys.set", params)
        refreshed: Waiting[Answer] = Waiting()

        def refresh() -> None:
            self.connection.request("keys.get", {}, READY_LIMIT, seen)

        def seen(answer: "Answer") -> None:
            # Taken in the order of the session, so that an older state never replaces a newer one.
            if isinstance(answer, dict):
                self.watch.tell_watchers(self.kv.replace(answer["values"]))
            refreshed.set(answer)

        self.connection.on_loop(refresh)
        refreshed.get(READY_LIMIT, "keys.get: no answer of the location")

    def watch_kv(self, callback: Callback) -> None:
        """Call `callback` as (changes) whenever entries change; deleted ones have the value None."""
        self.kv.watch(callback)

    # Containers

    def external_container(self, key: Key) -> "ExternalContainer":
        """Give another session's tagged container by uuid, tag or `uuid:tag`. Raises KeyError, ValueError."""
        return self.externals.get(self.user_pk, key)

    def container_for(self, tag: Key) -> "ExternalContainer":
        """Do what `external_container` does."""
        return self.external_container(tag)

    def check_container_tag(self, tag: bytes | None) -> None:
        """Raise ValueError where a container of this account has that tag."""
        own = any(container.tag == tag for container in list(self.own_containers.values()))
        if tag is not None and (own or self.externals.will_clash(self.user_pk, b"-", tag)):
            raise ValueError(
                f"the tag {as_text(tag)} is another container's; choose one, or destroy that one"
            )

    def image_to_spawn(self, image: str, *, check: bool = True) -> tuple[str, dict[str, Any] | None]:
        """Make an image available; give its digest there and its description.

        Without `check` an image that the location has is taken as it is, and its description is None.
        Raises as `ensure_image_uploaded` does.
        """
        if not isinstance(image, str) or not image:
            raise ValueError(f"{image!r} is not an image's name; allowed: a name or an id as text")
        if not check:
            found = self.connection.call("image.find", {"name": image})["image"]
            if found is not None:
                return str(found), None
        from tfnz import images

        ensured = images.ensure(self.connection, image)
        return ensured.name_to_spawn, ensured.description

    def ensure_image_uploaded(self, docker_image_id: str, *, descr: object = None) -> list[str]:  # noqa: ARG002
        """Make an image available at the location; spawning does it too. Repeatable.

        Args:
            docker_image_id: what the local engine or the location calls it.
            descr: nothing any more: the location reads an image's description from the image.

        Returns:
            The sha256 of its layers in order, hexadecimal.

        Raises:
            RuntimeError: the image is nowhere to be found.
            ValueError: it cannot be used.
            TimeoutError: the location does not answer.

        """
        from tfnz import images

        return images.ensure(self.connection, docker_image_id).layers

    # Web endpoints

    @property
    def endpoints(self) -> "dict[str, WebEndpoint]":
        """The domains that the account may publish under, as told when first asked for."""
        if self._endpoints is None:
            from tfnz.endpoint import WebEndpoint

            self._endpoints = {domain: WebEndpoint(self, domain) for domain in self.watch.domains}
        return self._endpoints

    def endpoint_for(self, fqdn: str) -> "WebEndpoint":
        """Give the endpoint of the longest domain that `fqdn` is or lies under. Raises ValueError."""
        labels = fqdn.lower().rstrip(".").split(".")
        for start in range(len(labels)):
            endpoint = self.endpoints.get(".".join(labels[start:]))
            if endpoint is not None:
                return endpoint
        known = ", ".join(sorted(self.endpoints)) or "none"
        raise ValueError(f"no domain of this account is above {fqdn}; there are: {known}; see: tfdomains")

    # Behind methods of Container

    def tunnel_onto(
        self,
        container: "Container",
        port: int | str,
        localport: int | str | None,
        bind: str | None,
        *,
        timeout: float = 30,
    ) -> "Tunnel":
        """Make a tunnel; see `Container.attach_tunnel`. With `localport` None the system picks the port."""
        tunnel = container.attach_tunnel(port, localport=0 if localport is None else localport, bind=bind)
        tunnel.timeout = timeout
        return tunnel

    def wait_tcp(self, container: "Container", dest_port: int | str) -> None:
        """Wait until a port of the container accepts a connection; see `Container.wait_tcp`."""
        container.wait_tcp(dest_port)

    def wait_http_200(
        self,
        container: "Container",
        dest_port: int | str,
        fqdn: str,
        path: str,
        localport: int | str | None = None,  # noqa: ARG002 - the system picks it in any case
    ) -> "Tunnel":
        """Wait until the container answers with 200; see `Container.wait_http_200`."""
        return container.wait_http_200(dest_port=dest_port, fqdn=fqdn, path=path)

    def destroy_tunnel(
        self,
        tunnel: "Tunnel",
        container: "Container | None" = None,  # noqa: ARG002 - the tunnel knows
        with_command: bool = True,
    ) -> None:
        """Close a tunnel and its connections. Raises KeyError where it is none of this session's."""
        if tunnel.uuid not in self.tunnels:
            raise KeyError(f"{tunnel!r} is no tunnel of {self!r}")
        tunnel.destroy(with_command)

    # Accounts

    @staticmethod
    def all_locations() -> list[str]:
        """Give the names of the locations that the user has keys for. Raises FileNotFoundError."""
        return accounts.locations()


def last_image() -> str:
    """Give the 12-digit id of the newest local image. Raises ValueError, RuntimeError."""
    from tfnz.docker import Docker

    return Docker.last_image()
