"""Bringing images and files to a location that has no engine behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import busybox_archive
from tests.support.location_peer import LocationPeer
from tests.tfd.locations.test_location import Site, site
from tfd.config.model import Container, FileSource
from tfd.locations.bringing import bring_files, bring_image
from tfd.protocol.drivers.link import Failure


@pytest.fixture
def peer() -> Iterator[LocationPeer]:
    """Give a running location."""
    with LocationPeer() as made:
        yield made


def bring(place: Site, image: str) -> str | Failure:
    """Bring an image and give the result."""
    results: list[str | Failure] = []
    bring_image(place.loop, place.location.link, image, results.append)
    place.until(lambda: results, "the image", 90)
    return results[0]


@pytest.mark.parametrize("scheme", ["", "oci-archive:"])
def test_an_archive_is_sent_and_committed(peer: LocationPeer, tmp_path: Path, scheme: str) -> None:
    """Every blob arrives whole; a second time nothing is sent."""
    path = busybox_archive(tmp_path / "image.tar")
    with site(peer) as place:
        digest = bring(place, f"{scheme}{path}")
        again = bring(place, f"{scheme}{path}")

        assert isinstance(digest, str), digest
        assert digest.startswith("sha256:")
        assert again == digest
        assert all(blob.complete for blob in peer.blobs.values())
        assert len(peer.blobs) == 2
        assert len(peer.called("image.commit")) == 1


def test_layers_that_the_location_has_are_not_sent(peer: LocationPeer, tmp_path: Path) -> None:
    """Another image on the same layer sends its config alone."""
    one = busybox_archive(tmp_path / "one.tar")
    two = busybox_archive(tmp_path / "two.tar", Cmd=["/bin/true"])
    with site(peer) as place:
        bring(place, str(one))
        before = len(peer.called("blob.put"))
        bring(place, str(two))

        assert before == 2
        assert len(peer.called("blob.put")) == 3


def test_a_missing_archive_is_a_failure_with_its_path(peer: LocationPeer, tmp_path: Path) -> None:
    """Nothing is asked of the location."""
    with site(peer) as place:
        result = bring(place, str(tmp_path / "none.tar"))

        assert isinstance(result, Failure)
        assert "none.tar" in result.message


def test_names_are_looked_up_at_the_location(peer: LocationPeer) -> None:
    """One that it has gives its digest; one that neither it nor a registry has is a failure with words."""
    with site(peer) as place:
        assert bring(place, "nginx") == peer.images["nginx"]
        unheard = bring(place, "unheard/of")
        assert isinstance(unheard, Failure)
        assert unheard.code == "not-found"
        assert "unheard/of" in unheard.message


def files(place: Site, container: Container) -> dict[str, dict[str, str | int]] | Failure:
    """Bring a container's files and give the result."""
    results: list[dict[str, dict[str, str | int]] | Failure] = []
    bring_files(place.loop, place.location.link, container, results.append)
    place.until(lambda: results, "the files", 20)
    return results[0]


def test_files_are_brought_as_blobs(peer: LocationPeer, tmp_path: Path) -> None:
    """From a path and from the configuration; two with the same content are one blob."""
    source = tmp_path / "page"
    source.write_bytes(b"same")
    container = Container(
        name="web",
        image="nginx",
        files=(
            ("/a", FileSource(path=str(source), content=None, digest=b"")),
            ("/b", FileSource(path=None, content=b"same", digest=b"", mode=0o400)),
            ("/c", FileSource(path=None, content=b"", digest=b"")),
        ),
    )
    with site(peer) as place:
        result = files(place, container)

        assert isinstance(result, dict)
        assert list(result) == ["/a", "/b", "/c"]
        assert result["/a"]["digest"] == result["/b"]["digest"] != result["/c"]["digest"]
        assert [file["mode"] for file in result.values()] == [0o644, 0o400, 0o644]
        assert {bytes(blob.data) for blob in peer.blobs.values()} == {b"same", b""}


def test_a_missing_file_is_a_failure_that_names_it(peer: LocationPeer, tmp_path: Path) -> None:
    """And the container."""
    missing = FileSource(path=str(tmp_path / "gone"), content=None, digest=b"")
    with site(peer) as place:
        result = files(place, Container(name="web", image="nginx", files=(("/a", missing),)))

        assert isinstance(result, Failure)
        assert "web" in result.message
        assert "gone" in result.message
