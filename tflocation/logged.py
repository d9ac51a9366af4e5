"""The kinds of events in the location's log that an administrator may wait for; see `tfd.protocol.logged`.

`packaging/tflocation.catalog` explains each.
"""

from typing import Final

from tfd.protocol.logged import Kind

SERVING: Final = Kind("serving", "774779b94604433fad90f988b5643c1a", "info")
STOPPED: Final = Kind("stopped", "4b0beab11dce4da297d0262d951aadff", "info")
ENGINE_FOUND: Final = Kind("engine-found", "9cd355ffc9b74231925c83f43af8588e", "info", ("engine",))
ENGINE_LOST: Final = Kind("engine-lost", "61664f6cd16b4499ab7f668fcf0b3822", "warning", ("reason",))
SESSION_OPENED: Final = Kind(
    "session-opened", "7b15580c9ce94003b0b850633f4c8689", "info", ("account", "peer")
)
SESSION_LOST: Final = Kind(
    "session-lost", "bfb2d978be74416cb6c56df42b0f3b33", "info", ("account", "peer", "reason")
)
KEY_REFUSED: Final = Kind("key-refused", "9058d07fc5d94944b56f9a113d08920c", "warning", ("peer",))
RELOADED: Final = Kind("reloaded", "eb1262f5084045f2a392c2ff149372cd", "info")
RELOAD_REFUSED: Final = Kind("reload-refused", "585013a47e1b474c8256a4e5186ef006", "error", ("reason",))
HANDED_OVER: Final = Kind("handed-over", "347df63c5f20420e869c5df7ba45deee", "info", ("count",))
TAKEN_OVER: Final = Kind("taken-over", "8cdadae7d05241a78010293cd5b0691f", "info", ("count",))

KINDS: Final = (
    SERVING,
    STOPPED,
    ENGINE_FOUND,
    ENGINE_LOST,
    SESSION_OPENED,
    SESSION_LOST,
    KEY_REFUSED,
    RELOADED,
    RELOAD_REFUSED,
    HANDED_OVER,
    TAKEN_OVER,
)
"""All of them."""
