"""keys.*: an account's key-value store."""

from collections.abc import Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation import keyvalues
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.commands.remembered import refresh
from tflocation.engines.interface import Conflict

ATTEMPTS = 8
"""Tries of one change against other writers of the same store."""


async def get(services: Services, call: Call) -> Body:
    """Tell all values."""
    return {"values": keyvalues.read(await refresh(services), call.account)}


async def set_keys(services: Services, call: Call) -> Body:
    """Change values, all or none, and let every session of the account know before this one goes on."""
    changes, expect = call.parameters["changes"], call.parameters.get("expect", {})
    for _ in range(ATTEMPTS):
        memory = await services.engine.load_memory()
        written = keyvalues.write(memory, call.account, changes, expect)
        if not written:
            return {}
        try:
            guard = keyvalues.guarded(memory, call.account, written)
            await services.engine.save_memory(written, expect=guard)
        except Conflict:
            continue
        await refresh(services)
        return {}
    raise CommandError(Code.BUSY, "the key-value store is being changed by others all the time; try again")


HANDLERS: Mapping[str, Handler] = {"keys.get": get, "keys.set": set_keys}
