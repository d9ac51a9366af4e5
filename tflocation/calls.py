"""Executes the calls of sessions: each is a task with a time limit, and always gets an answer."""

import asyncio
import logging
from typing import Final

from tfd.protocol.errors import Code, CommandError, UsageError
from tfd.protocol.session import Called
from tflocation.commands import HANDLERS
from tflocation.commands.call import Body, Call, Services, as_command_error
from tflocation.engines.interface import EngineError
from tflocation.sessions import Session

log = logging.getLogger(__name__)

TIME_LIMITS: Final = {"container.create": 1800.0, "image.commit": 1800.0, "blob.put": 6 * 3600.0}
"""Seconds for the slow calls: a registry's or a client's line decides about them."""

DEFAULT_TIME_LIMIT: Final = 120.0

STOP_MARGIN: Final = 60.0
"""Seconds beyond the time that a client gives a container to stop by itself."""


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
        async with session.running, asyncio.timeout(_time_limit(called)):
            body = await handler(services, call)
    except Exception as error:  # whatever it was, the client gets an answer  # noqa: BLE001
        session.machine.fail(called.id, _command_error(called.name, error))
        services.counters[f"failed {called.name}"] += 1
    else:
        if not replied:
            session.machine.reply(called.id, body or {})
        session.machine.end_stream(called.id)
    finally:
        session.uploads.pop(called.id, None)
    session.flush()


def _time_limit(called: Called) -> float:
    if called.name == "container.stop":
        return float(called.params.get("timeout", 0)) + STOP_MARGIN
    return TIME_LIMITS.get(called.name, DEFAULT_TIME_LIMIT)


def _command_error(name: str, error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    if isinstance(error, EngineError):
        return as_command_error(error)
    if isinstance(error, TimeoutError):
        return CommandError(Code.TIME_OUT, f"{name} took too long and was given up")
    if isinstance(error, UsageError):
        return CommandError(Code.UNAVAILABLE, f"{name}: {error}")
    log.error("command failed by a defect", exc_info=error, extra={"fields": {"command": name}})
    return CommandError(Code.ENGINE, f"{name} failed inside the location; its log says why")
