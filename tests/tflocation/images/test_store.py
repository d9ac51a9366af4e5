"""Blobs: resumed, verified, bounded, and safe for several uploads at once."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.images import digest
from tfd.protocol.errors import Code, CommandError
from tflocation.images import store as store_module
from tflocation.images.store import BlobStore

DATA = b"0123456789" * 100
NAME = digest(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store of 10 kB."""
    store = opened(tmp_path)
    yield store
    store.close()


def opened(path: Path, budget: int = 10_000) -> BlobStore:
    """A store as a new process sees it."""
    store = BlobStore(path, budget)
    store.open()
    return store


async def put(store: BlobStore, data: bytes) -> str:
    """Upload a blob, and give its digest."""
    writer = await store.writer(digest(data), len(data))
    writer.write(data[writer.offset :])
    await writer.finish()
    return digest(data)


def partials(path: Path) -> list[Path]:
    """The partial files."""
    return list((path / "partial").iterdir())


async def test_upload(store: BlobStore, tmp_path: Path) -> None:
    """A blob is there once it was verified, and no partial file is left."""
    writer = await store.writer(NAME, len(DATA))
    writer.write(DATA)
    assert not store.has(NAME)
    await writer.finish()

    assert store.path(NAME).read_bytes() == DATA
    assert partials(tmp_path) == []


async def test_resumed_by_another_process(store: BlobStore, tmp_path: Path) -> None:
    """What came before a cut is not asked for again, even after a restart."""
    writer = await store.writer(NAME, len(DATA))
    writer.write(DATA[:300])
    writer.close()
    store.close()

    store = opened(tmp_path)
    again = await store.writer(NAME, len(DATA))
    assert again.offset == 300
    again.write(DATA[300:])
    await again.finish()

    assert store.path(NAME).read_bytes() == DATA


async def test_known_blob_needs_nothing(store: BlobStore) -> None:
    """The offset of a blob that is here is its size."""
    await put(store, DATA)
    writer = await store.writer(NAME, len(DATA))

    assert writer.offset == len(DATA)
    await writer.finish()


async def test_wrong_content(store: BlobStore, tmp_path: Path) -> None:
    """Content with another digest is thrown away, and the next upload starts anew."""
    writer = await store.writer(NAME, len(DATA))
    writer.write(b"x" * len(DATA))
    with pytest.raises(CommandError, match="the content that came has digest") as caught:
        await writer.finish()

    assert caught.value.code == Code.DIGEST
    assert partials(tmp_path) == []
    assert (await store.writer(NAME, len(DATA))).offset == 0


async def test_too_much_content(store: BlobStore, tmp_path: Path) -> None:
    """More than the announced bytes are refused before they are written."""
    writer = await store.writer(NAME, 5)
    with pytest.raises(CommandError, match="more than the announced 5 bytes"):
        writer.write(b"123456")

    assert partials(tmp_path) == []


async def test_too_little_content(store: BlobStore) -> None:
    """A stream that ends early is an error, and what came stays for the next upload."""
    writer = await store.writer(NAME, len(DATA))
    writer.write(DATA[:10])
    with pytest.raises(CommandError, match="ended after 10 of 1000 bytes"):
        await writer.finish()

    assert (await store.writer(NAME, len(DATA))).offset == 10


async def test_two_clients_at_once(store: BlobStore) -> None:
    """Two uploads of one blob do not disturb each other, whichever ends first."""
    one = await store.writer(NAME, len(DATA), "one")
    two = await store.writer(NAME, len(DATA), "two")
    one.write(DATA[:500])
    two.write(DATA)
    await two.finish()
    one.write(DATA[500:])
    await one.finish()

    assert store.path(NAME).read_bytes() == DATA


async def test_same_client_again(store: BlobStore) -> None:
    """A client that comes back after a cut takes its upload over from its former session."""
    former = await store.writer(NAME, len(DATA), "one")
    former.write(DATA[:400])
    again = await store.writer(NAME, len(DATA), "one")

    assert again.offset == 400
    with pytest.raises(CommandError, match="taken over"):
        former.write(DATA[400:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)
@given(cuts=st.lists(st.integers(0, 400), max_size=6), restart=st.booleans())
async def test_any_cuts(tmp_path: Path, cuts: list[int], *, restart: bool) -> None:
    """However often an upload is cut and wherever, the blob is whole in the end."""
    data = os.urandom(1500)
    store = opened(tmp_path, 100_000_000)
    for size in cuts:
        writer = await store.writer(digest(data), len(data))
        writer.write(data[writer.offset : writer.offset + size])
        writer.close()
        if restart:
            store = opened(tmp_path, 100_000_000)
    await put(store, data)

    assert store.path(digest(data)).read_bytes() == data


async def test_oldest_blob_makes_room(store: BlobStore) -> None:
    """When the budget is used up the blob unused longest goes, but not one of an offered image."""
    names = [await put(store, bytes([number]) * 3000) for number in range(3)]
    for age, name in enumerate(names):
        os.utime(store.path(name), (age, age))
    store.pin(names[:1])
    os.utime(store.path(names[0]), (0, 0))
    await put(store, b"new" * 1000)

    assert [store.has(name) for name in names] == [True, False, True]


async def test_budget_is_kept(store: BlobStore) -> None:
    """A blob that can never fit, or not beside those in use, is refused before a byte is written."""
    with pytest.raises(CommandError, match="keeps at most 10000 bytes") as caught:
        await store.writer(NAME, 10_001)
    assert caught.value.code == Code.LIMIT

    await store.writer(NAME, 6000, "one")
    with pytest.raises(CommandError, match="lacks 2000 bytes"):
        await store.writer(digest(b"other"), 6000, "two")


async def test_uploads_are_bounded(store: BlobStore) -> None:
    """One client cannot hold any number of files open."""
    for number in range(store_module.MAX_UPLOADS):
        await store.writer(digest(bytes([number])), 1, "one")
    with pytest.raises(CommandError, match="16 uploads of yours"):
        await store.writer(NAME, 1, "one")

    assert (await store.writer(NAME, 1, "two")).offset == 0


async def test_old_partial_files_go(store: BlobStore, tmp_path: Path) -> None:
    """A partial file that nobody went on with for a day is removed; a younger one stays."""
    for name in (NAME, digest(b"young")):
        writer = await store.writer(name, 1000)
        writer.write(b"x")
        writer.close()
    old = next(path for path in partials(tmp_path) if path.name.startswith(NAME.removeprefix("sha256:")))
    age = time.time() - store_module.PARTIAL_LIFETIME - 1
    os.utime(old, (age, age))
    (await store.writer(digest(b"another"), 1)).close()

    assert not old.exists()
    assert any(path.name.startswith(digest(b"young")[7:]) for path in partials(tmp_path))


@pytest.mark.parametrize("name", ["", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64])
def test_only_digests(store: BlobStore, name: str) -> None:
    """Nothing but a digest becomes a path."""
    with pytest.raises(CommandError, match="is not a digest"):
        store.path(name)
