"""Which containers may reach which, kept in the engine's memory.

Two kinds side by side: one declared set for each account and environment, replaced as a whole, and single
pairs, allowed and disallowed one by one. What either allows is open.

Pure: turns both into entries of the memory area and back, and all of them into what the engine is told.
"""

import json
from collections.abc import Collection, Iterable, Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import ContainerInfo

PREFIX = "connections."
SINGLE = "allowed."
CHUNK = 32
"""Pairs in one entry of the memory area, whose values are at most some KiB each."""

MAX_SINGLES = 1024
"""Single pairs from one container."""

Pair = tuple[str, str, str]
"""From id, name, to id: `name` leads to `to` in from's /etc/hosts; a single pair has no name."""

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


def write_single(
    memory: Mapping[str, str], account: str, source: str, target: str, *, allow: bool
) -> Changes:
    """Give what to change in `memory` so that the single pair is allowed, or is not.

    Raises CommandError limit.
    """
    key = f"{SINGLE}{account}/{source}"
    old = set(_texts(memory.get(key, "[]")))
    fresh = old | {target} if allow else old - {target}
    if len(fresh) > max(MAX_SINGLES, len(old)):
        raise CommandError(
            Code.LIMIT, f"container {source} is allowed to reach {len(old)} others; allowed: {MAX_SINGLES}"
        )
    return _single(memory, key, fresh)


def without(memory: Mapping[str, str], living: Collection[str]) -> Changes:
    """Give what to change in `memory` so that no single pair has a container that is not among `living`."""
    changes: Changes = {}
    for key, value in memory.items():
        if key.startswith(SINGLE):
            source = key.rpartition("/")[2]
            targets = {target for target in _texts(value) if target in living}
            changes |= _single(memory, key, targets if source in living else set())
    return changes


def read(memory: Mapping[str, str]) -> dict[str, set[Pair]]:
    """All pairs by account; entries that cannot be read are left out."""
    sets: dict[str, set[Pair]] = {}
    for key, value in memory.items():
        if key.startswith(PREFIX):
            account = key.removeprefix(PREFIX).split("/", 1)[0]
            sets.setdefault(account, set()).update(_pairs(value))
        elif key.startswith(SINGLE):
            account, _, source = key.removeprefix(SINGLE).partition("/")
            sets.setdefault(account, set()).update((source, "", target) for target in _texts(value))
    return sets


def _single(memory: Mapping[str, str], key: str, targets: set[str]) -> Changes:
    value = json.dumps(sorted(targets), separators=(",", ":")) if targets else None
    return {} if memory.get(key) == value else {key: value}


def _texts(value: str) -> list[str]:
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return []
    return [item for item in items if isinstance(item, str)] if isinstance(items, list) else []


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
                if name:
                    hosts.setdefault(source, {})[name] = end.ip
    return pairs, hosts
