"""Whether a connection is dead, from the kernel's figures."""

import socket
import struct
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_for
from tfd.protocol.liveness import CHANNEL_OPTIONS, CHECK_PARTS, INFO_SIZE, Rounds, is_dead, silence

LIMIT = 10.0


def info(retransmits: int = 0, probes: int = 0, unacknowledged: int = 0, silent: float = 0) -> bytes:
    """The beginning of a struct tcp_info."""
    return struct.pack("=2xBB20xI28xI", retransmits, probes, unacknowledged, int(silent * 1000))


@pytest.mark.parametrize(
    ("figures", "dead"),
    [
        (info(), False),
        (info(silent=3600), False),
        (info(retransmits=7, unacknowledged=5, silent=26), True),
        (info(retransmits=2, unacknowledged=5, silent=26), False),
        (info(retransmits=7, unacknowledged=5, silent=10), False),
        (info(probes=1, silent=119), False),
        (info(probes=4, silent=119), True),
        (b"", False),
    ],
    ids=[
        "fresh", "idle for an hour", "repeats into silence", "repeated twice", "silent for a moment",
        "paused by its reader, which answers probes", "paused, and probes are not answered", "no figures",
    ],
)  # fmt: skip
def test_only_silence_after_repetitions_is_death(figures: bytes, dead: bool) -> None:
    """An idle or paused connection lives; one that repeats itself into silence is dead."""
    assert is_dead(figures) is dead


def test_the_kernel_gives_these_figures() -> None:
    """A living connection with the channel's options set is not dead by the real kernel's figures."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as connection,
    ):
        for option in CHANNEL_OPTIONS:
            connection.setsockopt(*option)
        figures = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)

        assert len(figures) == INFO_SIZE
        assert not is_dead(figures)


def test_silence_lasts_since_the_last_byte() -> None:
    """Whichever way it went; without figures nothing is known."""
    figures = bytearray(INFO_SIZE)
    struct.pack_into("=I4xI", figures, 44, 9000, 7000)

    assert silence(bytes(figures)) == 7.0
    assert silence(b"") == 0.0


def test_the_kernel_tells_of_silence() -> None:
    """A byte ends it, on either end."""

    def silent(connection: socket.socket) -> float:
        return silence(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE))

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as one,
        listening.accept()[0] as other,
    ):
        wait_for(lambda: min(silent(one), silent(other)) > 0.1, LIMIT, "silence")
        before = silent(one), silent(other)
        one.sendall(b"x")
        other.recv(1)

        assert silent(one) < before[0]
        assert silent(other) < before[1]


@given(st.lists(st.sets(st.integers(0, 200)), min_size=1, max_size=4 * CHECK_PARTS))
def test_each_connection_is_looked_at_once_in_a_round(presents: list[set[int]]) -> None:
    """A round is over those that were there at its beginning, and has at most CHECK_PARTS parts."""
    rounds: Rounds[int] = Rounds()
    first: set[int] = set()
    parts: list[list[int]] = []
    for present in presents:
        if sum(map(len, parts)) == len(first):
            first, parts = present, []
        parts.append(rounds.part(present))

        looked_at = [one for part in parts for one in part]
        assert len(looked_at) == len(set(looked_at))
        assert set(looked_at) <= first
        assert len(parts) <= CHECK_PARTS


@given(st.integers(0, 500))
def test_ended_connections_are_kept_for_one_round_at_most(count: int) -> None:
    """Also where none is left that would be looked at."""

    class Connection:
        pass

    connections = [Connection() for _ in range(count)]
    watched = [weakref.ref(one) for one in connections]
    rounds: Rounds[Connection] = Rounds()
    rounds.part(connections)
    connections.clear()
    for _ in range(CHECK_PARTS):
        rounds.part(())

    assert [reference for reference in watched if reference() is not None] == []
