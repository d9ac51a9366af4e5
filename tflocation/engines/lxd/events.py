"""The engine's lifecycle events in our words, over its restarts."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

from tflocation.engines.interface import (
    ContainerChanged,
    ContainerGone,
    EngineBack,
    EngineError,
    EngineEvent,
    EngineLost,
    MemoryChanged,
)
from tflocation.engines.lxd.client import Client

FIRST_PAUSE = 0.1  # seconds until the second try to reach a lost engine
LONGEST_PAUSE = 3.0

log = logging.getLogger("tflocation.engine")


def translate(message: Mapping[str, Any], project: str) -> EngineEvent | None:
    """Read one message of the engine's event stream; None where it does not concern us."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict):
        return None
    action, source = str(metadata.get("action", "")), str(metadata.get("source", ""))
    path = source.partition("?")[0]
    name = path.rpartition("/")[2]
    if action in ("project-updated", "project-created"):
        return MemoryChanged() if name == project else None
    ours = message.get("project", metadata.get("project")) == project
    if not ours or not action.startswith("instance-") or not path.startswith("/1.0/instances/"):
        return None
    if action == "instance-deleted":
        return ContainerGone(name)
    return ContainerChanged(name) if action in _CHANGES and path.count("/") == _DEPTH else None


_DEPTH = 3  # slashes in /1.0/instances/NAME
_CHANGES = frozenset(
    f"instance-{what}"
    for what in ("created", "started", "stopped", "shutdown", "restarted", "paused", "resumed", "updated")
)


class Watcher:
    """Keeps the stream of events open, and tells each event to `tell`; `back` is awaited on each return."""

    def __init__(self, client: Client, tell: Callable[[EngineEvent], None], back: Callable[[], Any]) -> None:
        self._client = client
        self._tell = tell
        self._back = back
        self.connected = False

    async def run(self) -> None:
        """Watch until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._client.events() as messages:
                    await self._client.open()
                    await self._back()
                    self._found()
                    pause = FIRST_PAUSE
                    async for message in messages:
                        if event := translate(message, self._client.project):
                            self._tell(event)
            except EngineError as error:
                self._lost(str(error))
            except Exception as error:  # whatever the engine says, we keep asking
                log.exception("the engine's events cannot be read")
                self._lost(f"its events cannot be read: {error}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause = min(LONGEST_PAUSE, pause * 2)

    def _found(self) -> None:
        self.connected = True
        self._tell(EngineBack())

    def _lost(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self._tell(EngineLost(reason))
