"""The connections that are kept ahead of need to the channel ports."""

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.recording import RecordingLog
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.relaying.channels import ChannelPool, Endpoint

LIMIT = 10.0


class Pool:
    """A pool on a loop that runs only while a test waits for something."""

    def __init__(self) -> None:
        self.log = RecordingLog()
        self.loop = Loop(self.log)
        self.pool = ChannelPool(self.loop, self.log)
        self.answers: list[socket.socket | str] = []

    def take(self, endpoint: Endpoint) -> None:
        """Ask for a connection, which is kept in `answers`."""
        self.pool.take(endpoint, self.keep)

    def keep(self, answer: socket.socket | str) -> bool:
        """Keep an answer."""
        self.answers.append(answer)
        return not isinstance(answer, str)

    def run_until(self, condition: Callable[[], object]) -> None:
        """Run the loop until the condition holds, or fail."""
        end = self.loop.now + LIMIT

        def look() -> None:
            if condition() or self.loop.now > end:
                self.loop.stop()
            else:
                self.loop.call_later(0.01, look)

        look()
        self.loop.run()
        assert condition()


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool, closed at the end with what it gave."""
    made = Pool()
    yield made
    made.pool.close()
    made.loop.close()
    for answer in made.answers:
        if isinstance(answer, socket.socket):
            answer.close()


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A listening socket in place of a channel port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        yield listening


def test_connections_are_made_ahead_of_need(pool: Pool, port: socket.socket) -> None:
    """After the first use more connections are open than were asked for."""
    pool.take(port.getsockname())
    pool.run_until(lambda: pool.answers)
    accepted = [port.accept()[0] for _ in range(3)]

    assert isinstance(pool.answers[0], socket.socket)
    for connection in accepted:
        connection.close()


def test_a_connection_given_back_is_used_again(pool: Pool, port: socket.socket) -> None:
    """The youngest connection is taken first: the one that came back."""
    pool.take(port.getsockname())
    pool.run_until(lambda: pool.answers)
    first = pool.answers.pop()
    assert isinstance(first, socket.socket)
    pool.pool.put(port.getsockname(), first)
    pool.take(port.getsockname())

    assert pool.answers == [first]


def test_nobody_waits_for_who_has_gone(pool: Pool, port: socket.socket) -> None:
    """A connection that its asker does not want any more goes to the next one who waits."""
    pool.pool.take(port.getsockname(), lambda _: False)
    pool.take(port.getsockname())
    pool.run_until(lambda: pool.answers)

    assert isinstance(pool.answers[0], socket.socket)


def test_a_connection_that_the_location_closes_is_not_given(pool: Pool, port: socket.socket) -> None:
    """What went away while it was kept is replaced by a living one."""
    pool.take(port.getsockname())
    pool.run_until(lambda: pool.answers)
    accepted = [port.accept()[0] for _ in range(3)]
    for connection in accepted:
        connection.close()
    calls: list[str] = []
    pool.loop.call_later(0.1, lambda: calls.append("seen"))
    pool.run_until(lambda: calls)
    pool.take(port.getsockname())
    pool.run_until(lambda: len(pool.answers) == 2)
    living, _ = port.accept()
    living.sendall(b"x")
    answer = pool.answers[1]
    assert isinstance(answer, socket.socket)
    answer.settimeout(LIMIT)

    assert answer.recv(1) == b"x"
    living.close()


def test_an_unreachable_port_is_told(pool: Pool) -> None:
    """Everyone who waits is told why, and the log names the port."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        dead = reserved.getsockname()
    for _ in range(200):
        pool.take(dead)
    pool.run_until(lambda: len(pool.answers) == 200)

    expected = f"the channel port 127.0.0.1:{dead[1]} cannot be reached: Connection refused"
    assert set(pool.answers) == {expected}
    assert expected in pool.log.messages()


def test_names_are_resolved(pool: Pool, port: socket.socket) -> None:
    """A ticket's host may be a name; one that does not exist is told like an unreachable port."""
    pool.take(("localhost", port.getsockname()[1]))
    pool.take(("no such host", 2021))
    pool.run_until(lambda: len(pool.answers) == 2)

    assert {type(answer) for answer in pool.answers} == {socket.socket, str}
