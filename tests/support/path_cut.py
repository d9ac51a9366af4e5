"""A path on loopback that is cut and healed: packets of some ports are dropped, or answered by a reset."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LIMIT = 20


@contextmanager
def path_cut(ports: Iterable[int], *, reset: bool) -> Iterator[None]:
    """Cut all connections with these ports of this machine while in `with`.

    With `reset` whoever sends gets a reset, otherwise packets vanish. Needs root and nft.
    """
    wanted = sorted(ports)
    table = f"tfd-cut-{wanted[0]}"
    verdict = "reject with tcp reset" if reset else "drop"
    numbers = ", ".join(str(port) for port in wanted)
    rules = f"""
        table inet {table} {{
            chain output {{
                type filter hook output priority 0;
                tcp dport {{ {numbers} }} {verdict}
                tcp sport {{ {numbers} }} {verdict}
            }}
        }}
    """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=LIMIT)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True, timeout=LIMIT)
