"""The ZAP handler (ZeroMQ RFC 27): decides for each CURVE handshake whether the client's key may enter.

libzmq asks over `inproc://zeromq.zap.01` with frames version, request id, domain, address, routing id,
mechanism, credentials; the answer's user id becomes the `User-Id` of every message of that connection.
"""

from collections.abc import Callable, Sequence

import zmq

from tfd.protocol.keys import z85_encode

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"

Admit = Callable[[str, str], bool]
"""Asked with the z85 public key and the client's address; true lets the key in."""


def answer(frames: Sequence[bytes], admit: Admit) -> list[bytes]:
    """Give the reply frames for one ZAP request, routing frames excluded.

    Anything but a well-formed CURVE request of a key that `admit` accepts is answered with 400.
    """
    request_id = frames[1] if len(frames) > 1 else b""
    if len(frames) != 7 or frames[0] != VERSION:
        return _reply(request_id, b"400", b"malformed request")
    address, mechanism, key = frames[3], frames[5], frames[6]
    if mechanism != b"CURVE" or len(key) != 32:
        return _reply(request_id, b"400", b"CURVE is required")
    encoded = z85_encode(key)
    if not admit(encoded, address.decode("ascii", "replace")):
        return _reply(request_id, b"400", b"unknown key")
    return _reply(request_id, b"200", b"OK", encoded.encode("ascii"))


def _reply(request_id: bytes, status: bytes, text: bytes, user: bytes = b"") -> list[bytes]:
    return [VERSION, request_id, status, text, user, b""]


class ZapHandler:
    """The socket on which libzmq asks; must be bound before the sockets that it guards."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", admit: Admit) -> None:
        self._admit = admit
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)

    def drain(self) -> bool:
        """Answer one waiting request; true if there was one."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        if len(frames) >= 2:
            self.socket.send_multipart([*frames[:2], *answer(frames[2:], self._admit)])
        return True

    def close(self) -> None:
        """Stop answering; handshakes that wait fail by their own time limit."""
        self.socket.close()
