"""What the two allocators within a Python process say of themselves.

malloc_stats(3) and sys._debugmallocstats() print to standard error; here their text is read again.
"""

import re
from dataclasses import dataclass

_ARENAS = re.compile(r"^(\d+) arenas \* (\d+) bytes/arena", re.MULTILINE)
_SMALL = re.compile(r"^# bytes in allocated blocks\s*=\s*([\d,]+)", re.MULTILINE)
_SYSTEM = re.compile(r"^system bytes\s*=\s*(\d+)", re.MULTILINE)
_IN_USE = re.compile(r"^in use bytes\s*=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Allocators:
    """Bytes that each allocator has of the kernel, and those of them that are in use.

    Python's own has objects of up to 512 bytes, in arenas; malloc has the larger ones and the libraries',
    blocks with a mapping of their own included.
    """

    arenas: int
    small: int
    heap: int
    large: int


def parse(text: str) -> Allocators:
    """Give the figures of the last report in a text. Raises ValueError: there is none."""
    arenas, small = _ARENAS.findall(text), _SMALL.findall(text)
    heap, large = _SYSTEM.findall(text), _IN_USE.findall(text)
    if not (arenas and small and heap and large):
        raise ValueError("no allocator's report")
    count, size = arenas[-1]
    return Allocators(int(count) * int(size), int(small[-1].replace(",", "")), int(heap[-1]), int(large[-1]))
