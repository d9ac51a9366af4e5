"""What `bench/run` starts, hears from, and knows of."""

import os
from pathlib import Path

import pytest

from bench.compare.processes import first_line, processor_seconds, processor_times, started


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    """Also those that were printed together."""
    with started(["printf", r"one\ntwo\n"], tmp_path / "log") as process:
        assert [first_line(process), first_line(process)] == ["one", "two"]


def test_a_program_that_ends_at_its_start_is_named(tmp_path: Path) -> None:
    """It had something to say, and did not."""
    with (
        started(["true"], tmp_path / "log") as process,
        pytest.raises(RuntimeError, match=r"^true: ended at its start"),
    ):
        first_line(process)


def test_a_program_that_is_silent_is_not_waited_for_without_limit(tmp_path: Path) -> None:
    """Also where it has begun a line."""
    with (
        started(["sh", "-c", "printf begun; exec cat"], tmp_path / "log") as process,
        pytest.raises(RuntimeError, match=r"no line after 0\.2 s$"),
    ):
        first_line(process, 0.2)


def test_a_process_that_is_gone_has_used_nothing() -> None:
    """What ended within a measurement does not end the measurement."""
    gone = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1

    assert processor_times(gone) == []
    assert processor_seconds([gone]) == 0.0


def test_times_are_of_user_and_kernel_and_of_children() -> None:
    """Four of them, and together what the process and its family have used."""
    before = processor_times(os.getpid())

    assert len(before) == 4
    assert processor_seconds([os.getpid()]) >= sum(before) > 0
