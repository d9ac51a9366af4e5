"""health.*: probes of a container for as long as the session lives; port.wait: one that must succeed once."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tfd.protocol.errors import Code, CommandError
from tflocation.commands.call import Body, Call, Handler, Services, require_process
from tflocation.probes import Probe, probe_once

WAIT_INTERVAL: Final = 0.5
"""Seconds between two tries of port.wait."""

TRY_LIMIT: Final = 2.0
"""Seconds for one try."""


async def watch(services: Services, call: Call) -> Body:
    """Probe a container; events `container.health` follow. Again for the same container replaces it."""
    container = services.inventory.own(call.account, call.parameters["id"])
    call.client.watch(container.id, Probe(**call.parameters["probe"]))
    return {}


async def forget(services: Services, call: Call) -> Body:  # noqa: ARG001 - all commands look alike
    """End the probes of a container."""
    call.client.forget(call.parameters["id"])
    return {}


async def wait(services: Services, call: Call) -> Body:
    """Try to connect to a container's port again and again until it accepts."""
    container_id, port = call.parameters["id"], call.parameters["port"]
    loop = asyncio.get_running_loop()
    end = loop.time() + call.parameters["timeout"]
    while True:
        container = services.inventory.own(call.account, container_id)
        require_process(container)
        left = max(0.1, min(TRY_LIMIT, end - loop.time()))
        failure = await probe_once(Probe("tcp", port, timeout=left), container.ip)
        if failure is None:
            return {}
        if loop.time() + WAIT_INTERVAL >= end:
            waited = f"{call.parameters['timeout']:g} s"
            raise CommandError(
                Code.TIME_OUT, f"container {container_id} accepted no connection within {waited}: {failure}"
            )
        await asyncio.sleep(WAIT_INTERVAL)


HANDLERS: Mapping[str, Handler] = {"health.watch": watch, "health.forget": forget, "port.wait": wait}
