"""node.list and location.status."""

import time
from collections.abc import Mapping
from dataclasses import asdict

from tfd.protocol import __version__
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.engines.interface import NodeInfo

COUNTERS = frozenset({"uptime", "idle_time", "swapped"})
"""Fields of a node that mean nothing by themselves."""


async def records(services: Services) -> list[Body]:
    """Give the nodes with their resources. Raises EngineError."""
    now = time.monotonic()
    return [_record(services, node, now) for node in await services.engine.nodes()]


async def refresh(services: Services) -> None:
    """Ask for the nodes, and tell the watchers what changed. Raises EngineError."""
    services.announce(services.watching.take_nodes(await records(services)))


async def list_nodes(services: Services, call: Call) -> Body:
    """Tell the nodes with their resources, and the images that can be used there."""
    digests = [image.digest for image in await services.images.list(call.account)]
    return {"nodes": [node | {"images": digests} for node in await records(services)]}


def _record(services: Services, node: NodeInfo, now: float) -> Body:
    """Give a node as it travels: its counters as what it had to spare lately."""
    spare = services.node_stats.spare(node)
    fields = {name: value for name, value in asdict(node).items() if name not in COUNTERS}
    return fields | {
        "idle": spare.idle,
        "swapping": spare.swapping,
        "start_time": services.node_stats.start_time(node.name, now),
    }


async def describe(services: Services) -> Body:
    """Tell how the location does; answered also while the engine does not."""
    return {
        "name": services.config.name,
        "version": __version__,
        "engine": await services.engine.version(),
        "uptime": time.monotonic() - services.started,
        "sessions": services.sessions(),
        "channels": services.channels.open_channels,
        "counters": dict(services.counters),
    }


async def status(services: Services, call: Call) -> Body:  # noqa: ARG001 - all commands look alike
    """Tell how the location does."""
    return await describe(services)


HANDLERS: Mapping[str, Handler] = {"node.list": list_nodes, "location.status": status}
