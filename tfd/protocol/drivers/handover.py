"""From one process to the next: the state in sealed memory, the sockets in flight.

The service manager compares each descriptor that it is to keep with all that it has, so thousands would hold
it up. Hence the sockets wait in the queue of one pair of Unix sockets (unix(7), SCM_RIGHTS), and two
descriptors are kept: the receiving end, and the memory. Each socket is found again by its cookie, so that a
mix-up can only lose what it mixes up.
"""

import fcntl
import mmap
import os
import socket
from collections.abc import Iterator
from typing import Final

from tfd.protocol import handover
from tfd.protocol.drivers.relaying.sockets import cookie
from tfd.protocol.drivers.systemd.inherited import Inherited
from tfd.protocol.drivers.systemd.notify import MOST_AT_ONCE, Notifier
from tfd.protocol.handover import HandOverError

MOST: Final = 16_384
"""Connections that are handed over; what is beyond is closed."""

STORE_LIMIT: Final = 5.0
"""Seconds that the service manager has to take the two descriptors."""

_STATE: Final = "handover-state"
_SOCKETS: Final = "handover-sockets"
_PLAIN: Final = b"p"
_CHANNEL: Final = b"c"
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Outgoing:
    """What this process leaves. Raises OSError where there is no memory or no descriptor for it.

    Args:
        program: whose state it is.
        version: its version, for the next one's log.

    """

    def __init__(self, program: str, version: str) -> None:
        self._memory = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sender.setblocking(False)
        # As much as the kernel allows: a packet waits for each 253 sockets.
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._waiting: list[socket.socket] = []
        self._roles = b""
        self._full = False
        self.dropped = 0
        """Connections that were taken and then not put in flight, for the kernel's want of room."""
        self._write(handover.begin(program, version))

    def add(
        self, record: object, plain: socket.socket | None = None, channel: socket.socket | None = None
    ) -> bool:
        """Take a record and its sockets, which are this object's then; false where there is no room."""
        sockets = [found for found in (plain, channel) if found is not None]
        if len(self._waiting) + len(sockets) > MOST_AT_ONCE:
            self._send()
        if self._full or not self._write(handover.frame(record)):
            self._full = True
            return False
        self._waiting += sockets
        self._roles += (_PLAIN if plain is not None else b"") + (_CHANNEL if channel is not None else b"")
        return True

    def finish(self) -> tuple[int, int]:
        """Give the memory, which nobody changes any more, and the receiving end; they stay this object's."""
        self._send()
        self._write(handover.END)
        fcntl.fcntl(self._memory, fcntl.F_ADD_SEALS, _SEALS)
        return self._memory, self._receiver.fileno()

    def close(self) -> None:
        """Close this process's copies."""
        for found in self._waiting:
            found.close()
        self._waiting.clear()
        self._sender.close()
        self._receiver.close()
        os.close(self._memory)

    def _write(self, data: bytes) -> bool:
        before = os.fstat(self._memory).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._memory, view) :]
        except OSError:
            os.ftruncate(self._memory, before)
            os.lseek(self._memory, before, os.SEEK_SET)
            return False
        return True

    def _send(self) -> None:
        """Put what waits in flight; without room for it, its records are found without their sockets."""
        if not self._waiting:
            return
        try:
            socket.send_fds(self._sender, [self._roles], [found.fileno() for found in self._waiting])
        except OSError:
            self._full = True
            self.dropped += self._roles.count(_PLAIN)
        for found in self._waiting:
            found.close()
        self._waiting.clear()
        self._roles = b""


class Incoming:
    """What the process before left. Sockets that are not claimed until `close` are reset.

    Attributes:
        trouble: why no record can be read; empty where they can.

    """

    def __init__(self, program: str, kinds: tuple[type, ...], state: int | None, sockets: int | None) -> None:
        """Take the two descriptors, which become this object's."""
        self.trouble = ""
        self._records: Iterator[object] = iter(())
        self._sockets = {cookie(found): (role, found) for role, found in _queue(sockets)}
        try:
            self._records = handover.read(_content(state), program, kinds)
        except HandOverError as error:
            self.trouble = str(error)

    def __iter__(self) -> Iterator[object]:
        """Give each record, and an Unreadable for what is none."""
        return self._records

    def claim(self, number: int | None) -> socket.socket | None:
        """Give the socket with that cookie, non-blocking; None where it has not come."""
        _, found = self._sockets.pop(number, (b"", None)) if number is not None else (b"", None)
        if found is not None:
            found.setblocking(False)
        return found

    def unclaimed(self) -> list[socket.socket]:
        """Give the plain sides (clients, containers' ports) that nobody claimed; they stay this object's."""
        return [found for role, found in self._sockets.values() if role == _PLAIN]

    def close(self) -> None:
        """Reset what was not claimed."""
        for _, found in self._sockets.values():
            found.close()
        self._sockets.clear()


def leave(outgoing: Outgoing, notifier: Notifier) -> bool:
    """Have it all kept for the next process; false where that was not done within STORE_LIMIT."""
    memory, receiver = outgoing.finish()
    notifier.store(_STATE, [memory])
    notifier.store(_SOCKETS, [receiver])
    taken = notifier.barrier(STORE_LIMIT)
    outgoing.close()
    return taken


def take(inherited: Inherited, notifier: Notifier, program: str, kinds: tuple[type, ...]) -> Incoming | None:
    """Take what the process before left, None where it left nothing; it is kept no longer."""
    states, sockets = inherited.take(_STATE), inherited.take(_SOCKETS)
    if not states and not sockets:
        return None
    notifier.forget(_STATE)
    notifier.forget(_SOCKETS)
    # More than one of a name: a process ended before it took what was left to it. The last one counts.
    for former in states[:-1] + sockets[:-1]:
        os.close(former)
    return Incoming(program, kinds, *(found[-1] if found else None for found in (states, sockets)))


def _content(state: int | None) -> memoryview:
    """Give what is in the memory, without a copy of it; the descriptor is closed."""
    if state is None:
        return memoryview(b"")
    try:
        return memoryview(mmap.mmap(state, 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
    except (OSError, ValueError):
        return memoryview(b"")
    finally:
        os.close(state)


def _queue(descriptor: int | None) -> Iterator[tuple[bytes, socket.socket]]:
    """Give the sockets in flight with their roles; those beyond this process's RLIMIT_NOFILE are reset."""
    if descriptor is None:
        return
    try:
        receiver = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return
    with receiver:
        receiver.setblocking(False)
        while True:
            try:
                roles, descriptors, _, _ = socket.recv_fds(
                    receiver, MOST_AT_ONCE, MOST_AT_ONCE, socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                return
            if not roles:
                return
            for role, found in zip(roles, descriptors, strict=False):
                try:
                    yield bytes((role,)), socket.socket(fileno=found)
                except OSError:
                    os.close(found)
