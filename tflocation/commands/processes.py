"""process.*, container.console, pipe.*: what goes on in a container, over pipes."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.pipe import Kind
from tflocation.commands.call import Body, Call, Handler, Services, command_error, require_process
from tflocation.commands.tickets import mint
from tflocation.consoles import KeptConsole
from tflocation.engines.interface import EngineError
from tflocation.engines.processes import BUSYBOX, ExecSpec, RunningProcess, Terminal
from tflocation.pipes import OpenPipe, Owner
from tflocation.tickets import PipeTarget

HANG_UP: Final = 2.0
"""Seconds between SIGHUP, when nobody is there any more, and SIGKILL."""

MAX_SIGNAL: Final = 64
SIGHUP: Final = 1

_FD_KINDS: Final = {1: Kind.DATA, 2: Kind.ERROR_DATA}

# The image's own shell where it has one, else the one that each container is given.
_LINE: Final = f"""\
for shell in /bin/sh /usr/bin/sh; do
    [ -x "$shell" ] && exec "$shell" -c "$1"
done
exec {BUSYBOX} sh -c "$1"
"""
_LOGIN: Final = f"""\
for name in bash ash sh zsh ksh fish; do
    for directory in /bin /usr/bin /sbin; do
        [ -x "$directory/$name" ] && exec "$directory/$name" -l
    done
done
exec {BUSYBOX} sh -l
"""


async def start(services: Services, call: Call) -> Body:
    """Start a process; its output, and what is said to it, go over a pipe."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    spec = _spec(call.parameters)
    with services.pipes.opening(owner(call, container.id)) as pipe:
        reply = granted(services, call, pipe)
        process = await services.engine.execute(container.id, spec)
        begin(pipe, _drive(process, pipe))
    return reply


async def console(services: Services, call: Call) -> Body:
    """Open a pipe to the console that is kept of a held container."""
    container = services.inventory.own(call.account, call.parameters["id"])
    if not container.holder:
        text = f"container {container.id} has no terminal: only one that a session holds has; see its log"
        raise CommandError(Code.UNAVAILABLE, text)
    kept = services.consoles.get(container.id)
    if kept is None:
        require_process(container)
        kept = services.consoles.keep(container)
    with services.pipes.opening(owner(call, container.id)) as pipe:
        reply = granted(services, call, pipe)
        begin(pipe, _show(kept, pipe))
    return reply


async def attach(services: Services, call: Call) -> Body:
    """Give a ticket for a further channel to a pipe."""
    pipe = services.pipes.own(call.account, call.parameters["pipe"])
    ticket = mint(services, call, pipe.owner.container, PipeTarget(pipe.id))
    return {"ticket": ticket, "cipher": call.client.cipher}


async def close(services: Services, call: Call) -> Body:
    """End a pipe and what is at its end; one that is not there is over already."""
    try:
        pipe = services.pipes.own(call.account, call.parameters["pipe"])
    except CommandError:
        return {}
    await pipe.closed()
    return {}


def owner(call: Call, container_id: str) -> Owner:
    """Give whose a pipe is that this call opens."""
    return Owner(call.account, call.client.holder, container_id)


def granted(services: Services, call: Call, pipe: OpenPipe) -> Body:
    """Give the reply that lets the client attach to a pipe. Raises CommandError limit."""
    ticket = mint(services, call, pipe.owner.container, PipeTarget(pipe.id))
    return {"pipe": pipe.id, "ticket": ticket, "cipher": call.client.cipher}


def begin(pipe: OpenPipe, work: Awaitable[Mapping[str, Any]]) -> None:
    """Have `work` use the pipe until it is over."""
    name = f"what was at the pipe of container {pipe.owner.container}"
    pipe.start(work, lambda error: command_error(name, error))


@asynccontextmanager
async def beside(*works: Awaitable[None]) -> AsyncIterator[None]:
    """Run these for as long as the body does."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _spec(parameters: Mapping[str, Any]) -> ExecSpec:
    """Read what is to be started. Raises CommandError bad-parameter."""
    given = [name for name in ("args", "line", "shell") if parameters.get(name)]
    if len(given) != 1:
        text = f"process.start: one of args, line and shell is needed; given: {', '.join(given) or 'none'}"
        raise CommandError(Code.BAD_PARAMETER, text)
    terminal = parameters.get("terminal")
    args: tuple[str, ...]
    match given[0]:
        case "line":
            args = (BUSYBOX, "sh", "-c", _LINE, "sh", parameters["line"])
        case "shell":
            args = (BUSYBOX, "sh", "-c", _LOGIN)
        case _:
            args = tuple(parameters["args"])
    return ExecSpec(
        args,
        environment=parameters.get("environment", {}),
        cwd=parameters.get("cwd", "/"),
        terminal=Terminal(**terminal) if terminal else None,
        inherits=given != ["shell"],
    )


async def _drive(process: RunningProcess, pipe: OpenPipe) -> Body:
    """Join a process with its pipe until it has ended and its output was sent."""
    try:
        async with beside(_feed(process, pipe), _control(process, pipe)):
            while (output := await process.read()) is not None:
                fd, data = output
                await pipe.send(_FD_KINDS[fd], data)
            return {"code": await process.wait()}
    except asyncio.CancelledError:
        await _hang_up(process)
        raise
    finally:
        with suppress(EngineError):
            await process.close()


async def _feed(process: RunningProcess, pipe: OpenPipe) -> None:
    async for piece in pipe.data():
        # What a process that is ending does not take is lost with it; its exit code tells.
        with suppress(EngineError):
            if piece.kind is Kind.DATA:
                await process.write(piece.payload)
            elif piece.kind is Kind.END:
                await process.end_input()


async def _control(process: RunningProcess, pipe: OpenPipe) -> None:
    async for piece in pipe.controls():
        with suppress(EngineError):
            if piece.kind is Kind.WINDOW:
                await process.resize(*window(piece.payload))
            elif 1 <= piece.payload[0] <= MAX_SIGNAL:
                await process.signal(piece.payload[0])


async def _hang_up(process: RunningProcess) -> None:
    """Tell a process that nobody is there any more, and give it a moment to end."""
    with suppress(EngineError, TimeoutError):
        async with asyncio.timeout(HANG_UP):
            await process.signal(SIGHUP)
            while await process.read() is not None:
                pass


async def _show(kept: KeptConsole, pipe: OpenPipe) -> Body:
    """Join a console with one of its readers until the container's process has ended."""
    async with beside(_type(kept, pipe), _resize(kept, pipe)):
        async for output in kept.output():
            await pipe.send(Kind.DATA, output)
    if kept.exit is None:
        raise CommandError(Code.NOT_FOUND, kept.lost)
    return {"code": kept.exit}


async def _type(kept: KeptConsole, pipe: OpenPipe) -> None:
    async for piece in pipe.data():
        if piece.kind is Kind.DATA:
            with suppress(EngineError, TimeoutError):
                await kept.write(piece.payload)


async def _resize(kept: KeptConsole, pipe: OpenPipe) -> None:
    async for piece in pipe.controls():
        if piece.kind is Kind.WINDOW:
            with suppress(EngineError, TimeoutError):
                await kept.resize(*window(piece.payload))


def window(payload: bytes) -> tuple[int, int]:
    """Read columns and rows; a terminal has at least one of each."""
    columns, rows = struct.unpack(">HH", payload)
    return max(1, columns), max(1, rows)


HANDLERS: Mapping[str, Handler] = {
    "process.start": start,
    "container.console": console,
    "pipe.attach": attach,
    "pipe.close": close,
}
