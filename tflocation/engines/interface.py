"""What tflocation asks of an engine, in the product's own words.

An implementation keeps everything that must be remembered in the engine's own objects, so a restarted
`tflocation` learns all of it by asking. Every call has a time limit and raises an `EngineError`; none hangs.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tflocation.engines.processes import Console, ExecSpec, FileContent, RunningProcess


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
    in which some task waited for memory (Documentation/accounting/psi.rst). `memory_free` includes what is
    a cache only. The last three count since the machine's start, and are 0 where they are not known:
    seconds, seconds of all its processors in which they had nothing to do, bytes swapped in and out.
    """

    name: str
    online: bool
    cpus: int
    load: float
    memory_total: int
    memory_free: int
    paging: float
    containers: int
    uptime: float = 0.0
    idle_time: float = 0.0
    swapped: int = 0


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
    `node` None leaves the choice to the engine. `holder` names who holds it, empty for a declared one.
    With `terminal` its process has a controlling terminal, the container's console, as its standard input,
    output and error. One that is `asleep`, and every one with a holder, starts its process when woken.
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
    holder: str = ""
    tag: str | None = None
    asleep: bool = False
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container as the engine knows it. `created` is in seconds since the epoch.

    `exit` is the process's exit code once it has ended (128 + number for a signal), None while it runs or
    where it is unknown. `reason` is one line for people, empty where there is nothing to say.
    `memory` (bytes), `cpus` and `processes` are its limits. `asleep` means that it was made so and has not
    been woken.
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
    holder: str = ""
    tag: str | None = None
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A named volume. `size` is its limit in bytes or None, `used` in bytes (0 where it is not known).

    `users` are the ids of the containers that have it. A `synchronous` one writes each change to disk at once
    where the storage can be told so.
    """

    name: str
    account: str
    node: str
    size: int | None
    used: int
    tag: str | None = None
    users: tuple[str, ...] = ()
    synchronous: bool = False


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

    async def set_holder(self, container_id: str, holder: str) -> None:
        """Give the container another holder. Raises NotFound."""

    async def wake(self, container_id: str) -> None:
        """Let a container that is asleep, or was made for a holder, start its process. Raises NotFound.

        From then on it is awake, after each start too. One that is awake is left as it is.
        """

    async def reboot(self, container_id: str, *, reset: bool) -> ContainerInfo:
        """End all processes and start again, with the same address, allowed connections and volumes.

        `reset` gives back the file system as it was before the first start. One that is asleep stays so.
        Raises NotFound, and EngineError where `reset` is asked for a container that had no holder when made.
        """

    async def execute(self, container_id: str, spec: ExecSpec) -> RunningProcess:
        """Start a further process. Raises NotFound, and EngineError where the container does not run.

        A program that is missing or cannot be executed ends with 127 or 126, as in a shell.
        """

    async def console(self, container_id: str) -> Console:
        """Attach to the terminal of the container's own process. One at a time: waits for the one before.

        An asleep container's has shown nothing yet: attach first and then wake, and no output is missed.
        Raises NotFound, InUse where somebody stays attached, and EngineError where it does not run.
        """

    async def console_log(self, container_id: str) -> bytes:
        """Give the last output of the container's own process, running or not: some 100 KiB.

        Raises NotFound.
        """

    async def sftp(self, container_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream that speaks SFTP (draft-ietf-secsh-filexfer-02) as root of the container.

        Links are followed inside the container. Close the writer when done. Raises NotFound.
        """

    async def write_file(
        self,
        container_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        mode: int = 0o644,
        size: int | None = None,
    ) -> None:
        """Write a file of a running container from a stream of any length, owned by its root.

        Missing directories are made. It has its name once it is complete, in place of what had it; until
        then, and where `chunks` raises or gives other than `size` bytes, nothing has changed. Raises NotFound
        (container), NoSpace, and EngineError where a directory has the name.
        """

    async def read_file(self, container_id: str, path: str) -> FileContent:
        """Open a file, or list a directory, of a running container. Raises NotFound.

        Links are followed inside the container. Raises EngineError where it is neither.
        """

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

    async def create_volume(
        self,
        account: str,
        name: str,
        *,
        node: str | None = None,
        size: int | None = None,
        tag: str | None = None,
        synchronous: bool = False,
    ) -> VolumeInfo:
        """Create a volume; the same account and name again give the one that exists, as it is."""

    async def destroy_volume(self, account: str, name: str) -> None:
        """Remove a volume with its data. Raises NotFound, InUse.

        Waits for containers that are just being destroyed.
        """

    async def snapshot_volume(self, account: str, name: str) -> VolumeInfo:
        """Set the volume's one point to its present state; creation set the first one. Raises NotFound."""

    async def rollback_volume(self, account: str, name: str) -> VolumeInfo:
        """Give the volume the state of its point, as often as wanted. Raises NotFound.

        Its containers are held meanwhile and go on; what they have open from before no longer reaches it.
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
