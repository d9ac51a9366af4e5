"""Strategies for whole configurations: valid ones, and known and unknown keys with junk in them."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tfd.config.table import CONTAINER, DAEMON, LISTENER, LOCATION, METRICS, Section

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
PORTS = st.integers(1, 65534)  # the last one is what METRICS_TABLES binds
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
SPANS = st.one_of(st.integers(1, 60), st.floats(1, 60), st.sampled_from(["1s", "2s", "1500ms", "0.5m"]))
IMAGES = st.sampled_from(["nginx", "registry.example:5000/web/app:1.2", "nginx@sha256:" + "0" * 64])

HEALTHS = st.fixed_dictionaries(
    {"port": PORTS},
    optional={
        "http": PATHS,
        "interval": SPANS,
        "timeout": SPANS,
        "rise": st.integers(1, 100),
        "fall": st.integers(1, 100),
    },
)
FILES = st.dictionaries(
    PATHS.map(lambda path: "/etc" + path),
    st.fixed_dictionaries({"content": TEXTS}, optional={"mode": st.sampled_from(["0644", "755", "0400"])}),
    max_size=3,
)
VOLUMES = st.dictionaries(PATHS.map(lambda path: "/srv" + path), NAMES, max_size=3).map(
    lambda mounts: [f"{name}:{mount}" for mount, name in mounts.items()]
)
CONTAINERS = st.fixed_dictionaries(
    {"image": IMAGES},
    optional={
        "command": st.lists(TEXTS, max_size=3),
        "entrypoint": st.lists(TEXTS, max_size=3),
        "environment": st.dictionaries(st.sampled_from(["PORT", "LANG", "my.key"]), TEXTS),
        "volumes": VOLUMES,
        "files": FILES,
        "memory": st.one_of(st.integers(4 * 2**20, 2**40), st.sampled_from(["64M", "1G", "1.5G", "512MiB"])),
        "cpus": st.one_of(st.integers(1, 64), st.floats(0.01, 64)),
        "processes": st.integers(1, 1000),
        "restart": st.sampled_from(["always", "on-failure", "no"]),
        "health": HEALTHS,
        "location": st.one_of(NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True)),
        "enabled": st.booleans(),
    },
)
DAEMONS = st.fixed_dictionaries(
    {},
    optional={
        "environment": NAMES,
        "log_level": st.sampled_from(["debug", "info", "warning", "error"]),
        "heartbeat": SPANS,
        "lease": SPANS,
    },
)
LOCATIONS = st.dictionaries(
    NAMES,
    PORTS.map(lambda port: {"address": [f"attic.example:{port}", f"[2001:db8::1]:{port}"]}),
    max_size=2,
)


METRICS_TABLES = st.sampled_from(
    [
        {"bind": ["unix:/run/metrics", "systemd:metrics"]},
        {"bind": ["localhost:65535", "[::1]:65535"]},
        {"bind": "0.0.0.0:65535", "allow": ["192.0.2.0/24", "2001:db8::7"]},
    ]
)


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a document that is right in every respect."""
    containers = draw(st.dictionaries(NAMES, CONTAINERS, min_size=1, max_size=3))
    names = sorted(containers)
    for name in names:
        others = [other for other in names if other != name]
        containers[name]["connects_to"] = (
            draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        )
    listeners = []
    for port in draw(st.lists(PORTS, max_size=3, unique=True)):
        optional = {
            "proxy_protocol": st.sampled_from(["off", "v1", "v2"]),
            "connect_timeout": SPANS,
            "max_connections": st.integers(1, 1000),
            "allow": st.just(["192.0.2.0/24", "2001:db8::/32"]),
        }
        bind = st.sampled_from(
            [f"127.0.0.1:{port}", [f"web.example:{port}", f"[::1]:{port}", f"unix:/run/{port}"]]
        )
        required = {"bind": bind, "container": st.sampled_from(names), "port": PORTS}
        listeners.append(draw(st.fixed_dictionaries(required, optional=optional)))
    return {
        "daemon": draw(DAEMONS),
        "container": containers,
        "listener": listeners,
        "location": draw(LOCATIONS),
        "metrics": draw(METRICS_TABLES),
    }


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        TEXTS,
        st.sampled_from(
            ["web", "127.0.0.1:80", "30s", "1G", "/etc/motd", "10.0.0.1/8", "[::]:80", "unix:/x", "oci:"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def _junk_table(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    names = st.one_of(st.sampled_from(section.names), TEXTS)
    return st.dictionaries(names, st.one_of(JUNK, PORTS, HEALTHS, VOLUMES, FILES), max_size=6)


def junk_documents() -> st.SearchStrategy[dict[str, Any]]:
    """Give documents of known and unknown keys with values of any kind."""
    tables: dict[str, st.SearchStrategy[Any]] = {
        "daemon": _junk_table(DAEMON),
        "container": st.dictionaries(
            st.one_of(NAMES, TEXTS), st.one_of(JUNK, _junk_table(CONTAINER)), max_size=3
        ),
        "listener": st.lists(_junk_table(LISTENER), max_size=3),
        "location": st.dictionaries(
            st.one_of(NAMES, TEXTS), st.one_of(JUNK, _junk_table(LOCATION)), max_size=3
        ),
        "metrics": _junk_table(METRICS),
    }
    mixed = {name: st.one_of(table, JUNK) for name, table in tables.items()}
    extra = st.dictionaries(TEXTS, JUNK, max_size=2)
    return st.builds(lambda known, more: more | known, st.fixed_dictionaries({}, optional=mixed), extra)


def toml(document: Mapping[str, Any]) -> str:
    """Write a document as TOML with each table and list on one line."""
    return "".join(f"{_quoted(name)} = {_value(value)}\n" for name, value in document.items())


def toml_tables(document: Mapping[str, Any]) -> str:
    """Write a document as people do: a header for each table, one key a line."""
    lines: list[str] = []
    for name, value in document.items():
        if name == "listener":
            for table in value:
                lines += ["", "[[listener]]", toml(table)]
        elif name in ("daemon", "metrics"):
            lines += ["", f"[{name}]", toml(value)]
        else:
            for inner, table in value.items():
                lines += ["", f"[{name}.{_quoted(inner)}]", toml(table)]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case dict():
            return "{" + ", ".join(f"{_quoted(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case float():
            text = repr(value)
            return text if "." in text or "e" in text else text + ".0"
        case _:
            return str(value)
