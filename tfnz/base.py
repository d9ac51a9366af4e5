"""What the SDK's objects have in common: they become ready, die, connect to one another, bear tags."""

import base64
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from tfd.protocol.command_types import UUID_ALPHABET

if TYPE_CHECKING:
    from types import TracebackType

    from tfnz.connection import Connection

READY_LIMIT: Final = 60.0
"""Seconds that things wait to become ready, unless the caller says otherwise."""

UUID_SIZE: Final = 22
TAG_SIZE: Final = 63

Key = bytes | str


def new_uuid() -> bytes:
    """Give a new id: 22 characters, of which each is one of 57, by the system's random numbers."""
    characters: list[str] = []
    most = 256 - 256 % len(UUID_ALPHABET)
    while len(characters) < UUID_SIZE:
        # Bytes past the last whole multiple would make the first characters likelier.
        characters += [UUID_ALPHABET[byte % len(UUID_ALPHABET)] for byte in os.urandom(32) if byte < most]
    return "".join(characters[:UUID_SIZE]).encode("ascii")


def as_bytes(key: Key) -> bytes:
    """Give a key as bytes. Raises ValueError for anything but text and bytes."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    raise ValueError(f"a key is text or bytes, not {type(key).__name__}")


def as_text(key: Key) -> str:
    """Give a key as text. Raises ValueError for anything but text and bytes in UTF-8."""
    return as_bytes(key).decode()


class Waitable:
    """Something that takes a while to be ready.

    Args:
        locked: whether it is not ready yet.

    """

    def __init__(self, locked: bool = True) -> None:
        self._readiness = threading.Condition()
        self._ready = not locked
        self._failure: str | None = None

    def wait_until_ready(self, timeout: float | None = READY_LIMIT) -> Self:
        """Wait until it is ready, at most `timeout` seconds (None: for ever), and give it back.

        Raises TimeoutError, or at once ValueError with the reason where it will never be ready.
        """
        with self._readiness:
            if not self._readiness.wait_for(lambda: self._ready or self._failure is not None, timeout):
                raise TimeoutError(f"{self!r} is not ready after {timeout:g} s")
            if not self._ready:
                raise ValueError(f"{self!r} will not be ready: {self._failure}")
        return self

    def is_ready(self) -> bool:
        """Tell whether it is ready."""
        return self._ready

    def mark_as_ready(self) -> None:
        """Let those who wait go on. Repeatable."""
        self._mark(ready=True, failure=None)

    def mark_not_ready(self) -> None:
        """Let those who come wait. Repeatable."""
        self._mark(ready=False, failure=None)

    def mark_as_failed(self, reason: str) -> None:
        """Make those who wait, and those who come, raise ValueError with this reason."""
        self._mark(ready=False, failure=reason)

    def _mark(self, *, ready: bool, failure: str | None) -> None:
        with self._readiness:
            self._ready, self._failure = ready, failure
            self._readiness.notify_all()


class Killable:
    """Something that can be dead."""

    def __init__(self) -> None:
        self.dead = False

    def mark_as_dead(self) -> None:
        """Let it be dead from now on. Repeatable."""
        self.dead = True

    def bail_if_dead(self) -> bool:
        """Tell whether it is dead, and say so in the debug log."""
        if self.dead:
            import logging

            logging.getLogger("tfnz").debug("%r is dead already", self)
        return self.dead

    def ensure_alive(self) -> None:
        """Raise ValueError when it is dead."""
        if self.dead:
            raise ValueError(f"{self!r} is dead already")


class Ending:
    """Something that `with` ends. `_leave` is what ends it, and may be called for what has ended already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        raise NotImplementedError


class Connectable:
    """Something with an address at the location, to which connections may be allowed.

    Args:
        conn: the connection of the session that knows it.
        uuid: its id.
        node: public key of its node, 32 bytes.
        ip: its address, None while it is not known.

    """

    def __init__(self, conn: "Connection", uuid: Key, node: bytes, ip: str | None) -> None:
        self.conn: Callable[[], Connection] = lambda: conn
        self.uuid = as_bytes(uuid)
        self.node_pk = node
        self.ip: Any = ip

    def container_id(self) -> str:
        """Give the location's own id of it. Raises ValueError where there is none any more."""
        raise NotImplementedError

    def allow_connection_from(self, container: "Connectable") -> None:
        """Let `container` open connections to any port of this one, from now on. Repeatable.

        Raises ValueError, TimeoutError.
        """
        self.conn().call(
            "connection.allow", {"from": _other(container).container_id(), "to": self.container_id()}
        )

    def disallow_connection_from(self, container: "Connectable") -> None:
        """Take that back, for open connections too. Repeatable. Raises ValueError, TimeoutError."""
        self.conn().call(
            "connection.disallow", {"from": _other(container).container_id(), "to": self.container_id()}
        )


def _other(container: object) -> Connectable:
    if not isinstance(container, Connectable):
        raise ValueError(f"connections come from a container, not from {type(container).__name__}")
    return container


class Taggable:
    """Something that its owner finds by uuid, or by a tag.

    Args:
        user: public key of the account, 32 bytes.
        uuid: its id.
        tag: another name for it, unique for the account and the kind of thing.

    """

    def __init__(self, user: Key, uuid: Key, tag: Key | None = None) -> None:
        if not user or not uuid:
            raise RuntimeError("what can be tagged has a user and a uuid")
        self.user = as_bytes(user)
        self.uuid = as_bytes(uuid)
        self.tag = as_bytes(tag) if tag is not None else None

    def uuid_key(self) -> tuple[bytes, bytes]:
        """Give what it is found by: user and uuid."""
        return self.user, self.uuid

    def tag_key(self) -> tuple[bytes, bytes] | tuple[None, None]:
        """Give user and tag, two None where there is no tag."""
        return (self.user, self.tag) if self.tag is not None else (None, None)

    def display_name(self) -> str:
        """Give `uuid`, or `uuid:tag`."""
        return as_text(self.uuid) + (f":{as_text(self.tag)}" if self.tag is not None else "")

    def global_display_name(self) -> str:
        """Give the base64 of the user, a colon, and the display name."""
        return f"{base64.b64encode(self.user).decode()}:{self.display_name()}"

    @staticmethod
    def valid_tag(tag: Key | None) -> bytes | None:
        """Give a tag in lower case; None for None.

        Raises ValueError unless it is 1 to 63 printable ASCII characters without blanks and colons that
        do not look like a uuid.
        """
        if tag is None:
            return None
        text = as_text(tag).lower()
        if not 0 < len(text) <= TAG_SIZE or any(not "!" <= letter <= "~" or letter == ":" for letter in text):
            raise ValueError(
                f"{tag!r} is not a tag; allowed: 1 to {TAG_SIZE} printable ASCII characters without blanks "
                "and colons"
            )
        if len(text) == UUID_SIZE and all(letter in UUID_ALPHABET for letter in text):
            raise ValueError(f"{tag!r} looks like a uuid, so it cannot be a tag")
        return text.encode("ascii")


O = TypeVar("O", bound=Taggable)  # noqa: E741 - of the objects in a collection


class TaggedCollection(Generic[O]):
    """A store of things that are found by uuid or tag. Safe on several threads.

    Args:
        initial: what is in it at first.

    """

    def __init__(self, initial: Iterable[O] | None = None) -> None:
        self.objects: dict[tuple[bytes, bytes], O] = {}
        """By user and uuid."""
        self.uniques: dict[tuple[bytes, bytes], O] = {}
        """By user and uuid, and by user and tag."""
        self.uuid_uuidkey: dict[bytes, tuple[bytes, bytes]] = {}
        """The key in `objects`, by uuid alone."""
        self._lock = threading.RLock()
        for thing in initial or ():
            self.add(thing)

    def add(self, thing: O) -> None:
        """Add a thing. Raises RuntimeError where its uuid or tag is taken."""
        with self._lock:
            if self.will_clash(thing.user, thing.uuid, thing.tag):
                raise RuntimeError(f"{thing.display_name()}: there is a thing of that uuid or tag already")
            self.objects[thing.uuid_key()] = thing
            self.uuid_uuidkey[thing.uuid] = thing.uuid_key()
            for key in _keys(thing):
                self.uniques[key] = thing

    def remove(self, thing: O) -> None:
        """Remove a thing. Raises KeyError where it is not in here."""
        with self._lock:
            if self.objects.get(thing.uuid_key()) is not thing:
                raise KeyError(thing.display_name())
            del self.objects[thing.uuid_key()]
            del self.uuid_uuidkey[thing.uuid]
            for key in _keys(thing):
                del self.uniques[key]

    def get(self, user: Key, key: Key) -> O:
        """Give the thing of a user by uuid, tag or `uuid:tag`.

        Raises KeyError, ValueError for more than one colon, RuntimeError for None.
        """
        if key is None:
            raise RuntimeError("None is no key")
        parts = as_bytes(key).split(b":")
        if len(parts) > 2:
            raise ValueError(f"{key!r} has more than one colon; allowed: a uuid, a tag, or uuid:tag")
        with self._lock:
            owner = as_bytes(user)
            found = self.uniques.get((owner, parts[0])) or self.uniques.get((owner, parts[0].lower()))
        if found is None:
            raise KeyError(as_text(key) if isinstance(key, str) else key)
        return found

    def will_clash(self, user: Key, uuid: Key, tag: Key | None) -> bool:
        """Tell whether a thing of that uuid or tag is in here."""
        with self._lock:
            owner = as_bytes(user)
            if as_bytes(uuid) in self.uuid_uuidkey or (owner, as_bytes(uuid)) in self.uniques:
                return True
            return tag is not None and (owner, as_bytes(tag)) in self.uniques

    def values(self) -> set[O]:
        """Give the things."""
        with self._lock:
            return set(self.objects.values())

    def __call__(self) -> set[O]:
        """Give the things."""
        return self.values()

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, uuid: Key) -> O:
        with self._lock:
            return self.objects[self.uuid_uuidkey[as_bytes(uuid)]]

    def __contains__(self, what: object) -> bool:
        with self._lock:
            if isinstance(what, bytes | str):
                return as_bytes(what) in self.uuid_uuidkey
            return isinstance(what, Taggable) and self.objects.get(what.uuid_key()) is what

    def __iter__(self) -> NoReturn:
        raise RuntimeError("iterate over values(): the collection changes while it is iterated over")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise RuntimeError("use add(): a thing knows its own keys")


def _keys(thing: Taggable) -> list[tuple[bytes, bytes]]:
    keys = [thing.uuid_key()]
    if thing.tag is not None:
        keys.append((thing.user, thing.tag))
    return keys
