"""Draws each state machine from the table that its code runs, into docs/states.md."""

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tfd.protocol import client_session, relay, server_session, stream

TARGET = Path(__file__).with_name("states.md")

# Each machine has enumerations of its own, and Mapping's keys are of one exact type.
Table = Mapping[Any, Enum]

MACHINES: tuple[tuple[str, str, Table], ...] = (
    ("A session, at the client", "tfd/protocol/client_session.py", client_session.TRANSITIONS),
    ("A session, at the location", "tfd/protocol/server_session.py", server_session.TRANSITIONS),
    ("A stream, at either end", "tfd/protocol/stream.py", stream.TRANSITIONS),
    ("A relayed connection, at either end", "tfd/protocol/relay.py", relay.TRANSITIONS),
)

HEAD = """\
# State machines

Made by `python docs/states.py` from the tables that the code runs; do not edit.
"""


def draw(table: Table) -> str:
    """Give the Mermaid state diagram of a table; the first state is the one declared first."""
    states = list(type(next(iter(table.values()))))
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{state.value}" as {state.name}' for state in states]
    lines.append(f"    [*] --> {states[0].name}")
    edges: dict[tuple[int, int], list[str]] = {}
    for (state, event), following in table.items():
        edges.setdefault((states.index(state), states.index(following)), []).append(str(event.value))
    # Sorted, since a table made with sets has another order in each run.
    for (start, end), events in sorted(edges.items()):
        lines.append(f"    {states[start].name} --> {states[end].name}: {', '.join(sorted(events))}")
    left = {state for state, _ in table}
    lines += [f"    {state.name} --> [*]" for state in states if state not in left]
    return "\n".join(lines)


def render() -> str:
    """Give the whole page."""
    sections = [
        f"\n## {title}\n\nFrom `{source}`.\n\n```mermaid\n{draw(table)}\n```\n"
        for title, source, table in MACHINES
    ]
    return HEAD + "".join(sections)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
