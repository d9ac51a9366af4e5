"""Every spelling and format of an image archive gives the same image; hostile ones give an ArchiveError."""

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import images
from tests.support.images import Image
from tfd.protocol import oci
from tfd.protocol.archive import ArchiveError, ImageDescription, is_archive, open_image, read_archive, spool

LAYERS = [images.layer({"etc/first": b"1" * 700}), images.layer({"etc/second": b"2"})]
IMAGE = Image(LAYERS, {"Cmd": ["sh"]})
PLAIN = Image([*LAYERS, LAYERS[0]], {"Cmd": ["sh"]}, compression="")


def read_all(image: ImageDescription) -> dict[str, bytes]:
    """The content of every blob, by what its digest should be."""
    found = {}
    for digest, blob in image.blobs.items():
        with blob.open() as file:
            found[digest] = file.read()
        assert len(found[digest]) == blob.size
    return found


def check(image: ImageDescription, expected: Image) -> None:
    """The description is that of the image, and its blobs are what they are called."""
    assert image.config_digest == expected.digest
    assert [layer.digest for layer in image.layers] == [images.digest(blob) for blob in expected.blobs()]
    manifest = oci.parse_manifest(image.manifest, "it")
    assert [layer.digest for layer in image.layers] == [layer.digest for layer in manifest.layers]
    assert {digest: images.digest(content) for digest, content in read_all(image).items()} == {
        digest: digest for digest in image.blobs
    }


def write_oci(path: Path) -> str:
    """An OCI archive."""
    return f"oci-archive:{images.archive(path / 'a.tar', images.oci_files({'v1': PLAIN}))}"


def write_bare(path: Path) -> str:
    """The same as a bare path."""
    return str(images.archive(path / "b.tar", images.oci_files({"v1": PLAIN})))


def write_layout(path: Path) -> str:
    """A layout in a directory, with a tag."""
    return f"oci:{images.layout(path / 'layout', images.oci_files({'v1': PLAIN, 'v2': IMAGE}))}:v1"


def write_docker_types(path: Path) -> str:
    """An OCI layout with Docker's media types."""
    return f"oci:{images.layout(path / 'types', images.oci_files({'': PLAIN}, docker=True))}"


def write_old_docker(path: Path) -> str:
    """What docker save wrote, with the repeated layer as a link."""
    return f"docker-archive:{images.archive(path / 'old.tar', *images.docker_files(PLAIN, ['web:1']))}"


def write_new_docker(path: Path) -> str:
    """What docker save writes."""
    return str(images.archive(path / "new.tar", images.docker_oci_files(PLAIN, ["web:1"])))


def write_compressed(path: Path) -> str:
    """What docker save wrote, through gzip."""
    plain = images.archive(path / "old.tar", *images.docker_files(PLAIN, ["web:1"]))
    plain.with_suffix(".gz").write_bytes(gzip.compress(plain.read_bytes()))
    return str(plain.with_suffix(".gz"))


@pytest.mark.parametrize(
    "write",
    [
        write_oci,
        write_bare,
        write_layout,
        write_docker_types,
        write_old_docker,
        write_new_docker,
        write_compressed,
    ],
)
def test_formats(tmp_path: Path, write: Callable[[Path], str]) -> None:
    """Each format and spelling gives the same image, and blobs with the content of their digests."""
    with open_image(write(tmp_path)) as image:
        check(image, PLAIN)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_layers(tmp_path: Path, compression: str) -> None:
    """Layers stay compressed, and keep the digests that they have so."""
    expected = Image(LAYERS, {}, compression)
    with open_image(str(images.archive(tmp_path / "a.tar", images.oci_files({"x": expected})))) as image:
        check(image, expected)
        types = [layer.media_type for layer in oci.parse_manifest(image.manifest, "it").layers]
        assert types == [f"{oci.LAYER_TYPE}+{compression}"] * 2


def test_compressed_layers_in_a_docker_archive(tmp_path: Path) -> None:
    """Some programs compress the layers of a docker archive: their digests are computed."""
    files, links = images.docker_files(Image(LAYERS, {}), ["web:1"])
    files = {
        name: gzip.compress(data, 1, mtime=0) if name.endswith(".tar") else data
        for name, data in files.items()
    }

    with open_image(str(images.archive(tmp_path / "a.tar", files, links))) as image:
        check(image, Image(LAYERS, {}))


def test_names(tmp_path: Path) -> None:
    """A docker archive tells the image's names; a layout's bare tag is none."""
    with open_image(write_new_docker(tmp_path)) as image:
        assert image.names == ("web:1",)
    with open_image(write_oci(tmp_path)) as image:
        assert image.names == ()


@pytest.mark.parametrize("nested", [False, True])
def test_platforms(tmp_path: Path, *, nested: bool) -> None:
    """Of an image for several platforms the machine's is chosen, or the one asked for."""
    other = Image(LAYERS[:1], {}, architecture="s390x")
    here = oci.architecture_of(os.uname().machine)
    files = images.platforms_files({here: IMAGE, "s390x": other}, nested=nested)
    path = str(images.layout(tmp_path / "layout", files))

    with open_image(path) as image:
        check(image, IMAGE)
    with open_image(path, architecture="s390x") as image:
        check(image, other)
    with pytest.raises(ArchiveError, match="has no image for linux/m68k"):
        open_image(path, architecture="m68k")


def test_relative_path(tmp_path: Path) -> None:
    """A relative path starts where the caller says."""
    write_bare(tmp_path)

    with open_image("./b.tar", tmp_path) as image:
        check(image, PLAIN)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", False),
        ("registry.example.net:5000/oci:1", False),
        ("./web.tar", True),
        ("/srv/web.tar", True),
        ("oci:layout", True),
        ("oci-archive:a.tar", True),
        ("docker-archive:a.tar", True),
        ("oci", False),
    ],
)
def test_what_is_an_archive(image: str, *, expected: bool) -> None:
    """Names and archives are told apart by their spelling alone."""
    assert is_archive(image) is expected


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    """The files but for some."""
    return {name: content for name, content in files.items() if name not in names}


OCI = images.oci_files({"v1": IMAGE})
OLD, LINKS = images.docker_files(PLAIN, ["web:1"])
LAYER = "blobs/" + images.digest(IMAGE.blobs()[0]).replace(":", "/")
CONFIG = "blobs/" + IMAGE.digest.replace(":", "/")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": b""}, "is no image archive"),
        (without(OCI, LAYER), "is missing"),
        (without(OCI, CONFIG), "is missing"),
        (OCI | {LAYER: b"short"}, "its manifest says"),
        (OCI | {CONFIG: b"{}"}, "is damaged: its content has another digest"),
        (OCI | {"index.json": b"{}"}, "no list of manifests"),
        (OCI | {"index.json": b'{"manifests":[]}'}, "it has no names"),
        (OCI | {"index.json": b" " * (1 << 21)}, "allowed are"),
        (
            images.oci_files({"v1": IMAGE, "v2": PLAIN}),
            "several images: write :NAME after the path; it has v1, v2",
        ),
        (OLD | {"manifest.json": b"{}"}, "must be a list"),
        (OLD | {"manifest.json": b"[]"}, "not one image"),
        (OLD | {"manifest.json": b'[{"Config":"../../x","Layers":[]}]'}, "'../../x' is missing"),
        (OLD | {"manifest.json": b'[{"Config":1,"Layers":[]}]'}, "needs a Config"),
        (without(OLD, f"{0:064x}/layer.tar"), "is missing"),
    ],
)
def test_wrong_archives(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    """Each mistake is named, together with the archive."""
    path = images.archive(tmp_path / "wrong.tar", files)

    with pytest.raises(ArchiveError, match=rf"wrong\.tar: .*{message}"):
        open_image(str(path))


def test_layers_that_the_config_does_not_know(tmp_path: Path) -> None:
    """A docker archive whose list and config disagree is refused."""
    listed = json.loads(OLD["manifest.json"])
    listed[0]["Layers"].pop()
    path = images.archive(tmp_path / "a.tar", OLD | {"manifest.json": json.dumps(listed).encode()}, LINKS)

    with pytest.raises(ArchiveError, match="has 2 layers, and its config tells of 3"):
        open_image(str(path))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("./nowhere.tar", "nowhere.tar: cannot be read: No such file"),
        ("oci-archive:", "a path is missing"),
        ("oci-archive:.", "is a directory; write oci:"),
        ("oci:file", "is not a directory; write oci-archive:"),
        ("./file", "is not a tar archive"),
        ("./file:v1", "is not a tar archive"),
        ("./pipe", "neither a file nor a directory"),
    ],
)
def test_wrong_references(tmp_path: Path, image: str, message: str) -> None:
    """A reference that cannot be meant tells what would be."""
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "pipe").symlink_to("/dev/null")

    with pytest.raises(ArchiveError, match=message):
        open_image(image, tmp_path)


class Stream(io.RawIOBase):
    """A pipe's reading end: short reads, and no seeking."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        """A pipe can be read."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed hides its buffer type
        """Read at most seven bytes."""
        return self._content.readinto(buffer[:7])


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_stream(compress: Callable[[bytes], bytes]) -> None:
    """A docker save stream, compressed or not, is spooled and read."""
    content = images.layer(OLD, LINKS, after=True)
    file = io.BytesIO()
    spool(Stream(compress(content)), file, "the stream")  # type: ignore[arg-type]  # a raw stream will do

    with read_archive(file, "the stream") as image:
        check(image, PLAIN)


def test_stream_is_bounded() -> None:
    """A stream longer than the limit is refused, as is damaged compression."""
    with pytest.raises(ArchiveError, match="the stream: is longer than 10 bytes"):
        spool(io.BytesIO(b"x" * 11), io.BytesIO(), "the stream", 10)
    with pytest.raises(ArchiveError, match="its compression is damaged"):
        spool(io.BytesIO(gzip.compress(b"x" * 1000)[:-12]), io.BytesIO(), "the stream")


@given(st.sampled_from([OCI, OLD]), st.integers(0, 20_000), st.binary(min_size=1, max_size=30))
def test_mutated_archives(files: dict[str, bytes], position: int, change: bytes) -> None:
    """An archive with random bytes in it gives a description, or an ArchiveError that names it."""
    content = images.layer(files, LINKS, after=True)
    place = position % len(content)
    mutated = content[:place] + change + content[place + len(change) :]
    try:
        with read_archive(io.BytesIO(mutated), "it") as image:
            read_all(image)
    except ArchiveError as error:
        complaint = str(error)
    else:
        complaint = "it: "
    assert complaint.startswith("it: ")
