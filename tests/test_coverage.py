"""Every public name of the SDK has a test that exercises it, and the table that says so is current."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TREE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """The program that writes the table."""
    spec = importlib.util.spec_from_file_location("coverage_table", TREE / "docs" / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_name_is_exercised(table: ModuleType) -> None:
    """No name of the list is without a test."""
    covered = table.covered()

    assert [name for name in table.names() if name not in covered] == []


def test_marks_name_what_exists(table: ModuleType) -> None:
    """A test cannot claim a name that is not in the list."""
    assert sorted(set(table.covered()) - set(table.names())) == []


def test_the_table_is_current(table: ModuleType) -> None:
    """What is committed is what the marks say: `python docs/coverage.py --write`."""
    assert table.DOCUMENT.read_text() == table.document()
