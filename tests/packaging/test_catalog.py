"""The journal's catalogs explain each kind of event, and no other."""

import re
import subprocess
from pathlib import Path

import pytest

from tfd.protocol import logged
from tfd.protocol.logged import Kind
from tflocation import logged as location

PACKAGING = Path(__file__).parents[2] / "packaging"
HEADERS = ("Subject", "Defined-By", "Documentation")

each_program = pytest.mark.parametrize(
    ("program", "kinds"), [("tfd", logged.KINDS), ("tflocation", location.KINDS)]
)


def entries(program: str) -> dict[str, tuple[dict[str, str], str]]:
    """Give the headers and the text of each entry, by id (systemd.io/CATALOG)."""
    found = {}
    text = (PACKAGING / f"{program}.catalog").read_text()
    for entry in re.split(r"^-- ", text, flags=re.MULTILINE)[1:]:
        number, _, rest = entry.partition("\n")
        head, _, text = rest.partition("\n\n")
        found[number] = (dict(line.split(": ", 1) for line in head.splitlines()), text.strip())
    return found


@each_program
def test_each_kind_is_explained_and_nothing_else(program: str, kinds: tuple[Kind, ...]) -> None:
    """One entry for each MESSAGE_ID, with all its headers and a text."""
    found = entries(program)

    assert list(found) == [kind.id for kind in kinds]
    assert [
        number for number, (head, text) in found.items() if not text or not set(HEADERS) <= head.keys()
    ] == []


def test_no_two_programs_share_an_id() -> None:
    """A rule that waits for one gets nothing of the other."""
    ids = [kind.id for kind in (*logged.KINDS, *location.KINDS)]

    assert len(set(ids)) == len(ids)


@each_program
def test_entries_refer_to_fields_that_are_there(program: str, kinds: tuple[Kind, ...]) -> None:
    """Each @FIELD@ is one that every line of the kind has, so no sentence has a hole."""
    found = entries(program)
    wrong = [
        (kind.name, field)
        for kind in kinds
        for field in re.findall(r"@(\w+)@", found[kind.id][0]["Subject"] + found[kind.id][1])
        if field.removeprefix("TFD_").lower() not in kind.fields
    ]

    assert wrong == []


@each_program
def test_systemd_reads_it(program: str, kinds: tuple[Kind, ...], tmp_path: Path) -> None:
    """`journalctl --update-catalog` takes the file whole."""
    directory = tmp_path / "usr/lib/systemd/catalog"
    directory.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    (directory / f"{program}.catalog").write_text((PACKAGING / f"{program}.catalog").read_text())
    command = ("journalctl", f"--root={tmp_path}")
    subprocess.run([*command, "--update-catalog"], check=True, capture_output=True, timeout=30)
    listed = subprocess.run(
        [*command, "--list-catalog"], check=True, capture_output=True, text=True, timeout=30
    ).stdout

    for kind in kinds:
        assert f"{kind.id} {program}: {entries(program)[kind.id][0]['Subject']}" in listed
