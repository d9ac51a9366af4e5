"""Writes the man pages and the completion for bash of the commands, from their parsers and tables.

    python packaging/manual.py PREFIX

makes PREFIX/share/man/man*/* and PREFIX/share/bash-completion/completions/*. A man(1) whose PATH has
PREFIX/bin finds the pages there by itself (manpath(5)).
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import file_pages
import unit_pages
from command_pages import Beside, of_sdk, page, with_inner

import tfd.cli
import tflocation.cli
from tfnz.cli import completion
from tfnz.cli.describing import Command, all_commands, describe

STATE = ("STATE_DIRECTORY", "where the state is, set by systemd; without it /var/lib/{0}")
RUNTIME = (
    "RUNTIME_DIRECTORY",
    "where the sockets of the running service are, set by systemd; without it /run/{0}",
)
WEB = (
    "TFLOCATION_WEB",
    "the socket at which systemd starts HAProxy, set by tflocation.service; without it HAProxy is a child",
)
DAEMON = Beside(
    codes=tuple((str(code), text) for code, text in tfd.cli.CODES),
    also=("tfd.toml(5)", "tfd.service(8)", "tflocation(1)", "tf(1)"),
    signals=tfd.cli.SIGNALS,
    files=unit_pages.files("tfd"),
    environment=tuple((name, text.format("tfd")) for name, text in (STATE, RUNTIME)),
    examples=(
        (
            "tfd join 'home@192.0.2.7:2020/...'",
            "Joins a location; the line is from `tflocation invite` there.",
        ),
        ("tfd --check && systemctl reload tfd", "Takes a changed configuration into use."),
        ("tfd status --watch", "Shows what it does, again and again."),
    ),
    commands_here=True,
)
LOCATION = Beside(
    codes=tuple((str(code), text) for code, text in tflocation.cli.CODES),
    also=("tflocation.toml(5)", "tflocation.service(8)", "tfd(1)", "tf(1)"),
    signals=tflocation.cli.SIGNALS,
    files=unit_pages.files("tflocation"),
    environment=tuple((name, text.format("tflocation")) for name, text in (STATE, RUNTIME, WEB)),
    examples=(
        ("tflocation invite my-vps", "Prints a line for `tfd join` or `tf init`, good once and for a day."),
        ("tflocation image add webapp.tar web", "Puts an image here, as `docker save` wrote it."),
        ("tflocation revoke my-vps", "Ends what that account has open, and lets it in no more."),
    ),
    commands_here=True,
)

LISTS = {
    "tfd": completion.Lists(
        prefix="_tfd",
        # The file is there and readable for all where the running tfd is not.
        commands=(
            ("CONTAINER", "sed -n 's/^\\[container\\.\\([a-z0-9-]*\\)\\].*/\\1/p' /etc/tfd.toml 2>/dev/null"),
        ),
    ),
    "tflocation": completion.Lists(
        prefix="_tflocation",
        commands=(("ACCOUNT", "tflocation accounts 2>/dev/null | sed '1d;s/ .*//'"),),
    ),
}


def services() -> tuple[tuple[Command, Beside], ...]:
    """Describe the commands that are services."""
    return (
        (describe(tfd.cli.parser(), ("tfd",), "serves containers of remote locations"), DAEMON),
        (describe(tflocation.cli.parser(), ("tflocation",), "makes this machine a location"), LOCATION),
    )


def pages() -> Iterator[tuple[str, str]]:
    """Give each page's file name and text."""
    commands = all_commands()
    for command in commands:
        yield f"{command.words[0]}.1", page(command, of_sdk(command, (*commands, *command.commands)))
        if command.words == ("tf",):
            for inner in command.commands:
                beside = of_sdk(inner, (command, *command.commands))
                yield f"tf-{inner.words[1]}.1", page(with_inner(inner), beside)
    yield "tfnz.1", ".so man1/tf.1\n"
    for command, beside in services():
        name = command.words[0]
        yield f"{name}.1", page(command, beside)
        yield f"{name}.service.8", unit_pages.page(name)
        for unit in unit_pages.units(name):
            if unit.name != f"{name}.service":
                yield f"{unit.name}.8", f".so man8/{name}.service.8\n"
    yield "tfd.toml.5", file_pages.daemon_page()
    yield "tflocation.toml.5", file_pages.location_page()


def completions() -> Iterator[tuple[str, str]]:
    """Give each completion's file name and text."""
    commands = all_commands()
    script = completion.script(commands)
    for name in (*(command.words[0] for command in commands), "tfnz"):
        yield name, script
    for command, _ in services():
        yield command.words[0], completion.script((command,), LISTS[command.words[0]])


def write(prefix: Path) -> None:
    """Write all of it below `prefix`; pages of commands that are no more go."""
    manual = prefix / "share" / "man"
    for old in manual.glob("man[158]/tf*.[158]"):
        old.unlink()
    for name, text in pages():
        _put(manual / f"man{name[-1]}" / name, text)
    for name, text in completions():
        _put(prefix / "share" / "bash-completion" / "completions" / name, text)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python packaging/manual.py PREFIX")
    write(Path(sys.argv[1]))
