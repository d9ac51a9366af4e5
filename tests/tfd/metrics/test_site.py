"""What is behind each path."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.loops import running_loop
from tests.tfd.metrics.documents import document
from tfd.metrics.history import History
from tfd.metrics.lag import LagMeter
from tfd.metrics.recent import RecentEvents
from tfd.metrics.request import Request
from tfd.metrics.site import Site, public
from tfd.protocol.logged import DEFECT


@pytest.fixture
def told() -> dict[str, Any]:
    """The document that the site shows."""
    return document()


@pytest.fixture
def site(told: dict[str, Any]) -> Iterator[Site]:
    """A site with one event."""
    events = RecentEvents()
    events.put(DEFECT, "something happened")
    with running_loop() as (loop, _, _):
        lag = LagMeter(loop)
        yield Site(lambda: told, History(), lag, events)
        lag.close()


def test_health_has_codes_for_a_load_balancer(site: Site, told: dict[str, Any]) -> None:
    """Of all, and of one container."""
    assert site.answer(Request("GET", "/healthz", "")).status == 200
    assert site.answer(Request("GET", "/healthz/web", "")).status == 200
    assert site.answer(Request("GET", "/healthz/other", "")).status == 404
    told["stopping"] = True
    answer = site.answer(Request("GET", "/healthz", ""))
    assert (answer.status, answer.body) == (503, b"stopping\n")
    assert site.answer(Request("GET", "/healthz/web", "")).status == 503


def test_the_page_allows_its_own_script_and_no_other(site: Site) -> None:
    """By a nonce that is another one each time; the part that scripts fetch may run nothing."""
    one, two = (site.answer(Request("GET", "/", "")) for _ in range(2))
    nonce = one.policy.rpartition("'nonce-")[2].rstrip("'")

    assert one.body.count(nonce.encode()) == 2
    assert one.policy != two.policy
    assert "unsafe" not in one.policy
    assert site.answer(Request("GET", "/live", "")).policy == ""
    assert b"{{" not in one.body


def test_the_page_fetches_nothing_from_elsewhere(site: Site) -> None:
    """No script, style, font or picture, and no link to another place."""
    page = site.answer(Request("GET", "/", "")).body.decode()

    assert "//" not in page.replace("// What somebody", "")
    assert "@import" not in page
    assert "url(" not in page


def test_json_has_the_status_and_what_happened(site: Site) -> None:
    """Events and history beside the keys of `tfd status --json`."""
    answer = site.answer(Request("GET", "/status.json", ""))
    shown = json.loads(answer.body)

    assert answer.content_type == "application/json"
    assert set(document()) | {"events", "history"} == set(shown)
    assert shown["events"][0]["message"] == "something happened"


@pytest.mark.parametrize("path", ["/nothing", "/../etc/passwd", "/page.html", "/healthz/", "//", "/metrics/"])
def test_nothing_else_is_there(site: Site, path: str) -> None:
    """No file of the package, and no file at all."""
    assert site.answer(Request("GET", path, "")).status == 404


def test_what_is_public_quotes_no_file() -> None:
    """Of a refused file its place is told, and of an account that it cannot be used."""
    told = document() | {
        "reload": {"error": "tfd.toml:3: a.B: found 'secret'; allowed: text"},
        "problems": ["/home.json: not an account file (ValueError: 'secret' is not host:port)"],
    }

    assert public(told)["reload"]["error"] == "tfd.toml:3: a.B"
    assert public(told)["problems"] == ["/home.json cannot be used"]
    assert "secret" not in str(public(told))
