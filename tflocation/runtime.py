"""The Unix socket by which the commands on this machine speak to the running service.

One line of text asks, one JSON document answers; root alone can connect.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

REQUEST_LIMIT: Final = 5.0
"""Seconds for the request to come, and likewise for the answer to be taken."""

ANSWER_LIMIT: Final = 15.0
"""Seconds that a command waits for the service."""

MAX_ANSWER: Final = 16 << 20


class NotRunning(Exception):  # noqa: N818 - it names the condition
    """No service answers on this machine; the message says where it was looked for."""


def socket_path() -> Path:
    """Give the socket's place: in $RUNTIME_DIRECTORY (systemd.exec(5)) or the packaged service's."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/tflocation").split(":")[0]) / "status.sock"


class RuntimeServer:
    """The service's end: answers `status`, and `refresh` after the accounts were changed."""

    def __init__(
        self,
        path: Path,
        status: Callable[[], Awaitable[dict[str, Any]]],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._status = status
        self._refresh = refresh
        self._server: asyncio.Server | None = None
        self._path = path

    async def start(self) -> None:
        """Listen. Raises OSError, also where another service answers on the same socket."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if await asyncio.to_thread(_answers, self._path):
            raise OSError(0, f"{self._path}: another tflocation runs there")
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(self._path))
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=256)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                request = (await reader.readline()).strip()
            async with asyncio.timeout(ANSWER_LIMIT):
                answer = await self._answer(request)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # whoever asked went away or never asked; the command tells its user
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, request: bytes) -> dict[str, Any]:
        try:
            if request == b"status":
                return await self._status()
            if request == b"refresh":
                await self._refresh()
                return {}
        except Exception as error:  # the asker is told, the service goes on  # noqa: BLE001
            return {"error": str(error) or type(error).__name__}
        return {"error": "allowed: status, refresh"}


def ask(request: str) -> dict[str, Any]:
    """Ask the running service. Raises NotRunning."""
    path = socket_path()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_LIMIT)
            connection.connect(os.fspath(path))
            connection.sendall(request.encode() + b"\n")
            answer = b""
            while (chunk := connection.recv(65536)) and len(answer) < MAX_ANSWER:
                answer += chunk
        document = json.loads(answer)
    except (OSError, ValueError) as error:
        raise NotRunning(f"no tflocation answers on {path}: is the service running?") from error
    return document if isinstance(document, dict) else {}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(os.fspath(path))
        except OSError:
            return False
    return True
