"""What a node had to spare lately: rates from two readings of its counters. Pure: time is a parameter."""

from collections import deque
from dataclasses import dataclass

from tflocation.engines.interface import NodeInfo

SHORTEST: float = 1.0
"""Seconds between two readings that rates are made of; what is asked again sooner has the rates before."""

INTERVAL: float = 60.0
"""Seconds for which the start of a container counts in the average."""

MAX_STARTS = 1000


@dataclass(frozen=True, slots=True)
class Spare:
    """What a node had lately: idle processors (0 to all of them), bytes swapped in and out a second."""

    idle: float
    swapping: int


@dataclass(frozen=True, slots=True)
class _Reading:
    uptime: float
    idle_time: float
    swapped: int
    spare: Spare


class NodeStats:
    """Readings of all nodes, and how long containers took to start on them."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}
        self._starts: deque[tuple[str, float, float]] = deque(maxlen=MAX_STARTS)

    def spare(self, node: NodeInfo) -> Spare:
        """Take a node's counters; gives what it had to spare since the reading before.

        Without counters, or at first, idle processors are told by the load average.
        """
        before = self._readings.get(node.name)
        elapsed = node.uptime - before.uptime if before is not None else 0.0
        if before is not None and 0 <= elapsed < SHORTEST and node.uptime:
            return before.spare
        if before is None or elapsed < SHORTEST:
            spare = Spare(round(node.cpus * (1 - node.load), 2), 0)
        else:
            idle = (node.idle_time - before.idle_time) / elapsed
            swapping = (node.swapped - before.swapped) / elapsed
            spare = Spare(round(min(max(idle, 0.0), node.cpus), 2), max(0, int(swapping)))
        self._readings[node.name] = _Reading(node.uptime, node.idle_time, node.swapped, spare)
        return spare

    def started(self, node: str, seconds: float, now: float) -> None:
        """Count that a container's start on the node took this long, at `now` (seconds, monotonic)."""
        self._starts.append((node, seconds, now))

    def start_time(self, node: str, now: float) -> float:
        """Give the average seconds of the latest starts there; 0 where there was none lately."""
        lately = [
            seconds for where, seconds, when in self._starts if where == node and now - when <= INTERVAL
        ]
        return round(sum(lately) / len(lately), 3) if lately else 0.0
