"""domain.*: the domains under which accounts publish; kept in the engine's memory area."""

import secrets
import time
from collections.abc import Mapping

from tfd.protocol.errors import Code, CommandError
from tflocation.accounts import Book
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.web import proof
from tflocation.web.domains import Changes, Domains, entry
from tflocation.web.names import normalise

TOKEN_BYTES = 16


def host_name(text: str) -> str:
    """Give a name in its one spelling. Raises CommandError bad-parameter."""
    try:
        return normalise(text)
    except ValueError as error:
        raise CommandError(Code.BAD_PARAMETER, str(error)) from None


def domains_in(services: Services, memory: Mapping[str, str]) -> Domains:
    """Give the domains of all accounts, as the memory area has them."""
    living = {account.name for account in Book.read(memory).accounts.values() if not account.revoked}
    web = services.config.web
    return Domains(memory, web.domains if web is not None else (), living)


async def read(services: Services) -> tuple[Domains, Mapping[str, str]]:
    """Give the domains of all accounts, and the memory area that they were read from."""
    memory = await services.engine.load_memory()
    return domains_in(services, memory), memory


def usable_in(services: Services, account: str, memory: Mapping[str, str]) -> list[Body]:
    """Tell the domains that an account may publish under; `own` are those that it claimed."""
    return [
        {"name": domain.name, "shared": domain.shared, "own": domain.account == account}
        for domain in domains_in(services, memory).usable(account)
    ]


async def listed(services: Services, call: Call) -> Body:
    """Tell them to the client."""
    return {"domains": usable_in(services, call.account, await services.engine.load_memory())}


async def prepare(services: Services, call: Call) -> Body:
    """Give the token that the TXT record must show."""
    name = host_name(call.parameters["domain"])
    async with services.lock("domains"):
        domains, _ = await read(services)
        fresh = secrets.token_hex(TOKEN_BYTES)
        token, changes = domains.prepare(call.account, name, fresh, time.time())
        if changes:
            await services.engine.save_memory(changes)
    return {"token": token}


async def claim(services: Services, call: Call) -> Body:
    """Look the record up, and make the domain the account's."""
    name = host_name(call.parameters["domain"])
    domains, _ = await read(services)
    token = domains.token(call.account, name, time.time())
    if not token:
        return {}
    settings = services.config.web
    await proof.require(name, token, settings.resolver if settings is not None else None)
    async with services.lock("domains"):
        domains, memory = await read(services)
        await _write(services, name, memory, domains.claim(call.account, name))
    return {}


async def share(services: Services, call: Call) -> Body:
    """Let all accounts publish under the domain, or no longer."""
    name = host_name(call.parameters["domain"])
    async with services.lock("domains"):
        domains, memory = await read(services)
        await _write(services, name, memory, domains.share(call.account, name, call.parameters["shared"]))
    return {}


async def release(services: Services, call: Call) -> Body:
    """Give the domain up; what is published under it stays while its session lives."""
    name = host_name(call.parameters["domain"])
    async with services.lock("domains"):
        domains, memory = await read(services)
        await _write(services, name, memory, domains.release(call.account, name))
    return {}


async def _write(services: Services, name: str, memory: Mapping[str, str], changes: Changes) -> None:
    key = entry(name)
    await services.engine.save_memory(changes, expect={key: memory.get(key)})


HANDLERS: Mapping[str, Handler] = {
    "domain.list": listed,
    "domain.prepare": prepare,
    "domain.claim": claim,
    "domain.share": share,
    "domain.release": release,
}
