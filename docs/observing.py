"""Writes the table of metrics into docs/observing.md, from the one that `/metrics` is made from.

Run it after a change of the table: python docs/observing.py
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tfd.metrics.families import FAMILIES  # noqa: E402 (the tree is on the path only now)

BEGIN = "<!-- Made by docs/observing.py from tfd/metrics/families.py; change it there. -->\n"
END = "<!-- The end of what is made. -->\n"


def document() -> str:
    """Give the whole page, with the table as it is now."""
    before, _, rest = (HERE / "observing.md").read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Give the table of metrics."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        rows.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the page."""
    (HERE / "observing.md").write_text(document())


if __name__ == "__main__":
    main()
