"""The engine behind `tflocation.engines.interface.Engine`: composes the parts, and keeps up with restarts."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from tflocation.engines.interface import (
    ContainerGone,
    ContainerInfo,
    ContainerSpec,
    EngineBack,
    EngineError,
    EngineEvent,
    EngineUnavailable,
    Exists,
    ImageInfo,
    NodeInfo,
    NotFound,
    VolumeInfo,
)
from tflocation.engines.lxd import instances, transfer
from tflocation.engines.lxd.client import Client
from tflocation.engines.lxd.connections import Connections
from tflocation.engines.lxd.console import attach, read_log
from tflocation.engines.lxd.containers import Containers
from tflocation.engines.lxd.events import Watcher
from tflocation.engines.lxd.execution import execute
from tflocation.engines.lxd.files import Files
from tflocation.engines.lxd.images import Images
from tflocation.engines.lxd.instances import Place
from tflocation.engines.lxd.memory import Memory
from tflocation.engines.lxd.mounts import Mounts
from tflocation.engines.lxd.network import ensure_network, usable_addresses
from tflocation.engines.lxd.nodes import nodes
from tflocation.engines.lxd.settings import EngineSettings
from tflocation.engines.lxd.volumes import Volumes
from tflocation.engines.processes import Console, ExecSpec, FileContent, RunningProcess

OPEN_LIMIT = 30.0  # seconds to wait for an engine that is just starting
_PAUSE = 0.2
_WAITING_EVENTS = 10_000  # a reader further behind than this is told to ask for everything

log = logging.getLogger("tflocation.engine")


class LxdEngine:
    """LXD or Incus, in a project of its own. See `Engine` for all public methods."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._client = Client(settings.socket, settings.project)
        self._files = Files(self._client)
        self._images = Images(self._client)
        self._memory = Memory(self._client)
        self._readers: set[asyncio.Queue[EngineEvent]] = set()
        self._watcher = Watcher(self._client, self._tell, self._refresh)
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: tuple[Containers, Volumes, Connections] | None = None

    async def open(self) -> None:
        """See `Engine.open`."""
        end = time.monotonic() + OPEN_LIMIT
        while True:
            try:
                await self._client.open()
                break
            except EngineUnavailable:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_PAUSE)
        await self._ensure_project()
        pool = await self._find_pool()
        gateway = await ensure_network(self._client, self._settings.bridge, self._settings.subnet)
        addresses = usable_addresses(gateway, clustered=self._client.clustered)
        place = Place(pool, self._settings.bridge, gateway, self._client.node, addresses)
        mounts = Mounts(self._client)
        containers = Containers(self._client, self._files, self._images, mounts, place)
        connections = Connections(containers, self._files, place)
        volumes = Volumes(self._client, pool, mounts, containers.is_leaving)
        self._parts = containers, volumes, connections
        await connections.enforce()
        await containers.tidy()
        self._spawn(self._watcher.run())

    async def close(self) -> None:
        """See `Engine.close`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._client.close()

    async def version(self) -> str:
        """See `Engine.version`."""
        return self._client.version

    async def nodes(self) -> list[NodeInfo]:
        """See `Engine.nodes`."""
        return await nodes(self._client, await self._containers.raw())

    async def containers(self) -> list[ContainerInfo]:
        """See `Engine.containers`."""
        return await self._containers.listed()

    async def container(self, container_id: str) -> ContainerInfo:
        """See `Engine.container`."""
        return await self._containers.get(container_id)

    async def create_container(self, spec: ContainerSpec) -> ContainerInfo:
        """See `Engine.create_container`."""
        return await self._containers.create(spec)

    async def start(self, container_id: str) -> ContainerInfo:
        """See `Engine.start`."""
        return await self._containers.start(container_id)

    async def stop(self, container_id: str, timeout: float) -> ContainerInfo:
        """See `Engine.stop`."""
        return await self._containers.stop(container_id, timeout)

    async def destroy(self, container_id: str) -> None:
        """See `Engine.destroy`. Its pairs are closed first: its address may soon be another's."""
        with self._containers.leaving(container_id):
            await self._connections.enforce(without=container_id)
            await self._containers.destroy(container_id)

    async def set_holder(self, container_id: str, holder: str) -> None:
        """See `Engine.set_holder`."""
        await self._containers.set_holder(container_id, holder)

    async def wake(self, container_id: str) -> None:
        """See `Engine.wake`."""
        await self._containers.wake(container_id)

    async def reboot(self, container_id: str, *, reset: bool) -> ContainerInfo:
        """See `Engine.reboot`."""
        return await self._containers.reboot(container_id, reset)

    async def execute(self, container_id: str, spec: ExecSpec) -> RunningProcess:
        """See `Engine.execute`."""
        raw = await self._containers.running(container_id)
        inherited = instances.environment(raw) if spec.inherits else {}
        terminal = {"TERM": spec.terminal.name} if spec.terminal else {}
        return await execute(self._client, container_id, spec, {**inherited, **terminal, **spec.environment})

    async def console(self, container_id: str) -> Console:
        """See `Engine.console`."""
        raw = await self._containers.running(container_id)
        return await attach(self._client, container_id, waiting=instances.is_waiting(raw))

    async def console_log(self, container_id: str) -> bytes:
        """See `Engine.console_log`."""
        await self._containers.get(container_id)
        return await read_log(self._client, container_id)

    async def sftp(self, container_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See `Engine.sftp`."""
        await self._containers.running(container_id)
        return await transfer.connect(self._client, container_id)

    async def write_file(
        self,
        container_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        mode: int = 0o644,
        size: int | None = None,
    ) -> None:
        """See `Engine.write_file`."""
        await self._containers.running(container_id)
        await transfer.write(self._client, container_id, path, chunks, mode, size)

    async def read_file(self, container_id: str, path: str) -> FileContent:
        """See `Engine.read_file`."""
        await self._containers.running(container_id)
        return await transfer.read(self._client, container_id, path)

    async def put_file(self, container_id: str, path: str, source: Path, mode: int = 0o644) -> None:
        """See `Engine.put_file`."""
        await self._files.put(container_id, path, source, mode)

    async def fetch_file(self, container_id: str, path: str, limit: int) -> bytes:
        """See `Engine.fetch_file`."""
        return await self._files.fetch(container_id, path, limit)

    async def set_allowed(self, pairs: set[tuple[str, str]], hosts: Mapping[str, Mapping[str, str]]) -> None:
        """See `Engine.set_allowed`."""
        await self._connections.allow(pairs, hosts)

    async def images(self) -> list[ImageInfo]:
        """See `Engine.images`."""
        return await self._images.listed()

    async def has_image(self, digest: str) -> bool:
        """See `Engine.has_image`."""
        return any(image.digest == digest for image in await self._images.listed())

    async def publish_image(
        self, digest: str, names: tuple[str, ...], rootfs: Path, metadata: Mapping[str, str]
    ) -> None:
        """See `Engine.publish_image`."""
        await self._images.publish(digest, names, rootfs, metadata)

    async def destroy_image(self, digest: str) -> None:
        """See `Engine.destroy_image`."""
        await self._images.destroy(digest)

    async def volumes(self) -> list[VolumeInfo]:
        """See `Engine.volumes`."""
        return await self._volumes.listed()

    async def ensure_volume(
        self, account: str, name: str, node: str | None = None, size: int | None = None
    ) -> VolumeInfo:
        """See `Engine.ensure_volume`."""
        return await self._volumes.ensure(account, name, node, size)

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
        """See `Engine.create_volume`."""
        return await self._volumes.create(
            account, name, node=node, size=size, tag=tag, synchronous=synchronous
        )

    async def destroy_volume(self, account: str, name: str) -> None:
        """See `Engine.destroy_volume`."""
        await self._volumes.destroy(account, name)

    async def snapshot_volume(self, account: str, name: str) -> VolumeInfo:
        """See `Engine.snapshot_volume`."""
        return await self._volumes.snapshot(account, name)

    async def rollback_volume(self, account: str, name: str) -> VolumeInfo:
        """See `Engine.rollback_volume`."""
        return await self._volumes.rollback(account, name)

    async def load_memory(self) -> dict[str, str]:
        """See `Engine.load_memory`. Works before `open`, for programs that want nothing else."""
        return await self._memory.load()

    async def save_memory(
        self, changes: Mapping[str, str | None], *, expect: Mapping[str, str | None] | None = None
    ) -> None:
        """See `Engine.save_memory`. Works before `open`, likewise; the project is made if need be."""
        try:
            await self._memory.save(changes, expect or {})
        except NotFound:
            await self._ensure_project()
            await self._memory.save(changes, expect or {})

    async def events(self) -> AsyncIterator[EngineEvent]:
        """See `Engine.events`."""
        queue: asyncio.Queue[EngineEvent] = asyncio.Queue(_WAITING_EVENTS)
        self._readers.add(queue)
        if self._watcher.connected:
            queue.put_nowait(EngineBack())
        try:
            while True:
                yield await queue.get()
        finally:
            self._readers.discard(queue)

    @property
    def _containers(self) -> Containers:
        return self._opened()[0]

    @property
    def _volumes(self) -> Volumes:
        return self._opened()[1]

    @property
    def _connections(self) -> Connections:
        return self._opened()[2]

    def _opened(self) -> tuple[Containers, Volumes, Connections]:
        if self._parts is None:
            raise EngineUnavailable("the engine has not answered yet")
        return self._parts

    def _tell(self, event: EngineEvent) -> None:
        if isinstance(event, ContainerGone):
            self._spawn(self._in_background(partial(self._connections.enforce, event.id)))
        for queue in self._readers:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                event = EngineBack()
            queue.put_nowait(event)

    async def _refresh(self) -> None:
        """Bring the firewall up to date after the engine was away, and then what should run behind it."""
        self._connections.forget()
        await self._connections.enforce()
        self._spawn(self._in_background(self._containers.tidy))

    async def _in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except EngineUnavailable:
            pass  # done anew when it is back
        except EngineError as error:
            log.error("%s", error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ensure_project(self) -> None:
        name = self._settings.project
        body = {
            "name": name,
            "description": "containers of tflocation",
            "config": {
                "features.images": "true",
                "features.profiles": "true",
                "features.storage.volumes": "true",
            },
        }
        try:
            await self._client.get(f"/1.0/projects/{name}", what=f"project {name}")
        except NotFound:
            with suppress(Exists):  # another tflocation was faster
                await self._client.request("POST", "/1.0/projects", what=f"project {name}", body=body)

    async def _find_pool(self) -> str:
        answer = await self._client.get("/1.0/storage-pools", what="storage pools")
        pools = [str(path).rpartition("/")[2] for path in answer.metadata]
        wanted = self._settings.pool
        if wanted is not None:
            if wanted in pools:
                return wanted
            raise EngineError(f"the engine has no storage pool {wanted}: it has {', '.join(pools) or 'none'}")
        if len(pools) == 1:
            return pools[0]
        if "default" in pools:
            return "default"
        if not pools:
            raise EngineError("the engine has no storage pool: make one, as `incus admin init` does")
        raise EngineError(f"the engine has several storage pools: set one of {', '.join(pools)}")
