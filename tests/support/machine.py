"""A Debian 12 with systemd as its first process, in a container of systemd-nspawn(1), with tfd installed."""

import configparser
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.waiting import wait_for

TREE = Path(__file__).resolve().parents[2]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BUILD_LIMIT = 300
BOOT_LIMIT = 60.0
COMMAND_LIMIT = 60
CLEAN_LIMIT = 10.0
PACKAGES = (
    "systemd-sysv",
    *("python3-zmq", "python3-nacl", "python3-msgpack", "python3-systemd", "python3-sdnotify"),
    *("python3-toml", "python3-aiohttp", "python3-asyncssh", "python3-tqdm"),
    *("python3-cryptography", "python3-dnspython"),
    *("sudo", "curl", "iproute2", "procps", "dbus", "man-db", "openssh-server"),
)


class Machine:
    """A booted machine; its network is a loopback device alone."""

    def __init__(self, root: Path, leader: int) -> None:
        """`leader` is the process id of its systemd, seen from here."""
        self.root = root
        self._leader = leader

    @property
    def leader(self) -> int:
        """The process id of its systemd, seen from here."""
        return self._leader

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", *command],
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
            check=False,
        )

    def property(self, unit: str, name: str) -> str:
        """Give a property of a unit, as `systemctl show` knows it."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def journal(self, unit: str) -> list[str]:
        """Give what the unit's own processes wrote, without systemd's words about it."""
        return self.run("journalctl", "--boot", "--output=cat", f"_SYSTEMD_UNIT={unit}").stdout.splitlines()


def build_root(root: Path) -> None:
    """Make the tree of a Debian 12 with what tfd depends on, and with tfd as a package would install it."""
    sources = subprocess.run(
        [
            *("apt-get", "indextargets", "Created-By: Packages", "Origin: Debian", "Codename: bookworm"),
            *(
                "--format",
                f"deb [signed-by={KEYRING}] $(REPO_URI) $(RELEASE) $(COMPONENT)",
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_LIMIT,
    ).stdout
    sources = "\n".join(sorted(set(sources.splitlines())))
    subprocess.run(
        [
            *(
                "mmdebstrap",
                "--quiet",
                "--mode=root",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
            ),
            *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"),
            *("bookworm", os.fspath(root), "-"),
        ],
        input=sources,
        text=True,
        check=True,
        timeout=BUILD_LIMIT,
    )
    _install(root)


def _install(root: Path) -> None:
    packages = root / "usr/lib/python3/dist-packages"
    for name in ("tfd", "tflocation", "tfnz"):
        shutil.copytree(TREE / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tfd", "tflocation"):
        shutil.copy(TREE / f"packaging/{name}.service", root / "etc/systemd/system")
    setup = configparser.ConfigParser()
    setup.read(TREE / "setup.cfg")
    for line in setup["options.entry_points"]["console_scripts"].split("\n"):
        if line:
            name, module, function = line.replace(":", "=").replace(" ", "").split("=")
            script = root / "usr/bin" / name
            script.write_text(
                f"#!/usr/bin/python3\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            )
            script.chmod(0o755)
    # As a package's installation does: what is compiled at each start would cost each program its memory.
    subprocess.run(
        ["chroot", root, "python3", "-m", "compileall", "-q", "/usr/lib/python3/dist-packages"],
        check=True,
        timeout=COMMAND_LIMIT,
    )
    manual = [sys.executable, str(TREE / "packaging/manual.py"), str(root / "usr")]
    subprocess.run(manual, check=True, timeout=COMMAND_LIMIT)


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot the tree, and take away all of it but the tree at the end."""
    name = f"tfd-machine-{os.getpid()}"
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
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"),
                *(f"--machine={name}", f"--directory={root}", "--console=pipe"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    leader = 0
    try:
        leader = wait_for(lambda: _leader(nspawn.pid), BOOT_LIMIT, f"a machine to start; see {console}")
        machine = Machine(root, leader)
        wait_for(
            lambda: machine.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"),
            BOOT_LIMIT,
            f"the machine to be up; see {console}",
        )
        yield machine
    finally:
        with contextlib.suppress(ProcessLookupError):
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
