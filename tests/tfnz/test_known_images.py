"""What is remembered of local images: a cache that may be damaged, removed or unwritable."""

from pathlib import Path

import pytest

from tfnz.images.known import KEPT, KnownDigests

ENGINE_ID = "sha256:" + "1a" * 32
DIGEST = "sha256:" + "2b" * 32


def test_what_was_found_is_remembered(tmp_path: Path) -> None:
    """By every later process that has the same cache."""
    KnownDigests(tmp_path / "cache").put(ENGINE_ID, DIGEST)

    assert KnownDigests(tmp_path / "cache").get(ENGINE_ID) == DIGEST
    assert KnownDigests(tmp_path / "other").get(ENGINE_ID) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"sha256:short", DIGEST.encode() + b"\n"])
def test_a_damaged_entry_is_none(tmp_path: Path, content: bytes) -> None:
    """What is no digest is found out anew."""
    (tmp_path / ("1a" * 32)).write_bytes(content)

    assert KnownDigests(tmp_path).get(ENGINE_ID) is None


@pytest.mark.parametrize("name", ["", "nginx", "../../etc/passwd", "sha256:../x"])
def test_only_ids_are_looked_up(tmp_path: Path, name: str) -> None:
    """Nothing else becomes the name of a file."""
    known = KnownDigests(tmp_path)
    known.put(name, DIGEST)

    assert known.get(name) is None
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """Nothing is remembered, and nobody is troubled."""
    (tmp_path / "file").write_text("")
    known = KnownDigests(tmp_path / "file" / "cache")

    known.put(ENGINE_ID, DIGEST)

    assert known.get(ENGINE_ID) is None


def test_the_cache_stays_small(tmp_path: Path) -> None:
    """Of more than so many, the oldest go."""
    known = KnownDigests(tmp_path)
    for number in range(KEPT + 5):
        known.put(f"sha256:{number:064x}", DIGEST)

    assert len(list(tmp_path.iterdir())) == KEPT
