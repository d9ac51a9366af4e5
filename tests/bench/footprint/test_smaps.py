"""What the kernel says of a process' memory is read and added up."""

import os

from hypothesis import given
from hypothesis import strategies as st

from bench.footprint import smaps
from bench.footprint.smaps import Memory

TEXT = """\
55d0c0a00000-55d0c0c00000 r-xp 00001000 fe:00 1234 /usr/bin/python3.11
Size:               2048 kB
KernelPageSize:        4 kB
Rss:                1000 kB
Pss:                 250 kB
Shared_Clean:        900 kB
Shared_Dirty:          8 kB
Private_Clean:        92 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me dw
55d0c1a00000-55d0c1c00000 rw-p 00000000 00:00 0 [heap]
Rss:                 512 kB
Pss:                 512 kB
Shared_Clean:          0 kB
Anonymous:           512 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
Rss:                1024 kB
Pss:                1024 kB
Anonymous:          1024 kB
7f0000200000-7f0000300000 r-xp 00000000 fe:00 99 /usr/lib/x86_64-linux-gnu/libzmq.so.5.2.4 (deleted)
Rss:                   4 kB
Pss:                   1 kB
"""


def test_each_mapping_is_read() -> None:
    """Sizes are bytes; what is shared is the sum of both kinds."""
    found = smaps.parse(TEXT)

    assert [mapping.path for mapping in found] == [
        "/usr/bin/python3.11",
        "[heap]",
        "",
        "/usr/lib/x86_64-linux-gnu/libzmq.so.5.2.4 (deleted)",
    ]
    assert found[0].memory == Memory(1000 * 1024, 250 * 1024, 908 * 1024, 0)
    assert found[1].memory == Memory(512 * 1024, 512 * 1024, 0, 512 * 1024)


def test_kinds_are_sums_of_mappings() -> None:
    """The largest kind comes first, and together they are the whole."""
    found = smaps.parse(TEXT)

    kinds = smaps.by_kind(found)

    assert list(kinds) == [
        "Python's arenas, large blocks",
        "the interpreter",
        "malloc's heap",
        "libzmq and what it links to",
    ]
    assert sum(kinds.values(), Memory()) == smaps.total(found)


def test_this_process_is_read() -> None:
    """What is resident is not less than what is anonymous, shared or proportional."""
    whole = smaps.total(smaps.read(os.getpid()))

    assert whole.resident >= max(whole.anonymous, whole.shared, whole.proportional) > 0


def test_a_difference_tells_the_growth() -> None:
    """It is what a sum added."""
    before, more = Memory(10, 9, 8, 7), Memory(4, 3, 2, 1)

    assert (before + more) - before == more
    assert more.growth == (4, 1)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """What is no mapping, or no size of one, is passed over."""
    assert all(mapping.memory.resident >= 0 for mapping in smaps.parse(text))
    smaps.parse(TEXT + text)
