"""What tflocation asks of an engine, in the product's own words.

An implementation keeps everything that must be remembered in the engine's own objects, so a restarted
`tflocation` learns all of it by asking. Every call has a time limit and raises an `EngineError`; none hangs.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class EngineError(Exception):
    """The engine did not do what was asked; the message names the object and what to do."""


class EngineUnavailable(EngineError):  # noqa: N818 - it names the condition
    """The engine does not answer; whether the last request was done is unknown. Ask again later."""


class NoSpace(EngineError):  # noqa: N818 - it names the condition
    """The engine's storage is full, or a volume's size is used up."""


class NotFound(EngineError):  # noqa: N818 - it names the condition
    """The container, image, volume, snapshot, file or node does not exist."""


class Exists(EngineError):  # noqa: N818 - it names the condition
    """The object exists already with other properties."""


class InUse(EngineError):  # noqa: N818 - it names the condition
    """The object cannot be changed or destroyed because another one uses it."""


class Conflict(EngineError):  # noqa: N818 - it names the condition
    """The memory area no longer holds what the caller expected; read it again and decide anew."""


class State(StrEnum):
    """What a container is doing."""

    CREATED = "created"  # its making has not been finished
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"  # on request, or its process ended with exit code 0
    FAILED = "failed"  # its process ended by itself otherwise


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One machine of the location. `load` and `paging` are 0..1, memory is in bytes.

    `load` is the one-minute load average over the processors; `paging` is the share of the last ten seconds
    in which some task waited for memory (Documentation/accounting/psi.rst).
    """

    name: str
    online: bool
    cpus: int
    load: float
    memory_total: int
    memory_free: int
    paging: float
    containers: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """The process of a container: `args[0]` is looked up there along the PATH of `environment`."""

    args: tuple[str, ...]
    cwd: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    uid: int = 0
    gid: int = 0
    stop_signal: int = 15


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file to be put into a container, owned by its root: the bytes of `source` on this machine."""

    source: Path
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be made. `image` is a config digest, `memory` is in bytes, `cpus` may be a fraction.

    `volumes` are (volume name, mount point), `files` are by their path in the container.
    `node` None leaves the choice to the engine.
    """

    account: str
    name: str
    key: str
    image: str
    process: ProcessSpec
    node: str | None = None
    volumes: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, FileSpec] = field(default_factory=dict)
    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container as the engine knows it. `created` is in seconds since the epoch.

    `exit` is the process's exit code once it has ended (128 + number for a signal), None while it runs or
    where it is unknown. `reason` is one line for people, empty where there is nothing to say.
    `memory` (bytes), `cpus` and `processes` are its limits.
    """

    id: str
    account: str
    name: str
    key: str
    node: str
    image: str
    ip: str
    state: State
    exit: int | None
    reason: str
    created: float
    volumes: tuple[str, ...]
    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A named volume. `size` is its limit in bytes or None, `used` in bytes (0 where it is not known)."""

    name: str
    account: str
    node: str
    size: int | None
    used: int


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image. `digest` is its OCI config digest, `size` in bytes, `metadata` what the publisher gave."""

    digest: str
    names: tuple[str, ...]
    size: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerChanged:
    """A container was made, started, stopped, or its process ended: ask for its state."""

    id: str


@dataclass(frozen=True, slots=True)
class ContainerGone:
    """A container exists no more."""

    id: str


@dataclass(frozen=True, slots=True)
class MemoryChanged:
    """The memory area was written, by us or by another program."""


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine stopped answering; `reason` is one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class EngineBack:
    """The engine answers (again): anything may have changed meanwhile, so ask for everything."""


EngineEvent = ContainerChanged | ContainerGone | MemoryChanged | EngineLost | EngineBack


class Engine(Protocol):
    """One engine, which may be one machine or a cluster. All methods raise `EngineError`s."""

    async def open(self) -> None:
        """Make what is missing: project, network, firewall; finish or remove what an earlier run left.

        Waits for an engine that does not answer yet, within a limit. Raises EngineUnavailable after it.
        """

    async def close(self) -> None:
        """End connections to the engine. Containers keep running."""

    async def version(self) -> str:
        """Name and version of the engine, for people."""

    async def nodes(self) -> list[NodeInfo]:
        """All machines of the location."""

    async def containers(self) -> list[ContainerInfo]:
        """All containers of all accounts; one request however many there are."""

    async def container(self, container_id: str) -> ContainerInfo:
        """One container. Raises NotFound."""

    async def create_container(self, spec: ContainerSpec) -> ContainerInfo:
        """Create and start a container; on failure nothing stays.

        The same account, name and key again give the container that exists. Raises NotFound (image, volume,
        node), NoSpace.
        """

    async def start(self, container_id: str) -> ContainerInfo:
        """Start a stopped container; a running one is left as it is. Raises NotFound."""

    async def stop(self, container_id: str, timeout: float) -> ContainerInfo:
        """Send the stop signal, and kill after `timeout` seconds. A stopped one is left as it is."""

    async def destroy(self, container_id: str) -> None:
        """Kill and remove a container. One that does not exist is destroyed already. Volumes stay."""

    async def put_file(self, container_id: str, path: str, source: Path, mode: int = 0o644) -> None:
        """Write a file, with missing directories above it, owned by root of the container."""

    async def fetch_file(self, container_id: str, path: str, limit: int) -> bytes:
        """Read a file. Raises NotFound, and EngineError where it is longer than `limit` bytes."""

    async def set_allowed(self, pairs: set[tuple[str, str]], hosts: Mapping[str, Mapping[str, str]]) -> None:
        """Let each (from id, to id) connect, and close every other pair, open connections included.

        `hosts` gives container id -> name -> ip for its /etc/hosts. Pairs of unknown containers are ignored.
        """

    async def images(self) -> list[ImageInfo]:
        """All published images."""

    async def has_image(self, digest: str) -> bool:
        """Whether the image can be used without bringing it."""

    async def publish_image(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        """Publish the tree under `rootfs` as the image `digest`; each name then means this image alone.

        Where the digest exists, only the names are taken over. Raises NoSpace.
        """

    async def destroy_image(self, digest: str) -> None:
        """Remove an image. Containers made from it live on."""

    async def volumes(self) -> list[VolumeInfo]:
        """All volumes of all accounts."""

    async def ensure_volume(
        self, account: str, name: str, node: str | None = None, size: int | None = None
    ) -> VolumeInfo:
        """Create the volume, or give the one that exists (grown to `size` where that is more)."""

    async def destroy_volume(self, account: str, name: str) -> None:
        """Remove a volume with its data and snapshots. Raises NotFound, InUse."""

    async def snapshot_volume(self, account: str, name: str, snapshot: str) -> None:
        """Keep the volume's present state under the name `snapshot`. Raises NotFound, Exists."""

    async def rollback_volume(self, account: str, name: str, snapshot: str) -> None:
        """Give the volume the state that `snapshot` kept; its containers lose sight of it for a moment.

        Raises NotFound, and InUse where a process has files open in it.
        """

    async def load_memory(self) -> dict[str, str]:
        """Read the memory area: a small set of keys and values that outlives `tflocation`."""

    async def save_memory(
        self, changes: Mapping[str, str | None], *, expect: Mapping[str, str | None] | None = None
    ) -> None:
        """Write `changes` (None removes) all at once, if each key in `expect` still has its value there.

        Raises Conflict where one has not. Values are at most some KiB each.
        """

    def events(self) -> AsyncIterator[EngineEvent]:
        """Tell every change from now on, for ever, over restarts of the engine; the first is EngineBack."""
