"""The declared containers' output, from their locations into the journal, under each container's own name.

Each container is asked for what follows the last piece, and is asked again when that is written on: a journal
that is behind holds up these questions, and nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final

from tfd.config.model import Config
from tfd.lines import Allowance, Lines
from tfd.locations.location import Location
from tfd.log import Log
from tfd.protocol import logged
from tfd.protocol.dataclass import dataclass
from tfd.protocol.drivers.link import Answer, Failure
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.errors import Code
from tfd.protocol.route import Route
from tfd.supervision.declared import declared
from tfd.world import ContainerState, ContainerView

WAIT: Final = 20.0
"""Seconds that a location waits for output before it says that there is none."""

ANSWER_LIMIT: Final = 60.0

PAUSE: Final = 2.0
"""Seconds until the next question after one that failed, or that the journal is too slow for."""

REST: Final = 5.0
"""Seconds between two questions about a container that does not run."""

TOLD_INTERVAL: Final = 10.0
"""Seconds between two lines about lines that were left out."""

TAIL: Final = 1024
"""Bytes by which a location that was restarted finds out what we have."""

_READER: Final = "journal"
_ALL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Source:
    """One container of a location: its declared name, and the location's view of it."""

    name: str
    location: str
    view: ContainerView

    @property
    def route(self) -> Route:
        return Route(self.location, self.view.id)


class Outputs:
    """Follows the output of what runs of the configuration.

    Args:
        loop: the loop that calls back.
        log: takes the lines; one that keeps no containers' output is left alone.

    """

    def __init__(self, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._names: dict[str, str] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._followers: dict[Route, _Follower] = {}

    def configure(self, config: Config) -> None:
        """Know whose output is wanted from now on."""
        self._names = {each.wire_name: name for name, each in declared(config).items() if each.container.log}

    def creating(self, location: str, wire_name: str, key: str) -> None:
        """Know that a container is being asked for, which may be seen before the answer: it is new."""
        self._asked[location, wire_name] = key

    def follow(self, locations: Mapping[str, Location]) -> None:
        """Follow the containers that are there now, and no others."""
        if not self._log.takes_output:
            return
        sources = {
            source.route: (source, location)
            for location in locations.values()
            for source in self._sources(location)
        }
        for route in self._followers.keys() - sources.keys():
            self._followers.pop(route).close()
        for route, (source, location) in sources.items():
            if route not in self._followers:
                new = self._is_new(source)
                self._followers[route] = _Follower(self._loop, self._log, location, source, new=new)

    def close(self) -> None:
        """Ask for nothing any more."""
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()

    def _sources(self, location: Location) -> list[_Source]:
        return [
            _Source(self._names[view.name], location.name, view)
            for view in location.view.containers.values()
            if view.name in self._names
        ]

    def _is_new(self, source: _Source) -> bool:
        view, asked = source.view, (source.location, source.view.name)
        if self._asked.get(asked) == view.key:
            del self._asked[asked]
            return True
        return view.state is ContainerState.CREATED


class _Follower:
    """Asks for one container's output, again and again."""

    def __init__(self, loop: Loop, log: Log, location: Location, source: _Source, *, new: bool) -> None:
        self._loop = loop
        self._log = log
        self._location = location
        self._source = source
        self._lines = Lines()
        self._allowance = Allowance()
        self._after: bytes | None = None
        self._tail = b""
        self._kept = _ALL if new else 0
        self._told = float("-inf")
        self._missed = 0
        self._closed = False
        self._timer: Timer = loop.call_later(0, self._ask)

    def close(self) -> None:
        self._closed = True
        self._timer.cancel()
        self._write(self._lines.end())

    def _ask(self) -> None:
        if self._log.behind:
            self._timer = self._loop.call_later(PAUSE, self._ask)
            return
        question: dict[str, Any] = {
            "id": self._source.view.id,
            "reader": _READER,
            "lines": self._kept,
            "wait": WAIT,
        }
        if self._after is not None:
            question["after"] = self._after
            if self._tail:
                question["tail"] = self._tail
        self._location.link.request("container.output", question, ANSWER_LIMIT, self._answered, waits=True)

    def _answered(self, answer: Answer) -> None:
        if self._closed:
            return
        if isinstance(answer, Failure):
            if answer.code == Code.UNKNOWN_COMMAND:
                self._too_old()
                return
            self._timer = self._loop.call_later(PAUSE, self._ask)
            return
        output, after, over = answer.get("output"), answer.get("after"), answer.get("over") is True
        if not isinstance(output, bytes) or not isinstance(after, bytes | None):
            self._timer = self._loop.call_later(PAUSE, self._ask)
            return
        missed = answer.get("missed")
        self._missed += missed if isinstance(missed, int) else 0
        self._after = after or self._after
        self._tail = (self._tail + output)[-TAIL:]
        self._write(self._lines.feed(output))
        if over:
            self._write(self._lines.end())
        self._tell_dropped()
        self._timer = self._loop.call_later(REST if over and not output else 0, self._ask)

    def _write(self, lines: list[str]) -> None:
        source = self._source
        fields = {"container": source.name, "location": source.location, "node": source.view.node}
        for line in lines:
            if self._allowance.take(self._loop.now):
                self._log.output(source.name, line, fields)

    def _tell_dropped(self) -> None:
        now = self._loop.now
        refused, missed = self._allowance.refused, self._missed
        if not (refused or missed) or now - self._told < TOLD_INTERVAL:
            return
        self._told = now
        self._allowance.refused = self._missed = 0
        name = self._source.name
        lost = [f"{refused} lines of its output"] * bool(refused) + [f"{missed} bytes of it"] * bool(missed)
        self._log.event(
            logged.OUTPUT_DROPPED,
            f"container {name} writes too fast for the journal: {' and '.join(lost)} were left out",
            container=name,
            location=self._source.location,
            lines=refused,
            bytes=missed,
        )

    def _too_old(self) -> None:
        name = self._location.name
        text = f"location {name} is too old to tell what containers write: update its tflocation"
        self._log.limited("no output", "warning", text, interval=3600.0, location=name)
