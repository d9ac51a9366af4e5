"""The memory area: keys of the engine's project, which a cluster's database replicates."""

from collections.abc import Mapping

from tflocation.engines.interface import Conflict, EngineError
from tflocation.engines.lxd.client import Client

_PREFIX = "user.tfd.memory."
_TRIES = 20


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
        raise EngineError(f"the location's memory: changed by others {_TRIES} times in a row")


def _memory(config: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(_PREFIX): value for key, value in config.items() if key.startswith(_PREFIX)}
