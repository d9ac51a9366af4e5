"""The client's end against a hostile location: nothing is raised, everything is counted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.pair import Pair, make_client
from tests.protocol.strategies import messages
from tfd.protocol.client_session import MAX_IN_FLIGHT, TRANSITIONS, Input
from tfd.protocol.messages import Kind, Message, encode
from tfd.protocol.session import Called, Failed, Lost, Opened, Refused, Replied, State

WELCOME = {
    "version": 1,
    "location": "home",
    "account": "vps",
    "role": "user",
    "resumed": False,
    "cipher": "chacha20poly1305",
    "heartbeat": 2.0,
    "channel_port": 2021,
}


def greet(changes: dict[str, Any]) -> tuple[State, list[type]]:
    """Answer a client's hello with a changed welcome; gives the state and the events' types."""
    client = make_client()
    client.connected(0.0)
    events = client.receive(encode(Message(Kind.REPLY, 1, "hello", WELCOME | changes)), 0.0)
    return client.state, [type(event) for event in events]


def test_a_newer_location_may_tell_more() -> None:
    """Fields that this program does not know are left alone."""
    assert greet({"weather": "fine"}) == (State.OPEN, [Opened])


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 7},
        {"cipher": "rot13"},
        {"heartbeat": 0.0},
        {"heartbeat": float("nan")},
        {"channel_port": 0},
        {"role": "king"},
        {"location": None},
    ],
)
def test_a_wrong_welcome_is_no_session(changes: dict[str, Any]) -> None:
    """The client drops such a location, and the driver may try again."""
    assert greet(changes) == (State.DISCONNECTED, [Lost])


@given(st.lists(messages | st.binary(max_size=60), max_size=30), st.booleans())
def test_whatever_a_location_sends_nothing_is_raised(frames: list[Message | bytes], opened: bool) -> None:
    """A client with requests under way takes any frames in any state."""
    pair = Pair()
    if opened:
        pair.open()
    ids = [pair.client.request(name, {}, 0.0, 9.0) for name in ("node.list", "blob.put", "container.create")]
    for frame in frames:
        events = pair.client.receive(encode(frame) if isinstance(frame, Message) else frame, 0.0)
        pair.client_events += events
    pair.tick(9.0)

    answered = [event.id for event in pair.client_events if isinstance(event, Replied | Failed)]
    assert sorted(answered) == ids


def test_frames_of_no_connection_are_dropped() -> None:
    """What comes after the driver dropped the transport has no meaning any more."""
    pair = Pair().open()
    pair.client.disconnected(0.0)

    assert pair.client.receive(encode(Message(Kind.EVENT, 0, "container.gone", {})), 0.0) == []
    assert pair.client.counters["stale"] == 1


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (b"rubbish", "malformed"),
        (encode(Message(Kind.REQUEST, 1, "hello", {})), "malformed"),
        (encode(Message(Kind.EVENT, 0, "container.exploded", {})), "event-unknown"),
        (encode(Message(Kind.REPLY, 99, "node.list", {})), "late"),
        (encode(Message(Kind.ERROR, 99, "busy", {})), "late"),
        (encode(Message(Kind.STREAM, 99, "end", None)), "stream-unknown"),
        (encode(Message(Kind.ERROR, 0, "malformed", {"message": "what?"})), "malformed-here"),
    ],
)
def test_what_is_dropped_is_counted(frame: bytes, counter: str) -> None:
    """Each kind of nonsense has its counter, and the session stays open."""
    pair = Pair().open()

    assert pair.client.receive(frame, 0.0) == []
    assert pair.client.counters[counter] == 1
    assert pair.client.state is State.OPEN


def test_an_answer_under_another_name_is_not_taken() -> None:
    """A location that mixes up its answers leaves the request to its time limit."""
    pair = Pair().open()
    request_id = pair.ask("node.list", timeout=5.0)
    pair.client_events += pair.client.receive(encode(Message(Kind.REPLY, request_id, "image.list", {})), 0.0)
    pair.tick(5.0)

    assert [type(event) for event in pair.client_events[1:]] == [Failed]


@pytest.mark.parametrize(
    ("code", "final"), [("denied", True), ("version", True), ("busy", False), ("new", False)]
)
def test_only_what_cannot_pass_is_final(code: str, final: bool) -> None:
    """A refusal that time may heal is a loss, after which the driver tries again."""
    pair = Pair()
    pair.connect()
    events = pair.client.receive(encode(Message(Kind.ERROR, 1, code, {"message": "no"})), 0.0)

    assert [type(event) for event in events] == [Refused if final else Lost]


def test_requests_beyond_the_limit_wait_for_answers() -> None:
    """The location never has more of one client's requests than it keeps answers for."""
    pair = Pair().open()
    ids = [pair.client.request("node.list", {}, 0.0, 60.0) for _ in range(MAX_IN_FLIGHT + 5)]
    pair.settle()
    assert len(pair.heard(Called)) == MAX_IN_FLIGHT
    for request_id in ids[:5]:
        pair.location.reply(request_id, {})
    pair.settle()

    assert [event.id for event in pair.heard(Called)] == ids


def test_a_refused_client_may_connect_anew() -> None:
    """A refusal holds until the driver tries again, as after an update."""
    assert TRANSITIONS[State.CLOSED, Input.CONNECTED] is State.GREETING


def test_every_state_takes_a_new_connection_and_its_end() -> None:
    """The driver never has to ask for the state before it tells what happened to its transport."""
    for state in State:
        assert TRANSITIONS[state, Input.CONNECTED] is State.GREETING
        assert (state, Input.DISCONNECTED) in TRANSITIONS
