"""What pip installs: programs, and what systemd, man and bash look for, below the same environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.debian import TREE

pytestmark = pytest.mark.slow

LIMIT = 240
PYTHON = "/usr/bin/python3"
"""Debian's own, since its packages are what the programs run with here."""


def run(*command: str | Path, directory: Path | None = None, path: str = "/usr/bin:/bin") -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    for name in ("MANPATH", "PYTHONPATH", "VIRTUAL_ENV"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel that was built from the source distribution."""
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON} is not installed")
    directory = tmp_path_factory.mktemp("wheel")
    tree, made, home = directory / "tree", directory / "made", directory / "environment"
    ignored = shutil.ignore_patterns(
        ".git", ".venv*", ".*_cache", "__pycache__", "*.egg-info", "build", "dist"
    )
    shutil.copytree(TREE, tree, ignore=ignored, symlinks=True)
    made.mkdir()
    program = (
        f"import sys; sys.path.insert(0, 'packaging'); import backend; backend.build_sdist({str(made)!r})"
    )
    run(PYTHON, "-c", program, directory=tree)
    (source,) = made.glob("*.tar.gz")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir")
    run(PYTHON, "-m", "pip", *build, made, source, directory=made)
    (wheel,) = made.glob("*.whl")
    run(PYTHON, "-m", "venv", "--system-site-packages", home)
    run(home / "bin/pip", "install", "--quiet", "--no-deps", wheel)
    return home


def test_programs_run(environment: Path) -> None:
    """Each one, by its name in the environment."""
    for name in ("tfd", "tflocation", "tf", "tfnz", "tfvolumes"):
        assert run(environment / "bin" / name, "--help")


def test_man_finds_the_pages(environment: Path) -> None:
    """By PATH alone, as an activated environment has it."""
    path = f"{environment / 'bin'}:/usr/bin:/bin"
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    for name in ("tfd", "tfd.toml", "tfd.service", "tflocation", "tf-exec"):
        assert run("man", "--where", name, path=path).startswith(str(environment))


def test_completion_is_there(environment: Path) -> None:
    """Where bash-completion looks for it when the programs are on PATH."""
    for name in ("tfd", "tflocation", "tf"):
        run("bash", "-c", f"source {environment}/share/bash-completion/completions/{name}")


def test_units_run_the_environments_programs(environment: Path, tmp_path: Path) -> None:
    """What tfd.service(8) says of pip leads to a unit that systemd takes; catalog and user are there too."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for name in ("tfd", "tflocation"):
        unit = (environment / f"lib/systemd/system/{name}.service").read_text()
        assert f"ExecStart=/usr/bin/{name}" in unit
        changed = tmp_path / f"{name}.service"
        changed.write_text(unit.replace("/usr/bin/", f"{environment}/bin/"))
        run("systemd-analyze", "verify", "--man=no", changed)
    assert (environment / "lib/systemd/catalog/tfd.catalog").exists()
    assert (environment / "share/doc/tfd/examples/tfd.toml").exists()
