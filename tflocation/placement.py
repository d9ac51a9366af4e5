"""The best node for a new container, where the client left the choice to the location. Pure: no I/O."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tflocation.engines.interface import NodeInfo

FAILURE_MEMORY = 300.0
"""Seconds for which a failed start on a node counts against it."""

MAX_FAILURES = 1000
"""Failures remembered in all; older ones are forgotten first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen node, and why, in one line."""

    node: str
    reason: str


class Failures:
    """Which container failed to start where, for the last five minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, str, str, str]] = deque(maxlen=MAX_FAILURES)

    def add(self, account: str, name: str, node: str, now: float) -> None:
        """Note that this container failed on `node` at `now` (seconds, monotonic)."""
        self._seen.append((now, account, name, node))

    def count(self, account: str, name: str, node: str, now: float) -> int:
        """Failures of this container on `node` within `FAILURE_MEMORY` before `now`."""
        return sum(
            entry[1:] == (account, name, node) and now - entry[0] < FAILURE_MEMORY for entry in self._seen
        )


def load_of(node: NodeInfo) -> float:
    """Give the busiest of processor, memory and paging, 0 (idle) to 1 (full), rounded to a tenth."""
    memory = 1 - node.memory_free / node.memory_total if node.memory_total else 1.0
    return round(min(1.0, max(node.load, memory, node.paging)), 1)


def best_node(
    name: str,
    nodes: Sequence[NodeInfo],
    failures: Mapping[str, int],
    copies: Mapping[str, int],
) -> Choice | None:
    """Give the first online node in the order: failures, copies, load, stable hash.

    The image counts for nothing here: it is at the location by now, whose engine has it on every node.

    Args:
        name: the container's name, `environment/NAME/replica`.
        nodes: the candidates.
        failures: recent failures of this container for each node.
        copies: replicas of the same declared container that each node runs.

    """

    def rank(node: NodeInfo) -> tuple[int, int, float, bytes]:
        tie = blake2b(f"{name}\0{node.name}".encode(), digest_size=8).digest()
        return (
            failures.get(node.name, 0),
            copies.get(node.name, 0),
            load_of(node),
            tie,
        )

    online = [node for node in nodes if node.online]
    if not online:
        return None
    best = min(online, key=rank)
    failed, running, load, _ = rank(best)
    return Choice(best.name, f"failures {failed}, copies {running}, load {load:.1f}, of {len(online)} online")
