"""An echo server for thousands of connections: one thread, whatever their number."""

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

LIMIT = 30.0


class EchoServer:
    """Sends back what comes; use as a context manager. `port` is one of 127.0.0.1."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port: int = self._listening.getsockname()[1]
        self._waker, self._wakened = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="echo")

    def __enter__(self) -> Self:
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waker.close()
        self._thread.join(LIMIT)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakened:
                    self._close()
                    return
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._listening:
                    connection, _ = self._listening.accept()
                    connection.setblocking(False)
                    self._selector.register(connection, selectors.EVENT_READ, b"")
                else:
                    self._echo(key.fileobj, key.data)

    def _echo(self, connection: socket.socket, waiting: bytes) -> None:
        """Send what waits, or else what comes; nothing is read while something waits."""
        try:
            data = waiting or connection.recv(1 << 16)
            rest = data[connection.send(data) :]
        except BlockingIOError:
            rest = data = waiting
        except OSError:
            rest = data = b""
        if not data:
            self._selector.unregister(connection)
            connection.close()
        elif rest != waiting:
            events = selectors.EVENT_WRITE if rest else selectors.EVENT_READ
            self._selector.modify(connection, events, rest)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
