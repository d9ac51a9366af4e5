"""Pulling from a real registry with the real skopeo."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import images
from tests.support.registry import PROGRAM, Registry, registry
from tfd.protocol.errors import CommandError
from tflocation.images.registry import NotPulled, pull, reason
from tflocation.images.settings import ImageSettings

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs docker-registry (apt install docker-registry)")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Registry]:
    """A registry with the image web:1."""
    with registry(tmp_path / "registry") as running:
        running.push(f"oci-archive:{images.busybox_archive(tmp_path / 'a.tar')}", "web:1")
        yield running


def settings(running: Registry) -> ImageSettings:
    """Settings that allow this registry."""
    return ImageSettings(
        registries=(running.address,), insecure_registries=(running.address,), pull_timeout=60
    )


async def test_pull(tmp_path: Path, running: Registry) -> None:
    """The image's blobs come as files, and its digest is the one that was pushed."""
    target = tmp_path / "pulled"
    target.mkdir()
    manifest = await pull(f"{running.address}/web:1", running.address, target, settings(running))

    assert manifest.config.digest == images.busybox_image().digest
    for blob in (manifest.config, *manifest.layers):
        assert images.digest((target / blob.digest.removeprefix("sha256:")).read_bytes()) == blob.digest


@pytest.mark.parametrize(("name", "message"), [("web:2", "manifest unknown"), ("other", "unknown")])
async def test_unknown(tmp_path: Path, running: Registry, name: str, message: str) -> None:
    """What the registry does not have is told in one short line."""
    target = tmp_path / "pulled"
    target.mkdir()
    with pytest.raises(NotPulled, match=message):
        await pull(f"{running.address}/{name}", running.address, target, settings(running))


async def test_insecure_must_be_listed(tmp_path: Path, running: Registry) -> None:
    """A registry without TLS is not spoken to unless it is listed."""
    target = tmp_path / "pulled"
    target.mkdir()
    secure = replace(settings(running), insecure_registries=())
    with pytest.raises(NotPulled, match="HTTP response to HTTPS client"):
        await pull(f"{running.address}/web:1", running.address, target, secure)


async def test_size_is_bounded(tmp_path: Path, running: Registry) -> None:
    """An image larger than the cache is given up."""
    target = tmp_path / "pulled"
    target.mkdir()
    with pytest.raises(CommandError, match="has more than the 1000 bytes"):
        await pull(
            f"{running.address}/web:1", running.address, target, replace(settings(running), cache_size=1000)
        )


async def test_nobody_answers(tmp_path: Path) -> None:
    """A registry that is not there is told as such."""
    with pytest.raises(NotPulled, match="refused"):
        await pull("127.0.0.1:1/web:1", "127.0.0.1:1", tmp_path, ImageSettings(pull_timeout=60))


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ('time="x" level=fatal msg="a: b: reading manifest: \\"quoted\\""', 'reading manifest: "quoted"'),
        ("plain words\n", "plain words"),
        ("", "no reason given"),
    ],
)
def test_reason(errors: str, expected: str) -> None:
    """Of skopeo's message the last two parts are told."""
    assert reason(errors) == expected
