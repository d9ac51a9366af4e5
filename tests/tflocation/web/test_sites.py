"""The commands that take HAProxy from one set of sites to the next."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tflocation.web.sites import (
    MAPS,
    Files,
    Leaving,
    Order,
    Server,
    Site,
    Sites,
    backend_name,
    departures,
    free_backend,
    map_values,
    orders,
)

FILES = Files("/run/web", "/state")
NAMES = ("a.example", "b.example", "c.example")


class Model:
    """What HAProxy would hold: it refuses what HAProxy refuses."""

    def __init__(self) -> None:
        self.servers: dict[str, bool] = {}
        self.maps: dict[str, dict[str, str]] = {FILES.map(name): {} for name in MAPS}
        self.certificates: dict[str, str] = {}
        self.shown: dict[str, str] = {}

    def do(self, order: Order) -> None:
        """Take a command."""
        words = order.text.partition("\n")[0].split()
        if words[1] == "map":
            self._map(*words)
        elif words[1] == "ssl":
            self._ssl(order, *words)
        else:
            self._server(*words)

    def _server(self, verb: str, kind: str, name: str, *values: str) -> None:
        if verb == "add":
            assert name not in self.servers
            self.servers[name] = False
            return
        assert name in self.servers
        if (verb, kind) == ("enable", "server") or values == ("state", "ready"):
            self.servers[name] = True
        elif values == ("state", "maint"):
            assert self.servers[name]
            self.servers[name] = False

    def _map(self, verb: str, _: str, path: str, key: str, *value: str) -> None:
        assert (key in self.maps[path]) == (verb != "add")
        if verb == "del":
            del self.maps[path][key]
        else:
            (self.maps[path][key],) = value
        self.require_consistent()

    def _ssl(self, order: Order, verb: str, _: str, kind: str, path: str, *rest: str) -> None:
        match verb, kind:
            case "new", "cert":
                assert path not in self.certificates
                self.certificates[path] = ""
            case "set", "cert":
                assert path in self.certificates
                self.certificates[path] = order.text.partition("\n")[2]
            case "add", "crt-list":
                added, name = order.text.splitlines()[1].split()
                assert self.certificates[added]
                self.shown[added] = name
            case "del", "crt-list":
                del self.shown[rest[0]]
                self.require_consistent()
            case "del", "cert":
                assert path not in self.shown
                del self.certificates[path]
            case _:
                assert verb == "commit", order

    def require_consistent(self) -> None:
        """A name that is sent to TLS has a certificate."""
        for fqdn in self.maps[FILES.map("secure")]:
            assert FILES.certificate(fqdn) in self.shown

    def delete(self, gone: Leaving) -> None:
        """Delete a server, as the sweep does."""
        assert not self.servers.pop(f"{gone.backend}/{gone.server}")


servers = st.lists(
    st.builds(Server, st.sampled_from("wxyz"), st.just("10.0.0.1"), st.integers(1, 256)),
    max_size=4,
    unique_by=lambda server: server.name,
).map(tuple)
wishes = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Site,
        fqdn=st.just(""),
        backend=st.just(0),
        servers=servers,
        host=st.sampled_from(["", "h", "i"]),
        prefix=st.sampled_from(["", "/p"]),
        certificate=st.sampled_from([b"", b"one\n", b"two\n"]),
        challenged=st.booleans(),
    ),
)


def placed(present: Sites, wish: Mapping[str, Site]) -> dict[str, Site]:
    """Give the wish with names and backends, as the gateway does."""
    fresh: dict[str, Site] = {}
    for fqdn, site in wish.items():
        number = (
            present[fqdn].backend if fqdn in present else free_backend([*present.values(), *fresh.values()])
        )
        fresh[fqdn] = replace(site, fqdn=fqdn, backend=number)
    return fresh


@given(st.lists(st.tuples(wishes, st.booleans()), max_size=6))
def test_the_commands_lead_from_any_sites_to_any_others(steps: list[tuple[dict[str, Site], bool]]) -> None:
    """Each command is one that HAProxy takes, and at the end it serves just what is wanted.

    Servers that left may be deleted before the next step, or may still have connections.
    """
    model, leaving = Model(), list[Leaving]()
    present: dict[str, Site] = {}
    for wish, swept in steps:
        wanted = placed(present, wish)
        for order in orders(present, wanted, leaving, FILES):
            model.do(order)
        here = {
            Leaving(backend_name(site), server.name) for site in wanted.values() for server in site.servers
        }
        leaving = [gone for gone in leaving if gone not in here] + departures(present, wanted)
        if swept:
            for gone in leaving:
                model.delete(gone)
            leaving = []
        present = wanted
        assert {name for name, ready in model.servers.items() if ready} == {
            f"{gone.backend}/{gone.server}" for gone in here
        }
        for name in MAPS:
            expected = {
                fqdn: map_values(site)[name] for fqdn, site in present.items() if name in map_values(site)
            }
            assert model.maps[FILES.map(name)] == expected
        assert model.shown == {
            FILES.certificate(fqdn): fqdn for fqdn, site in present.items() if site.certificate
        }


def test_servers_come_before_others_go() -> None:
    """While a cluster is exchanged, there is always one that takes requests."""
    old = {"a.example": Site("a.example", 0, (Server("x", "10.0.0.1"),))}
    new = {"a.example": Site("a.example", 0, (Server("y", "10.0.0.2"),))}
    commands = [order.text for order in orders(old, new, (), FILES)]
    assert commands[-1] == "set server cluster-0/x state maint"
    assert commands[-2] == "enable server cluster-0/y"
