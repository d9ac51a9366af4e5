"""The command line where no service and no engine runs: exit codes and messages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tfd

LIMIT = 60.0


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tflocation` with its directories below `directory`."""
    return subprocess.run(
        [sys.executable, "-m", "tflocation", *arguments],
        env={**os.environ, "STATE_DIRECTORY": f"{directory}/state", "RUNTIME_DIRECTORY": f"{directory}/run"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def config(directory: Path, text: str = 'engine = "/absent/socket"\n') -> str:
    """Write a configuration file and give its path."""
    path = directory / "tflocation.toml"
    path.write_text(text)
    return str(path)


def test_version(tmp_path: Path) -> None:
    """--version prints the program's name and version."""
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"tflocation {tfd.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("invite",),
        ("invite", "a", "--role", "king"),
        ("invite", "a", "--expires", "soon"),
        ("invite", "a", "--address", "host:port"),
        ("image",),
        ("--config", "/absent.toml", "accounts"),
        ("--config", "/", "accounts"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """It says what is wrong, without a traceback."""
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_file_is_exit_code_2_with_all_mistakes(tmp_path: Path) -> None:
    """Each mistake is one line with file and line."""
    done = run(tmp_path, "--config", config(tmp_path, 'nane = "x"\nlog_level = "loud"\n'))
    assert done.returncode == 2
    assert [line.split(": ")[0].rsplit(":", 1)[1] for line in done.stderr.splitlines()] == ["1", "2"]
    assert "did you mean 'name'?" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("accounts",), ("invite", "alice"), ("revoke", "alice"), ("status",), ("image", "list")]
)
def test_without_engine_or_service_a_command_fails_with_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """The line says what does not answer."""
    done = run(tmp_path, "--config", config(tmp_path), *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("tflocation: ")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The service does not start with it, and says what to do."""
    run(tmp_path, "--config", config(tmp_path), "invite", "alice")
    key = tmp_path / "state" / "location.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    for arguments in ((), ("invite", "alice")):
        done = run(tmp_path, "--config", config(tmp_path), *arguments)
        assert done.returncode == 1
        assert str(key) in done.stderr
