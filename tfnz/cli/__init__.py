"""The commands, and what programs that are commands themselves may use of them.

Each name is loaded when it is asked for: `tf` is to start at once, and to be small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfnz.cli.generic import base_argparse, generic_cli
    from tfnz.cli.interactive import Interactive
    from tfnz.cli.services import remove_flagged, systemd

__all__ = ["Interactive", "base_argparse", "generic_cli", "remove_flagged", "systemd"]

_MODULES = {
    "Interactive": "tfnz.cli.interactive",
    "base_argparse": "tfnz.cli.generic",
    "generic_cli": "tfnz.cli.generic",
    "remove_flagged": "tfnz.cli.services",
    "systemd": "tfnz.cli.services",
}


def __getattr__(name: str) -> Any:
    """Give one of the names above, loaded at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
