"""The table of metrics and docs/observing.md, which tells of it and of the JSON."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from tests.tfd.metrics.documents import document
from tfd.metrics.families import FAMILIES
from tfd.metrics.site import public

DOCS = Path(__file__).parents[3] / "docs"


def page() -> str:
    """Give the page as the script makes it now."""
    spec = importlib.util.spec_from_file_location("observing", DOCS / "observing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.document()
    assert isinstance(text, str)
    return text


def keys(value: Any) -> set[str]:
    """Give all keys of a document, at every depth, but for those of counts by reason."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(inner) for key, inner in value.items() if key != "refused"))


def test_the_page_is_current() -> None:
    """docs/observing.md has the table's metrics; if not: python docs/observing.py."""
    assert page() == (DOCS / "observing.md").read_text()


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


def test_what_is_public_quotes_no_file() -> None:
    """Of a refused file its place is told, and of an account that it cannot be used."""
    told = document() | {
        "reload": {"error": "tfd.toml:3: a.B: found 'secret'; allowed: text"},
        "problems": ["/home.json: not an account file (ValueError: 'secret' is not host:port)"],
    }

    assert public(told)["reload"]["error"] == "tfd.toml:3: a.B"
    assert public(told)["problems"] == ["/home.json cannot be used"]
    assert "secret" not in str(public(told))
