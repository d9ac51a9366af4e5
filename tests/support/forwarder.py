"""A TCP forwarder between a client and a server that can fall silent without closing anything, or be slow."""

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

CHUNK = 65536
TICK = 0.02
"""Seconds that a round lasts at the most."""


class Forwarder:
    """Forwards every connection to `target`; as a black hole it takes bytes and passes none on.

    Bytes that came while it was a black hole are lost, like packets; connections made meanwhile are
    accepted, as by a path that drops everything behind a proxy.

    Attributes:
        sent: bytes that were passed on to the server so far.

    """

    def __init__(self, target: tuple[str, int], rate: int | None = None) -> None:
        """Pass on at most `rate` bytes a second, all connections together, where that is given."""
        self.sent = 0
        self._rate = rate
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._to_client = True
        self._to_server = True
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._run, name="forwarder")

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._listener.getsockname()[1]
        return port

    def hole(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Drop everything from now on, in both directions or in one."""
        self._to_client, self._to_server = not to_client, not to_server

    def heal(self) -> None:
        """Forward again; what was dropped stays lost, so the old connections are of no use."""
        self._to_client = self._to_server = True

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        for connection in self._peers:
            connection.close()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(TICK):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listener:
                    self._accept()
                elif connection in self._peers:  # else its peer's end, in the same round, closed it
                    self._forward(connection)
            self._turned()

    def _turned(self) -> None:
        """Do what is due after each round, which is soon; for those who do more than to forward."""

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        self._peers[client], self._peers[server] = server, client
        self._clients.add(client)
        for connection in (client, server):
            self._selector.register(connection, selectors.EVENT_READ)

    def _forward(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(CHUNK)
            from_client = connection in self._clients
            if data and (self._to_server if from_client else self._to_client):
                self._peers[connection].sendall(data)
                self.sent += len(data) if from_client else 0
                if self._rate is not None:
                    self._stop.wait(len(data) / self._rate)
        except OSError:
            data = b""
        if not data:
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        peer = self._peers.pop(connection)
        self._peers.pop(peer)
        for end in (connection, peer):
            self._clients.discard(end)
            self._selector.unregister(end)
            end.close()
