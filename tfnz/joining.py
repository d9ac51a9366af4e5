"""An invite is proved to the location that it comes from."""

from collections.abc import Callable

from tfd.protocol.events import Welcome
from tfnz.account import Account
from tfnz.connection import Connection, Disconnected

LIMIT = 10.0
"""Seconds for the location's answer."""


def prove(account: Account, token: bytes, acceptable: Callable[[str], str]) -> str:
    """Make the account's key known at the location, by the token of an invite.

    Args:
        account: the keys and where the location is.
        token: of the invite.
        acceptable: gets the location's own name before the token is used, and raises if it will not do.

    Returns:
        What `acceptable` gave.

    Raises:
        ValueError: the location refuses the invite.
        RuntimeError: the location does not answer, or what `acceptable` raises.
        TimeoutError: it fell silent.

    """
    connection = Connection(account, _Guest())
    try:
        try:
            welcome = connection.open()
        except ValueError as error:
            raise ValueError(f"{error}; an invite is good once and for a time: ask for a new one") from None
        name = acceptable(welcome.location)
        connection.call("join", {"token": token}, LIMIT)
    finally:
        connection.close(farewell=False)
    return name


class _Guest:
    """Owner of a connection that holds nothing."""

    def connection_opened(self, welcome: Welcome) -> None:
        """Wait for what `open` gives."""

    def connection_ended(self, error: Disconnected) -> None:
        """Wait for what `call` raises."""

    def callback_failed(self, error: BaseException) -> None:
        """There are no callbacks."""
