"""Sessions: both ends and the events that they give, under one name for drivers to import from."""

from tfd.protocol.client_session import ClientSession, State
from tfd.protocol.events import (
    Attached,
    Called,
    Event,
    Failed,
    Lost,
    Opened,
    Refused,
    Replied,
    ServerEvent,
    SessionEvent,
    StreamAborted,
    StreamCredit,
    StreamData,
    StreamEnded,
    Welcome,
)
from tfd.protocol.server_session import ServerSession, session_id_of
from tfd.protocol.server_session import State as ServerState

__all__ = [
    "Attached",
    "Called",
    "ClientSession",
    "Event",
    "Failed",
    "Lost",
    "Opened",
    "Refused",
    "Replied",
    "ServerEvent",
    "ServerSession",
    "ServerState",
    "SessionEvent",
    "State",
    "StreamAborted",
    "StreamCredit",
    "StreamData",
    "StreamEnded",
    "Welcome",
    "session_id_of",
]
