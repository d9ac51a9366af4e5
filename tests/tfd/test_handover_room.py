"""A restart with more connections than can be handed over."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise

import pytest

from tests.support.dataplane import LIMIT, DataPlane, backend, data_plane, echo, receive_exactly
from tests.support.waiting import wait_for
from tfd.handover import leave
from tfd.protocol import logged
from tfd.protocol.drivers.relaying.suspended import ConnectionState
from tfd.protocol.drivers.systemd.notify import Notifier
from tfd.protocol.liveness import INFO_SIZE, silence

MARGIN = 0.1
FULL = 1.0
"""Seconds in which nothing moves where all buffers are full, and not where a busy machine was elsewhere."""

WORD = b"hello"


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    """A data plane that leads to a backend which sends back what it gets."""
    with backend(echo) as target, data_plane() as running:
        running.route("web", target)
        yield running


def talk(connection: socket.socket) -> None:
    """Send a word there and back."""
    connection.sendall(WORD)
    assert receive_exactly(connection, len(WORD)) == WORD


def silent(connection: socket.socket) -> float:
    """Seconds without a byte."""
    return silence(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE))


def given_away(plane: DataPlane) -> list[ConnectionState]:
    """Have the proxy give its connections away; they end here."""

    def give() -> list[ConnectionState]:
        states = []
        for state, *sockets in plane.proxy.suspend():
            states.append(state)
            for found in sockets:
                if found is not None:
                    found.close()
        return states

    return plane.call(give)


def test_those_that_were_silent_longest_have_the_last_place(plane: DataPlane, stack: ExitStack) -> None:
    """In the order in which they are given away, whichever came first and however much they said before."""
    connections = [stack.enter_context(plane.connect()) for _ in range(4)]
    for count, connection in enumerate(connections, 1):
        for _ in range(count):
            talk(connection)
    order = [connections[index] for index in (2, 0, 3, 1)]
    for former, connection in pairwise(order):
        wait_for(lambda one=former: silent(one) > MARGIN, LIMIT, "silence")  # type: ignore[misc]
        talk(connection)

    said = [state.bytes_in // len(WORD) for state in given_away(plane)]
    assert said == [3, 5, 2, 3]


def test_a_reader_that_is_slow_is_not_silent(plane: DataPlane, stack: ExitStack) -> None:
    """Bytes wait for it: it comes before who has nothing to come."""
    slow, idle = (stack.enter_context(plane.connect()) for _ in range(2))
    slow.setblocking(False)

    def is_full() -> bool:
        with suppress(BlockingIOError):
            while slow.send(bytes(1 << 16)):
                pass
        return silent(slow) > FULL

    wait_for(is_full, LIMIT, "all buffers on the way to be full")
    talk(idle)
    wait_for(lambda: silent(idle) > MARGIN, LIMIT, "silence")

    first, second = given_away(plane)
    assert first.bytes_in > second.bytes_in == len(WORD)


def test_what_is_beyond_the_most_is_reset_counted_and_said(plane: DataPlane, stack: ExitStack) -> None:
    """One line tells how many they were, and which."""
    for _ in range(5):
        talk(stack.enter_context(plane.connect()))
    plane.call(lambda: leave(plane.proxy, Notifier(), plane.log, 3))  # type: ignore[arg-type]  # it keeps lines

    lines = [line for line in plane.log.lines if line.kind is logged.CONNECTION_LEFT_BEHIND]
    assert lines[0].fields["count"] == 2
    assert lines[0].message == (
        "2 connections are reset, those that have been silent longest: 3 is the most that can be handed over"
    )
