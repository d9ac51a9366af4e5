"""How the sub-commands' parsers are put together."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from tfnz.cli.generic import WRONG, location_options

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["OneLineParser"]  # noqa: SLF001 - it has no public name

Action = Callable[[argparse.Namespace], int]


class OneLineParser(argparse.ArgumentParser):
    """A parser that tells in one line what is wrong; those of its sub-commands are of this kind too."""

    def error(self, message: str) -> NoReturn:
        """Tell what is wrong and where to read on, and exit with 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(WRONG)


def add_command(
    commands: "Commands", name: str, text: str, action: Action, *, more: str = "", location: bool = True
) -> argparse.ArgumentParser:
    """Add a command that does `action`: `text` is its line in the list, `more` goes below it in its help."""
    described = f"{text[0].upper()}{text[1:]}." + (f"\n\n{more}" if more else "")
    command = commands.add_parser(
        name, help=text, description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(action=action, program=command.prog)
    if location:
        location_options(command)
    return command


def add_group(commands: "Commands", name: str, text: str) -> "Commands":
    """Add a command that has commands of its own; without one of them its help is printed."""
    group = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

    def print_help(_options: argparse.Namespace) -> int:
        group.print_help()
        return 0

    group.set_defaults(action=print_help, program=group.prog)
    return group.add_subparsers(title="commands", metavar="COMMAND")


def json_option(command: argparse.ArgumentParser) -> None:
    """Add --json."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
