"""Man pages and completion as they are made from the parsers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tfd.cli
import tflocation.cli
from tests.support.debian import TREE
from tfd.config.table import HEALTH, TOP
from tflocation.config import KEYS, LIMIT_KEYS
from tflocation.web.settings import WEB_KEYS
from tfnz.cli.describing import Command, all_commands, describe

LIMIT = 60
SERVICES = ("tfd", "tflocation")


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
    services = [page for name in SERVICES for page in (name, f"{name}.toml", f"{name}.service")]
    return [*(command.words[0] for command in commands), "tfnz", *inner, *services]


def shown(prefix: Path, name: str) -> str:
    """What man shows of a page that it finds by PATH alone; it must have nothing to complain of."""
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
    return done.stdout


@pytest.mark.parametrize("name", names())
def test_man_shows_the_page(prefix: Path, name: str) -> None:
    """Found by PATH alone, without a warning, within 80 columns."""
    text = shown(prefix, name)

    assert "NAME" in text
    assert ("EXIT STATUS" in text) == (not name.endswith((".toml", ".service")))
    assert max(len(line) for line in text.split("\n")) <= 80


def test_mandoc_finds_nothing_wrong(prefix: Path) -> None:
    """The other reader of man pages agrees; pages that are only a reference to another one are left out."""
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    pages = [page for page in prefix.glob("share/man/man?/*") if not page.read_text().startswith(".so ")]
    command = ["mandoc", "-Tlint", "-Wwarning", *map(os.fspath, pages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_pages_of_the_files_tell_every_key(prefix: Path) -> None:
    """What a parser takes, its page explains."""
    daemon, location = shown(prefix, "tfd.toml"), shown(prefix, "tflocation.toml")
    sections = (*TOP.values(), HEALTH)

    assert [key.name for section in sections for key in section.keys if not told(key.name, daemon)] == []
    assert [key for key in (*KEYS, *LIMIT_KEYS, *WEB_KEYS) if not told(key, location)] == []


def told(key: str, text: str) -> bool:
    """Whether a page has an entry for a key."""
    return re.search(rf"^ {{7}}{key}\b", text, re.MULTILINE) is not None


def test_the_pages_of_the_services_tell_what_their_units_say(prefix: Path) -> None:
    """Each comment of a unit file is there."""
    for name in SERVICES:
        text = " ".join(shown(prefix, f"{name}.service").split())
        unit = (TREE / f"packaging/{name}.service").read_text()
        for block in re.findall(r"(?:^#.*\n)+", unit, re.MULTILINE):
            comment = " ".join(block.replace("#", " ").split())
            assert comment.replace("`", "") in text, comment


def every(commands: tuple[Command, ...]) -> list[Command]:
    """The commands with all that are below them."""
    return [one for command in commands for one in (command, *every(command.commands))]


def described() -> tuple[Command, ...]:
    """All commands of all three programs."""
    services = (tfd.cli.parser(), tflocation.cli.parser())
    return (*all_commands(), *(describe(parser, (parser.prog,), "a service") for parser in services))


def test_every_option_says_what_it_does() -> None:
    """So does every argument and every command."""
    silent = [
        (command.words, option.flags or option.value)
        for command in every(described())
        for option in (*command.options, *command.arguments)
        if not option.text
    ]

    assert silent == []
    assert [command.words for command in every(described()) if not command.text] == []


def completed(prefix: Path, line: str, tmp_path: Path) -> list[str]:
    """What bash offers at the end of a line; commands that list names are stood in for by shell scripts."""
    for name, printed in (
        ("tf", "web other"),
        ("tflocations", "home local"),
        ("tflocation", "NAME bob carol"),
    ):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' {printed}\n")
        script.chmod(0o755)
    words = line.split(" ")
    function = {name: f"_{name}_complete" for name in SERVICES}.get(words[0], "_tfnz_complete")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {prefix}/share/bash-completion/completions/{words[0]}; COMP_WORDS=({quoted}); "
        f"COMP_CWORD={len(words) - 1}; {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
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
        ("tfd st", ["status"]),
        ("tfd status --w", ["--watch"]),
        ("tflocation image a", ["add"]),
        ("tflocation invite --role ", ["user", "admin"]),
        ("tflocation revoke c", ["carol"]),
    ],
)
def test_bash_completes(prefix: Path, tmp_path: Path, line: str, offered: list[str]) -> None:
    """Commands, options, choices, and names of what is there."""
    assert completed(prefix, line, tmp_path) == offered
