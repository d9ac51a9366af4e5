"""A session with one location, on one background thread, for callers on any thread.

A connection that is lost comes back by itself; within the lease nobody notices but those whose calls take
longer. After the lease the location has destroyed what the session held, so the connection is over then:
every call raises `Disconnected`.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import zmq

from tfd.protocol import __version__
from tfd.protocol.channel import available_ciphers
from tfd.protocol.drivers.link import Answer, Failure, Link
from tfd.protocol.drivers.loop import Loop, Timer
from tfd.protocol.drivers.memory import Thrift
from tfd.protocol.drivers.transport import Keys
from tfd.protocol.errors import Code
from tfd.protocol.events import Welcome
from tfnz.account import Account, KeyView
from tfnz.callbacks import Callbacks
from tfnz.linklog import LinkLog
from tfnz.waiting import Waiting

if TYPE_CHECKING:
    from tfnz.dataplane import DataPlane
    from tfnz.rawcommands import Reply

CALL_LIMIT: Final = 240.0
"""Seconds for the answer to a command, unless the caller says otherwise."""

OPEN_LIMIT: Final = 10.0
"""Seconds for a location to answer at all when the connection is made."""

LEASE: Final = 30.0
"""Seconds that a location keeps what a lost session holds, where it has not told."""

HEARTBEAT: Final = 2.0
"""Seconds."""

FAREWELL: Final = 10.0
"""Seconds that the end of a session may take."""

_LOOP_LIMIT: Final = 60.0
_MARGIN: Final = 5.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class RemoteError(ValueError):
    """The location refused a command; `code` is one of tfd.protocol.errors.Code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Disconnected(ValueError):  # noqa: N818 - a state that callers ask for, as ConnectionRefused would be
    """The session is over: disconnected by the program, or lost for longer than the lease."""


def error_of(failure: Failure) -> RemoteError:
    """Give the exception that tells of a failed request."""
    return RemoteError(failure.code, failure.message)


class Owner(Protocol):
    """Who is told how a connection does, in its loop's thread."""

    def connection_opened(self, welcome: Welcome) -> None:
        """Know that the session is open, for the first time or again."""

    def connection_ended(self, error: Disconnected) -> None:
        """Know that the session is over for good: nothing that it held exists any more."""

    def callback_failed(self, error: BaseException) -> None:
        """Know that a callback of user code raised this; it was logged."""


class Connection:
    """One session. Methods may be called from any thread unless they say otherwise.

    Args:
        account: whose session at which location.
        owner: is told what happens.

    """

    def __init__(self, account: Account, owner: Owner) -> None:
        self.keys = KeyView(account.pair.public)
        self.lease = LEASE
        """Seconds; set once the location has told."""
        self._account = account
        self._owner = owner
        self._pid = os.getpid()
        self._opened: Waiting[Welcome] = Waiting()
        self._ended: Disconnected | None = None
        self._lost: Timer | None = None
        self._handlers: dict[str, list[Callable[[dict[str, Any]], object]]] = {}
        self._plane: DataPlane | None = None
        self._waiters: set[Waiting[Any]] = set()
        self._served = False
        self._closing = threading.Lock()
        self._closed = False
        self.log = LinkLog()
        self.loop = Loop(self.log)
        self._thrift = Thrift(self.loop)
        self.callbacks = Callbacks(f"Callbacks of {account.name}", owner.callback_failed)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.link = Link(
            self.loop,
            self._context,
            self.log,
            name=account.name,
            keys=Keys(account.location, account.pair.public, account.pair.secret),
            addresses=account.addresses,
            ciphers=available_ciphers(),
            program=f"tfnz {__version__}",
            heartbeat=HEARTBEAT,
            owner=self,
        )
        self._thread = threading.Thread(target=self._run, name="Messidge background loop", daemon=True)

    def open(self) -> Welcome:
        """Connect, and wait until the session is open.

        Raises RuntimeError where the location does not answer, ValueError where it refuses the account.
        """
        self._thread.start()
        try:
            return self._opened.get(OPEN_LIMIT, "the session")
        except TimeoutError:
            raise RuntimeError(
                f"location {self._account.name} does not answer within {OPEN_LIMIT:g} s: {self.link.reason}"
            ) from None

    def close(self, *, farewell: bool = True) -> None:
        """End the session: with `farewell` the location destroys at once what it held. Repeatable.

        In a process that was forked from the one that made the connection nothing happens: it is not its.
        """
        with self._closing:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
            if self._plane is not None and self._thread.is_alive():
                # The location ends what they carry, of which nobody wants to hear any more.
                self.on_loop(self._plane.close)
            if farewell and self._opened.done and self._ended is None:
                self._say_farewell()
            if self._thread.is_alive():
                self.loop.call_from_thread(self._finish)
                self._thread.join(FAREWELL)
            else:
                self._finish()
        if not self._thread.is_alive():
            self.loop.close()
            self._context.destroy(0)

    # Commands

    def call(self, name: str, params: Mapping[str, Any], timeout: float = CALL_LIMIT) -> dict[str, Any]:
        """Ask for a command and wait for its answer, at most `timeout` seconds.

        Raises:
            RemoteError: the location refused, with its reason.
            TimeoutError: there was no answer in time.
            Disconnected: the session is over.

        """
        waiting: Waiting[Answer] = Waiting()
        answer = self._wait_for(
            waiting,
            lambda: self.request(name, params, timeout + _MARGIN, waiting.set),
            timeout,
            f"{name}: no answer of location {self._account.name}",
        )
        if isinstance(answer, Failure):
            raise self._ended or error_of(answer)
        return answer

    def send_blocking_cmd(
        self,
        cmd: bytes | str,
        params: Mapping[str, Any] | None = None,
        bulk: bytes = b"",  # noqa: ARG002 - none of the commands that are left takes any
        timeout: float = CALL_LIMIT,
    ) -> "Reply":
        """Send one of 20ft's commands by name (see tfnz.rawcommands). Raises as `call` does."""
        from tfnz import rawcommands

        return rawcommands.send_blocking(self, cmd, params, timeout)

    def send_cmd(
        self,
        cmd: bytes | str,
        params: Mapping[str, Any] | None = None,
        bulk: bytes = b"",  # noqa: ARG002 - as above
        uuid: bytes = b"",
        reply_callback: Callable[..., object] | None = None,
    ) -> None:
        """Send one of 20ft's commands without waiting; `reply_callback` gets the reply. Raises ValueError."""
        from tfnz import rawcommands

        command, present = rawcommands.translated(cmd, params)

        def answered(answer: Answer) -> None:
            if isinstance(answer, Failure):
                log.warning("%s: %s", command, answer.message)
            self.callbacks.put(reply_callback, rawcommands.reply_of(answer, uuid))

        self._check_waitable()
        self.loop.call_from_thread(lambda: self.request(command, present, CALL_LIMIT, answered))

    def request(
        self, name: str, params: Mapping[str, Any], timeout: float, done: Callable[[Answer], None]
    ) -> None:
        """Ask for a command without waiting: `done` gets the answer or a Failure. In the loop's thread."""
        self._thrift.stirred()
        if self._ended is not None:
            done(Failure(Code.UNAVAILABLE, str(self._ended)))
        else:
            self.link.request(name, params, timeout, done)

    def on_loop(self, work: Callable[[], T], timeout: float = _LOOP_LIMIT) -> T:
        """Run `work` in the loop's thread and give its result; what it raises is raised here."""
        if threading.current_thread() is self._thread:
            return work()
        waiting: Waiting[T] = Waiting()

        def body() -> None:
            try:
                waiting.set(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                waiting.fail(error)

        return self._wait_for(waiting, body, timeout, "the connection's background thread")

    def register(self, event: str, handler: Callable[[dict[str, Any]], object]) -> None:
        """Call `handler`, in the loop's thread, with the body of each event of this name."""
        self._handlers.setdefault(event, []).append(handler)

    # What is known

    @property
    def ended(self) -> Disconnected | None:
        """Why the session is over, None while it is not."""
        return self._ended

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def cipher(self) -> str:
        """The cipher of channels that both ends agreed on."""
        return self.welcome.cipher

    @property
    def welcome(self) -> Welcome:
        """What the location said of itself when the session was opened last."""
        welcome = self.link.welcome
        assert welcome is not None
        return welcome

    @property
    def data_plane(self) -> "DataPlane":
        """What carries channels; it is made when it is first asked for."""
        plane = self._plane
        return plane if plane is not None else self.on_loop(self._make_plane)

    @property
    def connect_ip(self) -> str:
        """The address that the connection leads to."""
        return self.link.host

    @property
    def rid(self) -> bytes:
        """The session's id, 16 bytes."""
        return self.link.session_id

    def location_name(self) -> str:
        """Give the location's name here."""
        return self._account.name

    # In the loop's thread

    def link_opened(self, welcome: Welcome) -> None:
        """Go on after a connection was made."""
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None
        log.info("Message queue connected")
        log.info("Handshake completed")
        self._opened.set(welcome)
        self._owner.connection_opened(welcome)
        if self._plane is not None:
            self._plane.link_opened()

    def link_lost(self, reason: str) -> None:
        """Wait for the connection to come back, as long as the location keeps what the session holds."""
        log.warning("Have been disconnected from location. Wait...")
        self._lost = self.loop.call_later(
            self.lease, lambda: self._end(f"lost for {self.lease:g} s: {reason}")
        )
        if self._plane is not None:
            self._plane.link_lost()

    def link_refused(self, reason: str) -> None:
        """Give up: the location does not want this account."""
        self._opened.fail(ValueError(f"location {self._account.name}: {reason}"))
        self._end(reason)

    def link_event(self, name: str, body: dict[str, Any]) -> None:
        """Pass an event on to who registered for it."""
        if name == "session.ended":
            self._end("the location ended the session")
            return
        for handler in self._handlers.get(name, ()):
            handler(body)

    def _end(self, reason: str) -> None:
        """Tell everyone that the session is over, once."""
        if self._ended is not None:
            return
        error = Disconnected(f"the session with location {self._account.name} is over: {reason}")
        self._ended = error
        if not self._closed and self.link.welcome is not None:
            log.error("%s; its containers are gone", error)
        self._owner.connection_ended(error)
        if self._plane is not None:
            self._plane.close()
        self.link.close()

    def _finish(self) -> None:
        self._end("disconnected")
        self.loop.stop()

    def _say_farewell(self) -> None:
        try:
            self.call("session.end", {}, FAREWELL if self.link.connected else _MARGIN)
        except (ValueError, TimeoutError) as error:
            log.warning("The end of the session was not confirmed, its lease will end it: %s", error)

    def _make_plane(self) -> "DataPlane":
        from tfnz.dataplane import DataPlane

        if self._ended is not None:
            raise self._ended
        if self._plane is None:
            self._plane = DataPlane(self.loop, self.log, self.link)
            self._plane.lease = self.lease
        return self._plane

    def _wait_for(self, waiting: Waiting[T], begin: Callable[[], None], timeout: float, what: str) -> T:
        """Have `begin` called in the loop's thread, and wait for the result that it leads to."""
        self._check_waitable()
        self._waiters.add(waiting)
        try:
            self.loop.call_from_thread(begin)
            if self._served:
                # The thread may have ended before it saw this one.
                self._abandon()
            return waiting.get(timeout, what)
        finally:
            self._waiters.discard(waiting)

    def _abandon(self) -> None:
        """Let nobody wait for a thread that has ended."""
        for waiting in list(self._waiters):
            waiting.fail(self._ended or Disconnected(f"not connected to location {self._account.name}"))

    def _check_waitable(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("this process was forked after the Location was made; make one of its own")
        if threading.current_thread() is self._thread:
            raise RuntimeError("the connection's own thread would wait for itself")
        if not self._thread.is_alive():
            raise self._ended or Disconnected(f"not connected to location {self._account.name}")

    def _run(self) -> None:
        log.debug("Message loop started")
        self.loop.run()
        self._served = True
        self._abandon()
        log.debug("Message loop has finished")
