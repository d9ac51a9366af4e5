"""What the imports of a program cost, as importing.py prints it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Import:
    """One module, in KiB. `depth` is 1 for what the program itself imports, 2 for what that imports."""

    name: str
    depth: int
    own: int
    own_anonymous: int
    whole: int
    whole_anonymous: int


def parse(text: str) -> list[Import]:
    """Give the modules in the order in which they were whole. Raises ValueError: this is no such line."""
    found = []
    for line in text.splitlines():
        *numbers, name = line.split(" ", 5)
        own, own_anonymous, whole, whole_anonymous, depth = map(int, numbers)
        found.append(Import(name, depth, own, own_anonymous, whole, whole_anonymous))
    return found
