"""`tf` and `tfnz`: run a container at a location, and all else that begins with `tf`.

As `tf` it opens a tunnel for each port that the image exposes; as `tfnz` only those asked for.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tfnz.cli.manage import WORDS

FINE: Final = 0
FAILED: Final = 1
WRONG: Final = 2

SUBCOMMANDS: Final = frozenset(WORDS)
"""First words that are commands of their own; `tf run NAME` is for an image that is called like one."""

PLACEHOLDER: Final = "image"
"""An image is meant by `tf image` and by `tf --offset 8000 image`: the command of that name always
has a word after it."""

_NO_ACCOUNT: Final = """\
{program}: there is no account here: {file} is missing.
An administrator of a location makes an invite, one line, with: tflocation invite NAME
Accept it with: tf init INVITE
An account that you have on another machine comes over with: tfacctbak (there; paste here what it prints)"""


def main() -> None:
    """Run the command line of this process, and exit."""
    _open_standard_files()
    raise SystemExit(run(sys.argv[1:], _program(sys.argv[0])))


def run(arguments: Sequence[str], program: str) -> int:
    """Run a command line, given without the program's own name; give the exit code."""
    words = list(arguments)
    if words and words[0] in SUBCOMMANDS and words != [PLACEHOLDER]:
        from tfnz.cli.manage import dispatch

        return dispatch(words)
    is_image = bool(words) and words[0] == "run"
    if is_image:
        words = words[1:]
    from tfnz.cli import options

    if not _has_account() and len(words) == 2 and not any(word.startswith("-") for word in words):
        return _create_account(words[0], words[1], program)
    parsed = options.parse(words, os.environ, program)
    is_image = is_image or (parsed.source == PLACEHOLDER and not parsed.command)
    if parsed.source in SUBCOMMANDS and not is_image:
        print(
            f"{program}: is the command {parsed.source} meant, or the image? Write '{program} "
            f"{parsed.source} ...', its options after it, or '{program} run ...' for the image",
            file=sys.stderr,
        )
        return WRONG
    if parsed.location is None and not _has_account():
        print(_NO_ACCOUNT.format(program=program, file=_default_location()), file=sys.stderr)
        return FAILED
    from tfnz.cli import running

    return running.run(parsed, program, words)


def _program(path: str) -> str:
    """Give the name that we were called by; `python -m tfnz.cli.tf` is tf."""
    name = Path(path).name
    return "tfnz" if name == "tfnz" else "tf"


def _default_location() -> Path:
    return Path("~/.20ft/default_location").expanduser()


def _has_account() -> bool:
    return _default_location().exists()


def _create_account(location: str, token: str, program: str) -> int:
    """Accept an invite in the form that 20ft had: the location and the token, two words."""
    from tfnz import account

    invite = token if "@" in token else location
    try:
        name = account.join(invite)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{program}: no account was made: {error}", file=sys.stderr)
        if "@" not in invite:
            print(_NO_ACCOUNT.format(program=program, file=_default_location()), file=sys.stderr)
        return FAILED
    print(f"Created OK for: {name}")
    return FINE


def _open_standard_files() -> None:
    """Open what was closed of descriptors 0 to 2, so that no socket gets one of these numbers."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


if __name__ == "__main__":
    main()
