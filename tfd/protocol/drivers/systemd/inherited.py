"""Descriptors that the service manager passes at the start (sd_listen_fds(3)).

The protocol is a few environment variables, so it is spoken directly: systemd.daemon would hold libsystemd in
memory for it. Wrong values never raise; they mean that nothing was passed.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, MutableMapping
from typing import Final

FIRST: Final = 3
"""The first descriptor that is passed (sd-daemon.h, SD_LISTEN_FDS_START)."""

UNNAMED: Final = "unknown"
"""The name of those without one, as sd_listen_fds_with_names(3) has it."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
_DIGITS: Final = 9


class Inherited:
    """Named descriptors, of which each is given away once; the names need not be distinct."""

    def __init__(self, descriptors: Iterable[tuple[str, int]] = ()) -> None:
        self._descriptors = list(descriptors)

    @property
    def names(self) -> list[str]:
        """The names of those that nobody took, in the order in which they were passed."""
        return [name for name, _ in self._descriptors]

    def take(self, name: str) -> list[int]:
        """Give the descriptors of that name, in their order; they are the caller's now."""
        return [descriptor for _, descriptor in self.take_where(lambda other, _: other == name)]

    def take_where(self, wanted: Callable[[str, int], bool]) -> list[tuple[str, int]]:
        """Give those that are `wanted`, by name and descriptor; they are the caller's now."""
        taken: list[tuple[str, int]] = []
        left: list[tuple[str, int]] = []
        for name, descriptor in self._descriptors:
            (taken if wanted(name, descriptor) else left).append((name, descriptor))
        self._descriptors = left
        return taken

    def close(self) -> None:
        """Close those that nobody took."""
        for _, descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


def take_inherited(environment: MutableMapping[str, str] = os.environ) -> Inherited:
    """Take over what was passed to this process, and have no child believe that it was meant.

    To be called once, before anything else opens descriptors. Each is closed on exec from now on.
    """
    pid, _, count, names = (environment.pop(variable, "") for variable in _VARIABLES)
    if _number(pid) != os.getpid():
        return Inherited()
    descriptors: list[int] = []
    for descriptor in range(FIRST, FIRST + _number(count)):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        except OSError:
            break  # not open: the count was wrong
        descriptors.append(descriptor)
    parts = names.split(":")
    if len(parts) != len(descriptors):
        parts = [UNNAMED] * len(descriptors)
    return Inherited(zip(parts, descriptors, strict=True))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0
