"""`tfcache`: brings an image of the local engine to a location, so that it runs from anywhere."""

import argparse
from typing import TYPE_CHECKING

from tfnz.cli.generic import base_argparse, generic_cli

if TYPE_CHECKING:
    from tfnz.location import Location


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfcache")
    top.description = "Uploads an image of the local container engine to a location."
    top.add_argument("image", metavar="IMAGE", help="the image's name or id; . is the last one built")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {None: _cache}, quiet=False)


def _cache(location: "Location", options: argparse.Namespace) -> None:
    from tfnz.docker import Docker

    image = Docker.last_image() if options.image == "." else options.image
    description = Docker.description(image)
    location.ensure_image_uploaded(image, descr=description)


if __name__ == "__main__":
    main()
