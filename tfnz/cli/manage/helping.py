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
    from tfnz.cli.describing import describe
    from tfnz.cli.manage.parser import parser

    running.parser("tf").print_help()
    print("\ncommands:")
    for command in describe(parser(), ("tf",)).commands:
        print(f"  {' '.join(command.words):20}  {command.text}")
    return 0
