"""The handlers of commands, against the protocol's table."""

from tfd.protocol.commands import COMMANDS
from tflocation.commands import HANDLERS


def test_every_command_has_a_handler() -> None:
    """What the table declares is answered, and nothing else; hello is the session's own."""
    assert HANDLERS.keys() == COMMANDS.keys() - {"hello"}
