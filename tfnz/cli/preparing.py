"""What `tf` needs before it connects: files, certificates, images from a pipe; and how it tells failures."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from tfnz.cli.options import Options


class FailedError(Exception):
    """The command cannot go on; the message is for the user."""


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Tell an error as the failure of `what`."""
    try:
        yield
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise FailedError(f"{what} {text}") from error


def pre_boot_files(options: Options) -> list[tuple[str, bytes]]:
    """Read the files of --file: their names in the container, and their contents. Raises FailedError."""
    try:
        return [(destination, source.read_bytes()) for source, destination in options.files]
    except OSError as error:
        raise FailedError(f"--file: {error.filename}: {error.strerror}") from error


def certificate(options: Options) -> tuple[str, str] | None:
    """Give the files of --web's certificate, after opening them. Raises FailedError."""
    pair = options.web.certificate if options.web is not None else None
    if pair is None:
        return None
    for path in pair:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise FailedError(f"Cannot find certificate for ssl: {path}: {error.strerror}") from error
    return os.fspath(pair[0]), os.fspath(pair[1])


@contextmanager
def image_from_pipe() -> Iterator[str]:
    """Keep the archive that comes through standard input in a file; give its path. Raises FailedError."""
    import tempfile

    from tfd.protocol.archive import ArchiveError, spool
    from tfnz.images.engine import spool_directory

    if os.isatty(0):
        raise FailedError("'-' reads an image from a pipe, as in: docker save IMAGE | tf -")
    with tempfile.NamedTemporaryFile(dir=spool_directory(), suffix=".tar") as file:
        try:
            spool(sys.stdin.buffer, cast("BinaryIO", file), "standard input")
            file.flush()
        except ArchiveError as error:
            raise FailedError(str(error)) from error
        yield file.name
