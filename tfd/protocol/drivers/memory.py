"""Giving back memory that only the start of a program needed, and taking much at once."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tfd.protocol.drivers.loop import Loop, Timer

QUIET: Final = 2.0
"""Seconds without anything to do after which a start is over."""

_DONTNEED: Final = 4  # MADV_DONTNEED, madvise(2)


class Thrift:
    """Calls `give_back` once it has been quiet for QUIET seconds after something was done."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._timer: Timer | None = None

    def stirred(self) -> None:
        """Know that something was done for which code may have been loaded."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(QUIET, give_back)


@contextmanager
def growing() -> Iterator[None]:
    """Look for no garbage meanwhile: where thousands of objects are made that stay, there is none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def trim() -> None:
    """Give the kernel the pages of malloc's heap that nothing lies on (malloc_trim(3)).

    By itself malloc gives back only the heap's end. It takes 0.3 ms for a heap of 15 MB; where it cannot be
    done, nothing happens.
    """
    try:
        # ZeroMQ's Python package has it loaded already.
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        return


def give_back() -> None:
    """Have the process hold only what it goes on to use.

    The heap's free pages go to the kernel (see `trim`), and so do pages of programs and
    libraries that are as they lie on disk (madvise(2), MADV_DONTNEED): the kernel maps many around each one
    that is used, and what is used again comes back from its cache. For once, when a start is over: it
    takes some milliseconds. Where it cannot be done, nothing happens.
    """
    trim()
    if sys.platform != "linux":
        return
    try:
        import ctypes

        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
        for start, end in _unchanged():
            advise(start, end - start, _DONTNEED)
    except (ImportError, OSError, AttributeError):
        return


def _unchanged() -> list[tuple[int, int]]:
    """Give the address ranges of programs and libraries that nothing was written to (proc(5), smaps).

    None else: these stay mapped while the process lives, so no range can meanwhile become another's.
    """
    found: list[tuple[int, int]] = []
    current: tuple[int, int] | None = None
    with open("/proc/self/smaps", "rb") as file:
        for line in file:
            if line[:1].islower() or line[:1].isdigit():
                current = _library(line.split(maxsplit=5))
            elif current is not None and line.startswith(b"Anonymous:"):
                if line.split()[1] == b"0":
                    found.append(current)
                current = None
    return found


def _library(fields: list[bytes]) -> tuple[int, int] | None:
    if len(fields) < 6 or fields[1] not in (b"r-xp", b"r--p"):
        return None
    path = fields[5].rstrip(b"\n")
    if b".so" not in path and not path.rpartition(b"/")[2].startswith(b"python"):
        return None
    start, _, end = fields[0].partition(b"-")
    return int(start, 16), int(end, 16)
