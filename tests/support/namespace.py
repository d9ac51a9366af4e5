"""A network namespace joined to this one by a cable that can be cut, in one direction or both."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Direction = Literal["in", "out", "both"]
LIMIT = 20
NETNS = Path("/etc/netns")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A name, that of the cable's outer end (`near`), and the IPv4 addresses of both ends."""

    name: str
    near: str
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

    def name_host(self, host: str, address: str) -> None:
        """Have this host name mean this address inside; ip-netns(8) lays /etc/netns/NAME over /etc."""
        hosts = NETNS / self.name / "hosts"
        hosts.parent.mkdir(parents=True, exist_ok=True)
        hosts.write_text(f"127.0.0.1 localhost\n{address} {host}\n")

    def renumber(self, old: str, new: str) -> None:
        """Give the outer end another address, and take the old one away."""
        _ip("addr", "del", f"{old}/24", "dev", self.near)
        _ip("addr", "add", f"{new}/24", "dev", self.near)

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
    near, far = f"tfdn{os.getpid()}"[:15], f"tfdf{os.getpid()}"[:15]
    one = Namespace(f"tfd-cut-{os.getpid()}", near, f"10.213.{number}.1", f"10.213.{number}.2")
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
        shutil.rmtree(NETNS / one.name, ignore_errors=True)
        # The kernel takes its time with a namespace's links; the next cable may have the same names.
        subprocess.run(["ip", "link", "del", near], check=False, timeout=LIMIT, stderr=subprocess.DEVNULL)
        _ip("netns", "del", one.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=LIMIT)
