"""How hypothesis runs here, and the machine that several parts of the tests boot."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.machine import TREE, build_root

# Programs are sent these signals and inherit how we take them: nohup and a shell's & ignore them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# Whoever ends the tests early wants what they started to end as well.
signal.signal(signal.SIGTERM, signal.default_int_handler)

BUILD_LIMIT = 300

# An example's duration says more of the machine's other work than of ours.
settings.register_profile("tfd", deadline=None)
settings.load_profile("tfd")


@pytest.fixture(scope="session")
def machine_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree of a Debian 12 with systemd and with all our programs installed; see `booted`."""
    if os.geteuid() != 0:
        pytest.skip("a machine needs root")
    for program in ("mmdebstrap", "systemd-nspawn"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    directory = tmp_path_factory.mktemp("machine")
    try:
        build_root(directory / "root")
        yield directory / "root"
    finally:
        shutil.rmtree(directory)


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
