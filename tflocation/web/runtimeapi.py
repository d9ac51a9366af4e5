"""HAProxy's runtime API over its Unix socket (management guide of HAProxy 2.6, 9.3)."""

import asyncio
from pathlib import Path
from typing import Final

from tflocation.web.sites import Order

LIMIT: Final = 5.0
"""Seconds for one command and its answer."""


class RuntimeApiError(Exception):
    """HAProxy did not answer, or did not do what it was told; the message says which command."""


class RuntimeApi:
    """Sends commands to the HAProxy behind a socket, each on a connection of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(self, command: str) -> str:
        """Give the answer to a command. Raises RuntimeApiError."""
        what = command.partition("\n")[0]
        try:
            async with asyncio.timeout(LIMIT):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(command.encode() + b"\n")
                    return (await reader.read(-1)).decode(errors="replace").strip()
                finally:
                    writer.close()
        except TimeoutError:
            raise RuntimeApiError(f"{what}: no answer within {LIMIT:g} s") from None
        except OSError as error:
            raise RuntimeApiError(f"{what}: {error.strerror or error}") from error

    async def do(self, order: Order) -> None:
        """Have it done. Raises RuntimeApiError."""
        answer = await self.ask(order.text)
        done = order.answer in answer if order.answer else not answer
        if not done:
            what = order.text.partition("\n")[0]
            raise RuntimeApiError(f"{what}: {answer.replace(chr(10), ' / ') or 'no answer'}")

    async def process(self) -> int | None:
        """Give the process id of the worker that answers; None where none does."""
        try:
            answer = await self.ask("show info")
        except RuntimeApiError:
            return None
        fields = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
        return int(fields["Pid"]) if fields.get("Pid", "").isdigit() else None
