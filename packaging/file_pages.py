"""The man pages of the configuration files, from the tables of keys that the parsers use."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from roff import head, literal, marked, roff, see_also, tagged, whole

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))

import configuration  # docs/configuration.py

from tfd.config.table import Section
from tflocation.config import KEYS, LIMIT_KEYS
from tflocation.values import Key
from tflocation.web.settings import WEB_KEYS

LOCATION_TABLES = (
    ("Outside of any table", "", KEYS),
    (
        "[web]",
        "With it the location serves names that accounts publish, by haproxy(1). A restart takes it in.",
        WEB_KEYS,
    ),
    (
        "[limits]",
        "What each account may use; `[limits.NAME]` is for the account NAME, the rest as in `[limits]`.",
        LIMIT_KEYS,
    ),
)
LOCATION_RULES = (
    "Every setting has a default, so the file may be absent. A key that is not on this page is an error.",
    """`systemctl reload tflocation` (SIGHUP) takes a changed file into use for `address`, `limits`, `lease`
and `log_level`; the other keys need `systemctl restart tflocation`.""",
    """Durations are text with a unit: `"90s"`, `"15m"`, `"12h"`, `"1d"`, `"2w"`. Sizes are bytes, or text
with a binary unit: `"512 MiB"`, `"2 GiB"`.""",
)


def daemon_page() -> str:
    """Give tfd.toml(5)."""
    lines = [
        *head("tfd.toml", 5, "what tfd runs and serves"),
        *_described("/etc/tfd.toml", "`tfd` reads one TOML 1.0 file.", configuration.RULES),
    ]
    for title, part in configuration.SECTIONS:
        lines += [f".SH {roff(title.replace('`', ''))}", marked(part.doc), *_keys(part)]
    lines += [".SH EXAMPLES", "The smallest one that does something:", *literal(configuration.SMALLEST)]
    lines += [".PP", "A larger one:", *literal(configuration.LARGER)]
    return whole([*lines, *see_also(["tfd(1)", "tfd.service(8)"])])


def location_page() -> str:
    """Give tflocation.toml(5)."""
    lines = [
        *head("tflocation.toml", 5, "how tflocation serves this machine's containers"),
        *_described("/etc/tflocation.toml", "`tflocation` reads one TOML 1.0 file.", LOCATION_RULES),
    ]
    for title, text, keys in LOCATION_TABLES:
        lines += [f".SH {roff(title)}", *([marked(text)] if text else []), *_location_keys(keys)]
    lines += [".SH EXAMPLES", *literal(_EXAMPLE)]
    return whole([*lines, *see_also(["tflocation(1)", "tflocation.service(8)"])])


_EXAMPLE = """\
name = "attic"
address = "attic.example.net:2020"
registries = ["registry.lan:5000", "docker.io"]
insecure_registries = ["registry.lan:5000"]

[limits]
containers = 16
memory = "8 GiB"

[limits.alice]
containers = 64
"""


def _described(file: str, text: str, rules: tuple[str, ...]) -> list[str]:
    points = [line for rule in rules for line in (".IP \\(bu 2", marked(" ".join(rule.split())))]
    return [".SH SYNOPSIS", f".I {roff(file)}", ".SH DESCRIPTION", marked(text), *points]


def _keys(part: Section) -> Iterator[str]:
    for key in part.keys:
        default = configuration.default_of(part, key).replace("`", "")
        yield from _entry(key.name, key.doc, key.kind.allowed, default, key.example)


def _location_keys(keys: Mapping[str, Key]) -> Iterator[str]:
    for name, key in keys.items():
        yield from _entry(name, key.doc, "", key.default or key.absent, key.example)


def _entry(name: str, text: str, allowed: str, default: str, example: str) -> Iterator[str]:
    yield from tagged(name, text)
    for word, value in (
        ("Allowed", allowed),
        ("Default", default),
        ("Example", example and f"{name} = {example}"),
    ):
        if value:
            yield ".br"
            yield f"{word}: {roff(value)}"
