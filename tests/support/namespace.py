"""A network namespace joined to this one by a cable that can be cut, in one direction or both."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Direction = Literal["in", "out", "both"]
LIMIT = 20


@dataclass(frozen=True, slots=True)
class Namespace:
    """`name` is the namespace's; `outside` and `inside` are the IPv4 addresses of the cable's two ends."""

    name: str
    outside: str
    inside: str

    def cut(self, direction: Direction) -> None:
        """Drop every packet silently that goes this way, seen from inside: no reset, no unreachable."""
        hooks = {"in": ("input",), "out": ("output",), "both": ("input", "output")}[direction]
        rules = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; policy drop;\n"
            "meta iif lo accept; meta oif lo accept; }\n"
            for hook in hooks
        )
        self._nft(f"table inet cut {{\n{rules}}}\n")

    def heal(self) -> None:
        """Let packets pass again."""
        self._nft("delete table inet cut\n")

    def _nft(self, rules: str) -> None:
        command = ["ip", "netns", "exec", self.name, "nft", "-f", "-"]
        subprocess.run(command, input=rules, text=True, check=True, timeout=LIMIT)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with a cable, and remove both at the end."""
    number = os.getpid() % 250
    one = Namespace(f"tfd-cut-{os.getpid()}", f"10.213.{number}.1", f"10.213.{number}.2")
    near, far = f"tfdn{os.getpid()}"[:15], f"tfdf{os.getpid()}"[:15]
    _ip("netns", "add", one.name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", one.name)
        _ip("addr", "add", f"{one.outside}/24", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", one.name, "addr", "add", f"{one.inside}/24", "dev", far)
        _ip("-n", one.name, "link", "set", far, "up")
        _ip("-n", one.name, "link", "set", "lo", "up")
        yield one
    finally:
        _ip("netns", "del", one.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=LIMIT)
