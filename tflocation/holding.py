"""Ends what sessions hold once they are over: containers, pipes, clusters. Volumes stay."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from tfd.protocol.errors import CommandError
from tflocation.commands.call import Services
from tflocation.commands.containers import remove
from tflocation.engines.interface import ContainerInfo, EngineError
from tflocation.leases import Holder, Leases
from tflocation.logs import RateLimited

log = logging.getLogger(__name__)

DESTROYED_AT_ONCE: Final = 8
"""Containers destroyed at the same time."""

Sessions = Callable[[], Mapping[Holder, float | None]]
"""Tells the sessions that are known: None while the client is there, else since when (s) it is away."""

MAKING_LIMIT: Final = 60.0
"""Seconds that the end of a session waits for what is still being made for it, and then removed."""


class Holding:
    """Looks again and again whether a lease is over, from `run` until it is cancelled."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._leases = Leases()
        self._ending: dict[Holder, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(DESTROYED_AT_ONCE)
        self._troubles = RateLimited(log)

    async def run(self) -> None:
        """End what is due, for ever."""
        try:
            while True:
                if self._services.inventory.loaded:
                    self._look()
                await asyncio.sleep(min(1.0, self._services.config.lease / 10))
        finally:
            for task in self._ending.values():
                task.cancel()

    async def end(self, holder: Holder) -> None:
        """End all that a session holds, whether it is open or not. Raises EngineError."""
        making = set()
        for creation in self._services.creations.values():
            if creation.holder == holder and creation.task is not None:
                creation.unwanted = True
                making.add(creation.task)
        await self._end(holder, lambda: True)
        if making:
            await asyncio.wait(making, timeout=MAKING_LIMIT)

    def _look(self) -> None:
        services = self._services
        holders = {
            (container.account, container.holder)
            for container in services.inventory.all()
            if container.holder
        }
        if services.web is not None:
            holders |= services.web.holders()
        lease = services.config.lease
        for holder in self._leases.due(holders, self._sessions(), time.monotonic(), lease):
            self._begin(holder, f"its client was away for {lease} s", must=False)
        for holder in holders:
            account = services.accounts.book.accounts.get(holder[0])
            if account is None or account.revoked:
                self._begin(holder, "its account was revoked", must=True)

    def _begin(self, holder: Holder, why: str, *, must: bool) -> None:
        """Have a task end what the session holds; unless it `must`, no longer than the client is away."""
        if holder not in self._ending:
            fields = {"account": holder[0], "session": holder[1], "reason": why}
            log.info("what a session holds is ended", extra={"fields": fields})
            self._ending[holder] = asyncio.create_task(self._end_due(holder, must=must))

    async def _end_due(self, holder: Holder, *, must: bool) -> None:
        try:
            await self._end(holder, lambda: must or not self._is_open(holder))
        except (EngineError, CommandError) as error:
            message = "what a session held is not ended yet; trying on"
            self._troubles.warning("ending", message, reason=str(error))
        finally:
            del self._ending[holder]

    async def _end(self, holder: Holder, still: Callable[[], bool]) -> None:
        """End what the session holds, each thing as long as it is `still` to be ended."""
        account, session = holder
        services = self._services
        await asyncio.gather(*(pipe.closed() for pipe in services.pipes.of_session(account, session)))
        if services.web is not None and still():
            services.web.release(account, session)
        held = [each for each in services.inventory.of(account) if each.holder == session]
        results = await asyncio.gather(
            *(self._destroy(container, still) for container in held), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _destroy(self, container: ContainerInfo, still: Callable[[], bool]) -> None:
        async with self._slots:
            if still():
                await remove(self._services, container)

    def _is_open(self, holder: Holder) -> bool:
        return self._sessions().get(holder, 0.0) is None
