"""The control socket: a ROUTER with CURVE and ZAP, and the sessions of the clients that speak to it.

Nothing that a peer sends raises out of here. Calls are tasks, so a slow one delays no heartbeat.

A client sets no routing id of its own: ROUTER_HANDOVER is off, since with it one account could take over
another's routing id and with that its replies. Who comes back is known by its session id and its key.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import zmq

from tfd.protocol.channel import available_ciphers
from tfd.protocol.commands import Role
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.errors import Code
from tfd.protocol.keys import KeyPair
from tfd.protocol.logged import Kind
from tfd.protocol.messages import MAX_MESSAGE
from tfd.protocol.session import (
    Attached,
    Called,
    Lost,
    ServerEvent,
    ServerSession,
    ServerState,
    StreamAborted,
    StreamData,
    StreamEnded,
    session_id_of,
)
from tflocation import logged
from tflocation.accounts import Account
from tflocation.calls import execute
from tflocation.commands.call import Services, record
from tflocation.inventory import Changed, Difference
from tflocation.leases import Holder
from tflocation.logs import RateLimited, told
from tflocation.monitor import Monitor
from tflocation.probes import MAX_CONCURRENT
from tflocation.sessions import DETACHED_LIFE, Registry, Session
from tflocation.sockets import Context, Drain, listen, make_router, property_of, serve
from tflocation.values import Address
from tflocation.watching import Told
from tflocation.zap import ZapHandler

log = logging.getLogger(__name__)

MAX_BACKLOG: Final = 4 * MAX_MESSAGE
"""Bytes that wait for a client which does not read; beyond, it is gone."""

MAX_SESSIONS_A_KEY: Final = 64
"""Sessions of one key; one more replaces the one whose client is away longest."""

MAX_SESSIONS: Final = 4096

RETRY: Final = 0.05
"""Seconds until a client's full pipe is tried again."""


class Control:
    """The control socket of one location, from `start` to `close`."""

    def __init__(self, services: Services, keys: KeyPair, heartbeat: float = 2.0) -> None:
        self._services = services
        self._keys = keys
        self._heartbeat = heartbeat
        self._ciphers = available_ciphers()
        self._registry = Registry()
        self._strangers = RateLimited(log)
        self._probe_slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._timer: asyncio.TimerHandle | None = None
        self._context = Context()
        self._zap = ZapHandler(self._context, self._admit)
        self._router = make_router(self._context, keys)
        self._monitor = Monitor(self._router, self._count)
        self._drains: list[Drain] = []
        self._loaded = False
        self._kept: KeptListeners | None = None
        self._name = ""

    def start(self, address: Address, kept: KeptListeners | None = None) -> int:
        """Bind and serve; gives the port. Raises zmq.ZMQError or OSError where it cannot be bound.

        With `kept`, the listening socket outlives the process, and that of the process before is taken over.
        """
        self._kept = kept
        listening, self._name = listen(address, kept)
        with listening:
            port = serve(self._router, listening)
        self._drains = [
            Drain(self._router, self._take),
            Drain(self._zap.socket, self._zap.drain),
            Drain(self._monitor.socket, self._monitor.take),
        ]
        return port

    def leave(self) -> None:
        """Have `close` leave the listening socket to the next process, where clients then wait."""
        self._name = ""

    def close(self) -> None:
        """End all sessions and close the socket. Clients notice by their heartbeats and come back."""
        if self._kept is not None and self._name:
            self._kept.forget(self._name)
        if self._timer is not None:
            self._timer.cancel()
        for session in self._registry.all():
            session.close()
        for drain in self._drains:
            drain.close()
        self._monitor.close()
        for closing in (self._router, self._zap.socket):
            closing.close(linger=0)
        self._context.term()

    def sessions(self) -> int:
        """Sessions that have a client now."""
        return sum(session.machine.state is ServerState.OPEN for session in self._registry.all())

    def tell(self, differences: Iterable[Difference]) -> None:
        """Tell each container's owner what changed."""
        for difference in differences:
            container = difference.container
            for session in self._registry.all():
                if session.account != container.account or not container.account:
                    continue
                if isinstance(difference, Changed):
                    session.machine.event("container.changed", {"container": record(container)})
                else:
                    session.forget(container.id)
                    session.machine.event("container.gone", {"id": container.id})
                self._flush(session)

    def announce(self, told: Iterable[Told]) -> None:
        """Tell the sessions that watch what is for them."""
        for each in told:
            for session in self._registry.all():
                if session.observing and each.account in (None, session.account):
                    session.machine.event(each.event, each.body)
                    self._flush(session)

    def observers(self) -> set[str]:
        """Give the accounts of the sessions that watch."""
        return {session.account for session in self._registry.all() if session.observing}

    def holders(self) -> dict[Holder, float | None]:
        """Tell the sessions that may hold something: None while the client is there, else since when not."""
        return {
            (session.account, session.holder): None
            if session.machine.state is ServerState.OPEN
            else session.since
            for session in self._registry.all()
            if session.holder
        }

    def accounts_changed(self) -> None:
        """Let the sessions follow the accounts: roles change; revoked ones end, and their channels."""
        self._loaded = True
        for session in self._registry.all():
            self._standing(session)

    def _admit(self, key: str, address: str) -> bool:
        """Whether a key may finish its handshake: before the accounts are known all may, to be told so."""
        if not self._loaded or self._services.accounts.admits(key):
            return True
        message = "a client with an unknown key was refused"
        self._count("handshakes of unknown keys", message, event=logged.KEY_REFUSED, peer=address)
        return False

    def _take(self) -> bool:
        """Take one message of a client; false where none waits."""
        try:
            frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        key, address = property_of(frames[-1], "User-Id"), property_of(frames[-1], "Peer-Address")
        address = address.removeprefix("::ffff:")
        if len(frames) != 2 or not key:
            self._count("messages of more than one frame", "a client's message was dropped", peer=address)
            return True
        self._received(frames[0].bytes, key, address, frames[1].bytes)
        return True

    def _received(self, transport: bytes, key: str, address: str, frame: bytes) -> None:
        now = time.monotonic()
        session = self._registry.by_transport.get(transport)
        if session is None:
            session = self._returning(transport, key, frame) or self._new(transport, key, address, now)
            if session is None:
                return
        if not self._standing(session):
            return
        if session.machine.state is ServerState.DETACHED:
            events = session.machine.resume(frame, now)
        else:
            events = session.machine.receive(frame, now)
        self._collect(session)
        self._handle(session, events)
        self._flush(session)

    def _collect(self, session: Session) -> None:
        """Take over what the session's machine counted of its client's mistakes."""
        counters = session.machine.counters
        for what, count in counters.items():
            self._services.counters[f"messages {what}"] += count
        if counters["malformed"]:
            self._strangers.warning("malformed", "a client sent a malformed message", **_fields(session))
        counters.clear()

    def _returning(self, transport: bytes, key: str, frame: bytes) -> Session | None:
        """Give the session that a hello over a new transport resumes, moved to this transport."""
        session_id = session_id_of(frame)
        session = None if session_id is None else self._registry.find(key, session_id)
        if session is not None:
            if session.machine.state is ServerState.OPEN:
                events = session.machine.disconnected(time.monotonic())
                self._handle(session, events)
            self._registry.attach(session, transport)
        return session

    def _new(self, transport: bytes, key: str, address: str, now: float) -> Session | None:
        away = self._registry.longest_away(key) if self._registry.count(key) >= MAX_SESSIONS_A_KEY else None
        if away is not None:
            self._remove(away)
        if self._registry.count(key) >= MAX_SESSIONS_A_KEY or len(self._registry) >= MAX_SESSIONS:
            self._count("sessions beyond the limit", "too many sessions; one was refused", peer=address)
            return None
        account = self._services.accounts.book.account_of(key)
        machine = ServerSession(
            location=self._services.config.name,
            account=account.name if account else "",
            role=account.role if account else Role.GUEST,
            ciphers=self._ciphers,
            channel_port=self._services.channel_port,
            heartbeat=self._heartbeat,
        )
        session = Session(
            machine, key, transport, now, self._services.inventory.whereabouts, self._probe_slots
        )
        session.address = address
        session.flush = lambda: self._flush(session)
        self._registry.add(session)
        return session

    def _standing(self, session: Session) -> bool:
        """Whether the session's key may still speak; if not, the session ends, and its account's channels."""
        account = self._services.accounts.book.account_of(session.key)
        if not self._loaded:
            self._end(session, Code.UNAVAILABLE, "the location's engine has not answered yet; try again")
        elif account is not None and account.revoked:
            self._revoke(session, account)
        elif account is not None:
            if (session.account, session.role) != (account.name, account.role):
                session.joined(account)
            return True
        elif session.account:
            self._revoke(session, Account(session.account, session.key, session.role, 0))
        elif self._services.accounts.admits(session.key):
            return True
        else:
            message = "an unknown key was refused"
            self._count("messages of unknown keys", message, event=logged.KEY_REFUSED, peer=session.address)
            self._end(session, Code.DENIED, "this key has no account here; join with an invite")
        return False

    def _revoke(self, session: Session, account: Account) -> None:
        self._services.tickets.revoke(account.name)
        self._services.channels.close_account(account.name)
        self._services.pipes.close_account(account.name)
        self._end(session, Code.REVOKED, f"the account {account.name} was revoked")

    def _end(self, session: Session, code: Code, message: str) -> None:
        session.machine.close(code, message)
        self._flush(session)
        self._remove(session)

    def _remove(self, session: Session) -> None:
        session.close()
        self._registry.remove(session)

    def _handle(self, session: Session, events: Iterable[ServerEvent]) -> None:
        for event in events:
            match event:
                case Attached():
                    self._attached(session, event)
                case Called():
                    execute(self._services, session, event)
                case StreamData() | StreamEnded() | StreamAborted():
                    upload = session.uploads.get(event.id)
                    if upload is not None:
                        upload.feed(event)
                case Lost():
                    log.info(
                        "client lost",
                        extra=told(logged.SESSION_LOST, **_fields(session), reason=event.reason),
                    )
                    self._flush(session)
                    self._detach(session)
                case _:
                    pass

    def _attached(self, session: Session, event: Attached) -> None:
        older = self._registry.greeted(session, event.session)
        if older is not None:
            self._remove(older)
        if event.resumed:
            session.retell()
        words = "session resumed" if event.resumed else "session opened"
        log.info(words, extra=told(logged.SESSION_OPENED, **_fields(session), program=event.program))

    def _flush(self, session: Session) -> None:
        """Send what the session has to say, as far as its client takes it."""
        session.backlog += session.machine.outgoing()
        sent = 0
        for frame in session.backlog:
            try:
                self._router.send_multipart([session.transport or b"", frame], zmq.NOBLOCK)
            except zmq.Again:
                break
            except zmq.ZMQError:
                # The transport is gone (EHOSTUNREACH); its client comes back over another one.
                self._lost_transport(session)
                return
            sent += 1
        del session.backlog[:sent]
        if sum(map(len, session.backlog)) > MAX_BACKLOG:
            self._count("clients that do not read", "a client does not read; dropped", **_fields(session))
            self._lost_transport(session)
        if sent:
            self._drains[0].wake()
        self._schedule(session)

    def _lost_transport(self, session: Session) -> None:
        if session.machine.state is ServerState.OPEN:
            self._handle(session, session.machine.disconnected(time.monotonic()))
        self._detach(session)

    def _detach(self, session: Session) -> None:
        """Forget the transport; a session that can be resumed is kept for a while."""
        if session.machine.state is ServerState.DETACHED:
            self._registry.detach(session)
            self._schedule(session)
        else:
            self._remove(session)

    @property
    def _detached_life(self) -> float:
        """Seconds for which a session without its client is kept."""
        return max(DETACHED_LIFE, 2.0 * self._services.config.lease)

    def _schedule(self, session: Session) -> None:
        """Wake up when this session needs it, or its client's full pipe is to be tried again."""
        when = session.machine.deadline()
        if session.backlog:
            when = time.monotonic() + RETRY
        if session.transport is None:
            when = session.since + self._detached_life
        if when is None:
            return
        if self._timer is None or when < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(when, self._tick)

    def _tick(self) -> None:
        """Do for every session what time demands."""
        self._timer = None
        # After a stall of this process its clients' messages wait here: they were not silent.
        self._drains[0].run()
        now = time.monotonic()
        for session in self._registry.all():
            if session.transport is None and now - session.since >= self._detached_life:
                self._remove(session)
                continue
            self._handle(session, session.machine.tick(now))
            self._flush(session)

    def _count(self, what: str, message: str, *, event: Kind | None = None, **fields: object) -> None:
        """Count what a stranger or a faulty client caused, and log it at a bounded rate."""
        self._services.counters[what] += 1
        self._strangers.warning(what, message, event=event, **fields)


def _fields(session: Session) -> dict[str, Any]:
    return {"account": session.account, "peer": session.address}
