"""What containers have that a session holds: a holder, a tag, sleep, a console."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from tfd.protocol.errors import Code, CommandError
from tflocation.commands.call import Body, Call, Handler, Services, record
from tflocation.consoles import ENDED, HISTORY
from tflocation.engines.interface import ContainerInfo, EngineError
from tflocation.outputs import last_lines


async def adopted(
    services: Services, container: ContainerInfo, session: str, *, asleep: bool
) -> ContainerInfo:
    """Give the container that exists to the session that asks for it again, begun where that is due."""
    if session and container.holder and container.holder != session:
        await services.engine.set_holder(container.id, session)
        container = replace(container, holder=session)
        services.learn(container)
    if container.holder and not asleep and container.state not in ENDED:
        container = await begin(services, container)
    return container


async def begin(services: Services, container: ContainerInfo) -> ContainerInfo:
    """Start the process of a container that is asleep: of a held one, once its console is attached.

    Raises EngineError, TimeoutError.
    """
    if container.holder:
        await services.consoles.keep(container).attached()
    await services.engine.wake(container.id)
    container = replace(container, asleep=False)
    services.learn(container)
    return container


@contextmanager
def tagged(services: Services, account: str, tag: str | None) -> Iterator[None]:
    """Keep a tag for the container that is being made. Raises CommandError exists."""
    if tag is None:
        yield
        return
    given = {container.tag for container in services.inventory.of(account)}
    if tag in given or (account, tag) in services.tags:
        text = f"the tag {tag} is another container's; choose one, or destroy that one"
        raise CommandError(Code.EXISTS, text)
    services.tags.add((account, tag))
    try:
        yield
    finally:
        services.tags.discard((account, tag))


async def wake(services: Services, call: Call) -> Body:
    """Start the process of a container that is asleep; one that runs is left alone.

    It is told again where it may have missed that, the location having been killed meanwhile.
    """
    container = services.inventory.own(call.account, call.parameters["id"])
    if container.state not in ENDED:
        await begin(services, container)
    return {}


async def reboot(services: Services, call: Call) -> Body:
    """End a container's processes and start it again; its console goes on."""
    container = services.inventory.own(call.account, call.parameters["id"])
    if container.id in services.inventory.rebooting:
        raise CommandError(Code.BUSY, f"container {container.id} is being rebooted already")
    services.inventory.rebooting.add(container.id)
    try:
        console = services.consoles.get(container.id)
        if console is not None:
            # What it said since its last start is known before that is over.
            with suppress(TimeoutError):
                await console.attached()
        with services.consoles.rebooting(container.id):
            reset = call.parameters.get("reset", False)
            container = await services.engine.reboot(container.id, reset=reset)
    except BaseException:
        services.inventory.rebooting.discard(container.id)
        with suppress(EngineError):
            services.learn(await services.engine.container(container.id))
        raise
    services.inventory.rebooting.discard(container.id)
    services.learn(container)
    return {"container": record(container)}


async def log(services: Services, call: Call) -> Body:
    """Tell the last output of a container's own process."""
    container = services.inventory.own(call.account, call.parameters["id"])
    console = services.consoles.get(container.id)
    if console is not None and console.history:
        output = console.history
    else:
        output = await services.engine.console_log(container.id)
    output, lines = output[-HISTORY:], call.parameters.get("lines")
    return {"log": output if lines is None else last_lines(output, lines)}


async def end_session(services: Services, call: Call) -> Body:
    """Destroy what the session holds; it stays open."""
    await asyncio.shield(services.end_session((call.account, call.client.holder)))
    return {}


HANDLERS: Mapping[str, Handler] = {
    "container.wake": wake,
    "container.reboot": reboot,
    "container.log": log,
    "session.end": end_session,
}
