"""An ssh and sftp server on loopback that leads into a container, for as long as the program wants."""

import logging
from typing import TYPE_CHECKING, Final, cast

from tfnz.base import Ending, Waitable, as_text, new_uuid

if TYPE_CHECKING:
    from asyncssh import SSHServerConnection

    from tfnz.connection import Connection
    from tfnz.container import Container
    from tfnz.facets.tunnels import Tunnels
    from tfnz.location import Location
    from tfnz.node import Node
    from tfnz.sshserver import Listening

LIMIT: Final = 30.0
"""Seconds that starting and stopping may take."""

LOOPBACK: Final = "127.0.0.1"

log = logging.getLogger(__name__)


class SshServer(Waitable, Ending):
    """A server onto one container: shells, commands, sftp (scp, rsync, editors), forwarded ports.

    It listens on 127.0.0.1 alone; whoever gets there is let in, under any name, with any password or key or
    none. Made by `Container.create_ssh_server`. Leaving `with` stops it. Attributes: `uuid` (text), `port`.

    Args:
        container: where to; it is ready.
        port: here; 0 for one that the system picks.

    """

    def __init__(self, container: "Tunnels", port: int) -> None:
        super().__init__()
        self.uuid = as_text(new_uuid())
        self.port = port
        self._container = container
        self._connection: Connection = container.conn()
        self._listening: Listening | None = None

    def __repr__(self) -> str:
        return f"<SshServer '{self.uuid}' port={self.port}>"

    def _leave(self) -> None:
        self.stop()

    def container(self) -> "Container":
        """Give the container."""
        return cast("Container", self._container)

    def node(self) -> "Node":
        """Give the container's node."""
        return self._container.node()

    def location(self) -> "Location":
        """Give the location."""
        return self._container.location()

    @property
    def transports(self) -> "list[SSHServerConnection]":
        """The connections of clients."""
        return list(self._listening.connections) if self._listening is not None else []

    def start(self) -> None:
        """Listen. Repeatable. Raises OSError (port taken), RuntimeError (others may read the host key)."""
        if self._listening is not None:
            return
        from tfnz.aio import Asyncio
        from tfnz.hostkey import host_key
        from tfnz.sshserver import Listening

        plane = self._connection.data_plane
        if plane.asyncio is None:
            plane.asyncio = Asyncio(plane.carriage.loop)
        listening = Listening(self._container, plane, host_key())
        plane.asyncio.join(self, listening.close)
        try:
            plane.asyncio.run(listening.start(LOOPBACK, self.port), LIMIT)
        except BaseException:
            plane.asyncio.leave(self)
            raise
        self._listening = listening
        self.port = listening.port
        log.info("SSH server listening: ssh -p %d root@localhost", self.port)
        self.mark_as_ready()

    def run(self) -> None:
        """Do what `start` does; programs written for 20ft have it."""
        self.start()

    def stop(self) -> None:
        """Stop listening, and end the clients' connections. Repeatable."""
        listening, self._listening = self._listening, None
        self._container.ssh_servers.pop(self.uuid, None)
        aio = self._connection.data_plane.asyncio if self._connection.ended is None else None
        if listening is not None and aio is not None:
            aio.run(listening.stop(), LIMIT)
            aio.leave(self)
        self.mark_not_ready()
