"""Listening sockets that outlive the process: those that systemd binds, and those that it keeps for us.

A socket that the service binds itself is put into the service manager's store at once, so that nobody is
refused while another process takes over, however this one ended. The next one finds it again by its address.
"""

import os
import socket
import zlib
from typing import Final

from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.systemd.inherited import Inherited
from tfd.protocol.drivers.systemd.notify import Notifier

PREFIX: Final = "listener="
"""What the names of our own listeners begin with in the store."""

_NAME_LIMIT: Final = 255  # sd_notify(3), FDNAME=
_HASHED: Final = 200

SocketName = tuple[str | int | bytes, ...] | str | bytes
"""What getsockname() gives."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A listening socket from before, and its name in the store."""

    socket: socket.socket
    name: str

    @property
    def mark(self) -> str:
        """What `keep` was told to remember of it."""
        return self.name.rpartition("#")[2]


class KeptListeners:
    """The listening sockets among what was inherited, and the store for new ones.

    Those under other names than ours were bound by a socket unit and stay systemd's: copies are lent.
    Descriptors that are no listening stream sockets are left with `inherited`.

    Args:
        inherited: what systemd passed; its listening sockets are taken out of it.
        notifier: leads to the store.

    """

    def __init__(self, inherited: Inherited, notifier: Notifier) -> None:
        self._notifier = notifier
        self._kept: list[Kept] = []
        self._passed: dict[str, list[socket.socket]] = {}
        for name, descriptor in inherited.take_where(_is_listening):
            found = socket.socket(fileno=descriptor)
            # Shared with systemd, which does not mind: it only polls.
            found.setblocking(False)
            if name.startswith(PREFIX):
                self._kept.append(Kept(found, name))
            else:
                self._passed.setdefault(name, []).append(found)
        # A process may end between closing one for good and having it removed.
        for name, descriptor in inherited.take_where(lambda name, _: name.startswith(PREFIX)):
            os.close(descriptor)
            self.forget(name)

    @property
    def passed_names(self) -> list[str]:
        """The names under which systemd passed sockets that it bound."""
        return sorted(self._passed)

    def passed(self, name: str) -> list[socket.socket]:
        """Give copies of the listening stream sockets that systemd bound under a name. Raises OSError."""
        copies: list[socket.socket] = []
        try:
            copies.extend(bound.dup() for bound in self._passed.get(name, ()))
        except OSError:
            for copy in copies:
                copy.close()
            raise
        return copies

    def lent(self, family: int, name: SocketName) -> socket.socket | None:
        """Give a copy of the socket that systemd bound to an address, or None. Raises OSError."""
        for sockets in self._passed.values():
            for bound in sockets:
                if bound.family == family and bound.getsockname() == name:
                    return bound.dup()
        return None

    def find(self, family: int, name: SocketName) -> Kept | None:
        """Give the kept socket that is bound to an address, once; None where there is none."""
        for kept in self._kept:
            if kept.socket.family == family and kept.socket.getsockname() == name:
                self._kept.remove(kept)
                return kept
        return None

    def keep(self, listening: socket.socket, mark: str = "") -> str:
        """Have a socket kept; give its name in the store. `mark` is remembered with it."""
        name = store_name(listening.getsockname(), mark)
        self._notifier.store(name, [listening.fileno()])
        return name

    def forget(self, name: str) -> None:
        """Have the socket of that name kept no longer."""
        self._notifier.forget(name)

    def take_rest(self) -> list[Kept]:
        """Give the kept sockets that `find` has not given; they are the caller's now."""
        rest, self._kept = self._kept, []
        return rest

    def close(self) -> None:
        """Close our copies of everything; systemd keeps its own."""
        for bound in [kept.socket for kept in self._kept] + [
            bound for sockets in self._passed.values() for bound in sockets
        ]:
            bound.close()
        self._kept.clear()
        self._passed.clear()


def store_name(name: SocketName, mark: str = "") -> str:
    """Give the name in the store of a socket that is bound to an address: different for different ones."""
    if isinstance(name, bytes | str):
        text = os.fsencode(name)
    else:
        text = " ".join(str(part) for part in name).encode()
    ending = f"#{mark}"
    escaped = PREFIX + "".join(chr(byte) if _is_plain(byte) else f"%{byte:02x}" for byte in text)
    if len(escaped) + len(ending) > _NAME_LIMIT:
        escaped = f"{escaped[:_HASHED]}%{zlib.crc32(text):08x}"
    return escaped + ending


def _is_plain(byte: int) -> bool:
    """Whether a byte may stand in a name as it is: printable ASCII, but for what systemd and we set apart."""
    return 0x20 <= byte < 0x7F and byte not in b":#%"


def _is_listening(_name: str, descriptor: int) -> bool:
    """Whether a descriptor is a listening stream socket; it stays open."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        return listens and found.type == socket.SOCK_STREAM
    finally:
        found.detach()
