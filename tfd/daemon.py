"""The process: configuration, signals, readiness, reload and shutdown; it makes all parts and joins them."""

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import zmq

from tfd import __version__, document
from tfd.conductor import Conductor
from tfd.config.model import Config

# Not late: an upgrade puts another version's files below the process that is to hand over.
from tfd.handover import leave, take_over
from tfd.locations.accounts import Account, account_path, load_accounts, state_directory
from tfd.locations.location import Location
from tfd.log import Log, open_log
from tfd.observing import Observing
from tfd.protocol import logged
from tfd.protocol.address import Address
from tfd.protocol.channel import available_ciphers
from tfd.protocol.drivers.link import Link
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.memory import Thrift, growing
from tfd.protocol.drivers.systemd.inherited import Inherited, take_inherited
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.drivers.systemd.notify import Notifier
from tfd.protocol.errors import TfdError
from tfd.proxy import BindError, Proxy
from tfd.status import StatusError, StatusServer, socket_path
from tfd.supervisor import Supervisor

if TYPE_CHECKING:
    from tfd.metrics.service import MetricsService

DRAIN_LIMIT: Final = 5.0
"""Seconds that open connections have to end by themselves when the daemon stops."""

START_EXTENSION: Final = 30.0
"""Seconds that systemd waits for READY=1 after each pulse before it."""

PULSE: Final = 5.0
"""Seconds between two updates of what systemd shows."""

NOT_KEPT: Final = (
    "nobody keeps the listeners while tfd restarts, clients are refused then: "
    "it takes systemd and FileDescriptorStoreMax= in the unit"
)
READY: Final = "ready: every listener is bound, every declared container had its chance"
NOT_JOINED: Final = "no location joined yet: run `tfd join INVITE`"


def run(config_path: str) -> int:
    """Run the daemon until a signal stops it; give the exit code."""
    inherited = take_inherited()
    try:
        config = _load(config_path)
    except TfdError as error:
        print(error, file=sys.stderr)
        return 2
    log = open_log(config.daemon.log_level)
    try:
        daemon = Daemon(config_path, config, log, inherited)
    except (BindError, StatusError) as error:
        _tell(log, error)
        log.close()
        return 1
    daemon.serve()
    return 0


class Daemon:
    """One running tfd.

    Raises BindError or StatusError where a local socket cannot be made; nothing is left open then.
    """

    def __init__(self, config_path: str, config: Config, log: Log, inherited: Inherited) -> None:
        self._path = config_path
        self._config = config
        self._log = log
        self._accounts: dict[str, Account] = {}
        self._problems: list[str] = []
        self._reload_error = ""
        self._reloads = {"accepted": 0, "refused": 0}
        self._was_ready = False
        self._stopping = False
        self._is_kept = False
        self._loop = Loop(log)
        self._thrift = Thrift(self._loop)
        log.attend(self._loop)
        # Before anything is taken over: a signal that comes meanwhile waits for the loop, and ends nothing.
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._loop.on_signal(signal.SIGTERM, self._terminate)
        self._loop.on_signal(signal.SIGINT, self._stop)
        self._loop.on_signal(signal.SIGUSR2, self._hand_over)
        self._started = self._loaded = self._loop.now
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._supervisor = Supervisor(config, self._loop.now)
        self._notifier = Notifier()
        kept = KeptListeners(inherited, self._notifier)
        self._conductor = Conductor(
            self._loop,
            log,
            self._supervisor,
            lambda tickets: Proxy(self._loop, log, tickets, kept),
            self._decided,
        )
        self._observing = Observing(lambda: self._make_metrics(kept))
        try:
            self._status = self._open_sockets()
        except (BindError, StatusError):
            kept.close()
            self._notifier.close()
            self._loop.close()
            self._context.destroy(0)
            raise
        if inherited.names:
            with growing():
                self._supervisor.take_over(take_over(self._conductor.proxy, inherited, self._notifier, log))
        # What this version does not know has no reader, and is kept no longer.
        for name in inherited.names:
            self._notifier.forget(name)
        inherited.close()

    def _open_sockets(self) -> StatusServer:
        """Make the status socket and the listeners, or raise BindError or StatusError and leave none open."""
        texts = {"status": self._answer_status, "accounts": self._answer_accounts}
        status = StatusServer(self._loop, socket_path(), texts, {"logs": self._conductor.answer_logs})
        try:
            self._bind(self._config)
        except BindError:
            status.close()
            raise
        return status

    def serve(self) -> None:
        """Serve until a signal says to stop, and close everything."""
        config = self._config
        self._log.event(
            logged.STARTED,
            f"tfd {__version__} started with {self._path}: {document.declared(config)}",
            config=self._path,
            environment=config.daemon.environment,
            containers=len(config.containers),
            listeners=len(config.listeners),
        )
        self._is_kept = self._notifier.can_store()
        if not self._is_kept:
            self._log.event(logged.NOT_KEPT, NOT_KEPT)
        self._conductor.configure(config)
        self._read_accounts(starting=True)
        if not self._conductor.locations:
            self._log.event(logged.NOT_JOINED, NOT_JOINED)
        self._pulse()
        if self._notifier.watchdog_interval is not None:
            self._watchdog(self._notifier.watchdog_interval)
        self._loop.run()
        self._close()

    # Readiness

    def _decided(self) -> None:
        if not self._was_ready and self._supervisor.ready():
            self._was_ready = True
            self._thrift.stirred()
            self._notifier.ready()
            self._log.event(logged.READY, READY)
        self._notifier.status(self._summary())

    def _pulse(self) -> None:
        if not self._was_ready:
            # The supervisor bounds it: an image is on its way, or a container has its minute.
            self._notifier.extend_timeout(START_EXTENSION)
        self._notifier.status(self._summary())
        self._loop.call_later(PULSE, self._pulse)

    def _watchdog(self, interval: float) -> None:
        self._notifier.alive()
        self._loop.call_later(interval, lambda: self._watchdog(interval))

    def _summary(self) -> str:
        line = document.summary(self._supervisor.report(), self._conductor.locations.values())
        return f"last reload refused, see the log; {line}" if self._reload_error else line

    # Reload

    def _reload(self) -> None:
        if self._stopping:
            return
        # Before READY=1, a second one would end the start for systemd.
        if self._was_ready:
            self._notifier.reloading()
        try:
            self._take_over(_load(self._path))
        except TfdError as error:
            self._reloads["refused"] += 1
            lines = str(error).splitlines()
            self._reload_error = lines[0] + (f" (and {len(lines) - 1} more)" if lines[1:] else "")
            _tell(self._log, error)
            message = "the configuration was not reloaded: the one before stays in force"
            self._log.event(logged.RELOAD_REFUSED, message, reason=lines[0])
        finally:
            self._thrift.stirred()
            self._read_accounts()
            self._notifier.status(self._summary())
            if self._was_ready:
                self._notifier.ready()

    def _take_over(self, config: Config) -> None:
        """Put another configuration in force, or raise BindError and change nothing."""
        self._bind(config)
        self._supervisor.reload(config, self._loop.now)
        self._config = config
        self._loaded = self._loop.now
        self._reloads["accepted"] += 1
        self._reload_error = ""
        self._log.set_level(config.daemon.log_level)
        self._conductor.configure(config)
        counts = {"containers": len(config.containers), "listeners": len(config.listeners)}
        message = f"configuration reloaded: {document.declared(config)}"
        self._log.event(logged.RELOADED, message, **counts)

    def _bind(self, config: Config) -> None:
        """Listen wherever the file says, and nowhere else, or raise BindError and change nothing."""
        self._observing.apply(config.metrics, config.listeners, self._conductor.proxy)

    # Locations

    def _read_accounts(self, *, starting: bool = False) -> None:
        """Open links to new accounts' locations, and close those of accounts that are gone."""
        accounts, problems = load_accounts(state_directory())
        self._complain(problems)
        joined = self._conductor.locations
        for name in joined:
            # A file that was damaged, or opened to others, meanwhile is complained of; its session is good.
            if name not in accounts and os.path.exists(account_path(name, state_directory())):
                accounts[name] = self._accounts[name]
        for name in [name for name in joined if accounts.get(name) != self._accounts[name]]:
            self._leave(name)
        for name, account in accounts.items():
            if name in joined:
                joined[name].link.set_addresses(self._addresses(account))
            else:
                joined[name] = self._join(account)
                if not starting:
                    self._log.event(logged.LOCATION_JOINED, f"location {name} is joined", location=name)
        self._accounts = accounts
        for name in self._config.locations:
            if name not in accounts:
                self._log.event("warning", f"location {name} is in the file but not joined: run `tfd join`")
        self._conductor.poke()

    def _complain(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._problems:
                self._log.event("error", problem)
        self._problems = problems

    def _leave(self, name: str) -> None:
        message = f"location {name} is left: its account is gone or another"
        self._log.event(logged.LOCATION_LEFT, message, location=name)
        self._conductor.locations.pop(name).close()

    def _join(self, account: Account) -> Location:
        def make_link(owner: Location) -> Link:
            return Link(
                self._loop,
                self._context,
                self._log,
                name=account.name,
                keys=account.keys,
                addresses=self._addresses(account),
                ciphers=available_ciphers(),
                program=f"tfd {__version__}",
                heartbeat=self._config.daemon.heartbeat,
                owner=owner,
            )

        changed = self._conductor.poke
        return Location(self._loop, self._log, account.name, make_link, changed=changed, lost=self._lost)

    def _lost(self) -> None:
        self._conductor.proxy.drop_ready_channels()
        # What the session's sockets had lies between what stays, and does not go back by itself.
        self._thrift.stirred()

    def _addresses(self, account: Account) -> tuple[Address, ...]:
        declared = self._config.locations.get(account.name)
        return declared.addresses if declared and declared.addresses else account.addresses

    # The status socket

    def _answer_status(self) -> str:
        import json

        return json.dumps(self._document())

    def _document(self) -> dict[str, Any]:
        now = self._loop.now
        joined = list(self._conductor.locations.values())
        reports = self._supervisor.report()
        proxy = self._conductor.proxy
        return {
            "version": __version__,
            "environment": self._config.daemon.environment,
            "pid": os.getpid(),
            "uptime": round(now - self._started, 1),
            "config": self._path,
            "ready": self._was_ready,
            "stopping": self._stopping,
            "summary": document.summary(reports, joined),
            "reload": {"error": self._reload_error, "since": round(now - self._loaded, 1), **self._reloads},
            "problems": self._problems,
            "listeners": document.listeners(self._config, proxy.statistics()),
            "containers": document.containers(reports, now),
            "locations": document.locations(joined, now),
            "taken_over": proxy.taken_over,
            "queues": {**proxy.queued(), "log": self._log.queued},
            "log": {"lost": self._log.lost},
        }

    def _make_metrics(self, kept: KeptListeners) -> "MetricsService":
        from tfd.metrics.service import MetricsService

        return MetricsService(self._loop, self._log, kept, self._document, self._conductor.proxy.statistics)

    def _answer_accounts(self) -> str:
        self._read_accounts()
        return "{}"

    # The end

    def _stop(self) -> None:
        """Close the listeners, let open connections end for a while, then stop; at once when told again."""
        if self._stopping:
            self._loop.stop()
            return
        self._stopping = True
        self._notifier.stopping()
        self._log.event(logged.STOPPING, "stopping; the containers run on")
        self._conductor.proxy.apply(())
        self._conductor.drain(self._loop.stop)
        self._loop.call_later(DRAIN_LIMIT, self._loop.stop)

    def _terminate(self) -> None:
        """Stop as systemd asks, whose unit says before whether connections are to be left or closed.

        It runs no ExecStop= while a service starts or reloads, so this may be a restart. Is it a stop, then
        systemd forgets what it keeps, which resets the connections.
        """
        if self._stopping:
            self._stop()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Leave listeners and connections to the next process and end; stop where nobody keeps them."""
        if self._stopping:
            return
        if not self._is_kept:
            self._stop()
            return
        self._stopping = True
        self._notifier.stopping()
        self._log.event("info", "stopping for a restart; the containers run on")
        self._observing.leave()
        leave(self._conductor.proxy, self._notifier, self._log)
        self._loop.stop()

    def _close(self) -> None:
        self._observing.close()
        self._conductor.proxy.close()
        self._conductor.close()
        self._status.close()
        self._notifier.close()
        self._context.destroy(0)
        self._log.close()
        self._loop.close()


def _tell(log: Log, error: TfdError) -> None:
    """Log why a configuration cannot be put in force, one line for each mistake in it."""
    if isinstance(error, BindError):
        log.event(logged.LISTENER_REFUSED, str(error), address=str(error.address), reason=error.message)
        return
    for line in str(error).splitlines():
        log.event("error", line)


def _load(path: str) -> Config:
    """Read the configuration. Raises ConfigErrors."""
    from tfd.config.reader import load

    accounts, problems = load_accounts(state_directory())
    return load(path, None if problems or not accounts else accounts)
