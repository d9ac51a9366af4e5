"""What every command gets: the parts of the location, and the call itself."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tfd.protocol.command_types import UUID_ALPHABET, Role
from tfd.protocol.errors import Code, CommandError, UsageError
from tflocation.accounts import Account, Accounts
from tflocation.channels import ChannelServer
from tflocation.config import Config
from tflocation.consoles import Consoles
from tflocation.engines import interface
from tflocation.engines.interface import ContainerInfo, Engine, EngineError, State
from tflocation.images import Images
from tflocation.inventory import Difference, Inventory
from tflocation.leases import Holder
from tflocation.nodestats import NodeStats
from tflocation.outputs import Outputs
from tflocation.pipes import Pipes
from tflocation.placement import Failures
from tflocation.probes import Probe
from tflocation.tickets import Tickets
from tflocation.uuids import derived
from tflocation.watching import Told, Watching
from tflocation.web.gateway import Gateway

log = logging.getLogger(__name__)

Body = dict[str, Any]

_SDK_NAME = re.compile(rf"sdk/([{UUID_ALPHABET}]{{22}})/0")


class Client(Protocol):
    """The session that a call came from."""

    @property
    def account(self) -> str:
        """Name of the account; empty for a guest."""

    @property
    def key(self) -> str:
        """Verified public key, z85."""

    @property
    def role(self) -> Role:
        """What it may do."""

    @property
    def holder(self) -> str:
        """The session's id in hexadecimal, under which it holds things."""

    @property
    def cipher(self) -> str:
        """The channel cipher that both ends agreed on."""

    def joined(self, account: Account) -> None:
        """Let the guest be this account from now on."""

    def watch(self, container: str, probe: Probe) -> None:
        """Probe a container while the session lives."""

    def forget(self, container: str) -> None:
        """End the probes of a container."""

    def observe(self) -> None:
        """Tell it what changes at the location from now on, while the session lives."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who sent it and its checked parameters.

    `reply` answers before the handler returns, as a call does that opens a stream; `chunks` is what the
    client sends on that stream, and raises CommandError where it is cut.
    """

    client: Client
    parameters: Mapping[str, Any]
    reply: Callable[[Body], None]
    chunks: Callable[[], AsyncIterator[bytes]]

    @property
    def account(self) -> str:
        """Name of the account that asks."""
        return self.client.account


@dataclass(slots=True)
class Reservation:
    """Containers and bytes being created, which the engine does not list yet."""

    containers: int = 0
    memory: int = 0


@dataclass(slots=True)
class Creation:
    """A container that is being made for a session, whose id is empty where it is not to be held.

    `unwanted` says that the session has ended meanwhile.
    """

    holder: Holder
    task: asyncio.Task[ContainerInfo] | None = None
    unwanted: bool = False


async def _hold_nothing(_: Holder) -> None:
    """End nothing."""


@dataclass(slots=True)
class Services:
    """The parts of the location, as the commands use them."""

    config: Config
    engine: Engine
    images: Images
    accounts: Accounts
    inventory: Inventory
    tickets: Tickets
    channels: ChannelServer
    pipes: Pipes
    consoles: Consoles
    outputs: Outputs
    public_key: bytes
    channel_port: int
    counters: Counter[str] = field(default_factory=Counter)
    tell: Callable[[Iterable[Difference]], None] = lambda _: None
    web: Gateway | None = None
    announce: Callable[[Iterable[Told]], None] = lambda _: None
    observers: Callable[[], set[str]] = set
    accounts_changed: Callable[[], None] = lambda: None
    sessions: Callable[[], int] = lambda: 0
    watching: Watching = field(default_factory=Watching)
    node_stats: NodeStats = field(default_factory=NodeStats)
    failures: Failures = field(default_factory=Failures)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    creations: dict[tuple[str, str, str], Creation] = field(default_factory=dict)
    tags: set[tuple[str, str]] = field(default_factory=set)
    end_session: Callable[[Holder], Awaitable[None]] = _hold_nothing
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the engine has listed all containers."""

    async def relist(self) -> None:
        """Ask the engine for all containers, and tell their owners what changed."""
        asked_at = self.inventory.stamp
        self.tell(self.inventory.replace(await self.engine.containers(), asked_at))
        self.heard.set()

    def learn(self, container: ContainerInfo) -> None:
        """Take what the engine said of a container just now, and tell its owner."""
        self.tell(self.inventory.put(container))

    def lock(self, name: str) -> asyncio.Lock:
        """Give the lock of this name; one for each account's limits, one for the connections."""
        return self.locks.setdefault(name, asyncio.Lock())


Handler = Callable[[Services, Call], Awaitable[Body | None]]
"""Gives the reply's body; None where it has replied already, or the reply is empty."""

_CODES: tuple[tuple[type[EngineError], Code], ...] = (
    (interface.EngineUnavailable, Code.UNAVAILABLE),
    (interface.NotFound, Code.NOT_FOUND),
    (interface.Exists, Code.EXISTS),
    (interface.InUse, Code.BUSY),
    (interface.Conflict, Code.BUSY),
)


def as_command_error(error: EngineError) -> CommandError:
    """Give the error that the client gets for an engine's error."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Code.ENGINE)
    return CommandError(code, str(error) or "the engine failed")


def command_error(name: str, error: Exception) -> CommandError:
    """Give the error that the client gets for whatever ended the command `name`."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, EngineError):
        return as_command_error(error)
    if isinstance(error, TimeoutError):
        return CommandError(Code.TIME_OUT, f"{name} took too long and was given up")
    if isinstance(error, UsageError):
        return CommandError(Code.UNAVAILABLE, f"{name}: {error}")
    log.error("command failed by a defect", exc_info=error, extra={"fields": {"command": name}})
    return CommandError(Code.ENGINE, f"{name} failed inside the location; its log says why")


def record(container: ContainerInfo) -> Body:
    """Give a container as it travels."""
    return {
        "id": container.id,
        "name": container.name,
        "key": container.key,
        "node": container.node,
        "image": container.image,
        "ip": container.ip,
        "state": str(container.state),
        "exit": container.exit,
        "reason": container.reason,
        "created": container.created,
        "environment": container.name.split("/", 1)[0],
        "volumes": list(container.volumes),
        "uuid": uuid_of(container),
        "tag": container.tag,
        "holder": container.holder,
        "asleep": container.asleep,
    }


def uuid_of(container: ContainerInfo) -> str:
    """Give a container's UUID: part of the name of one that the SDK made, else derived from its id."""
    own = _SDK_NAME.fullmatch(container.name)
    return own[1] if own is not None else derived("container", container.id)


def require_process(container: ContainerInfo) -> None:
    """Raise CommandError unavailable unless the container's process runs or is about to."""
    if container.state not in (State.RUNNING, State.STARTING):
        why = f": {container.reason}" if container.reason else ""
        raise CommandError(Code.UNAVAILABLE, f"container {container.id} is {container.state}{why}")
