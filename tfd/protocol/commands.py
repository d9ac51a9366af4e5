"""The one table of commands: who may send each, with which parameters, and whether it may be repeated.

Both ends read it: the location checks every request against it, the client learns which requests
it may send again after a reconnect.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tfd.protocol.command_types import NAME, WELCOME, Command, Repeat, Role
from tfd.protocol.container_commands import CONTAINER_COMMANDS
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.location_commands import LOCATION_COMMANDS
from tfd.protocol.schema import Mismatch, Table, shown

__all__ = ["COMMANDS", "EVENTS", "NAME", "WELCOME", "Command", "Repeat", "Role", "check"]

EVENTS = frozenset(
    {
        "heartbeat",
        "container.changed",
        "container.gone",
        "container.health",
        "node.changed",
        "node.gone",
        "volume.changed",
        "volume.gone",
        "keys.changed",
        "domains.changed",
        "session.ended",
    }
)

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {command.name: command for command in (*LOCATION_COMMANDS, *CONTAINER_COMMANDS)}
)


def check(name: str, params: Any, role: Role) -> dict[str, Any]:
    """Give the parameters of a request, checked; those not given or nil are absent, numbers are floats.

    Raises CommandError: unknown-command, denied (the role is too low) or bad-parameter, with a message
    that names the command, the parameter, what was found and what is allowed.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise CommandError(Code.UNKNOWN_COMMAND, f"{shown(name)} is not a command of this location")
    if role < command.role:
        needed, has = command.role.name.lower(), role.name.lower()
        raise CommandError(Code.DENIED, f"{name}: the account's role is {has}; allowed: {needed}")
    try:
        return Table(command.parameters).check(params, "")
    except Mismatch as error:
        raise CommandError(Code.BAD_PARAMETER, f"{name}: {error}") from None
