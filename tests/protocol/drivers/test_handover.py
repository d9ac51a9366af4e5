"""Sockets in flight and state in memory, between two objects of one process."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tfd.protocol.drivers.handover import Incoming, Outgoing
from tfd.protocol.drivers.relaying.sockets import cookie

PACKETFUL = 253


@dataclass(frozen=True)
class Pair:
    """A record with the cookies of its sockets."""

    plain: int
    channel: int


class Ends:
    """Pairs of sockets: one end goes along, the other one shows what becomes of it."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Give the end that stays, and the one that goes."""
        stays, goes = socket.socketpair()
        self.stack.enter_context(stays)
        stays.settimeout(10)
        return stays, self.stack.enter_context(goes)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Sockets that are closed in the end."""
    made = Ends()
    with made.stack:
        yield made


def arrived(outgoing: Outgoing, program: str = "tfd") -> Incoming:
    """Give what the next process gets, as through a service manager."""
    memory, receiver = (os.dup(descriptor) for descriptor in outgoing.finish())
    outgoing.close()
    return Incoming(program, (Pair,), memory, receiver)


def leave(outgoing: Outgoing, plain: socket.socket, channel: socket.socket) -> Pair:
    """Have a pair of sockets go along."""
    record = Pair(cookie(plain), cookie(channel))
    assert outgoing.add(record, plain, channel)
    return record


def test_each_socket_is_found_by_its_record(ends: Ends) -> None:
    """More than one packet of them, and what is written on each arrives at its own other end."""
    outgoing = Outgoing("tfd", "1")
    stays = [(ends.pair(), ends.pair()) for _ in range(PACKETFUL)]
    records = [leave(outgoing, plain, channel) for (_, plain), (_, channel) in stays]
    incoming = arrived(outgoing)
    assert list(incoming) == records
    for ((plain_end, _), (channel_end, _)), record in reversed(list(zip(stays, records, strict=True))):
        for end, number in ((plain_end, record.plain), (channel_end, record.channel)):
            claimed = incoming.claim(number)
            assert claimed is not None
            with claimed:
                claimed.send(number.to_bytes(8, "big"))
            assert end.recv(8) == number.to_bytes(8, "big")

    assert incoming.unclaimed() == []


def test_a_socket_is_claimed_once(ends: Ends) -> None:
    """A second record with the same cookie gets none: a mix-up loses what it mixes up and nothing else."""
    outgoing = Outgoing("tfd", "1")
    (_, plain), (_, channel) = ends.pair(), ends.pair()
    record = leave(outgoing, plain, channel)
    incoming = arrived(outgoing)
    first = incoming.claim(record.plain)
    assert first is not None
    first.close()

    assert incoming.claim(record.plain) is None
    assert incoming.claim(0) is None
    assert incoming.claim(None) is None
    incoming.close()


def test_what_nobody_claims_is_known_and_ends(ends: Ends) -> None:
    """The plain sides are given for a log line each, and both ends see that it is over."""
    outgoing = Outgoing("tfd", "1")
    (plain_end, plain), (channel_end, channel) = ends.pair(), ends.pair()
    record = leave(outgoing, plain, channel)
    incoming = arrived(outgoing)
    assert [cookie(found) for found in incoming.unclaimed()] == [record.plain]
    incoming.close()

    assert plain_end.recv(1) == b""
    assert channel_end.recv(1) == b""


def test_the_memory_cannot_be_changed_any_more() -> None:
    """It is sealed before anybody else gets it (memfd_create(2), F_SEAL_WRITE)."""
    outgoing = Outgoing("tfd", "1")
    memory, _ = outgoing.finish()
    with pytest.raises(PermissionError):
        os.pwrite(memory, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)
    outgoing.close()


def test_descriptors_that_are_no_such_things_raise_nothing(ends: Ends) -> None:
    """An end of a pipe in the place of the sockets, a socket in the place of the memory."""
    stays, goes = ends.pair()
    read, write = os.pipe()
    incoming = Incoming("tfd", (Pair,), os.dup(goes.fileno()), read)
    os.close(write)

    assert list(incoming) == []
    assert "cannot be recognised" in incoming.trouble
    assert incoming.unclaimed() == []
    assert stays.send(b"still open") == 10


def test_another_programs_state_is_not_read(ends: Ends) -> None:
    """It is told whose it is, and its sockets end."""
    outgoing = Outgoing("tflocation", "1")
    (plain_end, plain), (_, channel) = ends.pair(), ends.pair()
    leave(outgoing, plain, channel)
    incoming = arrived(outgoing)
    assert "one of tflocation" in incoming.trouble
    incoming.close()

    assert plain_end.recv(1) == b""
