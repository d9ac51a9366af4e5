"""Streams: credit in both directions, and faults that end a stream and nothing else."""

import pytest

from tests.protocol.pair import Pair
from tfd.protocol.errors import CommandError, ProtocolError, UsageError
from tfd.protocol.messages import MAX_CHUNK, Kind, Message, encode
from tfd.protocol.session import (
    Called,
    Failed,
    Replied,
    State,
    StreamAborted,
    StreamCredit,
    StreamData,
    StreamEnded,
)
from tfd.protocol.stream import MAX_CREDIT, Input, Stream
from tfd.protocol.stream import State as StreamState

PUT = {"digest": "sha256:" + "0" * 64, "size": 1 << 20}


def put(pair: Pair) -> int:
    """Ask for a stream and have it answered."""
    request_id = pair.ask("blob.put", PUT)
    pair.location.reply(request_id, {"offset": 0})
    pair.settle()
    return request_id


def test_a_blob_goes_up_under_credit() -> None:
    """Grant, data, end, and the location's end, which says that all is well."""
    pair = Pair().open()
    stream = put(pair)
    pair.location.grant(stream, 100)
    pair.settle()
    assert pair.client.credit(stream) == 100
    pair.client.send_stream(stream, b"a" * 60)
    pair.client.send_stream(stream, b"b" * 40)
    pair.client.end_stream(stream)
    pair.settle()
    pair.location.end_stream(stream)
    pair.settle()

    assert pair.told(StreamCredit) == [StreamCredit(stream, 100)]
    assert pair.heard(StreamData) == [StreamData(stream, b"a" * 60), StreamData(stream, b"b" * 40)]
    assert pair.heard(StreamEnded) == pair.told(StreamEnded) == [StreamEnded(stream)]


def test_the_location_sends_under_the_clients_credit() -> None:
    """The other direction has its own credit and end."""
    pair = Pair().open()
    stream = put(pair)
    with pytest.raises(UsageError):
        pair.location.send_stream(stream, b"x")
    pair.client.grant(stream, 5)
    pair.settle()
    pair.location.send_stream(stream, b"hello")
    pair.settle()

    assert pair.told(StreamData) == [StreamData(stream, b"hello")]


@pytest.mark.parametrize("size", [0, 101, MAX_CHUNK + 1])
def test_our_own_writer_cannot_pass_its_credit(size: int) -> None:
    """Beyond the credit, and over a chunk's size, it is the caller's fault."""
    pair = Pair().open()
    stream = put(pair)
    pair.location.grant(stream, 100 if size < MAX_CHUNK else 1 << 20)
    pair.settle()

    with pytest.raises(UsageError):
        pair.client.send_stream(stream, b"x" * size)


@pytest.mark.parametrize(
    ("name", "bodies"),
    [
        ("data", [b"x" * 11]),
        ("data", [b"x" * 6, b"x" * 6]),
        ("data", [b""]),
        ("credit", [0]),
        ("end", [None, None]),
        ("credit", [-1]),
        ("credit", [MAX_CREDIT + 1]),
        ("credit", [MAX_CREDIT, 1]),
    ],
)
def test_a_peers_fault_aborts_its_stream_and_nothing_else(name: str, bodies: list[object]) -> None:
    """Both ends learn of the abort; the session and another stream go on."""
    pair = Pair().open()
    stream, other = put(pair), put(pair)
    pair.location.grant(stream, 10)
    pair.location.grant(other, 10)
    pair.settle()
    pair.to_server += [encode(Message(Kind.STREAM, stream, name, body)) for body in bodies]
    pair.settle()

    assert [event.id for event in pair.heard(StreamAborted)] == [stream]
    assert [event.id for event in pair.told(StreamAborted)] == [stream]
    assert pair.location.counters["stream-fault"] == 1
    pair.client.send_stream(other, b"goes on")
    pair.settle()
    assert pair.heard(StreamData)[-1] == StreamData(other, b"goes on")
    assert pair.client.state is State.OPEN


def test_a_client_guards_itself_likewise() -> None:
    """Data that the client did not ask for aborts the stream at its end."""
    pair = Pair().open()
    stream = put(pair)
    pair.to_client.append(encode(Message(Kind.STREAM, stream, "data", b"unasked")))
    pair.settle()

    assert [event.id for event in pair.told(StreamAborted)] == [stream]
    assert [event.id for event in pair.heard(StreamAborted)] == [stream]


def test_a_wrong_digest_ends_the_stream_with_its_code() -> None:
    """The request was answered already, so the error belongs to the stream."""
    pair = Pair().open()
    stream = put(pair)
    pair.location.fail(stream, CommandError("digest", "the blob is not what it should be"))
    pair.settle()

    assert pair.told(StreamAborted) == [StreamAborted(stream, "the blob is not what it should be", "digest")]
    assert pair.told(Failed) == []


def test_a_reconnect_cuts_streams_at_both_ends() -> None:
    """Bytes may have been lost with the connection, so the client asks anew from the offset."""
    pair = Pair().open()
    stream = put(pair)
    pair.location.grant(stream, 100)
    pair.settle()
    pair.connect()
    pair.settle()

    assert [event.id for event in pair.told(StreamAborted)] == [stream]
    assert [event.id for event in pair.heard(StreamAborted)] == [stream]
    assert pair.client.credit(stream) == 0
    with pytest.raises(UsageError):
        pair.client.send_stream(stream, b"x")
    pair.client.end_stream(stream)
    pair.client.grant(stream, 5)
    pair.location.grant(stream, 5)
    pair.settle()


def test_a_call_whose_stream_was_cut_is_to_be_asked_again() -> None:
    """A reply of a stream that is no more would leave the client without credit for ever."""
    pair = Pair().open()
    request_id = pair.ask("blob.put", PUT)
    pair.connect()
    pair.settle()
    pair.location.reply(request_id, {"offset": 0})
    pair.settle()

    assert pair.told(Replied) == []
    assert [(event.id, event.code) for event in pair.told(Failed)] == [(request_id, "unavailable")]


def test_a_request_with_a_stream_in_use_is_not_called_again() -> None:
    """A client that uses an id twice does not get two streams of one id."""
    pair = Pair().open()
    stream = put(pair)
    pair.to_server.append(encode(Message(Kind.REQUEST, stream, "blob.put", PUT)))
    pair.settle()

    assert len(pair.heard(Called)) == 1
    assert pair.location.counters["repeated"] == 1


def test_an_abort_reaches_the_other_end_in_one_line() -> None:
    """Either end may give up, and data under way is dropped without harm."""
    pair = Pair().open()
    stream = put(pair)
    pair.location.grant(stream, 100)
    pair.settle()
    pair.client.send_stream(stream, b"x")
    pair.location.abort_stream(stream, "disk\nfull")
    pair.settle()

    assert pair.told(StreamAborted) == [StreamAborted(stream, "disk full")]
    assert pair.heard(StreamAborted) == []
    assert pair.location.counters["stream-unknown"] == 1


def test_a_request_that_times_out_takes_its_stream_along() -> None:
    """The location learns that nobody will send."""
    pair = Pair().open()
    request_id = pair.ask("blob.put", PUT, timeout=1.0)
    pair.tick(1.0)
    pair.settle()

    assert [(event.id, event.code) for event in pair.told(Failed)] == [(request_id, "time-out")]
    assert pair.heard(StreamAborted) == [StreamAborted(request_id, "the request's time is over")]


def test_data_after_the_end_is_refused_on_both_sides() -> None:
    """Our own is a UsageError, the peer's a ProtocolError, whatever credit is left."""
    stream = Stream()
    stream.granted(10)
    stream.grant(10)
    assert stream.move(Input.END_SENT)
    assert not stream.move(Input.END_SENT)
    with pytest.raises(UsageError):
        stream.sent(1)
    assert stream.move(Input.END_RECEIVED)
    with pytest.raises(ProtocolError):
        stream.arrived(1)
    assert stream.state is StreamState.CLOSED


def test_credit_has_a_limit_at_both_ends() -> None:
    """Neither a peer nor our own caller makes a window without bounds."""
    stream = Stream()
    stream.granted(MAX_CREDIT)
    stream.grant(MAX_CREDIT)
    with pytest.raises(ProtocolError):
        stream.granted(1)
    with pytest.raises(UsageError):
        stream.grant(1)
