"""OCI documents are read strictly, and whatever else comes is an ArchiveError."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol import oci
from tfd.protocol.oci import ArchiveError, Descriptor

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
KEYS = st.sampled_from(
    [
        "schemaVersion",
        "config",
        "layers",
        "digest",
        "size",
        "mediaType",
        "manifests",
        "platform",
        "annotations",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([DIGEST]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def manifest(**changes: object) -> bytes:
    """A good manifest with some of its fields changed."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "config": {"digest": DIGEST, "size": 3, "mediaType": oci.CONFIG_TYPE},
        "layers": [{"digest": OTHER, "size": 4, "mediaType": oci.LAYER_TYPE + "+gzip"}],
    }
    return json.dumps(document | changes).encode()


def test_manifest_round_trip() -> None:
    """What is rendered reads as what it was made of."""
    config = Descriptor(DIGEST, 3, oci.CONFIG_TYPE)
    layers = (Descriptor(OTHER, 4, oci.LAYER_TYPE + "+zstd"), Descriptor(DIGEST, 0, oci.LAYER_TYPE))

    assert oci.Manifest(config, layers) == oci.parse_manifest(oci.render_manifest(config, layers), "it")


@pytest.mark.parametrize("suffix", ["", ".gzip", ".zstd"])
def test_docker_types_become_oci_types(suffix: str) -> None:
    """Docker's schema 2 is the same document under other names."""
    layer = {"digest": OTHER, "size": 4, "mediaType": f"application/vnd.docker.image.rootfs.diff.tar{suffix}"}
    content = manifest(
        layers=[layer], config={"digest": DIGEST, "size": 3, "mediaType": oci.DOCKER_CONFIG_TYPE}
    )

    assert oci.LAYER_TYPE + suffix.replace(".", "+") == oci.parse_manifest(content, "it").layers[0].media_type


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "a JSON object"),
        (b"[" * 100_000, "is not JSON"),
        (b"{}", "no image manifest"),
        (manifest(schemaVersion=1), "no image manifest"),
        (manifest(config=[]), "config: a descriptor"),
        (manifest(config={"digest": "sha256:12", "size": 1}), "64 hexadecimal"),
        (manifest(config={"digest": DIGEST, "size": -1}), "has size -1"),
        (manifest(config={"digest": DIGEST, "size": True}), "has size True"),
        (manifest(config={"digest": DIGEST, "size": 1 << 30}), "config is longer"),
        (manifest(config={"digest": DIGEST, "size": 1, "mediaType": "text/plain"}), "not a container image"),
        (manifest(layers=None), "layers must be"),
        (manifest(layers=[{"digest": DIGEST, "size": 1, "mediaType": "text/plain"}]), "not a tar layer"),
        (manifest(layers=[{}] * 257), "layers must be"),
        (b" " * (oci.MAX_MANIFEST + 1), "is longer"),
    ],
)
def test_bad_manifest(content: bytes, message: str) -> None:
    """Each kind of mistake is named with the document that has it."""
    with pytest.raises(ArchiveError, match=f"the file: .*{message}"):
        oci.parse_manifest(content, "the file")


def complaint(parse: Callable[[bytes, str], object], content: bytes) -> str:
    """What a parser complains of; its file's name alone where it is content."""
    try:
        parse(content, "it")
    except ArchiveError as error:
        return str(error)
    return "it: "


@given(JSON)
def test_any_json(document: object) -> None:
    """No JSON document whatever gets more than an ArchiveError out of the parsers."""
    content = json.dumps(document).encode()
    for parse in (oci.parse_manifest, oci.parse_index, oci.parse_diff_ids):
        assert complaint(parse, content).startswith("it: ")


def entry(architecture: str, system: str = "linux") -> oci.IndexEntry:
    """An index's entry for a platform."""
    return oci.IndexEntry(Descriptor(oci.digest_of(architecture.encode()), 1, ""), architecture, system, "")


def test_platform_is_chosen() -> None:
    """Of several platforms the asked one is taken, and for Linux."""
    entries = [entry("amd64", "windows"), entry("amd64"), entry("arm64")]

    assert entries[1] == oci.choose_platform(entries, "amd64", "it")


def test_missing_platform_names_those_there_are() -> None:
    """A platform that is not there is refused with the list of those that are."""
    with pytest.raises(ArchiveError, match="no image for linux/riscv64; it has linux/amd64, linux/arm64"):
        oci.choose_platform([entry("amd64"), entry("arm64")], "riscv64", "it")


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        "nginx:1.25",
        "a/b/c:Tag_1",
        "reg.example.net/x",
        "localhost:5000/x:1",
        "[::1]:5000/x",
        "a__b/c--d",
    ],
)
def test_names(name: str) -> None:
    """What docker takes as a name is a name."""
    assert oci.is_name(name)


@pytest.mark.parametrize(
    "name", ["", "Nginx", "a//b", "a:b:c", "/a", "a/", "-a", "a" * 256, "a b", "a\n", "../x"]
)
def test_not_names(name: str) -> None:
    """What docker refuses as a name is none."""
    assert not oci.is_name(name)


@given(st.text(alphabet="ab._-/:@[]0A", max_size=255))
def test_names_are_decided_quickly(name: str) -> None:
    """No text makes the pattern run away."""
    assert oci.is_name(name) in (True, False)
