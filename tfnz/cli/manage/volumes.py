"""`tf volume`: the account's volumes."""

import argparse
import sys
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, add_group, json_option
from tfnz.cli.manage.amounts import size
from tfnz.cli.manage.selecting import Record, find_volume
from tfnz.cli.manage.tables import amount, or_dash, show_json, show_table

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands
    from tfnz.location import Location

WHICH = "VOLUME is a uuid or how it begins, a tag, uuid:tag, or environment/NAME of a declared volume."


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    group = add_group(commands, "volume", "list, create and destroy volumes, set and use their snapshot")
    listing = add_command(group, "list", "list the account's volumes", _list)
    json_option(listing)
    listing.add_argument("-q", "--quiet", action="store_true", help="print names alone, one a line")
    create = add_command(group, "create", "create a volume and print its name", _create)
    create.add_argument("--sync", action="store_true", help="write synchronously: slower, safe at power loss")
    create.add_argument("--size", type=size, metavar="SIZE", help="its limit, such as 10G")
    create.add_argument("--node", metavar="NODE", help="where it is to lie")
    create.add_argument("tag", metavar="TAG", nargs="?", help="a tag, by which it is found too")
    removal = add_command(
        group, "rm", "destroy volumes, their data and snapshots at once", _remove, more=WHICH
    )
    removal.add_argument("volumes", metavar="VOLUME", nargs="+", help="what to destroy")
    snapshot = add_command(
        group, "snapshot", "set a volume's one snapshot point to now", _snapshot, more=WHICH
    )
    snapshot.add_argument("volume", metavar="VOLUME", help="of which")
    rollback = add_command(
        group, "rollback", "bring a volume back to its snapshot point, mounted or not", _rollback, more=WHICH
    )
    rollback.add_argument("volume", metavar="VOLUME", help="of which")


def _all_volumes(location: "Location") -> list[Record]:
    listed: list[Record] = location.connection.call("volume.list", {})["volumes"]
    return sorted(listed, key=_display_name)


def _display_name(volume: Record) -> str:
    return f"{volume['uuid']}:{volume['tag']}" if volume["tag"] else str(volume["uuid"])


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        listed = _all_volumes(location)
    if options.json:
        print(show_json(listed))
    elif options.quiet:
        for volume in listed:
            print(volume["tag"] or volume["uuid"])
    else:
        rows = [
            (
                volume["uuid"],
                or_dash(volume["tag"]),
                or_dash(volume["node"]),
                amount(volume["used"]),
                amount(volume["size"]),
                len(volume["users"]),
                "yes" if volume["synchronous"] else "no",
            )
            for volume in listed
        ]
        print(show_table(("VOLUME", "TAG", "NODE", "USED", "SIZE", "USERS", "SYNC"), rows))
    return 0


def _create(options: argparse.Namespace) -> int:
    from tfnz.base import Taggable, new_uuid

    tag = Taggable.valid_tag(options.tag)
    parameters = {"key": new_uuid().decode(), "synchronous": options.sync}
    given = {"tag": tag and tag.decode(), "size": options.size, "node": options.node}
    parameters |= {name: value for name, value in given.items() if value is not None}
    with connected(options) as location:
        print(_display_name(location.connection.call("volume.create", parameters)["volume"]))
    return 0


def _remove(options: argparse.Namespace) -> int:
    failed = 0
    with connected(options) as location:
        listed = _all_volumes(location)
        for key in options.volumes:
            try:
                volume = find_volume(listed, key)
                location.connection.call("volume.destroy", {"name": volume["name"]})
            except ValueError as error:
                print(f"{options.program}: {error}", file=sys.stderr)
                failed = 1
                continue
            print(_display_name(volume))
    return failed


def _snapshot(options: argparse.Namespace) -> int:
    return _on_volume(options, "volume.snapshot")


def _rollback(options: argparse.Namespace) -> int:
    return _on_volume(options, "volume.rollback")


def _on_volume(options: argparse.Namespace, command: str) -> int:
    with connected(options) as location:
        volume = find_volume(_all_volumes(location), options.volume)
        location.connection.call(command, {"name": volume["name"]})
    return 0
