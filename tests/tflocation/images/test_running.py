"""Programs are started with a limit, and nothing of them outlives it."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tflocation.images.running import MAX_OUTPUT, TookTooLong, run


def is_gone(pid: int) -> bool:
    """Whether no such process runs any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_result() -> None:
    """Exit code and what was printed come back."""
    finished = await run(
        ["sh", "-c", "echo out; echo err >&2; echo $EXTRA; exit 3"], 10, environment={"EXTRA": "x"}
    )

    assert (finished.code, finished.output, finished.errors) == (3, "out\nx\n", "err\n")


async def test_output_is_bounded() -> None:
    """Of much output the end is kept."""
    finished = await run(["sh", "-c", "yes | head -c 1000000; echo end"], 10)

    assert len(finished.output) == MAX_OUTPUT
    assert finished.output.endswith("end\n")


async def test_limit(tmp_path: Path) -> None:
    """Beyond its limit a program is killed together with its children."""
    note = tmp_path / "pid"
    with pytest.raises(TookTooLong, match="sh was ended after 3 s"):
        await run(["sh", "-c", f"sleep 100 & echo $! > {note}; wait"], 3)

    wait_for(lambda: is_gone(int(note.read_text())), 30, "the child's end")


async def test_cancelled(tmp_path: Path) -> None:
    """A caller that goes away leaves no program behind."""
    os.mkfifo(tmp_path / "started")
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ > {tmp_path / 'started'}; exec sleep 100"], 100))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert is_gone(pid)


async def test_guard() -> None:
    """A guard's exception ends the program and comes out."""

    def refuse() -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await run(["sleep", "100"], 100, guard=refuse)


async def test_missing_program() -> None:
    """A program that does not exist is an OSError."""
    with pytest.raises(FileNotFoundError):
        await run(["/nonexistent"], 10)
