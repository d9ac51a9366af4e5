"""Keys: their texts are exact, and their files are for their owner alone."""

import contextlib
import os
from pathlib import Path

import pytest
import zmq.utils.z85
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol import keys
from tfd.protocol.errors import KeyFileError, ProtocolError


@given(st.binary(max_size=64).map(lambda data: data[: len(data) // 4 * 4]))
def test_z85_is_that_of_zeromq(data: bytes) -> None:
    """Our text is ZeroMQ's, in both directions."""
    text = keys.z85_encode(data)

    assert text.encode() == zmq.utils.z85.encode(data)  # type: ignore[no-untyped-call]  # pyzmq has no types here
    assert keys.z85_decode(text) == data


@given(st.text(max_size=60) | st.text(alphabet="#%0z", max_size=20))
def test_other_texts_are_no_z85(text: str) -> None:
    """Whatever is decoded encodes to the same text again, and the rest is a ProtocolError."""
    with contextlib.suppress(ProtocolError):
        assert keys.z85_encode(keys.z85_decode(text)) == text


@given(st.binary(max_size=64))
def test_base64url_round_trip(data: bytes) -> None:
    """The text is safe in shells and gives the bytes again."""
    text = keys.base64url_encode(data)

    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert keys.base64url_decode(text, len(data)) == data


@given(st.text(max_size=60), st.integers(0, 48))
def test_a_byte_string_has_one_base64url_text(text: str, size: int) -> None:
    """Two texts never give the same bytes, so a key has one spelling."""
    with contextlib.suppress(ProtocolError):
        assert keys.base64url_encode(keys.base64url_decode(text, size)) == text


@given(secret=st.binary(min_size=32, max_size=32))
def test_a_key_file_round_trip(tmp_path_factory: pytest.TempPathFactory, secret: bytes) -> None:
    """What is written is read, and others have no access to it."""
    path = tmp_path_factory.mktemp("keys") / "key"
    pair = keys.pair_of(secret)
    keys.create(path, pair)

    assert keys.load(path) == pair
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """A second start finds the key of the first."""
    first = keys.load_or_create(tmp_path / "key")

    assert keys.load_or_create(tmp_path / "key") == first


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    """A key that is lost cannot be made again."""
    first = keys.load_or_create(tmp_path / "key")
    with pytest.raises(KeyFileError, match="cannot be written: File exists"):
        keys.create(tmp_path / "key", keys.generate())

    assert keys.load(tmp_path / "key") == first
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """The message tells the mode and what to do."""
    path = tmp_path / "key"
    keys.create(path, keys.generate())
    path.chmod(mode)

    with pytest.raises(KeyFileError, match=f"{mode:04o}.*chmod 600"):
        keys.load(path)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load_or_create(path)


@given(st.binary(max_size=200))
def test_damaged_key_files_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Random content is a KeyFileError that names the file."""
    path = tmp_path_factory.mktemp("keys") / "key"
    keys.write_private(path, content)

    with pytest.raises(KeyFileError, match=str(path)):
        keys.load(path)


def test_a_file_with_keys_of_two_pairs_is_damaged(tmp_path: Path) -> None:
    """A public key that is not the secret's would fail at the location, with no hint why."""
    first, second = keys.generate(), keys.generate()
    keys.create(tmp_path / "key", keys.KeyPair(first.public, second.secret))

    with pytest.raises(KeyFileError, match="not a pair"):
        keys.load(tmp_path / "key")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe without a writer does not hang the reader, a directory and a missing file are told."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "long").touch(0o600)
    keys.write_private(tmp_path / "long", b"x" * (keys.MAX_FILE + 1))

    for name, complaint in (
        ("pipe", "not a regular"),
        (".", "not a regular"),
        ("none", "No such"),
        ("long", "longer"),
    ):
        with pytest.raises(KeyFileError, match=complaint):
            keys.read_private(tmp_path / name)


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content takes the old one's place, readable by its owner alone, with nothing left beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    keys.write_private(path, b"new")

    assert keys.read_private(path) == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """An error names the file, and no temporary file stays."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "x").touch()

    with pytest.raises(KeyFileError, match="cannot be written"):
        keys.write_private(tmp_path / "directory", b"x")
    with pytest.raises(KeyFileError, match="cannot be written: No such"):
        keys.write_private(tmp_path / "none" / "file", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "directory"]


def test_a_secret_is_not_shown() -> None:
    """A traceback or log line with a pair in it gives nothing away."""
    pair = keys.generate()

    assert repr(pair.secret) not in repr(pair)
