"""container.*: an account's own containers; another's do not exist for it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tfd.protocol.errors import Code, CommandError
from tflocation.commands import connections
from tflocation.commands.call import Body, Call, Creation, Handler, Reservation, Services, record
from tflocation.commands.held import adopted, begin, tagged
from tflocation.commands.volumes import ensure
from tflocation.engines.interface import ContainerInfo, ContainerSpec, EngineError, FileSpec, VolumeInfo
from tflocation.leases import Holder
from tflocation.limits import Usage, check_container
from tflocation.placement import best_node

log = logging.getLogger(__name__)

DEFAULT_STOP_TIMEOUT = 10.0
"""Seconds between the stop signal and the kill."""


async def list_containers(services: Services, call: Call) -> Body:
    """Tell the account's containers, as the engine says now."""
    await services.relist()
    return {"containers": [record(container) for container in services.inventory.of(call.account)]}


async def get(services: Services, call: Call) -> Body:
    """Tell one container, as the engine says now."""
    services.inventory.own(call.account, call.parameters["id"])
    return _told(services, await services.engine.container(call.parameters["id"]))


async def start(services: Services, call: Call) -> Body:
    """Start a stopped container."""
    services.inventory.own(call.account, call.parameters["id"])
    return _told(services, await services.engine.start(call.parameters["id"]))


async def stop(services: Services, call: Call) -> Body:
    """Stop a container with its stop signal, and kill it after the time limit."""
    services.inventory.own(call.account, call.parameters["id"])
    timeout = call.parameters.get("timeout", DEFAULT_STOP_TIMEOUT)
    return _told(services, await services.engine.stop(call.parameters["id"], timeout))


async def destroy(services: Services, call: Call) -> Body:
    """Destroy a container; one that is gone already is destroyed."""
    try:
        container = services.inventory.own(call.account, call.parameters["id"])
    except CommandError as error:
        if error.code == Code.NOT_FOUND:
            return {}
        raise
    await remove(services, container)
    return {}


async def remove(services: Services, container: ContainerInfo) -> None:
    """Destroy a container; one that is gone already is destroyed. Raises EngineError."""
    with services.consoles.destroying(container.id):
        await services.engine.destroy(container.id)
    services.tell(services.inventory.drop(container.id))
    log.info("container destroyed", extra={"fields": _fields(container)})


async def create(services: Services, call: Call) -> Body:
    """Create and start a container; the same account, name and key give the one that exists."""
    identity = (call.account, call.parameters["name"], call.parameters["key"])
    creation = services.creations.get(identity)
    if creation is None:
        session = call.client.holder if call.parameters.get("held") else ""
        creation = services.creations[identity] = Creation((call.account, session))
        creation.task = asyncio.create_task(_create(services, creation, call.parameters))
        creation.task.add_done_callback(lambda _: services.creations.pop(identity, None))
    assert creation.task is not None
    # A creation outlives the session that asked for it: the client learns of it when it comes back.
    return {"container": record(await asyncio.shield(creation.task))}


async def _create(services: Services, creation: Creation, parameters: Mapping[str, Any]) -> ContainerInfo:
    account, session = creation.holder
    existing = await _existing(services, account, parameters["name"], parameters["key"])
    if existing is not None:
        return await adopted(services, existing, session, asleep=parameters.get("asleep", False))
    with tagged(services, account, parameters.get("tag")):
        container = await _made(services, creation, parameters)
    await connections.open_for(services, container.id)
    log.info("container created", extra={"fields": _fields(container)})
    return container


async def _made(services: Services, creation: Creation, parameters: Mapping[str, Any]) -> ContainerInfo:
    account, session = creation.holder
    limits = services.config.limits_of(account)
    memory = parameters["config"].get("memory", limits.container_memory)
    usage = services.inventory.usage(account, limits.container_memory)
    reserved = services.reservations.setdefault(account, Reservation())
    check_container(
        limits, Usage(usage.containers + reserved.containers, usage.memory + reserved.memory), memory
    )
    with _reserved(reserved, memory):
        spec = await _spec(services, creation.holder, parameters, memory)
        began = time.monotonic()
        try:
            container = await services.engine.create_container(spec)
        except EngineError:
            if spec.node is not None:
                services.failures.add(account, spec.name, spec.node, time.monotonic())
            raise
        now = time.monotonic()
        services.node_stats.started(container.node, now - began, now)
        services.learn(container)
    if creation.unwanted:
        await remove(services, container)
        raise CommandError(Code.UNAVAILABLE, f"{spec.name}: its session has ended meanwhile")
    if session and not spec.asleep:
        try:
            container = await begin(services, container)
        except (EngineError, TimeoutError):
            await remove(services, container)
            raise
    return container


async def _existing(services: Services, account: str, name: str, key: str) -> ContainerInfo | None:
    if not services.inventory.loaded:
        await services.relist()
    for container in services.inventory.of(account):
        if (container.name, container.key) == (name, key):
            return container
    return None


@contextmanager
def _reserved(reservation: Reservation, memory: int) -> Iterator[None]:
    reservation.containers += 1
    reservation.memory += memory
    try:
        yield
    finally:
        reservation.containers -= 1
        reservation.memory -= memory


async def _spec(
    services: Services, holder: Holder, parameters: Mapping[str, Any], memory: int
) -> ContainerSpec:
    account, session = holder
    config = parameters["config"]
    digest = await services.images.resolve(parameters["image"], account)
    process = await services.images.process(
        digest, config.get("command"), config.get("entrypoint"), config.get("environment", {})
    )
    files = {
        path: FileSpec(services.images.blob(file["digest"]), file["mode"])
        for path, file in config.get("files", {}).items()
    }
    volumes = tuple((name, mount) for name, mount in config.get("volumes", ()))
    node = await _node(services, account, parameters, [name for name, _ in volumes])
    for name, _ in volumes:
        await ensure(services, account, name, node, None)
    return ContainerSpec(
        account=account,
        name=parameters["name"],
        key=parameters["key"],
        image=digest,
        process=process,
        node=node,
        volumes=volumes,
        files=files,
        memory=memory,
        cpus=config.get("cpus"),
        processes=config.get("processes"),
        holder=session,
        tag=parameters.get("tag"),
        asleep=parameters.get("asleep", False),
        terminal=bool(session),
    )


async def _node(services: Services, account: str, parameters: Mapping[str, Any], volumes: list[str]) -> str:
    """Give the node asked for, or the one where the volumes lie, or the best one.

    Raises CommandError: not-found, unavailable.
    """
    nodes = {node.name: node for node in await services.engine.nodes()}
    asked = parameters.get("node")
    if asked is not None and asked not in nodes:
        raise CommandError(Code.NOT_FOUND, f"there is no node {asked}; there are {', '.join(sorted(nodes))}")
    present = {
        volume.name: volume
        for volume in (await services.engine.volumes() if volumes else [])
        if volume.account == account
    }
    # A lone engine names no node for its volumes: they lie on the only one.
    held = (
        _node_of_volumes([present[name] for name in volumes if name in present], asked)
        if len(nodes) > 1
        else None
    )
    chosen = asked or held
    if chosen is None:
        return _best(services, account, parameters["name"], list(nodes.values()))
    node = nodes.get(chosen)
    if node is None or not node.online:
        raise CommandError(Code.UNAVAILABLE, f"node {chosen} is not online")
    return chosen


def _node_of_volumes(volumes: list[VolumeInfo], asked: str | None) -> str | None:
    """Give the node where the volumes lie, None where there is none yet.

    Raises CommandError unavailable where they cannot be together on one node.
    """
    held = asked
    for volume in volumes:
        if held is not None and volume.node != held:
            raise CommandError(
                Code.UNAVAILABLE,
                f"volume {volume.name} lies on node {volume.node}, the container is for {held}",
            )
        held = volume.node
    return held if volumes else None


def _best(services: Services, account: str, name: str, nodes: list[Any]) -> str:
    declared = name.rsplit("/", 1)[0]
    now = time.monotonic()
    copies = Counter(
        container.node
        for container in services.inventory.of(account)
        if container.name.rsplit("/", 1)[0] == declared
    )
    failures = {node.name: services.failures.count(account, name, node.name, now) for node in nodes}
    choice = best_node(name, nodes, failures, copies)
    if choice is None:
        raise CommandError(Code.UNAVAILABLE, "no node of this location is online")
    log.info(
        "node chosen", extra={"fields": {"container": name, "node": choice.node, "reason": choice.reason}}
    )
    return choice.node


def _told(services: Services, container: ContainerInfo) -> Body:
    services.learn(container)
    return {"container": record(container)}


def _fields(container: ContainerInfo) -> dict[str, object]:
    return {
        "container": container.id,
        "name": container.name,
        "account": container.account,
        "node": container.node,
    }


HANDLERS: Mapping[str, Handler] = {
    "container.list": list_containers,
    "container.get": get,
    "container.create": create,
    "container.start": start,
    "container.stop": stop,
    "container.destroy": destroy,
}
