"""node.list and location.status."""

import time
from collections.abc import Mapping
from dataclasses import asdict

from tfd.protocol import __version__
from tflocation.commands.call import Body, Call, Handler, Services


async def list_nodes(services: Services, call: Call) -> Body:  # noqa: ARG001 - all commands look alike
    """Tell the nodes with their resources, and the images that can be used there."""
    digests = [image.digest for image in await services.engine.images()]
    return {"nodes": [asdict(node) | {"images": digests} for node in await services.engine.nodes()]}


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
