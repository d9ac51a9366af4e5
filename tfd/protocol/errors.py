"""Errors of the protocol, told apart by whose fault they are. This file imports nothing."""

from enum import StrEnum


class Code(StrEnum):
    """The codes an ERROR message may carry as its name."""

    VERSION = "version"
    UNKNOWN_COMMAND = "unknown-command"
    BAD_PARAMETER = "bad-parameter"
    DENIED = "denied"
    REVOKED = "revoked"
    NOT_FOUND = "not-found"
    EXISTS = "exists"
    LIMIT = "limit"
    BUSY = "busy"
    ENGINE = "engine"
    UNAVAILABLE = "unavailable"
    TIME_OUT = "time-out"
    DIGEST = "digest"
    MALFORMED = "malformed"


class TfdError(Exception):
    """Base of every error that tfd's own code raises."""


class ProtocolError(TfdError):
    """The peer sent something that the protocol does not allow."""


class VersionError(ProtocolError):
    """The peer's message has a protocol version that this program does not speak.

    `theirs` is the version number found in the message.
    """

    def __init__(self, theirs: int) -> None:
        super().__init__(f"the message has protocol version {theirs}")
        self.theirs = theirs


class UsageError(TfdError):
    """Our own caller asked for something that the object does not allow in its present state."""


class InviteError(TfdError):
    """The line given as an invite is not one."""


class KeyFileError(TfdError):
    """A key file cannot be read, written or trusted; the message names the file and what to do."""


class CommandError(TfdError):
    """A command failed; `code` and `message` travel to the peer that asked for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = str(code)
        self.message = message
