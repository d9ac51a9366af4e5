"""One client's session as the service holds it: the protocol's machine, its running calls, streams, probes.

Pure but for the tasks: frames go out by a function that the control driver gives.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from tfd.protocol.commands import Role
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.session import ServerSession, StreamAborted, StreamData, StreamEnded
from tflocation.accounts import Account
from tflocation.probes import Health, Probe, Prober, Where

DETACHED_LIFE: Final = 60.0
"""Seconds for which a session without its client is kept at least: twice a lease where that is longer."""

MAX_RUNNING: Final = 32
"""Calls of one session executed at once; further ones wait for their turn."""

MAX_WATCHES: Final = 512
"""Containers that one session may have probed."""

WINDOW: Final = 1 << 20
"""Bytes of a stream under way: enough for 100 Mbit/s over 80 ms."""


class Upload:
    """The data of one stream from the client, handed on no faster than it is used up."""

    def __init__(self, grant: Callable[[int], None]) -> None:
        self._grant = grant
        self._parts: asyncio.Queue[bytes | CommandError | None] = asyncio.Queue()

    def feed(self, event: StreamData | StreamEnded | StreamAborted) -> None:
        """Take what came; the credit bounds how much can wait here."""
        if isinstance(event, StreamData):
            self._parts.put_nowait(event.data)
        elif isinstance(event, StreamEnded):
            self._parts.put_nowait(None)
        else:
            self._parts.put_nowait(CommandError(Code.UNAVAILABLE, f"the stream was cut: {event.reason}"))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the data until its end. Raises CommandError where the stream is cut."""
        self._grant(WINDOW)
        while True:
            part = await self._parts.get()
            if part is None:
                return
            if isinstance(part, CommandError):
                raise part
            yield part
            self._grant(len(part))


class Session:
    """A client's session; the one that commands see as `Client`.

    Attributes:
        machine: the protocol's end of it.
        key: the client's verified public key, z85.
        transport: ZeroMQ's routing id, None while the client is away.
        since: when it lost its client or was made, seconds, monotonic.

    """

    def __init__(
        self,
        machine: ServerSession,
        key: str,
        transport: bytes,
        now: float,
        where: Where,
        slots: asyncio.Semaphore,
    ) -> None:
        self.machine = machine
        self.key = key
        self.transport: bytes | None = transport
        self.since = now
        self.address = ""
        self.backlog: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.uploads: dict[int, Upload] = {}
        self.running = asyncio.Semaphore(MAX_RUNNING)
        self.running_slow = asyncio.Semaphore(MAX_RUNNING)
        self.observing = False
        self.flush: Callable[[], None] = lambda: None
        self._prober = Prober(where, self._report, slots)

    @property
    def account(self) -> str:
        """Name of the account; empty for a guest."""
        return self.machine.account

    @property
    def role(self) -> Role:
        """What it may do."""
        return self.machine.role

    @property
    def holder(self) -> str:
        """The session's id in hexadecimal, under which it holds things; empty before its hello."""
        return (self.machine.session_id or b"").hex()

    @property
    def cipher(self) -> str:
        """The cipher of its channels."""
        return self.machine.cipher

    def joined(self, account: Account) -> None:
        """Let the guest be this account from now on."""
        self.machine.set_role(account.name, account.role)

    def watch(self, container: str, probe: Probe) -> None:
        """Probe a container while the session lives. Raises CommandError limit."""
        known = self._prober.known()
        if container not in known and len(known) >= MAX_WATCHES:
            raise CommandError(Code.LIMIT, f"{len(known)} containers are watched; allowed: {MAX_WATCHES}")
        self._prober.watch(container, probe)

    def forget(self, container: str) -> None:
        """End the probes of a container."""
        self._prober.forget(container)

    def observe(self) -> None:
        """Tell it what changes at the location from now on."""
        self.observing = True

    def retell(self) -> None:
        """Tell the client, which was away, how its containers are."""
        for container, health in self._prober.known().items():
            if health.good is not None:
                self._report(container, health)

    def upload(self, call_id: int) -> Upload:
        """Give the stream that the call of this id opened."""

        def grant(size: int) -> None:
            self.machine.grant(call_id, size)
            self.flush()

        upload = self.uploads[call_id] = Upload(grant)
        return upload

    def close(self) -> None:
        """End what runs for the session: probes and waiting calls."""
        self._prober.close()
        for task in self.tasks:
            task.cancel()

    def _report(self, container: str, health: Health) -> None:
        self.machine.event("container.health", health.body(container))
        self.flush()


class Registry:
    """All sessions: by transport, and by key and session id for a client that comes back."""

    def __init__(self) -> None:
        self.by_transport: dict[bytes, Session] = {}
        self._by_id: dict[tuple[str, bytes], Session] = {}
        self._all: set[Session] = set()
        self._of_key: Counter[str] = Counter()

    def all(self) -> list[Session]:
        """Every session, attached or not."""
        return list(self._all)

    def add(self, session: Session) -> None:
        """Know a session by the transport that its first frame came over."""
        assert session.transport is not None
        self.by_transport[session.transport] = session
        self._all.add(session)
        self._of_key[session.key] += 1

    def greeted(self, session: Session, session_id: bytes) -> Session | None:
        """Know a session by its id from now on; gives the older one of that id, which must go."""
        older = self._by_id.get((session.key, session_id))
        self._by_id[session.key, session_id] = session
        return older if older is not session else None

    def find(self, key: str, session_id: bytes) -> Session | None:
        """Give the session of this key and id, wherever its client is."""
        return self._by_id.get((key, session_id))

    def attach(self, session: Session, transport: bytes) -> None:
        """Move a session to the transport that its client came back over."""
        self.detach(session)
        session.transport = transport
        self.by_transport[transport] = session

    def detach(self, session: Session) -> None:
        """Forget the session's transport, and what waited for it."""
        session.backlog.clear()
        if session.transport is not None:
            self.by_transport.pop(session.transport, None)
            session.transport = None
            session.since = time.monotonic()

    def remove(self, session: Session) -> None:
        """Forget the session; nothing where it was forgotten already."""
        self.detach(session)
        if session in self._all:
            self._all.remove(session)
            self._of_key[session.key] -= 1
            if not self._of_key[session.key]:
                del self._of_key[session.key]
        session_id = session.machine.session_id
        if session_id is not None and self._by_id.get((session.key, session_id)) is session:
            del self._by_id[session.key, session_id]

    def __len__(self) -> int:
        return len(self._all)

    def count(self, key: str) -> int:
        """Sessions of one key."""
        return self._of_key[key]

    def longest_away(self, key: str) -> Session | None:
        """Give the key's session whose client has been away longest."""
        away = [session for session in self._all if session.key == key and session.transport is None]
        return min(away, key=lambda session: session.since, default=None)
