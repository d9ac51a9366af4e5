"""Unpacking with the real umoci: every kind of layer, within limits, and nothing outside the tree."""

import os
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import images
from tests.support.images import Image
from tfd.protocol import oci
from tfd.protocol.errors import CommandError
from tflocation.images.settings import ImageSettings
from tflocation.images.unpack import read_file, remove_devices, resolve, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root owns the files of images")
SETTINGS = ImageSettings(image_size=10_000_000, image_files=1000, unpack_timeout=60)


async def unpacked(tmp_path: Path, image: Image, settings: ImageSettings = SETTINGS) -> Path:
    """Unpack an image."""
    blobs = {}
    for content in (image.config, *image.blobs()):
        path = tmp_path / images.digest(content)
        path.write_bytes(content)
        blobs[path.name] = path
    space = tmp_path / "space"
    space.mkdir(mode=0o700)
    return await unpack(oci.parse_manifest(image.manifest(image.blobs()), "it"), blobs, space, settings)


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
async def test_compressions(tmp_path: Path, compression: str) -> None:
    """Plain, gzip and zstd layers give the same tree."""
    rootfs = await unpacked(tmp_path, images.busybox_image(compression=compression))

    assert (rootfs / "bin/busybox").read_bytes() == images.BUSYBOX.read_bytes()
    assert os.fspath((rootfs / "bin/sh").readlink()) == "busybox"


async def test_layers_over_layers(tmp_path: Path) -> None:
    """Upper layers replace and remove, hard links stay, and owners are kept."""
    owned = images.directory("d")
    owned.uid, owned.gid = 1000, 1001
    first = images.layer({"a": b"1", "b": b"1", "c/x": b"1"}, [owned])
    second = images.layer({"a": b"2", ".wh.b": b"", "c/.wh..wh..opq": b"", "c/y": b"2"})
    third = images.layer({"e": b"3"}, [images.link("f", "e", tarfile.LNKTYPE)], after=True)
    rootfs = await unpacked(tmp_path, Image([first, second, third]))

    assert sorted(path.name for path in rootfs.rglob("*")) == ["a", "c", "d", "e", "f", "y"]
    assert (rootfs / "a").read_bytes() == b"2"
    assert (rootfs / "e").stat().st_ino == (rootfs / "f").stat().st_ino
    assert ((rootfs / "d").stat().st_uid, (rootfs / "d").stat().st_gid) == (1000, 1001)


async def test_the_same_layer_twice(tmp_path: Path) -> None:
    """A layer may be repeated."""
    layer = images.layer({"a": b"1"})
    rootfs = await unpacked(tmp_path, Image([layer, layer]))

    assert (rootfs / "a").read_bytes() == b"1"


async def test_nothing_outside_the_tree(tmp_path: Path) -> None:
    """Paths and links that lead out of the image are kept in it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    hostile = [
        images.layer({"../../../escaped": b"x", f"/{victim}/absolute": b"x"}),
        images.layer({}, [images.link("door", str(victim)), images.link("up", "../../..")]),
        images.layer({"door/through": b"x", "up/escaped": b"x"}),
    ]
    rootfs = await unpacked(tmp_path, Image(hostile))

    assert list(victim.iterdir()) == []
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path.parent / "escaped").exists()
    assert rootfs.is_dir()


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
async def test_devices_are_removed(tmp_path: Path, compression: str) -> None:
    """Device nodes are never made, nor what they hide or what is linked to them; named pipes stay."""
    device = images.link("sda", "", tarfile.BLKTYPE)
    device.devmajor, device.devminor = 8, 0
    long = images.link("d" * 150, "", tarfile.CHRTYPE)
    pipe = images.link("pipe", "", tarfile.FIFOTYPE)
    linked = images.link("linked", "sda", tarfile.LNKTYPE)
    layers = [
        images.layer({"sda": b"hidden", "lower": b"1"}),
        images.layer({"a": b"2" * 2000}, [device, pipe, long, linked]),
        images.layer({"b": b"3"}),
    ]
    rootfs = await unpacked(tmp_path, Image(layers, compression=compression))

    assert not [path for path in rootfs.iterdir() if path.is_block_device() or path.is_char_device()]
    assert remove_devices(rootfs) == len((device, long, linked))
    assert sorted(path.name for path in rootfs.iterdir()) == ["a", "b", "lower", "pipe"]
    assert (rootfs / "a").read_bytes() == b"2" * 2000
    assert (rootfs / "pipe").is_fifo()


class Liar(Image):
    """One whose config has another digest for the first layer."""

    @property
    def config(self) -> bytes:
        """The config as bytes."""
        return super().config.replace(images.digest(self.layers[0]).encode(), images.digest(b"x").encode())


async def test_a_layer_with_devices_that_is_another(tmp_path: Path) -> None:
    """A layer is held against the config's digest as it came, also where its devices are left out."""
    with pytest.raises(CommandError, match="cannot be unpacked"):
        await unpacked(tmp_path, Liar([images.layer({}, [images.link("sda", "", tarfile.BLKTYPE)])]))


async def test_size_is_bounded(tmp_path: Path) -> None:
    """An image that unpacks to more than the limit is refused before it takes the disk."""
    image = Image([images.layer({"a": b"\0" * 10_000_001})])
    with pytest.raises(CommandError, match="unpacks to more than 10000000 bytes"):
        await unpacked(tmp_path, image)

    assert not (tmp_path / "space/rootfs").exists()


async def test_time_is_bounded(tmp_path: Path) -> None:
    """An image that takes too long is given up."""
    with pytest.raises(CommandError, match="time-out"):
        await unpacked(tmp_path, images.busybox_image(), replace(SETTINGS, unpack_timeout=0.001))


async def test_layer_that_is_another(tmp_path: Path) -> None:
    """A layer whose content is not what the config says is refused."""
    with pytest.raises(CommandError, match="cannot be unpacked"):
        await unpacked(tmp_path, Liar([images.layer({"a": b""})]))


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("/etc/passwd", None, "text"),
        ("/etc/passwd", "/data/passwd", "data"),
        ("/etc/passwd", "../../../../data/passwd", "data"),
        ("/etc/passwd", "passwd", ""),
        ("/etc/nothing", None, ""),
        ("/etc", None, ""),
        ("/../../etc/passwd", None, "text"),
    ],
)
def test_files_are_read_inside(tmp_path: Path, path: str, target: str | None, expected: str) -> None:
    """Links are followed as in the container, and never out of the image."""
    images.layout(tmp_path / "root", {"etc/passwd": b"text", "data/passwd": b"data"})
    if target:
        (tmp_path / "root/etc/passwd").unlink()
        (tmp_path / "root/etc/passwd").symlink_to(target)

    assert read_file(tmp_path / "root", path) == expected


def test_special_files_are_not_read(tmp_path: Path) -> None:
    """A named pipe in the place of a file does not hold the location up."""
    os.mkfifo(tmp_path / "pipe")

    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert read_file(tmp_path, "/pipe") == ""


def test_links_of_directories_are_resolved(tmp_path: Path) -> None:
    """A directory may be a link too."""
    (tmp_path / "usr/etc").mkdir(parents=True)
    (tmp_path / "etc").symlink_to("/usr/etc")

    assert resolve(tmp_path, "/etc/passwd") == tmp_path / "usr/etc/passwd"
