"""The one place where this package starts programs: each with a time limit, and killed whole beyond it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAX_OUTPUT = 64 * 1024
"""Bytes kept of what a program prints."""
GUARD_INTERVAL = 1.0
"""Seconds between two looks of a guard."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it printed, as text of at most `MAX_OUTPUT` bytes each."""

    code: int
    output: str
    errors: str


class TookTooLong(Exception):  # noqa: N818 - it names what happened
    """The program was killed at its time limit."""


async def run(
    arguments: Sequence[str],
    limit: float,
    *,
    environment: Mapping[str, str] | None = None,
    guard: Callable[[], None] | None = None,
) -> Finished:
    """Run a program for at most `limit` seconds; `guard` is called every second and may raise to end it.

    Raises TookTooLong, OSError where it cannot be started, and what the guard raises. However this ends, the
    program and its children have ended too.
    """
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    ended = asyncio.gather(_collect(process.stdout), _collect(process.stderr), process.wait())
    try:
        output, errors, code = await _await_guarded(ended, limit, guard)
    except BaseException as error:
        # The whole session: the program's children hold its pipes and may hold files in its directory.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        ended.cancel()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise TookTooLong(f"{arguments[0]} was ended after {limit:g} s") from error
        raise
    return Finished(code, output, errors)


async def _await_guarded(
    ended: "asyncio.Future[tuple[str, str, int]]", limit: float, guard: Callable[[], None] | None
) -> tuple[str, str, int]:
    if guard is None:
        return await asyncio.wait_for(ended, limit)
    async with asyncio.timeout(limit):
        while not ended.done():
            await asyncio.wait([ended], timeout=GUARD_INTERVAL)
            guard()
        return await ended


async def _collect(stream: asyncio.StreamReader) -> str:
    """Read to the end, and keep the last part: a program's last words tell why it failed."""
    kept = b""
    while chunk := await stream.read(MAX_OUTPUT):
        kept = (kept + chunk)[-MAX_OUTPUT:]
    return kept.decode(errors="replace")
