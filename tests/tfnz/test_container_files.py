"""Files and directories put into containers and fetched from them."""

import hashlib
import io
import os
from pathlib import Path

import pytest

from tfnz.container import Container

pytestmark = [pytest.mark.engine, pytest.mark.root]

MIB = 1 << 20


@pytest.mark.covers("Container.put", "Container.fetch")
def test_bytes_there_and_back(box: Container) -> None:
    """What is put is fetched; directories are made, content is replaced, root owns it with mode 0644."""
    for content in (b"", b"first", bytes(range(256)) * 4096):
        box.put("/made/on/the way/é", content)
        assert box.fetch("/made/on/the way/é") == content
    assert box.run_process("stat -c '%a %u %g' '/made/on/the way/é'")[0] == b"644 0 0\n"


def test_text_and_modes(box: Container) -> None:
    """Text is put as UTF-8, and a mode may be given."""
    box.put("/script", "#!/bin/sh\necho grün\n", mode=0o755)

    assert box.run_process("/script")[0].decode() == "grün\n"


def test_streams(box: Container, tmp_path: Path) -> None:
    """Open files of any kind are put, and filled."""
    data = os.urandom(3 * MIB + 1)
    local = tmp_path / "data"
    local.write_bytes(data)
    with local.open("rb") as opened:
        opened.seek(1)
        box.put("/stream", opened)
    received = io.BytesIO()

    assert box.fetch("/stream", received) == b""
    assert received.getvalue() == data[1:]
    box.put("/again", io.BytesIO(data))
    assert box.run_process("sha256sum /again")[0].split()[0].decode() == hashlib.sha256(data).hexdigest()
    box.put("/path", local)
    assert box.fetch("/path") == data


def test_a_stream_that_fails(box: Container) -> None:
    """What reading raises is raised, and nothing half-written is there."""

    class Broken(io.RawIOBase):
        """Gives a little, then fails."""

        def __init__(self) -> None:
            self.left = 3

        def read(self, _size: int = -1) -> bytes:
            """Give a block or fail."""
            self.left -= 1
            if not self.left:
                raise OSError("the disk is gone")
            return bytes(MIB)

    box.put("/half", b"as it was")
    with pytest.raises(OSError, match="the disk is gone"):
        box.put("/half", Broken())  # type: ignore[arg-type]

    assert box.fetch("/half") == b"as it was"
    assert box.run_process("ls -a / | grep half")[0] == b"half\n"


@pytest.mark.parametrize("path", ["/../etc/passwd", "/a/../../b", "relative/../../c"])
def test_paths_that_lead_outside(box: Container, path: str) -> None:
    """A path with `..` is a ValueError."""
    with pytest.raises(ValueError, match="leads outside"):
        box.put(path, b"")
    with pytest.raises(ValueError, match="leads outside"):
        box.fetch(path)


def test_what_cannot_be_fetched_or_put(box: Container) -> None:
    """A missing file, a directory, a path through a file: ValueErrors that name them."""
    box.put("/plain", b"")
    for path in ("/nothing", "/etc", "/plain/under"):
        with pytest.raises(ValueError, match=path):
            box.fetch(path)
    for path in ("/etc", "/plain/under"):
        with pytest.raises(ValueError, match=path):
            box.put(path, b"x")
    with pytest.raises(ValueError, match="bytes, text or an open file"):
        box.put("/plain", 7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'rb'"):
        box.put("/plain", io.StringIO("text"))  # type: ignore[arg-type]


def test_links_stay_inside(box: Container) -> None:
    """A link of the container's leads to the container's file, not to this machine's."""
    box.run_process(
        "echo inside > /etc/hostile; ln -sf /etc/hostile /tmp/link; ln -sf /etc/machine-probe /tmp/out"
    )
    assert box.fetch("/tmp/link") == b"inside\n"
    box.put("/tmp/out", b"written inside")

    assert not Path("/etc/machine-probe").exists()


def test_directories(box: Container, tmp_path: Path) -> None:
    """A directory is put and fetched with all that is in it, modes included."""
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "file").write_bytes(b"one")
    (source / "tool").write_bytes(b"two")
    (source / "tool").chmod(0o755)
    (source / "link").symlink_to("tool")
    box.put("/tree", source)
    box.fetch_directory("/tree", tmp_path / "copy")

    found = {
        str(path.relative_to(tmp_path / "copy")): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert found == {"deep/er/file": (b"one", 0o644), "tool": (b"two", 0o755), "link": (b"two", 0o755)}


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "deep"])
def test_directories_with_links_that_lead_elsewhere(box: Container, tmp_path: Path, target: str) -> None:
    """A link out of the directory, or to a directory, is refused before anything is written."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ValueError, match="link"):
        box.put_directory(f"/refused-{target.strip('/.')[:3]}", tmp_path)

    assert b"refused" not in box.run_process("ls /")[0]


def test_directories_fetched_to_where_something_is(box: Container, tmp_path: Path) -> None:
    """A directory is fetched only to a place of its own; a file is no directory."""
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(ValueError, match="not empty"):
        box.fetch_directory("/etc", tmp_path)
    box.put("/single", b"")
    with pytest.raises(ValueError, match="file"):
        box.fetch_directory("/single", tmp_path / "new")


def test_a_link_that_leads_back(box: Container, tmp_path: Path) -> None:
    """A directory that contains itself by a link is an error, not an endless copy."""
    box.run_process("mkdir -p /loop; ln -sf . /loop/again")
    with pytest.raises(ValueError, match=r"directories deep|links"):
        box.fetch_directory("/loop", tmp_path / "loop")
