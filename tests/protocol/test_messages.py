"""Messages: what is encoded is decoded the same, and no other bytes do harm."""

import contextlib
import datetime as dt
import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import messages, values
from tfd.protocol.errors import ProtocolError, UsageError, VersionError
from tfd.protocol.messages import (
    MAX_CHUNK,
    MAX_ITEMS,
    MAX_MESSAGE,
    MAX_NESTING,
    Kind,
    Message,
    decode,
    encode,
    one_line,
)


def decode_or_refuse(frame: bytes) -> None:
    """Decode a frame that may be refused; every error but ProtocolError is the test's failure."""
    with contextlib.suppress(ProtocolError):
        decode(frame)


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    """Decoding is the inverse of encoding."""
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_decoded(frame: bytes) -> None:
    """Nothing but ProtocolError leaves decode."""
    decode_or_refuse(frame)


@given(messages, st.data())
def test_mutated_messages_are_refused_or_decoded(message: Message, data: st.DataObject) -> None:
    """Bytes flipped, cut, doubled or put in anywhere in a valid frame raise nothing but ProtocolError."""
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(frame)))
        end = data.draw(st.integers(start, min(len(frame), start + 8)))
        frame[start:end] = data.draw(st.binary(max_size=8))

    decode_or_refuse(bytes(frame))


@given(values)
def test_any_value_in_place_of_a_message_is_refused_or_decoded(value: object) -> None:
    """A well-formed value of another shape raises nothing but ProtocolError."""
    decode_or_refuse(msgpack.packb(value))


@pytest.mark.parametrize(
    "frame",
    [
        b"\x91" * 20_000 + b"\xc0",
        b"\x81\xa1a" * 20_000 + b"\xc0",
        b"\xdd\x00\x0f\xff\xff" * 200_000,
        b"\xdf\x00\x0f\xff\xff" * 200_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
    ids=["lists", "maps", "announced lists", "announced maps", "2^32 items", "2^32 bytes"],
)
def test_deep_and_boastful_frames_are_refused(frame: bytes) -> None:
    """Nesting and announced lengths beyond the limits end in a ProtocolError, not in memory."""
    with pytest.raises(ProtocolError):
        decode(frame)


def nested(depth: int) -> list[object]:
    """Give a message's fields whose deepest container has `depth` containers around it and itself."""
    value: object = {}
    for _ in range(depth - 3):
        value = [value]
    return [1, 1, 1, "node.list", {"x": value}]


def test_nesting_is_allowed_up_to_its_limit() -> None:
    """MAX_NESTING levels pass, one more is refused at either end."""
    decode(msgpack.packb(nested(MAX_NESTING)))
    too_deep = nested(MAX_NESTING + 1)

    with pytest.raises(ProtocolError, match="nested"):
        decode(msgpack.packb(too_deep))
    with pytest.raises(UsageError, match="nested"):
        encode(Message(Kind.REQUEST, 1, "node.list", too_deep[4]))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "a map, not an array"),
        ([], "not an array"),
        ([True, 1, 1, "a", {}], "version"),
        ([1], "1 fields"),
        ([1, 1, 1, "a", {}, 0], "6 fields"),
        ([1, 9, 1, "a", {}], "kind is 9"),
        ([1, 1, 0, "a", {}], "id"),
        ([1, 1, 1 << 53, "a", {}], "id"),
        ([1, 1, 1, "", {}], "name"),
        ([1, 1, 1, "a" * 65, {}], "name"),
        ([1, 1, 1, b"a", {}], "name"),
        ([1, 1, 1, "a", []], "the body is a list"),
        ([1, 1, 1, "a", {1: 2}], "an integer as a key"),
        ([1, 1, 1, "a", {"x": {b"k": 2}}], "bytes as a key"),
        ([1, 5, 1, "more", b""], "'more' is not known"),
        ([1, 5, 1, "data", "text"], "the body is text; allowed: bytes"),
        ([1, 5, 1, "credit", True], "the body is a boolean; allowed: an integer"),
        ([1, 5, 1, "data", b"x" * (MAX_CHUNK + 1)], "allowed: up to 65536"),
    ],
)
def test_a_wrong_field_is_named(fields: object, complaint: str) -> None:
    """The complaint says which field is wrong."""
    with pytest.raises(ProtocolError, match=complaint):
        decode(msgpack.packb(fields))


def test_lists_are_allowed_up_to_their_limit() -> None:
    """MAX_ITEMS pass, one more is refused at either end."""
    fits = Message(Kind.REPLY, 1, "a", {"x": [None] * MAX_ITEMS})
    assert decode(encode(fits)) == fits

    with pytest.raises(UsageError, match="4097 items"):
        encode(Message(Kind.REPLY, 1, "a", {"x": [None] * (MAX_ITEMS + 1)}))
    with pytest.raises(ProtocolError, match="4097"):
        decode(msgpack.packb([1, 2, 1, "a", {"x": [None] * (MAX_ITEMS + 1)}]))


@pytest.mark.parametrize("value", [msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 2)])
def test_extension_types_are_refused(value: object) -> None:
    """Neither unknown extensions nor timestamps come through."""
    with pytest.raises(ProtocolError):
        decode(msgpack.packb([1, 1, 1, "a", {"x": value}]))


def test_a_newer_version_is_told_from_rubbish() -> None:
    """A message of another version gives its number, whatever else it holds."""
    with pytest.raises(VersionError) as caught:
        decode(msgpack.packb([2, "quite", "another", "shape"]))

    assert caught.value.theirs == 2


def test_a_frame_over_the_limit_is_refused_at_both_ends() -> None:
    """1 MiB is the limit of a frame, not of its body."""
    with pytest.raises(ProtocolError, match="allowed: up to"):
        decode(b"\xc0" * (MAX_MESSAGE + 1))
    with pytest.raises(UsageError, match="allowed: up to"):
        encode(Message(Kind.REPLY, 1, "a", {"x": b"x" * MAX_MESSAGE}))


@pytest.mark.parametrize("value", [dt.timedelta(), 1 << 64, "\ud800", {1: 2}, object()])
def test_what_the_wire_cannot_carry_is_the_callers_fault(value: object) -> None:
    """Our own wrong value raises UsageError."""
    with pytest.raises(UsageError):
        encode(Message(Kind.REPLY, 1, "a", {"x": value}))


def test_numbers_that_are_none_come_through_for_check_to_refuse() -> None:
    """Whether a number may be infinite is the command's affair."""
    assert decode(encode(Message(Kind.REPLY, 1, "a", {"x": math.inf}))).body == {"x": math.inf}


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_a_peers_text_becomes_one_printable_line(text: str) -> None:
    """A log line cannot be forged or flooded by a peer's text."""
    line = one_line(text)

    assert line.isprintable()
    assert len(line) <= 1000
    assert "\n" not in line
