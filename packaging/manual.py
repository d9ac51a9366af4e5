"""Writes the man pages and the completion for bash of the commands, from their parsers.

    python packaging/manual.py PREFIX

makes PREFIX/share/man/man1/*.1 and PREFIX/share/bash-completion/completions/*. A man(1) whose PATH has
PREFIX/bin finds the pages there by itself (manpath(5)).
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tfd.protocol import __version__
from tfnz.cli import completion
from tfnz.cli.describing import Command, Option, all_commands

FILES = (
    ("~/.20ft/default_location", "the name of the location that is meant where none is named"),
    ("~/.20ft/NAME", "the secret key for location NAME, mode 0600 or 0400"),
    ("~/.20ft/NAME.pub", "its public key"),
    ("~/.20ft/NAME.spub", "the location's public key"),
    ("~/.20ft/NAME.address", "host:port to dial; without this file NAME itself is dialled, at port 2020"),
    ("~/.20ft/host_key", "the key of ssh servers"),
)
ENVIRONMENT = (
    ("DOCKER_HOST", "the socket of the local container engine, such as unix:///run/podman/podman.sock"),
)
CODES = (("0", "fine"), ("1", "it failed; one line on standard error says why"), ("2", "wrong command line"))
CODES_OF = {
    ("tf",): (
        ("the process's", "once the container's process has ended by itself; 128 + n for signal n"),
        *CODES[1:],
    ),
    ("tf", "exec"): (("the process's", "128 + n where signal n ended it"), *CODES[1:]),
}
EXAMPLES = {
    ("tf",): (
        ("tf nginx", "Run nginx, and reach its port 80 here, on the port that is printed."),
        ("nohup tf --offset 8000 nginx &", "The same on port 8080, outliving the login; no root needed."),
        ("tf -p 8080:80 .", "Run the image that was built last."),
        ("tf -ti alpine", "A shell in a new container."),
        ("tf -m data:/var/lib/data -e NAME=value -s debian", "A volume, a variable, ssh on port 2222."),
        ("tf --systemd ubuntu@vps.example.net tfnz/docs", "A service there that outlives reboots."),
        ("tf --systemd local -p 8080:80 nginx", "A service on this machine."),
        ("tf --systemd toml -p 8080:80 nginx >>/etc/tfd.toml", "Hand it to tfd instead."),
        ("tf ps; tf logs -f NAME; tf exec -ti NAME sh; tf rm NAME", "Look after what runs."),
    ),
    ("tf", "exec"): (("tf exec -ti web sh", "A shell."), ("tf exec -i web sh -c 'cat >/a' <a", "A pipe.")),
    ("tf", "cp"): (
        ("tf cp site/ web:/srv/www", "A directory."),
        ("tf cp web:/var/log/messages -", "A file to standard output."),
    ),
    ("tf", "kv"): (("tf kv set prod/db $ID prod/port 5432", "Two values at once, or none."),),
    ("tf", "init"): (("tf init 'me@192.0.2.7:2020/...'", "The line from an administrator, in quotes."),),
    ("tfdomains",): (("tfdomains prepare my.com", "Then the TXT record, then: tfdomains claim my.com"),),
}


def page(command: Command, others: tuple[Command, ...]) -> str:
    """Give a man page (man(7)); `others` are named in SEE ALSO."""
    name = "-".join(command.words)
    lines = [
        f'.TH "{name.upper()}" 1 "" "tfd {__version__}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{roff(name)} \\- {roff(command.text)}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        ".SH DESCRIPTION",
        *_paragraphs(command.description),
    ]
    if command.arguments:
        lines += [
            ".SH ARGUMENTS",
            *(line for one in command.arguments for line in _tagged(one.value, one.text)),
        ]
    if command.options:
        lines += [".SH OPTIONS", *(line for one in command.options for line in _described(one))]
    if command.commands:
        lines += [".SH COMMANDS"]
        for inner in command.commands:
            lines += _tagged(" ".join(inner.words), f"{inner.text}; see {'-'.join(inner.words)}(1)")
    lines += _section("EXIT STATUS", CODES_OF.get(command.words, CODES))
    lines += _section("EXAMPLES", EXAMPLES.get(command.words, ()))
    if len(command.words) == 1:
        lines += _section("FILES", FILES)
        lines += _section("ENVIRONMENT", ENVIRONMENT)
    seen = ", ".join(
        f"\\fB{roff('-'.join(one.words))}\\fR(1)" for one in others if one.words != command.words
    )
    return "\n".join([*lines, ".SH SEE ALSO", seen, ""])


def roff(text: str) -> str:
    """Give text as it is to be seen: no character of it is a command to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    return re.sub(r"^\.", r"\\&.", text.replace("~", "\\(ti"), flags=re.MULTILINE)


def _synopsis(command: Command) -> Iterator[str]:
    yield f".B {roff(' '.join(command.words))}"
    if command.options:
        yield "[\\fIoptions\\fR]"
    if command.commands and not command.arguments:
        yield "\\fICOMMAND\\fR ..."
    for one in command.arguments:
        word = f"\\fI{roff(one.value)}\\fR{' ...' if one.many else ''}"
        yield word if one.required else f"[{word}]"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        # Lines that the parser's author broke stay broken.
        yield "\n.br\n".join(roff(line) for line in paragraph.split("\n"))


def _described(option: Option) -> list[str]:
    flags = ", ".join(option.flags) + (f" {option.value}" if option.value else "")
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    return _tagged(flags, option.text + choices)


def _tagged(tag: str, text: str) -> list[str]:
    return [".TP", f"\\fB{roff(tag)}\\fR", roff(text)]


def _section(title: str, rows: tuple[tuple[str, str], ...]) -> list[str]:
    return [f".SH {title}", *(line for tag, text in rows for line in _tagged(tag, text))] if rows else []


def _pages() -> Iterator[tuple[str, str]]:
    """Give each file's name and text."""
    commands = all_commands()
    for command in commands:
        yield f"{command.words[0]}.1", page(command, (*commands, *command.commands))
        if command.words == ("tf",):
            for inner in command.commands:
                yield f"tf-{inner.words[1]}.1", page(_with_inner(inner), (command, *command.commands))
    yield "tfnz.1", ".so man1/tf.1\n"


def _with_inner(group: Command) -> Command:
    """Give a group whose options are those of its commands, each said once with the command's words."""
    if not group.commands:
        return group
    options = [
        Option(
            tuple(f"{' '.join(inner.words)} {flag}" for flag in one.flags), one.value, one.text, one.choices
        )
        for inner in group.commands
        for one in inner.options
        if "--help" not in one.flags and "--location" not in one.flags and "--local" not in one.flags
    ]
    return Command(
        group.words,
        group.text,
        f"{group.description}\n\nEach command takes --location LOCATION and --local ADDRESS too.",
        tuple(options),
        group.arguments,
        group.commands,
    )


def write(prefix: Path) -> None:
    """Write all of it below `prefix`; pages of commands that are no more go."""
    pages = prefix / "share" / "man" / "man1"
    pages.mkdir(parents=True, exist_ok=True)
    for old in pages.glob("tf*.1"):
        old.unlink()
    for name, text in _pages():
        (pages / name).write_text(text)
    completions = prefix / "share" / "bash-completion" / "completions"
    completions.mkdir(parents=True, exist_ok=True)
    commands = all_commands()
    script = completion.script(commands)
    for name in (*(command.words[0] for command in commands), "tfnz"):
        (completions / name).write_text(script)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python packaging/manual.py PREFIX")
    write(Path(sys.argv[1]))
