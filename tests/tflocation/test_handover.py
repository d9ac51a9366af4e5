"""A restart of tflocation, which leaves its channels to the next process; a real tfd is in front of it."""

import asyncio
import hashlib
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dataplane import backend, echo, receive_all, receive_exactly
from tests.support.memory_engine import MemoryEngine
from tests.support.product import Daemon, Service, free_port
from tests.support.service_manager import ServiceManager, service_manager
from tests.support.waiting import wait_for
from tfd.protocol import keys
from tfd.protocol.commands import Role
from tfd.protocol.invite import Invite, format_invite
from tflocation.accounts import Accounts

pytestmark = pytest.mark.slow

WAIT = 30.0


@dataclass
class Stage:
    """A location and a daemon that has joined it, each under a service manager of its own."""

    location: Service
    manager: ServiceManager
    daemon: Daemon
    stack: ExitStack
    control: int

    def serve(self, port: int, to: int) -> None:
        """Have the daemon lead a port here to one of the container."""
        self.daemon.configure(
            '[container.web]\nimage = "web"\n'
            f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "web"\nport = {to}\n'
        )
        self.daemon.start()
        self.daemon.wait_ready()

    def begin(self) -> None:
        """Start the location and wait until it listens."""
        self.location.start()
        self.manager.wait("READY=1")

    def leave(self) -> None:
        """End the location as `systemctl restart` does."""
        assert self.location.process is not None
        self.manager.told.clear()
        self.location.signal(signal.SIGUSR2)
        assert self.location.process.wait(WAIT) == 0

    def restart(self) -> None:
        """Have another process in its place."""
        self.leave()
        self.begin()

    def lines(self, text: str) -> list[str]:
        """Give the location's log lines that have a text."""
        return [line for line in self.location.lines() if text in line]

    def connect(self, port: int) -> socket.socket:
        """Connect to a listener."""
        return self.stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))

    def opened(self, port: int, count: int) -> list[socket.socket]:
        """Give connections on which an answer has come."""
        connections = [self.connect(port) for _ in range(count)]
        for connection in connections:
            connection.sendall(b"hello")
        for connection in connections:
            assert receive_exactly(connection, 5) == b"hello"
        return connections


def _content(path: Path) -> bytes:
    """Write an engine's content with an open invite, and give its token."""
    engine = MemoryEngine()
    token, _ = asyncio.run(Accounts(engine).invite("box", Role.USER, 3600))
    path.write_bytes(pickle.dumps((asyncio.run(engine.load_memory()), {})))
    return token


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A running location and a daemon that has joined."""
    with ExitStack() as stack:
        for name in ("there", "here"):
            (tmp_path / name).mkdir()
        manager = stack.enter_context(service_manager(tmp_path / "there"))
        port, channel_port = free_port(), free_port()
        config = tmp_path / "tflocation.toml"
        config.write_text(
            f'name = "home"\nlisten = "127.0.0.1:{port}"\nchannel_listen = "127.0.0.1:{channel_port}"\n'
            f'address = "127.0.0.1:{port}"\n'
        )
        token = _content(tmp_path / "engine")
        location = Service("tests.support.kept_location", tmp_path / "there", [config, tmp_path / "engine"])
        location.prefix = manager.prefix()
        public = keys.load_or_create(tmp_path / "there" / "state" / "location.key").public
        stack.callback(location.stop)
        here = stack.enter_context(service_manager(tmp_path / "here"))
        daemon = Daemon(tmp_path / "here")
        daemon.prefix = here.prefix()
        stack.callback(daemon.stop)
        made = Stage(location, manager, daemon, stack, port)
        made.begin()
        expires = int(time.time() + 3600)
        daemon.join(format_invite(Invite("home", "127.0.0.1", port, public, token, expires)))
        yield made


def test_transfers_in_both_directions_go_on(stage: Stage) -> None:
    """Two restarts of the location in the middle of them: every byte arrives once."""
    content = os.urandom(24 << 20)
    digest = hashlib.sha256(content).digest()
    went_on = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        for at in range(0, len(content), 1 << 16):
            connection.sendall(content[at : at + (1 << 16)])
            if at > 1 << 20:
                went_on.set()
        connection.shutdown(socket.SHUT_WR)
        heard.append(hashlib.sha256(receive_all(connection)).digest())

    heard: list[bytes] = []
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(serve))[1])
    got: list[bytes] = []

    def client() -> None:
        connection = stage.connect(port)
        got.append(hashlib.sha256(receive_all(connection)).digest())
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert went_on.wait(WAIT)
    stage.restart()
    stage.restart()
    for thread in threads:
        thread.join(60)

    assert got == [digest] * 3
    wait_for(lambda: heard == [digest] * 3, WAIT, "the other direction")


def test_half_closed_and_idle_connections_go_along(stage: Stage) -> None:
    """An end that was said before the restart holds after it; who is silent is not forgotten."""
    go = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        connection.sendall(connection.recv(5))  # nothing from a health probe
        question = receive_all(connection)
        go.wait(WAIT)
        connection.sendall(question[::-1])

    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(serve))[1])
    half, idle = stage.opened(port, 2)
    half.sendall(b"question")
    half.shutdown(socket.SHUT_WR)
    stage.restart()
    go.set()
    assert receive_all(half) == b"noitseuq"
    idle.sendall(b"late")
    idle.shutdown(socket.SHUT_WR)
    assert receive_all(idle) == b"etal"


def test_both_ends_may_be_restarted_at_once(stage: Stage) -> None:
    """Tfd and tflocation in one moment: the connection between them waits for both."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    connections = stage.opened(port, 20)
    assert stage.daemon.process is not None
    stage.daemon.signal(signal.SIGUSR2)
    stage.leave()
    assert stage.daemon.process.wait(WAIT) == 0
    for connection in connections:
        connection.sendall(b"between")
    stage.begin()
    stage.daemon.start()
    for connection in connections:
        assert receive_exactly(connection, 7) == b"between"


def test_a_container_that_goes_meanwhile_takes_its_channels_along(stage: Stage, tmp_path: Path) -> None:
    """Nobody told of it, so the next process looks, and resets what leads to an address of yesterday."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    (connection,) = stage.opened(port, 1)
    stage.leave()
    memory, _ = pickle.loads((tmp_path / "engine").read_bytes())  # noqa: S301 - our own
    (tmp_path / "engine").write_bytes(pickle.dumps((memory, {})))
    stage.begin()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_state_of_another_schema_is_told_and_new_channels_are_served(stage: Stage) -> None:
    """The channels are reset with a line for each; new connections work."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    connections = stage.opened(port, 2)
    stage.leave()
    stage.manager.change("handover-state", lambda state: state.replace(b" 1\n", b" 99\n", 1))
    stage.begin()
    for connection in connections:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    stage.opened(port, 1)

    assert len(stage.lines("was reset in the restart")) == 2


def test_after_a_crash_the_channel_port_still_takes_connections(stage: Stage) -> None:
    """Kill -9: connections end as resets, new ones wait for the next process and are served."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    (connection,) = stage.opened(port, 1)
    stage.manager.told.clear()
    stage.location.kill()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    waiting = stage.connect(port)
    waiting.sendall(b"patience")
    stage.begin()

    assert receive_exactly(waiting, 8) == b"patience"


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_the_control_port_takes_connections_meanwhile(stage: Stage, end: str) -> None:
    """A client that comes between two processes waits for the next one, and is not refused."""
    if end == "restart":
        stage.leave()
    else:
        stage.location.kill()
        stage.manager.told.clear()
    waiting = stage.connect(stage.control)
    stage.begin()

    # The greeting of ZMTP 3 (https://rfc.zeromq.org/spec/23/, "signature").
    assert receive_exactly(waiting, 1) == b"\xff"


def test_a_stop_signal_of_systemd_alone_leaves_channels(stage: Stage) -> None:
    """While it reloads, systemd runs no ExecStop=: a SIGTERM may mean a restart and is taken for one."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    (connection,) = stage.opened(port, 1)
    stage.location.signal(signal.SIGHUP)
    assert stage.location.stop() == 0
    stage.begin()
    connection.sendall(b"again")

    assert receive_exactly(connection, 5) == b"again"


def test_a_stop_ends_channels_and_the_port(stage: Stage) -> None:
    """SIGINT leaves nothing to anybody."""
    port = free_port()
    stage.serve(port, stage.stack.enter_context(backend(echo))[1])
    (connection,) = stage.opened(port, 1)
    assert stage.location.stop(signal.SIGINT) == 0
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    wait_for(lambda: stage.manager.kept == [], WAIT, "the store to be empty")
