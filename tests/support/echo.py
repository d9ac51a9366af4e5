"""An echo server for thousands of connections: one thread, whatever their number."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self

LIMIT = 10.0


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
                    self._selector.register(self._listening.accept()[0], selectors.EVENT_READ)
                else:
                    self._echo(key.fileobj)

    def _echo(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = connection.recv(1 << 16)
            connection.sendall(data)
        if not data:
            self._selector.unregister(connection)
            connection.close()

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
