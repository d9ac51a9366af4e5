"""The location's ends of pipes: each joins a client, over channels that come and go, with one task of ours.

A channel whose ticket leads to a pipe is relayed into one end of a socket pair; the pipe has the other.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from tfd.protocol.errors import Code, CommandError, ProtocolError
from tfd.protocol.pipe import LAST, MAX_PIECE, Kind, Piece, Pipe

log = logging.getLogger(__name__)

MAX_A_SESSION: Final = 256
MAX_AN_ACCOUNT: Final = 1024

CLOSE_LIMIT: Final = 10.0
"""Seconds for what is at a closed pipe's end to go; then it is left to itself."""

_READ_SIZE: Final = 128 * 1024
_CONTROLS: Final = frozenset({Kind.SIGNAL, Kind.WINDOW})

Failing = Callable[[Exception], CommandError]
"""Gives the error that a client gets for whatever ended a pipe's work."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a pipe is, and of which container: account, session id in hexadecimal, container id."""

    account: str
    session: str
    container: str


@dataclass(slots=True)
class _Arrived:
    piece: Piece
    done: bool = False


class OpenPipe:
    """One pipe, from its opening to its end; `Pipes` makes it.

    Attributes:
        id: 16 random bytes.
        owner: whose it is.

    """

    def __init__(self, owner: Owner, lease: float, ended: "Callable[[OpenPipe], None]") -> None:
        self.id = secrets.token_bytes(16)
        self.owner = owner
        self._lease = lease
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._pipe = Pipe()
        self._socket: socket.socket | None = None
        self._outbox = memoryview(b"")
        self._writes = False
        self._changed = asyncio.Event()
        self._order: deque[_Arrived] = deque()
        self._data: asyncio.Queue[_Arrived] = asyncio.Queue()
        self._controls: asyncio.Queue[_Arrived] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._works = False
        self._closing = False
        self._unattached: asyncio.TimerHandle | None = None

    # For the work at its end.

    async def send(self, kind: Kind, payload: bytes | memoryview = b"") -> None:
        """Send a piece, or data of any length in several; waits while the client has no room for it."""
        if kind not in (Kind.DATA, Kind.ERROR_DATA):
            await self._until(lambda: self._pipe.room() >= max(1, len(payload)))
            self._pipe.send(kind, bytes(payload))
            self._flush()
            return
        rest = memoryview(payload)
        while rest:
            await self._until(lambda: self._pipe.room() > 0)
            size = min(self._pipe.room(), MAX_PIECE)
            self._pipe.send(kind, bytes(rest[:size]))
            self._flush()
            rest = rest[size:]

    async def data(self) -> AsyncIterator[Piece]:
        """Give what the client sends, but for signals and window sizes: these do not wait behind data."""
        async for piece in self._from(self._data):
            yield piece

    async def controls(self) -> AsyncIterator[Piece]:
        """Give the signals and window sizes that the client sends."""
        async for piece in self._from(self._controls):
            yield piece

    # For those who hold it.

    def start(self, work: Awaitable[Mapping[str, Any]], failing: Failing) -> None:
        """Have `work` use it: what it gives is told as EXIT, what it raises as FAIL."""
        self._task = asyncio.create_task(self._run(work, failing))
        if self._socket is None:
            self._lease_begins()

    def connect(self) -> socket.socket:
        """Give the other end of a fresh connection to it; one from before is dropped. Raises OSError."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self._detach()
        self._socket = ours
        self._pipe.attach()
        self._lease_ends()
        self._loop.add_reader(ours, self._readable)
        self._flush()
        return theirs

    def close(self) -> None:
        """End it, and what is at its end."""
        if self._task is None:
            self._over()
        elif not self._works:
            # A task that is cancelled before its first step would not clean up.
            self._loop.call_soon(self.close)
        elif not self._closing:
            self._closing = True
            self._task.cancel()

    async def closed(self) -> None:
        """Close it, and wait until what was at its end is gone, within a limit."""
        self.close()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_LIMIT)

    async def _run(self, work: Awaitable[Mapping[str, Any]], failing: Failing) -> None:
        self._works = True
        try:
            try:
                kind, last = Kind.EXIT, await work
            except Exception as error:  # whatever it was, the client is told  # noqa: BLE001
                failure = failing(error)
                kind, last = Kind.FAIL, {"code": failure.code, "message": failure.message}
            await self.send(kind, msgpack.packb(last))
            await self._until(lambda: self._pipe.over)
        finally:
            self._over()

    def _over(self) -> None:
        self._lease_ends()
        self._detach()
        self._ended(self)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _from(self, queue: asyncio.Queue[_Arrived]) -> AsyncIterator[Piece]:
        while True:
            arrived = await queue.get()
            yield arrived.piece
            arrived.done = True
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Tell the client, in the order in which the pieces came."""
        count = 0
        while self._order and self._order[0].done:
            self._order.popleft()
            count += 1
        if count:
            self._pipe.consumed(count)
            self._flush()

    # The channel.

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_READ_SIZE)
            pieces = self._pipe.receive(data) if data else []
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except ProtocolError as error:
            log.warning("a client sent malformed bytes on a pipe", extra={"fields": {"reason": str(error)}})
            data = b""
        if not data:
            self._detach()
            self._lease_begins()
            return
        if any(piece.kind in LAST for piece in pieces):
            self.close()
            return
        for piece in pieces:
            arrived = _Arrived(piece)
            self._order.append(arrived)
            (self._controls if piece.kind in _CONTROLS else self._data).put_nowait(arrived)
        self._changed.set()
        self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        while True:
            if not self._outbox:
                self._outbox = memoryview(self._pipe.outgoing())
                if not self._outbox:
                    break
            try:
                sent = self._socket.send(self._outbox)
            except BlockingIOError:
                break
            except OSError:
                # Reading it tells that it is gone.
                self._outbox = memoryview(b"")
                break
            self._outbox = self._outbox[sent:]
        self._want_write(wanted=bool(self._outbox))

    def _want_write(self, *, wanted: bool) -> None:
        if wanted == self._writes or self._socket is None:
            return
        self._writes = wanted
        if wanted:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _detach(self) -> None:
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._want_write(wanted=False)
        self._socket.close()
        self._socket = None
        self._outbox = memoryview(b"")
        self._pipe.detach()

    def _lease_begins(self) -> None:
        self._unattached = self._loop.call_later(self._lease, self.close)

    def _lease_ends(self) -> None:
        if self._unattached is not None:
            self._unattached.cancel()
            self._unattached = None


class Pipes:
    """All pipes of the location.

    Args:
        lease: tells for how many seconds a pipe may be without a channel.

    """

    def __init__(self, lease: Callable[[], float]) -> None:
        self._lease = lease
        self._pipes: dict[bytes, OpenPipe] = {}
        self._of_session: Counter[tuple[str, str]] = Counter()
        self._of_account: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._pipes)

    @contextmanager
    def opening(self, owner: Owner) -> Iterator[OpenPipe]:
        """Open a pipe; where the body raises before `start`, it is gone again. Raises CommandError limit."""
        for count, most, whose in (
            (self._of_session[owner.account, owner.session], MAX_A_SESSION, "the session"),
            (self._of_account[owner.account], MAX_AN_ACCOUNT, "the account"),
        ):
            if count >= most:
                raise CommandError(Code.LIMIT, f"{whose} has {count} pipes open; allowed: {most}")
        pipe = OpenPipe(owner, self._lease(), self._forget)
        self._pipes[pipe.id] = pipe
        self._of_session[owner.account, owner.session] += 1
        self._of_account[owner.account] += 1
        try:
            yield pipe
        except BaseException:
            pipe.close()
            raise

    def own(self, account: str, pipe_id: bytes) -> OpenPipe:
        """Give a pipe of the account. Raises CommandError not-found."""
        pipe = self._pipes.get(pipe_id)
        if pipe is None or pipe.owner.account != account:
            raise CommandError(Code.NOT_FOUND, "there is no such pipe")
        return pipe

    def connect(self, pipe_id: bytes) -> socket.socket | None:
        """Give a fresh connection to a pipe, None where it is over or no descriptors are left."""
        pipe = self._pipes.get(pipe_id)
        if pipe is None:
            return None
        with contextlib.suppress(OSError):
            return pipe.connect()
        return None

    def of_session(self, account: str, session: str) -> list[OpenPipe]:
        """Give the pipes that a session opened."""
        return [
            pipe
            for pipe in self._pipes.values()
            if (pipe.owner.account, pipe.owner.session) == (account, session)
        ]

    def close_account(self, account: str) -> None:
        """End all pipes of an account."""
        for pipe in [each for each in self._pipes.values() if each.owner.account == account]:
            pipe.close()

    async def close(self) -> None:
        """End all pipes."""
        await asyncio.gather(*(pipe.closed() for pipe in list(self._pipes.values())))

    def _forget(self, pipe: OpenPipe) -> None:
        if self._pipes.pop(pipe.id, None) is None:
            return
        owner = pipe.owner
        # Adding an empty one drops what has come to nothing.
        self._of_session[owner.account, owner.session] -= 1
        self._of_session += Counter()
        self._of_account[owner.account] -= 1
        self._of_account += Counter()
