"""`tf help`."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.manage.adding import add_command

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands


def add(commands: "Commands") -> None:
    """Add the command of this file."""
    command = add_command(
        commands, "help", "print the help of tf or of one of its commands", _help, location=False
    )
    command.add_argument("words", metavar="COMMAND", nargs="*", help="such as: volume create")


def _help(options: argparse.Namespace) -> int:
    if options.words:
        from tfnz.cli.manage.parser import parser

        parser().parse_args([*options.words, "--help"])
    from tfnz.cli import options as running

    running.parser("tf").print_help()
    return 0
