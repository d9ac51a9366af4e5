"""The account's key-value store at a location, as it is known here."""

import threading
from collections.abc import Callable, Iterator, Mapping

Value = bytes | str | int | float | bool

KEY_LIMIT = 255
"""Characters of a key."""


class KeyValues(Mapping[str, Value]):
    """A read-only mapping that follows the location's; `Location.set_kv` changes it.

    Changes of other sessions are seen soon, those of this one when `set_kv` has returned.
    """

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._lock = threading.Lock()
        self._watchers: list[Callable[..., object]] = []

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<KeyValues {len(self)} keys>"

    @property
    def watchers(self) -> list[Callable[..., object]]:
        """Who wants to know of changes."""
        with self._lock:
            return list(self._watchers)

    def watch(self, callback: Callable[..., object]) -> None:
        """Add one who wants to know."""
        with self._lock:
            self._watchers.append(callback)

    def change(self, changes: Mapping[str, Value | None]) -> dict[str, Value | None]:
        """Take changes, None for deleted keys; give those that changed anything."""
        with self._lock:
            known = self._values
            real = {key: value for key, value in changes.items() if _differs(known.get(key), value)}
            # A new dict: a reader on another thread has the old state or the new one, nothing between.
            values = {**known, **{key: value for key, value in real.items() if value is not None}}
            self._values = {key: value for key, value in values.items() if real.get(key, value) is not None}
        return real

    def replace(self, values: Mapping[str, Value]) -> dict[str, Value | None]:
        """Take the whole store; give what changed."""
        return self.change({**dict.fromkeys(self, None), **values})


def check_changes(changes: object) -> None:
    """Raise ValueError unless it is a dict of keys with values that the store takes, or None."""
    if not isinstance(changes, Mapping):
        raise ValueError(f"set_kv takes a dict, not {type(changes).__name__}")
    for key, value in changes.items():
        if not isinstance(key, str) or not 0 < len(key) <= KEY_LIMIT:
            raise ValueError(f"{key!r} is not a key; allowed: text of 1 to {KEY_LIMIT} characters")
        if value is not None and not isinstance(value, bytes | str | int | float):
            raise ValueError(
                f"the value of {key!r} is of {type(value).__name__}; allowed: bytes, text, a number, a "
                "boolean, or None, which deletes the key"
            )


def _differs(one: Value | None, other: Value | None) -> bool:
    # 1, 1.0 and True are equal, and different values all the same.
    return type(one) is not type(other) or one != other
