"""What pip installs: programs, and what systemd, man and bash look for, below the same environment."""

import os
import shutil
import subprocess
import textwrap
from functools import partial
from pathlib import Path

import pytest

from tests.support.debian import TREE, layered

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


def instructions(environment: Path, name: str) -> str:
    """The commands that NAME.service(8) has for those who use pip, as man shows them."""
    text = run("man", f"{name}.service", path=f"{environment / 'bin'}:/usr/bin:/bin")
    notes = text.partition("\nNOTES\n")[2].partition("\n\n")[2].partition("\nSEE ALSO\n")[0]
    return textwrap.dedent(notes)


@pytest.mark.root
def test_units_run_the_environments_programs(
    environment: Path, packaged: tuple[Path, ...], tmp_path: Path
) -> None:
    """What the man pages say of pip leads to its user, and to units that systemd takes, all of them."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    carried = {path.name for path in (environment / "lib/systemd/system").iterdir()}
    with layered(packaged, tmp_path / "machine") as root:
        # systemctl(1) has nothing to reload where no systemd runs, and is told so.
        chroot = ("/usr/bin/env", "SYSTEMD_OFFLINE=1", "/usr/sbin/chroot", root)
        inside = partial(run, *chroot, path="/usr/sbin:/usr/bin:/sbin:/bin")
        inside("dpkg", "--purge", "tfd", "tflocation", "python3-tfnz", "python3-tfd-protocol")
        shutil.copytree(environment, root / "opt/tfd", symlinks=True)
        there = root / "etc/systemd/system"
        before = {path.name for path in there.iterdir()}
        for name in ("tfd", "tflocation"):
            inside("sh", "-ec", instructions(environment, name))
        installed = {path.name for path in there.iterdir()} - before
        commands = [
            line for name in installed for line in (there / name).read_text().split("\n") if "/bin/tf" in line
        ]
        inside("systemd-analyze", "verify", "--man=no", *sorted(installed))
        assert "tfd:" in (root / "etc/passwd").read_text()
        assert "tfd is ready" in inside("journalctl", "--list-catalog")

    assert installed == carried - {"tfd.socket"}
    assert commands
    assert [line for line in commands if "/opt/tfd/bin/tf" not in line] == []
    assert (environment / "share/doc/tfd/examples/tfd.toml").exists()
