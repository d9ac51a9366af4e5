"""Man pages and completion as they are made from the parsers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.debian import TREE
from tfnz.cli.describing import Command, all_commands

LIMIT = 60


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what packaging/manual.py writes."""
    directory = tmp_path_factory.mktemp("manual")
    subprocess.run([sys.executable, TREE / "packaging/manual.py", directory], check=True, timeout=LIMIT)
    return directory


def names() -> list[str]:
    """The names of all pages that there have to be."""
    commands = all_commands()
    inner = [f"tf-{command.words[1]}" for command in commands[0].commands]
    return [*(command.words[0] for command in commands), "tfnz", *inner]


@pytest.mark.parametrize("name", names())
def test_man_shows_the_page(prefix: Path, name: str) -> None:
    """Found by PATH alone, without a warning, within 80 columns."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    (prefix / "bin").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{prefix / 'bin'}:/usr/bin:/bin",
        "MANWIDTH": "80",
        "LC_ALL": "C.UTF-8",
    }
    environment.pop("MANPATH", None)
    done = subprocess.run(
        ["man", "--warnings=all", name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "NAME" in done.stdout
    assert "EXIT STATUS" in done.stdout
    assert max(len(line) for line in done.stdout.split("\n")) <= 80


def every(commands: tuple[Command, ...]) -> list[Command]:
    """The commands with all that are below them."""
    return [one for command in commands for one in (command, *every(command.commands))]


def test_every_option_says_what_it_does() -> None:
    """So does every argument and every command."""
    silent = [
        (command.words, option.flags or option.value)
        for command in every(all_commands())
        for option in (*command.options, *command.arguments)
        if not option.text
    ]

    assert silent == []
    assert [command.words for command in every(all_commands()) if not command.text] == []


def completed(prefix: Path, line: str, tmp_path: Path) -> list[str]:
    """What bash offers at the end of a line; commands that list names are stood in for by shell scripts."""
    for name, printed in (("tf", "web other"), ("tflocations", "home local")):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' {printed}\n")
        script.chmod(0o755)
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {prefix}/share/bash-completion/completions/tf; COMP_WORDS=({quoted}); "
        f"COMP_CWORD={len(words) - 1}; _tfnz_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "-uc", program],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tf vol", ["volume"]),
        ("tfnz vol", ["volume"]),
        ("tf volume s", ["snapshot"]),
        ("tf kv set --t", ["--type"]),
        ("tf kv set --type b", ["bytes"]),
        ("tf rm w", ["web"]),
        ("tf exec --location h", ["home"]),
        ("tf --off", ["--offset"]),
        ("tfdomains cl", ["claim"]),
        ("tfvolumes --loca", ["--location", "--local"]),
        ("tf account invite --role ", ["user", "admin"]),
    ],
)
def test_bash_completes(prefix: Path, tmp_path: Path, line: str, offered: list[str]) -> None:
    """Commands, options, choices, and names of what is there."""
    assert completed(prefix, line, tmp_path) == offered
