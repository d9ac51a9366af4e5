"""The Python SDK of tfd: containers at a location, from a few lines of Python.

The modules are imported when they are first asked for, so that a small program stays small.
"""

from importlib import import_module
from typing import Any

from tfnz.base import Connectable, Killable, Taggable, TaggedCollection, Waitable

_MODULES = ("location", "node", "container", "endpoint", "volume", "process", "tunnel", "docker")

__all__ = [  # noqa: PLE0604 - the names of modules are used once more below
    *_MODULES,
    "Connectable",
    "Killable",
    "Taggable",
    "TaggedCollection",
    "Waitable",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tfnz.{name}")
    raise AttributeError(f"module tfnz has no attribute {name}")
