"""The journal's catalog explains each kind of event, and no other."""

import re
import subprocess
from pathlib import Path

from tfd.protocol.logged import KINDS

CATALOG = Path(__file__).parents[2] / "packaging/tfd.catalog"
HEADERS = ("Subject", "Defined-By", "Documentation")


def entries() -> dict[str, tuple[dict[str, str], str]]:
    """Give the headers and the text of each entry, by id (systemd.io/CATALOG)."""
    found = {}
    for entry in re.split(r"^-- ", CATALOG.read_text(), flags=re.MULTILINE)[1:]:
        number, _, rest = entry.partition("\n")
        head, _, text = rest.partition("\n\n")
        found[number] = (dict(line.split(": ", 1) for line in head.splitlines()), text.strip())
    return found


def test_each_kind_is_explained_and_nothing_else() -> None:
    """One entry for each MESSAGE_ID, with all its headers and a text."""
    found = entries()

    assert list(found) == [kind.id for kind in KINDS]
    assert [
        number for number, (head, text) in found.items() if not text or not set(HEADERS) <= head.keys()
    ] == []


def test_entries_refer_to_fields_that_are_there() -> None:
    """Each @FIELD@ is one that every line of the kind has, so no sentence has a hole."""
    found = entries()
    wrong = [
        (kind.name, field)
        for kind in KINDS
        for field in re.findall(r"@(\w+)@", found[kind.id][0]["Subject"] + found[kind.id][1])
        if field.removeprefix("TFD_").lower() not in kind.fields
    ]

    assert wrong == []


def test_systemd_reads_it(tmp_path: Path) -> None:
    """`journalctl --update-catalog` takes the file whole."""
    directory = tmp_path / "usr/lib/systemd/catalog"
    directory.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    (directory / CATALOG.name).write_text(CATALOG.read_text())
    command = ("journalctl", f"--root={tmp_path}")
    subprocess.run([*command, "--update-catalog"], check=True, capture_output=True, timeout=30)
    listed = subprocess.run(
        [*command, "--list-catalog"], check=True, capture_output=True, text=True, timeout=30
    ).stdout

    for kind in KINDS:
        assert f"{kind.id} tfd: {entries()[kind.id][0]['Subject']}" in listed
