"""The least relay in Python: what a program in Python with PyNaCl can do at best, as a limit for the tables.

    python -m bench.compare.least near|far PORT ADDRESS PORT

Listens on the first port and leads each connection to the second address, sealed between the two ends like a
channel, over a connection of its own. All that makes tfd fit for use is left out: keys are zero, there is no
ticket, no state, no half-close, no limit, and a peer that does not read holds up everybody.
"""

import select
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

READ_SIZE = 65_536
HEADER_SIZE = 4
TAG_SIZE = 16
NONCE_SIZE = 12
KEY = bytes(32)
BACKLOG = 4096


@dataclass(slots=True)
class Pair:
    """One relayed connection: its plain side, its sealed side, and the frames of each direction so far."""

    plain: socket.socket
    sealed: socket.socket
    sent: int = 0
    received: int = 0
    kept: bytes = b""


class Relay:
    """All connections of one end."""

    def __init__(self, listening: socket.socket, target: tuple[str, int], *, near: bool) -> None:
        self._listening = listening
        self._target = target
        self._near = near
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._watch(listening, self._accept)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for number, _ in self._epoll.poll():
                if ready := self._ready.get(number):
                    ready()

    def _watch(self, connection: socket.socket, ready: Callable[[], None]) -> None:
        self._ready[connection.fileno()] = ready
        self._epoll.register(connection, select.EPOLLIN)

    def _accept(self) -> None:
        came, _ = self._listening.accept()
        try:
            went = socket.create_connection(self._target)
        except OSError:  # the other end starts at the same time
            came.close()
            return
        for connection in (came, went):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(came, went) if self._near else Pair(went, came)
        self._watch(pair.plain, lambda: self._seal(pair))
        self._watch(pair.sealed, lambda: self._open(pair))

    def _seal(self, pair: Pair) -> None:
        try:
            data = pair.plain.recv(READ_SIZE)
            if not data:
                self._close(pair)
                return
            nonce = pair.sent.to_bytes(NONCE_SIZE, "little")
            pair.sent += 1
            header = (len(data) + TAG_SIZE).to_bytes(HEADER_SIZE, "big")
            sealed = crypto_aead_chacha20poly1305_ietf_encrypt(data, header, nonce, KEY)
            pair.sealed.sendall(header + sealed)
        except OSError:
            self._close(pair)

    def _open(self, pair: Pair) -> None:
        try:
            data = pair.kept + pair.sealed.recv(2 * READ_SIZE)
            if data == pair.kept:
                self._close(pair)
                return
            at = 0
            while len(data) >= (body := at + HEADER_SIZE):
                after = body + int.from_bytes(data[at:body], "big")
                if len(data) < after:
                    break
                nonce = pair.received.to_bytes(NONCE_SIZE, "little")
                pair.received += 1
                header, sealed = data[at:body], data[body:after]
                pair.plain.sendall(crypto_aead_chacha20poly1305_ietf_decrypt(sealed, header, nonce, KEY))
                at = after
            pair.kept = data[at:]
        except OSError:
            self._close(pair)

    def _close(self, pair: Pair) -> None:
        for connection in (pair.plain, pair.sealed):
            if self._ready.pop(connection.fileno(), None):
                connection.close()


def main() -> None:
    """Run one end."""
    end, port, address, target = sys.argv[1:]
    # Its other end may listen on another address of this machine than 127.0.0.1.
    listening = socket.create_server(("0.0.0.0", int(port)), backlog=BACKLOG)  # noqa: S104
    Relay(listening, (address, int(target)), near=end == "near").run()


if __name__ == "__main__":
    main()
