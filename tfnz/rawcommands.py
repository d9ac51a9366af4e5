"""The few commands that programs written for 20ft send by name over `location.conn`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tfd.protocol.drivers.link import Answer, Failure

if TYPE_CHECKING:
    from tfnz.connection import Connection

_PRESENT: Final[Mapping[bytes, tuple[str, Mapping[str, Any]]]] = {
    b"ping": ("location.status", {}),
    b"heartbeat": ("location.status", {}),
    b"prepare_domain": ("domain.prepare", {}),
    b"claim_domain": ("domain.claim", {}),
    b"make_domain_global": ("domain.share", {"shared": True}),
    b"make_domain_private": ("domain.share", {"shared": False}),
    b"release_domain": ("domain.release", {}),
}
"""Our name of each, and the parameters that the name implied."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as these programs read it; texts in `params` are bytes. A failure is `exception` there."""

    params: dict[str, Any] = field(default_factory=dict)
    bulk: bytes = b""
    uuid: bytes = b""


def translated(name: bytes | str, params: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Give our name and parameters of a command. Raises ValueError where there is none any more."""
    raw = name if isinstance(name, bytes) else str(name).encode()
    if raw not in _PRESENT:
        known = ", ".join(sorted(known.decode() for known in _PRESENT))
        raise ValueError(f"{name!r} is not a command to send by name; there are: {known}")
    command, implied = _PRESENT[raw]
    return command, {**(params or {}), **implied}


def reply_of(answer: Answer, uuid: bytes = b"") -> Reply:
    """Give an answer as these programs read it."""
    if isinstance(answer, Failure):
        return Reply({"exception": answer.message}, uuid=uuid)
    texts = {name: value.encode() if isinstance(value, str) else value for name, value in answer.items()}
    return Reply(texts, uuid=uuid)


def send_blocking(
    connection: "Connection", name: bytes | str, params: Mapping[str, Any] | None, timeout: float
) -> Reply:
    """Send a command and wait for its reply. Raises as `Connection.call` does."""
    command, present = translated(name, params)
    return reply_of(connection.call(command, present, timeout))
