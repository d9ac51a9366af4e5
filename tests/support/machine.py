"""A Debian with systemd as its first process, in a container of systemd-nspawn(1)."""

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.support.waiting import wait_for

BOOT_LIMIT = 180.0
COMMAND_LIMIT = 180
CLEAN_LIMIT = 60.0
_NUMBERS = itertools.count(1)


class Machine:
    """A booted machine; its network is a loopback device alone, unless it was booted with this machine's."""

    def __init__(self, root: Path, leader: int, nspawn: "subprocess.Popen[bytes]") -> None:
        """`leader` is the process id of its systemd, seen from here."""
        self.root = root
        self._leader = leader
        self._nspawn = nspawn

    @property
    def leader(self) -> int:
        """The process id of its systemd, seen from here."""
        return self._leader

    def run(self, *command: str, limit: float = COMMAND_LIMIT) -> subprocess.CompletedProcess[str]:
        """Run a command inside, for at most `limit` seconds."""
        return subprocess.run(
            ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", *command],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def power_off(self) -> None:
        """Have it stop its units and go down, as an administrator does; `booted` ends with it."""
        self.run("systemctl", "poweroff")
        self._nspawn.wait(BOOT_LIMIT)

    def property(self, unit: str, name: str) -> str:
        """Give a property of a unit, as `systemctl show` knows it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def journal(self, unit: str, *matches: str) -> list[str]:
        """Give what the unit's own processes wrote, without systemd's words about it.

        `matches` narrow it down (journalctl(1)).
        """
        return self.journalctl("--boot", "--output=cat", f"_SYSTEMD_UNIT={unit}", *matches).splitlines()

    def journalctl(self, *arguments: str) -> str:
        """Give what the program of that name prints, all that was logged until now being there."""
        # The journal takes lines in its own time: without this, the last ones may not be there yet.
        self.run("journalctl", "--sync")
        return self.run("journalctl", *arguments).stdout


@contextmanager
def booted(
    root: Path,
    options: Sequence[str] = ("--private-network",),
    network: Callable[[int], AbstractContextManager[None]] = lambda _: contextlib.nullcontext(),
) -> Iterator[Machine]:
    """Boot the tree, and take away all of it but the tree at the end.

    `options` are of systemd-nspawn(1); `network` lays what cables it has, given its first process.
    """
    name = f"tfd-machine-{os.getpid()}-{next(_NUMBERS)}"
    groups = [group / name for group in _hierarchies()]
    for group in groups:
        group.mkdir()
    # In groups of its own, which can be removed: nspawn leaves those that it makes below.
    enter = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
    console = root.with_name("console.log")
    with console.open("wb") as log:
        nspawn = subprocess.Popen(
            [
                *("sh", "-c", enter, "sh", *(os.fspath(group) for group in groups), "--"),
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
                *(f"--machine={name}", f"--directory={root}", *options),
            ],
            # What machines of these releases have, whatever this one has.
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    leader = 0
    try:
        leader = wait_for(lambda: _leader(nspawn.pid), BOOT_LIMIT, f"a machine to start; see {console}")
        machine = Machine(root, leader, nspawn)
        with network(leader):
            wait_for(
                lambda: (
                    machine.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
                ),
                BOOT_LIMIT,
                f"the machine to be up; see {console}",
            )
            yield machine
    finally:
        if nspawn.poll() is None:
            os.kill(leader or nspawn.pid, signal.SIGKILL)
        nspawn.wait(COMMAND_LIMIT)
        for group in groups:
            wait_for(partial(_removed, group), CLEAN_LIMIT, f"{group} to be empty")


def _hierarchies() -> list[Path]:
    """Give the control groups in which systemd tracks processes: one, or two where v1 is used beside v2."""
    base = Path("/sys/fs/cgroup")
    beside = [base / "systemd", base / "unified"]
    return [base] if (base / "cgroup.procs").exists() else [path for path in beside if path.is_dir()]


def _leader(nspawn: int) -> int:
    """Give the machine's first process once it runs systemd, and 0 before."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return 0


def _removed(group: Path) -> bool:
    """Remove a control group with all below it, unless a process is still in one of them."""
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()
    return not group.exists()
