"""The daemon's status socket, and the asking side of it.

One connection is one question of one line (`status`, `accounts`, `logs NAME ...`) and one answer of one line
of JSON.
"""

import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.errors import TfdError

MAX_CLIENTS: Final = 8
MAX_QUESTION: Final = 256
"""Bytes of a question, its newline included."""

CLIENT_LIMIT: Final = 5.0
"""Seconds from a client's connection to the end of its answer."""

MAX_ANSWER: Final = 1 << 24
"""Bytes of an answer that the asking side reads at most."""


Reply = Callable[[str], None]
Answering = Callable[[Sequence[str], Reply], None]


class StatusError(TfdError):
    """The status socket cannot be made, or no daemon answers on it."""


def socket_path() -> str:
    """Give the path of the status socket: in $RUNTIME_DIRECTORY (systemd.exec(5)), else in /run/tfd."""
    return os.path.join(os.environ.get("RUNTIME_DIRECTORY", "/run/tfd").partition(":")[0], "status.sock")


class StatusServer:
    """Answers questions on a Unix socket that only the daemon's own user (and root) may open.

    Args:
        loop: the loop that serves.
        path: where the socket lies; its directory is made.
        answers: what gives the answer to each question, as one line without its end.
        later: what answers the questions that it cannot answer at once: it is told the words that follow the
            question's name, and what to call, once, with the answer.

    Raises StatusError: the socket cannot be made, or another daemon answers on it.

    """

    def __init__(
        self,
        loop: Loop,
        path: str | os.PathLike[str],
        answers: Mapping[str, Callable[[], str]],
        later: Mapping[str, Answering] = MappingProxyType({}),
    ) -> None:
        self._loop = loop
        self._path = os.fspath(path)
        self._answers = answers
        self._later = later
        self._clients: dict[int, _Client] = {}
        self._socket = _listening(self._path)
        loop.register(self._socket.fileno(), select.EPOLLIN, self._accept)

    def close(self) -> None:
        """Take the socket away and drop its clients."""
        for client in list(self._clients.values()):
            client.close()
        self._loop.unregister(self._socket.fileno())
        self._socket.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        connection.setblocking(False)
        if len(self._clients) >= MAX_CLIENTS:
            connection.close()
            return
        number = connection.fileno()
        self._clients[number] = _Client(
            self._loop, connection, self._answer, lambda: self._clients.pop(number, None)
        )

    def _answer(self, question: str, reply: Reply) -> None:
        name, *words = question.split() or [""]
        if name in self._later:
            self._later[name](words, reply)
        elif question in self._answers:
            reply(self._answers[question]())
        else:
            reply('{"error": "unknown question"}')


class _Client:
    """One connection to the status socket."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        answer: Callable[[str, Reply], None],
        closed: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._answer = answer
        self._closed = closed
        self._question = b""
        self._asked = False
        self._output = b""
        self._limit: Timer = loop.call_later(CLIENT_LIMIT, self.close)
        loop.register(connection.fileno(), select.EPOLLIN, self._ready)

    def close(self) -> None:
        self._limit.cancel()
        self._loop.unregister(self._connection.fileno())
        self._connection.close()
        self._closed()

    def _ready(self, _events: int) -> None:
        try:
            if self._output:
                self._write()
            else:
                self._read()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> None:
        data = self._connection.recv(MAX_QUESTION)
        if self._asked and data:
            return  # one connection is one question
        self._question += data
        line, newline, _ = self._question.partition(b"\n")
        if newline and not self._asked:
            self._asked = True
            self._answer(line.decode("ascii", "replace"), self._reply)
        elif not data or len(self._question) >= MAX_QUESTION:
            self.close()

    def _reply(self, answer: str) -> None:
        if self._connection.fileno() >= 0:  # else it has gone meanwhile
            self._output = answer.encode() + b"\n"
            self._loop.modify(self._connection.fileno(), select.EPOLLOUT)

    def _write(self) -> None:
        self._output = self._output[self._connection.send(self._output) :]
        if not self._output:
            self.close()


def _listening(path: str) -> socket.socket:
    directory = os.path.dirname(path) or "."
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StatusError(f"{directory}: cannot be made: {error.strerror}") from error
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setblocking(False)
    # bind(2) makes the file with the mask of this moment; a chmod afterwards would come too late.
    mask = os.umask(0o177)
    try:
        _remove_stale(path)
        listener.bind(path)
        listener.listen(MAX_CLIENTS)
    except OSError as error:
        listener.close()
        raise StatusError(f"{path}: cannot make the status socket: {error.strerror}") from error
    except StatusError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket of a daemon that was killed; raise StatusError where one still listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise StatusError(f"{path}: another tfd runs here: stop it, or set $RUNTIME_DIRECTORY")


def ask(question: str, path: str | os.PathLike[str] | None = None) -> str:
    """Ask the running daemon and give its answer, one line of JSON.

    Raises StatusError: no daemon runs, it may not be asked by this user, or it does not answer in time.
    """
    path = os.fspath(path or socket_path())
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CLIENT_LIMIT)
        try:
            connection.connect(path)
            connection.sendall(question.encode() + b"\n")
            while len(answer) < MAX_ANSWER and (data := connection.recv(1 << 16)):
                answer += data
        except (FileNotFoundError, ConnectionRefusedError):
            raise StatusError(f"no tfd runs here (nobody listens on {path})") from None
        except PermissionError:
            raise StatusError(f"{path}: permission denied: ask as root or as tfd's user") from None
        except OSError as error:
            raise StatusError(f"{path}: tfd does not answer: {error}") from None
    if not answer.endswith(b"\n"):
        raise StatusError(f"{path}: tfd does not answer: the connection ended early")
    return answer.decode().rstrip("\n")
