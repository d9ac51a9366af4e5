"""The life of a session: from the connection to the end of the program, whichever way it ends."""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tfd.protocol.command_types import Role
from tfd.protocol.events import Welcome
from tfnz import account as accounts
from tfnz.base import READY_LIMIT, Ending, TaggedCollection, Waitable
from tfnz.connection import Connection, Disconnected
from tfnz.mainthread import MainThread

if TYPE_CHECKING:
    from tfnz.container import Container, ExternalContainer
    from tfnz.node import Node
    from tfnz.tunnel import Tunnel
    from tfnz.volume import Volume

log = logging.getLogger(__name__)


class Session(Waitable, Ending):
    """What a Location is without what it offers: a connection that holds containers.

    The arguments are those of Location.
    """

    def __init__(
        self, location: str | None, location_ip: str | None, debug_log: bool | None, *, quiet: bool
    ) -> None:
        super().__init__()
        if quiet and debug_log:
            raise ValueError("quiet and debug_log exclude one another")
        self.location = location if location is not None else accounts.default_location()
        if not quiet and debug_log is not None:
            _set_up_logging(debug_log)
        account = accounts.load(self.location)
        if location_ip is not None:
            account = replace(account, addresses=(accounts.parse_address(location_ip),))
        self.user_pk: bytes = account.pair.public
        self.nodes: dict[bytes, Node] = {}
        self.volumes: TaggedCollection[Volume] = TaggedCollection()
        self.externals: TaggedCollection[ExternalContainer] = TaggedCollection()
        self.tunnels: dict[bytes, Tunnel] = {}
        self.own_containers: dict[bytes, Container] = {}
        """The live containers of this session on all nodes, by uuid."""
        self.stdin_attr = _terminal_attributes()
        self._main = MainThread()
        self._ending = threading.Lock()
        self._disconnected = False
        self._port = account.addresses[0].port
        self.connection = Connection(account, self)

    def __repr__(self) -> str:
        return f"<Location '{self.location}' nodes={len(self.nodes)}>"

    def connect(self) -> None:
        """Connect, and wait until it is known what the location offers. Raises as Location does."""
        log.info("Connecting to: %s:%d", self.location, self._port)
        try:
            if self.connection.open().role is Role.GUEST:
                self.connection.close(farewell=False)
                raise ValueError(
                    f"location {self.location}: no account has this key; ask for an invite, then: tf init"
                )
            atexit.register(self._at_exit)
            self.wait_until_ready(READY_LIMIT)
        except BaseException:
            self._close()
            raise

    @property
    def conn(self) -> Connection | None:
        """The connection, None after `disconnect`."""
        return None if self._disconnected else self.connection

    @property
    def last_heartbeat(self) -> float | None:
        """When the location was heard last (s, time.monotonic), None while it is not connected."""
        return self.connection.link.last_heard

    def run(self, timeout: float | None = None) -> None:
        """Wait until `complete` is called, at most `timeout` seconds, then disconnect.

        Ctrl-C ends it without a traceback. Raises what a callback raised, and Disconnected where the session
        was lost for longer than its lease.
        """
        try:
            self._main.wait(timeout)
        except KeyboardInterrupt:
            pass
        finally:
            self.disconnect()

    def complete(self, container: object = None, returncode: int = 0) -> None:  # noqa: ARG002 - of a callback
        """Let `run` return. May be passed as a termination callback. Repeatable."""
        self._main.finish()

    def stop(self, obj: object = None, returncode: int | None = None) -> None:  # noqa: ARG002 - of a callback
        """Do what `complete` does."""
        self.complete()

    def let_run_for(self, seconds: float) -> None:
        """Wait for some seconds, or until `complete` is called. Raises what a callback raised."""
        self._main.wait(seconds)

    def call_on_main(self, cmd: Callable[..., object], params: tuple[object, ...] = ()) -> None:
        """Have `cmd(*params)` called in the thread that is in `run`, and raise there what it raises."""
        self._main.call(cmd, *params)

    def raise_on_main(self, error: BaseException) -> None:
        """Make `run` raise this."""
        self._main.finish(error)

    def disconnect(self, container: object = None, returncode: int = 0) -> None:  # noqa: ARG002 - of a callback
        """Destroy all containers of this session, with their callbacks in this thread, and close it.

        May be passed as a termination callback. Repeatable: later calls do nothing.
        """
        with self._ending:
            if self._disconnected:
                return
            self._disconnected = True
        log.info("Disconnecting: %s", self.location)
        self._restore_terminal()
        for own in list(self.own_containers.values()):
            own.end(with_command=False)
            own.node().forget(own)
        self._main.finish()
        self._close()

    def _leave(self) -> None:
        self.disconnect()

    def _close(self) -> None:
        atexit.unregister(self._at_exit)
        self.connection.close()

    def _at_exit(self) -> None:
        """End the session of a program that fell off its end."""
        self._restore_terminal()
        # After a second Ctrl-C the lease ends what could not be said.
        with suppress(KeyboardInterrupt):
            self.connection.close()
        _remember_interrupt()

    def _restore_terminal(self) -> None:
        if self.stdin_attr is not None:
            import termios

            with suppress(OSError, ValueError, termios.error):  # the terminal may be gone
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self.stdin_attr)

    # What the connection tells, in its thread

    def connection_opened(self, welcome: Welcome) -> None:
        """Know that the session is open, for the first time or again."""
        raise NotImplementedError

    def connection_ended(self, error: Disconnected) -> None:
        """Let everything end that the session held."""
        self.mark_as_failed(str(error))
        for own in list(self.own_containers.values()):
            own.gone(str(error))
        self._main.finish(error)

    def callback_failed(self, error: BaseException) -> None:
        """Let `run` raise what a callback raised."""
        self._main.finish(error)


def _remember_interrupt() -> None:
    """Let a program that Ctrl-C ends still die of SIGINT, as a shell's loop around it needs.

    CPython forgets that it is to do so as soon as any thread calls exec() on a text, which an import of a
    module with dataclasses does; exec() that is interrupted makes it remember.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a constant


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s.%(msecs)03d %(levelname)-8s %(message)s",
        datefmt="%m%d%H%M%S",
    )


def _terminal_attributes() -> list[Any] | None:
    try:
        if not os.isatty(sys.stdin.fileno()):
            return None
    except (AttributeError, OSError, ValueError):
        return None  # stdin is closed, or replaced by something that is no file
    import termios

    return termios.tcgetattr(sys.stdin.fileno())
