"""The ssh server itself, on asyncssh. Everything in the connection's thread, where asyncio runs then."""

import asyncio
import socket
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

with warnings.catch_warnings():
    # asyncssh 2.10 names ciphers that newer cryptography has retired; it does not use them here.
    warnings.simplefilter("ignore")
    import asyncssh

from tfd.protocol.drivers.relaying.driver import Counts
from tfnz import relaying
from tfnz.sshback import BackListener, has_socat
from tfnz.sshsession import Session

if TYPE_CHECKING:
    from tfnz.dataplane import DataPlane
    from tfnz.facets.tunnels import Tunnels

CONNECT_LIMIT: Final = 30.0
"""Seconds that a forwarded connection waits for the container's port."""

PIECE: Final = 64 * 1024
HIGHEST_PORT: Final = 65535

Handler = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]


class Listening:
    """One listening socket and its clients.

    Args:
        container: where they are led.
        plane: what leads there.
        host_key: private, as OpenSSH writes it.

    """

    def __init__(self, container: "Tunnels", plane: "DataPlane", host_key: bytes) -> None:
        self.container = container
        self.plane = plane
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.port = 0
        # At INFO it tells of every channel; the program's log is for the program.
        asyncssh.set_log_level("WARNING")
        self._host_key = asyncssh.import_private_key(host_key)
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        acceptor = await asyncssh.listen(
            host,
            port,
            server_factory=lambda: _Server(self),
            server_host_keys=[self._host_key],
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
            reuse_address=True,
            keepalive_interval=60,
        )
        self._acceptor = acceptor
        self.port = int(acceptor.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        self.close()
        if self._acceptor is not None:
            await self._acceptor.wait_closed()

    def close(self) -> None:
        """Do that without waiting."""
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in list(self.connections):
            connection.abort()


class _Server(asyncssh.SSHServer):
    """One client's connection. Nobody is asked who he is: only this machine gets here."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._connection: asyncssh.SSHServerConnection | None = None
        self._asked_to_listen = 0
        self._answered = asyncio.Event()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._listening.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh logs it
        if self._connection is not None:
            self._listening.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - any name
        return False

    def session_requested(self) -> Any:
        return self._session_in_turn()

    def connection_requested(
        self,
        dest_host: str,  # noqa: ARG002 - the container is the host
        dest_port: int,
        orig_host: str,  # noqa: ARG002
        orig_port: int,  # noqa: ARG002
    ) -> Handler:
        if not 1 <= dest_port <= HIGHEST_PORT:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, f"{dest_port} is not a TCP port")
        return partial(_forward, self._listening, dest_port)

    def server_requested(self, listen_host: str, listen_port: int) -> Any:
        self._asked_to_listen += 1
        return self._listen_back(listen_host, listen_port)

    async def _session_in_turn(self) -> Session:
        """Begin a session when the ports asked for before it are decided, as OpenSSH's server does.

        A short command could otherwise be over before the client hears that its port was refused.
        """
        while self._asked_to_listen:
            await self._answered.wait()
        return Session(self._listening.container, self._listening.plane)

    async def _listen_back(self, host: str, port: int) -> BackListener | bool:
        self._answered.clear()
        try:
            return await self._listener(host, port)
        finally:
            self._asked_to_listen -= 1
            self._answered.set()

    async def _listener(self, host: str, port: int) -> BackListener | bool:
        connection, listening = self._connection, self._listening
        if connection is None or not 1 <= port <= HIGHEST_PORT:
            return False
        if not await has_socat(listening.container, listening.plane):
            return False
        return BackListener(connection, listening.container, listening.plane, host, port)


async def _forward(
    listening: Listening,
    port: int,
    reader: "asyncssh.SSHReader[bytes]",
    writer: "asyncssh.SSHWriter[bytes]",
) -> None:
    """Relay a client's forwarded connection to a port of the container (ssh -L)."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    through = relaying.of(listening.plane)
    target = relaying.Target("an ssh server", listening.container.id, port, CONNECT_LIMIT)
    through.serve(target)
    through.relay(target, Counts(), theirs, "", _nothing)
    from_container, to_container = await asyncio.open_connection(sock=ours)
    try:
        await asyncio.gather(_copy(reader, to_container), _copy(from_container, writer))
    except (OSError, asyncssh.Error):
        pass  # one side is gone, so both are closed
    finally:
        to_container.close()
        writer.close()


async def _copy(source: Any, target: Any) -> None:
    """Copy until the end, and pass that on; the other direction goes on."""
    while data := await source.read(PIECE):
        target.write(data)
        await target.drain()
    target.write_eof()


def _nothing() -> None:
    """Know that a relayed connection has ended; its socket tells."""
