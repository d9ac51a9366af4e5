"""`tflocations`: the locations that the user has an account at, and which one is the default."""

import argparse

from tfnz import account
from tfnz.cli.generic import base_argparse, generic_cli


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tflocations", location=False)
    top.description = "Lists the locations of ~/.20ft and selects the default one."
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list the locations, one a line")
    select = commands.add_parser("select", help="make a location the default")
    select.add_argument("prefix", metavar="LOCATION", help="its name, or how the name begins")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {"list": _list, "select": _select}, location=False)


def _list(_location: None, _options: argparse.Namespace) -> None:
    default = account.default_location() if account.has_default() else None
    for name in sorted(account.locations()):
        print(f"{name} <== default" if name == default else name)


def _select(_location: None, options: argparse.Namespace) -> None:
    found = [name for name in sorted(account.locations()) if name.startswith(options.prefix)]
    if not found:
        raise ValueError(f"There is no location that begins with {options.prefix}; see: tflocations list")
    account.select(found[0])


if __name__ == "__main__":
    main()
