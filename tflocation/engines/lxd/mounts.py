"""A volume taken away from running containers for a moment, and given back whatever happens meanwhile.

The containers are frozen, so that none sees that it is away; the engine detaches it lazily (umount2(2),
MNT_DETACH), so what a process has open from before leads to the old state alone, which nobody else sees.
What is taken away is written into the container's own configuration, where the next `tidy` finds it.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tflocation.engines.interface import EngineError, NotFound
from tflocation.engines.lxd.client import Client

_DETACHED = "user.tfd.detached"
_TRIES = 3
_PAUSE = 1.0

log = logging.getLogger("tflocation.engine")


class Mounts:
    """The volumes that containers have mounted."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @asynccontextmanager
    async def without(self, users: Iterable[str], volume: str) -> AsyncIterator[None]:
        """Keep a volume from all its users, who stand still meanwhile."""
        names = list(users)
        try:
            results = await asyncio.gather(
                *(self._take(user, volume) for user in names), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException) and not isinstance(result, NotFound):
                    raise result
            yield
        finally:
            await asyncio.shield(asyncio.gather(*(self._give_back(user) for user in names)))

    async def give_back(self, raw: dict[str, Any]) -> None:
        """Attach again what a container lacks since we died, and let it go on."""
        if _DETACHED in raw["config"]:
            await self._give_back(raw["name"])

    async def _take(self, user: str, volume: str) -> None:
        raw = await self._get(user)
        missing = {key: device for key, device in raw["devices"].items() if device.get("source") == volume}
        await self._configure(user, {_DETACHED: json.dumps(missing)})
        if raw["status"] == "Running":
            await self._freeze(user, "freeze")
        raw = await self._get(user)
        devices = {key: device for key, device in raw["devices"].items() if key not in missing}
        await self._put(raw, raw["config"], devices)

    async def _give_back(self, user: str) -> None:
        for attempt in range(_TRIES):
            try:
                await self._attach(user)
            except NotFound:
                return  # destroyed meanwhile
            except EngineError as error:
                log.error("container %s does not get its volume back: %s", user, error)
                if attempt < _TRIES - 1:
                    await asyncio.sleep(_PAUSE)
            else:
                return

    async def _attach(self, user: str) -> None:
        raw = await self._get(user)
        missing = json.loads(raw["config"].get(_DETACHED, "{}"))
        try:
            config = {key: value for key, value in raw["config"].items() if key != _DETACHED}
            await self._put(raw, config, {**raw["devices"], **missing})
        finally:
            if raw["status"] == "Frozen":
                await self._freeze(user, "unfreeze")

    async def _get(self, user: str) -> dict[str, Any]:
        answer = await self._client.get(f"/1.0/instances/{user}", what=f"container {user}")
        raw: dict[str, Any] = answer.metadata
        return raw

    async def _put(self, raw: dict[str, Any], config: dict[str, str], devices: dict[str, Any]) -> None:
        name = raw["name"]
        body = {**raw, "config": config, "devices": devices}
        await self._client.operation("PUT", f"/1.0/instances/{name}", what=f"container {name}", body=body)

    async def _configure(self, user: str, changes: dict[str, str]) -> None:
        await self._client.operation(
            "PATCH", f"/1.0/instances/{user}", what=f"container {user}", body={"config": changes}
        )

    async def _freeze(self, user: str, action: str) -> None:
        what = f"container {user}: {action}"
        path = f"/1.0/instances/{user}/state"
        await self._client.operation("PUT", path, what=what, body={"action": action})
