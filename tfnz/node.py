"""A machine of a location, which runs containers."""

import base64
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import ref

from tfnz import arguments
from tfnz.base import Key, Taggable, as_text, new_uuid
from tfnz.stats import stats_of

if TYPE_CHECKING:
    from tfnz.arguments import Pairs
    from tfnz.components.postgresql import Postgresql
    from tfnz.connection import Connection
    from tfnz.container import Container
    from tfnz.location import Location
    from tfnz.volume import Volume

Callback = Callable[..., object]

log = logging.getLogger(__name__)


class Node:
    """One machine. Obtained from a Location.

    `stats` is a dict of cpu, memory, paging and ave_start_time (see tfnz.stats.Stats); `containers` has those
    of this session, by uuid; `pk` are 32 bytes that stand for the node; `name` is the location's for it.
    """

    def __init__(self, location: "Location", record: Mapping[str, Any]) -> None:
        self.parent: Callable[[], Location | None] = ref(location)
        self.name = str(record["name"])
        self.pk = public_key(location.location, self.name)
        self.containers: dict[bytes, Container] = {}
        self._connection = location.connection
        self.update(record)

    def __repr__(self) -> str:
        return f"<Node '{base64.b64encode(self.pk).decode()}' containers={len(self.containers)}>"

    def conn(self) -> "Connection":
        """Give the session's connection."""
        return self._connection

    def location(self) -> "Location":
        """Give the location. Raises ValueError where the program no longer has it."""
        location = self.parent()
        if location is None:
            raise ValueError(f"{self!r}: its Location is gone")
        return location

    def update(self, record: Mapping[str, Any]) -> None:
        """Take what the location told of the node."""
        self.online = bool(record.get("online", True))
        self.stats = stats_of(record)

    def spawn_container(
        self,
        image: str,
        env: "Pairs" = None,
        sleep: bool = False,
        volumes: "Pairs" = None,
        pre_boot_files: "Pairs" = None,
        command: Iterable[str] | str | None = None,
        stdout_callback: Callback | None = None,
        termination_callback: Callback | None = None,
        tag: Key | None = None,
        no_image_check: bool = False,
    ) -> "Container":
        """Start a container, and give it before it is ready; only the image is waited for.

        Args:
            image: what the local engine or the location calls it, or a reference of a registry.
            env: list of (name, value), in addition to the image's own.
            sleep: do not run the image's command before `Container.start`.
            volumes: list of (Volume, absolute mount point).
            pre_boot_files: list of (absolute file name, bytes or text), written before the first start.
            command: words instead of the image's entrypoint and command, or a line for the shell.
            stdout_callback: called as (container, bytes) with what the command writes to its terminal.
            termination_callback: called once as (container, exit code) when the container has ended.
            tag: a name by which other sessions of the account find it.
            no_image_check: do not look for a newer image in the local engine.

        Raises:
            ValueError: wrong arguments, a tag that is taken, an image that cannot run.
            RuntimeError: the image is nowhere to be found.
            TimeoutError: the location does not answer.

        """
        from tfnz.container import Container

        location = self.location()
        valid = Taggable.valid_tag(tag)
        container = Container(
            self,
            new_uuid(),
            image,
            env=arguments.environment(env),
            volumes=arguments.mounts(volumes),
            pre_boot_files=arguments.files(pre_boot_files),
            command=arguments.command_line(command),
            sleep=bool(sleep),
            tag=valid,
            stdout_callback=stdout_callback,
            termination_callback=termination_callback,
        )
        location.check_container_tag(valid)
        digest, description = location.image_to_spawn(image, check=not no_image_check)
        log.info("Spawning container: %s", as_text(container.uuid))
        self.containers[container.uuid] = container
        location.own_containers[container.uuid] = container
        try:
            container.begin(digest, description)
        except BaseException:
            self.forget(container)
            raise
        return container

    def spawn(
        self,
        image: str,
        env: "Pairs" = None,
        sleep: bool = False,
        pre_boot_files: "Pairs" = None,
        no_image_check: bool = False,
        **rest: Any,
    ) -> "Container":
        """Do what `spawn_container` does."""
        return self.spawn_container(
            image, env, sleep, pre_boot_files=pre_boot_files, no_image_check=no_image_check, **rest
        )

    def destroy_container(self, container: "Container | Postgresql") -> None:
        """Destroy a container of this session and all that belongs to it, but for its volumes.

        The callbacks run in this thread. Raises ValueError where it is dead, KeyError where it is not one of
        this node's, TimeoutError.
        """
        # A component wraps its container.
        wrapped: Any = container
        ending: Container = getattr(wrapped, "ctr", wrapped)
        ending.ensure_alive()
        if self.containers.get(ending.uuid) is not ending:
            raise KeyError(f"{ending!r} is not a container of {self!r}")
        ending.end()
        self.forget(ending)

    def forget(self, container: "Container") -> None:
        """Know that a container has ended."""
        self.containers.pop(container.uuid, None)
        location = self.parent()
        if location is not None:
            location.own_containers.pop(container.uuid, None)

    def all_containers(self) -> "list[Container]":
        """Give this session's containers here."""
        return list(self.containers.values())

    def create_volume(
        self,
        tag: Key | None = None,
        asynchronous: bool = True,
        termination_callback: Callback | None = None,
        **older: Any,
    ) -> "Volume":
        """Create a volume that this node can mount; see `Location.create_volume`."""
        return self.location().create_volume(
            tag=tag,
            asynchronous=asynchronous,
            termination_callback=termination_callback,
            node=self,
            **older,
        )

    def destroy_volume(self, volume: "Volume") -> None:
        """Destroy a volume, once containers of this session that mount it have ended.

        It leaves the lists at once. Raises ValueError where another session's container mounts it, or it is
        unknown or destroyed already; TimeoutError.
        """
        self.location().destroy_volume(volume, when_free=True)


def public_key(location: str, name: str) -> bytes:
    """Give 32 bytes that stand for a node: the same for every program.

    20ft's nodes had keys of their own, and programs keep them as the nodes' identities.
    """
    # Seeded by SHA-512 of the text, which random imports without the rest of hashlib.
    return random.Random(f"{location}/{name}").randbytes(32)  # noqa: S311 - an identity, no secret
