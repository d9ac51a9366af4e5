"""`tf ps`, `tf rm` and `tf logs`: the account's containers, whichever session or tfd they belong to."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, json_option
from tfnz.cli.manage.amounts import count
from tfnz.cli.manage.selecting import Record, find_container, is_declared, title
from tfnz.cli.manage.tables import age, or_dash, show_json, show_table

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands
    from tfnz.location import Location

WHICH = "CONTAINER is a uuid or how it begins, a tag, or environment/NAME of a declared container."


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    listing = add_command(commands, "ps", "list the account's containers", _list)
    json_option(listing)
    listing.add_argument("-q", "--quiet", action="store_true", help="print names alone, one a line")
    removal = add_command(commands, "rm", "destroy containers; their volumes stay", _remove, more=WHICH)
    removal.add_argument("containers", metavar="CONTAINER", nargs="+", help="what to destroy")
    logs = add_command(commands, "logs", "print what a container's process wrote last", _logs, more=WHICH)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the container is gone")
    logs.add_argument("-n", "--lines", type=count, metavar="N", help="the last N lines (default: all kept)")
    logs.add_argument("container", metavar="CONTAINER", help="whose output")


def all_containers(location: "Location") -> list[Record]:
    """Give the account's containers as the location tells them, by name."""
    listed: list[Record] = location.connection.call("container.list", {})["containers"]
    return sorted(listed, key=title)


def one_container(location: "Location", key: str) -> Record:
    """Give the container that the user means; raises NotFound or Ambiguous."""
    return find_container(all_containers(location), key)


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        listed = all_containers(location)
        if options.json:
            print(show_json(listed))
        elif options.quiet:
            for container in listed:
                print(title(container))
        else:
            names = image_names(location)
            heads = ("CONTAINER", "IMAGE", "STATE", "NODE", "IP", "AGE")
            print(show_table(heads, [_row(container, names) for container in listed]))
    return 0


def image_names(location: "Location") -> dict[str, str]:
    """Give a name for each image of the location that has one, by its digest."""
    images = location.connection.call("image.list", {})["images"]
    return {image["digest"]: min(image["names"], key=len) for image in images if image["names"]}


def _row(container: Record, names: dict[str, str]) -> tuple[str, ...]:
    digest = str(container["image"])
    return (
        title(container),
        names.get(digest, digest.removeprefix("sha256:")[:12]),
        _state(container),
        container["node"],
        or_dash(container["ip"]),
        age(container["created"]),
    )


def _state(container: Record) -> str:
    if container["asleep"]:
        return "asleep"
    code: Any = container["exit"]
    return f"{container['state']} ({code})" if code else str(container["state"])


def _remove(options: argparse.Namespace) -> int:
    failed = 0
    with connected(options) as location:
        listed = all_containers(location)
        for key in options.containers:
            try:
                container = find_container(listed, key)
                location.connection.call("container.destroy", {"id": container["id"]})
            except ValueError as error:
                print(f"tf rm: {error}", file=sys.stderr)
                failed = 1
                continue
            print(title(container))
            if is_declared(container):
                print(
                    f"tf rm: {title(container)} is declared: the tfd that declares it makes it anew, "
                    "unless its file changes",
                    file=sys.stderr,
                )
    return failed


def _logs(options: argparse.Namespace) -> int:
    from tfnz.cli.manage import following

    with connected(options) as location:
        container = one_container(location, options.container)
        if options.follow:
            return following.follow(location, container, options.lines)
        parameters = {"id": container["id"]}
        if options.lines is not None:
            parameters["lines"] = options.lines
        following.write(location.connection.call("container.log", parameters)["log"])
    return 0
