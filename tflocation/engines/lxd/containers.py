"""The life of containers: made and started as one step, stopped, destroyed; safe against our own death.

An instance is marked as unfinished until all of it is there. Whoever finds the mark on one that nobody is
making removes it.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from typing import Any

from tflocation.engines.interface import (
    ContainerInfo,
    ContainerSpec,
    EngineError,
    EngineUnavailable,
    Exists,
    NotFound,
)
from tflocation.engines.lxd import instances
from tflocation.engines.lxd.addresses import Addresses
from tflocation.engines.lxd.client import OPERATION_LIMIT, Client
from tflocation.engines.lxd.execution import run
from tflocation.engines.lxd.files import Files
from tflocation.engines.lxd.images import Images
from tflocation.engines.lxd.insisting import insist
from tflocation.engines.lxd.instances import Place, container_id, instance_body, volume_id
from tflocation.engines.lxd.listing import Listing
from tflocation.engines.lxd.mounts import Mounts
from tflocation.engines.lxd.network import address_of, addresses
from tflocation.engines.lxd.process import (
    DIRECTORY,
    EXIT,
    HOSTS,
    WAKE_UP,
    Exit,
    hosts_file,
    parse_exit,
)
from tflocation.engines.lxd.turns import Turns

_EXIT_SIZE = 4096  # bytes
_ENDING_LIMIT = 15.0  # seconds for a container that ends by itself to be over
_SIGNALLED = 128  # from here on an exit code tells of a signal
_ADDRESS_TRIES = 5
_BUSY = "busy running"  # 'Instance is busy running a "stop" operation'
_RUNS = "nstance is running"  # Incus, of one that is just ending, and that it has called stopped before
_PAUSE = 0.05
_AT_ONCE = 3  # containers made or destroyed, for each processor: the engine's database gives up beyond
_BOOTED = "booted"
_REBOOT_LIMIT = 10.0  # seconds that the process has to end by itself
_FROZEN_LIMIT = 30.0  # seconds that a volume's rollback may take

log = logging.getLogger("tflocation.engine")


class Containers:
    """The instances in one engine's project."""

    def __init__(self, client: Client, files: Files, images: Images, mounts: Mounts, place: Place) -> None:
        self._client = client
        self._mounts = mounts
        self._files = files
        self._images = images
        self._place = place
        self._listing = Listing(self._read)
        self._addresses = Addresses(place.gateway, place.addresses, self.raw)
        self._turns = Turns()
        self._heavy = asyncio.Semaphore(_AT_ONCE * (os.cpu_count() or 1))
        self._removing: set[str] = set()
        self._leaving: Counter[str] = Counter()
        self._exits: dict[tuple[str, str], Exit | None] = {}

    async def raw(self) -> list[dict[str, Any]]:
        """Give the engine's own description of all our instances: one request for all who ask at once."""
        return await self._listing.get()

    async def _read(self) -> list[dict[str, Any]]:
        answer = await self._client.get("/1.0/instances", what="containers", query={"recursion": "1"})
        found = [raw for raw in answer.metadata or [] if instances.is_ours(raw)]
        self._addresses.learn(found)
        return found

    async def listed(self) -> list[ContainerInfo]:
        """See `Engine.containers`. An exit code costs one request more, once."""
        found = await self.raw()
        known = {(raw["name"], raw["last_used_at"]) for raw in found}
        self._exits = {key: value for key, value in self._exits.items() if key in known}
        return [await self._info(raw) for raw in found]

    async def get(self, name: str) -> ContainerInfo:
        """See `Engine.container`."""
        return await self._info(await self._get_raw(name))

    async def create(self, spec: ContainerSpec) -> ContainerInfo:
        """See `Engine.create_container`."""
        name = container_id(spec.account, spec.name, spec.key)
        async with self._turns.alone(name):
            with suppress(NotFound):
                found = await self._get_raw(name)
                if instances.is_made(found):
                    if instances.was_cut_short(found):
                        await self._begin(found)
                    return await self.get(name)
                await self._remove(name)
            try:
                async with self._heavy:
                    await self._make(name, spec)
                    if spec.holder:
                        await self._keep(name)
                    await self._start(name)
            except EngineUnavailable:
                raise  # it is marked: the next try removes it
            except BaseException:
                with suppress(EngineError):
                    await self._remove(name)
                raise
            return await self.get(name)

    async def start(self, name: str) -> ContainerInfo:
        """See `Engine.start`."""
        async with self._turns.alone(name):
            found = await self._get_raw(name)
            if found["status"] == "Stopped":
                if found["config"].get(instances.WANTED) != "running":
                    await self.configure(name, {instances.WANTED: "running"})
                await self._start(name)
            return await self.get(name)

    async def stop(self, name: str, timeout: float) -> ContainerInfo:
        """See `Engine.stop`."""
        async with self._turns.alone(name):
            found = await self._get_raw(name)
            if found["config"].get(instances.WANTED) != "stopped":
                await self.configure(name, {instances.WANTED: "stopped"})
            if found["status"] != "Stopped":
                await self._halt(name, timeout)
            return await self.get(name)

    async def reboot(self, name: str, reset: bool) -> ContainerInfo:
        """See `Engine.reboot`."""
        async with self._turns.alone(name):
            found = await self._get_raw(name)
            config = {**found["config"], instances.WANTED: "running", instances.REBOOTING: "true"}
            if reset and config.get(instances.RESETS) != "true":
                raise EngineError(f"container {name} is declared: what it shipped with was not kept")
            await self.configure(name, {instances.WANTED: "running", instances.REBOOTING: "true"})
            if found["status"] != "Stopped":
                await self._halt(name, 0 if reset else _REBOOT_LIMIT)
            if reset:
                await self._reset(name, config)
            await self._start(name)
            await self._rebooted(name)
            return await self.get(name)

    async def set_holder(self, name: str, holder: str) -> None:
        """See `Engine.set_holder`."""
        async with self._turns.alone(name):
            found = await self._get_raw(name)
            if found["config"].get(instances.HOLDER) != holder:
                await self.configure(name, {instances.HOLDER: holder})

    async def wake(self, name: str) -> None:
        """See `Engine.wake`. If we die before the process knows, whoever asks again tells it again."""
        async with self._turns.alone(name):
            found = await self._get_raw(name)
            waiting = instances.is_waiting(found)
            if waiting:
                # First: the engine changes nothing for 10 s in a container that is just ending.
                await self.configure(name, instances.awake())
            code = await run(self._client, name, *WAKE_UP) if found["status"] == "Running" else 0
            # A signal or no code: whoever was woken is over already, and what told it with it.
            if waiting and 0 < code < _SIGNALLED:
                raise EngineError(
                    f"container {name} could not be woken: its {DIRECTORY} was tampered with or is full"
                )

    async def is_stopped(self, name: str) -> bool:
        """Whether the container neither runs nor is being started. Raises NotFound."""
        return bool((await self._get_raw(name))["status"] == "Stopped")

    async def running(self, name: str) -> dict[str, Any]:
        """Describe a container that runs. Raises NotFound, and EngineError where it does not run."""
        end = time.monotonic() + _FROZEN_LIMIT
        while True:
            found = await self._get_raw(name)
            if found["status"] == "Running":
                return found
            if found["status"] != "Frozen" or time.monotonic() > end:
                raise EngineError(f"container {name} does not run: start it first")
            await asyncio.sleep(_PAUSE)

    async def destroy(self, name: str) -> None:
        """See `Engine.destroy`."""
        async with self._turns.alone(name), self._heavy:
            await self._remove(name)

    @contextmanager
    def leaving(self, name: str) -> Iterator[None]:
        """Let others know that the container is being destroyed."""
        self._leaving[name] += 1
        try:
            yield
        finally:
            self._leaving[name] -= 1
            if not self._leaving[name]:
                del self._leaving[name]

    def is_leaving(self, name: str) -> bool:
        """Whether the container is being destroyed."""
        return name in self._leaving

    async def configure(self, name: str, changes: dict[str, str]) -> None:
        """Write keys of the instance's configuration."""
        await self._client.operation(
            "PATCH", f"/1.0/instances/{name}", what=f"container {name}", body={"config": changes}
        )

    async def tidy(self) -> None:
        """Remove what was left unfinished by this node's tflocation, and start what should run here."""
        for raw in await self.raw():
            name = raw["name"]
            if name in self._turns or self._client.node_of(raw) != self._place.maker:
                continue
            try:
                await self._mounts.give_back(raw)
                if not instances.is_made(raw):
                    await self._discard(name)
                elif instances.was_cut_short(raw):
                    await self._finish(name)
                elif raw["status"] == "Frozen":
                    await self._thaw(name)
            except EngineUnavailable:
                raise
            except EngineError as error:
                log.warning("%s", error)

    async def _thaw(self, name: str) -> None:
        """Let a container go on that somebody held who died while letting go of its console."""
        if (await self._get_raw(name))["status"] == "Frozen":
            await self._change_state(name, {"action": "unfreeze"})

    async def _begin(self, raw: dict[str, Any]) -> None:
        """Start it, with what it ships with kept before the first time."""
        name = raw["name"]
        if raw["config"].get(instances.RESETS) == "true" and instances.never_ran(raw):
            await self._keep(name)
        await self._start(name)
        if instances.REBOOTING in raw["config"]:
            await self._rebooted(name)

    async def _keep(self, name: str) -> None:
        """Keep what it ships with."""
        with suppress(Exists):
            what = f"snapshot of container {name}"
            body = {"name": _BOOTED, "stateful": False}
            await self._client.operation("POST", f"/1.0/instances/{name}/snapshots", what=what, body=body)

    async def _reset(self, name: str, config: dict[str, str]) -> None:
        """Give it the file system that it shipped with. The engine takes the old `config` back as well."""
        path, what = f"/1.0/instances/{name}", f"container {name}"
        await self._client.operation("PUT", path, what=what, body={"restore": _BOOTED})
        raw = await self._get_raw(name)
        ours = {key: value for key, value in config.items() if not key.startswith("volatile.")}
        kept = {key: value for key, value in raw["config"].items() if key.startswith("volatile.")}
        config = {**ours, **kept, **instances.FRESH}
        await self._client.operation("PUT", path, what=what, body={**raw, "config": config})
        if known := instances.hosts({"config": config}):
            text = hosts_file(name, address_of(raw), known)
            await self._files.put(name, HOSTS, text.encode())

    async def _rebooted(self, name: str) -> None:
        raw = await self._get_raw(name)
        config = {key: value for key, value in raw["config"].items() if key != instances.REBOOTING}
        path = f"/1.0/instances/{name}"
        await self._client.operation("PUT", path, what=f"container {name}", body={**raw, "config": config})

    async def _discard(self, name: str) -> None:
        async with self._turns.alone(name):
            with suppress(NotFound):
                if not instances.is_made(await self._get_raw(name)):
                    await self._remove(name)

    async def _finish(self, name: str) -> None:
        """Start it again unless it ended by itself while nobody looked."""
        async with self._turns.alone(name):
            with suppress(NotFound):
                found = await self._get_raw(name)
                if instances.was_cut_short(found):
                    end = await self._read_exit(name)
                    if end is None or end.told or instances.REBOOTING in found["config"]:
                        await self._begin(found)

    async def _make(self, name: str, spec: ContainerSpec) -> None:
        fingerprint = await self._images.fingerprint(spec.image)
        for volume, _ in spec.volumes:
            await self._client.get(
                f"/1.0/storage-pools/{self._place.pool}/volumes/custom/{volume_id(spec.account, volume)}",
                what=f"volume {volume}",
            )
        try:
            await self._create(name, spec, fingerprint)
        except NotFound:  # the image may have been published anew by another program
            self._images.forget(spec.image)
            await self._create(name, spec, await self._images.fingerprint(spec.image))
        for path, file in spec.files.items():
            await self._files.put_new(name, path, file.source, file.mode)
        if spec.files:
            await self.configure(name, {instances.MADE: "made"})

    async def _create(self, name: str, spec: ContainerSpec, fingerprint: str) -> None:
        """Make the instance with an address that no other one has, whoever else makes some now."""
        refused: set[IPv4Address] = set()
        for _ in range(_ADDRESS_TRIES):
            # A start by the id spreads addresses, so that one just given up is seldom used at once.
            async with self._addresses.reserved(int(name[-8:], 16), refused) as address:
                guest_api = "security.guestapi" if self._client.is_incus else "security.devlxd"
                body = instance_body(spec, fingerprint, address, self._place, guest_api)
                target = {"target": spec.node} if spec.node and self._client.clustered else {}
                await self._client.operation(
                    "POST", "/1.0/instances", what=f"container {spec.name}", body=body, query=target
                )
                if not any(
                    address in addresses([raw]) and raw["name"] < name
                    for raw in await self.raw()
                    if raw["name"] != name
                ):
                    return
                refused.add(address)
                await self._remove(name)
        raise EngineError(f"container {spec.name}: every address was taken by another program at that moment")

    async def _start(self, name: str) -> None:
        await self._change_state(name, {"action": "start"})

    async def _halt(self, name: str, timeout: float) -> None:
        """Ask, then kill."""
        if timeout > 0:
            seconds = max(1, round(timeout))
            with suppress(EngineError):
                await self._change_state(
                    name, {"action": "stop", "timeout": seconds}, OPERATION_LIMIT + seconds
                )
        await self._kill(name)

    async def _remove(self, name: str) -> None:
        self._removing.add(name)
        try:
            with suppress(NotFound):
                await insist(lambda: self._kill_and_delete(name), words=_RUNS, limit=_ENDING_LIMIT)
        finally:
            self._removing.discard(name)

    async def _kill_and_delete(self, name: str) -> None:
        await self._kill(name)
        await self._when_idle("DELETE", f"/1.0/instances/{name}", what=f"destroying container {name}")

    async def _kill(self, name: str) -> None:
        """Kill it, unless it is over. One that is just ending by itself cannot be, and is over soon."""
        end = time.monotonic() + _ENDING_LIMIT
        while (await self._get_raw(name))["status"] != "Stopped":
            try:
                await self._change_state(name, {"action": "stop", "force": True})
            except (NotFound, EngineUnavailable):
                raise
            except EngineError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _change_state(self, name: str, body: dict[str, Any], limit: float = OPERATION_LIMIT) -> None:
        what = f"container {name}: {body['action']}"
        await self._when_idle("PUT", f"/1.0/instances/{name}/state", what=what, body=body, limit=limit)

    async def _when_idle(self, method: str, path: str, **more: Any) -> None:
        """Do it once the engine is through with what the container's own end has begun."""
        await insist(lambda: self._client.operation(method, path, **more), words=_BUSY, limit=OPERATION_LIMIT)

    async def _get_raw(self, name: str) -> dict[str, Any]:
        answer = await self._client.get(f"/1.0/instances/{name}", what=f"container {name}")
        raw: dict[str, Any] = answer.metadata
        if not instances.is_ours(raw):
            raise NotFound(f"container {name} is not one of ours")
        return raw

    async def _info(self, raw: dict[str, Any]) -> ContainerInfo:
        # To read a file of one that is being removed, the engine mounts it, and waits long before it lets go.
        if not instances.ended_by_itself(raw) or raw["name"] in self._removing:
            return instances.info(raw, self._client.node_of(raw), None)
        key = raw["name"], raw["last_used_at"]
        if key not in self._exits:
            with suppress(EngineUnavailable):
                self._exits[key] = await self._read_exit(raw["name"])
        return instances.info(raw, self._client.node_of(raw), self._exits.get(key))

    async def _read_exit(self, name: str) -> Exit | None:
        try:
            content = await self._files.fetch(name, EXIT, _EXIT_SIZE)
        except EngineUnavailable:
            raise
        except EngineError:
            return None
        return parse_exit(content.decode(errors="replace"))
