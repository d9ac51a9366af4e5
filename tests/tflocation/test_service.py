"""The service as a process on a real engine: what `tflocation` and its commands do."""

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import peer_image
from tests.support.client import Client
from tests.support.engine import private_engine
from tests.support.images import busybox_archive
from tests.support.product import Daemon, Location, Service
from tests.support.waiting import wait_for
from tfd.protocol.errors import Code
from tfd.protocol.invite import Invite, parse_invite
from tfd.protocol.session import State
from tflocation.development import PrivateEngine

pytestmark = pytest.mark.engine

LIMIT = 30.0
PROBE = {"kind": "tcp", "port": 80, "interval": 0.5, "timeout": 1.0, "rise": 1, "fall": 2}


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    """A private LXD."""
    with private_engine("lxd") as running:
        yield running


@pytest.fixture(scope="module")
def location(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A running tflocation, which has the image `peer`."""
    directory = tmp_path_factory.mktemp("location")
    running = Location(directory / "home", engine)
    running.start()
    try:
        peer_image.build(directory / "peer.tar", directory)
        running.add_image(directory / "peer.tar", "peer")
        yield running
    finally:
        running.stop()


def joined(location: Location, name: str) -> tuple[Client, Invite]:
    """Give a client that has joined by the line that `tflocation invite` printed."""
    invite = parse_invite(location.invite(name))
    client = Client(invite.port, invite.public, host=invite.host).open()
    client.call("join", token=invite.token)
    return client, invite


def test_a_container_is_created_probed_and_destroyed(location: Location) -> None:
    """From an invite to a container whose port answers, whose volume lasts, and which leaves nothing."""
    client, _ = joined(location, "alice")
    with client:
        config = {"volumes": [["prod/data", "/data"]], "memory": 64 << 20}
        asked: dict[str, Any] = {"name": "prod/web/0", "key": "one", "image": "peer", "config": config}
        container = client.call("container.create", limit=LIMIT, **asked)["container"]
        client.call("health.watch", id=container["id"], probe=PROBE)
        assert client.wait_event("container.health", lambda body: body["good"])["id"] == container["id"]
        assert client.call("container.create", **asked)["container"]["id"] == container["id"]
        assert len(client.call("ticket.take", id=container["id"], port=80, count=3)["tickets"]) == 3

        client.call("container.destroy", id=container["id"])
        again = client.call("container.create", limit=LIMIT, **(asked | {"key": "two"}))["container"]

        assert again["id"] != container["id"]
        assert [volume["name"] for volume in client.call("volume.list")["volumes"]] == ["prod/data"]
        assert {node["name"] for node in client.call("node.list")["nodes"]} >= {again["node"]}
        client.call("container.destroy", id=again["id"])
        assert client.call("container.list") == {"containers": []}
        client.call("volume.destroy", name="prod/data")


def test_the_commands_of_the_administrator(location: Location) -> None:
    """Accounts are listed, revoked at once, and the running service tells how it does."""
    client, invite = joined(location, "bob")
    with client:
        listed = location.command("--config", location.config, "accounts", "--json")
        assert {"name": "bob", "role": "user", "state": "joined"}.items() <= next(
            row for row in json.loads(listed.stdout) if row["name"] == "bob"
        ).items()
        assert "peer" in location.command("--config", location.config, "image", "list").stdout

        revoked = location.command("--config", location.config, "revoke", "bob")

        assert (revoked.returncode, revoked.stdout) == (0, "")
        client.until(lambda: client.refused, LIMIT, "the session to end")
        assert client.refused is not None
        assert client.refused.code == Code.REVOKED
    again = location.command("--config", location.config, "revoke", "bob")
    assert again.returncode == 1
    assert "bob" in again.stderr
    status = location.status()
    assert status is not None
    assert status["name"] == "home"
    assert status["engine"].startswith("LXD")
    table = location.command("--config", location.config, "status").stdout
    assert "uptime" in table
    assert invite.name == "bob"


def test_an_invite_is_one_line_that_a_shell_takes_as_it_is(location: Location) -> None:
    """Nothing else is printed, and no character of it means anything to a shell, a v6 address or not."""
    for number, address in enumerate(("127.0.0.1:2020", "[2001:db8::1]:2020", "home.example.net")):
        arguments = ("invite", f"guest-{number}", "--address", address)
        done = location.command("--config", location.config, *arguments)

        assert (done.returncode, done.stderr) == (0, "")
        line = done.stdout.removesuffix("\n")
        assert parse_invite(line).name == f"guest-{number}"
        assert re.fullmatch(r"[A-Za-z0-9@:/._\[\]-]+", line)
        heard = subprocess.run(["sh", "-c", f"printf %s {line}"], capture_output=True, text=True, check=True)
        assert heard.stdout == line


def test_used_revoked_and_expired_invites_are_refused_in_one_line(location: Location, tmp_path: Path) -> None:
    """`tfd join` says what to do and ends with exit code 1, whether or not another invite is open."""
    used, revoked = location.invite("erin"), location.invite("frank")
    soon = location.command("--config", location.config, "invite", "grace", "--expires", "1s").stdout.strip()
    assert Daemon(tmp_path / "first").command("join", used).returncode == 0
    location.command("--config", location.config, "revoke", "frank")
    expired = parse_invite(soon).expires
    wait_for(lambda: time.time() > expired, LIMIT, "the invite to expire")

    for others in (False, True):
        if others:
            location.invite("heidi")
        for line in (used, revoked, soon):
            done = Daemon(tmp_path / "second").command("join", line, "--name", "again")
            assert (done.returncode, done.stdout) == (1, "")
            assert len(done.stderr.splitlines()) == 1
            assert "ask for a new one" in done.stderr
            assert not (tmp_path / "second/state/locations/again.json").exists()


def test_an_image_beyond_its_size_is_refused(location: Location, tmp_path: Path) -> None:
    """`image_size` of the file bounds what an image may have unpacked."""
    config = tmp_path / "small.toml"
    config.write_text(location.config.read_text() + 'image_size = "64 KiB"\n')
    archive = busybox_archive(tmp_path / "busybox.tar")

    done = location.command("--config", config, "image", "add", archive, "toolarge")

    assert done.returncode == 1
    assert "65536 bytes" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_killed_service_and_a_killed_engine_lose_nothing(location: Location, engine: PrivateEngine) -> None:
    """After kill -9 of either, the account and its containers are there, and events come."""
    client, _ = joined(location, "carol")
    with client:
        asked: dict[str, Any] = {"name": "prod/web/0", "key": "one", "image": "peer", "config": {}}
        container = client.call("container.create", limit=LIMIT, **asked)["container"]["id"]
        location.kill()
        location.start()
        client.connect()
        client.open()
        assert client.session.welcome is not None
        assert client.session.welcome.account == "carol"

        def listed() -> bool:
            return bool(client.call("container.list")["containers"])

        wait_for(listed, LIMIT, "the container to be listed")
        engine.kill()
        assert len(client.call("ticket.take", id=container, port=80, count=1)["tickets"]) == 1
        with ThreadPoolExecutor() as aside:
            # The client's heartbeats go on meanwhile, however long that takes.
            starting = aside.submit(engine.run_daemon)
            client.until(starting.done, LIMIT, "the engine to run again")
            starting.result()

        def answers() -> bool:
            client.step()
            status = location.status()
            return status is not None and status["engine_trouble"] == ""

        wait_for(answers, LIMIT, "the engine to be followed again")
        assert client.session.state is State.OPEN
        client.call("container.stop", id=container, timeout=1.0)
        client.wait_event(
            "container.changed",
            lambda body: (body["container"]["id"], body["container"]["state"]) == (container, "stopped"),
        )
        client.call("container.destroy", id=container)


def test_a_port_that_is_taken_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """The message names the address; the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "tflocation.toml"
        config.write_text(
            f'listen = "127.0.0.1:{port}"\nchannel_listen = "127.0.0.1:0"\nengine = "/absent"\n'
        )
        other = Service("tflocation", tmp_path / "other", [])
        done = other.command("--config", config)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr


def test_sighup_takes_over_limits_and_refuses_a_wrong_file(location: Location) -> None:
    """A wrong file changes nothing; a right one changes what needs no restart."""
    before = location.config.read_text()
    try:
        location.config.write_text(before + "nonsense = 1\n")
        location.signal(signal.SIGHUP)
        wait_for(lambda: any("stays in force" in line for line in location.lines()), LIMIT, "the refusal")
        location.config.write_text(before + "[limits]\ncontainers = 0\n")
        location.signal(signal.SIGHUP)
        wait_for(lambda: any("reloaded" in line for line in location.lines()), LIMIT, "the reload")
        client, _ = joined(location, "dave")
        with client:
            number = client.ask("container.create", name="prod/a/0", key="k", image="peer", config={})
            with pytest.raises(Exception, match="limit is 0"):
                client.answer(number)
    finally:
        location.config.write_text(before)
        location.signal(signal.SIGHUP)
