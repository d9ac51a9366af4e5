"""`tfd logs`: the output that a container's location keeps: the question to the daemon, and its answer.

It works with and without a journal. A location keeps some 256 KiB of each container.
"""

from __future__ import annotations

import sys
import time
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Final

from tfd.status import StatusError, ask
from tfd.world import ReplicaState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tfd.locations.location import Location
    from tfd.protocol.drivers.link import Answer
    from tfd.world import Report

WAIT: Final = 2.0
"""Seconds that one question waits for output; the status socket gives five for everything."""

ANSWER_LIMIT: Final = 4.5

AWAY_LIMIT: Final = 30.0
"""Seconds for which `tfd logs -f` waits for a daemon that is just being restarted."""

_PAUSE: Final = 0.5
_ALL: Final = 1 << 20
_WORDS: Final = 3


def answer(
    words: Sequence[str],
    reports: Iterable[Report],
    locations: Mapping[str, Location],
    reply: Callable[[str], None],
) -> None:
    """Answer `NAME LINES` with the last output, and `NAME LINES PLACE` with what follows a place.

    The place is `-` for the first question of a follower. `reply` is called once, at the latest after
    ANSWER_LIMIT.
    """
    try:
        name, lines, place = [*words, ""] if len(words) < _WORDS else words
        params: dict[str, Any] = {"lines": int(lines)}
        if place not in ("", "-"):
            params["after"] = bytes.fromhex(place)
    except ValueError:
        reply(dumps({"error": "logs wants NAME LINES [PLACE]"}))
        return
    known = {report.name: report for report in reports if report.state is not ReplicaState.DRAINING}
    report = known.get(name)
    if report is None:
        names = ", ".join(sorted(known)) or "none"
        reply(dumps({"error": f"no container {name} is declared; declared: {names}"}))
        return
    location = locations.get(report.location)
    if location is None or not report.id:
        reply(dumps({"error": f"container {name} is nowhere yet: {report.reason or report.state}"}))
        return
    params["id"] = report.id
    command = "container.log"
    if place:
        command = "container.output"
        params["wait"] = WAIT
    else:
        params["lines"] = max(1, params["lines"])
    location.link.request(
        command, params, ANSWER_LIMIT, lambda told: reply(dumps(_document(name, told))), waits=bool(place)
    )


def _document(name: str, told: Answer) -> dict[str, Any]:
    if not isinstance(told, dict):
        return {"error": f"container {name}: its location does not tell ({told.code}): {told.message}"}
    output: bytes = told.get("output") or told.get("log") or b""
    after = told.get("after")
    return {
        # JSON has no bytes: what is no UTF-8 travels as lone surrogates, and comes out as it was.
        "output": output.decode(errors="surrogateescape"),
        "after": after.hex() if after else "-",
        "over": told.get("over", True),
    }


def show(name: str, lines: int | None, *, follow: bool) -> int:
    """Print a declared container's output; give the exit code."""
    wanted = _ALL if lines is None else lines
    try:
        if follow:
            _follow(name, wanted)
        else:
            told = _asked(f"logs {name} {wanted}")
            if wanted:
                _print(told)
    except StatusError as error:
        print(f"tfd: {error}", file=sys.stderr)
        return 1
    return 0


def _follow(name: str, lines: int) -> None:
    """Print what there is and what follows, until the process is interrupted or the container is gone."""
    place, answered = "-", None
    while True:
        try:
            told = _asked(f"logs {name} {lines} {place}")
        except StatusError:
            if answered is None or time.monotonic() - answered > AWAY_LIMIT:
                raise
            time.sleep(_PAUSE)
            continue
        answered = time.monotonic()
        _print(told)
        place = told["after"] if told["after"] != "-" else place
        if told["over"] and not told["output"]:
            time.sleep(_PAUSE)


def _print(told: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(told["output"].encode(errors="surrogateescape"))
    sys.stdout.buffer.flush()


def _asked(question: str) -> dict[str, Any]:
    told: dict[str, Any] = loads(ask(question))
    if "error" in told:
        raise StatusError(told["error"])
    return told
