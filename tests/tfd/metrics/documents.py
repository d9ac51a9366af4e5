"""Status documents for the tests of what shows them."""

from typing import Any


def document(
    name: str = "web", text: str = "", *, state: str = "good", connected: bool = True
) -> dict[str, Any]:
    """Give a document with one of everything, named `name`; `text` is what a location or a log said."""
    return {
        "version": "1.2.3",
        "environment": "prod",
        "pid": 1,
        "uptime": 3700.0,
        "config": "/etc/tfd.toml",
        "ready": True,
        "stopping": False,
        "summary": f"1 of 1 container good; {text}",
        "reload": {"error": text, "since": 5.0, "accepted": 2, "refused": 1},
        "problems": [f"{name}: {text}"],
        "listeners": [_listener(name)],
        "containers": [_container(name, text, state)],
        "locations": [_location(name, text, connected=connected)],
        "taken_over": 4,
        "queues": {"clients": 5, "channels": 7, "log": 9},
        "log": {"lost": 2},
    }


def _listener(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "binds": [name],
        "container": name,
        "port": 80,
        "listening": True,
        "open": 1,
        "waiting": 1,
        "total": 1234567,
        "bytes_in": 10**13,
        "bytes_out": 1,
        "refused": {"not allowed": 3},
    }


def _container(name: str, text: str, state: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "since": 90.0,
        "image": name,
        "location": name,
        "node": name,
        "id": "1",
        "ip": "192.0.2.1",
        "restarts": 2,
        "placement": "",
        "reason": text,
    }


def _location(name: str, text: str, *, connected: bool) -> dict[str, Any]:
    node = {
        "name": name,
        "online": True,
        "load": 0.5,
        "memory_total": 2**34,
        "memory_free": 2**33,
        "containers": 1,
    }
    return {
        "name": name,
        "address": name,
        "connected": connected,
        "since": 5.0,
        "round_trip_ms": 1.25,
        "reconnects": 1,
        "account": name,
        "cipher": "aes256gcm",
        "containers": 1,
        "nodes": [node],
        "error": text,
    }
