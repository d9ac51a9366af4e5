"""file.* and sftp.open: a container's files, over pipes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Final

import msgpack

from tfd.protocol.pipe import MAX_PIECE, Kind
from tflocation.commands.call import Body, Call, Handler, Services, require_process
from tflocation.commands.processes import begin, beside, granted, owner
from tflocation.engines.interface import Engine
from tflocation.engines.processes import FileContent
from tflocation.pipes import OpenPipe

DEFAULT_MODE: Final = 0o644

_READ_SIZE: Final = 64 * 1024
_NAMES: Final = MAX_PIECE // 2
"""Bytes of names in one piece: there is room for the rest of the map."""


async def put(services: Services, call: Call) -> Body:
    """Write a file of what the client sends."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    mode = call.parameters.get("mode", DEFAULT_MODE)
    path, size = call.parameters["path"], call.parameters.get("size")
    with services.pipes.opening(owner(call, container.id)) as pipe:
        reply = granted(services, call, pipe)
        begin(pipe, _write(services.engine, container.id, path, pipe, mode, size))
    return reply


async def fetch(services: Services, call: Call) -> Body:
    """Read a file, or list a directory."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    path = call.parameters["path"]
    with services.pipes.opening(owner(call, container.id)) as pipe:
        reply = granted(services, call, pipe)
        begin(pipe, _read(services.engine, container.id, path, pipe))
    return reply


async def sftp(services: Services, call: Call) -> Body:
    """Join the client with an SFTP server that has the container's files."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    with services.pipes.opening(owner(call, container.id)) as pipe:
        reply = granted(services, call, pipe)
        reader, writer = await services.engine.sftp(container.id)
        begin(pipe, _join(reader, writer, pipe))
    return reply


async def _write(
    engine: Engine, container_id: str, path: str, pipe: OpenPipe, mode: int, size: int | None
) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        async for piece in pipe.data():
            if piece.kind is Kind.END:
                return
            if piece.kind is Kind.DATA:
                yield piece.payload

    await engine.write_file(container_id, path, chunks(), mode, size)
    return {}


async def _read(engine: Engine, container_id: str, path: str, pipe: OpenPipe) -> Body:
    content = await engine.read_file(container_id, path)
    async with aclosing(content.chunks) as chunks:
        for info in _infos(content):
            await pipe.send(Kind.INFO, msgpack.packb(info))
        async for chunk in chunks:
            await pipe.send(Kind.DATA, chunk)
    return {}


def _infos(content: FileContent) -> Iterator[Body]:
    """Give what is told before the data: a directory's names in as many maps as they need."""
    parts: list[list[str]] = [[]]
    room = _NAMES
    for name in content.entries:
        # As MessagePack writes it, with 5 bytes for its length at most.
        cost = len(name.encode()) + 5
        if cost > room:
            parts.append([])
            room = _NAMES
        parts[-1].append(name)
        room -= cost
    yield {"kind": content.kind, "size": content.size, "mode": content.mode, "entries": parts[0]}
    for part in parts[1:]:
        yield {"entries": part}


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pipe: OpenPipe) -> Body:
    try:
        async with beside(_forward(writer, pipe)):
            while data := await reader.read(_READ_SIZE):
                await pipe.send(Kind.DATA, data)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return {}


async def _forward(writer: asyncio.StreamWriter, pipe: OpenPipe) -> None:
    async for piece in pipe.data():
        with suppress(OSError):
            if piece.kind is Kind.END:
                writer.close()
                return
            writer.write(piece.payload)
            await writer.drain()


HANDLERS: Mapping[str, Handler] = {"file.put": put, "file.fetch": fetch, "sftp.open": sftp}
