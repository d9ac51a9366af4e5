"""The command line of tfd: what it understands, and which part does it.

Each part is imported when it is asked for, so that the daemon holds nothing of the others.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DEFAULT_CONFIG = "/etc/tfd.toml"

FINE = 0
FAILED = 1
WRONG = 2

SIGNALS = (
    ("SIGHUP", "reads the configuration again; a wrong one is refused and the old one stays in force"),
    ("SIGINT", "stops tfd, which lets connections end for a while; the containers keep running"),
    ("SIGTERM", "the same; where systemd keeps them for the next process, they are left to that"),
)
"""Each signal that a user sends, and what the daemon does then."""

CODES = (
    (FINE, "fine"),
    (FAILED, "it failed while running"),
    (WRONG, "wrong configuration or command line"),
)
"""Each exit code, and what it means."""


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for and return the exit code; SystemExit(2) when they are wrong."""
    from tfd.protocol.errors import TfdError

    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except TfdError as error:
        print(f"tfd: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:  # the reader of `tfd status | head` has gone, so there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def check(file: str) -> int:
    """Check a configuration file, print what was found, and return the exit code."""
    from tfd.config.problems import ConfigErrors
    from tfd.config.reader import load

    try:
        config = load(file)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return WRONG
    containers = _counted(len(config.containers), "container")
    listeners = _counted(len(config.listeners), "listener")
    print(f"{_printable(file)}: fine: {containers}, {listeners}")
    return FINE


def _dispatch(arguments: Sequence[str]) -> int:
    # What the units start does without the parser: its modules would stay, and take 0.8 MB.
    match list(arguments):
        case []:
            return _serve(DEFAULT_CONFIG)
        case ["--config", file] if not file.startswith("-"):
            return _serve(file)
        case ["--instance", name] if _is_plain(name):
            _be_instance(name)
            return _serve(_config_of(name))
    return _do(_parse(arguments))


def _do(options: argparse.Namespace) -> int:
    if options.instance is not None:
        _be_instance(options.instance)
    if options.check is not None:
        return check(options.check or options.config)
    if options.command == "join":
        from tfd.locations import joining

        return joining.run(options.invite, options.name)
    if options.command == "status":
        from tfd import showing

        return showing.watch(options.json) if options.watch else showing.show(options.json)
    if options.command == "logs":
        from tfd import logs

        return logs.show(options.name, options.lines, follow=options.follow)
    return _serve(options.config)


def _serve(config: str) -> int:
    from tfd import daemon

    return daemon.run(config)


def parser() -> argparse.ArgumentParser:
    """Give the parser of the command line; the man page and the completion are made from it."""
    import argparse

    from tfd import __version__

    top = argparse.ArgumentParser(
        prog="tfd",
        description="Keeps the declared containers alive at their locations, and serves them from here.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"tfd {__version__}")
    top.add_argument(
        "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG}, or the instance's)"
    )
    top.add_argument(
        "--instance",
        metavar="NAME",
        help="be, or speak to, the tfd of the unit tfd@NAME: its configuration is /etc/tfd/NAME.toml, its "
        "state is in /var/lib/tfd-NAME, and its sockets are in /run/tfd-NAME",
    )
    top.add_argument(
        "--check",
        metavar="FILE",
        nargs="?",
        const="",
        help="check the configuration, tell every error in it, and exit",
    )
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", title="commands (without one, the daemon runs)"
    )
    join = commands.add_parser(
        "join", help="join a location by an invite", description=_JOIN, allow_abbrev=False
    )
    join.add_argument("invite", metavar="INVITE", help="the line that `tflocation invite` printed")
    join.add_argument("--name", help="the location's name here (default: the one that it gives itself)")
    status = commands.add_parser(
        "status", help="tell what the running tfd does", description=_STATUS, allow_abbrev=False
    )
    status.add_argument("--json", action="store_true", help="print JSON, for programs: one line")
    status.add_argument("--watch", action="store_true", help="show it again every 2 s, until Ctrl-C")
    logs = commands.add_parser(
        "logs", help="show what a declared container writes", description=_LOGS, allow_abbrev=False
    )
    logs.add_argument("name", metavar="NAME", help="the container's name in the configuration")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what it writes from now on")
    logs.add_argument("-n", "--lines", metavar="LINES", type=_number, help="the last LINES lines alone")
    return top


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    top = parser()
    options = top.parse_args(arguments)
    if options.check is not None and options.command is not None:
        top.error(f"--check and {options.command} exclude each other")
    if options.instance is not None and not _is_plain(options.instance):
        top.error(
            f"--instance {options.instance!r}: a name of letters, digits, and . _ - within it is allowed"
        )
    if options.config is None:
        options.config = _config_of(options.instance) if options.instance else DEFAULT_CONFIG
    return options


def _config_of(instance: str) -> str:
    """Give the configuration of the unit tfd@INSTANCE."""
    return f"/etc/tfd/{instance}.toml"


def _is_plain(name: str) -> bool:
    """Whether a name can be a unit's instance and a part of a path, both as it is."""
    return (
        name[:1].isalnum()
        and name.isascii()
        and name.replace(".", "").replace("_", "").replace("-", "").isalnum()
    )


def _be_instance(name: str) -> None:
    """Have all parts look in the instance's directories, where systemd has not said so already."""
    os.environ.setdefault("STATE_DIRECTORY", f"/var/lib/tfd-{name}")
    os.environ.setdefault("RUNTIME_DIRECTORY", f"/run/tfd-{name}")


def _epilog() -> str:
    signals = "\n".join(f"  {name:8} {text}" for name, text in SIGNALS)
    codes = "; ".join(f"{code} {text}" for code, text in CODES)
    return f"signals:\n{signals}\n\nexit codes: {codes}\n"


_JOIN = """Makes a key pair, proves the invite's token to the location, and stores the account in the state
directory ($STATE_DIRECTORY, else /var/lib/tfd). An invite works once."""
_LOGS = """Shows the output of a declared container, which its location keeps: some 256 KiB of each. Where the
daemon runs under systemd, `journalctl -t NAME` has all that came since it does."""
_STATUS = (
    """Shows listeners, containers and where they run, locations, and counts of connections and bytes."""
)


def _number(text: str) -> int:
    """Read a number of lines. Raises ValueError, which the parser words."""
    number = int(text)
    if not 0 <= number <= 1 << 20:
        raise ValueError
    return number


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _printable(file: str) -> str:
    """Give a file's name without the surrogates that stand for bytes which are no UTF-8."""
    return file.encode("utf-8", "backslashreplace").decode()
