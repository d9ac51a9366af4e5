"""The control socket, spoken to by real clients over real sockets."""

import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.location import DIGEST, MemoryLocation
from tests.support.memory_engine import MemoryEngine
from tests.support.waiting import wait_for
from tfd.protocol.commands import Role
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.heartbeat import MISSED
from tfd.protocol.session import State as SessionState
from tflocation.engines.interface import State
from tflocation.limits import MIB, Limits
from tflocation.sessions import WINDOW

LIMIT = 30.0
HEARTBEAT = 1.0
"""Seconds: short to wait for, and three of them are longer than a busy machine stands still."""

TCP_PROBE = {"kind": "tcp", "port": 1, "interval": 0.2, "timeout": 1.0, "rise": 1, "fall": 2}


def create(client: Client, name: str = "prod/web/0", key: str = "k", **more: object) -> str:
    """Create a container and give its id."""
    body = client.call("container.create", name=name, key=key, image="web", config=more)
    container_id: str = body["container"]["id"]
    return container_id


def failure(client: Client, command: str, **parameters: Any) -> CommandError:
    """Give the error that a command is answered with."""
    with pytest.raises(CommandError) as caught:
        client.call(command, **parameters)
    return caught.value


def test_a_guest_joins_and_is_an_account_from_then_on(location: MemoryLocation) -> None:
    """An invite's token makes the connection's key an account, in this session and in later ones."""
    token = location.invite("alice")
    with location.client() as client:
        client.open()
        assert client.session.welcome is not None
        assert client.session.welcome.role is Role.GUEST
        assert failure(client, "container.list").code == Code.DENIED

        assert client.call("join", token=token) == {"account": "alice", "role": "user"}

        assert client.call("container.list") == {"containers": []}
        with location.client(client.pair) as again:
            again.open()
            assert again.session.welcome is not None
            assert again.session.welcome.account == "alice"


def test_a_token_works_once(location: MemoryLocation) -> None:
    """A second key cannot join with a token that was used; the first may repeat itself."""
    token, _other = location.invite("alice"), location.invite("bob")
    with location.client() as first, location.client() as second:
        first.open().call("join", token=token)

        assert failure(second.open(), "join", token=token).code == Code.DENIED
        assert first.call("join", token=token)["account"] == "alice"


def test_an_expired_invite_does_not_let_in(location: MemoryLocation) -> None:
    """An invite is worth nothing after its end, even while another one keeps the door open."""
    token, _other = location.invite("alice", expires=-1), location.invite("bob")
    with location.client() as client:
        assert failure(client.open(), "join", token=token).code == Code.DENIED


def test_an_unknown_key_gets_nowhere_without_an_open_invite(location: MemoryLocation) -> None:
    """The handshake of a key that is no account fails, and is counted."""
    with location.member("admin", Role.ADMIN) as admin, location.client() as stranger:

        def refused() -> bool:
            stranger.step()
            counters = admin.call("location.status")["counters"]
            return bool(counters.get("handshakes of unknown keys"))

        wait_for(refused, LIMIT, "the handshake to be refused")
        assert stranger.session.state is SessionState.GREETING


def test_revocation_ends_the_session_at_once_and_says_so_later(location: MemoryLocation) -> None:
    """A revoked account's session ends with the reason, and its key is told the same when it returns."""
    with location.member("alice") as client:
        location.revoke("alice")

        client.until(lambda: client.refused, LIMIT, "the session to end")

        assert client.refused is not None
        assert client.refused.code == Code.REVOKED
        assert client.wait_event("session.ended")["code"] == Code.REVOKED
        client.refused = None
        client.connect()
        client.until(lambda: client.refused, LIMIT, "the refusal")


def test_an_account_sees_nothing_of_another_one(location: MemoryLocation) -> None:
    """Containers and volumes of another account do not exist for this one, whatever it asks."""
    with location.member("alice") as alice, location.member("bob") as bob:
        container = create(alice, volumes=[["prod/data", "/data"]])

        for command in ("container.get", "container.start", "container.stop"):
            assert failure(bob, command, id=container).code == Code.NOT_FOUND
        assert failure(bob, "ticket.take", id=container, port=80, count=1).code == Code.NOT_FOUND
        assert failure(bob, "health.watch", id=container, probe=TCP_PROBE).code == Code.NOT_FOUND
        pairs = [[container, "web", container]]
        assert failure(bob, "connections.set", environment="prod", pairs=pairs).code == Code.NOT_FOUND
        assert failure(bob, "volume.destroy", name="prod/data").code == Code.NOT_FOUND
        assert bob.call("container.destroy", id=container) == {}
        assert bob.call("container.list") == {"containers": []}
        assert bob.call("volume.list") == {"volumes": []}
        assert alice.call("container.get", id=container)["container"]["state"] == "running"
        assert not [event for event in bob.events if event.name.startswith("container")]


def test_a_creation_is_done_once_however_often_it_is_asked_for(location: MemoryLocation) -> None:
    """The same account, name and key give one container, over a cut and from a second session too."""
    location.call(location.engine.creation.clear)
    with location.member("alice") as client, location.client(client.pair) as second:
        asked = client.ask("container.create", name="prod/web/0", key="k", image="web", config={})
        also = second.open().ask("container.create", name="prod/web/0", key="k", image="web", config={})
        client.call("node.list")
        client.connect()
        client.open()
        location.call(location.engine.creation.set)

        first = client.answer(asked)["container"]["id"]

        assert second.answer(also)["container"]["id"] == first
        assert create(client) == first
        assert location.engine.created == 1


def test_a_slow_call_delays_neither_heartbeats_nor_others(location: MemoryLocation) -> None:
    """While a creation takes longer than three heartbeats the session lives and answers."""
    location.call(location.engine.creation.clear)
    with location.member("alice", heartbeat=HEARTBEAT) as client:
        asked = client.ask("container.create", name="prod/web/0", key="k", image="web", config={})
        end = time.monotonic() + (MISSED + 1) * HEARTBEAT
        while time.monotonic() < end:
            client.call("node.list")
            client.step(0.1)
        location.call(location.engine.creation.set)

        assert client.answer(asked)["container"]["state"] == "running"
        assert client.session.state is SessionState.OPEN


def test_limits_say_which_how_much_and_what_was_asked(tmp_path: Path) -> None:
    """One container, byte of memory or byte of volumes too many is refused with the figures."""
    limits = Limits(
        containers=2, memory=100 * MIB, volumes=10 * MIB, container_memory=40 * MIB, volume_size=8 * MIB
    )
    with MemoryLocation(tmp_path, limits=limits) as location, location.member("alice") as client:
        create(client, "prod/a/0")
        config = {"memory": 61 * MIB}
        memory = failure(client, "container.create", name="prod/b/0", key="k", image="web", config=config)
        assert (memory.code, "100 MiB" in memory.message, "61 MiB" in memory.message) == ("limit", True, True)
        create(client, "prod/b/0", memory=60 * MIB)
        count = failure(client, "container.create", name="prod/c/0", key="k", image="web", config={})
        assert (count.code, "containers" in count.message) == ("limit", True)

        client.call("volume.ensure", name="prod/one")
        volumes = failure(client, "volume.ensure", name="prod/two")
        assert (volumes.code, "10 MiB" in volumes.message) == ("limit", True)
        grown = client.call("volume.ensure", name="prod/one", size=10 * MIB)
        assert grown["volume"]["size"] == 10 * MIB


def test_limits_hold_against_creations_at_the_same_time(tmp_path: Path) -> None:
    """Two creations under way count, though the engine lists neither yet."""
    with (
        MemoryLocation(tmp_path, limits=Limits(containers=1)) as location,
        location.member("alice") as client,
    ):
        location.call(location.engine.creation.clear)
        first = client.ask("container.create", name="prod/a/0", key="k", image="web", config={})
        second = failure(client, "container.create", name="prod/b/0", key="k", image="web", config={})
        location.call(location.engine.creation.set)

        assert second.code == Code.LIMIT
        assert client.answer(first)["container"]["name"] == "prod/a/0"


def test_changes_at_the_engine_are_told_to_the_owner(location: MemoryLocation) -> None:
    """What happens to a container behind the service's back reaches its owner's sessions."""
    with location.member("alice") as client:
        container = create(client)
        location.call(location.engine.change, container, State.FAILED)
        changed = client.wait_event("container.changed", lambda body: body["container"]["state"] == "failed")
        location.call(location.engine.remove, container)

        assert changed["container"]["id"] == container
        assert client.wait_event("container.gone") == {"id": container}


def test_tickets_are_given_while_the_engine_is_away(location: MemoryLocation) -> None:
    """A restart of the engine stops no new connection; what needs the engine is unavailable meanwhile."""
    with location.member("alice") as client:
        container = create(client)
        location.call(location.engine.lose)

        ticket = client.call("ticket.take", id=container, port=80, count=2)

        assert len(ticket["tickets"]) == 2
        assert failure(client, "container.list").code == Code.UNAVAILABLE
        location.call(location.engine.come_back)
        assert len(client.call("container.list")["containers"]) == 1


def test_no_ticket_to_a_container_that_does_not_run(location: MemoryLocation) -> None:
    """A stopped container's address may be another's: no channel is opened to it."""
    with location.member("alice") as client:
        container = create(client)
        client.call("container.stop", id=container)
        assert failure(client, "ticket.take", id=container, port=80, count=1).code == Code.UNAVAILABLE


def test_everybody_is_told_that_the_engine_never_answered(tmp_path: Path) -> None:
    """Before the accounts are known, a client gets `unavailable` instead of silence, and comes in later."""
    engine = MemoryEngine()
    with MemoryLocation(tmp_path / "first", engine) as first, first.member("alice") as alice:
        pair = alice.pair
    engine.available = False
    with MemoryLocation(tmp_path / "second", engine) as second, second.client(pair) as client:
        client.until(
            lambda: client.session.state is SessionState.DISCONNECTED, LIMIT, "the answer unavailable"
        )
        second.call(engine.come_back)

        def greeted() -> bool:
            if client.session.state is SessionState.DISCONNECTED:
                client.connect()
            client.step()
            return client.session.state is SessionState.OPEN

        wait_for(greeted, LIMIT, "the session to open")


def test_health_is_told_when_it_changes_and_again_after_a_cut(location: MemoryLocation) -> None:
    """A port that answers is good, one that stops is not; a client that returns is told the present state."""
    with socket.create_server(("127.0.0.1", 0)) as server, location.member("alice") as client:
        container = create(client)
        probe = TCP_PROBE | {"port": server.getsockname()[1]}
        client.call("health.watch", id=container, probe=probe)
        assert client.wait_event("container.health")["good"] is True
        client.connect()
        assert client.open().wait_event("container.health")["good"] is True
        server.close()

        bad = client.wait_event("container.health", lambda body: not body["good"])

        assert bad["id"] == container
        assert "refused" in bad["reason"]


def test_connections_are_one_set_for_each_account_and_environment(location: MemoryLocation) -> None:
    """A new set replaces the old one of its environment alone, and survives the service."""
    with location.member("alice") as alice, location.member("bob") as bob:
        a, b = create(alice, "prod/a/0"), create(alice, "prod/b/0")
        c, d = create(bob, "prod/c/0"), create(bob, "test/d/0")
        alice.call("connections.set", environment="prod", pairs=[[a, "b", b], [b, "a", a]])
        bob.call("connections.set", environment="prod", pairs=[[c, "self", c]])
        assert location.engine.allowed == {(a, b), (b, a), (c, c)}
        assert location.engine.hosts[a] == {"b": "127.0.0.1"}

        alice.call("connections.set", environment="prod", pairs=[[a, "b", b]])
        assert location.engine.allowed == {(a, b), (c, c)}
        wrong = failure(bob, "connections.set", environment="prod", pairs=[[c, "d", d]])
        assert wrong.code == Code.BAD_PARAMETER

    engine = location.engine
    engine.allowed = set()
    with MemoryLocation(location.directory / "again", engine):
        wait_for(lambda: engine.allowed == {(a, b), (c, c)}, LIMIT, "the pairs to be set again")


def test_administrators_invite_list_and_revoke(location: MemoryLocation) -> None:
    """An administrator does over the wire what the command line does; a user may not."""
    with location.member("root", Role.ADMIN) as admin, location.member("alice") as user:
        asked: dict[str, Any] = {
            "name": "carol",
            "role": "user",
            "expires": 60.0,
            "address": "home.example:2020",
        }
        assert failure(user, "account.invite", **asked).code == Code.DENIED
        line = admin.call("account.invite", **asked)["invite"]
        assert line.startswith("carol@home.example:2020/")
        assert {row["name"] for row in admin.call("account.list")["accounts"]} == {"root", "alice"}

        admin.call("account.revoke", name="alice")

        user.until(lambda: user.refused, LIMIT, "the user's session to end")


def test_blobs_are_resumed_and_verified(location: MemoryLocation) -> None:
    """A blob larger than the window arrives under credit; a wrong one is refused with code digest."""
    content = os.urandom(WINDOW + 100_000)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with location.member("alice") as client:
        client.put_blob(digest, content)
        number = client.ask("blob.put", digest=digest, size=len(content))
        assert client.answer(number) == {"offset": len(content)}
        with pytest.raises(CommandError) as caught:
            client.put_blob("sha256:" + "0" * 64, b"something else")
        assert caught.value.code == Code.DIGEST
        create(client, files={"/etc/thing": {"digest": digest, "mode": 0o600}})


def test_the_image_of_the_fixture_is_the_one_that_containers_get(location: MemoryLocation) -> None:
    """A name is resolved to the digest that the location has."""
    with location.member("alice") as client:
        assert client.call("image.find", name="web") == {"image": DIGEST}
        assert client.call("image.find", name="other") == {"image": None}
        create(client)
        assert client.call("container.list")["containers"][0]["image"] == DIGEST
