"""The program tfd."""

import sys

from tfd.cli import run


def main() -> int:
    """Run tfd with the arguments of the process and return its exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
