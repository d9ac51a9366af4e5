"""The memory area as it is now: accounts, key-value stores and domains, told to whom they concern."""

from collections.abc import Mapping

from tflocation import keyvalues
from tflocation.commands import domains
from tflocation.commands.call import Services
from tflocation.engines.interface import NotFound


async def refresh(services: Services) -> Mapping[str, str]:
    """Read the memory area, let everybody follow what changed in it, and give it. Raises EngineError."""
    # In order: of two readings at once the older one could come second, and take a change back.
    async with services.lock("reading the memory area"):
        try:
            memory = await services.engine.load_memory()
        except NotFound:
            # A new engine has no place for it yet; the first write makes one.
            memory = {}
        services.accounts.take(memory)
        services.accounts_changed()
        services.announce(services.watching.take_keys(keyvalues.read_all(memory)))
        for account in services.observers():
            services.announce(
                services.watching.take_domains(account, domains.usable_in(services, account, memory))
            )
    return memory
