"""The parser of all sub-commands, of which help, man pages and completion are made."""

import argparse

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
from tfnz.cli.manage.adding import OneLineParser

_GROUPS = (
    *(containers, executing, copying, shells, volumes, keyvalues, nodes, images, accounts, joining, helping),
)


def parser() -> argparse.ArgumentParser:
    """Give the parser; what it parsed has `action`, to be called with it for the exit code."""
    top = OneLineParser(prog="tf", description="Manages what is at a location.")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for group in _GROUPS:
        group.add(commands)
    return top
