"""A network cable from this machine into a process's network namespace."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT = 20


@contextmanager
def cable(pid: int, near: str, outside: str, inside: str) -> Iterator[None]:
    """Lay a cable to the namespace of process `pid`; IPv4 addresses of both ends, in a /24 of their own."""
    far = f"{near}-in"[:15]
    _ip("link", "add", near, "type", "veth", "peer", "name", far)
    try:
        _ip("link", "set", far, "netns", str(pid))
        _ip("addr", "add", f"{outside}/24", "dev", near)
        _ip("link", "set", near, "up")
        for words in (
            ("addr", "add", f"{inside}/24", "dev", far),
            ("link", "set", far, "up"),
            ("link", "set", "lo", "up"),
        ):
            subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *words], check=True, timeout=LIMIT)
        yield
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, timeout=LIMIT, stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=LIMIT)
