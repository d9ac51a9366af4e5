"""What is behind each path: page, metrics, health, and the same as JSON."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from tfd.metrics.history import INTERVAL, History
from tfd.metrics.lag import BOUNDS, LagMeter
from tfd.metrics.recent import RecentEvents
from tfd.metrics.request import Request
from tfd.metrics.response import HTML, JSON, Response, line

_PAGE_POLICY: Final = "; connect-src 'self'; img-src data:; style-src 'nonce-{0}'; script-src 'nonce-{0}'"


class Site:
    """Answers requests with what the daemon says of itself; each part's code is loaded when it is asked for.

    Args:
        document: gives the status document (tfd.document).
        history: the last hour.
        lag: how late the loop was.
        events: the last events.

    """

    def __init__(
        self, document: Callable[[], dict[str, Any]], history: History, lag: LagMeter, events: RecentEvents
    ) -> None:
        self._document = document
        self._history = history
        self._lag = lag
        self._events = events
        self._paths: Mapping[str, Callable[[], Response]] = {
            "/": self._page,
            "/live": self._live,
            "/status.json": self._json,
            "/metrics": self._metrics,
            "/healthz": self._health,
        }

    def answer(self, request: Request) -> Response:
        """Give the answer to a request."""
        give = self._paths.get(request.path)
        if give is not None:
            return give()
        if request.path.startswith("/healthz/"):
            return self._health_of(request.path.removeprefix("/healthz/"))
        return line(404, f"there are {', '.join(self._paths)}")

    def _page(self) -> Response:
        from tfd.metrics.page import whole

        with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
            template = file.read()
        nonce = os.urandom(16).hex()
        text = whole(template, f"{os.uname().nodename} · tfd", self._main(), nonce)
        return Response(200, HTML, text.encode("utf-8", "replace"), _PAGE_POLICY.format(nonce))

    def _live(self) -> Response:
        return Response(200, HTML, self._main().encode("utf-8", "replace"))

    def _main(self) -> str:
        from tfd.metrics.page import main_part

        return main_part(public(self._document()), self._history, self._events.newest_first())

    def _json(self) -> Response:
        import json

        from tfd.protocol.dataclass import asdict

        history = self._history
        series = {
            name: getattr(history, name).values for name in ("bytes_in", "bytes_out", "accepted", "open")
        }
        told = {
            **public(self._document()),
            "events": [asdict(event) for event in self._events.newest_first()],
            "history": {"interval": INTERVAL, **series},
        }
        return Response(200, JSON, json.dumps(told).encode() + b"\n")

    def _metrics(self) -> Response:
        import time

        from tfd.metrics.exposition import CONTENT_TYPE, Histogram, Seen, render
        from tfd.metrics.families import FAMILIES
        from tfd.metrics.process import figures

        document = self._document()
        lag = Histogram(BOUNDS, self._lag.counts, self._lag.sum)
        seen = Seen(document, lag, figures(document["uptime"]), time.time())
        return Response(200, CONTENT_TYPE, render(FAMILIES, seen).encode())

    def _health(self) -> Response:
        from tfd.metrics.health import trouble

        return _healthy(trouble(self._document()))

    def _health_of(self, container: str) -> Response:
        from tfd.metrics.health import trouble_of

        wrong = trouble_of(self._document(), container)
        return line(404, "the file declares no such container") if wrong is None else _healthy(wrong)


def public(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give the status document without what quotes a file: a mistake in it may stand beside a secret."""
    told = dict(document)
    told["reload"] = {**document["reload"], "error": document["reload"]["error"].partition(": found ")[0]}
    told["problems"] = [problem.partition(": ")[0] + " cannot be used" for problem in document["problems"]]
    return told


def _healthy(wrong: str) -> Response:
    return line(503, wrong) if wrong else line(200, "ok")
