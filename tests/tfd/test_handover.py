"""A restart of tfd, which leaves its connections to the next process: real processes on both sides of it."""

import hashlib
import os
import shutil
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

import tfd
from tests.support.dataplane import echo, receive_all, receive_exactly
from tests.support.product import free_port
from tests.support.stage import WAIT, Stage, connect, opened, table
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_bytes_in_both_directions_are_neither_lost_nor_doubled(stage: Stage) -> None:
    """Two restarts in the middle of transfers both ways: every hash is right, and nobody notices."""
    size, count = 24 << 20, 4
    content = os.urandom(size)
    digest = hashlib.sha256(content).digest()
    went_on = threading.Event()

    def serve(connection: socket.socket) -> None:
        received = hashlib.sha256()
        got = threading.Thread(target=lambda: _drain(connection, received, went_on))
        got.start()
        connection.sendall(content)
        got.join()
        connection.sendall(received.digest())

    port = free_port()
    stage.configure(table(port, stage.backend(serve)))
    stage.start()
    results: list[tuple[bytes, bytes]] = []

    def client() -> None:
        with connect(port) as connection:
            sending = threading.Thread(target=lambda: _send(connection, content))
            sending.start()
            there, left = hashlib.sha256(), size
            while left and (data := connection.recv(min(left, 65536))):
                there.update(data)
                left -= len(data)
            sending.join()
            results.append((there.digest(), receive_exactly(connection, 32)))

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    assert went_on.wait(WAIT)
    stage.restart()
    wait_for(lambda: len(stage.lines("taken over")) == 1, WAIT, "the second process")
    stage.restart()
    for thread in threads:
        thread.join(120)

    assert results == [(digest, digest)] * count


def _send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)


def _drain(connection: socket.socket, received: "hashlib._Hash", went_on: threading.Event) -> None:
    total = 0
    while data := connection.recv(65536):
        received.update(data)
        total += len(data)
        if total > 1 << 20:
            went_on.set()


def test_a_half_closed_connection_stays_half_closed(stage: Stage) -> None:
    """The client's end was before the restart, the answer comes after it, and then the other end."""
    go = threading.Event()

    def serve(connection: socket.socket) -> None:
        question = receive_all(connection)
        go.wait(WAIT)
        connection.sendall(question[::-1])

    port = free_port()
    stage.configure(table(port, stage.backend(serve)))
    stage.start()
    with connect(port) as connection:
        connection.sendall(b"question")
        connection.shutdown(socket.SHUT_WR)
        wait_for(lambda: _counts(stage) == (1, 0), WAIT, "the answer of the port")
        stage.restart()
        go.set()

        assert receive_all(connection) == b"noitseuq"


def _counts(stage: Stage) -> tuple[int, int]:
    counts = stage.listener()
    return counts["open"], counts["waiting"]


def test_the_end_of_what_the_container_says_goes_along(stage: Stage) -> None:
    """The container's end was before the restart; the client still speaks to it afterwards."""
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        heard.append(receive_all(connection))

    port = free_port()
    stage.configure(table(port, stage.backend(serve)))
    stage.start()
    with connect(port) as connection:
        assert receive_all(connection) == b"hello"
        stage.restart()
        connection.sendall(b"goodbye")
    wait_for(lambda: heard == [b"goodbye"], WAIT, "the client's last word")


def test_a_peer_that_does_not_read_holds_nothing_up(stage: Stage) -> None:
    """What no socket takes goes along as bytes: the hand-over waits for nobody, and no byte is lost."""
    content = os.urandom(24 << 20)

    def serve(connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        connection.sendall(content)

    port = free_port()
    stage.configure(table(port, stage.backend(serve)))
    stage.start()
    with socket.socket() as connection:
        connection.settimeout(WAIT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.connect(("127.0.0.1", port))
        first = receive_exactly(connection, 1)
        stage.restart()
        rest = receive_all(connection)

        assert (len(rest), first + rest == content) == (len(content) - 1, True)


def test_a_held_connection_goes_along_with_its_remaining_time(stage: Stage) -> None:
    """Without a container it is held by the second process as well, and served as soon as there is one."""
    port = free_port()
    listener = table(port, stage.backend(echo), 'connect_timeout = "60s"\n')
    stage.configure(listener, container='[container.web]\nimage = "nginx"\nenabled = false\n')
    stage.start()
    with connect(port) as connection:
        connection.sendall(b"patience")
        wait_for(lambda: stage.listener()["waiting"] == 1, WAIT, "the connection to be held")
        stage.restart()
        assert stage.listener()["waiting"] == 1
        stage.configure(listener)
        stage.daemon.reload()

        assert receive_exactly(connection, 8) == b"patience"


def test_a_held_connection_is_refused_when_its_time_is_over(stage: Stage) -> None:
    """A restart gives it no new time, and the refusal says which listener it was."""
    port = free_port()
    # Longer than it takes to see it held, though each look is a process of its own.
    listener = table(port, 80, 'connect_timeout = "8s"\n')
    stage.configure(listener, container='[container.web]\nimage = "nginx"\nenabled = false\n')
    stage.start()
    with connect(port) as connection:
        wait_for(lambda: stage.listener()["waiting"] == 1, WAIT, "the connection to be held")
        stage.restart()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    assert stage.lines("refused a connection after 8 s")


def test_a_connection_outlives_its_listener(stage: Stage) -> None:
    """A file without the listener and its container, read by the next process, ends no connection."""
    gone, stays = free_port(), free_port()
    to = stage.backend(echo)
    stage.configure(table(gone, to), table(stays, to))
    stage.start()
    with connect(gone) as connection:
        connection.sendall(b"before")
        assert receive_exactly(connection, 6) == b"before"
        stage.leave()
        stage.configure(
            table(stays, to).replace('"web"', '"other"'), container='[container.other]\nimage = "nginx"\n'
        )
        stage.start()
        connection.sendall(b"after")

        assert receive_exactly(connection, 5) == b"after"
        with pytest.raises(ConnectionRefusedError):
            connect(gone)
        # The container is drained: it goes as soon as its last connection has ended, and no earlier.
        assert stage.peer.called("container.stop") == []
    wait_for(lambda: stage.peer.called("container.stop"), WAIT, "the container to be stopped")


def test_the_counts_go_along(stage: Stage) -> None:
    """A listener counts on: accepted connections, bytes, and those that are open."""
    port = stage.serve_echo()
    with connect(port) as first, connect(port) as second:
        for connection in (first, second):
            connection.sendall(b"12345")
            assert receive_exactly(connection, 5) == b"12345"
        stage.restart()
        first.sendall(b"67")
        assert receive_exactly(first, 2) == b"67"
        counts = stage.listener()

    assert (counts["total"], counts["open"]) == (2, 2)
    assert (counts["bytes_in"], counts["bytes_out"]) == (12, 12)


def test_who_connects_in_between_is_served_by_the_next(stage: Stage) -> None:
    """While no process is there, clients queue."""
    port = stage.serve_echo()
    stage.leave()
    with connect(port) as connection:
        connection.sendall(b"early")
        stage.daemon.start()

        assert receive_exactly(connection, 5) == b"early"


def test_a_unix_socket_goes_along_with_its_connections(stage: Stage, tmp_path: Path) -> None:
    """Two restarts: its file stays, who is connected goes on, and who comes in between waits."""
    path = tmp_path / "web.sock"
    port = stage.backend(echo)
    stage.configure(f'[[listener]]\nbind = "unix:{path}"\ncontainer = "web"\nport = {port}\n')
    stage.start()
    before = path.stat().st_ino
    with ExitStack() as stack:

        def come() -> socket.socket:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(WAIT)
            client.connect(str(path))
            return client

        clients = [come()]
        for _ in range(2):
            for client in clients:
                client.sendall(b"hello")
                assert receive_exactly(client, 5) == b"hello"
            stage.leave()
            clients.append(come())
            for client in clients:
                client.sendall(b"between")
            stage.daemon.start()
            for client in clients:
                assert receive_exactly(client, 7) == b"between"

    assert path.stat().st_ino == before


def test_no_key_and_no_content_is_in_the_log_and_nothing_is_on_disk(stage: Stage) -> None:
    """The state lives in memory that has no name, and is forgotten once it was taken."""
    port = stage.serve_echo()
    with connect(port) as connection:
        connection.sendall(b"a secret word")
        assert receive_exactly(connection, 13) == b"a secret word"
        stage.leave()
        assert stage.manager.kept[:2] == ["handover-sockets", "handover-state"]
        stage.start()
    wait_for(lambda: len(stage.manager.kept) == 1, WAIT, "the state to be forgotten")
    files = [path for path in stage.daemon.directory.rglob("*") if path.is_file()]

    assert files
    assert not any(b"secret word" in path.read_bytes() for path in files)


def test_without_a_store_a_restart_is_an_ordinary_stop(stage: Stage) -> None:
    """Under another init it is said once, and connections get their few seconds."""
    stage.daemon.prefix = ["env", "-u", "NOTIFY_SOCKET"]
    port = stage.serve_echo()
    with connect(port) as connection:
        connection.sendall(b"a")
        assert receive_exactly(connection, 1) == b"a"
        stage.leave()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    assert len(stage.lines("nobody keeps")) == 1


def test_files_that_an_upgrade_put_below_it_play_no_part(stage: Stage, tmp_path: Path) -> None:
    """A process leaves its connections by the code that it began with, whatever its files are by then."""
    files = tmp_path / "files" / "tfd"
    ours = Path(tfd.__file__).parent
    shutil.copytree(ours, files)
    stage.daemon.prefix = ["env", f"--chdir={files.parent}", *stage.manager.prefix()]
    port = stage.serve_echo()
    with connect(port) as client:
        client.sendall(b"before")
        assert receive_exactly(client, 6) == b"before"
        for path in files.rglob("*.py"):
            path.write_text("raise ImportError(__name__)")
        stage.leave()
        shutil.copytree(ours, files, dirs_exist_ok=True)
        stage.daemon.start()
        client.sendall(b"after")
        assert receive_exactly(client, 5) == b"after"


def test_restarts_at_many_points_of_a_transfer_change_nothing(stage: Stage) -> None:
    """A client that reads a part, another process, the next part: all of it arrives in order."""
    size, points = 12 << 20, 8
    content = os.urandom(size)
    echoed: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        reading = threading.Thread(target=lambda: echoed.append(receive_all(connection)))
        reading.start()
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        reading.join()

    port = free_port()
    stage.configure(table(port, stage.backend(serve)))
    stage.start()
    received = b""
    with connect(port) as connection:
        for point in range(points):
            connection.sendall(content[point * 1000 : point * 1000 + 1000])
            received += receive_exactly(connection, size // (points + 1) + point)
            stage.restart()
            taken = point + 1
            wait_for(lambda: len(stage.lines("taken over")) == taken, WAIT, "the next process")  # noqa: B023 - now
        connection.shutdown(socket.SHUT_WR)
        received += receive_all(connection)

    assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()
    wait_for(lambda: echoed == [content[: points * 1000]], WAIT, "what the client said")


def test_a_thousand_connections_go_along(stage: Stage) -> None:
    """Each of them still answers."""
    port = stage.serve_echo()
    connections = opened(stage, port, 1000)
    stage.restart()
    for connection in connections:
        connection.sendall(b"again")
    for connection in connections:
        assert receive_exactly(connection, 5) == b"again"

    assert stage.lines("1000 connections were taken over")
