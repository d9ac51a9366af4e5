"""What a node has to spare, and which node that makes the best."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tfnz.node import Node

_MIB = 1 << 20
_KIB = 1 << 10

N = TypeVar("N", bound="Node")


class RankBias(Enum):
    """What counts most when nodes are compared."""

    cpu = "cpu"
    memory = "memory"


class Stats(dict[str, Any]):
    """Statistics of a node; calling them gives them, for programs that take `stats` for a method.

    cpu: idle processor time in percent of one processor; memory: free and usable MiB; paging: KiB swapped a
    second; ave_start_time: seconds that the containers started lately took, 0 if there were none.
    """

    def __call__(self) -> "Stats":
        """Give itself."""
        return self


def stats_of(record: Mapping[str, Any]) -> Stats:
    """Read the statistics from what a location tells of a node."""
    cpus = float(record.get("cpus", 1))
    idle = record.get("idle")
    spare = float(idle) if idle is not None else cpus * (1 - float(record.get("load", 0)))
    return Stats(
        cpu=max(0, round(100 * spare)),
        memory=int(record.get("memory_free", 0)) // _MIB,
        paging=int(record.get("swapping", 0)) // _KIB,
        ave_start_time=float(record.get("start_time", 0.0)),
    )


def ranked(nodes: Iterable[N], bias: RankBias | None) -> list[N]:
    """Give nodes, the best first; those equal in what counts by name, so that the order is stable."""

    def mark(node: N) -> tuple[float, str]:
        stats = node.stats
        if bias is None:
            return -(stats["cpu"] + stats["memory"] - 10 * stats["paging"]), node.name
        return -stats[bias.value], node.name

    return sorted((node for node in nodes if node.online), key=mark)
