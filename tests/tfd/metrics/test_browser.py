"""The page of a running daemon in a real Chromium: small and wide, light and dark, with script and not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, Page, browser
from tests.support.location_peer import LocationPeer
from tests.support.product import Daemon, free_port
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

LONG = "a-name-that-is-as-long-as-a-name-may-be1"
CONTRAST = 4.5
"""What WCAG 2.1 asks of text (1.4.3, AA)."""

RATIO = """
(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1);
    return paint.getImageData(0, 0, 1, 1).data;
  };
  const light = (color) => {
    const [red, green, blue] = [...channels(color)].map((value) => value / 255).map(
      (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (channels(color)[3] === 255) return color;
    }
    return "white";
  };
  const ratios = [];
  for (const element of document.querySelectorAll("main *:not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const pair = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
    ratios.push([(pair[0] + 0.05) / (pair[1] + 0.05), element.textContent.slice(0, 40)]);
  }
  return ratios.sort((a, b) => a[0] - b[0]);
})()
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give a browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str]]:
    """Give a daemon with good and bad containers and a location, and its page's address."""
    port = free_port()
    directory = tmp_path_factory.mktemp("tfd")
    daemon = Daemon(directory / "tfd")
    daemon.configure(
        f'[metrics]\nbind = "127.0.0.1:{port}"\n'
        '[container.web]\nimage = "nginx"\n'
        f'[container.{LONG}]\nimage = "registry.example.net/a/very/long/path/to/an/image:with-a-tag"\n'
        f'[[listener]]\nbind = "127.0.0.1:{free_port()}"\ncontainer = "web"\nport = 80\n'
        f'[[listener]]\nbind = "unix:{directory}/{LONG}.sock"\ncontainer = "{LONG}"\nport = 65535\n'
    )
    daemon.start()
    try:
        with LocationPeer() as peer:
            daemon.join(peer.invite())
            wait_for(lambda: "good" in str(daemon.status()), 30, "a good container")
            yield daemon, f"http://localhost:{port}/"
    finally:
        daemon.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_it_fits_and_can_be_read(
    chromium: Browser, served: tuple[Daemon, str], width: int, scheme: str, tmp_path: Path
) -> None:
    """Nothing is wider than the window, all text has contrast, and the browser has nothing to complain of."""
    page = Page(chromium, width, "dark" if scheme == "dark" else "light")
    page.open(served[1])
    page.screenshot(tmp_path / f"{width}-{scheme}.png")
    wide = page.evaluate(
        "[...document.querySelectorAll('main *:not(svg *)')].filter((one) => one.checkVisibility()"
        " && one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML)"
    )
    ratios = page.evaluate(RATIO)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wide == []
    assert len(ratios) > 30
    assert ratios[0][0] >= CONTRAST, ratios[:3]
    assert (sum(map(int, ground.strip("rgb()").split(","))) < 3 * 64) == (scheme == "dark")
    assert page.complaints() == []


def test_it_says_what_runs_and_is_alive(chromium: Browser, served: tuple[Daemon, str]) -> None:
    """Names, states and events are there; a container that comes appears without a reload of the page."""
    daemon, url = served
    page = Page(chromium, 1280, "light")
    page.open(url)
    text = page.evaluate("document.body.innerText")
    for words in ("web", LONG, "good", "peer", "connected", "connected to location peer"):
        assert words in text
    page.evaluate("window.same = true")
    daemon.configure(daemon.config.read_text() + '[container.newcomer]\nimage = "nginx"\n')
    daemon.reload()

    wait_for(lambda: "newcomer" in page.evaluate("document.body.innerText"), 30, "the new container")
    assert page.evaluate("window.same") is True
    assert page.complaints() == []


def test_without_script_it_is_a_page_that_refreshes(chromium: Browser, served: tuple[Daemon, str]) -> None:
    """All of it is in the document itself."""
    page = Page(chromium, 360, "dark")
    page.scripts(allowed=False)
    page.open(served[1])
    html = page.call("DOM.getDocument", depth=-1)
    node = page.call("DOM.querySelector", nodeId=html["root"]["nodeId"], selector="main")
    text = page.call("DOM.getOuterHTML", nodeId=node["nodeId"])["outerHTML"]
    refresh = page.call(
        "DOM.querySelector", nodeId=html["root"]["nodeId"], selector="noscript meta[http-equiv]"
    )

    assert LONG in text
    assert "<svg" in text
    assert refresh["nodeId"] != 0


def test_a_daemon_that_is_gone_is_said(chromium: Browser, tmp_path: Path) -> None:
    """The page stays, says that it is old, and is alive again when the daemon is."""
    port = free_port()
    daemon = Daemon(tmp_path / "tfd")
    daemon.configure(f'[metrics]\nbind = "127.0.0.1:{port}"\n[container.web]\nimage = "nginx"\n')
    daemon.start()
    shown = "document.getElementById('stale').checkVisibility()"
    try:
        wait_for(daemon.status, 20, "the daemon")
        page = Page(chromium, 360, "light")
        page.open(f"http://127.0.0.1:{port}/")
        assert not page.evaluate(shown)
        daemon.stop()
        wait_for(lambda: page.evaluate(shown), 30, "the notice")
        assert "web" in page.evaluate("document.body.innerText")
        daemon.start()
        wait_for(lambda: not page.evaluate(shown), 30, "the notice to go")
    finally:
        daemon.stop()
