"""The Unix socket between the running service and the commands."""

import asyncio
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tflocation.runtime import RuntimeServer


async def ask(path: Path, request: bytes) -> bytes:
    """Send a request and give the whole answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_requests_and_their_answers(tmp_path: Path) -> None:
    """Status is JSON, what fails is told, and anything else is answered with what is allowed."""
    refreshed = []

    async def status() -> dict[str, Any]:
        return {"name": "home"}

    async def refresh() -> None:
        refreshed.append(True)
        raise OSError("the engine is away")

    path = tmp_path / "run" / "status.sock"
    server = RuntimeServer(path, status, refresh)
    await server.start()
    try:
        with pytest.raises(OSError, match="another tflocation"):
            await RuntimeServer(path, status, refresh).start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await ask(path, b"status\n") == b'{"name": "home"}\n'
        assert await ask(path, b"refresh\n") == b'{"error": "the engine is away"}\n'
        assert await ask(path, b"x" * 100 + b"\n") == b'{"error": "allowed: status, refresh"}\n'
        assert await ask(path, b"x" * 10_000) == b""
        assert refreshed == [True]
    finally:
        server.close()
    assert not path.exists()


async def test_a_socket_that_was_left_over_is_replaced(tmp_path: Path) -> None:
    """A service that was killed does not keep the next one from starting."""
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def status() -> dict[str, Any]:
        return {}

    async def refresh() -> None:
        pass

    server = RuntimeServer(path, status, refresh)
    await server.start()
    assert await ask(path, b"status\n") == b"{}\n"
    server.close()
