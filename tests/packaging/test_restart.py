"""`systemctl restart tfd` under a real systemd, while connections are open."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.dataplane import is_reset
from tests.support.served import UNIT, Served, served
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 60.0


@pytest.fixture(scope="module")
def where(machine_root: Path) -> Iterator[Served]:
    """A booted machine whose tfd serves."""
    with served(machine_root) as running:
        yield running


def test_restarts_break_no_connection(where: Served, stack: ExitStack) -> None:
    """Idle ones answer after each restart, transfers arrive whole, and the store keeps nothing of them."""
    idle = [stack.enter_context(where.connect()) for _ in range(200)]
    busy = [stack.enter_context(where.connect()) for _ in range(4)]
    stop = threading.Event()
    results: list[bool] = []

    def transfer(connection: socket.socket) -> None:
        sent, received = hashlib.sha256(), hashlib.sha256()
        while not stop.is_set():
            block = os.urandom(1 << 16)
            sent.update(block)
            connection.sendall(block)
            left = len(block)
            while left and (data := connection.recv(left)):
                received.update(data)
                left -= len(data)
        results.append(sent.digest() == received.digest())

    threads = [threading.Thread(target=transfer, args=(connection,)) for connection in busy]
    for thread in threads:
        thread.start()
    for turn in range(5):
        where.command("systemctl", "restart", UNIT)
        for connection in idle:
            connection.sendall(bytes((turn,)))
        assert [connection.recv(1) for connection in idle] == [bytes((turn,))] * len(idle)
    stop.set()
    for thread in threads:
        thread.join(LIMIT)

    assert results == [True] * len(busy)
    # The listener alone.
    wait_for(lambda: where.machine.property(UNIT, "NFileDescriptorStore") == "1", LIMIT, "the store")


def test_two_restarts_at_once_break_no_connection(where: Served, stack: ExitStack) -> None:
    """A restart of a tfd that is not ready yet leaves the connections as well."""
    connection = stack.enter_context(where.connect())
    where.command("systemctl", "restart", "--no-block", UNIT)
    where.command("systemctl", "restart", UNIT)
    connection.sendall(b"again")

    assert connection.recv(5) == b"again"


def test_a_crash_resets_connections_and_refuses_nobody(where: Served, stack: ExitStack) -> None:
    """After kill -9, the former connections are not taken for ended, and new ones are served."""
    connection = stack.enter_context(where.connect())
    where.command("systemctl", "kill", "-s", "KILL", UNIT)

    assert is_reset(connection)
    stack.enter_context(where.connect())


def test_a_stop_is_a_stop(where: Served, stack: ExitStack) -> None:
    """`systemctl stop` ends connections and listeners, and nothing is kept for a later start."""
    connection = stack.enter_context(where.connect())
    where.command("systemctl", "stop", UNIT)
    assert is_reset(connection)
    assert where.machine.property(UNIT, "NFileDescriptorStore") == "0"
    with pytest.raises(ConnectionRefusedError):
        where.connect()
    where.command("systemctl", "start", UNIT)
    stack.enter_context(where.connect())
