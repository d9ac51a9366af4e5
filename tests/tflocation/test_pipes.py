"""The location's ends of pipes: joined with real sockets, limited, and over when nobody is there any more."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import msgpack
import pytest

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.pipe import LAST, WINDOW, Kind, Piece, Pipe
from tflocation.pipes import MAX_A_SESSION, OpenPipe, Owner, Pipes

LIMIT = 10.0
LEASE = 0.2
"""Seconds, where its end is waited for."""

OWNER = Owner("ann", "5e", "tf-1")

Work = Callable[[OpenPipe], Awaitable[Mapping[str, Any]]]


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop of its own, within a limit."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await test

    asyncio.run(limited())


def failing(error: Exception) -> CommandError:
    """Give the error that the client is to see."""
    return error if isinstance(error, CommandError) else CommandError(Code.ENGINE, repr(error))


def opened(pipes: Pipes, work: Work, owner: Owner = OWNER) -> OpenPipe:
    """Open a pipe for this work."""
    with pipes.opening(owner) as pipe:
        pipe.start(work(pipe), failing)
    return pipe


class Peer:
    """A client's end over one connection to the pipe."""

    def __init__(self, pipe: Pipe | None = None) -> None:
        self.pipe = pipe or Pipe()
        self.pieces: list[Piece] = []

    async def __aenter__(self) -> "Peer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def attach(self, opened: OpenPipe) -> None:
        """Connect, as the channel server does for a ticket."""
        self.reader, self.writer = await asyncio.open_connection(sock=opened.connect())
        self.pipe.attach()
        await self.flush()

    async def flush(self) -> None:
        """Write what there is to say."""
        while data := self.pipe.outgoing():
            self.writer.write(data)
            await self.writer.drain()

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one piece."""
        self.pipe.send(kind, payload)
        await self.flush()

    async def read(self) -> bool:
        """Take what comes next; false at the end of the connection."""
        data = await self.reader.read(1 << 16)
        pieces = self.pipe.receive(data) if data else []
        self.pipe.consumed(len(pieces))
        self.pieces += pieces
        await self.flush()
        return bool(data)

    async def finish(self) -> tuple[Kind, dict[str, Any]]:
        """Read to the last piece, and give it."""
        while not self.pieces or self.pieces[-1].kind not in LAST:
            assert await self.read()
        last = self.pieces[-1]
        return last.kind, msgpack.unpackb(last.payload)


async def echo(pipe: OpenPipe) -> dict[str, Any]:
    """Send back what comes, until its end."""
    async for piece in pipe.data():
        if piece.kind is Kind.END:
            break
        await pipe.send(Kind.DATA, piece.payload)
    return {"code": 3}


async def wait(_: OpenPipe) -> dict[str, Any]:
    """Do nothing, for ever."""
    await asyncio.Event().wait()
    return {}


def test_both_directions_and_the_end() -> None:
    """What a client sends comes back, then EXIT; then the pipe is gone."""

    async def test() -> None:
        pipes = Pipes(lambda: LIMIT)
        async with Peer() as peer:
            pipe = opened(pipes, echo)
            await peer.attach(pipe)
            await peer.send(Kind.DATA, b"hello")
            await peer.send(Kind.END)

            assert await peer.finish() == (Kind.EXIT, {"code": 3})
            assert peer.pieces[0] == Piece(Kind.DATA, b"hello")
            assert not await peer.read()
            assert len(pipes) == 0

    run(test())


def test_a_failure_is_told() -> None:
    """What the work raises reaches the client as code and message."""

    async def broken(_: OpenPipe) -> dict[str, Any]:
        raise CommandError(Code.NOT_FOUND, "no such file")

    async def test() -> None:
        async with Peer() as peer:
            await peer.attach(opened(Pipes(lambda: LIMIT), broken))

            assert await peer.finish() == (Kind.FAIL, {"code": "not-found", "message": "no such file"})

    run(test())


def test_a_client_that_does_not_read_stops_the_work() -> None:
    """The work sends no more than a window beyond what the client has taken."""

    async def test() -> None:
        sent = 0

        async def pour(pipe: OpenPipe) -> dict[str, Any]:
            nonlocal sent
            while sent < 4 * WINDOW:
                await pipe.send(Kind.DATA, bytes(1 << 14))
                sent += 1 << 14
            return {}

        async with Peer() as peer:
            await peer.attach(opened(Pipes(lambda: LIMIT), pour))
            before = -1
            while not sent or before != sent:
                before = sent
                await asyncio.sleep(0.05)

            assert 0 < sent <= WINDOW
            assert (await peer.finish())[0] is Kind.EXIT
            assert sum(len(piece.payload) for piece in peer.pieces[:-1]) == 4 * WINDOW

    run(test())


def test_signals_do_not_wait_behind_data() -> None:
    """A process that takes no input is still told what the client wants of it."""

    async def test() -> None:
        async def deaf(pipe: OpenPipe) -> dict[str, Any]:
            async for piece in pipe.controls():
                return {"signal": piece.payload[0]}
            raise AssertionError

        async with Peer() as peer:
            await peer.attach(opened(Pipes(lambda: LIMIT), deaf))
            await peer.send(Kind.DATA, b"never taken")
            await peer.send(Kind.SIGNAL, b"\x0f")

            assert await peer.finish() == (Kind.EXIT, {"signal": 15})

    run(test())


def test_a_second_connection_replaces_the_first() -> None:
    """A client whose channel is dead without a word takes another one, and nothing is lost."""

    async def test() -> None:
        pipe = opened(Pipes(lambda: LIMIT), echo)
        first = Peer()
        async with first, Peer(first.pipe) as second:
            await first.attach(pipe)
            await first.send(Kind.DATA, b"one")
            while not first.pieces:
                await first.read()
            first.pipe.detach()
            await second.attach(pipe)

            with suppress(ConnectionError):  # it had something to say that nobody reads any more
                assert not await first.reader.read()
            await second.send(Kind.DATA, b"two")
            await second.send(Kind.END)
            assert (await second.finish())[0] is Kind.EXIT
            assert second.pieces[0] == Piece(Kind.DATA, b"two")

    run(test())


@pytest.mark.parametrize("attached_before", [False, True])
def test_without_a_channel_it_lives_for_a_lease(*, attached_before: bool) -> None:
    """Nobody who comes, or comes back, in time ends the pipe and the work behind it."""

    async def test() -> None:
        ended = asyncio.Event()

        async def work(pipe: OpenPipe) -> dict[str, Any]:
            try:
                return await wait(pipe)
            finally:
                ended.set()

        pipes, peer = Pipes(lambda: LEASE), Peer()
        pipe = opened(pipes, work)
        if attached_before:
            async with peer:
                await peer.attach(pipe)
        await ended.wait()
        while len(pipes):
            await asyncio.sleep(0.01)

        assert pipes.connect(pipe.id) is None

    run(test())


def test_one_that_is_closed_before_its_work_began_still_cleans_up() -> None:
    """Its work is begun and then cancelled, so that it can end what was started for it."""

    async def test() -> None:
        cleaned = False

        async def work(pipe: OpenPipe) -> dict[str, Any]:
            nonlocal cleaned
            try:
                return await wait(pipe)
            finally:
                cleaned = True

        pipes = Pipes(lambda: LIMIT)
        await opened(pipes, work).closed()

        assert cleaned
        assert len(pipes) == 0

    run(test())


@pytest.mark.parametrize(
    "wrong", [b"\xff" * 20, b"\x00\x00\x00\x00\x08" + bytes(8) + b"\x13\x00\x00\x00\x00"]
)
def test_a_faulty_client_loses_its_channel_or_pipe(wrong: bytes) -> None:
    """Bytes that are no pipe's, and an end that only the location may send, are not answered."""

    async def test() -> None:
        reader, writer = await asyncio.open_connection(sock=opened(Pipes(lambda: LIMIT), wait).connect())
        writer.write(wrong)
        with suppress(ConnectionError):
            while await reader.read(100):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    run(test())


def test_pipes_are_limited() -> None:
    """One session more than its share is refused; another session of the account is not."""

    async def test() -> None:
        pipes = Pipes(lambda: LIMIT)
        for _ in range(MAX_A_SESSION):
            opened(pipes, wait)
        with pytest.raises(CommandError) as caught:
            opened(pipes, wait)

        assert caught.value.code == Code.LIMIT
        opened(pipes, wait, Owner("ann", "60", "tf-1"))
        await pipes.close()
        assert len(pipes) == 0
        opened(pipes, wait)
        await pipes.close()

    run(test())


def test_another_accounts_pipe_does_not_exist() -> None:
    """The same answer for another's and for none."""

    async def test() -> None:
        pipes = Pipes(lambda: LIMIT)
        pipe = opened(pipes, wait)
        answers = []
        for account, pipe_id in (("bob", pipe.id), ("ann", bytes(16))):
            with pytest.raises(CommandError) as caught:
                pipes.own(account, pipe_id)
            answers.append((caught.value.code, caught.value.message))

        assert answers[0] == answers[1]
        assert pipes.own("ann", pipe.id) is pipe
        await pipes.close()

    run(test())
