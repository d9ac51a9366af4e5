"""Requests that the engine refuses for a while, in words of its own."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tflocation.engines.interface import EngineError

_PAUSE = 0.05  # seconds


async def insist(attempt: Callable[[], Awaitable[object]], *, words: str, limit: float) -> None:
    """Try again while it is refused with these words, for `limit` seconds. Raises EngineError as it does."""
    end = time.monotonic() + limit
    while True:
        try:
            await attempt()
        except EngineError as error:
            if words not in str(error) or time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return
