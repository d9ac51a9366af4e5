"""The index of a tar archive agrees with the standard library's, and survives any bytes."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import link
from tfd.protocol import tarindex
from tfd.protocol.oci import ArchiveError

NAMES = st.lists(st.text("abü-.", min_size=1, max_size=60), min_size=1, max_size=6).map("/".join)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def build(files: dict[str, bytes], style: int = tarfile.PAX_FORMAT, *links: tarfile.TarInfo) -> bytes:
    """A tar archive of files and links."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=style) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in links:
            archive.addfile(member)
    return content.getvalue()


def read(content: bytes, name: str) -> bytes:
    """A file's content, by the index."""
    member = tarindex.find(tarindex.read_index(io.BytesIO(content), "it"), name, "it")
    return content[member.offset : member.offset + member.size]


@given(st.dictionaries(NAMES, st.binary(max_size=1200), min_size=1, max_size=8), FORMATS)
def test_agrees_with_tarfile(files: dict[str, bytes], style: int) -> None:
    """Every file that leads nowhere outside is found with its content, in each format."""
    try:
        content = build(files, style)
    except ValueError:
        return  # the oldest format has no room for this name

    expected = {}
    for name, data in files.items():
        normal = tarindex.normalise(name)
        if normal is not None:
            expected[normal] = data
    assert expected == {name: read(content, name) for name in tarindex.read_index(io.BytesIO(content), "it")}


def members(content: bytes) -> list[tarindex.Member]:
    """The index's members, none where the archive is refused."""
    try:
        return list(tarindex.read_index(io.BytesIO(content), "it").values())
    except ArchiveError:
        return []


@given(st.binary(max_size=3000), st.integers(0, 2500), st.binary(min_size=1, max_size=40))
def test_any_bytes(noise: bytes, position: int, change: bytes) -> None:
    """Random bytes, and good archives with random bytes in them, are refused or give places inside."""
    good = build({"a/" + "long" * 40: b"x" * 700, "b": b"y"})
    for content in (noise, good[:position] + change + good[position + len(change) :], good[:position]):
        assert all(0 <= member.offset + member.size <= len(content) for member in members(content))


def test_links_are_followed() -> None:
    """A symbolic link starts at its own directory, a hard link at the archive's top."""
    content = build(
        {"one/layer.tar": b"data"},
        tarfile.PAX_FORMAT,
        link("two/layer.tar", "../one/layer.tar"),
        link("three/layer.tar", "two/layer.tar", tarfile.LNKTYPE),
    )

    found = [read(content, "two/layer.tar"), read(content, "./three/layer.tar")]
    assert found == [b"data", b"data"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "a", "missing"])
def test_links_lead_nowhere_else(target: str) -> None:
    """A link out of the archive, to itself or to nothing is an error that names it."""
    content = build({"x": b""}, tarfile.PAX_FORMAT, link("a", target))

    with pytest.raises(ArchiveError, match="'a' is"):
        read(content, "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a tar archive"),
        (b"PK" + b"\x01" * 1000, "is not a tar archive"),
        (build({"a": b"x" * 600})[:900], "is cut short"),
        (build({"a": b"x"})[:1024] + b"\x01" * 512, "is damaged at byte 1024"),
    ],
)
def test_damage_is_named(content: bytes, message: str) -> None:
    """Damage is told with the file's name and the place."""
    with pytest.raises(ArchiveError, match=f"it: {message}"):
        tarindex.read_index(io.BytesIO(content), "it")


def test_extended_header_is_bounded() -> None:
    """A header that claims a huge path is not read into memory."""
    member = tarfile.TarInfo("x" * 200_000)

    with pytest.raises(ArchiveError, match="an extended header has"):
        tarindex.read_index(io.BytesIO(build({}, tarfile.GNU_FORMAT, member)), "it")


def test_members_are_bounded() -> None:
    """An archive of endlessly many members is given up."""
    block = tarfile.TarInfo("a").tobuf()

    with pytest.raises(ArchiveError, match="more than 65536 members"):
        tarindex.read_index(io.BytesIO(block * (tarindex.MAX_ENTRIES + 1)), "it")
