"""What HAProxy is to serve, and the commands that take it there from what it serves. Pure.

The commands are those of HAProxy 2.6's runtime API (management guide, 9.3).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tflocation.web.clusters import HIGHEST_WEIGHT, MAX_CLUSTERS, PORT

BACKENDS: Final = 2 * MAX_CLUSTERS
"""Backends made ready: the runtime API fills them, and can make none. One costs 10 KiB.

Twice as many as clusters, so that what comes never takes the backend of what goes.
"""

CHECK: Final = "check inter 2s fastinter 500ms downinter 1s rise 2 fall 3"


@dataclass(frozen=True, slots=True)
class Server:
    """A container as HAProxy knows it."""

    name: str
    ip: str
    weight: int = HIGHEST_WEIGHT

    @property
    def line(self) -> str:
        """What stands behind the server's name, in the file and in the command."""
        return f"{self.ip}:{PORT} {CHECK} weight {self.weight}"


@dataclass(frozen=True, slots=True)
class Site:
    """A name that is served.

    `backend` is its number, `certificate` its PEM text, `challenged` whether an ACME server may ask for it.
    """

    fqdn: str
    backend: int
    servers: tuple[Server, ...] = ()
    host: str = ""
    prefix: str = ""
    certificate: bytes = b""
    challenged: bool = False


Sites = Mapping[str, Site]
"""By name."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where HAProxy's files are, by the names that its runtime API knows them under."""

    directory: str
    certificates: str

    @property
    def certificate_list(self) -> str:
        """The crt-list: which certificate is shown for which name."""
        return f"{self.directory}/certificates.list"

    def map(self, name: str) -> str:
        """Give one of MAPS."""
        return f"{self.directory}/{name}.map"

    def certificate(self, fqdn: str) -> str:
        """Give the file of a name's certificate."""
        return f"{self.certificates}/{fqdn}.pem"


MAPS: Final = ("host", "prefix", "secure", "challenge", "backend")
"""Maps from names; a request is taken on once `backend` has its name, so that comes last."""


def map_values(site: Site) -> dict[str, str]:
    """Give what the maps say of a site; an absent map says nothing."""
    values = {
        "host": site.host,
        "prefix": site.prefix,
        "secure": "1" if site.certificate else "",
        "challenge": "1" if site.challenged else "",
        "backend": backend_name(site),
    }
    return {name: value for name, value in values.items() if value}


def backend_name(site: Site) -> str:
    """Give the name of a site's backend."""
    return f"cluster-{site.backend}"


def free_backend(sites: Iterable[Site]) -> int:
    """Give the number of a backend that none of them uses."""
    used = {site.backend for site in sites}
    return next(number for number in range(BACKENDS) if number not in used)


@dataclass(frozen=True, slots=True)
class Order:
    """A command, and what its answer holds if it was done; "" where the answer must be empty."""

    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A server that takes no new requests and is deleted once its connections have ended."""

    backend: str
    server: str


def orders(old: Sites, new: Sites, leaving: Iterable[Leaving], files: Files) -> Iterator[Order]:
    """Give the commands that take HAProxy from `old` to `new` without a request that finds no server."""
    still = set(leaving)
    for fqdn, site in new.items():
        yield from _arrivals(old.get(fqdn), site, still)
        steps = (_certificate(old.get(fqdn), site, files), _maps(old.get(fqdn), site, files))
        # No request is sent on to TLS that has no certificate (any more).
        for step in steps if site.certificate else reversed(steps):
            yield from step
    for fqdn, site in old.items():
        if fqdn not in new:
            yield from _maps(site, None, files)
            yield from _certificate(site, None, files)
    for gone in departures(old, new):
        yield Order(f"set server {gone.backend}/{gone.server} state maint")


def departures(old: Sites, new: Sites) -> list[Leaving]:
    """Give the servers of `old` that are not in `new`."""
    left: list[Leaving] = []
    for fqdn, site in old.items():
        kept = {server.name for server in new[fqdn].servers} if fqdn in new else set()
        left += [
            Leaving(backend_name(site), server.name) for server in site.servers if server.name not in kept
        ]
    return left


def _arrivals(old: Site | None, new: Site, leaving: set[Leaving]) -> Iterator[Order]:
    known = {server.name: server for server in old.servers} if old is not None else {}
    backend = backend_name(new)
    for server in new.servers:
        name, before = f"{backend}/{server.name}", known.get(server.name)
        if before is None and Leaving(backend, server.name) in leaving:
            yield Order(f"set weight {name} {server.weight}")
            yield Order(f"set server {name} state ready")
        elif before is None:
            yield Order(f"add server {name} {server.line}", "registered")
            yield Order(f"enable health {name}")
            yield Order(f"enable server {name}")
        elif before.weight != server.weight:
            yield Order(f"set weight {name} {server.weight}")


def _certificate(old: Site | None, new: Site | None, files: Files) -> Iterator[Order]:
    before = old.certificate if old is not None else b""
    after = new.certificate if new is not None else b""
    site = new or old
    if before == after or site is None:
        return
    path, listed = files.certificate(site.fqdn), files.certificate_list
    if not after:
        yield Order(f"del ssl crt-list {listed} {path}", "deleted")
        yield Order(f"del ssl cert {path}", "deleted")
        return
    if not before:
        yield Order(f"new ssl cert {path}", "New empty")
    yield Order(f"set ssl cert {path} <<\n{after.decode('ascii')}", "Transaction created")
    yield Order(f"commit ssl cert {path}", "Success")
    if not before:
        yield Order(f"add ssl crt-list {listed} <<\n{path} {site.fqdn}\n", "Success")


def _maps(old: Site | None, new: Site | None, files: Files) -> Iterator[Order]:
    before = map_values(old) if old is not None else {}
    after = map_values(new) if new is not None else {}
    site = new or old
    assert site is not None
    # What takes a request on is taken away first and given last.
    for name in MAPS if new is not None else reversed(MAPS):
        path = files.map(name)
        if name in before and name not in after:
            yield Order(f"del map {path} {site.fqdn}")
        elif name in before and before[name] != after[name]:
            yield Order(f"set map {path} {site.fqdn} {after[name]}")
        elif name in after and name not in before:
            yield Order(f"add map {path} {site.fqdn} {after[name]}")
