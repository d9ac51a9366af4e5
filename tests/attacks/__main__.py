"""Prints the attempts of one account on another through every command, as a table in Markdown.

Run it as root where an engine is installed: python -m tests.attacks
"""

import sys
import tempfile
from pathlib import Path

from tests.attacks.belongings import scene
from tests.attacks.trial import Row, attack, table
from tfd.protocol.commands import COMMANDS


def main() -> int:
    """Make all attempts, of each account on the other; the exit code is 1 where one succeeded."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tfd-attacks-") as directory, scene(Path(directory)) as two:
        for command in COMMANDS:
            rows += attack(command, two.bob, two.alice)
            rows += [row for row in attack(command, two.alice, two.bob) if row.wrong]
    print(table(rows))
    wrong = [row for row in rows if row.wrong]
    print(f"\n{len(rows)} attempts through {len(COMMANDS)} commands; {len(wrong)} succeeded.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
