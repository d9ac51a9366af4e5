"""Trees of Debian releases, from the mirror that this machine uses, and layers on top of them."""

import configparser
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BUILD_LIMIT = 900
COMMAND_LIMIT = 120
BARE = ("systemd-sysv", "dbus", "procps", "curl")
"""What a machine has before anything of ours is there."""

SMALL = ("python3-zmq", "python3-nacl", "python3-msgpack", "python3-systemd", "python3-sdnotify")
"""What tfd's package depends on."""

DEPENDENCIES = (
    *SMALL,
    *("python3-toml", "python3-aiohttp", "python3-asyncssh", "python3-tqdm"),
    *("python3-cryptography", "python3-dnspython", "nftables"),
    *("busybox-static", "skopeo", "umoci", "zstd", "iproute2"),
)
"""What all our packages depend on."""

WEB = ("haproxy", "lego")
"""What a location with the table [web] needs besides."""

UNITS = (
    *("tfd.service", "tfd@.service", "tfd-bind.socket", "tfd-bind@.service"),
    *("tflocation.service", "tflocation-web.socket", "tflocation-web@.service"),
)
"""What a package installs; tfd.socket is an example."""

COMFORTS = ("sudo", "man-db", "openssh-server")
"""What users of an installed machine have besides."""

NEWER = "999.0"
"""A version that comes after every other."""


@dataclass(frozen=True)
class Release:
    """A release of Debian."""

    codename: str
    version: int

    def __str__(self) -> str:
        return f"Debian {self.version}"


BOOKWORM = Release("bookworm", 12)
TRIXIE = Release("trixie", 13)


def build_bare(release: Release, root: Path) -> None:
    """Make the tree of a release with systemd, and with our dependencies' archives in apt's cache."""
    apt = "APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes -qq --download-only install"
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(BARE)}"),
            # The lists and the archives stay, so that the machine installs without a network.
            *("--skip=cleanup/apt", '--customize-hook=chroot "$1" apt-get clean'),
            f"--customize-hook={apt} --install-recommends {' '.join(SMALL)}",
            f"--customize-hook={apt} {' '.join(DEPENDENCIES + WEB + COMFORTS)}",
            *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"),
            *("--dpkgopt=path-exclude=/usr/share/locale/*", release.codename, os.fspath(root)),
            f"deb [signed-by={KEYRING}] {_mirror()} {release.codename} main",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=BUILD_LIMIT,
    )


def _mirror() -> str:
    """Give the address from which this machine's own apt has its release of Debian."""
    targets = subprocess.run(
        [
            *("apt-get", "indextargets", "Created-By: Packages", "Origin: Debian", "Label: Debian"),
            *("--format", "$(REPO_URI)"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_LIMIT,
    ).stdout.split()
    assert targets, "apt of this machine has no sources of Debian"
    return targets[0]


def build_packages(directory: Path, version: str = "") -> None:
    """Build our Debian packages, as `version` where that is given."""
    options = ["--version", version] if version else []
    subprocess.run(
        [TREE / "packaging/build-deb", *options, directory],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=BUILD_LIMIT,
    )


def install_packages(root: Path, packages: Path) -> None:
    """Install our Debian packages into a tree, with what they depend on."""
    there = root / "srv/packages"
    shutil.copytree(packages, there)
    _apt_install(root, *(f"/srv/packages/{path.name}" for path in sorted(there.glob("*.deb"))))


def _apt_install(root: Path, *names: str) -> None:
    options = ("--yes", "--quiet", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io")
    subprocess.run(
        ["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, "install", *names],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=BUILD_LIMIT,
    )


def install_programs(root: Path) -> None:
    """Install into a tree what ours depends on, and ours as a package would install it."""
    _apt_install(root, *DEPENDENCIES, *COMFORTS)
    packages = root / "usr/lib/python3/dist-packages"
    for name in ("tfd", "tflocation", "tfnz"):
        shutil.copytree(TREE / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    for unit in UNITS:
        shutil.copy(TREE / "packaging" / unit, root / "etc/systemd/system")
    for catalog in ("tfd.catalog", "tflocation.catalog"):
        shutil.copy(TREE / "packaging" / catalog, root / "usr/lib/systemd/catalog")
    shutil.copy(TREE / "packaging/sysusers.d/tfd.conf", root / "usr/lib/sysusers.d/tfd.conf")
    subprocess.run(
        ["chroot", root, "systemd-sysusers", "tfd.conf"],
        check=True,
        stderr=subprocess.DEVNULL,
        timeout=COMMAND_LIMIT,
    )
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
def layered(lower: Sequence[Path], upper: Path) -> Iterator[Path]:
    """Give a tree that begins as the layers of `lower`, the topmost first; what changes is below `upper`.

    `upper` is made where it is absent, and keeps `changes`, a layer in its turn; see the kernel's overlayfs.
    """
    changes, work, merged = (upper / name for name in ("changes", "work", "root"))
    for directory in (changes, work, merged):
        directory.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(map(os.fspath, lower))},upperdir={changes},workdir={work}"
    command = ["mount", "-t", "overlay", "overlay", "-o", options, os.fspath(merged)]
    subprocess.run(command, check=True, timeout=COMMAND_LIMIT)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True, timeout=COMMAND_LIMIT)


@contextmanager
def shared(directory: Path, build: Callable[[Path], None]) -> Iterator[Path]:
    """Give `directory`, built by the first of the processes that want it, removed by the last one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    whole = directory.with_name(f"{directory.name}.whole")
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not whole.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(directory, ignore_errors=True)
                build(directory)
                whole.touch()
            fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield directory
        finally:
            _remove_as_last(lock.fileno(), directory, whole)


def _remove_as_last(lock: int, directory: Path, whole: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    whole.unlink()
    shutil.rmtree(directory)
