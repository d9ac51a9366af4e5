"""A location as the daemon sees it: link, view, tickets and uploads, against the real session machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Any, BinaryIO

import pytest
import zmq

from tests.support.forwarder import Forwarder
from tests.support.location_peer import LocationPeer
from tests.support.loops import Lines, run_until, running_loop
from tests.support.waiting import wait_for
from tfd import document
from tfd.locations.location import Location
from tfd.log import Log
from tfd.protocol.address import Address
from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.relaying.tickets import Ticket, TicketFailure
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.drivers.upload import Upload
from tfd.protocol.errors import CommandError
from tfd.protocol.keys import generate, z85_encode
from tfd.protocol.messages import VERSION
from tfd.world import Verdict


@dataclass
class Site:
    """A location under test, with what it stands on."""

    loop: Loop
    log: Log
    lines: Lines
    location: Location

    def until(self, condition: Any, what: str, limit: float = 10.0) -> None:
        """Run until the condition holds."""
        run_until(self.loop, condition, limit, what)


@contextmanager
def site(peer: LocationPeer, *addresses: Address) -> Iterator[Site]:
    """Give a location whose account the peer knows."""
    pair = generate()
    peer.accounts[z85_encode(pair.public)] = "box"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with running_loop() as (loop, log, lines):

        def make_link(owner: Location) -> Link:
            return Link(
                loop,
                context,
                log,
                name="peer",
                keys=Keys(peer.pair.public, pair.public, pair.secret),
                addresses=addresses or (Address(host="127.0.0.1", port=peer.port),),
                ciphers=("chacha20poly1305",),
                program="test",
                heartbeat=1.0,
                owner=owner,
            )

        location = Location(loop, log, "peer", make_link, lambda: None, lambda: None)
        try:
            yield Site(loop, log, lines, location)
        finally:
            location.close()
            context.destroy(0)


@pytest.fixture
def peer() -> Iterator[LocationPeer]:
    """Give a running location."""
    with LocationPeer() as made:
        yield made


def create(place: Site) -> str:
    """Create a container and give its id."""
    answers: list[Answer] = []
    place.location.link.request(
        "container.create",
        {"name": "prod/web/0", "key": "k", "image": "nginx", "config": {}},
        5,
        answers.append,
    )
    place.until(lambda: answers, "the container")
    assert isinstance(answers[0], dict)
    place.location.put_container(answers[0]["container"])
    number: str = answers[0]["container"]["id"]
    return number


def _was_asked(peer: LocationPeer, times: int) -> bool:
    return len(peer.called("node.list")) > times


def test_an_answer_never_comes_within_its_request(peer: LocationPeer) -> None:
    """Whoever asks has its request's number before anything that follows from it is told."""
    with site(peer) as place:
        place.until(lambda: place.location.link.connected, "the session")
        asking: list[int] = []
        answered: list[bool] = []
        for number in range(50):
            asking.append(number)
            place.location.link.request("node.list", {}, 10, lambda _: answered.append(bool(asking)))
            asking.clear()
            wait_for(partial(_was_asked, peer, number), 30, "the request")
        place.until(lambda: len(answered) == 50, "all answers")

        assert not any(answered)


def test_the_view_is_complete_once_everything_was_listed(peer: LocationPeer) -> None:
    """Nodes, containers, volumes and names of images, in the first session."""
    peer.images["nginx:latest"] = "sha256:1"
    peer.volumes["prod/data"] = {"name": "prod/data", "node": "n1", "size": None, "used": 0}
    with site(peer) as place:
        place.until(lambda: place.location.view.listed, "the lists")
        view = place.location.view

        assert view.connected
        assert view.session == 1
        assert list(view.nodes) == ["n1"]
        assert list(view.volumes) == ["prod/data"]
        assert view.image_names["nginx:latest"] == "sha256:1"


def test_events_keep_the_view_current(peer: LocationPeer) -> None:
    """A health verdict comes, and a container that is gone leaves with it."""
    with site(peer) as place:
        place.until(lambda: place.location.view.listed, "the lists")
        container = create(place)
        peer.event("container.health", {"id": container, "good": False, "reason": "no answer"})
        place.until(lambda: container in place.location.view.health, "the verdict")
        verdict = place.location.view.health[container]
        peer.event("container.gone", {"id": container})
        place.until(lambda: container not in place.location.view.containers, "the container to be gone")

        assert (verdict.verdict, verdict.reason) == (Verdict.BAD, "no answer")
        assert container not in place.location.view.health


def test_an_answer_that_is_not_understood_hides_no_container(peer: LocationPeer) -> None:
    """A list with an unknown state is not taken at all, and the log says so."""
    with site(peer) as place:
        place.until(lambda: place.location.view.listed, "the lists")
        container = create(place)
        peer.event("container.changed", {"container": peer.containers[container] | {"state": "levitating"}})
        place.until(lambda: any("not understood" in line for line in place.lines.lines), "a line in the log")

        assert place.location.view.containers[container].state == "running"


def test_the_next_address_is_tried(peer: LocationPeer) -> None:
    """One that refuses and one that does not resolve are left behind."""
    with Forwarder(("127.0.0.1", 1)) as nobody:
        addresses = (
            Address(host="127.0.0.1", port=nobody.port),
            Address(host="no-such-host.invalid", port=1),
            Address(host="127.0.0.1", port=peer.port),
        )
        with site(peer, *addresses) as place:
            place.until(lambda: place.location.view.connected, "the connection", 15)

            assert place.location.link.addresses[0].port == peer.port


def test_tickets_are_kept_ahead_and_refilled(peer: LocationPeer) -> None:
    """A take from the stock is answered at once, and a run on it makes it larger."""
    with site(peer) as place:
        place.until(lambda: place.location.view.listed, "the lists")
        container = create(place)
        stock = place.location.stock
        stock.prepare(container, 80)
        place.until(lambda: place.loop.now and peer.called("ticket.take"), "the first tickets")
        taken: list[Ticket | TicketFailure] = []
        for _ in range(40):
            stock.take(container, 80, taken.append)
        place.until(lambda: len(taken) == 40, "forty tickets")

        assert all(isinstance(ticket, Ticket) for ticket in taken)
        assert len({ticket.id for ticket in taken if isinstance(ticket, Ticket)}) == 40
        assert all(ticket.host == "127.0.0.1" for ticket in taken if isinstance(ticket, Ticket))


def test_a_ticket_that_cannot_be_had_fails_with_the_reason(peer: LocationPeer) -> None:
    """The location's own words reach the proxy."""
    peer.fail["ticket.take"] = CommandError("unavailable", "container c1 is stopped")
    with site(peer) as place:
        taken: list[Ticket | TicketFailure] = []
        place.location.stock.take("c1", 80, taken.append)
        place.until(lambda: taken, "the failure")

        assert isinstance(taken[0], TicketFailure)
        assert "container c1 is stopped" in taken[0].reason


def test_tickets_of_a_container_that_is_gone_are_dropped(peer: LocationPeer) -> None:
    """Who waits for one is told."""
    with site(peer) as place:
        taken: list[Ticket | TicketFailure] = []
        place.location.stock.take("c1", 80, taken.append)
        place.location.stock.forget(lambda _: False)

        assert isinstance(taken[0], TicketFailure)


def upload(place: Site, content: bytes, digest: str = "") -> list[Failure | None]:
    """Send a blob and give what `done` was told, once it was."""
    told: list[Failure | None] = []

    def source() -> BinaryIO:
        return BytesIO(content)

    digest = digest or "sha256:" + sha256(content).hexdigest()
    Upload(place.loop, place.location.link, digest, len(content), source, told.append)
    place.until(lambda: told, "the upload", 20)
    return told


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_a_blob_is_brought(peer: LocationPeer, size: int) -> None:
    """Whole and verified, whatever its size is to the chunks and the credit."""
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    with site(peer) as place:
        told = upload(place, content)
        (blob,) = peer.blobs.values()

        assert told == [None]
        assert blob.complete
        assert bytes(blob.data) == content


def test_a_blob_that_was_cut_goes_on_where_it_broke_off(peer: LocationPeer) -> None:
    """The second stream starts at the offset that the location has."""
    peer.cut_blob_at = 1_000_000
    content = b"abc" * 700_000
    with site(peer) as place:
        told = upload(place, content)
        (blob,) = peer.blobs.values()

        assert told == [None]
        assert bytes(blob.data) == content
        assert len(peer.called("blob.put")) == 2


def test_a_blob_with_another_digest_fails(peer: LocationPeer) -> None:
    """Once, with the location's code, and nothing is tried again."""
    with site(peer) as place:
        told = upload(place, b"content", "sha256:" + "0" * 64)

        assert isinstance(told[0], Failure)
        assert told[0].code == "digest"
        assert len(peer.called("blob.put")) == 1


def test_a_source_that_is_shorter_than_it_said(peer: LocationPeer) -> None:
    """A file that was cut meanwhile is a failure and no hang."""
    with site(peer) as place:
        told: list[Failure | None] = []
        digest = "sha256:" + sha256(b"x").hexdigest()
        Upload(place.loop, place.location.link, digest, 100_000, lambda: BytesIO(b"x"), told.append)
        place.until(lambda: told, "the failure")

        assert isinstance(told[0], Failure)
        assert "shorter" in told[0].message


def test_a_request_that_was_waiting_when_the_link_is_closed_fails(peer: LocationPeer) -> None:
    """Exactly once."""
    with site(peer) as place:
        answers: list[Answer] = []
        place.location.link.request("node.list", {}, 5, answers.append)
        place.location.link.close()

        assert len(answers) == 1
        assert isinstance(answers[0], Failure)


def test_a_location_that_speaks_another_version(peer: LocationPeer) -> None:
    """The status document tells that it refused, and why, as long as it does."""
    peer.versions = (VERSION + 1,)
    with site(peer) as place:

        def error() -> str:
            (told,) = document.locations([place.location], place.loop.now)
            assert not told["connected"]
            return str(told["error"])

        place.until(lambda: error().startswith("refused (version): "), "the reason")

        assert f"protocol version {VERSION + 1}" in error()
