"""What a program of the comparison is: how its two ends are started between a client and the backend."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bench.compare.processes import family, processor_seconds, resident, run, started

LOAD = Path(__file__).resolve().parents[1] / "load"


class Kind(Enum):
    """Why a program is in the table."""

    OURS = "ours"
    RIVAL = "rival"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the ends of one program are.

    The near end listens on `near` of 127.0.0.1, the far end on `far` of `far_host`, the backend on `backend`
    of the far end's 127.0.0.1. `near_prefix` and `far_prefix` begin the commands: into a namespace, or none.
    """

    directory: Path
    near: int
    far: int
    backend: int
    far_host: str = "127.0.0.1"
    near_prefix: tuple[str, ...] = ()
    far_prefix: tuple[str, ...] = ()

    def load(self, *arguments: object, limit: float = 120.0) -> str:
        """Run the load generator against the near end and give what it prints."""
        return run(self.load_command(*arguments), limit)

    def load_command(self, *arguments: object) -> list[str | Path]:
        """Give the command of the load generator against the near end."""
        return [*self.near_prefix, LOAD / "load", "127.0.0.1", str(self.near), *map(str, arguments)]


@dataclass(slots=True)
class Ends:
    """Two running ends: the process ids of each, without their children."""

    place: Place
    stack: ExitStack
    near: list[int] = field(default_factory=list)
    far: list[int] = field(default_factory=list)
    invite: str = ""
    """Of our location, for a client of the bench."""

    def start_near(self, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        """Start a process of the near end."""
        self.near.append(self._start([*self.place.near_prefix, *command], "near", environment))

    def start_far(self, *command: str | Path) -> None:
        """Start a process of the far end."""
        self.far.append(self._start([*self.place.far_prefix, *command], "far", None))

    def _start(self, command: list[str | Path], name: str, environment: dict[str, str] | None) -> int:
        log = self.place.directory / f"{name}.log"
        return self.stack.enter_context(started(command, log, environment)).pid

    def processor_seconds(self) -> float:
        """Give the processor time of both ends."""
        return processor_seconds(self.near + self.far)

    def resident(self) -> tuple[float, float]:
        """Give the near end's resident and proportional memory, MiB."""
        return resident(self.near)

    def processes(self) -> int:
        """Give the number of the near end's processes."""
        return len(family(self.near))


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table. `start` starts both ends; `idle_most` connections can be held at once."""

    name: str
    kind: Kind
    start: Callable[[Ends], None]
    note: str = ""
    idle_most: int = 1 << 20


def free_port(host: str = "127.0.0.1") -> int:
    """Give a TCP port that nothing listens on now, below those that connections are given (ip(7))."""
    while True:
        port = 10_000 + int.from_bytes(os.urandom(2), "big") % 20_000
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
