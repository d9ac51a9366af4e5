"""Asking a container over HTTP until it answers."""

import logging
import socket
import time
import urllib.parse
from typing import TYPE_CHECKING, Final

from tfnz import tunnel
from tfnz.base import as_text

if TYPE_CHECKING:
    from tfnz.facets.tunnels import Tunnels
    from tfnz.tunnel import Tunnel

LIMIT: Final = 30.0
"""Seconds until 200 has to be the answer."""

PAUSE: Final = 0.25
"""Seconds between two requests."""

REDIRECTS: Final = 5
LOOPBACK: Final = "127.0.0.1"
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})

log = logging.getLogger(__name__)


def wait_http_200(
    container: "Tunnels", port: int | str, fqdn: str, path: str, localport: int | str | None = None
) -> "tuple[Tunnel, str]":
    """Make a tunnel on loopback and ask through it until the answer is 200; give it, and the URL.

    Raises ValueError where `fqdn` is not this machine or the answer is another for 30 s, socket.gaierror
    where it is no name. The tunnel is removed then.
    """
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(fqdn, None, socket.AF_INET)}
    if LOOPBACK not in found:
        raise ValueError(f"{fqdn} is not {LOOPBACK} here but {', '.join(sorted(found))}")
    log.info("Waiting on http 200: %s", as_text(container.uuid))
    through = tunnel.attach(container, port, 0 if localport is None else localport, LOOPBACK)
    url = f"http://{fqdn}:{through.lp}/{path.removeprefix('/')}"
    try:
        _poll(container, through.lp, url)
    except BaseException:
        through.destroy()
        raise
    log.info("Connected onto: %s", url)
    return through, url


def _poll(container: "Tunnels", port: int, url: str) -> None:
    import threading

    pause = threading.Event()
    until = time.monotonic() + LIMIT
    answer = ""
    while (left := until - time.monotonic()) > 0:
        container.ensure_alive()
        status, words = _ask(port, url, left)
        if status == 200:
            return
        answer = words or answer
        pause.wait(PAUSE)
    raise ValueError(f"{url}: no answer 200 within {LIMIT:g} s; the last was: {answer or 'none'}")


def _ask(port: int, url: str, limit: float) -> tuple[int, str]:
    """Ask once, following redirects on the same host; give the status, 0 for none, and words for it.

    A try that the limit cut short says nothing of the page: it has no words.
    """
    import http.client

    for _ in range(REDIRECTS + 1):
        parts = urllib.parse.urlsplit(url)
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=limit)
        try:
            connection.request("GET", target, headers={"Host": parts.netloc, "Connection": "close"})
            answer = connection.getresponse()
            status, reason, where = answer.status, answer.reason, answer.getheader("Location")
        except TimeoutError:
            return 0, ""
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error) or type(error).__name__
        finally:
            connection.close()
        following = urllib.parse.urljoin(url, where or "")
        if status not in _REDIRECTING or urllib.parse.urlsplit(following).netloc != parts.netloc:
            return status, f"{status} {reason}"
        url = following
    return 0, f"more than {REDIRECTS} redirects"
