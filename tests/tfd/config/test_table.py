"""The table of keys, and the documentation that is made from it."""

import re
import runpy
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from tfd.config.problems import Place, Report
from tfd.config.reader import parse
from tfd.config.table import HEALTH, TOP, Key, Section

DOCS = Path(__file__).parents[3] / "docs"
SECTIONS = [*TOP.values(), HEALTH]
KEYS = [(section, key) for section in SECTIONS for key in section.keys]
IDS = [f"{section.header} {key.name}" for section, key in KEYS]


def page() -> str:
    """Give the page as the script makes it now."""
    return str(runpy.run_path(str(DOCS / "configuration.py"))["document"]())


def test_page_is_current() -> None:
    """docs/configuration.md is what the table says; if not: python docs/configuration.py."""
    assert page() == (DOCS / "configuration.md").read_text()


def test_examples_of_the_page(tmp_path: Path) -> None:
    """Every whole example of the page is a valid configuration."""
    examples = re.findall(r"```toml\n(.*?)```", page(), re.DOTALL)
    for name in ("webapp.tar", "webapp.ini"):
        (tmp_path / name).write_text("")

    assert len(examples) == 2
    for example in examples:
        assert parse(example.encode(), "tfd.toml", str(tmp_path)).containers


@pytest.mark.parametrize(("section", "key"), KEYS, ids=IDS)
def test_example(section: Section, key: Key) -> None:
    """The example of each key is a value that it allows."""
    value = tomllib.loads(f"key = {key.example}")["key"]
    report = Report("tfd.toml", "/nowhere", lambda _key: None)

    assert key.kind.read(value, Place(report)) is not None, section.header
    assert report.problems == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.header)
def test_fields(section: Section) -> None:
    """Each field of a model has its key, but for those that the reader fills in itself."""
    own = {"name", "image_stamp"}

    assert {field.name for field in fields(section.model)} - own == {key.attribute for key in section.keys}
