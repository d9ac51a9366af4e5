"""What systemd does with notifications and descriptors (sd_notify(3), sd_listen_fds(3)), for one program.

For what must be tried often and without a booted machine; that systemd itself does the same,
tests/packaging shows.
"""

import contextlib
import fcntl
import json
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LIMIT = 30.0
_MOST = 253
_STOP = b"X_STOP=1"

_LAUNCHER = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as passing:
    passing.connect(sys.argv[1])
    data, descriptors, _, _ = socket.recv_fds(passing, 1 << 20, 253)
high = [os.dup2(descriptor, 500 + i) for i, descriptor in enumerate(descriptors)]
for descriptor in descriptors:
    os.close(descriptor)
for i, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + i)
    os.close(descriptor)
if descriptors:
    os.environ.update(
        LISTEN_PID=str(os.getpid()),
        LISTEN_FDS=str(len(descriptors)),
        LISTEN_FDNAMES=":".join(json.loads(data)),
    )
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServiceManager:
    """Receives what a program tells, keeps its descriptors, and passes them to the next process.

    Attributes:
        told: the messages so far, those about descriptors included.

    """

    def __init__(self, directory: Path, store: int = 512) -> None:
        """Listen in `directory`. `store` is FileDescriptorStoreMax=."""
        self.told: list[str] = []
        self._store = store
        self._kept: list[tuple[str, int, bool]] = []
        self._passed: list[tuple[str, socket.socket]] = []
        self._changed = threading.Condition()
        self.path = directory / "notify"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(os.fspath(self.path))
        self._launching = directory / "launch"
        self._launch = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._launch.bind(os.fspath(self._launching))
        self._launch.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def prefix(self, *variables: str) -> list[str]:
        """Give what stands before the command of a service; `variables` are NAME=value."""
        launcher = [sys.executable, "-c", _LAUNCHER, os.fspath(self._launching)]
        return ["env", f"NOTIFY_SOCKET={self.path}", *variables, *launcher]

    def pass_socket(self, name: str, bound: socket.socket) -> None:
        """Pass a socket that is bound already, as a socket unit does; it stays the caller's."""
        self._passed.append((name, bound))

    @property
    def kept(self) -> list[str]:
        """The names in the store."""
        with self._changed:
            return sorted(name for name, _, _ in self._kept)

    def wait(self, message: str, limit: float = LIMIT) -> None:
        """Wait until a message that begins like that was told, now or before."""
        with self._changed:
            told = self._changed.wait_for(lambda: any(m.startswith(message) for m in self.told), limit)
        assert told, f"not told within {limit} s: {message}; told: {self.told}"

    def change(self, name: str, changed: Callable[[bytes], bytes]) -> None:
        """Keep another memory (memfd_create(2)) in the place of the one under a name."""
        with self._changed:
            found = next(entry for entry in self._kept if entry[0] == name)
            content = os.pread(found[1], os.fstat(found[1]).st_size, 0)
            memory = os.memfd_create("changed", os.MFD_CLOEXEC)
            with open(memory, "wb", closefd=False) as file:
                file.write(changed(content))
            os.close(found[1])
            self._kept[self._kept.index(found)] = (name, memory, found[2])

    def drop(self, name: str) -> None:
        """Keep nothing under a name, as where the store was full."""
        with self._changed:
            for entry in [entry for entry in self._kept if entry[0] == name]:
                os.close(entry[1])
                self._kept.remove(entry)

    def close(self) -> None:
        """Let go of everything."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(_STOP, os.fspath(self.path))
        self._thread.join(LIMIT)
        self._notify.close()
        self._launch.close()
        for _, descriptor, _ in self._kept:
            os.close(descriptor)

    def _serve(self) -> None:
        poll = select.poll()
        for listening in (self._notify, self._launch):
            poll.register(listening, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            # What a process told before it ended comes before the start of the next.
            if self._notify.fileno() in ready:
                data, descriptors, _, _ = socket.recv_fds(self._notify, 1 << 16, _MOST)
                if data == _STOP:
                    return
                with self._changed:
                    self._take(data.decode(), descriptors)
                    self._changed.notify_all()
            elif ready:
                self._pass_on()

    def _take(self, message: str, descriptors: Sequence[int]) -> None:
        self.told.append(message)
        fields = dict(line.partition("=")[::2] for line in message.splitlines())
        name = fields.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in fields:
            for entry in [entry for entry in self._kept if entry[0] == name]:
                os.close(entry[1])
                self._kept.remove(entry)
        for descriptor in descriptors:
            if "FDSTORE" in fields and len(self._kept) < self._store and not self._has(descriptor):
                self._kept.append((name, descriptor, fields.get("FDPOLL") != "0"))
            else:
                os.close(descriptor)

    def _has(self, descriptor: int) -> bool:
        return any(_same(descriptor, kept) for _, kept, _ in self._kept)

    def _pass_on(self) -> None:
        connection, _ = self._launch.accept()
        with connection, self._changed:
            self._evict()
            entries = [(name, bound.fileno()) for name, bound in self._passed]
            entries += [(name, descriptor) for name, descriptor, _ in self._kept]
            names = json.dumps([name for name, _ in entries]).encode()
            socket.send_fds(connection, [names], [descriptor for _, descriptor in entries])

    def _evict(self) -> None:
        """Drop what has hung up, as systemd does where FDPOLL=0 was not said."""
        poll = select.poll()
        for _, descriptor, polled in self._kept:
            if polled:
                poll.register(descriptor, 0)
        gone = {descriptor for descriptor, _ in poll.poll(0)}
        self._kept = [entry for entry in self._kept if entry[1] not in gone]
        for descriptor in gone:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _same(one: int, other: int) -> bool:
    """Tell whether two descriptors are of one open file; both ends of a pipe have one inode."""
    modes = (fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE for descriptor in (one, other))
    return os.path.sameopenfile(one, other) and len(set(modes)) == 1


@contextmanager
def service_manager(directory: Path, store: int = 512) -> Iterator[ServiceManager]:
    """Have a service manager for a while."""
    manager = ServiceManager(directory, store)
    try:
        yield manager
    finally:
        manager.close()
