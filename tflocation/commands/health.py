"""health.*: probes of a container for as long as the session lives."""

from collections.abc import Mapping

from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.probes import Probe


async def watch(services: Services, call: Call) -> Body:
    """Probe a container; events `container.health` follow. Again for the same container replaces it."""
    container = services.inventory.own(call.account, call.parameters["id"])
    call.client.watch(container.id, Probe(**call.parameters["probe"]))
    return {}


async def forget(services: Services, call: Call) -> Body:  # noqa: ARG001 - all commands look alike
    """End the probes of a container."""
    call.client.forget(call.parameters["id"])
    return {}


HANDLERS: Mapping[str, Handler] = {"health.watch": watch, "health.forget": forget}
