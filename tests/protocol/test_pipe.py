"""Pipes: pieces arrive once and in order over channels that are cut at any byte, within bounded memory."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tfd.protocol.errors import ProtocolError, UsageError
from tfd.protocol.pipe import AT_ONCE, LAST, MAX_PIECE, PIECE_COST, WINDOW, Kind, Piece, Pipe


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Give a frame as it travels."""
    return struct.pack(">BI", kind, len(payload)) + payload


ATTACHED = frame(Kind.ATTACH, bytes(8))

payloads = {
    Kind.DATA: st.integers(0, MAX_PIECE),
    Kind.ERROR_DATA: st.integers(0, 300),
    Kind.INFO: st.integers(0, 300),
    Kind.WINDOW: st.just(4),
    Kind.SIGNAL: st.just(1),
    Kind.END: st.just(0),
    Kind.EXIT: st.integers(0, 40),
    Kind.FAIL: st.integers(0, 40),
}


class End:
    """One end: its machine, what it sent and took, and the bytes that travel to it."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.sent: list[Piece] = []
        self.received: list[Piece] = []
        self.taken = 0
        self.wire = b""
        self.ended = False
        self.serial = 0

    def send(self, kind: Kind, size: int) -> None:
        """Send a piece that differs from all others, if there is room."""
        if self.pipe.room() < size or self.pipe.room() == 0:
            return
        if self.ended and kind in (Kind.DATA, Kind.ERROR_DATA, Kind.END):
            return
        self.serial += 1
        payload = (struct.pack(">I", self.serial) * (size // 4 + 1))[:size]
        self.pipe.send(kind, payload)
        self.sent.append(Piece(kind, payload))
        self.ended |= kind is Kind.END


class Pipes(RuleBasedStateMachine):
    """Two ends, a channel that is cut again and again, applications that take what came when they like."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = End(), End()

    def _both(self, index: int) -> tuple[End, End]:
        return self.ends[index], self.ends[1 - index]

    @rule(index=st.integers(0, 1))
    def attach(self, index: int) -> None:
        """One end learns of a fresh channel first, and what was under way on the old one is gone."""
        for end in self._both(index):
            if end.pipe.attached:
                end.pipe.detach()
            end.wire = b""
        for end in self._both(index):
            end.pipe.attach()

    @rule(index=st.integers(0, 1))
    def attach_in_vain(self, index: int) -> None:
        """One end alone has a channel: it is cut before the other learns of it."""
        self.detach()
        self.ends[index].pipe.attach()
        self.ends[index].pipe.outgoing()
        self.ends[index].pipe.detach()

    @rule()
    def detach(self) -> None:
        """The channel is cut; what was under way on it is lost."""
        for end in self.ends:
            end.pipe.detach()
            end.wire = b""

    @rule(index=st.integers(0, 1), data=st.data())
    def send(self, index: int, data: st.DataObject) -> None:
        """An application sends a piece; only the second end may send the last one."""
        kinds = [kind for kind in payloads if index == 1 or kind not in LAST]
        kind = data.draw(st.sampled_from(kinds))
        self.ends[index].send(kind, data.draw(payloads[kind]))

    @rule(index=st.integers(0, 1), times=st.integers(1, 40))
    def send_much(self, index: int, times: int) -> None:
        """An application sends as much as it may."""
        for _ in range(times):
            self.ends[index].send(Kind.DATA, min(MAX_PIECE, self.ends[index].pipe.room()))

    @rule(index=st.integers(0, 1))
    def write(self, index: int) -> None:
        """One end writes to the channel what it has."""
        end, other = self._both(index)
        out = end.pipe.outgoing()
        assert len(out) <= AT_ONCE + MAX_PIECE + 40
        other.wire += out

    @rule(index=st.integers(0, 1), share=st.floats(0, 1))
    def read(self, index: int, share: float) -> None:
        """A part of what is under way arrives, cut anywhere."""
        end = self.ends[index]
        if not end.pipe.attached:
            return
        cut = int(len(end.wire) * share)
        arrived, end.wire = end.wire[:cut], end.wire[cut:]
        end.received += end.pipe.receive(arrived)

    @precondition(lambda self: any(end.taken < len(end.received) for end in self.ends))
    @rule(index=st.integers(0, 1), share=st.floats(0, 1))
    def take(self, index: int, share: float) -> None:
        """An application takes some of what came."""
        end = self.ends[index]
        count = int((len(end.received) - end.taken) * share)
        end.pipe.consumed(count)
        end.taken += count

    @invariant()
    def in_order(self) -> None:
        """What came is how what was sent begins."""
        for end, other in (self._both(0), self._both(1)):
            assert end.received == other.sent[: len(end.received)]

    @invariant()
    def bounded(self) -> None:
        """No end keeps more than a window for either direction."""
        for end, other in (self._both(0), self._both(1)):
            untaken = end.received[end.taken :]
            assert sum(PIECE_COST + len(piece.payload) for piece in untaken) <= WINDOW
            assert len(end.sent) - other.taken <= WINDOW // PIECE_COST

    def teardown(self) -> None:
        """With a channel that lasts, all arrives."""
        self.attach(0)
        for _ in range(80):
            for index in (0, 1):
                self.write(index)
                self.read(1 - index, 1)
                self.take(1 - index, 1)
        client, location = self.ends
        assert client.received == location.sent
        if location.sent and location.sent[-1].kind in LAST:
            assert client.pipe.over
            assert location.pipe.over
        else:
            assert location.received == client.sent


TestPipes = Pipes.TestCase
TestPipes.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@given(
    st.binary(max_size=200) | st.lists(st.binary(max_size=30)).map(lambda parts: ATTACHED + b"".join(parts))
)
def test_nothing_but_protocol_errors_leaves_receive(data: bytes) -> None:
    """Whatever a peer sends, it gives pieces or a ProtocolError."""
    pipe = Pipe()
    pipe.attach()
    try:
        pieces = pipe.receive(data)
    except ProtocolError:
        return

    assert sum(len(piece.payload) for piece in pieces) <= len(data)


@pytest.mark.parametrize(
    "wrong",
    [
        frame(Kind.DATA, b"before its ATTACH"),
        ATTACHED + ATTACHED,
        ATTACHED + frame(15),
        ATTACHED + frame(Kind.END, b"x"),
        ATTACHED + frame(Kind.WINDOW, b"123"),
        ATTACHED + frame(Kind.SIGNAL),
        ATTACHED + frame(Kind.END) + frame(Kind.DATA, b"after the end"),
        ATTACHED + frame(Kind.EXIT) + frame(Kind.INFO),
        ATTACHED + struct.pack(">BI", Kind.DATA, MAX_PIECE + 1),
        ATTACHED + frame(Kind.ACK, struct.pack(">Q", 1)),
        frame(Kind.ATTACH, struct.pack(">Q", 1)),
        ATTACHED + frame(Kind.DATA, bytes(MAX_PIECE)) * 17,
    ],
)
def test_malformed_bytes_are_refused(wrong: bytes) -> None:
    """Frames out of place, of unknown types, of wrong sizes or beyond the window end the channel."""
    pipe = Pipe()
    pipe.attach()

    with pytest.raises(ProtocolError):
        pipe.receive(wrong)


def test_what_came_with_malformed_bytes_is_sent_again() -> None:
    """Pieces that no application got do not count as received."""
    pipe = Pipe()
    pipe.attach()
    with pytest.raises(ProtocolError):
        pipe.receive(ATTACHED + frame(Kind.DATA, b"a") + frame(Kind.END, b"wrong"))
    pipe.detach()
    pipe.attach()

    assert pipe.outgoing() == ATTACHED
    assert pipe.receive(ATTACHED + frame(Kind.DATA, b"a")) == [Piece(Kind.DATA, b"a")]


def test_the_first_channel_carries_pieces_without_a_round_trip() -> None:
    """What is known to have been received before the first channel is nothing."""
    pipe = Pipe()
    pipe.send(Kind.DATA, b"a")
    pipe.attach()

    assert pipe.outgoing() == ATTACHED + frame(Kind.DATA, b"a")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(Kind.ACK, bytes(8)), (Kind.DATA, bytes(MAX_PIECE + 1)), (Kind.END, b"x"), (Kind.WINDOW, b"")],
)
def test_what_cannot_be_sent_is_refused(kind: Kind, payload: bytes) -> None:
    """Our own mistakes are told and nothing is sent."""
    pipe = Pipe()
    with pytest.raises(UsageError):
        pipe.send(kind, payload)
    pipe.attach()

    assert pipe.outgoing() == ATTACHED


def test_after_the_end_nothing_is_sent() -> None:
    """Neither after our own last piece nor after the peer's is there any room."""
    ours, theirs = Pipe(), Pipe()
    ours.send(Kind.EXIT)
    theirs.attach()
    theirs.receive(ATTACHED + frame(Kind.EXIT))

    for pipe in (ours, theirs):
        assert pipe.room() == 0
        with pytest.raises(UsageError):
            pipe.send(Kind.INFO)


def test_more_than_came_cannot_be_taken() -> None:
    """An application cannot acknowledge what it never got."""
    with pytest.raises(UsageError):
        Pipe().consumed(1)


def test_an_acknowledgement_that_was_lost_is_told_again() -> None:
    """The sender of the last piece learns that it arrived, also where the channel was cut just then."""
    sender, receiver = Pipe(), Pipe()
    sender.send(Kind.EXIT)
    for pipe in (sender, receiver):
        pipe.attach()
    receiver.consumed(len(receiver.receive(sender.outgoing())))
    assert receiver.outgoing()
    assert receiver.over
    for pipe in (sender, receiver):
        pipe.detach()
        pipe.attach()
    sender.receive(receiver.outgoing())

    assert sender.over
