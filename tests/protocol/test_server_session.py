"""The location's end against hostile clients: each gets an answer, nothing is raised, memory is bounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.pair import Pair, make_server
from tests.protocol.strategies import messages
from tfd.protocol.errors import CommandError
from tfd.protocol.messages import Kind, Message, decode, encode
from tfd.protocol.server_session import KEPT_ANSWERS, MAX_CALL_BYTES, MAX_CALLS, MAX_STREAMS
from tfd.protocol.session import Attached, Called, Lost, ServerSession, ServerState, session_id_of

HELLO = {
    "versions": [1],
    "session": b"s" * 16,
    "resume": False,
    "ciphers": ["chacha20poly1305"],
    "program": "evil 1.0",
}
CREATE = {"name": "prod/web/0", "key": "k1", "image": "nginx", "config": {}}
PUT = {"digest": "sha256:" + "0" * 64, "size": 1}


def request(request_id: int, name: str, params: dict[str, Any]) -> bytes:
    """Give the frame of a request."""
    return encode(Message(Kind.REQUEST, request_id, name, params))


def opened() -> ServerSession:
    """Give a session that was greeted, its welcome drained."""
    server = make_server()
    server.receive(request(1, "hello", HELLO), 0.0)
    server.outgoing()
    return server


def answers(server: ServerSession) -> list[tuple[int, str, str]]:
    """Drain the errors for the client: id, code and message of each."""
    drained = [decode(frame) for frame in server.outgoing()]
    return [(each.id, each.name, each.body["message"]) for each in drained if each.kind is Kind.ERROR]


@given(st.lists(messages | st.binary(max_size=60), max_size=30), st.booleans())
def test_whatever_a_client_sends_nothing_is_raised(frames: list[Message | bytes], greeted: bool) -> None:
    """Any frames in any state give events and decodable answers, at most one for each."""
    server = opened() if greeted else make_server()
    for frame in frames:
        server.receive(encode(frame) if isinstance(frame, Message) else frame, 0.0)
        assert len([decode(answer) for answer in server.outgoing()]) <= 1


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        (b"rubbish", "malformed", "the message is not MessagePack"),
        (
            encode(Message(Kind.REPLY, 5, "node.list", {})),
            "malformed",
            "a client does not send reply node.list",
        ),
        (encode(Message(Kind.EVENT, 0, "container.gone", {})), "malformed", "a client does not send event"),
        (request(5, "node.explode", {}), "unknown-command", "'node.explode' is not a command"),
        (
            request(5, "hello", HELLO | {"session": b"t" * 16}),
            "bad-parameter",
            "hello: this connection has another",
        ),
        (request(5, "hello", {}), "bad-parameter", "hello: versions is missing"),
    ],
)
def test_nonsense_is_answered_and_counted(frame: bytes, code: str, message: str) -> None:
    """The sender learns what is wrong, and the session stays open for what is right."""
    server = opened()
    assert server.receive(frame, 0.0) == []
    ((_, found, text),) = answers(server)

    assert found == code
    assert text.startswith(message)
    assert server.counters[code] == 1
    assert server.receive(request(6, "node.list", {}), 0.0) == [Called(6, "node.list", {})]


def test_a_stranger_that_never_greets_is_given_up() -> None:
    """A connection that sends other things than hello has as long as a silent one."""
    server = make_server()
    for second in range(6):
        assert server.tick(float(second)) == []
        server.receive(b"rubbish", float(second))

    assert [type(event) for event in server.tick(6.0)] == [Lost]
    assert server.state is ServerState.CLOSED
    assert server.receive(request(1, "hello", HELLO), 6.0) == []


def test_calls_that_wait_are_bounded_in_number() -> None:
    """One client cannot fill the location with unanswered calls."""
    server = opened()
    for number in range(2, MAX_CALLS + 2):
        server.receive(request(number, "node.list", {}), 0.0)
    server.receive(request(MAX_CALLS + 2, "node.list", {}), 0.0)
    assert [code for _, code, _ in answers(server)] == ["busy"]
    server.reply(2, {})

    assert server.receive(request(MAX_CALLS + 2, "node.list", {}), 0.0)


def test_calls_that_wait_are_bounded_in_bytes() -> None:
    """Nor with a few large ones."""
    server = opened()
    large = {"config": PUT["digest"], "manifest": b"x" * (512 * 1024), "names": []}
    called = 0
    for number in range(2, 102):
        called += len(server.receive(request(number, "image.commit", large), 0.0))

    assert called * 512 * 1024 <= MAX_CALL_BYTES
    assert {code for _, code, _ in answers(server)} == {"busy"}


def test_open_streams_are_bounded() -> None:
    """A stream more is refused until one is over."""
    server = opened()
    for number in range(2, MAX_STREAMS + 3):
        server.receive(request(number, "blob.put", PUT), 0.0)
    assert [code for _, code, _ in answers(server)] == ["busy"]
    server.fail(2, CommandError("digest", "wrong"))

    assert server.receive(request(MAX_STREAMS + 3, "blob.put", PUT), 0.0)


def test_kept_answers_are_bounded_and_a_forgotten_one_is_not_executed_again() -> None:
    """What cannot be told any more is refused rather than done twice."""
    server = opened()
    for number in range(2, KEPT_ANSWERS + 4):
        server.receive(request(number, "container.create", CREATE), 0.0)
        server.reply(number, {"id": f"tf-{number}"})
    server.outgoing()

    assert server.receive(request(2, "container.create", CREATE), 0.0) == []
    assert [(number, code) for number, code, _ in answers(server)] == [(2, "unavailable")]
    assert server.receive(request(4, "container.create", CREATE), 0.0) == []
    assert [decode(frame).body for frame in server.outgoing()] == [{"id": "tf-4"}]


def test_only_a_hello_that_resumes_names_its_session() -> None:
    """The driver looks for an old session only when the client asks for it."""
    assert session_id_of(request(1, "hello", HELLO | {"resume": True})) == b"s" * 16
    assert session_id_of(request(1, "hello", HELLO)) is None
    assert session_id_of(request(1, "hello", {"resume": True})) is None
    assert session_id_of(request(1, "join", {})) is None
    assert session_id_of(b"rubbish") is None


def test_a_detached_session_answers_nothing_but_hello() -> None:
    """A frame of the old connection that comes late does nothing."""
    server = opened()
    server.disconnected(0.0)

    assert server.receive(request(5, "node.list", {}), 0.0) == []
    assert [(number, code) for number, code, _ in answers(server)] == [(0, "unavailable")]
    assert server.deadline() is None
    assert [type(event) for event in server.resume(request(6, "hello", HELLO | {"resume": True}), 1.0)] == [
        Attached
    ]
    assert server.state is ServerState.OPEN


def test_late_answers_of_handlers_are_counted_and_dropped() -> None:
    """A handler that ends after the session, or answers twice, does no harm."""
    pair = Pair().open()
    request_id = pair.ask("node.list")
    pair.location.reply(request_id, {})
    pair.location.reply(request_id, {})
    pair.location.fail(request_id, CommandError("engine", "gone"))
    pair.location.close("revoked", "no more")
    pair.location.fail(999, CommandError("engine", "gone"))

    assert pair.location.counters["late"] == 3
    assert pair.location.close("revoked", "twice") == []
