"""The channel's frames: two real ends against each other, and what a hostile peer can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.channel import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    MAX_REASON,
    PHASES,
    Channel,
    ChannelError,
    Frame,
    FrameType,
    Phase,
    Role,
    available_ciphers,
    opening,
    parse_opening,
    random_ticket,
)
from tfd.protocol.errors import UsageError

KEY = bytes(range(32))
CHACHA = "chacha20poly1305"


def pair(cipher: str = CHACHA) -> tuple[Channel, Channel]:
    """Both ends of one channel, the opener first."""
    return Channel(Role.OPENER, KEY, cipher), Channel(Role.LOCATION, KEY, cipher)


def test_every_machine_has_the_common_cipher() -> None:
    """ChaCha20-Poly1305 is on every list, and slowest, so last."""
    assert available_ciphers()[-1] == CHACHA


@pytest.mark.parametrize("cipher", available_ciphers())
@given(payloads=st.lists(st.binary(max_size=300), max_size=6), cuts=st.lists(st.integers(1, 50)))
def test_frames_arrive_whole_and_in_order_however_cut(
    cipher: str, payloads: list[bytes], cuts: list[int]
) -> None:
    """Whatever pieces the network makes of them, the frames that come out are those that went in."""
    opener, location = pair(cipher)
    wire = b"".join(opener.seal(FrameType.DATA, payload) for payload in payloads) + opener.seal(FrameType.END)
    received: list[Frame] = []
    for cut in cuts:
        received += location.receive(wire[:cut])
        wire = wire[cut:]
    received += location.receive(wire)

    expected = [Frame(FrameType.DATA, payload) for payload in payloads] + [Frame(FrameType.END, b"")]
    assert received == expected


def test_the_longest_payloads_pass() -> None:
    """A payload of the greatest length, and a reason of the greatest length, are no errors."""
    opener, location = pair()

    assert location.receive(opener.seal(FrameType.DATA, bytes(MAX_PAYLOAD)))[0].payload == bytes(MAX_PAYLOAD)
    assert opener.receive(location.seal(FrameType.REFUSED, b"r" * MAX_REASON))[0].payload == b"r" * MAX_REASON


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_changed_bit_is_noticed(at: int, bit: int) -> None:
    """A frame with one bit changed gives an error, or waits for bytes that never come; it is never opened."""
    opener, location = pair()
    wire = bytearray(opener.seal(FrameType.DATA, b"payload"))
    wire[at % len(wire)] ^= 1 << bit
    try:
        assert location.receive(wire) == []
    except ChannelError:
        return


@given(length=st.integers(MAX_PAYLOAD + 17, 2**24 - 1))
def test_too_long_a_length_is_an_error_before_any_payload(length: int) -> None:
    """An announced length beyond the limit closes at the header: nothing is waited for or kept."""
    _, location = pair()
    with pytest.raises(ChannelError, match="length"):
        location.receive(length.to_bytes(HEADER_SIZE, "big"))


def test_a_repeated_frame_is_an_error() -> None:
    """Each frame opens once: the count of frames is in its seal."""
    opener, location = pair()
    wire = opener.seal(FrameType.DATA, b"once")
    location.receive(wire)
    with pytest.raises(ChannelError):
        location.receive(wire)


def test_a_frame_left_out_is_an_error() -> None:
    """A frame opens only in its place."""
    opener, location = pair()
    opener.seal(FrameType.DATA, b"first")
    with pytest.raises(ChannelError):
        location.receive(opener.seal(FrameType.DATA, b"second"))


def test_a_frame_sent_back_is_an_error() -> None:
    """The directions have keys of their own, so a reflected frame does not open."""
    opener, _ = pair()
    wire = opener.seal(FrameType.DATA, b"mirror")
    with pytest.raises(ChannelError):
        opener.receive(wire)


def test_another_key_or_cipher_does_not_open() -> None:
    """A channel of another ticket is no channel."""
    opener, _ = pair()
    other = Channel(Role.LOCATION, bytes(32), CHACHA)
    with pytest.raises(ChannelError):
        other.receive(opener.seal(FrameType.DATA, b"x"))


def test_nothing_but_a_reset_follows_an_end() -> None:
    """After END, data is an error and RESET is not."""
    opener, location = pair()
    location.receive(opener.seal(FrameType.END))
    with pytest.raises(UsageError):
        opener.seal(FrameType.DATA, b"late")

    assert location.receive(opener.seal(FrameType.RESET)) == [Frame(FrameType.RESET, b"")]


@given(frame_type=st.sampled_from(FrameType), first=st.sampled_from(["opener", "location"]))
def test_only_what_the_table_allows_may_be_sealed_first(frame_type: FrameType, first: str) -> None:
    """The first frame of each direction is one that the table has for it."""
    opener, location = pair()
    end, phase = (opener, Phase.STREAM) if first == "opener" else (location, Phase.ANSWER)
    if (phase, frame_type) in PHASES:
        assert end.seal(frame_type)
    else:
        with pytest.raises(UsageError):
            end.seal(frame_type)


@given(rest=st.binary(max_size=200))
def test_bytes_after_both_ends_are_the_next_openings(rest: bytes) -> None:
    """A channel that ended both ways hands over what came after it, untouched."""
    opener, location = pair()
    opener.receive(location.seal(FrameType.OPENED) + location.seal(FrameType.END))
    location.receive(opener.seal(FrameType.END) + rest)

    assert location.ended
    assert location.take_rest() == rest
    assert location.take_rest() == b""


@given(ticket=st.binary(min_size=16, max_size=16))
def test_an_opening_names_its_ticket(ticket: bytes) -> None:
    """What `opening` writes, `parse_opening` reads."""
    assert parse_opening(opening(ticket)) == ticket


@given(data=st.binary(max_size=40))
def test_anything_else_is_no_opening(data: bytes) -> None:
    """Bytes without the magic or of another length are refused."""
    if not (len(data) == 20 and data.startswith(b"TFC1")):
        with pytest.raises(ChannelError):
            parse_opening(data)


def test_wrong_keys_and_ciphers_are_the_callers_mistake() -> None:
    """A key of another length, an unknown cipher or a short ticket raise UsageError."""
    with pytest.raises(UsageError):
        Channel(Role.OPENER, b"short", CHACHA)
    with pytest.raises(UsageError):
        Channel(Role.OPENER, KEY, "rot13")
    with pytest.raises(UsageError):
        opening(b"short")


def test_tickets_are_random() -> None:
    """No two tickets are the same."""
    assert len({random_ticket() for _ in range(100)}) == 100


@given(data=st.lists(st.binary(max_size=100), max_size=10))
def test_random_bytes_raise_nothing_but_channel_errors(data: list[bytes]) -> None:
    """Whatever a stranger sends, the answer is frames or ChannelError; no frame is ever forged."""
    opener, location = pair()
    for end in (opener, location):
        try:
            for piece in data:
                assert end.receive(piece) == []
        except ChannelError:
            continue
