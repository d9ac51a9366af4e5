"""Names that containers serve on the web: published by the SDK, asked for by real clients."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support import web_server
from tests.support.authority import Authority
from tests.support.user import User
from tests.support.waiting import wait_for
from tests.support.web_parts import Load, ask, curl, running, told
from tests.tfnz.conftest import LEASE, WebPorts
from tfnz.container import Container
from tfnz.endpoint import Cluster, WebEndpoint
from tfnz.location import Location

pytestmark = [pytest.mark.engine, pytest.mark.root]

NAME = "www.test"
LIMIT = 30.0
SERVER = Path(web_server.__file__).read_bytes()


def serve(session: Location, name: str) -> Container:
    """Start a container that runs tests/support/web_server.py."""
    container = session.node().spawn_container(
        "peer",
        env=[("NAME", name)],
        pre_boot_files=[("/web_server.py", SERVER)],
        command=["/usr/bin/python3.11", "/web_server.py"],
    )
    container.wait_tcp(80)
    return container


@pytest.fixture(scope="module")
def one(module_session: Location) -> Container:
    """A web server that says it is "one"."""
    return serve(module_session, "one")


@pytest.fixture(scope="module")
def two(module_session: Location) -> Container:
    """A web server that says it is "two"."""
    return serve(module_session, "two")


@pytest.fixture
def endpoint(module_session: Location) -> Iterator[WebEndpoint]:
    """The domain test, with nothing published afterwards."""
    found = module_session.endpoint_for(NAME)
    yield found
    for cluster in list(found.clusters.values()):
        found.unpublish(cluster)


def servers(web_ports: WebPorts, name: str = NAME, asked: int = 8) -> set[str]:
    """Give the names of the containers that answer."""
    return {told(web_ports.at, name)["server"] for _ in range(asked)}


def is_published(cluster: Cluster) -> bool:
    """Whether it says so."""
    return cluster.uuid is not None


@pytest.mark.covers(
    *("tfnz.endpoint.Cluster", "tfnz.endpoint.WebEndpoint", "Location.endpoints", "Location.endpoint_for"),
    *("Cluster.uuid", "Cluster.containers", "Cluster.uuids", "Cluster.conn"),
    *("WebEndpoint.domain", "WebEndpoint.clusters", "WebEndpoint.conn", "WebEndpoint.publish"),
    "WebEndpoint.unpublish",
)
def test_a_cluster_serves_a_name_until_it_is_taken_down(
    module_session: Location, endpoint: WebEndpoint, one: Container, two: Container, web_ports: WebPorts
) -> None:
    """All its containers answer; unpublished it is gone, and may be published again."""
    assert endpoint.domain == "test"
    assert endpoint is module_session.endpoints["test"]
    with pytest.raises(ValueError, match="no domain of this account"):
        module_session.endpoint_for("www.example")
    cluster = Cluster(containers=[one, two])
    assert (cluster.uuid, cluster.conn) == (None, None)
    assert set(cluster.uuids()) == set(cluster.containers) == {one.uuid, two.uuid}
    endpoint.unpublish(cluster)

    uuid = endpoint.publish(cluster, NAME.upper())
    assert endpoint.clusters == {uuid: cluster}
    assert cluster.uuid == uuid
    assert cluster.conn is not None
    assert cluster.conn() is endpoint.conn() is module_session.connection
    assert servers(web_ports) == {"one", "two"}

    endpoint.unpublish(cluster)
    endpoint.unpublish(cluster)
    assert not is_published(cluster)
    assert endpoint.clusters == {}
    assert ask(web_ports.at, NAME)[0] == 404
    with cluster:
        endpoint.publish(cluster, "other.test")
        assert servers(web_ports, "other.test") == {"one", "two"}
    assert ask(web_ports.at, "other.test")[0] == 404


@pytest.mark.covers("Cluster.add_container", "Cluster.remove_container")
def test_a_published_cluster_changes_without_a_lost_request(
    endpoint: WebEndpoint, one: Container, two: Container, web_ports: WebPorts
) -> None:
    """Containers come and go twenty times under load."""
    cluster = Cluster([one])
    endpoint.publish(cluster, NAME)
    with Load(web_ports.at, NAME) as load:
        for number in range(10):
            coming, going = (two, one) if number % 2 == 0 else (one, two)
            cluster.add_container(coming)
            cluster.add_container(coming)
            cluster.remove_container(going)
            cluster.remove_container(going)
            assert servers(web_ports, asked=2) == {"two" if coming is two else "one"}
    assert load.failures == []
    assert load.answers


@pytest.mark.covers("Cluster.rewrite")
def test_publishing_again_changes(
    endpoint: WebEndpoint, one: Container, two: Container, web_ports: WebPorts
) -> None:
    """The Host header that containers get, the name, and which cluster of the session has a name."""
    blue, green = Cluster(containers=[one], rewrite="inner.local"), Cluster(containers=[two])
    uuid = endpoint.publish(blue, NAME)
    assert told(web_ports.at, NAME)["headers"]["host"] == "inner.local"
    blue.rewrite = None
    assert endpoint.publish(blue, "moved.test") == uuid
    assert ask(web_ports.at, NAME)[0] == 404
    assert told(web_ports.at, "moved.test")["headers"]["host"] == "moved.test"
    endpoint.publish(green, "moved.test")
    endpoint.unpublish(blue)
    assert servers(web_ports, "moved.test") == {"two"}


def test_what_cannot_be_published_is_a_value_error(
    endpoint: WebEndpoint, one: Container, tmp_path: Path
) -> None:
    """Names elsewhere, rewrites and certificates that are none; nothing is published."""
    certificate, _ = Authority().files(tmp_path, NAME)
    _, other = Authority().files(tmp_path, "other.test")
    cluster = Cluster(containers=[one])
    for name in ("www.example", "xtest", "a b.test", "", "-.test"):
        with pytest.raises(ValueError, match=r"not under|allowed"):
            endpoint.publish(cluster, name)
    with pytest.raises(ValueError, match="rewrite"):
        endpoint.publish(Cluster(containers=[one], rewrite="a b"), NAME)
    with pytest.raises(ValueError, match="names of PEM files"):
        endpoint.publish(cluster, NAME, ssl=(certificate,))
    with pytest.raises(ValueError, match="the private key is not that of the certificate"):
        endpoint.publish(cluster, NAME, ssl=(certificate, other))
    with pytest.raises(FileNotFoundError):
        endpoint.publish(cluster, NAME, ssl=(certificate, tmp_path / "none"))
    assert (cluster.uuid, endpoint.clusters) == (None, {})


def test_a_name_is_one_sessions(
    at_home: Path,  # noqa: ARG001 - where the keys are
    endpoint: WebEndpoint,
    one: Container,
    web_ports: WebPorts,
) -> None:
    """Another session is refused while it is published, and gets it when the first has ended."""
    with Location(quiet=True) as first:
        held = serve(first, "first")
        first.endpoint_for(NAME).publish(Cluster(containers=[held]), NAME)
        assert servers(web_ports) == {"first"}
        with pytest.raises(ValueError, match="published by another session"):
            endpoint.publish(Cluster(containers=[one]), NAME)
    assert ask(web_ports.at, NAME)[0] == 404
    endpoint.publish(Cluster(containers=[one]), NAME)
    assert servers(web_ports) == {"one"}


def test_a_container_that_ended_leaves_its_clusters(
    module_session: Location, endpoint: WebEndpoint, one: Container, web_ports: WebPorts
) -> None:
    """It gets no requests any more, and the cluster can still be changed."""
    third = serve(module_session, "third")
    cluster = Cluster(containers=[one, third])
    endpoint.publish(cluster, NAME)
    assert servers(web_ports) == {"one", "third"}
    module_session.node().destroy_container(third)
    wait_for(lambda: servers(web_ports) == {"one"}, LIMIT, "the container to leave")
    endpoint.publish(cluster, NAME)
    assert list(cluster.uuids()) == [one.uuid]


@pytest.mark.covers("WebEndpoint.wait_http_200")
def test_waiting_for_a_name(
    module_session: Location,
    one: Container,
    web_ports: WebPorts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers over HTTP and over TLS, whose certificate is checked."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    certificate, key = authority.files(tmp_path, "localhost")
    endpoint = module_session.endpoint_for("localhost")
    with Cluster(containers=[one]) as cluster:
        endpoint.publish(cluster, "localhost")
        WebEndpoint.wait_http_200(f"localhost:{web_ports.http}")
        endpoint.publish(cluster, "localhost", ssl=(str(certificate), str(key)))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        WebEndpoint.wait_http_200(f"localhost:{web_ports.https}", ssl=True)
        WebEndpoint.wait_http_200(f"localhost:{web_ports.http}")


def test_a_browser_speaks_http2_and_a_websocket_to_a_container(
    endpoint: WebEndpoint, one: Container, web_ports: WebPorts, tmp_path: Path
) -> None:
    """A page over TLS whose script opens a WebSocket; curl proves the protocol."""
    certificate, key = Authority().files(tmp_path, NAME)
    endpoint.publish(Cluster(containers=[one]), NAME, ssl=(certificate, key))
    url = f"https://{NAME}:{web_ports.https}/"
    at = f"{NAME}:{web_ports.https}:127.0.0.1"
    done = curl(
        "--http2", "-k", "--resolve", at, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url
    )
    assert done.stdout == "2 200", done
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    pin = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    browser = (
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={b64encode(pin).decode()}",
        *("--remote-debugging-port=0", url),
    )

    def heard() -> bool:
        return "answered over h2" in curl("-k", "--resolve", at, f"{url}told").stdout

    with running(*browser):
        wait_for(heard, 2 * LIMIT, "the browser's WebSocket")


def test_a_killed_programs_names_are_free_after_its_lease(
    at_home: Path,  # noqa: ARG001 - where the keys are
    endpoint: WebEndpoint,
    one: Container,
    user: User,
    web_ports: WebPorts,
) -> None:
    """Nobody has to do anything for it."""
    program = (
        "import sys, time; from tfnz.location import Location; from tfnz.endpoint import Cluster\n"
        "location = Location(quiet=True)\n"
        "container = location.node().spawn_container('web').wait_until_ready()\n"
        f"location.endpoint_for({NAME!r}).publish(Cluster(containers=[container]), {NAME!r})\n"
        "print('published', flush=True); time.sleep(600)\n"
    )
    with user.start_python(program) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "published\n"
        publisher.kill()
    wait_for(lambda: ask(web_ports.at, NAME, "/")[0] == 404, LEASE + LIMIT, "the name to be free")
    endpoint.publish(Cluster(containers=[one]), NAME)
    assert servers(web_ports) == {"one"}
