"""The machines of the location: what the kernel tells of this one, and the engine's API of the others."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from tflocation.engines.interface import EngineError, NodeInfo
from tflocation.engines.lxd.client import Client

_LOAD = Path("/proc/loadavg")
_MEMORY = Path("/proc/meminfo")
_PRESSURE = Path("/proc/pressure/memory")
_UPTIME = Path("/proc/uptime")
_PAGES = Path("/proc/vmstat")
_PAGE = os.sysconf("SC_PAGESIZE")


async def nodes(client: Client, instances: list[dict[str, Any]]) -> list[NodeInfo]:
    """List all machines. One that does not answer is offline, and the others are listed all the same."""
    counts = Counter(raw["location"] for raw in instances)
    if not client.clustered:
        return [_local(client, sum(counts.values()))]
    answer = await client.get("/1.0/cluster/members", what="nodes", query={"recursion": "1"})
    found = []
    for member in answer.metadata:
        name = member["server_name"]
        if name == client.node:
            found.append(_local(client, counts[name]))
        else:
            found.append(await _remote(client, name, member["status"] == "Online", counts[name]))
    return found


def _local(client: Client, containers: int) -> NodeInfo:
    """Read this machine's load from its kernel, which is fresher and cheaper than by the engine.

    And surer: the engine's own resources fail now and then while network devices come and go.
    """
    cpus = os.cpu_count() or 1
    memory = _memory(_MEMORY.read_text())
    uptime, idle_time = _UPTIME.read_text().split()
    return NodeInfo(
        client.node,
        online=True,
        cpus=cpus,
        load=_share(float(_LOAD.read_text().split()[0]), cpus),
        memory_total=memory["MemTotal"],
        memory_free=memory["MemAvailable"],
        paging=paging(_PRESSURE.read_text()) if _PRESSURE.exists() else 0.0,
        containers=containers,
        uptime=float(uptime),
        idle_time=float(idle_time),
        swapped=swapped(_PAGES.read_text()) * _PAGE,
    )


async def _remote(client: Client, name: str, online: bool, containers: int) -> NodeInfo:
    try:
        cpus = await _cpus(client, name)
        answer = await client.get(f"/1.0/cluster/members/{name}/state", what=f"node {name}")
    except EngineError:
        return NodeInfo(name, False, 0, 1.0, 0, 0, 0.0, containers)
    system = answer.metadata["sysinfo"]
    return NodeInfo(
        name,
        online=online,
        cpus=cpus,
        load=_share(system["load_averages"][0], cpus),
        memory_total=system["total_ram"],
        memory_free=system["free_ram"] + system["buffered_ram"],
        paging=0.0,  # unknown from afar
        containers=containers,
    )


async def _cpus(client: Client, node: str) -> int:
    answer = await client.get("/1.0/resources", what=f"node {node}", query={"target": node})
    return max(1, int(answer.metadata["cpu"]["total"]))


def _share(load: float, cpus: int) -> float:
    return min(1.0, load / cpus)


def _memory(text: str) -> dict[str, int]:
    """Read /proc/meminfo (proc(5)) into bytes."""
    lines = (line.split() for line in text.splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) << 10 for fields in lines if fields[2:] == ["kB"]}


def swapped(text: str) -> int:
    """Read the pages swapped in and out since the start of the machine from /proc/vmstat (proc(5))."""
    fields = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    return int(fields.get("pswpin", 0)) + int(fields.get("pswpout", 0))


def paging(text: str) -> float:
    """Read the share of the last ten seconds in which some task waited for memory; 0 where it is not told."""
    for line in text.splitlines():
        kind, *fields = line.split()
        values = dict(field.partition("=")[::2] for field in fields)
        if kind == "some" and "avg10" in values:
            return min(1.0, float(values["avg10"]) / 100)
    return 0.0
