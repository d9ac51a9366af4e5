"""join, and account.*: who may use the location."""

from collections.abc import Mapping

from tfd.protocol.commands import Role
from tflocation.commands.call import Body, Call, Handler, Services
from tflocation.values import CONTROL_PORT, parse_address


async def join(services: Services, call: Call) -> Body:
    """Make the connection's key an account by an invite's token. The invite, not the client, names it."""
    account = await services.accounts.join(call.client.key, call.parameters["token"])
    call.client.joined(account)
    return {"account": account.name, "role": account.role.name.lower()}


async def invite(services: Services, call: Call) -> Body:
    """Make an invite for a new account."""
    role = Role[call.parameters["role"].upper()]
    address = parse_address(call.parameters["address"], CONTROL_PORT)
    line = await services.accounts.invite_line(
        call.parameters["name"], role, call.parameters["expires"], address, services.public_key
    )
    return {"invite": line}


async def list_accounts(services: Services, call: Call) -> Body:  # noqa: ARG001 - all commands look alike
    """Tell the accounts and the invites that are still open."""
    await services.accounts.refresh()
    book = services.accounts.book
    return {
        "accounts": [
            {
                "name": account.name,
                "role": account.role.name.lower(),
                "key": account.key,
                "created": account.created,
                "revoked": account.revoked,
            }
            for account in book.accounts.values()
        ]
    }


async def revoke(services: Services, call: Call) -> Body:
    """End an account: its sessions and channels close at once."""
    await services.accounts.revoke(call.parameters["name"])
    services.accounts_changed()
    return {}


HANDLERS: Mapping[str, Handler] = {
    "join": join,
    "account.invite": invite,
    "account.list": list_accounts,
    "account.revoke": revoke,
}
