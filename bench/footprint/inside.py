"""tfd, which tells at a signal what is within it; run by the interpreter that is measured.

    python -I inside.py TREE [ARGUMENT…]

At ALLOCATORS it prints on standard error what its allocators have, at OBJECTS which objects there are. But
for that it is tfd: nothing else is imported, and nothing is kept.
"""

import gc
import signal
import sys
from types import FrameType

ALLOCATORS = signal.SIGRTMIN
OBJECTS = signal.SIGRTMIN + 1
END = "report: end"


def tell_allocators(_number: int, _frame: FrameType | None) -> None:
    """Print what malloc has (malloc_stats(3)), and Python's own allocator."""
    import ctypes

    ctypes.CDLL(None).malloc_stats()
    sys._debugmallocstats()  # noqa: SLF001 - CPython's own way to this
    print(END, file=sys.stderr, flush=True)


def tell_objects(_number: int, _frame: FrameType | None) -> None:
    """Print the number and the bytes of all objects of each type that something leads to."""
    seen: dict[int, object] = {}
    todo = gc.get_objects()
    own = {id(seen), id(todo)}
    while todo:
        one = todo.pop()
        if id(one) not in seen and id(one) not in own:
            seen[id(one)] = one
            todo += gc.get_referents(one)
    sums: dict[str, list[int]] = {}
    for one in seen.values():
        entry = sums.setdefault(type(one).__name__, [0, 0])
        entry[0] += 1
        entry[1] += sys.getsizeof(one)
    for name, (count, size) in sums.items():
        print(f"object: {count} {size} {name}", file=sys.stderr)
    print(END, file=sys.stderr, flush=True)


def main() -> None:
    """Run tfd."""
    tree, *arguments = sys.argv[1:]
    sys.path.insert(0, tree)
    signal.signal(ALLOCATORS, tell_allocators)
    signal.signal(OBJECTS, tell_objects)
    from tfd.cli import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
