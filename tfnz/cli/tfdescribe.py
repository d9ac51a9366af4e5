"""`tfdescribe`: the local engine's description of an image, as JSON."""

import argparse
import json

from tfnz.cli.generic import base_argparse, generic_cli


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfdescribe", location=False)
    top.description = "Prints the local container engine's description of an image as JSON."
    top.add_argument("image", metavar="IMAGE", help="the image's name or id; . is the last one built")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {None: _describe}, location=False)


def _describe(_location: None, options: argparse.Namespace) -> None:
    from tfnz.docker import Docker

    image = Docker.last_image() if options.image == "." else options.image
    print(json.dumps(Docker.description(image), indent=2))


if __name__ == "__main__":
    main()
