"""Writes docs/configuration.md from the table of keys that the parser uses.

Run it after a change of the table: python docs/configuration.py
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tfd.config.table import (  # noqa: E402 (the tree is on the path only now)
    CONTAINER,
    DAEMON,
    HEALTH,
    LISTENER,
    LOCATION,
    METRICS,
)
from tfd.config.units import Seconds, span_text  # noqa: E402

if TYPE_CHECKING:
    from tfd.config.table import Key, Section

SMALLEST = """\
[container.web]
image = "nginx"

[[listener]]
bind = "127.0.0.1:8080"
container = "web"
port = 80
"""

RULES = (
    """`tfd --check FILE` tells every error in a file, with its line, and exits with 2 if there is one. A key
that is not on this page is an error.""",
    """`systemctl reload tfd` (SIGHUP) takes a changed file into use. Listeners that did not change keep their
sockets and connections, containers that did not change keep running. A file with an error is refused as a
whole, and the old one stays in force.""",
    """The file is UTF-8 without a byte-order mark and has 1 MiB at most. Relative paths in it start from its
directory.""",
    """Time spans are seconds, or text with a unit: `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`.""",
    """Sizes are bytes, or text with a binary unit: `"512M"` is 512 x 1024 x 1024 bytes.""",
    """In messages, list positions count from 1: `listener[1]` is the first listener of the file.""",
)

INTRODUCTION = """\
# Configuration

<!-- Made by docs/configuration.py from tfd/config/table.py; change it there. -->

`tfd` reads one TOML 1.0 file, `/etc/tfd.toml` unless `--config FILE` names another. The smallest one that
does something:
"""

LARGER = """\
[daemon]
environment = "test"

[container.web]
image = "./webapp.tar"  # as `docker save` or `podman save` writes it
environment = { DATABASE = "database:5432" }
connects_to = ["database"]  # which has this name inside of web
health = { http = "/health", port = 8000 }
memory = "512M"

[container.web.files]
"/etc/webapp.ini" = "webapp.ini"  # beside this file
"/etc/motd" = { content = "hello\\n", mode = "0444" }

[container.database]
image = "postgres"
volumes = ["database:/var/lib/postgresql/data"]
location = ["attic", "cellar"]

[[listener]]
bind = ["0.0.0.0:80", "[::]:80"]
container = "web"
port = 8000
proxy_protocol = "v2"

[[listener]]
bind = "unix:/run/database.sock"
container = "database"
port = 5432
"""


SECTIONS = (
    ("`[container.NAME]`", CONTAINER),
    ("`health` of a container", HEALTH),
    ("`[[listener]]`", LISTENER),
    ("`[location.NAME]`", LOCATION),
    ("`[daemon]`", DAEMON),
    ("`[metrics]`", METRICS),
)
"""Each table of the file, with its title."""


def document() -> str:
    """Give the whole page."""
    rules = ["- " + rule.replace("\n", "\n  ") for rule in RULES]
    sections = [_section(title, section) for title, section in SECTIONS]
    return "\n".join(
        [
            INTRODUCTION,
            *_toml(SMALLEST),
            *rules,
            "",
            *sections,
            "## A larger example\n",
            *_toml(LARGER)[:-1],
            "",
        ]
    )


def _toml(text: str) -> list[str]:
    return ["```toml", text.rstrip(), "```", ""]


def _section(title: str, section: Section) -> str:
    rows = [_row(section, key) for key in section.keys]
    head = ["| key | what it does | allowed | default | example |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", section.doc, "", *head, *rows, ""])


def _row(section: Section, key: Key) -> str:
    cells = [f"`{key.name}`", key.doc, _code(key.kind.allowed), default_of(section, key), f"`{key.example}`"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    """Mark what is typed as it stands, text in quotes and tables in braces, as code."""
    return re.sub(r'\{[^}]*\}|"[^"]*"', r"`\g<0>`", text)


def default_of(section: Section, key: Key) -> str:
    """Give what a missing key means."""
    if key.required:
        return "required"
    if key.absent:
        return key.absent
    value = next(field.default for field in fields(section.model) if field.name == key.attribute)
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case StrEnum() | str():
            return f'`"{value}"`'
        case float() if isinstance(key.kind, Seconds):
            return f'`"{span_text(value)}"`'
        case _:
            return f"`{value}`"


def main() -> None:
    """Write the page."""
    (HERE / "configuration.md").write_text(document())


if __name__ == "__main__":
    main()
