"""The command line of `tf` and `tfnz`: what may stand on it, and what it means.

Options end where the image stands: everything after it belongs to the container, dashes too. Each option is
declared once, in `ROWS`; the parser, its help, the man page and the completion come from there.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from tfnz.cli import values
from tfnz.cli.generic import WRONG, location_options
from tfnz.cli.values import Web

DEFAULT_SSH: Final = "2222"


@dataclass(frozen=True, slots=True)
class Row:
    """One option: its spellings, the canonical one first, and what argparse is to know of it."""

    flags: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def takes_value(self) -> bool:
        """Whether a value follows."""
        return self.settings.get("action") not in ("store_true", "count")


def _flag(*flags: str, **settings: Any) -> Row:
    return Row(flags, {"action": "store_true", **settings})


def _value(*flags: str, metavar: str, **settings: Any) -> Row:
    return Row(flags, {"metavar": metavar, **settings})


def _many(*flags: str, metavar: str, **settings: Any) -> Row:
    return Row(flags, {"metavar": metavar, "action": "append", "default": [], **settings})


ROWS: Final = (
    Row(("--verbose", "-v"), {"action": "count", "default": 0, "help": "log what the connection does, too"}),
    _flag("--quiet", "-q", help="no log at all"),
    _flag(
        "--interactive",
        *("-ti", "-it", "-t", "-i"),
        help="connect this terminal to the container's process; ^] three times ends the session",
    ),
    _many(
        "--env",
        *("-e", "--environment"),
        metavar="VAR[=VALUE]",
        help="set an environment variable, to this environment's value where none is given (repeatable)",
    ),
    _many(
        "--file",
        "-f",
        metavar="SOURCE:DESTINATION",
        help="put a file in before the start; a DESTINATION ending in / keeps the name (repeatable)",
    ),
    _many(
        "--mount",
        "-m",
        metavar="VOLUME:MOUNTPOINT",
        help="mount a volume, by uuid, tag or uuid:tag (repeatable)",
    ),
    _many(
        "--publish",
        "-p",
        metavar="LOCAL:REMOTE",
        help="tunnel from a local TCP port to one in the container; LOCAL 0 is any free one (repeatable)",
    ),
    _value(
        "--web",
        "-w",
        metavar="NAME[:REWRITE[:CERTIFICATE]]",
        help="publish port 80 on the location's web gateway under this name; REWRITE is the Host header that "
        "the container gets; CERTIFICATE.crt and CERTIFICATE.key make it https",
    ),
    _value("--ssh", metavar="PORT", help="serve ssh and sftp into the container on this local port"),
    _flag("-s", help="the same as --ssh 2222; -s PORT is the same as --ssh PORT", dest="default_ssh"),
    _flag("--sleep", "-z", help="do not start the container's process"),
    _value(
        "--command",
        *("-c", "--entrypoint"),
        metavar="PROGRAM",
        help="run this, with the words after the image, instead of the image's entrypoint and command",
        dest="program",
    ),
    _value(
        "--offset",
        metavar="N",
        help="tunnel each exposed port from the local port that is N more: with 8000, 8080 leads to 80",
    ),
    _value(
        "--bind",
        metavar="ADDRESS",
        help="local address of the tunnels (default: all addresses, IPv4 and IPv6)",
    ),
    _flag("--public", help="let the tunnels listen on all addresses, which they do unless --bind is given"),
    _value("--json", metavar="FILE", help="write container, address and tunnels to this file while it runs"),
    _flag("--browser", help="open the container's page in the desktop's browser once it answers"),
    _value("--domain", metavar="NAME", help="with --browser: the host name to use (default: localhost)"),
    _value("--path", metavar="PATH", help="with --browser: the path to open"),
    _value(
        "--systemd",
        metavar="USER@SERVER",
        help="make it a systemd service there, or on this machine with 'local', instead of running it here "
        "and now; 'toml' prints it as tables for tfd.toml",
    ),
    _value("--identity", metavar="FILE", help="with --systemd: the private key for ssh"),
)

# Spellings of old releases; kept out of the help.
_OLD: Final = {"--loc": "--location", "--local_broker": "--local"}
_CONNECTION: Final = ("--location", "--local")
_EPILOG: Final = (
    "SOURCE is an image: a name or id that the local Docker or Podman knows, one that the location or its "
    "registries have, oci-archive:PATH, docker-archive:PATH, oci:DIRECTORY, a path to one of these, '-' for "
    "what docker save writes to a pipe, or '.' for the image that was built last."
)


@dataclass(frozen=True, slots=True)
class Options:
    """What one command line asks for; every value is checked."""

    source: str
    command: tuple[str, ...] | None
    location: str | None
    local: str | None
    verbose: bool
    quiet: bool
    interactive: bool
    environment: tuple[tuple[str, str], ...]
    files: tuple[tuple[Path, str], ...]
    mounts: tuple[tuple[str, str], ...]
    publish: tuple[tuple[int, int], ...]
    web: Web | None
    ssh: int | None
    sleep: bool
    offset: int | None
    bind: str | None
    json: Path | None
    browser: bool
    domain: str
    path: str
    systemd: str | None
    identity: str | None


class WrongUsageError(ValueError):
    """The command line is wrong; the message says what, where, and what is allowed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell in one line what is wrong, and exit with 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(WRONG)


def parser(program: str) -> argparse.ArgumentParser:
    """Give the parser, which knows all options, the image and the command."""
    tunnels = (
        "Each TCP port that the image exposes is reached on a local port, unless --publish or --web says "
        "otherwise. "
        if program == "tf"
        else ""
    )
    made = _Parser(
        prog=program,
        usage=f"{program} [options] source [command] [args...]",
        description=f"Runs a container at a location until it, or this program, is ended. {tunnels}",
        epilog=_EPILOG,
    )
    location_options(made)
    for row in ROWS:
        made.add_argument(*row.flags, **row.settings)
    made.add_argument("source", help="the image")
    made.add_argument("command", nargs="*", help="replaces the image's entrypoint and command")
    return made


def parse(arguments: Sequence[str], environment: Mapping[str, str], program: str) -> Options:
    """Read a command line without the program's own name.

    What is wrong is told on stderr in one line, with SystemExit(2); --help is SystemExit(0).
    """
    made = parser(program)
    try:
        given, source, command = split(arguments)
        if "--help" in given:
            made.print_help()
            raise SystemExit(0)
        if source is None:
            raise WrongUsageError("an image is missing: its name or id, or '.' for the one built last")
        parsed = made.parse_args([*given, "--", source])
        return _options(parsed, command, environment)
    except WrongUsageError as error:
        made.error(str(error))


def split(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Take options, image and the container's own words apart; options come back in their canonical form.

    Raises WrongUsageError for an unknown option and for a missing value.
    """
    left = list(arguments)
    given: list[str] = []
    while left:
        word = left.pop(0)
        if word == "--":
            return given, left[0] if left else None, left[1:]
        if len(word) < 2 or not word.startswith("-"):
            return given, word, left
        given += _long(word, left) if word.startswith("--") else _short(word, left)
    return given, None, []


def _long(word: str, left: list[str]) -> list[str]:
    name, equals, value = word.partition("=")
    name, takes_value = _resolve(name)
    if not takes_value:
        if equals:
            raise WrongUsageError(f"{name} takes no value, and {value!r} was given")
        return [name]
    return [_given(name, value if equals else _next(name, left))]


def _short(word: str, left: list[str]) -> list[str]:
    if word in _SPELLINGS and word != "-s":
        name, takes_value = _SPELLINGS[word]
        return [_given(name, _next(word, left))] if takes_value else [name]
    given = []
    for place, letter in enumerate(word[1:], 2):
        flag, rest = f"-{letter}", word[place:]
        if flag not in _SPELLINGS:
            raise _unknown(word)
        name, takes_value = _SPELLINGS[flag]
        if flag == "-s":
            port = rest or (left[0] if left else "")
            if not port.isdecimal():
                given.append(f"--ssh={DEFAULT_SSH}")
                continue
            if not rest:
                left.pop(0)
            return [*given, f"--ssh={port}"]
        if takes_value:
            return [*given, _given(name, rest.removeprefix("=") or _next(flag, left))]
        given.append(name)
    return given


def _given(name: str, value: str) -> str:
    # argparse takes `--` out wherever it stands, and leaves the option with an empty list.
    if value == "--":
        raise WrongUsageError(f"{name} needs a value, and '--' is none")
    return f"{name}={value}"


def _next(name: str, left: list[str]) -> str:
    if not left:
        raise WrongUsageError(f"{name} needs a value after it")
    return left.pop(0)


def _resolve(name: str) -> tuple[str, bool]:
    """Give the canonical option that a spelling, or the beginning of one alone, stands for."""
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    found = {canonical for spelling, canonical in _SPELLINGS.items() if spelling.startswith(name)}
    if len(found) > 1:
        raise WrongUsageError(f"{name} may mean {', '.join(sorted(option for option, _ in found))}")
    if not found:
        raise _unknown(name)
    return found.pop()


def _unknown(word: str) -> WrongUsageError:
    import difflib

    near = difflib.get_close_matches(word, list(_SPELLINGS), 1)
    return WrongUsageError(f"there is no option {word}" + (f"; is {near[0]} meant?" if near else ""))


def _spellings() -> dict[str, tuple[str, bool]]:
    """Give each spelling's canonical option, and whether it takes a value."""
    known = {flag: (row.flags[0], row.takes_value) for row in ROWS for flag in row.flags}
    known |= {flag: (flag, True) for flag in _CONNECTION}
    known |= {flag: (canonical, True) for flag, canonical in _OLD.items()}
    return known | {"--help": ("--help", False), "-h": ("--help", False)}


_SPELLINGS: Final = _spellings()


def _options(parsed: argparse.Namespace, words: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Check every value. Raises WrongUsageError."""
    try:
        command = [parsed.program, *words] if parsed.program is not None else list(words)
        options = Options(
            source=parsed.source,
            command=tuple(command) or None,
            location=parsed.location,
            local=parsed.local,
            verbose=parsed.verbose > 0,
            quiet=parsed.quiet,
            interactive=parsed.interactive,
            environment=values.environment(parsed.env, environment),
            files=values.files(parsed.file),
            mounts=values.mounts(parsed.mount),
            publish=values.published(parsed.publish),
            web=None if parsed.web is None else values.web(parsed.web),
            ssh=None if parsed.ssh is None else values.port(parsed.ssh, "--ssh"),
            sleep=parsed.sleep,
            offset=None if parsed.offset is None else values.offset(parsed.offset),
            bind=None if parsed.bind is None else values.address(parsed.bind),
            json=None if parsed.json is None else Path(parsed.json),
            browser=parsed.browser,
            domain=parsed.domain or "localhost",
            path=parsed.path or "",
            systemd=parsed.systemd,
            identity=parsed.identity,
        )
    except ValueError as error:
        raise WrongUsageError(str(error)) from error
    _check_together(options, parsed)
    return options


def _check_together(options: Options, parsed: argparse.Namespace) -> None:
    """Refuse options that contradict one another, or mean nothing alone. Raises WrongUsageError."""
    wrong = {
        "--verbose and --quiet contradict each other; give one of them": options.verbose and options.quiet,
        "the image's name is empty": not options.source,
        "--public and --bind contradict each other; give one of them": (
            parsed.public and options.bind is not None
        ),
        "--identity is for --systemd alone": options.identity is not None and options.systemd is None,
        "--domain and --path are for --browser alone": bool(parsed.domain or parsed.path)
        and not options.browser,
        "'-' reads the image from standard input, which --interactive needs for the container": (
            options.source == "-" and options.interactive
        ),
        "--systemd needs an image that the other machine can get, not '-'": (
            options.source == "-" and options.systemd is not None
        ),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise WrongUsageError(message)
