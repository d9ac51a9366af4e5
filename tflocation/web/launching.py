"""Starts HAProxy: through a unit of its own where that is set, and else as a child of this process."""

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from typing import Final, Protocol

SOCKET: Final = "TFLOCATION_WEB"
"""The environment variable with the socket at which systemd starts HAProxy (tflocation-web.socket).

Who starts it there needs no rights over HAProxy's user. What it writes comes back over the connection, which
ends with it; and it ends with the connection.
"""

STOP_LIMIT: Final = 5.0
"""Seconds that it may take to end."""

POLL: Final = 0.02


class Launched(Protocol):
    """An HAProxy that was started."""

    @property
    def errors(self) -> asyncio.StreamReader:
        """What it writes to standard error, which ends when it does."""

    async def end(self) -> None:
        """End it, and wait for that."""


async def launch(directory: str, address: str) -> Launched:
    """Start HAProxy in master-worker mode with the haproxy.cfg of a directory.

    `address` is the value of SOCKET, "" to have it as a child. However this process ends, HAProxy does too.
    Raises OSError.
    """
    program, setpriv = shutil.which("haproxy"), shutil.which("setpriv")
    if program is None or setpriv is None:
        raise OSError(0, "haproxy and setpriv are needed: apt install haproxy")
    if address:
        return await _through_unit(address)
    # The kernel ends it with us, also where we are killed; its workers end with it.
    process = await asyncio.create_subprocess_exec(
        *(setpriv, "--pdeathsig", "TERM", program, "-W", "-db", "-f", f"{directory}/haproxy.cfg"),
        *("-S", f"{directory}/master.sock,mode,600"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
        start_new_session=True,
    )
    assert process.stderr is not None
    return _Child(process.stderr, process)


async def _through_unit(address: str) -> Launched:
    try:
        errors, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        message = f"{address}: {error.strerror}: systemctl start tflocation-web.socket"
        raise OSError(error.errno, message) from error
    return _Unit(errors, writer)


@dataclass(frozen=True, slots=True)
class _Child:
    errors: asyncio.StreamReader
    process: asyncio.subprocess.Process

    async def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self.process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_LIMIT):
                        await self.process.wait()


@dataclass(frozen=True, slots=True)
class _Unit:
    errors: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def end(self) -> None:
        with contextlib.suppress(OSError):
            self.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            # Twice, for the unit waits as long before it kills.
            async with asyncio.timeout(2 * STOP_LIMIT):
                while not self.errors.at_eof():
                    await asyncio.sleep(POLL)
        self.writer.close()
