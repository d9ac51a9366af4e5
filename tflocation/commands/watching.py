"""location.watch: all that an account sees here, and each change from then on."""

from collections.abc import Mapping

from tflocation.commands import nodes, volumes
from tflocation.commands.call import Body, Call, Handler, Services, record
from tflocation.commands.domains import usable_in
from tflocation.commands.remembered import refresh


async def watch(services: Services, call: Call) -> Body:
    """Tell all; whatever changes after this answer was made is told by an event that follows it."""
    account, watching = call.account, services.watching
    if not services.inventory.loaded:
        await services.relist()
    await nodes.refresh(services)
    await volumes.refresh(services)
    memory = await refresh(services)
    # From here on without waiting: no change comes between this answer and the first event.
    services.announce(watching.take_domains(account, usable_in(services, account, memory)))
    call.client.observe()
    return {
        "nodes": watching.nodes(),
        "volumes": watching.volumes(account),
        "containers": [record(container) for container in services.inventory.of(account)],
        "keys": dict(watching.keys(account)),
        "domains": watching.domains(account),
        "web": services.config.web is not None,
        "lease": float(services.config.lease),
    }


HANDLERS: Mapping[str, Handler] = {"location.watch": watch}
