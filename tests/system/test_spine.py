"""The main job on real parts: a file, tfd, tflocation, an engine, a container, bytes through them."""

import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import engine_view, peer
from tests.support.product import Daemon, Location, free_port
from tests.support.waiting import wait_for
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SIZE = int(os.environ.get("TFD_TEST_BYTES", str(64 << 20)))
BLOCK = bytes(range(256)) * 256
PORTS = (peer.ECHO, peer.DIGEST, peer.SOURCE, peer.RESET, peer.WITNESS, peer.NAME, peer.REACH)


class Spine:
    """A daemon with one container of the peer image and a listener for each of its ports."""

    def __init__(self, daemon: Daemon) -> None:
        """Configure and start the daemon."""
        self.daemon = daemon
        self.ports = {port: free_port() for port in PORTS}
        daemon.configure(self.text())
        daemon.start()
        daemon.wait_ready()

    def text(self, more: str = "") -> str:
        """Give the file's text, `more` being further lines of the container."""
        listeners = "".join(
            f'[[listener]]\nbind = "127.0.0.1:{bound}"\ncontainer = "web"\nport = {port}\n'
            for port, bound in self.ports.items()
        )
        return f'[container.web]\nimage = "peer"\n{more}\n{listeners}'

    def connect(self, port: int) -> socket.socket:
        """Connect through tfd to a port of the container."""
        connection = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, port: int, question: bytes) -> bytes:
        """Send, and read all of the answer."""
        with self.connect(port) as connection:
            connection.sendall(question)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Read to the end."""
    answer = b""
    while data := connection.recv(1 << 16):
        answer += data
    return answer


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory, location: Location) -> Iterator[Spine]:
    """One running chain for the tests of the relay."""
    daemon = Daemon(tmp_path_factory.mktemp("spine"))
    daemon.join(location.invite("spine"))
    try:
        yield Spine(daemon)
    finally:
        daemon.stop()


def test_whole_request_arrives_before_the_answer(spine: Spine) -> None:
    """A client that shuts its writing side down still gets the whole answer."""
    sent = hashlib.sha256()
    with spine.connect(peer.DIGEST) as connection:
        for _ in range(SIZE // len(BLOCK)):
            connection.sendall(BLOCK)
            sent.update(BLOCK)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection).decode()
    assert answer == f"{SIZE // len(BLOCK) * len(BLOCK)} {sent.hexdigest()}\n"


def test_server_that_ends_first_gets_the_whole_request(spine: Spine) -> None:
    """A server that shuts its writing side down at once still gets every byte of the request."""
    sent, got = hashlib.sha256(), hashlib.sha256()
    with spine.connect(peer.SOURCE) as connection:
        connection.sendall(b"%d\n" % SIZE)
        left = SIZE
        while left:
            data = connection.recv(1 << 16)
            assert data, f"the answer ended {left} bytes early"
            got.update(data)
            left -= len(data)
        assert connection.recv(1) == b""
        for _ in range(SIZE // len(BLOCK)):
            connection.sendall(BLOCK)
            sent.update(BLOCK)
    expected = f"request {SIZE // len(BLOCK) * len(BLOCK)} {sent.hexdigest()}"
    wait_for(lambda: expected in spine.ask(peer.WITNESS, b"?").decode(), 60, "the request at the server")
    whole = hashlib.sha256()
    for start in range(0, SIZE, len(BLOCK)):
        whole.update(BLOCK[: min(len(BLOCK), SIZE - start)])
    assert got.hexdigest() == whole.hexdigest()


def test_echo_is_byte_exact(spine: Spine) -> None:
    """What goes in comes back, in order, and the end after it."""
    message = os.urandom(1 << 20)

    assert ask_ending(spine, message) == message


def ask_ending(spine: Spine, message: bytes) -> bytes:
    """Send a message that fits the buffers on its way, end, and read the echo."""
    with spine.connect(peer.ECHO) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def test_reset_of_the_server_reaches_the_client(spine: Spine) -> None:
    """A server's reset is a reset at the client, never a clean end."""
    with spine.connect(peer.RESET) as connection:
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_reset_of_the_client_reaches_the_server(spine: Spine) -> None:
    """A client's reset is a reset at the server, never a clean end."""
    connection = spine.connect(peer.WITNESS)
    connection.sendall(b"x")
    assert connection.recv(1) == b"!"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    wait_for(lambda: spine.ask(peer.WITNESS, b"?").endswith(b"reset"), 30, "the server to see a reset")


def test_volume_outlives_a_replaced_container(daemon: Daemon, engine: PrivateEngine) -> None:
    """Data in a volume is there after the container was replaced by one of a new description."""
    port = free_port()

    def text(name: str) -> str:
        return (
            '[container.db]\nimage = "peer"\nvolumes = ["store:/data"]\n'
            f'environment = {{ NAME = "{name}" }}\n'
            'entrypoint = ["/bin/sh", "-c", "echo $NAME >> /data/name; exec /usr/bin/python3.11 /peer.py"]\n'
            f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "db"\nport = {peer.NAME}\n'
        )

    def page() -> list[str]:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return read_all(connection).decode().split("\r\n\r\n")[-1].split()

    daemon.configure(text("first"))
    daemon.start()
    daemon.wait_ready()
    before = set(engine_view.instances(engine, "prod/db/"))
    daemon.configure(text("second"))
    daemon.reload()

    wait_for(lambda: page() == ["first", "second"], 60, "the second container to serve the first one's data")
    wait_for(
        lambda: len(engine_view.instances(engine, "prod/db/")) == 1, 30, "the old container to be removed"
    )
    assert not before & set(engine_view.instances(engine, "prod/db/"))


def test_containers_reach_each_other_only_as_declared(daemon: Daemon) -> None:
    """`connects_to` opens one way, by name, from one container to another; everything else is closed."""
    ports = {name: free_port() for name in ("front", "back")}
    listeners = "".join(
        f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "{name}"\nport = {peer.REACH}\n'
        for name, port in ports.items()
    )
    daemon.configure(
        '[container.front]\nimage = "peer"\nconnects_to = ["back"]\n'
        f'[container.back]\nimage = "peer"\n{listeners}'
    )
    daemon.start()
    status = daemon.wait_ready()
    address = {one["name"]: one["ip"] for one in status["containers"]}

    def reach(source: str, host: str, port: int = peer.NAME) -> str:
        with socket.create_connection(("127.0.0.1", ports[source]), timeout=60) as connection:
            connection.sendall(f"{host} {port}\n".encode())
            return read_all(connection).decode()

    wait_for(lambda: reach("front", "back") == "open", 20, "the declared way to open")
    gateway = address["front"].rsplit(".", 1)[0] + ".1"
    assert reach("front", address["back"]) == "open"
    assert reach("back", address["front"]).startswith("closed")
    assert reach("back", gateway, 22).startswith("closed")


def test_one_failing_container_leaves_the_others_alone(daemon: Daemon) -> None:
    """An image that nobody has makes its container failed, with the reason, and nothing else."""
    port = free_port()
    daemon.configure(
        '[container.web]\nimage = "peer"\n[container.ghost]\nimage = "registry.invalid/ghost"\n'
        f'[[listener]]\nbind = "127.0.0.1:{port}"\ncontainer = "web"\nport = {peer.NAME}\n'
    )
    daemon.start()

    def states() -> dict[str, dict[str, str]]:
        return {one["name"]: one for one in (daemon.status() or {"containers": []})["containers"]}

    wait_for(lambda: states().get("web", {}).get("state") == "good", 60, "the one to be good")
    wait_for(lambda: states().get("ghost", {}).get("state") == "failed", 60, "the other to be failed")
    assert "registry.invalid/ghost" in states()["ghost"]["reason"]


def test_listener_on_a_unix_socket(daemon: Daemon, tmp_path: Path) -> None:
    """A listener may be a Unix socket, whose connections are relayed like any other."""
    path = tmp_path / "web.sock"
    daemon.configure(
        '[container.web]\nimage = "peer"\n'
        f'[[listener]]\nbind = "unix:{path}"\ncontainer = "web"\nport = {peer.ECHO}\n'
    )
    daemon.start()
    daemon.wait_ready()

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(os.fspath(path))
        connection.sendall(b"over a unix socket")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b"over a unix socket"
