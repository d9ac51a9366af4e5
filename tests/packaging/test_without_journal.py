"""tfd on a booted Debian where libsystemd, its Python package or the journal is missing."""

import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.served import UNIT, Served, served
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 60.0
PACKAGE = "/usr/lib/python3/dist-packages/systemd"
LIBRARY = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/libsystemd.so.0"
JOURNAL = "/run/systemd/journal"
JOURNALD = (
    *("systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket"),
    "systemd-journald.service",
)


@pytest.fixture(scope="module")
def where(machine_root: Path) -> Iterator[Served]:
    """A booted machine whose tfd serves."""
    with served(machine_root) as running:
        yield running


@contextmanager
def changed(where: Served, *settings: str) -> Iterator[None]:
    """Have the unit run with these settings for a while."""
    drop_in = where.machine.root / f"etc/systemd/system/{UNIT}.d/absent.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("\n".join(("[Service]", *settings, "")))
    try:
        where.command("systemctl", "daemon-reload")
        yield
    finally:
        shutil.rmtree(drop_in.parent)
        where.command("systemctl", "daemon-reload")
        where.command("systemctl", "restart", UNIT)


def restart_twice(where: Served) -> None:
    """Restart it, which takes its READY=1, with a connection open, and then what was started like that."""
    with where.connect() as connection:
        for _ in range(2):
            where.command("systemctl", "restart", UNIT)
            connection.sendall(b"again")
            assert connection.recv(5) == b"again"


@pytest.mark.parametrize(
    ("absent", "transport", "line"),
    [
        pytest.param((PACKAGE,), "journal", "ready: ", id="python3-systemd"),
        pytest.param((PACKAGE, LIBRARY), "journal", "ready: ", id="libsystemd"),
        pytest.param((JOURNAL,), "stdout", "INFO ready: ", id="journal's socket"),
        pytest.param((PACKAGE, LIBRARY, JOURNAL), "stdout", "INFO ready: ", id="all"),
    ],
)
def test_what_is_missing_in_its_unit(
    where: Served, absent: tuple[str, ...], transport: str, line: str
) -> None:
    """It tells READY=1 and keeps connections, and its lines come: by stderr where it reaches no socket."""
    with changed(where, f"InaccessiblePaths={' '.join(absent)}"):
        restart_twice(where)
        process = where.machine.property(UNIT, "MainPID")
        words = ("journalctl", "--output=cat", f"_PID={process}", f"_TRANSPORT={transport}")

        def told() -> list[str]:
            return [said for said in where.machine.run(*words).stdout.splitlines() if said.startswith(line)]

        wait_for(told, LIMIT, f"a line in the journal: {line}")


def test_a_machine_without_a_journal(where: Served) -> None:
    """It tells READY=1, keeps connections, and its lines are where the unit sends stderr."""
    file = where.machine.root / "var/log/tfd.log"
    with changed(where, "StandardError=append:/var/log/tfd.log"):
        where.command("systemctl", "mask", "--runtime", *JOURNALD)
        where.command("systemctl", "stop", *JOURNALD)
        try:
            restart_twice(where)
            assert where.machine.property(JOURNALD[-1], "ActiveState") == "inactive"
        finally:
            where.command("systemctl", "unmask", "--runtime", *JOURNALD)
            where.command("systemctl", "start", *JOURNALD)
        lines = file.read_text().splitlines()
    assert len([line for line in lines if line.startswith("INFO ready: ")]) == 2
    assert [line for line in lines if line.startswith("INFO 1 connections were taken over")]
