"""connections.set and connection.*: which containers may reach which."""

from collections.abc import Mapping
from contextlib import suppress

from tfd.protocol.errors import Code, CommandError
from tflocation import connections
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.engines.interface import Conflict

ATTEMPTS = 8
"""Tries of one change against other writers of the same container's pairs."""


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


async def allow(services: Services, call: Call) -> Body:
    """Let one container connect to another of the account."""
    return await _change(services, call, allow=True)


async def disallow(services: Services, call: Call) -> Body:
    """Close what `allow` opened, open connections included; what a declared set allows stays open."""
    return await _change(services, call, allow=False)


async def forget(services: Services) -> None:
    """Forget the single pairs of containers that are no longer there. Raises EngineError."""
    async with services.lock("connections"):
        memory = await services.engine.load_memory()
        if not _dead(services, memory):
            return
        # Before a pair is forgotten, be sure: another service's newest container may not be known here yet.
        await services.relist()
        changes = _dead(services, memory)
        expect = {key: memory.get(key) for key in changes}
        with suppress(Conflict):  # written meanwhile by another service, which will look by itself
            await services.engine.save_memory(changes, expect=expect)


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


async def _change(services: Services, call: Call, *, allow: bool) -> Body:
    source, target = call.parameters["from"], call.parameters["to"]
    for container_id in (source, target):
        services.inventory.own(call.account, container_id)
    async with services.lock("connections"):
        for _ in range(ATTEMPTS):
            memory = await services.engine.load_memory()
            changes = connections.write_single(memory, call.account, source, target, allow=allow)
            if not changes:
                return {}
            try:
                await services.engine.save_memory(changes, expect={key: memory.get(key) for key in changes})
            except Conflict:
                continue
            await _apply(services, await services.engine.load_memory())
            return {}
    raise CommandError(Code.BUSY, "the connections are being changed by others all the time; try again")


def _dead(services: Services, memory: Mapping[str, str]) -> connections.Changes:
    return connections.without(memory, {container.id for container in services.inventory.all()})


async def _apply(services: Services, memory: Mapping[str, str]) -> None:
    pairs, hosts = connections.allowed(connections.read(memory), services.inventory.all())
    await services.engine.set_allowed(pairs, hosts)


HANDLERS: Mapping[str, Handler] = {
    "connections.set": set_connections,
    "connection.allow": allow,
    "connection.disallow": disallow,
}
