"""Published clusters: who may have which name, and what is left of them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.protocol.errors import CommandError
from tflocation.web import store
from tflocation.web.clusters import (
    HIGHEST_WEIGHT,
    MAX_OF_ACCOUNT,
    Cluster,
    Clusters,
    Rewrite,
    parse_rewrite,
    weights,
)


def cluster(key: str = "k", fqdn: str = "a.example", **fields: object) -> Cluster:
    """Give a cluster of alice's session s."""
    values: dict[str, object] = {
        "account": "alice",
        "key": key,
        "holder": "s",
        "fqdn": fqdn,
        "containers": (),
    }
    return Cluster(**values | fields)  # type: ignore[arg-type]  # the fields are the test's


def refused(clusters: Clusters, other: Cluster) -> str:
    """Give the code with which a publication is refused."""
    with pytest.raises(CommandError) as caught:
        clusters.publish(other)
    return caught.value.code


def test_a_name_belongs_to_one_session() -> None:
    """Another session, of the same account or another one, gets it only once the holder has ended."""
    clusters = Clusters([cluster()])
    assert refused(clusters, cluster("l", holder="t")) == "exists"
    assert refused(clusters, cluster("l", account="bob")) == "exists"
    assert clusters.holders() == {("alice", "s")}
    assert not clusters.release("bob", "s")
    assert clusters.release("alice", "s")
    clusters.publish(cluster("l", holder="t"))
    assert [c.key for c in clusters.all()] == ["l"]


def test_the_same_key_changes_the_cluster() -> None:
    """A cluster published again moves to its new name and gives the old one up."""
    clusters = Clusters([cluster()])
    clusters.publish(cluster(fqdn="b.example", containers=("c",)))
    assert [(c.fqdn, c.containers) for c in clusters.all()] == [("b.example", ("c",))]


def test_another_cluster_of_the_session_takes_the_name_over() -> None:
    """Blue is replaced by green; taking blue down afterwards does nothing to green."""
    clusters = Clusters([cluster("blue")])
    clusters.publish(cluster("green"))
    assert not clusters.remove("alice", "blue")
    assert [c.key for c in clusters.all()] == ["green"]


def test_another_session_cannot_change_a_cluster_by_its_key() -> None:
    """A key is the holder's alone while it lives."""
    assert refused(Clusters([cluster()]), cluster(holder="t", fqdn="b.example")) == "exists"


def test_a_container_that_is_gone_leaves_every_cluster() -> None:
    """The others stay, in their order."""
    clusters = Clusters([cluster(containers=("a", "b")), cluster("l", "b.example", containers=("b", "c"))])
    assert clusters.forget("b")
    assert not clusters.forget("b")
    assert [c.containers for c in clusters.all()] == [("a",), ("c",)]


def test_an_account_has_so_many_names() -> None:
    """One more is refused; changing one of them is not."""
    clusters = Clusters([cluster(str(n), f"n{n}.example") for n in range(MAX_OF_ACCOUNT)])
    assert refused(clusters, cluster("more", "more.example")) == "limit"
    clusters.publish(cluster("0", "n0.example", containers=("c",)))
    clusters.publish(cluster("bobs", "bobs.example", account="bob"))


@pytest.mark.parametrize(
    ("text", "host", "prefix"),
    [
        ("intranet", "intranet", ""),
        ("in_tra.net:8080", "in_tra.net:8080", ""),
        ("a.b/app/v1", "a.b", "/app/v1"),
        ("/app/", "", "/app"),
    ],
)
def test_a_rewrite_is_a_host_and_a_path(text: str, host: str, prefix: str) -> None:
    """Either may be left out."""
    assert parse_rewrite(text) == Rewrite(host, prefix)


@given(st.text(max_size=40))
def test_no_rewrite_leaves_its_line(text: str) -> None:
    """Whatever is sent is refused or free of what means something to HAProxy's files and commands."""
    try:
        rewrite = parse_rewrite(text)
    except CommandError:
        return
    assert not set(rewrite.host + rewrite.prefix) & set(' \t\r\n\\"#%?<>;')
    assert ".." not in rewrite.prefix.split("/")


@given(
    st.dictionaries(st.text(min_size=1), st.sampled_from(["one", "two", "three"]), min_size=1),
    st.dictionaries(st.sampled_from(["one", "two"]), st.integers(1, 256)),
)
def test_weights_follow_the_processors(nodes: dict[str, str], processors: dict[str, int]) -> None:
    """All weights can be set, the strongest is the highest, and on one node all are alike."""
    found = weights(nodes, processors)
    assert found.keys() == nodes.keys()
    assert max(found.values()) == HIGHEST_WEIGHT
    assert min(found.values()) >= 1
    for node in set(nodes.values()):
        assert len({found[container] for container, at in nodes.items() if at == node}) == 1


def test_a_node_counts_once_however_many_containers_it_has() -> None:
    """Two containers on one node share what the one on an equal node has alone."""
    assert weights({"a": "x", "b": "x", "c": "y"}, {"x": 4, "y": 4}) == {"a": 128, "b": 128, "c": 256}


def test_clusters_outlive_the_service(tmp_path: Path) -> None:
    """What is kept is read back, and only its owner can read it: it holds private keys."""
    kept = [
        cluster(containers=("a", "b"), rewrite=Rewrite("h", "/p"), certificate=b"\x00key"),
        cluster("l", "b.example"),
    ]
    path = tmp_path / "clusters.json"
    store.save(path, kept)
    assert store.load(path) == kept
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.binary(max_size=60))
def test_a_damaged_file_is_an_empty_one(content: bytes) -> None:
    """Nothing is published then; the service starts."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "clusters.json"
        path.write_bytes(content)
        assert store.load(path) == []


@pytest.mark.parametrize("text", ["{}", "[{}]", "[1]", '[{"account": 1}]', "null", "3", "[" * 100_000])
def test_a_file_of_another_shape_is_an_empty_one(tmp_path: Path, text: str) -> None:
    """The same where it is JSON, but not ours."""
    path = tmp_path / "clusters.json"
    path.write_text(text)
    assert store.load(path) == []
