"""Ports that a container listens on for an ssh client (ssh -R), by the container's own socat."""

from typing import TYPE_CHECKING, Any, Final

import asyncssh

from tfd.protocol.drivers.link import Failure
from tfd.protocol.pipe import Kind, Piece
from tfnz.pipes import OpenPipe, content

if TYPE_CHECKING:
    from asyncio import Future

    from tfnz.dataplane import DataPlane
    from tfnz.facets.tunnels import Tunnels

AHEAD: Final = 2
"""Processes that listen at a time: each takes one connection, and another takes its place."""

START_LIMIT: Final = 60.0
_FOREVER: Final = "1000000000"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ACCEPTED: Final = b"accepting connection"


async def has_socat(container: "Tunnels", plane: "DataPlane") -> bool:
    """Tell whether the container has socat."""
    import asyncio

    found: Future[bool] = asyncio.get_running_loop().create_future()
    _Look(container, plane, found)
    return await found


class _Look:
    """Asks the container's shell for a program, once."""

    def __init__(self, container: "Tunnels", plane: "DataPlane", found: "Future[bool]") -> None:
        self._found = found
        self._pipe: OpenPipe | None = None
        params = {"id": container.id, "line": "command -v socat"}
        plane.open_pipe("process.start", params, self, self._opened, START_LIMIT)

    def _opened(self, answer: OpenPipe | Failure) -> None:
        if isinstance(answer, Failure):
            self.pipe_failed(answer)
        else:
            self._pipe = answer

    def pipe_piece(self, piece: Piece) -> None:
        """Take the exit code."""
        if self._pipe is not None:
            self._pipe.consumed(1)
        if piece.kind is Kind.EXIT:
            self._tell(content(piece).get("code") == 0)
        elif piece.kind is Kind.FAIL:
            self._tell(False)

    def pipe_room(self) -> None:
        """Know that input was sent; there is none."""

    def pipe_failed(self, _failure: Failure) -> None:
        """Take it for a no."""
        self._tell(False)

    def _tell(self, found: bool) -> None:
        if not self._found.done():
            self._found.set_result(found)


class BackListener(asyncssh.SSHListener):
    """A port of the container that leads to the ssh client.

    Args:
        connection: the client's.
        container: whose port.
        plane: what leads there.
        host: what the client wants listened on: a loopback name, or anything else for all addresses.
        port: 1..65535.

    """

    def __init__(
        self,
        connection: asyncssh.SSHServerConnection,
        container: "Tunnels",
        plane: "DataPlane",
        host: str,
        port: int,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.host = host
        self.port = port
        self._container = container
        self._plane = plane
        self._waiting: set[_Accepting] = set()
        self._closed = False
        for _ in range(AHEAD):
            self._listen_once()

    def get_port(self) -> int:
        """Give the port."""
        return self.port

    def close(self) -> None:
        """Listen no more; connections go on."""
        self._closed = True
        for waiting in list(self._waiting):
            waiting.close()
        self._waiting.clear()

    async def wait_closed(self) -> None:
        """Wait for nothing: what listened was told to end."""

    def accepted(self, which: "_Accepting") -> None:
        """Have another one listen in its place."""
        self._waiting.discard(which)
        if not self._closed:
            self._listen_once()

    def ended(self, which: "_Accepting") -> None:
        """Know that one has ended without a connection: the port cannot be had, or the container ends."""
        self._waiting.discard(which)

    def _listen_once(self) -> None:
        bind = ",bind=127.0.0.1" if self.host in _LOOPBACK else ""
        listen = f"TCP4-LISTEN:{self.port}{bind},reuseaddr,reuseport"
        params = {
            "id": self._container.id,
            "line": f"exec socat -d -d -t {_FOREVER} {listen} STDIO",
        }
        waiting = _Accepting(self)
        self._waiting.add(waiting)
        self._plane.open_pipe("process.start", params, waiting, waiting.opened, START_LIMIT)


class _Accepting:
    """One process that listens for one connection, and then carries it."""

    def __init__(self, listener: BackListener) -> None:
        self._listener = listener
        self._pipe: OpenPipe | None = None
        self._accepted = False
        self._closed = False
        self._session: _Back | None = None
        self._kept: list[bytes] = []
        self._ended = False

    def opened(self, answer: OpenPipe | Failure) -> None:
        """Know the pipe."""
        if isinstance(answer, Failure):
            self._listener.ended(self)
        elif self._closed:
            answer.close()
        else:
            self._pipe = answer

    def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._pipe is not None:
            self._pipe.close()

    def send(self, kind: Kind, data: bytes = b"") -> None:
        """Pass on what the client sends."""
        if self._pipe is not None:
            self._pipe.send(kind, data)

    def consumed(self, pieces: int) -> None:
        """Let the container send more."""
        if self._pipe is not None:
            self._pipe.consumed(pieces)

    @property
    def waiting(self) -> int:
        """Bytes on their way to the container."""
        return self._pipe.waiting if self._pipe is not None else 0

    def pipe_piece(self, piece: Piece) -> None:
        """Take word of the connection, and what comes over it."""
        if piece.kind is Kind.ERROR_DATA:
            if not self._accepted and _ACCEPTED in piece.payload:
                self._accepted = True
                self._listener.accepted(self)
                self._listener.connection.create_task(self._connect())
        elif piece.kind is Kind.DATA:
            if self._session is None:
                self._kept.append(piece.payload)
            else:
                self._session.give(piece.payload)
                return
        elif piece.kind in (Kind.EXIT, Kind.FAIL):
            self._end()
        self.consumed(1)

    def pipe_room(self) -> None:
        """Read the client again."""
        if self._session is not None:
            self._session.room()

    def pipe_failed(self, _failure: Failure) -> None:
        """Take it for the end."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._listener.ended(self)
        if self._session is not None:
            self._session.finish()

    async def _connect(self) -> None:
        listener = self._listener
        try:
            _, session = await listener.connection.create_connection(
                lambda: _Back(self), listener.host, listener.port
            )
        except asyncssh.Error:
            self.close()
            return
        assert isinstance(session, _Back)
        self._session = session
        for data in self._kept:
            session.write(data)
        self._kept.clear()
        if self._ended:
            session.finish()


class _Back(asyncssh.SSHTCPSession[bytes]):
    """The client's end of one connection."""

    def __init__(self, accepting: _Accepting) -> None:
        self._accepting = accepting
        self._channel: Any = None
        self._writable = True
        self._unconsumed = 0
        self._paused = False

    def connection_made(self, chan: Any) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002 - there is but one
        self._accepting.send(Kind.DATA, data)
        if self._accepting.waiting > (1 << 19):
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self._accepting.send(Kind.END)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh logs it
        self._channel = None
        self._accepting.close()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        count, self._unconsumed = self._unconsumed, 0
        self._accepting.consumed(count)

    def give(self, data: bytes) -> None:
        """Pass on one piece."""
        self.write(data)
        if self._writable:
            self._accepting.consumed(1)
        else:
            self._unconsumed += 1

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self._channel is not None:
            self._channel.write(data)

    def room(self) -> None:
        """Read the client again."""
        if self._paused and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()

    def finish(self) -> None:
        """End it: the container's side has."""
        if self._channel is not None:
            self._channel.close()
