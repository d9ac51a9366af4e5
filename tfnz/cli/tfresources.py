"""`tfresources`: what the location offers and what the account has there, as JSON."""

import argparse
import base64
import json
from typing import TYPE_CHECKING

from tfnz.cli.generic import base_argparse, generic_cli

if TYPE_CHECKING:
    from tfnz.location import Location


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfresources")
    top.description = (
        "Prints as JSON the location's name, its nodes with their statistics, and the account's volumes, "
        "tagged containers and domains."
    )
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {None: _show})


def _show(location: "Location", _options: argparse.Namespace) -> None:
    document = {
        "location": location.location,
        "nodes": {base64.b64encode(pk).decode(): dict(node.stats) for pk, node in location.nodes.items()},
        "volumes": sorted(volume.display_name() for volume in location.volumes.values()),
        "externals": sorted(external.display_name() for external in location.externals.values()),
        "endpoints": sorted(location.endpoints),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
