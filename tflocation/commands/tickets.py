"""ticket.take: one-time permission to open channels to a container's port."""

import asyncio
from collections.abc import Mapping

from tflocation.commands.call import Body, Call, Handler, Services, require_process
from tflocation.tickets import PortTarget, Target


async def take(services: Services, call: Call) -> Body:
    """Mint tickets; answered from what is known, so that the engine's restarts stop no new connection."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    target = PortTarget(container.ip, call.parameters["port"])
    tickets = [mint(services, call, container.id, target) for _ in range(call.parameters["count"])]
    return {"tickets": tickets, "cipher": call.client.cipher}


def mint(services: Services, call: Call, container: str, target: Target) -> Body:
    """Give a ticket as it travels. Raises CommandError limit."""
    # Both drivers read the loop's clock.
    now = asyncio.get_running_loop().time()
    ticket = services.tickets.mint(call.account, container, target, now, call.client.cipher)
    return {
        "id": ticket.id,
        "key": ticket.key,
        "host": None,
        "port": services.channel_port,
        "lifetime": services.tickets.lifetime,
    }


HANDLERS: Mapping[str, Handler] = {"ticket.take": take}
