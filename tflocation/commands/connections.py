"""connections.set: which containers of an environment may reach which."""

from collections.abc import Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation import connections
from tflocation.commands.call import Body, Call, Handler, Services


async def set_connections(services: Services, call: Call) -> Body:
    """Replace the whole set of the account's environment, and keep it for the service's next start."""
    environment = call.parameters["environment"]
    pairs = [(source, name, target) for source, name, target in call.parameters["pairs"]]
    for source, _, target in pairs:
        for container_id in (source, target):
            container = services.inventory.own(call.account, container_id)
            if container.name.split("/", 1)[0] != environment:
                raise CommandError(
                    Code.BAD_PARAMETER,
                    f"connections.set: container {container_id} is {container.name}; "
                    f"allowed: containers of environment {environment}",
                )
    async with services.lock("connections"):
        memory = await services.engine.load_memory()
        changes = connections.write(memory, call.account, environment, pairs)
        if changes:
            await services.engine.save_memory(changes)
            memory = await services.engine.load_memory()
        await _apply(services, memory)
    return {}


async def apply(services: Services) -> None:
    """Tell the engine all sets of all accounts, as after its start or a change of the containers."""
    async with services.lock("connections"):
        await _apply(services, await services.engine.load_memory())


async def open_for(services: Services, container_id: str) -> None:
    """Open the ways of a container that were allowed while the engine was still making it."""
    async with services.lock("connections"):
        memory = await services.engine.load_memory()
        sets = connections.read(memory).values()
        if any(container_id in (source, target) for pairs in sets for source, _, target in pairs):
            await _apply(services, memory)


async def _apply(services: Services, memory: Mapping[str, str]) -> None:
    pairs, hosts = connections.allowed(connections.read(memory), services.inventory.all())
    await services.engine.set_allowed(pairs, hosts)


HANDLERS: Mapping[str, Handler] = {"connections.set": set_connections}
