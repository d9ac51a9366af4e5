"""The man pages of the services, from what their unit files say of themselves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, fill

from roff import head, literal, marked, paragraphs, roff, section, see_also, whole

HERE = Path(__file__).resolve().parent
COMMANDS = (
    ("systemctl enable --now {0}", "Starts it now and at each boot; installing the package does neither."),
    ("systemctl reload {0}", "Takes a changed configuration into use; a wrong one changes nothing."),
    (
        "systemctl restart {0}",
        "Has a new process take over. So does an upgrade of the package, where it runs.",
    ),
    ("systemctl status {0}", "Tells how it does, in one line, with its last messages."),
    ("journalctl -x -u {0}", "Tells what happened, with explanations."),
    (
        "systemctl edit {0}",
        "Changes settings of the unit in a file of one's own, which upgrades leave alone.",
    ),
)
FILES = (
    ("/etc/{0}.toml", "the configuration, see `{0}.toml(5)`"),
    ("/var/lib/{0}", "its state, the private keys among it; apt purge removes it"),
    ("/run/{0}", "sockets of the running service"),
)
WITHOUT_PACKAGE = """\
Where pip installed {0}, its units and the explanations for the journal lie below lib/ of its environment, \
with the paths of the package, and nothing is in force yet. For an environment /opt/tfd, as root:"""
INSTALLING = """\
cd /opt/tfd/lib
for unit in {units}; do
    sed s,/usr/bin/,/opt/tfd/bin/, systemd/system/$unit \\
        >/etc/systemd/system/$unit
done
install -D -m 644 -t /usr/local/lib/systemd/catalog \\
    systemd/catalog/{program}.catalog
journalctl --update-catalog
systemctl daemon-reload
"""
USER = "systemd-sysusers /opt/tfd/lib/sysusers.d/{0}.conf"
EXAMPLES = frozenset({"tfd.socket"})
"""What nobody installs as it is."""


@dataclass(frozen=True)
class Note:
    """Settings of a unit file, and the comment above them."""

    settings: tuple[str, ...]
    text: str


def units(program: str) -> list[Path]:
    """Give the unit files of a program, its service first."""
    found = [
        path for path in HERE.iterdir() if re.fullmatch(rf"{program}(-\w+)?@?\.(service|socket)", path.name)
    ]
    return sorted(found, key=lambda path: (path.name != f"{program}.service", path.name))


def page(program: str) -> str:
    """Give the page of a program's units, which is called as its service."""
    found = units(program)
    lines = [
        *head(f"{program}.service", 8, f"{program} under systemd"),
        ".SH SYNOPSIS",
        *"\n.br\n".join(f".I {roff(path.name)}" for path in found).split("\n"),
        ".SH DESCRIPTION",
    ]
    for path in found:
        if len(found) > 1:
            lines += [f".SS {roff(path.name)}"]
        lines += _header(path)
    lines += section("COMMANDS", _filled(COMMANDS, program))
    lines += [".SH SETTINGS"]
    for path in found:
        if notes := list(_notes(path)):
            lines += [f".SS {roff(path.name)}", *(line for note in notes for line in _entry(note))]
    lines += section("FILES", files(program))
    lines += [".SH NOTES", roff(WITHOUT_PACKAGE.format(program)), *literal(_installing(program, found))]
    others = [f"{program}(1)", f"{program}.toml(5)", "systemctl(1)", "journalctl(1)", "systemd.service(5)"]
    return whole([*lines, *see_also(others)])


def files(program: str) -> tuple[tuple[str, str], ...]:
    """Give the files of a program, and what each one is."""
    return _filled(FILES, program)


def _installing(program: str, found: list[Path]) -> str:
    """Give the commands that bring what a wheel carries to where systemd finds it."""
    names = [path.name for path in found if path.name not in EXAMPLES]
    lines = fill(" ".join(names), 50, break_on_hyphens=False).replace("\n", " \\\n        ")
    commands = INSTALLING.format(program=program, units=lines)
    own_user = (HERE / "sysusers.d" / f"{program}.conf").exists()
    return f"{USER.format(program)}\n{commands}" if own_user else commands


def _filled(rows: tuple[tuple[str, str], ...], program: str) -> tuple[tuple[str, str], ...]:
    return tuple((tag.format(program), text.format(program)) for tag, text in rows)


def _header(path: Path) -> Iterator[str]:
    """Give the comment at the beginning of a unit file; what is indented in it stands as it is."""
    lines = path.read_text().split("\n")
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    comment = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])
    for block in comment.split("\n\n"):
        if block.startswith("  "):
            yield from literal(dedent(block))
        else:
            yield from paragraphs(" ".join(block.split()))


def _notes(path: Path) -> Iterator[Note]:
    """Give each setting below a comment, and further ones of the same name that follow it."""
    comment: list[str] = []
    settings: list[str] = []
    body = path.read_text().partition("\n[")[2].split("\n")
    for line in [*body, ""]:
        name = line.partition("=")[0]
        if settings and not settings[0].startswith(f"{name}="):
            yield Note(tuple(settings), " ".join(comment))
            comment, settings = [], []
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif comment and line:
            settings.append(line)
        else:
            comment = []


def _entry(note: Note) -> list[str]:
    tags = [f"\\fB{roff(setting)}\\fR" for setting in note.settings]
    lines = [".TP", tags[0]]
    for tag in tags[1:]:
        lines += [".TQ", tag]
    return [*lines, marked(note.text)]
