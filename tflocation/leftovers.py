"""Finds and removes what a private engine left on this machine, also after it was killed.

Everything is recognised by the engine's own directory or bridge, so nothing of another engine is touched.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KILL_LIMIT = 10.0  # seconds until a killed process must be gone
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What still belongs to the engine in one directory."""

    processes: tuple[int, ...]
    mounts: tuple[str, ...]
    loop_devices: tuple[str, ...]
    bridge: str | None
    tables: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.processes or self.mounts or self.loop_devices or self.bridge or self.tables)


def find(directory: Path, bridge: str) -> Leftovers:
    """List what the engine in `directory`, with its network `bridge`, has on this machine."""
    return Leftovers(
        processes=tuple(_processes(directory)),
        mounts=tuple(_mounts(directory)),
        loop_devices=tuple(_loop_devices(directory)),
        bridge=bridge if Path("/sys/class/net", bridge).exists() else None,
        tables=tuple(_tables(bridge)),
    )


def remove(directory: Path, bridge: str) -> None:
    """Kill, unmount, detach and delete all that `find` lists. What is gone meanwhile is no error."""
    found = find(directory, bridge)
    end = time.monotonic() + KILL_LIMIT
    while found.processes and time.monotonic() < end:
        for pid in found.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL)
        found = find(directory, bridge)
    for mount in reversed(found.mounts):
        _run("umount", "--lazy", mount)
    for device in _loop_devices(directory):
        _run("losetup", "--detach", device)
    if found.bridge:
        _run("ip", "link", "delete", bridge)
    remove_tables(bridge)


def remove_tables(bridge: str) -> None:
    """Remove our rules of `bridge`, and the engine's own once nothing is in them."""
    for table in _tables(bridge):
        _run("nft", *table.split())


def end_file_helpers(directory: Path) -> None:
    """End the engine's helpers that read stopped containers' files: they would keep volumes mounted."""
    for pid in _processes(directory):
        with contextlib.suppress(OSError):
            if b"\0forkfile\0" in Path("/proc", str(pid), "cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _run(*command: str) -> None:
    subprocess.run(command, check=False, capture_output=True, timeout=30)


def _processes(directory: Path) -> Iterator[int]:
    """Yield the engine, its helpers, and the containers' first processes (a killed one takes the rest)."""
    marks = {f"{variable}={directory}" for variable in ("LXD_DIR", "INCUS_DIR")}
    parents: dict[int, int] = {}
    ours: set[int] = set()
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError):
            stat = (entry / "stat").read_text()
            state, parent_pid = stat.rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            parents[int(entry.name)] = int(parent_pid)
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            if marks & set(environment) or _is_helper(command, directory):
                ours.add(int(entry.name))
    for pid, parent in parents.items():
        if pid in ours or (parent in ours and parent != own):
            yield pid


def _is_helper(command: str, directory: Path) -> bool:
    monitor = command.startswith(f"[lxc monitor] {directory}/")
    resolver = Path(command.partition("\0")[0]).name == "dnsmasq" and f"{directory}/" in command
    return monitor or resolver


def _mounts(directory: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point.startswith(f"{directory}/"):
            yield point


def _loop_devices(directory: Path) -> Iterator[str]:
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if entry.read_text().startswith(f"{directory}/"):
                yield f"/dev/{entry.parts[3]}"


def _tables(bridge: str) -> Iterator[str]:
    """Yield the commands that remove our tables of `bridge`, and the engine's own when nothing is in it."""
    listing = subprocess.run(["nft", "-j", "list", "ruleset"], check=False, capture_output=True, timeout=30)
    objects = json.loads(listing.stdout or b"{}").get("nftables", [])
    occupied = set()
    for item in objects:
        chain = item.get("chain")
        if chain and chain["table"] in ("lxd", "incus"):
            if chain["name"].endswith(f".{bridge}"):
                yield f"delete chain {chain['family']} {chain['table']} {chain['name']}"
            else:
                occupied.add((chain["family"], chain["table"]))
    for item in objects:
        table = item.get("table")
        if not table:
            continue
        unused = table["name"] in ("lxd", "incus") and (table["family"], table["name"]) not in occupied
        if unused or table["name"] == f"tfd_{bridge}":
            yield f"delete table {table['family']} {table['name']}"
