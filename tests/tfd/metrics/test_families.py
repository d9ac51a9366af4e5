"""The table of metrics and docs/observing.md, which tells of it and of the JSON."""

import re
import runpy
from pathlib import Path
from typing import Any

from tests.tfd.metrics.documents import document
from tfd.metrics.families import FAMILIES

DOCS = Path(__file__).parents[3] / "docs"


def keys(value: Any) -> set[str]:
    """Give all keys of a document, at every depth, but for those of counts by reason."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(inner) for key, inner in value.items() if key != "refused"))


def test_the_page_is_current() -> None:
    """docs/observing.md has the table's metrics; if not: python docs/observing.py."""
    assert (
        str(runpy.run_path(str(DOCS / "observing.py"))["document"]()) == (DOCS / "observing.md").read_text()
    )


def test_the_page_tells_of_every_key_of_the_status() -> None:
    """In code, so that it is found."""
    told = set(re.findall(r"`([a-z_]+)`", (DOCS / "observing.md").read_text()))

    assert keys(document()) - told == set()


def test_names_follow_the_conventions() -> None:
    """A prefix, base units, and `_total` for counters alone; each has a sentence of help."""
    for family in FAMILIES:
        assert re.fullmatch(r"(tfd|process)_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert not re.search(r"_(ms|milliseconds|kb|minutes)(_|$)", family.name)
        assert family.help.endswith(".")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
