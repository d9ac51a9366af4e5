"""Named volumes: custom storage volumes of the engine."""

import asyncio
from contextlib import suppress
from typing import Any

from tflocation.engines.interface import EngineError, Exists, InUse, NotFound, VolumeInfo
from tflocation.engines.lxd.client import Client, Query
from tflocation.engines.lxd.instances import volume_id

_NAME = "user.tfd.name"
_ACCOUNT = "user.tfd.account"
_AT_ONCE = 8  # requests for sizes; the engine answers each from the file system


class Volumes:
    """The volumes in one engine's project and pool."""

    def __init__(self, client: Client, pool: str) -> None:
        self._client = client
        self._path = f"/1.0/storage-pools/{pool}/volumes"

    async def listed(self) -> list[VolumeInfo]:
        """See `Engine.volumes`."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def measured(raw: dict[str, Any]) -> VolumeInfo:
            async with limit:
                return await self._info(raw)

        found = [raw for raw in await self._raw() if _NAME in raw["config"]]
        return list(await asyncio.gather(*(measured(raw) for raw in found)))

    async def ensure(self, account: str, name: str, node: str | None, size: int | None) -> VolumeInfo:
        """See `Engine.ensure_volume`."""
        try:
            found = await self._find(account, name)
        except NotFound:
            await self._create(account, name, node, size)
            found = await self._find(account, name)
        if size is not None and size > int(found["config"].get("size") or size):
            await self._client.operation(
                "PATCH",
                self._one(found),
                what=f"volume {name}",
                body={"config": {"size": str(size)}},
                query=_target(found),
            )
            found = await self._find(account, name)
        return await self._info(found)

    async def destroy(self, account: str, name: str) -> None:
        """See `Engine.destroy_volume`."""
        found = await self._find(account, name)
        if users := _users(found):
            raise InUse(f"volume {name} is in use by container {', '.join(users)}: destroy that one first")
        await self._client.operation(
            "DELETE", self._one(found), what=f"destroying volume {name}", query=_target(found)
        )

    async def snapshot(self, account: str, name: str, snapshot: str) -> None:
        """See `Engine.snapshot_volume`."""
        found = await self._find(account, name)
        await self._client.operation(
            "POST",
            f"{self._one(found)}/snapshots",
            what=f"snapshot {snapshot} of volume {name}",
            body={"name": snapshot},
            query=_target(found),
        )

    async def rollback(self, account: str, name: str, snapshot: str) -> None:
        """See `Engine.rollback_volume`. The engine restores no volume that is attached."""
        found = await self._find(account, name)
        path, query = self._one(found), _target(found)
        await self._client.get(f"{path}/snapshots/{snapshot}", what=f"snapshot {snapshot}", query=query)
        detached: list[tuple[str, str, dict[str, str]]] = []
        try:
            for user in _users(found):
                detached += await self._detach(user, found["name"])
            await self._client.operation(
                "PUT", path, what=f"volume {name}", body={"restore": snapshot}, query=query
            )
        finally:
            for user, device, config in detached:
                await self._devices(user, {device: config})

    async def _detach(self, user: str, volume: str) -> list[tuple[str, str, dict[str, str]]]:
        found = await self._client.get(f"/1.0/instances/{user}", what=f"container {user}")
        devices: dict[str, dict[str, str]] = found.metadata["devices"]
        taken = [(user, key, device) for key, device in devices.items() if device.get("source") == volume]
        rest = {key: device for key, device in devices.items() if device.get("source") != volume}
        body = {**found.metadata, "devices": rest}
        try:
            await self._client.operation("PUT", f"/1.0/instances/{user}", what=f"container {user}", body=body)
        except EngineError as error:
            raise InUse(f"a process of container {user} has files open in the volume: {error}") from error
        return taken

    async def _devices(self, user: str, devices: dict[str, dict[str, str]]) -> None:
        await self._client.operation(
            "PATCH", f"/1.0/instances/{user}", what=f"container {user}", body={"devices": devices}
        )

    async def _create(self, account: str, name: str, node: str | None, size: int | None) -> None:
        config = {_NAME: name, _ACCOUNT: account}
        if size is not None:
            config["size"] = str(size)
        body = {"name": volume_id(account, name), "type": "custom", "config": config}
        query = {"target": node} if node and self._client.clustered else {}
        with suppress(Exists):  # made meanwhile by another request for the same
            await self._client.operation(
                "POST", f"{self._path}/custom", what=f"volume {name}", body=body, query=query
            )

    async def _find(self, account: str, name: str) -> dict[str, Any]:
        wanted = volume_id(account, name)
        if not self._client.clustered:
            answer = await self._client.get(f"{self._path}/custom/{wanted}", what=f"volume {name}")
            found: dict[str, Any] = answer.metadata
            return found
        for raw in await self._raw():
            if raw["name"] == wanted:
                return raw
        raise NotFound(f"volume {name} does not exist")

    async def _raw(self) -> list[dict[str, Any]]:
        answer = await self._client.get(f"{self._path}/custom", what="volumes", query={"recursion": "1"})
        return [raw for raw in answer.metadata or [] if "/" not in raw["name"]]  # others are snapshots

    def _one(self, raw: dict[str, Any]) -> str:
        return f"{self._path}/custom/{raw['name']}"

    async def _info(self, raw: dict[str, Any]) -> VolumeInfo:
        config = raw["config"]
        try:
            state = await self._client.get(
                f"{self._one(raw)}/state", what=f"volume {config[_NAME]}", query=_target(raw)
            )
            used = int(((state.metadata or {}).get("usage") or {}).get("used") or 0)
        except EngineError:
            used = 0  # a pool that does not count
        size = int(config["size"]) if config.get("size") else None
        return VolumeInfo(config[_NAME], config[_ACCOUNT], self._client.node_of(raw), size, used)


def _target(raw: dict[str, Any]) -> Query:
    location = raw.get("location") or "none"
    return {} if location == "none" else {"target": location}


def _users(raw: dict[str, Any]) -> list[str]:
    return [
        path.partition("?")[0].rpartition("/")[2]
        for path in raw.get("used_by") or []
        if path.startswith("/1.0/instances/")
    ]
