"""Follows the engine: opens it however long that takes; keeps all that is known of it up to date."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from tflocation import logged
from tflocation.commands import connections, nodes, remembered, volumes
from tflocation.commands.call import Services
from tflocation.engines.interface import (
    ContainerChanged,
    ContainerGone,
    EngineBack,
    EngineError,
    EngineEvent,
    EngineLost,
    EngineUnavailable,
    MemoryChanged,
    NotFound,
)
from tflocation.inventory import Difference, Gone
from tflocation.logs import told

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
"""Seconds between two tries to open the engine."""

LOG_AFTER: Final = (0.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds between two lines about an engine that does not answer; the last one repeats."""

CHECK: Final = 30.0
"""Seconds after which everything is asked for anyway: an event may have been lost."""

NODES: Final = 5.0
"""Seconds between two looks at what the nodes have to spare, while somebody watches."""

TRIES: Final = 3
"""Questions about one container whose state changes while the answer is on its way."""


class Follower:
    """Keeps `Services` up to date with the engine, from `run` until it is cancelled.

    Attributes:
        reason: why the engine is not followed at present; empty while it is.

    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.reason = "the engine has not answered yet"
        self._untidy = asyncio.Event()

    async def run(self) -> None:
        """Open the engine and follow its events. Raises EngineError where the engine cannot be used."""
        await self._open()
        loops = (self._repeat(CHECK, self._check), self._repeat(NODES, self._observe), self._tidy())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            async for event in self._services.engine.events():
                try:
                    await self._take(event)
                except EngineError as error:
                    log.warning("an event of the engine could not be followed", extra=_why(error))
        finally:
            for task in tasks:
                task.cancel()

    async def refresh_accounts(self) -> None:
        """Read the accounts anew, and let the sessions follow. Raises EngineError."""
        await remembered.refresh(self._services)

    def told(self, differences: Iterable[Difference]) -> None:
        """Do what changed containers demand: of their volumes, and of what is kept for them."""
        differences = list(differences)
        volumes.use(self._services, [difference.container for difference in differences])
        if any(isinstance(difference, Gone) for difference in differences):
            self._untidy.set()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        pause, lines, next_line = FIRST_PAUSE, 0, loop.time()
        while True:
            try:
                # Accounts first: their clients can come in and are told what is missing.
                await self.refresh_accounts()
                await self._services.engine.open()
            except EngineUnavailable as error:
                self.reason = str(error)
                if loop.time() >= next_line:
                    log.warning("the engine does not answer; trying on", extra=_why(error))
                    next_line = loop.time() + LOG_AFTER[min(lines + 1, len(LOG_AFTER) - 1)]
                    lines += 1
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            return

    async def _take(self, event: EngineEvent) -> None:
        match event:
            case EngineBack():
                await self._refresh_all()
                self.reason = ""
                version = await self._services.engine.version()
                log.info("the engine answers", extra=told(logged.ENGINE_FOUND, engine=version))
            case EngineLost(reason):
                self.reason = reason
                log.warning("the engine stopped answering", extra=told(logged.ENGINE_LOST, reason=reason))
            case MemoryChanged():
                await self.refresh_accounts()
            case ContainerGone(container_id):
                self._services.tell(self._services.inventory.drop(container_id))
            case ContainerChanged(container_id):
                await self._ask_for(container_id)

    async def _ask_for(self, container_id: str) -> None:
        inventory = self._services.inventory
        for _ in range(TRIES):
            asked_at = inventory.stamp
            try:
                container = await self._services.engine.container(container_id)
            except NotFound:
                self._services.tell(inventory.drop(container_id))
                return
            if not inventory.is_stale(container_id, asked_at):
                self._services.learn(container)
                return

    async def _refresh_all(self) -> None:
        await self.refresh_accounts()
        await self._services.relist()
        accounts = self._services.accounts.book.accounts
        self._services.channels.verify(
            {
                (container.account, container.id)
                for container in self._services.inventory.all()
                if container.account in accounts and not accounts[container.account].revoked
            }
        )
        await connections.apply(self._services)
        if self._services.observers():
            await volumes.refresh(self._services)
        self._untidy.set()

    async def _check(self) -> None:
        await self.refresh_accounts()
        await self._services.relist()
        if self._services.observers():
            await volumes.refresh(self._services)
        self._untidy.set()

    async def _observe(self) -> None:
        if self._services.observers():
            await nodes.refresh(self._services)

    async def _tidy(self) -> None:
        """Forget what was kept for containers that are gone, as often as some are."""
        while True:
            await self._untidy.wait()
            self._untidy.clear()
            try:
                await connections.forget(self._services)
                await volumes.free(self._services)
            except EngineError as error:
                log.warning("what containers left could not be removed yet", extra=_why(error))

    async def _repeat(self, interval: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again while the engine answers."""
        while True:
            await asyncio.sleep(interval)
            if self.reason:
                continue
            try:
                await work()
            except EngineError as error:
                log.warning("the engine could not be asked", extra=_why(error))


def _why(error: EngineError) -> dict[str, object]:
    return {"fields": {"reason": str(error)}}
