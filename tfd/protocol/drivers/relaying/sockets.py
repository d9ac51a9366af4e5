"""What is done to a stream socket, whoever drives it."""

import socket
import struct
from collections.abc import Sequence
from typing import Final

# sendmsg(2) takes 1,024 pieces at most, and a socket buffer is full long before.
_PIECES: Final = 64
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def send_some(connection: socket.socket, chunks: Sequence[bytes | memoryview]) -> int:
    """Send what the kernel takes of the chunks, and give the number of bytes. Raises OSError."""
    if len(chunks) == 1:
        return connection.send(chunks[0])
    return connection.sendmsg(chunks[:_PIECES])


def close(connection: socket.socket, *, reset: bool) -> None:
    """Close in order, or so that the peer sees a reset (socket(7), SO_LINGER with a time of 0)."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    connection.close()
