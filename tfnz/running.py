"""Running a process to its end, as quickly as the location allows."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfd.protocol.pipe import Kind
from tfnz.exchange import Exchange

if TYPE_CHECKING:
    from tfnz.connection import Connection


def run(
    connection: "Connection", params: Mapping[str, Any], what: str, limit: float | None
) -> tuple[bytes, bytes, int]:
    """Run a process whose input is empty; give its output, its errors, and the location's exit code for it.

    Raises ValueError where it cannot be run, or has not ended after `limit` seconds; it is destroyed then.
    """
    output: dict[Kind, list[bytes]] = {Kind.DATA: [], Kind.ERROR_DATA: []}
    until = None if limit is None else time.monotonic() + limit
    with Exchange(connection, "process.start", params, what) as exchange:
        exchange.send(Kind.END)
        try:
            for piece in exchange.pieces(until=until):
                kept = output.get(piece.kind)
                if kept is not None:
                    kept.append(piece.payload)
        except TimeoutError:
            raise ValueError(f"{what} has not ended within {limit:g} s; it was destroyed") from None
        code = exchange.outcome.get("code")
    return (
        b"".join(output[Kind.DATA]),
        b"".join(output[Kind.ERROR_DATA]),
        code if isinstance(code, int) else 0,
    )
