"""What the allocators of a Python process say of themselves is read."""

import subprocess
import sys

import pytest

from bench.footprint import allocators

REPORT = """\
Arena 0:
system bytes     =    3870720
in use bytes     =    2900000
Total (incl. mmap):
system bytes     =    4000000
in use bytes     =    3000000
max mmap regions =          4
max mmap bytes   =     500000
Small block threshold = 512, in 32 size classes.
# arenas allocated current           =                    2
2 arenas * 1048576 bytes/arena     =            2,097,152
# bytes in allocated blocks          =            1,900,000
# bytes in available blocks          =               90,000
"""


def test_the_last_report_counts() -> None:
    """Of malloc's, it is the total; of Python's, the arenas and what is in use of them."""
    older = REPORT.replace("4000000", "1").replace("1,900,000", "1")

    assert allocators.parse(older + REPORT) == allocators.Allocators(
        2_097_152, 1_900_000, 4_000_000, 3_000_000
    )


@pytest.mark.parametrize("part", ["arenas *", "# bytes in allocated", "system bytes", "in use bytes"])
def test_a_report_that_lacks_something_is_refused(part: str) -> None:
    """Each of the four figures has to be there."""
    text = "".join(line for line in REPORT.splitlines(keepends=True) if part not in line)

    with pytest.raises(ValueError, match="report"):
        allocators.parse(text)


def test_an_interpreter_is_read() -> None:
    """What is in use is no more than what the kernel gave."""
    program = "import ctypes, sys; ctypes.CDLL(None).malloc_stats(); sys._debugmallocstats()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    found = allocators.parse(done.stderr)

    assert 0 < found.small <= found.arenas
    assert 0 < found.large <= found.heap
