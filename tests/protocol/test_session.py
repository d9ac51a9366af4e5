"""Both ends of a session against each other: greeting, requests, heartbeats, and coming back."""

import msgpack
import pytest

from tests.protocol.pair import HEARTBEAT, Pair, make_client, make_server
from tfd.protocol.commands import Role
from tfd.protocol.errors import CommandError, UsageError
from tfd.protocol.session import (
    Attached,
    Called,
    Event,
    Failed,
    Lost,
    Opened,
    Refused,
    Replied,
    ServerState,
    State,
)

CREATE = {"name": "prod/web/0", "key": "k1", "image": "nginx", "config": {}}
INVITE = {"name": "bob", "role": "user", "expires": 60, "address": "vps:2020"}


def test_a_session_opens_with_what_both_ends_know() -> None:
    """The welcome tells all that the client needs, and the location learns who greets."""
    pair = Pair().open()

    (opened,) = pair.told(Opened)
    assert opened.welcome == pair.client.welcome
    assert (opened.welcome.location, opened.welcome.account, opened.welcome.role) == (
        "home",
        "vps",
        Role.USER,
    )
    assert (opened.welcome.cipher, opened.welcome.channel_port) == ("chacha20poly1305", 2021)
    assert pair.heard(Attached) == [Attached(b"0123456789abcdef", "tfd 0.1.0", resumed=False)]
    assert (pair.client.state, pair.location.state) == (State.OPEN, ServerState.OPEN)


def test_a_request_asked_early_waits_for_the_session() -> None:
    """A caller need not know whether there is a connection."""
    pair = Pair()
    request_id = pair.client.request("node.list", {}, 0.0, 60.0)
    pair.open()

    assert pair.heard(Called) == [Called(request_id, "node.list", {})]
    pair.location.reply(request_id, {"nodes": []})
    pair.settle()
    assert pair.told(Replied) == [Replied(request_id, "node.list", {"nodes": []})]


def test_a_failure_comes_with_its_code() -> None:
    """What the handler says reaches the caller, in one line."""
    pair = Pair().open()
    request_id = pair.ask("container.get", {"id": "tf-1"})
    pair.location.fail(request_id, CommandError("not-found", "no container\ntf-1"))
    pair.settle()

    assert pair.told(Failed) == [Failed(request_id, "container.get", "not-found", "no container tf-1")]


@pytest.mark.parametrize(
    ("name", "params", "code", "message"),
    [
        ("container.get", {"id": 5}, "bad-parameter", "container.get: id is 5; allowed: a container's id"),
        ("account.list", {}, "denied", "account.list: the account's role is user; allowed: admin"),
    ],
)
def test_the_location_refuses_what_the_table_forbids(
    name: str, params: dict[str, object], code: str, message: str
) -> None:
    """The driver never sees such a call; the counter does."""
    pair = Pair().open()
    request_id = pair.ask(name, params)

    assert pair.told(Failed) == [Failed(request_id, name, code, message)]
    assert pair.heard(Called) == []
    assert pair.location.counters[code] == 1


def test_our_own_wrong_request_is_told_at_once() -> None:
    """A command that is not in the table, or a value that has no wire form, is the caller's fault."""
    client = make_client()
    with pytest.raises(UsageError):
        client.request("node.explode", {}, 0.0, 1.0)
    with pytest.raises(UsageError):
        client.request("node.list", {"x": object()}, 0.0, 1.0)
    assert client.deadline() is None


def test_versions_without_overlap_are_named_with_both_programs() -> None:
    """The client learns which versions and programs do not fit, and stops until it connects anew."""
    pair = Pair(make_client(versions=[2, 3], program="tfd 9.0")).open()

    (refused,) = pair.told(Refused)
    assert refused.code == "version"
    for part in ("tflocation 0.1.0 speaks protocol version 1", "tfd 9.0 speaks 2, 3"):
        assert part in refused.message
    assert (pair.client.state, pair.location.state) == (State.CLOSED, ServerState.CLOSED)
    assert pair.client.deadline() is None


def test_a_message_of_a_newer_version_is_answered_with_both_versions() -> None:
    """A peer whose envelope is not ours gets an error that it may show."""
    pair = Pair()
    pair.connect()
    pair.to_server[:] = [msgpack.packb([2, "hello"])]
    pair.settle()

    (refused,) = pair.told(Refused)
    assert "tflocation 0.1.0 speaks protocol version 1, the client speaks 2" in refused.message
    assert pair.heard(Lost)


def test_a_location_of_a_newer_version_is_refused_with_both_versions() -> None:
    """The client says the same of a location whose envelope it cannot read."""
    pair = Pair()
    pair.connect()
    events = pair.client.receive(msgpack.packb([2, "welcome"]), 0.0)

    assert [type(event) for event in events] == [Refused]
    assert "tfd 0.1.0 speaks protocol version 1, the location speaks 2" in events[0].message  # type: ignore[union-attr]


def test_without_a_cipher_in_common_there_is_no_session() -> None:
    """The refusal names the ciphers that the location has."""
    pair = Pair(make_client(ciphers=["rot13"])).open()

    (refused,) = pair.told(Refused)
    assert refused.message == "no cipher in common; allowed: chacha20poly1305"


def test_idle_ends_keep_each_other_alive() -> None:
    """Heartbeats alone hold a session for an hour of silence."""
    pair = Pair().open()
    for _ in range(3600):
        pair.tick(1.0)
        pair.settle()

    assert (pair.client.state, pair.location.state) == (State.OPEN, ServerState.OPEN)
    assert pair.client_events[1:] == []


def test_the_shorter_heartbeat_holds_for_both() -> None:
    """A client that wants to notice a loss sooner gets it."""
    pair = Pair(make_client(heartbeat=0.5)).open()

    assert pair.told(Opened)[0].welcome.heartbeat == 0.5
    assert pair.location.deadline() == pair.client.deadline() == 0.5


def test_three_missed_heartbeats_end_it_at_both_ends() -> None:
    """A silent peer is gone after three intervals, and not before."""
    pair = Pair().open()
    pair.cut()
    pair.tick(3 * HEARTBEAT - 0.1)
    assert pair.told(Lost) == pair.heard(Lost) == []
    pair.tick(0.1)

    assert pair.told(Lost) == pair.heard(Lost) == [Lost("nothing was heard for 6 s")]
    assert (pair.client.state, pair.location.state) == (State.DISCONNECTED, ServerState.DETACHED)


def test_a_client_that_is_not_heard_is_told_so() -> None:
    """Where only one direction fails, the other one tells the client at once that it is lost."""
    location = make_server()
    client = make_client()
    client.connected(0.0)
    for frame in client.outgoing():
        location.receive(frame, 0.0)
    for frame in location.outgoing():
        client.receive(frame, 0.0)
    location.tick(3 * HEARTBEAT)
    (told,) = location.outgoing()

    assert [type(event) for event in client.receive(told, 3 * HEARTBEAT)] == [Lost]


def test_a_location_that_does_not_greet_is_lost() -> None:
    """A black hole after the connection is noticed like any other."""
    pair = Pair()
    pair.connect()
    pair.cut()
    pair.tick(6.0)

    assert pair.told(Lost)


def test_an_unanswered_request_fails_in_time() -> None:
    """A request has its limit with and without a connection; a late answer is dropped and counted."""
    pair = Pair().open()
    request_id = pair.ask("node.list", timeout=5.0)
    for _ in range(5):
        pair.tick(1.0)
        pair.settle()
    pair.location.reply(request_id, {})
    pair.settle()

    (failed,) = pair.told(Failed)
    assert (failed.id, failed.code) == (request_id, "time-out")
    assert pair.told(Replied) == []
    assert pair.client.counters["late"] == 1


def test_a_lost_answer_comes_after_a_resume_without_a_second_execution() -> None:
    """The location keeps the answer of a keyed request for the client that did not get it."""
    pair = Pair().open()
    request_id = pair.ask("container.create", CREATE)
    pair.location.reply(request_id, {"id": "tf-1"})
    pair.cut()
    pair.connect()
    pair.settle()

    assert pair.told(Replied) == [Replied(request_id, "container.create", {"id": "tf-1"})]
    assert len(pair.heard(Called)) == 1
    assert pair.told(Opened)[1].welcome.resumed


def test_a_call_that_still_runs_is_not_called_again() -> None:
    """The answer goes to the connection that the client has by then."""
    pair = Pair().open()
    request_id = pair.ask("container.create", CREATE)
    pair.connect()
    pair.settle()
    pair.location.reply(request_id, {"id": "tf-1"})
    pair.settle()

    assert len(pair.heard(Called)) == 1
    assert pair.told(Replied) == [Replied(request_id, "container.create", {"id": "tf-1"})]


def test_an_answer_given_while_the_client_is_away_is_not_lost() -> None:
    """Idempotent requests are simply called again."""
    pair = Pair().open()
    request_id = pair.ask("node.list")
    pair.cut()
    pair.tick(6.0)
    pair.location.reply(request_id, {"nodes": []})
    pair.connect()
    pair.settle()
    assert len(pair.heard(Called)) == 2
    pair.location.reply(request_id, {"nodes": []})
    pair.settle()

    assert pair.told(Replied) == [Replied(request_id, "node.list", {"nodes": []})]


def test_after_a_restart_of_the_location_only_harmless_requests_are_sent_again() -> None:
    """What has a key or does no harm twice is asked again; whether the rest was done is not known."""
    pair = Pair(role=Role.ADMIN).open()
    create = pair.ask("container.create", CREATE)
    listing = pair.ask("node.list")
    invite = pair.ask("account.invite", INVITE)
    pair.restart_location()
    pair.connect()
    pair.settle()

    assert [event.id for event in pair.heard(Called)[3:]] == [create, listing]
    assert [(event.id, event.code) for event in pair.told(Failed)] == [(invite, "unavailable")]
    assert not pair.told(Opened)[1].welcome.resumed


def test_a_restarted_location_says_so_at_the_first_message() -> None:
    """The client need not wait for missed heartbeats to learn that it has no session."""
    pair = Pair().open()
    pair.restart_location()
    pair.ask("node.list")

    assert pair.told(Lost) == [Lost("unavailable: this connection has no session: say hello first")]


def test_a_second_hello_on_the_same_connection_resumes() -> None:
    """A transport that reconnects below us brings the hello to the session that it had."""
    pair = Pair().open()
    request_id = pair.ask("node.list")
    pair.client.connected(pair.now)
    pair.settle()
    pair.location.reply(request_id, {})
    pair.settle()

    assert [event.resumed for event in pair.heard(Attached)] == [False, True]
    assert pair.told(Replied) == [Replied(request_id, "node.list", {})]


def test_a_revoked_account_is_told_why_and_stays_out() -> None:
    """The session ends at once at both ends, and the client does not try again by itself."""
    pair = Pair().open()
    request_id = pair.ask("node.list", timeout=5.0)
    pair.location.close("revoked", "the account was revoked")
    pair.settle()

    assert [event.name for event in pair.told(Event)] == ["session.ended"]
    assert pair.told(Refused) == [Refused("revoked", "the account was revoked")]
    assert (pair.client.state, pair.location.state) == (State.CLOSED, ServerState.CLOSED)
    pair.location.reply(request_id, {})
    pair.tick(5.0)
    assert [event.id for event in pair.told(Failed)] == [request_id]


def test_events_reach_an_open_session_alone() -> None:
    """While the client is away events are dropped: it asks for the whole state when it is back."""
    pair = Pair().open()
    pair.location.event("container.changed", {"id": "tf-1"})
    pair.settle()
    pair.location.disconnected(pair.now)
    pair.location.event("container.changed", {"id": "tf-2"})
    pair.connect()
    pair.settle()

    assert pair.told(Event) == [Event("container.changed", {"id": "tf-1"})]
    with pytest.raises(UsageError):
        pair.location.event("container.exploded", {})


def test_a_guest_becomes_a_user_by_joining() -> None:
    """The role may rise within a session."""
    pair = Pair(role=Role.GUEST, account="").open()
    join = pair.ask("join", {"token": b"t" * 16})
    denied = pair.ask("node.list")
    pair.location.set_role("vps", Role.USER)
    pair.location.reply(join, {"account": "vps", "role": "user"})
    allowed = pair.ask("node.list")

    assert [event.id for event in pair.heard(Called)] == [join, allowed]
    assert [(event.id, event.code) for event in pair.told(Failed)] == [(denied, "denied")]


def test_a_reply_that_fits_no_message_fails_the_request() -> None:
    """A handler's oversized answer is told to the client, and raises nowhere."""
    pair = Pair().open()
    request_id = pair.ask("container.list")
    pair.location.reply(request_id, {"containers": ["x" * 1000] * 2000})
    pair.settle()

    assert [(event.id, event.code) for event in pair.told(Failed)] == [(request_id, "limit")]
