"""`tf kv`: the account's key-value store at the location."""

import argparse
import sys
import threading
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, add_group, json_option
from tfnz.cli.manage.following import write
from tfnz.cli.manage.tables import show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfnz.cli.manage.adding import Commands
    from tfnz.keyvalues import Value

TYPES = ("text", "integer", "number", "bytes")


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    group = add_group(commands, "kv", "read, change and watch the account's key-value store")
    get = add_command(group, "get", "print a value as it is", _get)
    get.add_argument("key", metavar="KEY", help="of which")
    put = add_command(
        group,
        "set",
        "add or replace values, all or none",
        _set,
        more="A VALUE of - is read from stdin, of which one is allowed.",
    )
    put.add_argument("--type", choices=TYPES, default="text", help="what the values are (default: text)")
    put.add_argument("pairs", metavar="KEY VALUE", nargs="+", help="keys and their values, in turn")
    removal = add_command(group, "rm", "delete keys, all or none", _remove)
    removal.add_argument("keys", metavar="KEY", nargs="+", help="what to delete")
    json_option(add_command(group, "list", "list keys and values", _list))
    watch = add_command(group, "watch", "print each change until Ctrl-C: a line of key and value", _watch)
    json_option(watch)
    watch.add_argument("keys", metavar="KEY", nargs="*", help="of these keys alone")


def _get(options: argparse.Namespace) -> int:
    with connected(options) as location:
        values = dict(location.kv)
    if options.key not in values:
        raise ValueError(f"there is no key {options.key!r}; see: tf kv list")
    value = values[options.key]
    write(value if isinstance(value, bytes) else f"{_shown(value)}\n".encode())
    return 0


def _set(options: argparse.Namespace) -> int:
    if len(options.pairs) % 2:
        raise ValueError(f"key {options.pairs[-1]!r} has no value; such as: tf kv set KEY VALUE")
    keys, texts = options.pairs[::2], options.pairs[1::2]
    changes = {key: _value(key, text, options.type) for key, text in zip(keys, texts, strict=True)}
    with connected(options) as location:
        location.set_kv(changes)
    return 0


def _value(key: str, text: str, kind: str) -> "Value":
    """Give the value of what was typed; raises ValueError."""
    data = sys.stdin.buffer.read() if text == "-" else text.encode("utf-8", "surrogateescape")
    if kind == "bytes":
        return data
    try:
        decoded = data.decode()
        return int(decoded) if kind == "integer" else float(decoded) if kind == "number" else decoded
    except ValueError:
        raise ValueError(f"key {key!r}: the value is no {kind}; another --type may fit") from None


def _remove(options: argparse.Namespace) -> int:
    with connected(options) as location:
        values = dict(location.kv)
        missing = [key for key in options.keys if key not in values]
        if missing:
            raise ValueError(f"there is no key {missing[0]!r}; see: tf kv list")
        location.set_kv(dict.fromkeys(options.keys))
    return 0


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        values = dict(location.kv)
    if options.json:
        print(show_json(values))
        return 0
    rows = [(key, type(values[key]).__name__, _shown(values[key])) for key in sorted(values)]
    print(show_table(("KEY", "TYPE", "VALUE"), rows))
    return 0


def _shown(value: "Value") -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _watch(options: argparse.Namespace) -> int:
    with connected(options) as location:

        def changed(changes: "Mapping[str, Value | None]") -> None:
            for key, value in changes.items():
                if options.keys and key not in options.keys:
                    continue
                if options.json:
                    line = show_json({"key": key, "value": value}, one_line=True)
                else:
                    line = f"{key}\t{'' if value is None else _shown(value)}"
                print(line, flush=True)

        location.watch_kv(changed)
        while location.connection.ended is None:
            threading.Event().wait(1.0)
        raise location.connection.ended
