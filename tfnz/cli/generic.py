"""What every command does alike: options for the location, one connection, and how an error is told."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfnz.location import Location

FINE = 0
FAILED = 1
WRONG = 2
"""Exit codes: it worked, it did not, it was called wrongly (argparse's own)."""

Implementation = Callable[[Any, argparse.Namespace], object]
"""What a sub-command does with a location (None where the command needs none) and its options."""


def base_argparse(progname: str, location: bool = True) -> argparse.ArgumentParser:
    """Give a parser that knows the two options for the location, unless `location` is False."""
    parser = argparse.ArgumentParser(prog=progname)
    if location:
        location_options(parser)
    return parser


def location_options(parser: argparse.ArgumentParser) -> None:
    """Add the two options that say which location is meant, and how it is reached."""
    parser.add_argument(
        "--location", metavar="LOCATION", help="use this location (default: the one in default_location)"
    )
    parser.add_argument(
        "--local", metavar="ADDRESS", help="dial this address instead of resolving the location's name"
    )


def generic_cli(
    parser: argparse.ArgumentParser,
    implementations: Mapping[str | None, Implementation],
    *,
    quiet: bool = True,
    location: bool = True,
) -> None:
    """Parse the command line, connect, and do what was asked for; a failure is SystemExit(1).

    The sub-command's name is what the parser stores as `command`; the key None means that there are no
    sub-commands. Without a sub-command the help is printed. A ValueError's text goes to stdout, everything
    else that is told goes to stderr. With `location=False` nothing is connected and the implementations get
    None. `quiet=False` logs what the connection does.
    """
    options = parser.parse_args()
    name = getattr(options, "command", None)
    if name not in implementations:
        parser.print_help()
        return
    with failures_told(parser.prog):
        try:
            if not location:
                implementations[name](None, options)
                return
            with connected(options, quiet=quiet) as connection:
                implementations[name](connection, options)
        except ValueError as error:
            print(error)
            raise SystemExit(FAILED) from None


@contextmanager
def connected(options: argparse.Namespace, *, quiet: bool = True) -> "Iterator[Location]":
    """Connect to the location that the options name, and disconnect at the end; raises as Location does."""
    from tfnz.location import Location

    if quiet:
        silence()
    location = Location(location=options.location, location_ip=options.local, quiet=quiet)
    try:
        yield location
    finally:
        location.disconnect()


def silence() -> None:
    """Have no log line go to stderr: the command says itself, in one line, what failed."""
    import logging

    logging.getLogger().addHandler(logging.NullHandler())


@contextmanager
def failures_told(program: str) -> Iterator[None]:
    """Turn a failure into one line on stderr and SystemExit(1), Ctrl-C and a closed pipe into the latter."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of `tf ps | head` has gone, so there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except KeyboardInterrupt:
        raise SystemExit(FAILED) from None
    except KeyError as error:
        # str() of a KeyError is the repr of what was looked for.
        print(f"{program}: {error.args[0] if error.args else 'not found'}", file=sys.stderr)
        raise SystemExit(FAILED) from None
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{program}: {_said(error)}", file=sys.stderr)
        raise SystemExit(FAILED) from None


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
