"""ticket.take: one-time permission to open channels to a container's port."""

import asyncio
from collections.abc import Mapping

from tflocation.commands.call import Body, Call, Handler, Services, require_process


async def take(services: Services, call: Call) -> Body:
    """Mint tickets; answered from what is known, so that the engine's restarts stop no new connection."""
    container = services.inventory.own(call.account, call.parameters["id"])
    require_process(container)
    # Both drivers read the loop's clock.
    now = asyncio.get_running_loop().time()
    tickets = [
        services.tickets.mint(
            call.account, container.id, container.ip, call.parameters["port"], now, call.client.cipher
        )
        for _ in range(call.parameters["count"])
    ]
    return {
        "tickets": [
            {
                "id": ticket.id,
                "key": ticket.key,
                "host": None,
                "port": services.channel_port,
                "lifetime": services.tickets.lifetime,
            }
            for ticket in tickets
        ],
        "cipher": call.client.cipher,
    }


HANDLERS: Mapping[str, Handler] = {"ticket.take": take}
