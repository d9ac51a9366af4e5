"""`tfvolumes`: the account's volumes."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.generic import base_argparse, generic_cli

if TYPE_CHECKING:
    from tfnz.location import Location


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfvolumes")
    top.description = "Lists, creates and destroys the account's volumes at a location."
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list the volumes, one a line")
    create = commands.add_parser("create", help="create a volume and print its name")
    create.add_argument("--sync", action="store_true", help="write synchronously: slower, safe at power loss")
    create.add_argument("tag", metavar="TAG", nargs="?", help="a tag, by which it is found too")
    destroy = commands.add_parser("destroy", help="destroy a volume, its data and its snapshot at once")
    destroy.add_argument("volume", metavar="VOLUME", help="the volume's uuid, tag or uuid:tag")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {"list": _list, "create": _create, "destroy": _destroy})


def _list(location: "Location", _options: argparse.Namespace) -> None:
    for volume in location.all_volumes():
        print(volume.display_name())


def _create(location: "Location", options: argparse.Namespace) -> None:
    print(location.create_volume(tag=options.tag, asynchronous=not options.sync).display_name())


def _destroy(location: "Location", options: argparse.Namespace) -> None:
    try:
        volume = location.volume(options.volume)
    except KeyError:
        raise ValueError(f"There is no volume {options.volume}; see: tfvolumes list") from None
    location.destroy_volume(volume)


if __name__ == "__main__":
    main()
