"""Real web servers on loopback in the place of containers, and real clients for what serves them."""

import base64
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_for

LIMIT = 30.0
SERVER = Path(__file__).with_name("web_server.py")


def loopback(number: int) -> str:
    """Give an address of loopback that other test runs do not use."""
    return f"127.{1 + (os.getpid() >> 8) % 250}.{os.getpid() & 0xFF}.{number}"


def listens(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


HOST = loopback(250)
"""Where the tests have the web gateway listen: no other's outgoing connection takes a port of it."""


Where = tuple[str, int]
"""An address and a port."""


@contextlib.contextmanager
def running(*command: str | Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program from `with` to its end."""
    with subprocess.Popen(
        [os.fspath(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def web_server(address: str, name: str) -> Iterator[None]:
    """Run tests/support/web_server.py at port 80 of an address; it says that it is `name`."""
    with running(sys.executable, SERVER, address, NAME=name):
        wait_for(lambda: listens(address, 80), LIMIT, f"the web server {name}")
        yield


@contextlib.contextmanager
def nginx(directory: Path, addresses: Collection[str]) -> Iterator[None]:
    """Run nginx at port 80 of addresses; each answers with its address, and slowly under /slow."""
    (directory / "slow").write_bytes(bytes(96 * 1024))
    servers = "".join(
        f"server {{ listen {address}:80; root {directory}; keepalive_requests 50;"
        f' location = / {{ return 200 "{address}"; }} location = /slow {{ limit_rate 32k; }} }}\n'
        for address in addresses
    )
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr;\n"
        "user root; events { worker_connections 4096; }\n"
        f"http {{ access_log off; {servers} }}\n"
    )
    with running("nginx", "-e", "stderr", "-c", configuration) as process:
        for address in addresses:
            wait_for(lambda address=address: listens(address, 80), LIMIT, f"nginx at {address}")  # type: ignore[misc]
        try:
            yield
        finally:
            process.terminate()
            process.wait(LIMIT)


def ask(at: Where, name: str, path: str = "/told", **headers: str) -> tuple[int, bytes]:
    """Ask over HTTP/1.1 for a path of a name; give status and body."""
    connection = http.client.HTTPConnection(*at, timeout=LIMIT)
    try:
        connection.request("GET", path, headers={"Host": name, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def told(at: Where, name: str, path: str = "/told", **headers: str) -> dict[str, Any]:
    """Give what web_server.py was asked."""
    status, body = ask(at, name, path, **headers)
    assert status == 200, (status, body)
    answer: dict[str, Any] = json.loads(body)
    return answer


def curl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run curl."""
    return subprocess.run(
        ["curl", "-sS", "--max-time", str(LIMIT), *arguments],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )


class WebSocket:
    """A WebSocket to web_server.py's /socket, through whatever listens at `at`."""

    def __init__(self, at: Where, name: str) -> None:
        self._socket = socket.create_connection(at, LIMIT)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            assert byte, head
            head += byte
        assert head.startswith(b"HTTP/1.1 101 "), head

    def echo(self, text: str) -> str:
        """Send a text, and give what comes back; "" after the connection's end."""
        data = text.encode()
        self._socket.sendall(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)
        answer = b""
        while len(answer) < 2 + len(data):
            piece = self._socket.recv(100)
            if not piece:
                return ""
            answer += piece
        return answer[2:].decode()

    def close(self) -> None:
        """End it."""
        self._socket.close()


class Load:
    """Clients that ask all the time, on connections kept open, from `with` to its end.

    `answers` counts bodies, `failures` holds what was not 200 and each connection that was cut.
    """

    def __init__(self, at: Where, name: str, clients: int = 4) -> None:
        self._at, self._name = at, name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT)

    def _work(self) -> None:
        connection = http.client.HTTPConnection(*self._at, timeout=LIMIT)
        try:
            # Without auto_open a connection that the other end closed is an error, and not made anew.
            connection.connect()
            connection.auto_open = 0
            while not self._stop.is_set():
                connection.request("GET", "/", headers={"Host": self._name})
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.will_close:  # as announced by its header, which cuts nothing
                    connection.connect()
                if answer.status != 200:
                    self.failures.append(f"{answer.status}: {body}")
                self.answers[body] = self.answers.get(body, 0) + 1
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()
