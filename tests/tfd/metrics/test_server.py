"""The HTTP server on a real loop and real sockets: what it answers, and that nobody keeps others out."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.support.loops import run_until, running_loop
from tests.support.product import free_port
from tfd.config.model import Metrics
from tfd.metrics.request import Request
from tfd.metrics.response import HTML, Response, line
from tfd.metrics.server import MAX_CLIENTS, Server
from tfd.protocol.address import Address
from tfd.protocol.drivers.loop import Loop
from tfd.proxy import BindError

LIMIT = 10.0
PAGE = b"x" * 1000


def answer(request: Request) -> Response:
    """Give a page for each path but one, which has a defect."""
    if request.path == "/defect":
        raise KeyError(request.path)
    if request.path == "/large":
        return Response(200, HTML, PAGE * 20_000)
    return Response(200, HTML, PAGE) if request.path == "/" else line(404, "nothing there")


@contextmanager
def serving(give: Callable[[Request], Response] = answer) -> Iterator[tuple[Loop, Server, int]]:
    """Give a loop, a server on it, and the server's port of loopback."""
    port = free_port()
    with running_loop() as (loop, log, _):
        server = Server(loop, log, give)
        server.prepare(Metrics(binds=(Address("127.0.0.1", port),)), {}).use()
        try:
            yield loop, server, port
        finally:
            server.close()


def connected(port: int, data: bytes = b"") -> socket.socket:
    """Give a client that has sent something."""
    client = socket.create_connection(("127.0.0.1", port), LIMIT)
    client.sendall(data)
    client.setblocking(False)
    return client


def all_of(loop: Loop, client: socket.socket) -> bytes:
    """Run the loop until the server has ended the connection; give what came."""
    came = b""

    def ended() -> bool:
        nonlocal came
        try:
            data = client.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        came += data
        return not data

    run_until(loop, ended, LIMIT, "the end of the answer")
    client.close()
    return came


def test_a_page_comes_with_its_length_and_no_more_rights_than_it_needs() -> None:
    """The standard library's client reads it; it may be neither framed, nor cached, nor guessed at."""
    with serving() as (loop, _, port):
        data = all_of(loop, connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    here, there = socket.socketpair()
    with here, there:
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)
        response = HTTPResponse(there)
        response.begin()
        body = response.read()

    assert (response.status, body) == (200, PAGE)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Connection"] == "close"


def test_head_is_the_same_without_the_body() -> None:
    """The length is that of the page."""
    with serving() as (loop, _, port):
        data = all_of(loop, connected(port, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"))

    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 1000\r\n" in data
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET /defect HTTP/1.1\r\nHost: localhost\r\n\r\n", b"500"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"\x16\x03\x01\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"413"),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 100_000, b"431"),
    ],
)
def test_what_is_wrong_is_answered_and_closed(request_: bytes, status: bytes) -> None:
    """The whole answer arrives, though the request was not read to its end; the next client is served."""
    with serving() as (loop, _, port):
        data = all_of(loop, connected(port, request_))
        after = all_of(loop, connected(port, b"GET / HTTP/1.0\r\n\r\n"))

    assert data.split(b" ")[1] == status
    assert b"Content-Length: " in data
    assert data.endswith(b"\n")
    assert after.endswith(PAGE)


def test_slow_clients_keep_nobody_out() -> None:
    """All places are taken by requests that never end, and one more client is served at once."""
    with serving() as (loop, _, port):
        slow = [connected(port, b"GET / HTTP/1.1\r\nHo") for _ in range(MAX_CLIENTS + 5)]
        run_until(loop, lambda: True, LIMIT, "nothing")
        data = all_of(loop, connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        for client in slow:
            client.close()

    assert data.endswith(PAGE)


def test_a_client_that_reads_slowly_gets_all_of_a_large_answer() -> None:
    """What the kernel does not take at once comes later."""
    with serving() as (loop, _, port):
        data = all_of(loop, connected(port, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"))

    assert len(data) > 20_000 * len(PAGE)


def test_a_client_that_goes_away_is_forgotten() -> None:
    """In the middle of its request, and in the middle of its answer."""
    with serving() as (loop, _, port):
        for start in (b"GET / HT", b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            for _ in range(2 * MAX_CLIENTS):
                connected(port, start).close()
        data = all_of(loop, connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))

    assert data.endswith(PAGE)


def test_addresses_change_without_a_gap(tmp_path: Path) -> None:
    """What stays keeps its socket, what cannot be bound changes nothing, what is undone is free again."""
    first, second = Address("127.0.0.1", free_port()), Address(path=str(tmp_path / "metrics.sock"))
    with running_loop() as (loop, log, _):
        server = Server(loop, log, answer)
        server.prepare(Metrics(binds=(first,)), {}).use()
        waiting = connected(first.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.prepare(Metrics(binds=(first, second)), {}).use()
        assert all_of(loop, waiting).endswith(PAGE)
        client = socket.socket(socket.AF_UNIX)
        client.connect(second.path)
        client.sendall(b"GET / HTTP/1.1\r\nHost: any.example\r\n\r\n")
        client.setblocking(False)
        assert all_of(loop, client).endswith(PAGE)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            wanted = Address("127.0.0.1", free_port()), Address("127.0.0.1", taken.getsockname()[1])
            with pytest.raises(BindError):
                server.prepare(Metrics(binds=wanted), {})
            prepared = server.prepare(Metrics(binds=wanted[:1]), {})
            prepared.undo()
            socket.create_server(("127.0.0.1", wanted[0].port)).close()
        assert all_of(loop, connected(first.port, b"GET / HTTP/1.0\r\n\r\n")).endswith(PAGE)
        server.close()

    assert not (tmp_path / "metrics.sock").exists()
    with pytest.raises(ConnectionRefusedError):
        connected(first.port)
