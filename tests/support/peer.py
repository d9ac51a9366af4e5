"""The program in the test containers: one TCP behaviour for each port, nothing but the standard library.

It is copied into an image and run there, so it imports nothing of ours.
"""

import hashlib
import os
import signal
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 16

ECHO = 7
DIGEST = 9
COUNT = 10
SOURCE = 19
RESET = 21
WITNESS = 22
NAME = 80
REACH = 81

seen_endings: list[str] = []


def read_all(connection: socket.socket) -> str:
    """Read to the end; give the number of bytes and their SHA-256."""
    digest = hashlib.sha256()
    total = 0
    while data := connection.recv(CHUNK):
        digest.update(data)
        total += len(data)
    return f"{total} {digest.hexdigest()}"


def echo(connection: socket.socket) -> None:
    """Send back what comes, and the end after the end."""
    while data := connection.recv(CHUNK):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def digest(connection: socket.socket) -> None:
    """Answer with count and digest, only once the client has shut down its writing side."""
    connection.sendall(f"{read_all(connection)}\n".encode())


def count(connection: socket.socket) -> None:
    """Answer with the number of bytes, once the client has shut down its writing side."""
    buffer = bytearray(4 * CHUNK)
    total = 0
    while got := connection.recv_into(buffer):
        total += got
    connection.sendall(f"{total}\n".encode())


def source(connection: socket.socket) -> None:
    """Send as many bytes as the first line asks for, end, and still take the whole request.

    The answer on the request's bytes is kept for the witness port.
    """
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1)
    left = int(line)
    block = bytes(range(256)) * (CHUNK // 256)
    while left > 0:
        connection.sendall(block[: min(left, CHUNK)])
        left -= CHUNK
    connection.shutdown(socket.SHUT_WR)
    seen_endings.append(f"request {read_all(connection)}")


def reset(connection: socket.socket) -> None:
    """Read a byte, then reset the connection."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def witness(connection: socket.socket) -> None:
    """Note how this connection ends, or, when asked by `?`, tell what was noted last."""
    if connection.recv(1) == b"?":
        connection.sendall("\n".join(seen_endings).encode())
        return
    connection.sendall(b"!")
    try:
        read_all(connection)
    except ConnectionResetError:
        seen_endings.append("reset")
    else:
        seen_endings.append("end")


def name(connection: socket.socket) -> None:
    """Answer any HTTP request with the contents of /data/name, or with the environment's NAME."""
    connection.recv(CHUNK)
    kept = Path("/data/name")
    body = kept.read_bytes() if kept.exists() else os.environ.get("NAME", "").encode()
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def reach(connection: socket.socket) -> None:
    """Try to connect to the `host port` that the first line names; answer with open or the error."""
    host, port = connection.recv(CHUNK).decode().split()
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        connection.sendall(b"closed %s" % type(error).__name__.encode())
    else:
        connection.sendall(b"open")


BEHAVIOURS = {
    ECHO: echo,
    DIGEST: digest,
    COUNT: count,
    SOURCE: source,
    RESET: reset,
    WITNESS: witness,
    NAME: name,
    REACH: reach,
}


class Handler(socketserver.BaseRequestHandler):
    """Runs the behaviour of the port that was connected to."""

    server: "Server"

    def handle(self) -> None:
        """Serve one connection."""
        try:
            self.server.behaviour(self.request)
        except OSError as error:
            print(f"connection ended: {error}", file=sys.stderr)


class Server(socketserver.ThreadingTCPServer):
    """One port, a thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, behaviour: Callable[[socket.socket], None]) -> None:
        """Listen on the port, on all addresses of the container."""
        self.behaviour = behaviour
        super().__init__(("0.0.0.0", port), Handler)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close without a shutdown of our own: a behaviour that resets must be seen to reset."""
        assert isinstance(request, socket.socket)
        request.close()


def main() -> None:
    """Serve all ports until SIGTERM; `freeze` in the environment's MODE makes it hang at once."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for port, behaviour in BEHAVIOURS.items():
        server = Server(port, behaviour)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pause()


if __name__ == "__main__":
    main()
