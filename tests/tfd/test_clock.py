"""The machine's clock is set back a year while tfd serves."""

import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dataplane import backend, echo, receive_exactly
from tests.support.product import free_port
from tests.support.stage import WAIT, Stage, connect, staged, table
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

YEAR = 365 * 86400
LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"
"""Debian's faketime; ld.so(8) puts the machine's directory for $LIB."""


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """What the daemon's clock differs from the machine's (faketime(1)); its monotonic one does not."""
    file = tmp_path / "clock"
    file.write_text("+0d\n")
    return file


@pytest.fixture
def stage(tmp_path: Path, clock: Path) -> Iterator[Stage]:
    """Everything but the daemon's start, with that clock."""
    variables = (
        f"LD_PRELOAD={LIBRARY}",
        f"FAKETIME_TIMESTAMP_FILE={clock}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
    with staged(tmp_path, *variables) as made:
        yield made


def started(port: int) -> float:
    """When the daemon began, as its own clock says (seconds since 1970)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_start_time_seconds "))


def test_a_clock_that_is_set_back_a_year(stage: Stage, clock: Path) -> None:
    """What is open goes on, new clients are served, a reload and a restart do what they always do."""
    port, figures, more = free_port(), free_port(), free_port()
    with backend(echo) as (_, target):
        lines = (table(port, target), f'[metrics]\nbind = "127.0.0.1:{figures}"\n')
        stage.configure(*lines)
        stage.start()
        with connect(port) as open_before:
            open_before.sendall(b"before")
            assert receive_exactly(open_before, 6) == b"before"
            clock.write_text("-365d\n")
            wait_for(lambda: started(figures) < time.time() - YEAR + 3600, WAIT, "the clock to be set back")

            open_before.sendall(b"after")
            assert receive_exactly(open_before, 5) == b"after"
            stage.configure(*lines, table(more, target))
            stage.daemon.signal(signal.SIGHUP)
            wait_for(lambda: stage.lines("configuration reloaded"), WAIT, "the reload")
            with connect(more) as fresh:
                fresh.sendall(b"fresh")
                assert receive_exactly(fresh, 5) == b"fresh"
            stage.restart()
            open_before.sendall(b"again")
            assert receive_exactly(open_before, 5) == b"again"
        assert stage.daemon.wait_ready()["uptime"] < YEAR
