"""Executes the calls of sessions: each is a task with a time limit, and always gets an answer."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Final

from tfd.protocol.errors import Code, CommandError
from tfd.protocol.session import Called
from tflocation.commands import HANDLERS
from tflocation.commands.call import Body, Call, Services, command_error
from tflocation.sessions import Session

TIME_LIMITS: Final = {
    "container.create": 1800.0,
    "image.commit": 1800.0,
    "blob.put": 6 * 3600.0,
    "session.end": 600.0,
}
"""Seconds for the slow calls: a registry's or a client's line decides about them."""

DEFAULT_TIME_LIMIT: Final = 120.0

WAITING: Final = frozenset({"port.wait", "container.output"})
"""Calls that do nothing but wait, so that they take no turn from others."""

SLOW: Final = frozenset({"container.create", "image.commit", "blob.put"})
"""Calls that take turns among themselves alone, so that none of the others waits for many of them."""

STOP_MARGIN: Final = 60.0
"""Seconds beyond the time that a client gives a container to stop by itself."""

WAIT_MARGIN: Final = 10.0
"""Seconds beyond the time for which a client wants to wait."""

HEARD_LIMIT: Final = 10.0
"""Seconds that a call waits for a location that was just started to know its containers."""


def execute(services: Services, session: Session, called: Called) -> None:
    """Start the call's task; the session's machine gets the answer, whatever happens."""
    task = asyncio.create_task(_run(services, session, called))
    session.tasks.add(task)
    task.add_done_callback(session.tasks.discard)


async def _run(services: Services, session: Session, called: Called) -> None:
    replied = False

    def reply(body: Body) -> None:
        nonlocal replied
        replied = True
        session.machine.reply(called.id, body)
        session.flush()

    # Opened before the first await: the client's data may follow its request at once.
    upload = session.upload(called.id)
    call = Call(session, called.params, reply, upload.chunks)
    try:
        handler = HANDLERS.get(called.name)
        if handler is None:
            raise CommandError(Code.UNAVAILABLE, f"{called.name} is not offered by this location")
        async with _turn(session, called), asyncio.timeout(_time_limit(called)):
            await _containers_known(services, called)
            body = await handler(services, call)
    except Exception as error:  # whatever it was, the client gets an answer  # noqa: BLE001
        session.machine.fail(called.id, command_error(called.name, error))
        services.counters[f"failed {called.name}"] += 1
    else:
        if not replied:
            session.machine.reply(called.id, body or {})
        session.machine.end_stream(called.id)
    finally:
        session.uploads.pop(called.id, None)
    session.flush()


def _turn(session: Session, called: Called) -> AbstractAsyncContextManager[object]:
    if called.name in WAITING:
        return nullcontext()
    return session.running_slow if called.name in SLOW else session.running


async def _containers_known(services: Services, called: Called) -> None:
    """Let a restart be a pause, and no error, for the clients that come back at once."""
    if "id" in called.params and not services.heard.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_LIMIT):
                await services.heard.wait()


def _time_limit(called: Called) -> float:
    if called.name == "container.stop":
        return float(called.params.get("timeout", 0)) + STOP_MARGIN
    if called.name == "port.wait":
        return float(called.params["timeout"]) + WAIT_MARGIN
    if called.name == "container.output":
        return float(called.params["wait"]) + WAIT_MARGIN
    return TIME_LIMITS.get(called.name, DEFAULT_TIME_LIMIT)
