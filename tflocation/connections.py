"""Which containers may reach which: one set for each account and environment, kept in the engine's memory.

Pure: turns sets into entries of the memory area and back, and all of them into what the engine is told.
"""

import json
from collections.abc import Iterable, Mapping

from tflocation.engines.interface import ContainerInfo

PREFIX = "connections."
CHUNK = 32
"""Pairs in one entry of the memory area, whose values are at most some KiB each."""

Pair = tuple[str, str, str]
"""From id, name, to id: `name` leads to `to` in from's /etc/hosts."""

Changes = dict[str, str | None]


def _prefix(account: str, environment: str) -> str:
    # Neither name holds a slash, so that no two sets share a prefix.
    return f"{PREFIX}{account}/{environment}/"


def write(memory: Mapping[str, str], account: str, environment: str, pairs: Iterable[Pair]) -> Changes:
    """Give what to change in `memory` so that the set of this account and environment is `pairs`."""
    prefix = _prefix(account, environment)
    ordered = sorted(set(pairs))
    chunks = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
    wanted: dict[str, str] = {
        f"{prefix}{number}": json.dumps(chunk, separators=(",", ":")) for number, chunk in enumerate(chunks)
    }
    old = {key for key in memory if key.startswith(prefix)}
    changes: Changes = dict.fromkeys(old - wanted.keys())
    changes.update({key: value for key, value in wanted.items() if memory.get(key) != value})
    return changes


def read(memory: Mapping[str, str]) -> dict[str, set[Pair]]:
    """All pairs by account; entries that cannot be read are left out."""
    sets: dict[str, set[Pair]] = {}
    for key, value in memory.items():
        if key.startswith(PREFIX):
            account = key.removeprefix(PREFIX).split("/", 1)[0]
            sets.setdefault(account, set()).update(_pairs(value))
    return sets


def _pairs(value: str) -> Iterable[Pair]:
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, list) and len(row) == 3 and all(isinstance(cell, str) for cell in row):
            yield row[0], row[1], row[2]


def allowed(
    sets: Mapping[str, Iterable[Pair]], containers: Iterable[ContainerInfo]
) -> tuple[set[tuple[str, str]], dict[str, dict[str, str]]]:
    """Pairs and hosts as `Engine.set_allowed` takes them; a pair lives while both containers do.

    Whatever an entry says, both ends belong to the account of its set.
    """
    known = {container.id: container for container in containers}
    pairs: set[tuple[str, str]] = set()
    hosts: dict[str, dict[str, str]] = {}
    for account, own in sets.items():
        for source, name, target in sorted(own):
            start, end = known.get(source), known.get(target)
            if start is not None and end is not None and start.account == end.account == account:
                pairs.add((source, target))
                hosts.setdefault(source, {})[name] = end.ip
    return pairs, hosts
