"""`tf cp`: files and directories into a container and out of it; - is a stream."""

import argparse
import sys
from typing import TYPE_CHECKING

from tfnz.cli.generic import connected
from tfnz.cli.manage.adding import add_command
from tfnz.cli.manage.containers import WHICH, one_container

if TYPE_CHECKING:
    from tfnz.cli.manage.adding import Commands

STREAM = "-"


def add(commands: "Commands") -> None:
    """Add the command of this file."""
    command = add_command(
        commands,
        "cp",
        "copy files and directories into a container or out of it",
        _copy,
        more=f"One of both is CONTAINER:PATH, the other one a path here or - for stdin or stdout.\n{WHICH}\n"
        "What is copied to a directory goes into it. A path here that has a colon begins with / or ./",
    )
    command.add_argument("source", metavar="SOURCE", help="CONTAINER:PATH, a path here, or -")
    command.add_argument("destination", metavar="DESTINATION", help="a path here, CONTAINER:PATH, or -")


def split(word: str) -> tuple[str, str] | None:
    """Give container and absolute path of CONTAINER:PATH, None for a path here; raises ValueError."""
    container, colon, path = word.partition(":")
    if not colon or word == STREAM or word.startswith(("/", ".", "~")):
        return None
    if not container or not path:
        raise ValueError(f"{word!r}: allowed is CONTAINER:PATH; a path here that has a colon begins with ./")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{word!r}: the path in the container has .. in it; name the file itself")
    return container, "/" + "/".join(parts) + ("/" if path.endswith("/") and parts else "")


def _copy(options: argparse.Namespace) -> int:
    from tfnz.cli.manage import transfer

    source, destination = split(options.source), split(options.destination)
    if (source is None) == (destination is None):
        which = "neither" if source is None else "both"
        raise ValueError(
            f"{options.source} and {options.destination}: {which} of them is CONTAINER:PATH, as one must be"
        )
    with connected(options) as location:
        if destination is not None:
            container = one_container(location, destination[0])
            files = transfer.Files(location.connection, container)
            if options.source == STREAM:
                files.put_stream(sys.stdin.buffer, destination[1])
            else:
                files.put(options.source, destination[1])
        elif source is not None:
            container = one_container(location, source[0])
            files = transfer.Files(location.connection, container)
            if options.destination == STREAM:
                files.fetch_stream(source[1], sys.stdout.buffer)
            else:
                files.fetch(source[1], options.destination)
    return 0
