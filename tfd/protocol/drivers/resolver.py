"""Names to addresses, without holding up the loop."""

import socket
from collections.abc import Callable

from tfd.protocol.drivers.background import in_background
from tfd.protocol.drivers.loop import Loop


def resolve(loop: Loop, host: str, port: int, done: Callable[[list[str] | str], None]) -> None:
    """Call `done`, now or later, with the addresses of `host` in the order to try, or with what is wrong.

    An address is its own result at once; a name goes to getaddrinfo(3) in a thread. There is no limit:
    the caller sets one and ignores what comes after it.
    """
    if is_address(host):
        done([host])
        return

    def found(result: list[str] | Exception) -> None:
        if isinstance(result, OSError):
            done(f"the name {host} cannot be resolved: {result.strerror or result}")
        elif isinstance(result, Exception):
            done(f"{host!r} is no host name: {result}")
        else:
            done(result)

    in_background(loop, lambda: _look_up(host, port), found)


def is_address(host: str) -> bool:
    """Tell whether `host` is an IPv4 or IPv6 address, which needs no look-up."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def _look_up(host: str, port: int) -> list[str]:
    # As bytes, since Python loads its tables of Unicode for a text, whatever is in it.
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
