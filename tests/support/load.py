"""Load on a port that echoes, from a process of its own; see load_generator.py for what it does."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.load_generator import PATIENCE, Report

TREE = Path(__file__).resolve().parents[2]
STOP_LIMIT = 2 * PATIENCE


class Load:
    """A load that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def look(self) -> Report:
        """Give what was seen since the last look."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> Report:
        """Let every connection come to its end; give what was seen since the last look."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        report = self._read()
        self._process.wait(STOP_LIMIT)
        return report

    def _read(self) -> Report:
        assert self._process.stdout is not None
        return Report(**json.loads(self._process.stdout.readline()))


@contextmanager
def load(address: tuple[str, int], *, connections: int, rate: int, new_rate: float) -> Iterator[Load]:
    """Run so many connections of `rate` bytes a second each way, and `new_rate` new ones a second."""
    words = [address[0], *map(str, (address[1], connections, rate, new_rate))]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.load_generator", *words],
        cwd=TREE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Load(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
