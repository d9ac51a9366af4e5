"""`tf image`: the location's images."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command, add_group, json_option
from tfnz.cli.manage.tables import amount, show_json, show_table

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands


def add(commands: "Commands") -> None:
    """Add the commands of this file."""
    group = add_group(commands, "image", "list, bring, destroy and describe images")
    json_option(add_command(group, "list", "list the images at the location", _list))
    push = add_command(
        group,
        "push",
        "bring images to the location",
        _push,
        more="From the local container engine, else from the registries that the location knows.\n"
        ". is the image that was built last.",
    )
    push.add_argument("images", metavar="IMAGE", nargs="+", help="name or id")
    removal = add_command(group, "rm", "destroy images that no other account has", _remove)
    removal.add_argument("images", metavar="IMAGE", nargs="+", help="name or digest")
    describe = add_command(group, "describe", "print an image's configuration as JSON", _describe)
    describe.add_argument("image", metavar="IMAGE", help="name or digest")


def _list(options: argparse.Namespace) -> int:
    with connected(options) as location:
        images = location.connection.call("image.list", {})["images"]
    if options.json:
        print(show_json(images))
        return 0
    rows = [
        (
            ", ".join(image["names"]) or "-",
            image["digest"].removeprefix("sha256:")[:12],
            amount(image["size"]),
        )
        for image in sorted(images, key=lambda image: (image["names"], image["digest"]))
    ]
    print(show_table(("NAMES", "IMAGE", "SIZE"), rows))
    return 0


def _push(options: argparse.Namespace) -> int:
    from tfnz.docker import Docker
    from tfnz.images import ensure

    with connected(options) as location:
        for image in options.images:
            name = Docker.last_image() if image == "." else image
            print(ensure(location.connection, name).name_to_spawn)
    return 0


def _remove(options: argparse.Namespace) -> int:
    failed = 0
    with connected(options) as location:
        for image in options.images:
            try:
                location.connection.call("image.destroy", {"image": image})
            except ValueError as error:
                print(f"tf image rm: {error}", file=sys.stderr)
                failed = 1
    return failed


def _describe(options: argparse.Namespace) -> int:
    with connected(options) as location:
        answer = location.connection.call("image.describe", {"image": options.image})
    print(show_json({"digest": answer["digest"], **json.loads(answer["config"])}))
    return 0
