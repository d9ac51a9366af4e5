"""Certificates from an ACME server: a real one (pebble), asked by lego, its proofs coming in over HAProxy."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.acme_server import Ports, acme_server
from tests.support.authority import Authority
from tests.support.memory_engine import MemoryEngine
from tests.support.product import free_port
from tests.support.waiting import wait_for
from tests.support.web_parts import HOST, LIMIT, ask, listens
from tflocation.inventory import Inventory
from tflocation.values import Address
from tflocation.web.clusters import Cluster
from tflocation.web.gateway import Gateway
from tflocation.web.settings import WebSettings

pytestmark = pytest.mark.root

NAME = "www.a.test"
LIFE = 15
"""Seconds that pebble's certificates are valid: longer than a restart takes, which shows what was fetched."""


@dataclass
class Parts:
    """An ACME server, and what it wants to find."""

    url: str
    ca: Path
    http: int
    https: int


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """A pebble that resolves every name under .test to this machine."""
    directory = tmp_path_factory.mktemp("pebble")
    ports = Ports(*(free_port() for _ in range(5)))
    with acme_server(directory, ports, HOST, LIFE, lambda port: listens("127.0.0.1", port)) as root:
        yield Parts(f"https://localhost:{ports.acme}/dir", root, ports.http, ports.https)


@asynccontextmanager
async def gateway(parts: Parts, directory: Path, **changes: object) -> AsyncIterator[Gateway]:
    """Run a gateway that asks pebble."""
    values: dict[str, object] = {
        "http": Address(HOST, parts.http),
        "https": Address(HOST, parts.https),
        "acme_directory": parts.url,
        "acme_email": "admin@a.test",
        "acme_ca": parts.ca,
    }
    settings = WebSettings(**values | changes)  # type: ignore[arg-type]  # the fields are the test's
    found = Gateway(settings, MemoryEngine(), Inventory(), directory / "state", directory / "run")
    found.start()
    try:
        yield found
    finally:
        await found.close()


def shown(port: int) -> str:
    """Give the certificate shown for NAME; "" where there is none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((HOST, port), LIMIT) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as secure,
        ):
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(True) or b"")
    except (OSError, ssl.SSLError):
        return ""


async def until_shown(port: int, other: str = "") -> str:
    """Wait for a certificate, another one than `other`."""

    def look() -> str:
        found = shown(port)
        return "" if found == other else found

    return await asyncio.to_thread(wait_for, look, 30, "a certificate")


PUBLISHED = Cluster("alice", "k", "s", NAME, ())


@pytest.mark.slow
async def test_a_name_gets_a_certificate_and_keeps_it_fresh(parts: Parts, tmp_path: Path) -> None:
    """Nobody does anything for it: it is proven, fetched, shown, and renewed before it ends.

    Then port 80 redirects. Private keys are their owner's alone. After a restart the kept one is shown.
    """
    async with gateway(parts, tmp_path) as serving:
        await serving.publish(PUBLISHED)
        assert (await asyncio.to_thread(ask, (HOST, parts.http), NAME))[0] == 503
        first = await until_shown(parts.https)
        assert (await asyncio.to_thread(ask, (HOST, parts.http), NAME))[0] == 307
        second = await until_shown(parts.https, first)
        for path in (tmp_path / "state").rglob("*"):
            assert not path.is_file() or path.stat().st_mode & 0o77 == 0, path
    async with gateway(parts, tmp_path, acme_directory="http://127.0.0.1:9/none"):
        assert await until_shown(parts.https) == second


async def test_no_certificate_is_fetched_for_who_brings_one(parts: Parts, tmp_path: Path) -> None:
    """Nor for a name that is not published any more."""
    certificate, key = Authority().issue(NAME)
    async with gateway(parts, tmp_path) as serving:
        await serving.publish(Cluster("alice", "k", "s", NAME, (), certificate=key + certificate))
        assert await until_shown(parts.https) == certificate.decode()
        await serving.remove("alice", "k")
        assert not list((tmp_path / "state" / "acme").rglob("*.key"))


async def test_a_server_that_refuses_is_told_of_in_the_log(
    parts: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The name is served without TLS meanwhile."""
    async with gateway(parts, tmp_path, acme_directory=parts.url + "/wrong") as serving:
        await serving.publish(PUBLISHED)
        text = "no certificate could be fetched"
        await asyncio.to_thread(wait_for, lambda: text in caplog.text, 30, "the line")
        assert (await asyncio.to_thread(ask, (HOST, parts.http), NAME))[0] == 503
