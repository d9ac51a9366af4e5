"""`tf init`: the first thing a new user types."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.generic import silence
from tfnz.cli.manage.adding import add_command

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands


def add(commands: "Commands") -> None:
    """Add the command of this file."""
    command = add_command(
        commands,
        "init",
        "join a location by an invite",
        _join,
        more="Makes a key pair, proves the invite to the location and writes ~/.20ft. The first location\n"
        "that is joined becomes the default; `tflocations select` chooses another one.",
        location=False,
    )
    command.add_argument("invite", metavar="INVITE", help="the line that an administrator gave you")


def _join(options: argparse.Namespace) -> int:
    from tfnz import account

    silence()
    name = account.join(options.invite)
    print(f"Created OK for: {name}")
    return 0
