"""A path between tfd and a location that breaks: it cuts each connection some time after it was made."""

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

CHUNK = 65536
TICK = 0.05
LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class _Path:
    """The two connections of one client, and when they are cut."""

    client: socket.socket
    server: socket.socket
    end: float


class Cutting:
    """Forwards connections to `target`, each for `life` seconds; the first `spread` ones each for some more.

    So those that are made at the same time at first are cut in turn. While it holds, their time stands still.
    """

    def __init__(self, target: tuple[str, int], life: float, spread: int) -> None:
        self._target = target
        self._life = life
        self._spread = spread
        self._accepted = 0
        # Seconds in which it might have cut.
        self._clock = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._paths: dict[socket.socket, _Path] = {}
        self._stop = threading.Event()
        self._holding = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cutting")

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._listener.getsockname()[1]
        return port

    def hold(self) -> None:
        """Cut nothing until `go_on`."""
        self._holding.set()

    def go_on(self) -> None:
        """Cut again."""
        self._holding.clear()

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._paths:
            end.close()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._stop.is_set():
            for key, _ in self._selector.select(TICK):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    self._accept()
                elif end in self._paths:
                    self._forward(end)
            now = time.monotonic()
            if not self._holding.is_set():
                self._clock += now - before
                self._cut_due()
            before = now

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, LIMIT)
        except OSError:
            client.close()
            return
        self._accepted += 1
        longer = self._life * self._accepted / self._spread if self._accepted <= self._spread else 0.0
        path = _Path(client, server, self._clock + self._life + longer)
        for end in (client, server):
            self._paths[end] = path
            self._selector.register(end, selectors.EVENT_READ)

    def _forward(self, end: socket.socket) -> None:
        path = self._paths[end]
        data = b""
        with suppress(OSError):
            data = end.recv(CHUNK)
            if data:
                (path.server if end is path.client else path.client).sendall(data)
                return
        self._close(path)

    def _cut_due(self) -> None:
        for path in {id(path): path for path in self._paths.values() if path.end <= self._clock}.values():
            self._close(path)

    def _close(self, path: _Path) -> None:
        for end in (path.client, path.server):
            self._paths.pop(end)
            self._selector.unregister(end)
            end.close()
