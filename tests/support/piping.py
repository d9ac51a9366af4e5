"""A client's end of a pipe for tests: one blocking socket, the protocol's channel and pipe."""

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgpack

from tfd.protocol.channel import MAX_PAYLOAD, Channel, FrameType, Role, opening
from tfd.protocol.pipe import LAST, MAX_PIECE, Kind, Piece, Pipe

LIMIT = 60.0
STEP = 0.1


class ChannelEnded(Exception):  # noqa: N818 - an end in order is no error
    """The channel ended before the pipe."""


class Caller(Protocol):
    """A session, as far as a pipe needs it."""

    def call(self, command: str, /, limit: float = LIMIT, **parameters: Any) -> dict[str, Any]:
        """Ask for a command and give the reply's body. Raises CommandError."""


class PipeClient:
    """One pipe that a location granted; every method waits, within a limit.

    `port` replaces the location's channel port, as where a forwarder stands in between.
    """

    def __init__(self, session: Caller, grant: Mapping[str, Any], port: int = 0) -> None:
        self.id: bytes = grant["pipe"]
        self.pipe = Pipe()
        self.received: list[Piece] = []
        self.last: Piece | None = None
        self._session = session
        self._port = port
        self._socket: socket.socket | None = None
        self._channel: Channel | None = None
        self.attach(grant)

    def attach(self, grant: Mapping[str, Any]) -> None:
        """Take a channel by a ticket, instead of the one before."""
        self.drop()
        ticket = grant["ticket"]
        self._socket = socket.create_connection(("127.0.0.1", self._port or ticket["port"]), LIMIT)
        self._socket.sendall(opening(ticket["id"]))
        self._channel = Channel(Role.OPENER, ticket["key"], grant["cipher"])
        self.pipe.attach()
        self.flush()

    def reattach(self) -> None:
        """Ask for another channel and take it."""
        self.attach(self._session.call("pipe.attach", pipe=self.id))

    def drop(self) -> None:
        """Cut the channel."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self.pipe.detach()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a piece, or data of any length; waits for room."""
        while True:
            size = min(len(payload), MAX_PIECE)
            self._until_room(size)
            self.pipe.send(kind, payload[:size])
            payload = payload[size:]
            self.flush()
            if not payload:
                return

    def _until_room(self, size: int) -> None:
        self.until(lambda: self.pipe.room() >= max(1, size), f"room for {size} bytes")

    def flush(self) -> None:
        """Write what the pipe has to say."""
        assert self._socket is not None
        assert self._channel is not None
        while data := self.pipe.outgoing():
            for start in range(0, len(data), MAX_PAYLOAD):
                part = data[start : start + MAX_PAYLOAD]
                self._socket.sendall(self._channel.seal(FrameType.DATA, part))

    def step(self, wait: float = STEP) -> list[Piece]:
        """Read once, take what came and give it. Raises ChannelEnded."""
        assert self._channel is not None
        pieces = []
        for frame in self._channel.receive(self._read(wait)):
            if frame.type is FrameType.DATA:
                pieces += self.pipe.receive(frame.payload)
            elif frame.type is not FrameType.OPENED:
                raise ChannelEnded(f"{frame.type.name} {frame.payload!r}")
        for piece in pieces:
            if piece.kind in LAST:
                self.last = piece
        self.pipe.consumed(len(pieces))
        self.received += pieces
        self.flush()
        return pieces

    def _read(self, wait: float) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(wait)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return b""
        except OSError as error:
            raise ChannelEnded(str(error)) from error
        finally:
            self._socket.settimeout(LIMIT)
        if not data:
            raise ChannelEnded("end of stream")
        return data

    def until(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Read on until the condition holds."""
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                came = self.output()[-300:]
                raise AssertionError(f"after {limit} s still waiting for {what}; came: {came!r}")
            self.step()

    def finish(self, limit: float = LIMIT) -> dict[str, Any]:
        """Read to the last piece and give what it says."""
        self.until(lambda: self.last is not None, "the last piece", limit)
        return self.said()

    def said(self) -> dict[str, Any]:
        """Give what the last piece says."""
        assert self.last is not None
        said: dict[str, Any] = msgpack.unpackb(self.last.payload)
        return said

    def output(self, kind: Kind = Kind.DATA) -> bytes:
        """Give all data that came."""
        return b"".join(piece.payload for piece in self.received if piece.kind is kind)
