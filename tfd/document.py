"""The status document: what `tfd status --json` prints. It never holds a key, a token or a ticket."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tfd.config.model import Config
from tfd.locations.location import Location
from tfd.protocol.dataclass import asdict
from tfd.proxy import ListenerStatistics
from tfd.world import ReplicaState, Report

_NOT_MEANT_TO_RUN: Final = (ReplicaState.DRAINING, ReplicaState.STOPPED)


def listeners(config: Config, statistics: Mapping[str, ListenerStatistics]) -> list[dict[str, Any]]:
    """Tell of each listener in force; bytes_in came from its clients, bytes_out went to them."""
    told = []
    for listener in config.listeners:
        counts = statistics.get(listener.name)
        told.append(
            {
                "name": listener.name,
                "binds": [str(address) for address in listener.binds],
                "container": listener.container,
                "port": listener.port,
                "listening": counts is not None,
                "open": counts.open if counts else 0,
                "waiting": counts.waiting if counts else 0,
                "total": counts.accepted if counts else 0,
                "bytes_in": counts.bytes_in if counts else 0,
                "bytes_out": counts.bytes_out if counts else 0,
                "refused": dict(counts.refused) if counts else {},
            }
        )
    return told


def containers(reports: Iterable[Report], now: float) -> list[dict[str, Any]]:
    """Tell of each declared container, and of those on their way out; `since` is seconds ago."""
    return [asdict(report) | {"since": round(now - report.since, 1)} for report in reports]


def locations(joined: Iterable[Location], now: float) -> list[dict[str, Any]]:
    """Tell of each joined location; `since` is seconds ago, round trips are milliseconds."""
    return [_location(location, now) for location in joined]


def summary(reports: Iterable[Report], joined: Iterable[Location]) -> str:
    """Give the one human line of `systemctl status`."""
    replicas = [report for report in reports if report.state not in _NOT_MEANT_TO_RUN]
    good = sum(report.state is ReplicaState.GOOD for report in replicas)
    links = list(joined)
    if not links:
        return "no location joined yet: run `tfd join INVITE`"
    connected = sum(location.view.connected for location in links)
    line = f"{good} of {_count(len(replicas), 'container')} good, "
    line += f"{connected} of {_count(len(links), 'location')} connected"
    failed = [f"{report.name}: {report.reason}" for report in replicas if report.state is ReplicaState.FAILED]
    return f"{line}; {failed[0]}" if failed else line


def declared(config: Config) -> str:
    """Say how much a configuration declares."""
    return f"{_count(len(config.containers), 'container')}, {_count(len(config.listeners), 'listener')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _location(location: Location, now: float) -> dict[str, Any]:
    view, welcome = location.view, location.link.welcome
    return {
        "name": location.name,
        "address": ", ".join(str(address) for address in location.link.addresses),
        "connected": view.connected,
        "since": round(now - view.since, 1),
        "round_trip_ms": round(location.link.round_trip * 1000, 2),
        "reconnects": location.reconnects,
        "account": welcome.account if welcome else "",
        "cipher": welcome.cipher if welcome else "",
        "containers": len(view.containers),
        "nodes": [
            {
                "name": node.name,
                "online": node.online,
                "load": node.load,
                "memory_total": node.memory_total,
                "memory_free": node.memory_free,
                "containers": node.containers,
            }
            for node in view.nodes.values()
        ],
        "error": location.link.reason,
    }
