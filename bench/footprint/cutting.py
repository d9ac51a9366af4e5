"""A path between tfd and a location that breaks: it cuts each connection some time after it was made."""

import socket
import threading
import time

from tests.support.forwarder import Forwarder


class Cutting(Forwarder):
    """Forwards connections to `target`, each for `life` seconds; the first `spread` ones each for some more.

    So those that are made at the same time at first are cut in turn. While it holds, their time stands still.
    """

    def __init__(self, target: tuple[str, int], life: float, spread: int) -> None:
        super().__init__(target)
        self._life = life
        self._spread = spread
        self._accepted = 0
        # Seconds in which it might have cut, and when they were counted last.
        self._clock = 0.0
        self._counted = time.monotonic()
        self._ends: dict[socket.socket, float] = {}
        """By the clients' connections: when they are cut."""
        self._holding = threading.Event()

    def hold(self) -> None:
        """Cut nothing until `go_on`."""
        self._holding.set()

    def go_on(self) -> None:
        """Cut again."""
        self._holding.clear()

    def _turned(self) -> None:
        now = time.monotonic()
        if not self._holding.is_set():
            self._clock += now - self._counted
            for client in [client for client, end in self._ends.items() if end <= self._clock]:
                self._close(client)
        self._counted = now

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        super()._join(client, server)
        self._accepted += 1
        longer = self._life * self._accepted / self._spread if self._accepted <= self._spread else 0.0
        self._ends[client] = self._clock + self._life + longer

    def _close(self, connection: socket.socket) -> None:
        client = connection if connection in self._ends else self._peers[connection]
        del self._ends[client]
        super()._close(connection)
