"""The parser of all sub-commands, of which help, man pages and completion are made."""

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from tfnz.cli.generic import WRONG
from tfnz.cli.manage import (
    accounts,
    containers,
    copying,
    executing,
    helping,
    images,
    joining,
    keyvalues,
    nodes,
    shells,
    volumes,
)

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands

_GROUPS = (
    *(containers, executing, copying, shells, volumes, keyvalues, nodes, images, accounts, joining, helping),
)


class OneLineParser(argparse.ArgumentParser):
    """A parser that tells in one line what is wrong; those of its sub-commands are of this kind too."""

    def error(self, message: str) -> NoReturn:
        """Tell what is wrong and where to read on, and exit with 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(WRONG)


def parser() -> argparse.ArgumentParser:
    """Give the parser; what it parsed has `action`, to be called with it for the exit code."""
    top = OneLineParser(prog="tf", description="Manages what is at a location.")
    commands: Commands = top.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for group in _GROUPS:
        group.add(commands)
    return top
