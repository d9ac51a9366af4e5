"""How hypothesis runs here, and the machines that several parts of the tests boot."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.debian import (
    BOOKWORM,
    NEWER,
    TREE,
    TRIXIE,
    Release,
    build_bare,
    build_packages,
    install_packages,
    install_programs,
    layered,
    shared,
)

# Programs are sent these signals and inherit how we take them: nohup and a shell's & ignore them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# Whoever ends the tests early wants what they started to end as well.
signal.signal(signal.SIGTERM, signal.default_int_handler)

BUILD_LIMIT = 900

# How long an example lasts, and takes to be made, says more of the machine's other work than of ours.
settings.register_profile("tfd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tfd")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Whatever is to be closed at the end of a test."""
    with ExitStack() as made:
        yield made


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the processes of this run of the tests share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shelf"


@pytest.fixture(scope="session")
def bookworm(shelf: Path) -> Iterator[Path]:
    """The tree of a Debian 12 without anything of ours; a test changes a layer on top of it."""
    with _bare(BOOKWORM, shelf) as root:
        yield root


@pytest.fixture(scope="session")
def trixie(shelf: Path) -> Iterator[Path]:
    """The tree of a Debian 13, likewise."""
    with _bare(TRIXIE, shelf) as root:
        yield root


@pytest.fixture(scope="session")
def packages(shelf: Path) -> Iterator[Path]:
    """A directory with our Debian packages."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    with shared(shelf / "packages", build_packages) as directory:
        yield directory


@pytest.fixture(scope="session")
def newer(shelf: Path) -> Iterator[Path]:
    """A directory with the packages as a later version."""
    with shared(shelf / "newer", partial(build_packages, version=NEWER)) as directory:
        yield directory


@pytest.fixture(scope="session")
def packaged(shelf: Path, bookworm: Path, packages: Path) -> Iterator[tuple[Path, ...]]:
    """The layers of a Debian 12 with our packages; see `layered`."""

    def install(upper: Path) -> None:
        with layered((bookworm,), upper) as root:
            install_packages(root, packages)

    with shared(shelf / "packaged", install) as upper:
        yield upper / "changes", bookworm


@pytest.fixture(scope="session")
def installed(shelf: Path, bookworm: Path) -> Iterator[tuple[Path, ...]]:
    """The layers of a Debian 12 with all our programs; see `layered`."""
    with shared(shelf / "installed", partial(_install, bookworm)) as upper:
        yield upper / "changes", bookworm


@pytest.fixture(scope="module")
def machine_root(tmp_path_factory: pytest.TempPathFactory, installed: tuple[Path, ...]) -> Iterator[Path]:
    """The tree of a Debian 12 with all our programs, which the tests of a file may change; see `booted`."""
    with layered(installed, tmp_path_factory.mktemp("machine")) as root:
        yield root


@contextmanager
def _bare(release: Release, shelf: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a machine needs root")
    for program in ("mmdebstrap", "systemd-nspawn"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with shared(shelf / release.codename, partial(build_bare, release)) as root:
        yield root


def _install(bare: Path, upper: Path) -> None:
    with layered((bare,), upper) as root:
        install_programs(root)


@pytest.fixture(scope="session")
def nginx_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of nginx from Debian's packages."""
    return _built("nginx", tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of PostgreSQL from Debian's packages."""
    return _built("postgres", tmp_path_factory)


def _built(name: str, factory: pytest.TempPathFactory) -> Path:
    archive = factory.mktemp(name) / f"{name}.tar"
    subprocess.run([TREE / "packaging" / "images" / name / "build", archive], check=True, timeout=BUILD_LIMIT)
    return archive
