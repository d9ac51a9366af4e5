"""What goes on inside a running container: further processes, its terminal, its files."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

BUSYBOX = "/.tfd/busybox"
"""A static busybox that every container is given, whatever its image has."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal of so many columns and rows; `name` is its TERM (term(7))."""

    columns: int
    rows: int
    name: str = "xterm"


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A further process for a running container; `args[0]` is looked up there along its PATH.

    Its environment is the container's own (the image's included) where it `inherits`, then `environment`,
    and with a `terminal` the TERM of that. A terminal takes its standard error as well.
    """

    args: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    terminal: Terminal | None = None
    inherits: bool = True


class RunningProcess(Protocol):
    """A process that `Engine.execute` has started. All methods raise `EngineError`s."""

    async def read(self) -> tuple[int, bytes] | None:
        """Give the next output: 1 (standard output) or 2 (error), and its bytes; None when all is over.

        Nobody who reads makes the process wait.
        """

    async def write(self, data: bytes) -> None:
        """Write to its standard input, and wait while it takes no more. After its end, data goes nowhere."""

    async def end_input(self) -> None:
        """End its standard input; on a terminal as Ctrl-D does (termios(3), VEOF)."""

    async def signal(self, number: int) -> None:
        """Send a signal (signal(7)) to its process group. One that has ended is left alone."""

    async def resize(self, columns: int, rows: int) -> None:
        """Change the size of its terminal."""

    async def wait(self) -> int:
        """Give its exit code once it has ended and its output was read: 128 + n for signal n."""

    async def close(self) -> None:
        """Kill its session's processes if it still runs, and forget it. Twice is no error."""


class Console(Protocol):
    """The terminal of a container's own process. All methods raise `EngineError`s."""

    async def read(self) -> bytes | None:
        """Give the next output; None when the container has stopped. Has to be called without rest."""

    async def write(self, data: bytes) -> None:
        """Type into the terminal."""

    async def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""

    async def close(self) -> None:
        """Let go of the terminal; the process goes on. Twice is no error."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file or a directory of a container: `size` in bytes (0 for a directory), `mode` its permission bits.

    `entries` are a directory's names, sorted; `chunks` a file's content, to be read to its end or closed.
    """

    kind: Literal["file", "directory"]
    size: int
    mode: int
    entries: tuple[str, ...]
    chunks: AsyncGenerator[bytes, None]
