"""What the commands have in common: tables in Markdown, MB of 10^6 bytes and KiB of 1024, the interpreter."""

import argparse
import platform
import sys
import time

from bench.compare.processes import run


def row(what: str, *cells: object) -> None:
    """Print one line of a table in Markdown."""
    print(f"| {what} | " + " | ".join(map(str, cells)) + " |", flush=True)


def head(title: str, *columns: str) -> None:
    """Print the beginning of a table in Markdown."""
    print(f"\n### {title}\n")
    row(*columns)
    row(*("---" for _ in columns))


def mb(size: float) -> str:
    """Give bytes as MB (10^6)."""
    return f"{size / 1e6:.2f}"


def kib(size: float) -> str:
    """Give bytes as KiB."""
    return f"{size / 1024:,.1f}"


def measured_with(python: str) -> str:
    """Give the line that says what was measured, when, and on what."""
    version = run([python, "--version"]).strip()
    described = run(["git", "describe", "--always", "--dirty"]).strip()
    return f"{time.strftime('%Y-%m-%d')}, Linux {platform.release()}, {version}, tfd at {described}"


def add_python(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the interpreter."""
    default = f"{sys.base_prefix}/bin/python3"
    told = "the interpreter of tfd (default: %(default)s)"
    parser.add_argument("--python", default=default, metavar="PROGRAM", help=told)
