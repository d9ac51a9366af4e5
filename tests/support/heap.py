"""A hole in malloc's heap of this process, as what is over leaves it."""

import ctypes
import os
from pathlib import Path
from typing import Final

HOLE: Final = 32 << 20
"""Bytes of it."""

_BLOCK: Final = 64 << 10
"""Below what malloc maps by itself (mallopt(3), M_MMAP_THRESHOLD), and gives back by itself."""


def resident() -> int:
    """Give the bytes of this process that are in memory (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leave_hole() -> int:
    """Use HOLE bytes and free them, with a block above that stays; give what was resident before that."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    blocks = [libc.malloc(_BLOCK) for _ in range(HOLE // _BLOCK)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK)
    libc.malloc(_BLOCK)
    full = resident()
    for block in blocks:
        libc.free(block)
    return full
