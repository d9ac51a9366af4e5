"""Named volumes: custom storage volumes of the engine."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tflocation.engines.interface import EngineError, Exists, InUse, NotFound, VolumeInfo
from tflocation.engines.lxd.client import Client, Query
from tflocation.engines.lxd.instances import volume_id
from tflocation.engines.lxd.mounts import Mounts
from tflocation.engines.lxd.turns import Turns

_NAME = "user.tfd.name"
_ACCOUNT = "user.tfd.account"
_TAG = "user.tfd.tag"
_SYNCHRONOUS = "user.tfd.synchronous"  # no storage of the engines can be told so for one volume
_POINT = "point"
_OWNERS = "volatile.idmap.last"  # how the owners of the volume's files were shifted
_UNSHIFTED = "[]"
_RELEASE_LIMIT = 30.0  # seconds
_PAUSE = 0.05
_AT_ONCE = 8  # requests for sizes; the engine answers each from the file system


class Volumes:
    """The volumes in one engine's project and pool; `leaving` tells of a container that is just going."""

    def __init__(self, client: Client, pool: str, mounts: Mounts, leaving: Callable[[str], bool]) -> None:
        self._client = client
        self._mounts = mounts
        self._leaving = leaving
        self._turns = Turns()
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
        found = await self._made(account, name, node, size, {})
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

    async def create(
        self,
        account: str,
        name: str,
        *,
        node: str | None,
        size: int | None,
        tag: str | None,
        synchronous: bool,
    ) -> VolumeInfo:
        """See `Engine.create_volume`."""
        own = {_SYNCHRONOUS: "true"} if synchronous else {}
        if tag is not None:
            own[_TAG] = tag
        return await self._info(await self._made(account, name, node, size, own))

    async def destroy(self, account: str, name: str) -> None:
        """See `Engine.destroy_volume`. What a container had lets go of it some time after its end."""
        end = time.monotonic() + _RELEASE_LIMIT
        while True:
            found = await self._find(account, name)
            users = _users(found)
            if staying := [user for user in users if not self._leaving(user)]:
                raise InUse(f"volume {name} is in use by container {', '.join(staying)}: destroy that first")
            try:
                if not users:
                    await self._client.operation(
                        "DELETE", self._one(found), what=f"destroying volume {name}", query=_target(found)
                    )
                    return
            except InUse:
                if time.monotonic() > end:
                    raise
            if time.monotonic() > end:
                raise InUse(f"volume {name}: container {', '.join(users)} does not come to its end")
            await asyncio.sleep(_PAUSE)

    async def snapshot(self, account: str, name: str) -> VolumeInfo:
        """See `Engine.snapshot_volume`. The new point is there before the old one goes."""
        async with self._turns.alone(volume_id(account, name)):
            found = await self._find(account, name)
            old = await self._points(found)
            await self._set_point(found, old[-1][0] + 1 if old else 0)
            await self._forget_points(found, old)
        return await self._info(found)

    async def rollback(self, account: str, name: str) -> VolumeInfo:
        """See `Engine.rollback_volume`."""
        async with self._turns.alone(volume_id(account, name)):
            found = await self._find(account, name)
            points = await self._points(found)
            if not points:
                raise NotFound(f"volume {name} has no point to go back to: take a snapshot first")
            async with self._mounts.without(_users(found), found["name"]):
                await self._client.operation(
                    "PUT",
                    self._one(found),
                    what=f"rolling volume {name} back",
                    body={"restore": points[-1][1]},
                    query=_target(found),
                )
                await self._restore_owners(found, points[-1][1])
        return await self._info(found)

    async def _restore_owners(self, found: dict[str, Any], point: str) -> None:
        """Tell the engine whose the files are now.

        It shifts a volume's owners when a container gets it for the first time, notes that, and restores a
        snapshot without a look at the note: files from before the shift would stay nobody's.
        """
        what = f"owners in volume {found['name']}"
        answer = await self._client.get(
            f"{self._one(found)}/snapshots/{point}", what=what, query=_target(found)
        )
        owners = answer.metadata["config"].get(_OWNERS, _UNSHIFTED)
        await self._client.request(
            "PATCH", self._one(found), what=what, body={"config": {_OWNERS: owners}}, query=_target(found)
        )

    async def _made(
        self, account: str, name: str, node: str | None, size: int | None, own: dict[str, str]
    ) -> dict[str, Any]:
        """Give the volume, made if need be, which has its first point when it is known to anybody."""
        async with self._turns.alone(volume_id(account, name)):
            try:
                return await self._find(account, name)
            except NotFound:
                await self._create(account, name, node, size, own)
            found = await self._find(account, name)
            if not await self._points(found):
                await self._set_point(found, 0)
            return found

    async def _points(self, found: dict[str, Any]) -> list[tuple[int, str]]:
        """Give the points' numbers and names, the newest last: one, or two when we died in between."""
        answer = await self._client.get(
            f"{self._one(found)}/snapshots", what=f"volume {found['name']}", query=_target(found)
        )
        names = [str(path).partition("?")[0].rpartition("/")[2] for path in answer.metadata or []]
        return sorted((int(name[len(_POINT) :]), name) for name in names if name.startswith(_POINT))

    async def _set_point(self, found: dict[str, Any], number: int) -> None:
        await self._client.operation(
            "POST",
            f"{self._one(found)}/snapshots",
            what=f"snapshot of volume {found['name']}",
            body={"name": f"{_POINT}{number}"},
            query=_target(found),
        )

    async def _forget_points(self, found: dict[str, Any], points: list[tuple[int, str]]) -> None:
        for _, point in points:
            await self._client.operation(
                "DELETE",
                f"{self._one(found)}/snapshots/{point}",
                what=f"snapshot of volume {found['name']}",
                query=_target(found),
            )

    async def _create(
        self, account: str, name: str, node: str | None, size: int | None, own: dict[str, str]
    ) -> None:
        config = {_NAME: name, _ACCOUNT: account, **own}
        if size is not None:
            config["size"] = str(size)
        body = {"name": volume_id(account, name), "type": "custom", "config": config}
        query = {"target": node} if node and self._client.clustered else {}
        with suppress(Exists):  # made meanwhile by another program's request for the same
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
        return VolumeInfo(
            config[_NAME],
            config[_ACCOUNT],
            self._client.node_of(raw),
            size,
            used,
            config.get(_TAG),
            tuple(_users(raw)),
            config.get(_SYNCHRONOUS) == "true",
        )


def _target(raw: dict[str, Any]) -> Query:
    location = raw.get("location") or "none"
    return {} if location == "none" else {"target": location}


def _users(raw: dict[str, Any]) -> list[str]:
    return [
        path.partition("?")[0].rpartition("/")[2]
        for path in raw.get("used_by") or []
        if path.startswith("/1.0/instances/")
    ]
