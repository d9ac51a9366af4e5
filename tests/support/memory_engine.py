"""An engine in memory: for what is decided about accounts, sessions and limits, not for containers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.support.image_shelf import MemoryShelf
from tests.support.memory_processes import MemoryProcesses
from tflocation.engines.interface import (
    Conflict,
    ContainerChanged,
    ContainerGone,
    ContainerInfo,
    ContainerSpec,
    EngineBack,
    EngineEvent,
    EngineLost,
    EngineUnavailable,
    InUse,
    MemoryChanged,
    NodeInfo,
    NotFound,
    State,
    VolumeInfo,
)


class MemoryEngine(MemoryShelf, MemoryProcesses):
    """Keeps what it is told; every container runs at 127.0.0.1.

    `available` False makes every call fail; set it by `lose` and `come_back`, which tell it as events.
    `creation` is awaited in the middle of each creation: a test holds it to see what happens meanwhile.
    """

    def __init__(self) -> None:
        MemoryShelf.__init__(self)
        MemoryProcesses.__init__(self)
        self.available = True
        self.creation = asyncio.Event()
        self.creation.set()
        self.created = 0
        self.allowed: set[tuple[str, str]] = set()
        self.hosts: Mapping[str, Mapping[str, str]] = {}
        self.node_names = ["one", "two"]
        self._memory: dict[str, str] = {}
        self._containers: dict[str, ContainerInfo] = {}
        self._volumes: dict[tuple[str, str], VolumeInfo] = {}
        self._readers: set[asyncio.Queue[EngineEvent]] = set()

    def lose(self) -> None:
        """Stop answering."""
        self.available = False
        self.tell(EngineLost("switched off by the test"))

    def come_back(self) -> None:
        """Answer again."""
        self.available = True
        self.tell(EngineBack())

    def tell(self, event: EngineEvent) -> None:
        """Give an event to all who follow."""
        for reader in self._readers:
            reader.put_nowait(event)

    def change(self, container_id: str, state: State) -> None:
        """Let a container's process do something by itself."""
        self._containers[container_id] = replace(self._containers[container_id], state=state)
        self.tell(ContainerChanged(container_id))

    def remove(self, container_id: str) -> None:
        """Let somebody remove a container behind the service's back."""
        del self._containers[container_id]
        self.tell(ContainerGone(container_id))

    def _check(self) -> None:
        if not self.available:
            raise EngineUnavailable("the engine is switched off")

    async def open(self) -> None:
        """Fail unless available."""
        self._check()

    async def close(self) -> None:
        """Do nothing."""

    async def version(self) -> str:
        """Give a name."""
        return "memory"

    async def nodes(self) -> list[NodeInfo]:
        """Give idle nodes."""
        self._check()
        return [NodeInfo(name, True, 4, 0.0, 1 << 34, 1 << 33, 0.0, 0) for name in self.node_names]

    async def containers(self) -> list[ContainerInfo]:
        """Give all."""
        self._check()
        return list(self._containers.values())

    async def container(self, container_id: str) -> ContainerInfo:
        """Give one."""
        self._check()
        return self._found(container_id)

    async def create_container(self, spec: ContainerSpec) -> ContainerInfo:
        """Make one, after `creation` is set."""
        self._check()
        await self.creation.wait()
        text = f"{spec.account}\0{spec.name}\0{spec.key}".encode()
        container_id = "tf-" + blake2b(text, digest_size=10).hexdigest()
        if container_id not in self._containers:
            self.created += 1
            self._containers[container_id] = ContainerInfo(
                container_id,
                spec.account,
                spec.name,
                spec.key,
                spec.node or "one",
                spec.image,
                "127.0.0.1",
                State.RUNNING,
                None,
                "",
                0.0,
                tuple(name for name, _ in spec.volumes),
                spec.memory,
                holder=spec.holder,
                tag=spec.tag,
                asleep=spec.asleep,
            )
            self.tell(ContainerChanged(container_id))
        return self._containers[container_id]

    async def start(self, container_id: str) -> ContainerInfo:
        """Let it run."""
        return self._set(container_id, State.RUNNING)

    async def stop(self, container_id: str, timeout: float) -> ContainerInfo:  # noqa: ARG002 - the port's
        """Let it be stopped."""
        return self._set(container_id, State.STOPPED)

    async def destroy(self, container_id: str) -> None:
        """Forget it."""
        self._check()
        if self._containers.pop(container_id, None):
            self.tell(ContainerGone(container_id))

    async def set_holder(self, container_id: str, holder: str) -> None:
        """Give it another one."""
        self._change(container_id, holder=holder)

    async def wake(self, container_id: str) -> None:
        """Let it be awake."""
        self._change(container_id, asleep=False)

    async def reboot(self, container_id: str, *, reset: bool) -> ContainerInfo:  # noqa: ARG002 - the port's
        """Let it run."""
        return self._set(container_id, State.RUNNING)

    async def put_file(self, container_id: str, path: str, source: Path, mode: int = 0o644) -> None:
        """Do nothing."""

    async def fetch_file(self, container_id: str, path: str, limit: int) -> bytes:  # noqa: ARG002 - the port's
        """Find nothing."""
        raise NotFound(path)

    async def set_allowed(self, pairs: set[tuple[str, str]], hosts: Mapping[str, Mapping[str, str]]) -> None:
        """Keep them to be looked at."""
        self._check()
        self.allowed, self.hosts = pairs, hosts

    async def volumes(self) -> list[VolumeInfo]:
        """Give all."""
        self._check()
        return list(self._volumes.values())

    async def ensure_volume(
        self, account: str, name: str, node: str | None = None, size: int | None = None
    ) -> VolumeInfo:
        """Make one or grow it."""
        self._check()
        old = self._volumes.get((account, name))
        new = VolumeInfo(name, account, old.node if old else node or "one", size, 0)
        self._volumes[account, name] = new
        return new

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
        """Make one."""
        self._check()
        fresh = VolumeInfo(name, account, node or "one", size, 0, tag, (), synchronous)
        return self._volumes.setdefault((account, name), fresh)

    async def destroy_volume(self, account: str, name: str) -> None:
        """Forget it, unless a container has it."""
        if any(name in c.volumes and c.account == account for c in self._containers.values()):
            raise InUse(f"volume {name} is used")
        if self._volumes.pop((account, name), None) is None:
            raise NotFound(f"volume {name}: there is none")

    async def snapshot_volume(self, account: str, name: str) -> VolumeInfo:
        """Give it."""
        self._check()
        return self._volumes[account, name]

    async def rollback_volume(self, account: str, name: str) -> VolumeInfo:
        """Give it."""
        self._check()
        return self._volumes[account, name]

    async def load_memory(self) -> dict[str, str]:
        """Give a copy."""
        self._check()
        return dict(self._memory)

    async def save_memory(
        self, changes: Mapping[str, str | None], *, expect: Mapping[str, str | None] | None = None
    ) -> None:
        """Write if what is expected holds."""
        self._check()
        for key, value in (expect or {}).items():
            if self._memory.get(key) != value:
                raise Conflict(f"{key} was changed")
        for key, value in changes.items():
            if value is None:
                self._memory.pop(key, None)
            else:
                self._memory[key] = value
        self.tell(MemoryChanged())

    async def events(self) -> AsyncIterator[EngineEvent]:
        """Tell all events, EngineBack first."""
        reader: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._readers.add(reader)
        yield EngineBack()
        while True:
            yield await reader.get()

    def _found(self, container_id: str) -> ContainerInfo:
        if container_id not in self._containers:
            raise NotFound(f"container {container_id}: there is none")
        return self._containers[container_id]

    def _set(self, container_id: str, state: State) -> ContainerInfo:
        return self._change(container_id, state=state)

    def _change(self, container_id: str, **changes: Any) -> ContainerInfo:
        self._check()
        self._containers[container_id] = replace(self._found(container_id), **changes)
        self.tell(ContainerChanged(container_id))
        return self._containers[container_id]
