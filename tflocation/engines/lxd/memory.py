"""The memory area: keys of the engine's project, which a cluster's database replicates."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tflocation.engines.interface import Conflict, EngineError, EngineUnavailable
from tflocation.engines.lxd.client import Client

_PREFIX = "user.tfd.memory."
_TRIES = 20
_LOCK_LIMIT = 20.0  # seconds
_LOCK_PAUSE = 0.01


class Memory:
    """A small set of keys and values in one project's configuration."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._path = f"/1.0/projects/{client.project}"

    async def load(self) -> dict[str, str]:
        """See `Engine.load_memory`."""
        answer = await self._client.get(self._path, what="the location's memory")
        return _memory(answer.metadata["config"])

    async def save(self, changes: Mapping[str, str | None], expect: Mapping[str, str | None]) -> None:
        """See `Engine.save_memory`. Another program's write in between is no conflict by itself."""
        async with _alone(self._client.directory()):
            await self._save(changes, expect)

    async def _save(self, changes: Mapping[str, str | None], expect: Mapping[str, str | None]) -> None:
        for _ in range(_TRIES):
            found = await self._client.get(self._path, what="the location's memory")
            config = found.metadata["config"]
            memory = _memory(config)
            for key, value in expect.items():
                if memory.get(key) != value:
                    raise Conflict(f"the location's memory: {key} has been changed by another program")
            for key, value in changes.items():
                if value is None:
                    config.pop(_PREFIX + key, None)
                else:
                    config[_PREFIX + key] = value
            body = {"description": found.metadata["description"], "config": config}
            try:
                await self._client.request(
                    "PUT", self._path, what="the location's memory", body=body, etag=found.etag
                )
            except Conflict:
                continue
            return
        raise EngineError(f"the location's memory was changed by others {_TRIES} times in a row; try again")


@asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[None]:
    """Keep other programs of this machine out: the engine compares an ETag, but not in one step with writing.

    The kernel takes the lock (flock(2)) back from a program that dies.
    """
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EngineError(f"{directory}: {error.strerror}: run this as root") from error
    try:
        end = time.monotonic() + _LOCK_LIMIT
        while not _locked(lock):
            if time.monotonic() > end:
                raise EngineUnavailable(f"the location's memory: in use for {_LOCK_LIMIT:.0f} s, try again")
            await asyncio.sleep(_LOCK_PAUSE)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _memory(config: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(_PREFIX): value for key, value in config.items() if key.startswith(_PREFIX)}
