"""The one table of metrics: `/metrics` and docs/observing.md are made from it.

No label takes a value that a stranger can choose: the names are those of the configuration and of the joined
locations, the reasons and states are words of the program.
"""

from collections.abc import Iterable
from typing import Any, Final

from tfd.metrics.exposition import Family, Point, Seen
from tfd.metrics.health import trouble
from tfd.world import ReplicaState


def _listeners(seen: Seen, field: str) -> Iterable[Point]:
    for listener in seen.document["listeners"]:
        yield {"listener": listener["name"]}, listener[field]


def _bytes(seen: Seen) -> Iterable[Point]:
    for listener in seen.document["listeners"]:
        for direction in ("in", "out"):
            yield {"listener": listener["name"], "direction": direction}, listener[f"bytes_{direction}"]


def _refusals(seen: Seen) -> Iterable[Point]:
    for listener in seen.document["listeners"]:
        for reason, count in listener["refused"].items():
            yield {"listener": listener["name"], "reason": reason}, count


def _states(seen: Seen) -> Iterable[Point]:
    for container in seen.document["containers"]:
        for state in ReplicaState:
            yield {"container": container["name"], "state": str(state)}, container["state"] == state


def _restarts(seen: Seen) -> Iterable[Point]:
    for container in seen.document["containers"]:
        yield {"container": container["name"]}, container["restarts"]


def _locations(seen: Seen, field: str) -> Iterable[Point]:
    for location in seen.document["locations"]:
        yield {"location": location["name"]}, location[field]


def _round_trips(seen: Seen) -> Iterable[Point]:
    for location in seen.document["locations"]:
        if location["connected"]:
            yield {"location": location["name"]}, location["round_trip_ms"] / 1000


def _nodes(seen: Seen) -> Iterable[Point]:
    for location in seen.document["locations"]:
        online = sum(node["online"] for node in location["nodes"])
        offline = len(location["nodes"]) - online
        yield {"location": location["name"], "state": "online"}, online
        yield {"location": location["name"], "state": "offline"}, offline


def _queues(seen: Seen) -> Iterable[Point]:
    for queue, count in seen.document["queues"].items():
        yield {"queue": queue}, count


def _reloads(seen: Seen) -> Iterable[Point]:
    for result in ("accepted", "refused"):
        yield {"result": result}, seen.document["reload"][result]


def _one(value: Any) -> Iterable[Point]:
    return [({}, float(value))]


def _process(name: str) -> Family:
    kind: Any = "counter" if name.endswith("_total") else "gauge"
    return Family(name, kind, _PROCESS[name], (), lambda seen: _one(seen.process[name]))


_PROCESS: Final = {
    "process_start_time_seconds": "When the process was started, as Unix time.",
    "process_cpu_seconds_total": "Processor time of the process, user and system.",
    "process_resident_memory_bytes": "Memory of the process that is in RAM.",
    "process_open_fds": "Open file descriptors; before Linux 6.2 the lowest free number, which is near.",
    "process_max_fds": "File descriptors that may be open (LimitNOFILE=).",
}

FAMILIES: Final = (
    Family(
        "tfd_build_info",
        "gauge",
        "Always 1; the labels tell what runs.",
        ("version", "environment"),
        lambda seen: [({name: seen.document[name] for name in ("version", "environment")}, 1)],
    ),
    Family(
        "tfd_uptime_seconds",
        "gauge",
        "Time since the daemon was started.",
        (),
        lambda seen: _one(seen.document["uptime"]),
    ),
    Family(
        "tfd_ready",
        "gauge",
        "1 once every listener is bound and every declared container had its chance.",
        (),
        lambda seen: _one(seen.document["ready"]),
    ),
    Family(
        "tfd_healthy",
        "gauge",
        "1 while /healthz answers 200.",
        (),
        lambda seen: _one(not trouble(seen.document)),
    ),
    Family(
        "tfd_connections_total",
        "counter",
        "Connections accepted since the listener was bound.",
        ("listener",),
        lambda seen: _listeners(seen, "total"),
    ),
    Family(
        "tfd_open_connections",
        "gauge",
        "Connections that are open, the waiting ones included.",
        ("listener",),
        lambda seen: _listeners(seen, "open"),
    ),
    Family(
        "tfd_waiting_connections",
        "gauge",
        "Connections that wait for their container.",
        ("listener",),
        lambda seen: _listeners(seen, "waiting"),
    ),
    Family(
        "tfd_bytes_total",
        "counter",
        "Bytes relayed: in is from clients, out is to them.",
        ("listener", "direction"),
        _bytes,
    ),
    Family(
        "tfd_refused_connections_total",
        "counter",
        "Connections that were accepted and then refused.",
        ("listener", "reason"),
        _refusals,
    ),
    Family(
        "tfd_taken_over_connections_total",
        "counter",
        "Connections that the process before left to this one, in a restart.",
        (),
        lambda seen: _one(seen.document["taken_over"]),
    ),
    Family(
        "tfd_container_state",
        "gauge",
        "1 for the state that the declared container is in, 0 for the others.",
        ("container", "state"),
        _states,
    ),
    Family(
        "tfd_container_restarts_total",
        "counter",
        "Times that the container was started again after its process had ended.",
        ("container",),
        _restarts,
    ),
    Family(
        "tfd_location_connected",
        "gauge",
        "1 while the session with the location is open.",
        ("location",),
        lambda seen: _locations(seen, "connected"),
    ),
    Family(
        "tfd_location_reconnects_total",
        "counter",
        "Times that a lost session with the location was opened again.",
        ("location",),
        lambda seen: _locations(seen, "reconnects"),
    ),
    Family(
        "tfd_location_round_trip_seconds",
        "gauge",
        "The quickest of the latest answers; there is none while not connected.",
        ("location",),
        _round_trips,
    ),
    Family(
        "tfd_location_containers",
        "gauge",
        "Containers of this account at the location.",
        ("location",),
        lambda seen: _locations(seen, "containers"),
    ),
    Family("tfd_location_nodes", "gauge", "Nodes of the location by state.", ("location", "state"), _nodes),
    Family(
        "tfd_queue_bytes",
        "gauge",
        "Bytes that wait to be sent: to clients, over channels to containers, to the log.",
        ("queue",),
        _queues,
    ),
    Family(
        "tfd_loop_lag_seconds",
        "histogram",
        "How late the loop came to a timer that is set every second.",
        ("le",),
        lambda seen: seen.lag,
    ),
    Family(
        "tfd_log_lines_lost_total",
        "counter",
        "Lines that were dropped because the log took none for too long.",
        (),
        lambda seen: _one(seen.document["log"]["lost"]),
    ),
    Family(
        "tfd_reloads_total",
        "counter",
        "Reloads of the configuration since the start, by result.",
        ("result",),
        _reloads,
    ),
    Family(
        "tfd_last_reload_successful",
        "gauge",
        "0 while the file that was read last was refused, and the one before is in force.",
        (),
        lambda seen: _one(not seen.document["reload"]["error"]),
    ),
    Family(
        "tfd_config_loaded_timestamp_seconds",
        "gauge",
        "When the configuration in force was read, as Unix time.",
        (),
        lambda seen: _one(seen.now - seen.document["reload"]["since"]),
    ),
    *(_process(name) for name in _PROCESS),
)
