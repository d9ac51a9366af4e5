"""`tfacctbak`: an account as a shell script, to be pasted into a shell on another machine."""

import argparse
import shlex
from collections.abc import Mapping

from tfnz import account
from tfnz.cli.generic import base_argparse, generic_cli


def parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    top = base_argparse("tfacctbak", location=False)
    top.description = (
        "Prints a shell script that makes the account for a location on another machine, and makes that "
        "location the default there. It holds the secret key: show it to nobody."
    )
    top.add_argument("--location", metavar="LOCATION", dest="named", help="the same as LOCATION")
    top.add_argument("location", metavar="LOCATION", nargs="?", help="which one (default: the default)")
    return top


def main() -> None:
    """Run the command."""
    generic_cli(parser(), {None: _show}, location=False)


def script(name: str, files: Mapping[str, str]) -> str:
    """Give the script that writes `files`, contents by their names, for the location `name`."""
    lines = ["umask 077", "mkdir -p ~/.20ft && chmod 700 ~/.20ft"]
    for file, text in files.items():
        path = f"~/.20ft/{shlex.quote(file)}"
        # rm: an older file may be read-only.
        lines.append(f"rm -f {path}; printf '%s\\n' {shlex.quote(text)} > {path} && chmod 400 {path}")
    lines.append(f"printf '%s\\n' {shlex.quote(name)} > ~/.20ft/default_location")
    return "\n".join(lines) + "\n"


def _show(_location: None, options: argparse.Namespace) -> None:
    named = options.location or options.named
    if options.location and options.named and options.location != options.named:
        raise ValueError(f"{options.location} and {options.named}: name one location")
    name = named or account.default_location()
    account.load(name)
    files = {}
    for suffix in ("", ".pub", ".spub", ".address"):
        path = account.directory() / f"{name}{suffix}"
        if path.exists():
            files[path.name] = path.read_text().strip()
    print(script(name, files), end="")


if __name__ == "__main__":
    main()
