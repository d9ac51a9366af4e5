"""container.output: a reader that comes again and again misses nothing, and gets nothing twice."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.location import DIGEST, MemoryLocation
from tests.support.waiting import wait_for
from tfd.protocol.errors import Code, CommandError
from tflocation.consoles import HISTORY
from tflocation.engines.interface import State

LIMIT = 10.0
ALL = 1 << 20


class Site:
    """An account with one declared container; `say` is what its process writes."""

    def __init__(self, location: MemoryLocation, client: Client) -> None:
        self.location = location
        self.client = client
        answer = client.call("container.create", name="prod/web/0", key="1", image=DIGEST, config={})
        self.id: str = answer["container"]["id"]
        self.record = f"output of {self.id}\n".encode()
        """What the engine's record has from before."""

    def read(self, wait: float = LIMIT, **parameters: Any) -> dict[str, Any]:
        """Ask once."""
        return self.client.call("container.output", id=self.id, wait=wait, **parameters)

    def read_all(self, after: bytes | None, size: int, **parameters: Any) -> tuple[bytes, bytes]:
        """Ask until there were so many bytes; give them and the place after them."""
        place: dict[str, Any] = {} if after is None else {"after": after}
        output = b""
        while len(output) < size:
            answer = self.read(**place, **parameters)
            output += answer["output"]
            place = {"after": answer["after"]}
        return output, place["after"]

    def say(self, data: bytes | None) -> None:
        """Write to the terminal, or end the stream."""
        self.location.call(self.location.engine.consoles[self.id].show, data)


@pytest.fixture
def site(location: MemoryLocation) -> Iterator[Site]:
    """Give an account with a container."""
    with location.member("anna") as client:
        yield Site(location, client)


def test_what_was_written_before_comes_first(site: Site) -> None:
    """The engine's record, then what follows, each once."""
    first = site.read(lines=ALL)
    site.say(b"more\n")
    second = site.read(after=first["after"])

    assert (first["output"], first["missed"], first["over"]) == (site.record, 0, False)
    assert second["output"] == b"more\n"


def test_without_output_the_answer_comes_in_time(site: Site) -> None:
    """It is empty, and its place is where it was."""
    first = site.read(lines=ALL)
    second = site.read(0.1, after=first["after"])

    assert second == first | {"output": b""}


def test_a_reader_with_a_name_goes_on_where_it_was(site: Site) -> None:
    """What it asked to follow it has: a program that was restarted gets the rest, and another all."""
    first = site.read(lines=ALL, reader="journal")
    site.say(b"one\n")
    site.read_all(first["after"], 4, reader="journal")
    again, place = site.read_all(None, 4, reader="journal")
    site.say(b"two\n")
    site.read(after=place, reader="journal")

    assert again == b"one\n"
    assert site.read(reader="journal")["output"] == b"two\n"
    assert site.read(lines=ALL)["output"] == site.record + b"one\ntwo\n"


def test_a_question_that_waits_confirms_what_came_before(site: Site) -> None:
    """A reader that ends while it waits for more does not get its last piece again."""
    first = site.read(lines=ALL, reader="journal")
    site.client.ask("container.output", id=site.id, wait=LIMIT, after=first["after"], reader="journal")

    assert site.read(0.1, reader="journal")["output"] == b""


def test_a_stranger_to_the_output_begins_now(site: Site) -> None:
    """Without a place and without lines nothing old is told; with lines so many."""
    site.read(lines=ALL)
    site.say(b"one\ntwo\nthree")
    wait_for(lambda: site.read(0.1, lines=ALL)["output"].endswith(b"three"), LIMIT, "the output")

    assert site.read(0.1)["output"] == b""
    assert site.read(lines=2)["output"] == b"two\nthree"


def test_a_location_that_was_restarted_goes_on_after_the_tail(site: Site) -> None:
    """A place of another record means nothing; the last that was read tells where it goes on."""
    tail, rest = site.record[:8], site.record[8:]

    assert site.read(after=bytes(16), tail=tail, reader="journal")["output"] == rest


def test_a_reader_that_is_too_slow_is_told_what_it_missed(site: Site) -> None:
    """The location keeps the last output alone."""
    first = site.read(lines=ALL)
    for _ in range(5):
        site.say(b"x" * (HISTORY // 4))
    wait_for(lambda: site.read(0.1, after=first["after"])["missed"] > 0, LIMIT, "the history to be full")
    output, _ = site.read_all(first["after"], HISTORY)

    assert site.read(0.1, after=first["after"])["missed"] == HISTORY // 4
    assert output == b"x" * HISTORY


def test_the_end_of_the_process_is_told_and_its_next_start_is_whole(site: Site) -> None:
    """What a process that is started again writes begins with its start, for those who read before."""
    first = site.read(lines=ALL, reader="journal")
    site.location.call(site.location.engine.change, site.id, State.STOPPED)
    site.say(b"dying\n")
    site.say(None)
    last = site.read(after=first["after"], reader="journal")
    while not last["over"]:
        last = site.read(after=last["after"], reader="journal")
    site.client.call("container.start", id=site.id)

    def told() -> bytes:
        answer = site.read(1.0, after=last["after"], reader="journal")
        return b"" if answer["over"] else bytes(answer["output"])

    assert wait_for(told, LIMIT, "the output of the second run") == site.record


def test_anothers_container_is_not_there(site: Site) -> None:
    """As for every command."""
    with site.location.member("bert") as other, pytest.raises(CommandError) as refused:
        other.call("container.output", id=site.id, wait=0.0)

    assert refused.value.code == Code.NOT_FOUND
