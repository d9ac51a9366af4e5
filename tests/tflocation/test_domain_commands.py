"""domain.* over real sessions: a claim is proven by a real name server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.location import MemoryLocation
from tests.support.product import free_port
from tests.support.waiting import wait_for
from tests.support.web_parts import LIMIT, listens, running
from tfd.protocol.errors import CommandError
from tflocation.values import Address
from tflocation.web.settings import WebSettings

pytestmark = pytest.mark.root


class NameServer:
    """A dnsmasq on loopback with TXT records."""

    def __init__(self) -> None:
        self.port = free_port()
        self._running = ExitStack()

    def show(self, *records: tuple[str, str]) -> None:
        """Have these records, and no others."""
        self._running.close()
        shown = [f"--txt-record={name},{text}" for name, text in records]
        options = ["-k", "-C", "/dev/null", "-p", str(self.port), "--listen-address=127.0.0.1", "--user=root"]
        self._running.enter_context(
            running("dnsmasq", *options, "--bind-interfaces", "--no-resolv", "--local=/example/", *shown)
        )
        wait_for(lambda: listens("127.0.0.1", self.port), LIMIT, "the name server")

    def close(self) -> None:
        """End it."""
        self._running.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server."""
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def location(tmp_path: Path, names: NameServer) -> Iterator[MemoryLocation]:
    """A location that asks it."""
    web = WebSettings(
        Address("127.0.0.1", free_port()),
        None,
        domains=("given.example",),
        resolver=Address("127.0.0.1", names.port),
    )
    with MemoryLocation(tmp_path / "location", web=web) as serving:
        yield serving


@pytest.fixture
def member(location: MemoryLocation) -> Iterator[Callable[[str], Client]]:
    """A function that gives a client which has joined as an account of that name."""
    with ExitStack() as stack:

        def join(name: str) -> Client:
            client = location.member(name)
            stack.callback(client.close)
            return client

        yield join


def refusal(client: Client, name: str, **parameters: Any) -> str:
    """Give the code of the error that a call is answered with."""
    with pytest.raises(CommandError) as caught:
        client.call(name, **parameters)
    return caught.value.code


def listed(client: Client) -> list[str]:
    """Give the names that the account may publish under."""
    return [domain["name"] for domain in client.call("domain.list")["domains"]]


def test_a_domain_is_claimed_by_its_record(member: Callable[[str], Client], names: NameServer) -> None:
    """One TXT record, which is the token, makes it the account's; then it is shared, and given up."""
    alice, bob = member("alice"), member("bob")
    domain = "a.example"
    assert refusal(alice, "domain.claim", domain=domain) == "not-found"
    token = alice.call("domain.prepare", domain=domain)["token"]
    record = f"tf-token.{domain}"

    names.show()
    assert refusal(alice, "domain.claim", domain=domain) == "denied"
    names.show((record, "another"))
    assert refusal(alice, "domain.claim", domain=domain) == "denied"
    names.show((record, token), (record, "another"))
    assert refusal(alice, "domain.claim", domain=domain) == "denied"
    names.show((record, token))
    assert refusal(bob, "domain.claim", domain=domain) == "not-found"
    alice.call("domain.claim", domain=domain)
    alice.call("domain.claim", domain=domain)

    assert (listed(alice), listed(bob)) == ([domain, "given.example"], ["given.example"])
    assert refusal(bob, "domain.prepare", domain=domain) == "exists"
    assert refusal(bob, "domain.share", domain=domain, shared=True) == "not-found"
    assert refusal(bob, "domain.release", domain=domain) == "not-found"
    alice.call("domain.share", domain=domain, shared=True)
    assert listed(bob) == [domain, "given.example"]
    alice.call("domain.release", domain=domain)
    assert listed(alice) == listed(bob) == ["given.example"]


@pytest.mark.slow
def test_a_name_server_that_does_not_answer_is_told(member: Callable[[str], Client]) -> None:
    """The domain is not claimed, and the account may try again."""
    alice = member("alice")
    alice.call("domain.prepare", domain="a.example")
    assert refusal(alice, "domain.claim", domain="a.example") in ("time-out", "unavailable")


@pytest.mark.parametrize("domain", ["given.example", "x" * 64, "a..b", "1.2.3.4", "*.a.example", "a b", ""])
def test_what_cannot_be_claimed_is_refused_at_once(member: Callable[[str], Client], domain: str) -> None:
    """The administrator's domains, and what is no domain."""
    alice = member("alice")
    assert refusal(alice, "domain.prepare", domain=domain) in ("exists", "bad-parameter")
