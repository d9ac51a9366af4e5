"""A relay's state on its way to another process; that no byte is lost there, test_relay.py shows."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.test_relay import CIPHER, KEY, SUSPENDED, TICKET, Pair, handed_over, opened, take
from tfd.protocol.channel import ChannelState, Phase, Role
from tfd.protocol.errors import UsageError
from tfd.protocol.records import pack, unpack
from tfd.protocol.relay import Relay, RelayState, Replay, State

counts = st.integers(0, (1 << 63) - 1)
channel_states = st.builds(
    ChannelState,
    st.just(CIPHER),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    counts,
    counts,
    st.sampled_from(Phase),
    st.sampled_from(Phase),
    st.none() | st.binary(max_size=50),
    st.binary(max_size=50),
)
relay_states = st.builds(
    RelayState,
    st.sampled_from(Role),
    st.sampled_from(State),
    channel_states,
    st.builds(Replay, st.binary(max_size=50), st.booleans()),
    st.booleans(),
    st.binary(max_size=50),
    st.binary(max_size=50),
)


@given(state=relay_states)
def test_every_state_comes_back(state: RelayState) -> None:
    """Nothing of a state is lost or changed between two processes."""
    assert unpack(RelayState, pack(state)) == state


@given(state=relay_states, data=st.binary(max_size=60))
def test_a_state_is_refused_or_works(state: RelayState, data: bytes) -> None:
    """Whatever is left in it, a relay that is resumed takes what comes from both sides without raising."""
    try:
        relay = Relay.resume(state)
    except UsageError:
        return
    relay.channel_received(data)
    if relay.plain_is_open:
        relay.plain_received(b"x")
        relay.plain_ended()
    relay.plain_reset()
    relay.channel_lost("over")


@pytest.mark.parametrize("end", ["opener", "location"])
def test_what_was_suspended_seals_nothing_more(end: str) -> None:
    """No count is used twice: the old object has no keys any more, and says so."""
    relay: Relay = getattr(opened(), end)
    relay.suspend()

    with pytest.raises(UsageError):
        relay.plain_received(b"x")
    relay.channel_received(b"\0\0\0\x11" + bytes(17))
    assert relay.state is State.ABORTED


def test_a_frame_begun_is_completed_by_the_next_process() -> None:
    """Half a frame goes along, the other half is received later."""
    pair = opened()
    pair.opener.plain_received(b"hello")
    frame = take(pair.opener.to_channel)
    pair.location.channel_received(frame[:9])
    location = handed_over(pair.location)
    location.channel_received(frame[9:])

    assert take(location.to_plain) == b"hello"


def test_what_no_socket_took_goes_along() -> None:
    """Unsent bytes of both directions are sent by the next process, after what was sent before."""
    pair = opened()
    pair.opener.plain_received(b"to the container")
    pair.location.plain_received(b"to the client")
    pair.carry()
    pair.opener.plain_sent(4)
    pair.location.plain_sent(4)
    opener, location = handed_over(pair.opener), handed_over(pair.location)

    assert take(opener.to_plain) == b"he client"
    assert take(location.to_plain) == b"he container"


def test_the_replay_goes_along() -> None:
    """A refusal after the hand-over still leaves all that the next try needs."""
    pair = Pair()
    pair.opener.plain_received(b"ahead")
    pair.opener.plain_ended()
    pair.opener = handed_over(pair.opener)
    pair.location.refused("it is starting")
    pair.carry()

    assert pair.opener.state is State.REFUSED
    assert pair.opener.replay == Replay(b"ahead", ended=True)


def test_the_rest_goes_along() -> None:
    """What came after the end, the next channel's opening, is not lost."""
    pair = opened()
    pair.opener.plain_ended()
    pair.location.plain_ended()
    pair.location.channel_received(take(pair.opener.to_channel) + b"TFC1" + TICKET)
    location = handed_over(pair.location)
    take(location.to_channel)
    location.plain_was_shut()

    assert location.reusable
    assert location.take_rest() == b"TFC1" + TICKET


def test_no_key_and_no_byte_is_in_its_text() -> None:
    """A state in a log line or a traceback gives nothing away."""
    pair = opened()
    pair.opener.plain_received(b"secret words")
    pair.carry()
    state = pair.location.suspend()
    text = repr(state)

    assert "secret" not in text
    for key in (state.channel.seal_key, state.channel.open_key):
        assert repr(key) not in text


@pytest.mark.parametrize("state", [state for state in State if state not in SUSPENDED])
def test_nothing_is_left_of_a_relay_that_is_over(state: State) -> None:
    """What was refused or lost cannot be suspended, nor made from a state."""
    relay = Relay.open(TICKET, KEY, CIPHER)
    template = relay.suspend()
    with pytest.raises(UsageError):
        Relay.resume(replace(template, state=state))


@pytest.mark.parametrize(
    "change",
    [
        {"cipher": "rot13"},
        {"seal_key": b"short"},
        {"open_key": b""},
        {"sealed": -1},
        {"opened": 1 << 63},
        {"phase": Phase.OVER},
        {"peer_phase": Phase.STREAM},
        {"partial": bytes(1 << 17)},
        {"partial": b"\0\0\0\x11" + bytes(17)},
        {"rest": bytes(1 << 18)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_channels_state_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    """Each field is checked before anything goes on with it."""
    state = Relay.open(TICKET, KEY, CIPHER).suspend()
    assert Relay.resume(state).state is State.OPENING
    with pytest.raises(UsageError):
        Relay.resume(replace(state, channel=replace(state.channel, **change)))  # type: ignore[arg-type]  # a table
