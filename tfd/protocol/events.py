"""What a session tells its driver: frozen values, in the order in which they happened."""

from typing import Any

from tfd.protocol.commands import Role
from tfd.protocol.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the location answered to hello.

    `heartbeat` is in seconds and holds for both ends. `resumed`: the location still knows the session.
    """

    version: int
    location: str
    account: str
    role: Role
    resumed: bool
    cipher: str
    heartbeat: float
    channel_port: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The session is open, for the first time or again."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Replied:
    """A request was answered."""

    id: int
    name: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A request failed, at the location or on the way; `code` is one of errors.Code or a newer peer's."""

    id: int
    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Event:
    """The location tells something that nobody asked for; the names are commands.EVENTS."""

    name: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """The location ended the session for good, until the driver connects anew."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The session has no peer any more; the driver drops the transport. A client then connects anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A client said hello; `session` is what a later hello resumes by."""

    session: bytes
    program: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class Called:
    """A client asks for a command; the parameters are checked. Ends with reply(id, ...) or fail(id, ...)."""

    id: int
    name: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamCredit:
    """The peer takes more of a stream: `credit` bytes may be sent now, in all."""

    id: int
    credit: int


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes came on a stream."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer will send nothing more on a stream."""

    id: int


@dataclass(frozen=True, slots=True)
class StreamAborted:
    """A stream is over in both directions, unfinished; `code` is set where the peer gave an error's."""

    id: int
    reason: str
    code: str = ""


StreamEvent = StreamCredit | StreamData | StreamEnded | StreamAborted
SessionEvent = Opened | Replied | Failed | Event | Refused | Lost | StreamEvent
ServerEvent = Attached | Called | Lost | StreamEvent
