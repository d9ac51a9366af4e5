"""The look through the layers before anything is unpacked, as the program that it is."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import images
from tflocation.images import layers

GOOD = images.layer({"a": b"x" * 3000, "b": b""})


def look(
    tmp_path: Path, *contents: bytes, size: int = 10_000, files: int = 10
) -> subprocess.CompletedProcess[str]:
    """Run the program on layers of these contents."""
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"layer{number}")
        paths[-1].write_bytes(content)
    space = tmp_path / "space"
    space.mkdir(exist_ok=True)
    command: list[str | Path] = [sys.executable, "-I", layers.__file__, space, str(size), str(files), *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_kinds(tmp_path: Path) -> None:
    """Each compression is recognised by its content, and zstd is expanded."""
    done = look(tmp_path, GOOD, gzip.compress(GOOD), images.zstandard(GOOD))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert [layer["kind"] for layer in found] == ["tar", "gzip", "zstd"]
    assert (found[2]["digest"], found[2]["size"]) == (images.digest(GOOD), len(GOOD))
    assert Path(found[2]["path"]).read_bytes() == GOOD


def sparse(size: int) -> bytes:
    """A sparse file in GNU's format, which unpacks to `size` bytes of holes."""
    member = tarfile.TarInfo("hole")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:483] = b"\0" * 97
    header[483:495] = f"{size:011o}\0".encode()
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + b"\0" * 1024


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (images.layer({"a": b"x" * 10_001}), "unpacks to more than 10000 bytes"),
        (gzip.compress(images.layer({"a": b"\0" * 9_000_000})), "unpacks to more than 10000 bytes"),
        (images.zstandard(images.layer({"a": b"\0" * 9_000_000})), "expands to more than"),
        (sparse(1 << 32), "unpacks to more than 10000 bytes"),
        (images.layer({str(number): b"" for number in range(11)}), "has more than 10 files"),
        (gzip.compress(GOOD)[:-30], "not a readable tar archive"),
        (images.zstandard(GOOD)[:-3], "damaged"),
        (b"nonsense" * 100, "not a readable tar archive"),
        (b"", "not a readable tar archive"),
    ],
    ids=["plain", "gzip", "zstd", "sparse", "files", "cut-gzip", "cut-zstd", "noise", "empty"],
)
def test_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """What is too large or damaged is refused with one line."""
    done = look(tmp_path, content)

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_layers_count_together(tmp_path: Path) -> None:
    """The limits hold for the image, not for each layer."""
    assert look(tmp_path, GOOD, GOOD, GOOD).returncode == 0
    assert "more than 10000 bytes" in look(tmp_path, GOOD, GOOD, GOOD, GOOD).stderr


def test_huge_header(tmp_path: Path) -> None:
    """A header that claims gigabytes does not take gigabytes of memory."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 600 << 20
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(600 << 20)
    space = tmp_path / "space"
    space.mkdir()
    command: list[str | Path] = [sys.executable, "-I", layers.__file__, space, "1000", "10", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(position=st.integers(0, len(GOOD) - 1), change=st.binary(min_size=1, max_size=20))
def test_mutated_layers(tmp_path: Path, position: int, change: bytes) -> None:
    """A layer with random bytes in it is within the limits or refused, and nothing else."""
    path = tmp_path / "layer"
    path.write_bytes(GOOD[:position] + change + GOOD[position + len(change) :])
    with suppress(layers.Refused):
        layers.scan(path, layers.Budget(10_000, 10))


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), min_size=1, max_size=9), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_devices_become_pipes(tmp_path: Path, members: list[tuple[int, bool]], packed: bool) -> None:
    """Wherever devices stand in a layer, its copy has pipes in their place and is the same beside them."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for number, (size, device) in enumerate(members):
            member = tarfile.TarInfo(f"{number}-{'x' * (size // 10)}")
            member.type, member.size = (tarfile.CHRTYPE, 0) if device else (tarfile.REGTYPE, size)
            archive.addfile(member, io.BytesIO(bytes(size)))
    plain, source, target = content.getvalue(), tmp_path / "source", tmp_path / "target"
    source.write_bytes(gzip.compress(plain) if packed else plain)
    devices = layers.scan(source, layers.Budget(1 << 20, 100))
    before, after, size = layers.replace_devices(source, target, devices, 1 << 20)

    assert (before, after, size) == (
        images.digest(plain),
        images.digest(target.read_bytes()),
        len(plain),
    )
    with tarfile.open(target) as archive, tarfile.open(fileobj=io.BytesIO(plain)) as original:
        assert [(entry.name, entry.isfifo(), entry.size) for entry in archive] == [
            (entry.name, entry.ischr(), entry.size) for entry in original
        ]
    with pytest.raises(layers.Refused, match="expands to more than"):
        layers.replace_devices(source, target, devices, len(plain) - 1)
