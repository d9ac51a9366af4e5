"""The command line, as a user types it: real processes, their output and exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfd import __version__

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "conf" / "tfd.toml"
LIMIT = 30.0


def tfd(
    *arguments: str | Path, directory: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run tfd to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tfd", *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_version() -> None:
    """--version prints the name and the version."""
    result = tfd("--version")

    assert (0, f"tfd {__version__}\n", "") == (result.returncode, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["--config FILE", "--check [FILE]", "join", "status", "logs", "SIGHUP", "exit codes"]),
        (["join", "--help"], ["INVITE", "--name", "$STATE_DIRECTORY"]),
        (["status", "--help"], ["--json", "--watch"]),
        (["logs", "--help"], ["NAME", "--follow", "--lines LINES", "journalctl -t NAME"]),
    ],
)
def test_help(arguments: list[str], words: list[str]) -> None:
    """Help names what can be typed."""
    result = tfd(*arguments)

    assert result.returncode == 0
    assert [word for word in words if word not in result.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chek"], "unrecognized arguments: --chek"),
        (["--conf=x"], "unrecognized arguments"),
        (["start"], "invalid choice: 'start'"),
        (["join"], "the following arguments are required: INVITE"),
        (["status", "--jsn"], "unrecognized arguments: --jsn"),
        (["--config"], "expected one argument"),
        (["--check", "tfd.toml", "status"], "--check and status exclude each other"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    """Wrong arguments get the usage and what is wrong, and exit code 2."""
    result = tfd(*arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_check() -> None:
    """A right file gets one line that counts what it declares."""
    result = tfd("--check", SAMPLE)

    assert (0, f"{SAMPLE}: fine: 1 container, 1 listener\n", "") == (
        result.returncode,
        result.stdout,
        result.stderr,
    )


def test_check_of_config() -> None:
    """--check without a file takes that of --config."""
    result = tfd("--config", "conf/tfd.toml", "--check")

    assert (result.returncode, result.stdout) == (0, "conf/tfd.toml: fine: 1 container, 1 listener\n")


def test_check_of_a_wrong_file(tmp_path: Path) -> None:
    """A wrong file gets all its errors on standard error, and exit code 2."""
    (tmp_path / "tfd.toml").write_text('[container.web]\nimgae = "nginx"\n[daemon]\nlease = 0\n')
    result = tfd("--check", "tfd.toml", directory=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("tfd.toml:2: container.web.imgae: found an unknown key")
    assert lines[2].startswith("tfd.toml:4: daemon.lease: found 0")


def test_check_of_3_megabytes_of_brackets(tmp_path: Path) -> None:
    """3 MB of brackets get one line."""
    (tmp_path / "tfd.toml").write_bytes(b"[" * 3_000_000)
    result = tfd("--check", "tfd.toml", directory=tmp_path)

    assert result.returncode == 2
    assert result.stderr == "tfd.toml: found more than 1048576 bytes; allowed: at most 1048576\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_strange_file_name(tmp_path: Path, locale: str) -> None:
    """A file whose name is no UTF-8 is checked like any other."""
    name = os.fsdecode(b"tfd-\xff.toml")
    (tmp_path / name).write_bytes(SAMPLE.read_bytes())
    fine = tfd("--check", name, directory=tmp_path, LC_ALL=locale, PYTHONIOENCODING="utf-8:strict")
    (tmp_path / name).write_bytes(b"x = 1")
    wrong = tfd("--check", name, directory=tmp_path, LC_ALL=locale)

    assert (fine.returncode, fine.stderr) == (0, "")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_daemon_with_a_wrong_file(tmp_path: Path) -> None:
    """The daemon refuses to start with a wrong file, and tells every error."""
    (tmp_path / "tfd.toml").write_text("one = 1\ntwo = 2\n")
    result = tfd("--config", "tfd.toml", directory=tmp_path)

    assert result.returncode == 2
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["one", "two"]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--config", "missing.toml"], ["--instance", "missing"]])
def test_the_units_commands_load_nothing_large(arguments: list[str], tmp_path: Path) -> None:
    """What a unit starts tells what is wrong, and has loaded nothing that costs more than it brings."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tfd", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    lines = result.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}

    assert result.returncode == 2
    assert "missing.toml" in lines[-1]
    assert "tfd.daemon" in loaded
    assert loaded.isdisjoint({"argparse", "dataclasses"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "--instance"], "--config: expected one argument"),
        (["--instance", "../etc"], "--instance '../etc'"),
        (["--instance", "-"], "--instance '-'"),
    ],
)
def test_what_only_looks_like_a_units_command_is_refused(arguments: list[str], message: str) -> None:
    """The parser has the last word on what no unit says."""
    result = tfd(*arguments)

    assert result.returncode == 2
    assert message in result.stderr


def test_status_without_a_daemon(tmp_path: Path) -> None:
    """Without a running tfd there is one line and exit code 1."""
    result = tfd("status", RUNTIME_DIRECTORY=str(tmp_path))

    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert str(tmp_path) in result.stderr


def test_join_with_a_wrong_invite(tmp_path: Path) -> None:
    """What is no invite is refused in one line, and nothing is stored."""
    result = tfd("join", "nonsense", STATE_DIRECTORY=str(tmp_path))

    assert result.returncode in (1, 2)
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_output_that_nobody_reads() -> None:
    """A reader that has gone makes no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        process = subprocess.run(
            [sys.executable, "-m", "tfd", "--check", SAMPLE],
            cwd=ROOT,
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            check=False,
        )

    assert (process.returncode, process.stderr) == (1, b"")
