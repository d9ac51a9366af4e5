"""The status page: one HTML document, made anew for each look.

Rule of this file: whatever comes from a configuration, a location or a log goes through `escape`.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tfd.figures import amount, duration
from tfd.metrics.graph import graph, spark
from tfd.metrics.health import trouble
from tfd.metrics.history import History
from tfd.metrics.recent import Recent

_ENTITIES: Final = {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&#39;",
}

_CLASSES: Final = {
    "good": "good",
    "failed": "bad",
    "checking": "warn",
    "creating": "warn",
    "waiting": "warn",
    "draining": "calm",
    "stopped": "calm",
    "error": "bad",
    "warning": "warn",
    "info": "calm",
}


_FOOT: Final = (
    '<footer id="foot">Also here: <a href="metrics">metrics</a> for Prometheus, '
    '<a href="healthz">healthz</a> for a load balancer, <a href="status.json">status.json</a> for programs.'
    "</footer>"
)


def escape(text: object) -> str:
    """Give text that is nothing but text, in an element and in an attribute's quotes."""
    shown = "".join(character if character.isprintable() else " " for character in str(text))
    return shown.translate(_ENTITIES)


def whole(template: str, title: str, main: str, nonce: str) -> str:
    """Give the document. `nonce` is what the policy lets its style and script be known by."""
    # In this order: what `main` says must not be taken for a place of the template's.
    head, _, rest = (
        template.replace("{{nonce}}", nonce).replace("{{title}}", escape(title)).partition("{{main}}")
    )
    return head + main + rest


def main_part(document: Mapping[str, Any], history: History, events: Iterable[Recent]) -> str:
    """Give the part that is alive: all that is seen."""
    parts = [
        '<p id="stale" role="alert">tfd does not answer: what is seen here is old</p>',
        _head(document),
        _graphs(document, history),
        _listeners(document, history),
        _containers(document),
        _locations(document),
        _events(events),
        _FOOT,
    ]
    return f"<main>{''.join(parts)}</main>"


def _head(document: Mapping[str, Any]) -> str:
    state, word = _overall(document)
    pill = f'<span class="pill {state}">{escape(word)}</span>'
    program = f"tfd {document['version']}, environment {document['environment']}, {document['config']}"
    lines = [escape(document["summary"]), f"{escape(program)}, up {duration(document['uptime'])}"]
    told = "".join(f'<p class="quiet">{text}</p>' for text in lines)
    if document["reload"]["error"]:
        refused = f"The last reload was refused, and the log says why: {document['reload']['error']}"
        told += f'<p class="bad">{escape(refused)}</p>'
    told += "".join(f'<p class="bad">{escape(problem)}</p>' for problem in document["problems"])
    host = escape(os.uname().nodename)
    return f'<header id="head"><div class="top"><h1>{host}</h1>{pill}</div>{told}</header>'


def _overall(document: Mapping[str, Any]) -> tuple[str, str]:
    """Give class and word for all of it: what is served, though something is wrong, is in between."""
    if not document["ready"] and not document["stopping"]:
        return "warn", "starting"  # the summary stands below
    wrong = trouble(document)
    if wrong:
        return "bad", wrong
    lost = [location for location in document["locations"] if not location["connected"]]
    failed = [container for container in document["containers"] if container["state"] == "failed"]
    return ("warn", "degraded") if lost or failed else ("good", "healthy")


def _graphs(document: Mapping[str, Any], history: History) -> str:
    came, went = history.bytes_in.values, history.bytes_out.values
    accepted, opened = history.accepted.values, history.open.values
    now_open = sum(listener["open"] for listener in document["listeners"])
    tiles = [
        _tile(
            "Traffic",
            [("in", _rate(came), "in"), ("out", _rate(went), "out")],
            graph("Bytes a second in the last hour", [("in", came), ("out", went)]),
            f"peak {amount(max((*came, *went), default=0))}/s",
        ),
        _tile(
            "Open connections",
            [("in", str(now_open), "now")],
            graph("Open connections in the last hour", [("in", opened)]),
            f"peak {max(opened, default=0):.0f}",
        ),
        _tile(
            "New connections",
            [("in", f"{accepted[-1] if accepted else 0:.1f}/s", "")],
            graph("New connections a second in the last hour", [("in", accepted)]),
            f"peak {max(accepted, default=0):.1f}/s",
        ),
    ]
    return f'<section id="graphs" aria-label="The last hour">{"".join(tiles)}</section>'


def _rate(values: Sequence[float]) -> str:
    return f"{amount(values[-1] if values else 0)}/s"


def _tile(title: str, figures: Iterable[tuple[str, str, str]], drawing: str, peak: str) -> str:
    told = "".join(
        f'<span class="figure {name}">{value} <small>{unit}</small></span>' for name, value, unit in figures
    )
    axis = f'<div class="axis"><span>1 h ago</span><span>{peak}</span><span>now</span></div>'
    return f'<div class="card"><h2>{title}</h2><div class="figures">{told}</div>{drawing}{axis}</div>'


def _listeners(document: Mapping[str, Any], history: History) -> str:
    rows = []
    for listener in document["listeners"]:
        series = history.listeners.get(listener["name"])
        values = series.values if series is not None else ()
        title = f"Traffic of {escape(listener['name'])} in the last hour"
        rows.append(
            _row(
                _cell("", escape(listener["name"]), "name wide"),
                _cell("to", f"{escape(listener['container'])}:{listener['port']}", "wide"),
                _cell("open", str(listener["open"]), "number"),
                _cell("total", _count(listener["total"]), "number"),
                _cell("in", amount(listener["bytes_in"]), "number"),
                _cell("out", amount(listener["bytes_out"]), "number"),
                _cell("", spark(title, values), "spark-cell wide"),
            )
        )
        refused = ", ".join(f"{count} {reason}" for reason, count in listener["refused"].items())
        waiting = f"{listener['waiting']} waiting" if listener["waiting"] else ""
        rows.append(_note("; ".join(filter(None, (waiting, refused and f"refused: {refused}"))), 7))
    heads = ("Listener", "To", "Open#", "Total#", "In#", "Out#", "Last hour")
    return _table("listeners", "Listeners", heads, rows, "The file declares no listener.")


def _containers(document: Mapping[str, Any]) -> str:
    rows = []
    for container in document["containers"]:
        where = "/".join(part for part in (container["location"], container["node"]) if part)
        rows.append(
            _row(
                _cell("", escape(container["name"]), "name wide"),
                _cell("state", _state(container["state"])),
                _cell("since", duration(min(container["since"], document["uptime"])), "number"),
                _cell("restarts", str(container["restarts"]), "number wide"),
                _cell("at", escape(where or "-"), "where wide"),
                _cell("image", escape(container["image"]), "wide"),
            )
        )
        bad = container["state"] == "failed"
        rows.append(_note(container["reason"], 6, "bad" if bad else ""))
    heads = ("Container", "State", "Since#", "Restarts#", "Where", "Image")
    return _table("containers", "Containers", heads, rows, "The file declares no container.")


def _locations(document: Mapping[str, Any]) -> str:
    rows = []
    for location in document["locations"]:
        connected = location["connected"]
        state = (
            '<span class="state good">connected</span>'
            if connected
            else '<span class="state bad">lost</span>'
        )
        rows.append(
            _row(
                _cell("", escape(location["name"]), "name wide"),
                _cell("state", state),
                _cell("since", duration(location["since"]), "number"),
                _cell("round trip", f"{location['round_trip_ms']:.1f} ms" if connected else "-", "number"),
                _cell("reconnects", str(location["reconnects"]), "number"),
                _cell("at", escape(location["address"]), "wide"),
            )
        )
        rows.append(_note(location["error"], 6, "bad"))
        if connected:
            rows += [_note(_node(node), 6) for node in location["nodes"]]
    heads = ("Location", "State", "Since#", "Round trip#", "Reconnects#", "Address")
    empty = "No location is joined yet: run tfd join INVITE."
    return _table("locations", "Locations", heads, rows, empty)


def _node(node: Mapping[str, Any]) -> str:
    if not node["online"]:
        return f"node {node['name']}: offline"
    free, total = amount(node["memory_free"]), amount(node["memory_total"])
    containers = "1 container" if node["containers"] == 1 else f"{node['containers']} containers"
    return f"node {node['name']}: load {node['load']:.0%}, {free} of {total} memory free, {containers}"


def _events(events: Iterable[Recent]) -> str:
    now = time.time()
    items = "".join(
        f"<li>{_when(event.at, now)}{_state(event.level)}<span>{escape(event.message)}</span></li>"
        for event in events
    )
    told = f"<ol>{items}</ol>" if items else '<p class="quiet">None yet.</p>'
    return f'<section id="events" class="card"><h2>Last events</h2>{told}</section>'


def _when(at: float, now: float) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return f'<time datetime="{moment}" title="{moment}">{_ago(now - at)} ago</time>'


def _ago(seconds: float) -> str:
    left = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if left >= size:
            return f"{left // size} {unit}"
    return f"{left} s"


def _count(number: int) -> str:
    """Give a whole number with narrow spaces between its thousands."""
    return f"{number:,}".replace(",", "\u202f")


def _state(word: str) -> str:
    return f'<span class="state {_CLASSES.get(word, "calm")}">{escape(word)}</span>'


def _cell(label: str, inner: str, classes: str = "") -> str:
    named = f' data-label="{label}"' if label else ""
    return f'<td class="{classes}"{named}><span>{inner}</span></td>'


def _row(*cells: str) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _note(text: str, columns: int, classes: str = "") -> str:
    return (
        f'<tr class="note {classes}"><td class="wide" colspan="{columns}">{escape(text)}</td></tr>'
        if text
        else ""
    )


def _table(name: str, title: str, heads: Iterable[str], rows: Sequence[str], empty: str) -> str:
    """Give a section with a table; a head that ends in # is that of numbers."""
    if not rows:
        return f'<section id="{name}" class="card"><h2>{title}</h2><p class="quiet">{empty}</p></section>'
    cells = "".join(
        f'<th class="number">{head[:-1]}</th>' if head.endswith("#") else f"<th>{head}</th>" for head in heads
    )
    return (
        f'<section id="{name}" class="card"><h2>{title}</h2><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )
