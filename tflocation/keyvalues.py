"""The key-value store of each account, kept in the engine's memory area.

Pure: turns entries of the memory area into values and back. One store is one JSON document, cut into parts
of a size that the engine stores well; JSON tells true, 1, 1.0 and "1" apart, bytes are written in base64.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation.limits import KIB, MIB, readable

PREFIX = "keys."
PART = 32 * KIB
"""Characters in one entry of the memory area."""

MAX_KEYS = 1024
"""Keys of one account."""

MAX_SIZE = 256 * KIB
"""Bytes of one account's keys and values together: all of them fit into one message, and room is left."""

MAX_TOTAL = 16 * MIB
"""Characters of all accounts' stores: the engine writes its memory area as a whole."""

Value = bytes | str | int | float | bool
Changes = dict[str, str | None]


def _prefix(account: str) -> str:
    # No account's name holds a slash, so that no two stores share a prefix.
    return f"{PREFIX}{account}/"


def read(memory: Mapping[str, str], account: str) -> dict[str, Value]:
    """Give the account's values by key. Raises CommandError engine where the store cannot be read."""
    parts = _parts(memory, account)
    if not parts:
        return {}
    try:
        document = json.loads("".join(parts.values()))
        return {key: _value(written) for key, written in document.items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CommandError(
            Code.ENGINE,
            f"the key-value store of {account} cannot be read: another program wrote {PREFIX}{account}/ in "
            "the engine's memory area; the administrator must mend or remove it",
        ) from error


def read_all(memory: Mapping[str, str]) -> dict[str, dict[str, Value]]:
    """Give the values of all accounts; stores that cannot be read are left out."""
    accounts = {key.removeprefix(PREFIX).split("/", 1)[0] for key in memory if key.startswith(PREFIX)}
    stores = {}
    for account in accounts:
        try:
            stores[account] = read(memory, account)
        except CommandError:
            continue
    return stores


def write(
    memory: Mapping[str, str],
    account: str,
    changes: Mapping[str, Value | None],
    expect: Mapping[str, Value | None],
) -> Changes:
    """Give what to change in `memory` so that `changes` hold; None removes a key.

    Raises CommandError: busy where a key of `expect` has another value (None: is there), limit, and engine
    where the store cannot be read.
    """
    present = read(memory, account)
    for key, value in expect.items():
        if not same(present.get(key), value):
            raise CommandError(
                Code.BUSY, f"key {key!r} has another value than was expected; read it again and decide anew"
            )
    values = {key: value for key, value in (present | dict(changes)).items() if value is not None}
    _check(values)
    text = json.dumps({key: _written(value) for key, value in sorted(values.items())}, separators=(",", ":"))
    wanted = _cut(text, account) if values else {}
    old = _parts(memory, account)
    total = sum(len(value) for key, value in memory.items() if key.startswith(PREFIX))
    others = total - sum(map(len, old.values()))
    if others + len(text) > max(MAX_TOTAL, total):
        raise CommandError(
            Code.LIMIT,
            f"the key-value stores of this location have no room left: {readable(MAX_TOTAL)} in all",
        )
    fresh: Changes = dict.fromkeys(old.keys() - wanted.keys())
    fresh.update({name: part for name, part in wanted.items() if old.get(name) != part})
    return fresh


def guarded(memory: Mapping[str, str], account: str, changes: Changes) -> Changes:
    """Give what the memory area must still hold for `changes` to be right: the whole store as it was read."""
    return {**dict.fromkeys(changes), **_parts(memory, account)}


def difference(old: Mapping[str, Value], new: Mapping[str, Value]) -> dict[str, Value | None]:
    """Give what became of each key that differs; None for one that is gone."""
    changed = {key: value for key, value in new.items() if not same(old.get(key), value)}
    return {**dict.fromkeys(old.keys() - new.keys()), **changed}


def same(one: Value | None, other: Value | None) -> bool:
    """Tell whether two values are equal and of one type: 1, 1.0 and True are three values."""
    return type(one) is type(other) and one == other


def _check(values: Mapping[str, Value]) -> None:
    if len(values) > MAX_KEYS:
        raise CommandError(Code.LIMIT, f"keys: an account's limit is {MAX_KEYS}; {len(values)} asked for")
    size = sum(len(key.encode()) + _size(value) for key, value in values.items())
    if size > MAX_SIZE:
        raise CommandError(
            Code.LIMIT,
            f"keys and values: an account's limit is {readable(MAX_SIZE)}; {readable(size)} asked for",
        )


def _size(value: Value) -> int:
    """Give the bytes that a value counts: a number counts eight."""
    if isinstance(value, str):
        return len(value.encode())
    return len(value) if isinstance(value, bytes) else 8


def _parts(memory: Mapping[str, str], account: str) -> dict[str, str]:
    """Give the store's entries in order; their numbers all have one length."""
    prefix = _prefix(account)
    return {name: memory[name] for name in sorted(memory) if name.startswith(prefix)}


def _cut(text: str, account: str) -> Changes:
    starts = range(0, len(text), PART)
    return {
        f"{_prefix(account)}{number:04}": text[start : start + PART] for number, start in enumerate(starts)
    }


def _written(value: Value) -> object:
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else value


def _value(written: object) -> Value:
    if isinstance(written, dict):
        return b64decode(written["bytes"], validate=True)
    if not isinstance(written, str | int | float):
        raise TypeError(f"a stored value is {written!r}")
    return written
