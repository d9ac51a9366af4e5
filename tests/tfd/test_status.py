"""The status socket with hostile clients."""

import socket
import stat
from pathlib import Path

import pytest

from tests.support.loops import run_until, running_loop
from tfd.status import MAX_CLIENTS, StatusError, StatusServer


def connected(path: Path, data: bytes = b"") -> socket.socket:
    """Give a client that has sent something."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(str(path))
    client.setblocking(False)
    client.sendall(data)
    return client


def received(client: socket.socket) -> bytes | None:
    """Give what a client got: all of it once the server has closed, None while there is nothing."""
    try:
        return client.recv(1 << 20)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def test_a_question_is_answered_with_one_line(tmp_path: Path) -> None:
    """The socket is its owner's alone, and gone after the end."""
    path = tmp_path / "run/status.sock"
    with running_loop() as (loop, _, _):
        server = StatusServer(loop, path, {"status": lambda: '{"fine": true}'})
        client = connected(path, b"status\n")
        answer = b""

        def answered() -> bool:
            nonlocal answer
            answer += received(client) or b""
            return answer.endswith(b"\n")

        run_until(loop, answered, 5, "the answer")
        mode = stat.S_IMODE(path.stat().st_mode)
        server.close()
        client.close()

    assert answer == b'{"fine": true}\n'
    assert mode == 0o600
    assert not path.exists()


@pytest.mark.parametrize("data", [b"x" * 1000, b"\n", b"\xff\xfe\n", b"status\x00\n", b"nothing\n"])
def test_nonsense_is_refused_and_others_are_served(tmp_path: Path, data: bytes) -> None:
    """Whatever one client writes, the next one gets its answer."""
    path = tmp_path / "status.sock"
    with running_loop() as (loop, _, lines):
        server = StatusServer(loop, path, {"status": lambda: "{}"})
        one = connected(path, data)
        run_until(loop, lambda: received(one) is not None, 5, "the end of the first")
        two = connected(path, b"status\n")
        run_until(loop, lambda: received(two), 5, "the second answer")
        server.close()
        one.close()
        two.close()

    assert lines.lines == []


def test_clients_beyond_the_limit_are_closed(tmp_path: Path) -> None:
    """Those that say nothing hold no place for more than the limit's count."""
    path = tmp_path / "status.sock"
    with running_loop() as (loop, _, _):
        server = StatusServer(loop, path, {})
        idle = [connected(path) for _ in range(MAX_CLIENTS)]
        run_until(loop, lambda: True, 5, "nothing")
        more = connected(path)
        run_until(loop, lambda: received(more) == b"", 5, "the end of the one too many")
        server.close()
        for client in (*idle, more):
            client.close()


def test_a_socket_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    """And one that somebody listens on is left alone."""
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with running_loop() as (loop, _, _):
        server = StatusServer(loop, path, {})
        with pytest.raises(StatusError, match="another tfd"):
            StatusServer(loop, path, {})
        server.close()


def test_an_answer_may_come_later_or_too_late(tmp_path: Path) -> None:
    """The one who waits gets it, and it harms nobody when the asker has gone meanwhile."""
    path = tmp_path / "status.sock"
    replies = []
    with running_loop() as (loop, _, lines):
        server = StatusServer(loop, path, {}, {"logs": lambda words, reply: replies.append((words, reply))})
        gone, waiting = connected(path, b"logs a b\n"), connected(path, b"logs\n")
        run_until(loop, lambda: len(replies) == 2, 5, "both questions")
        gone.close()
        answer = b""

        def answered() -> bool:
            nonlocal answer
            answer += received(waiting) or b""
            return answer.endswith(b"\n")

        for _, reply in replies:
            reply("{}")
        run_until(loop, answered, 5, "the answer")
        server.close()
        waiting.close()

    assert sorted(list(words) for words, _ in replies) == [[], ["a", "b"]]
    assert answer == b"{}\n"
    assert lines.lines == []
