"""What runs within the interpreter that is measured: imports what tfd imports, and tells what each takes.

    python -I importing.py TREE

Prints a line for the interpreter as it starts, and one for each module (see imports.py): KiB resident and
anonymous that it alone took, the same with what it imported, how deep it is, and its name. It imports nothing
itself.
"""

import builtins
import sys


def memory() -> tuple[int, int]:
    """Give the KiB resident and anonymous of this process."""
    resident = anonymous = 0
    with open("/proc/self/smaps_rollup", "rb") as file:  # noqa: PTH123 - pathlib would be measured as well
        for line in file:
            if line.startswith(b"Rss:"):
                resident = int(line.split()[1])
            elif line.startswith(b"Anonymous:"):
                anonymous = int(line.split()[1])
    return resident, anonymous


class Watching:
    """Takes the place of the import statement's function, and notes what each new module costs."""

    def __init__(self) -> None:
        self._import = builtins.__import__
        self._inner = [(0, 0)]
        self.lines: list[str] = []

    def __enter__(self) -> None:
        builtins.__import__ = self  # type: ignore[assignment]  # what importlib calls it with, it takes

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import

    def __call__(
        self,
        name: str,
        globals: "dict[str, object] | None" = None,  # noqa: A002 - the names are the interpreter's
        locals: "dict[str, object] | None" = None,  # noqa: A002 - likewise
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> object:
        """Import a module as the interpreter does."""
        modules, before = len(sys.modules), memory()
        self._inner.append((0, 0))
        try:
            return self._import(name, globals, locals, fromlist or (), level)
        finally:
            after, inner = memory(), self._inner.pop()
            took = (after[0] - before[0], after[1] - before[1])
            outer = self._inner[-1]
            self._inner[-1] = (outer[0] + took[0], outer[1] + took[1])
            if len(sys.modules) > modules:
                own = (took[0] - inner[0], took[1] - inner[1])
                # The interpreter puts a module last once it is whole (importlib, _load_unlocked).
                told = next(reversed(sys.modules))
                self.lines.append(f"{own[0]} {own[1]} {took[0]} {took[1]} {len(self._inner)} {told}")


def main() -> None:
    """Import and print."""
    sys.path.insert(0, sys.argv[1])
    resident, anonymous = memory()
    watching = Watching()
    with watching:
        import tfd.__main__
        import tfd.daemon
    # What the daemon imports when it runs.
    with watching:
        import tfd.config.reader  # noqa: F401 - it is imported for what it costs
    print(f"{resident} {anonymous} {resident} {anonymous} 1 (the interpreter)")
    print("\n".join(watching.lines))


if __name__ == "__main__":
    main()
