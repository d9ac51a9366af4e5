"""The running service: composes its parts, and starts and stops them in order."""

import asyncio
import logging
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import zmq

from tfd.protocol import keys
from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.drivers.memory import trim
from tfd.protocol.drivers.systemd.inherited import Inherited, take_inherited
from tfd.protocol.drivers.systemd.listeners import KeptListeners
from tfd.protocol.drivers.systemd.notify import Notifier
from tfd.protocol.errors import KeyFileError
from tflocation import config as settings
from tflocation import handover, logged, logs
from tflocation.accounts import Accounts
from tflocation.channels import ChannelServer
from tflocation.commands.call import Services
from tflocation.commands.nodes import describe
from tflocation.config import Config, ConfigErrors
from tflocation.consoles import Consoles
from tflocation.control import Control
from tflocation.engines.interface import Engine, EngineError
from tflocation.engines.lxd.engine import LxdEngine
from tflocation.engines.lxd.settings import EngineSettings
from tflocation.follower import Follower
from tflocation.holding import Holding
from tflocation.images import Images, ImageSettings
from tflocation.inventory import Difference, Gone, Inventory
from tflocation.logs import told
from tflocation.outputs import Outputs
from tflocation.pipes import Pipes
from tflocation.runtime import RuntimeServer, socket_path
from tflocation.state import StartError, state_directory
from tflocation.tickets import Tickets
from tflocation.values import Address
from tflocation.web.gateway import Gateway

log = logging.getLogger(__name__)

STOP_LIMIT: Final = 10.0
"""Seconds for the orderly end; whatever still waits then is dropped."""

PULSE: Final = 5.0
"""Seconds between two updates of what systemd shows."""

TIDY: Final = 10.0
"""Seconds until free memory is given back again: a session that ends leaves 100 KB, a message its size."""

DESCRIPTORS: Final = 262_144
"""Open files asked for: two for each channel, one for each stranger's connection for five seconds."""

RELOADABLE: Final = frozenset({"address", "limits", "account_limits", "log_level", "lease"})


def make_engine(config: Config) -> LxdEngine:
    """Give the engine of the configuration; nothing is asked of it yet."""
    defaults = EngineSettings()
    return LxdEngine(
        EngineSettings(
            socket=config.engine,
            project=config.project,
            pool=config.pool,
            bridge=config.network or defaults.bridge,
            subnet=config.subnet,
        )
    )


def make_images(config: Config, engine: Engine, directory: Path) -> Images:
    """Give the images of the configuration, with their cache in `directory`."""
    return Images(
        engine,
        directory,
        ImageSettings(
            registries=config.registries,
            insecure_registries=config.insecure_registries,
            credentials=config.registry_credentials,
            cache_size=config.cache_size,
            image_size=config.image_size,
            pull_timeout=config.pull_timeout,
        ),
    )


class Service:
    """One location's service.

    Args:
        config: its settings.
        path: the file that they were read from, for `reload`.
        loop: the drivers', which runs the channels; asyncio's hosts it.
        engine: what runs the containers.
        state: the directory of its key pair and cache.
        runtime: the socket for commands on this machine.
        inherited: what systemd passed to this process.

    Raises StartError where its key pair cannot be used.

    """

    def __init__(
        self,
        config: Config,
        path: Path,
        loop: Loop,
        engine: Engine,
        state: Path,
        runtime: Path,
        inherited: Inherited | None = None,
    ) -> None:
        self._path = path
        self._config = config
        self._stopping = asyncio.Event()
        self._leaving = False
        self._is_ready = False
        self._is_kept = False
        self._reload_refused = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._notifier = Notifier()
        self._inherited = inherited or Inherited()
        try:
            pair = keys.load_or_create(state / "location.key")
        except KeyFileError as error:
            raise StartError(str(error)) from error
        self._services = self._make_services(loop, engine, state, pair.public)
        self.public_key = pair.public
        self.port = 0
        """Of the control socket, once it is bound."""
        self._control = Control(self._services, pair)
        self._services.accounts_changed = self._control.accounts_changed
        self._services.sessions = self._control.sessions
        self._services.announce = self._control.announce
        self._services.observers = self._control.observers
        self._follower = Follower(self._services)
        self._holding = Holding(self._services, self._control.holders)
        self._services.end_session = self._holding.end
        if config.web is not None:
            self._services.web = Gateway(
                config.web, engine, self._services.inventory, state / "web", runtime.with_name("web")
            )
        self._runtime = RuntimeServer(runtime, self._status, self._follower.refresh_accounts)

    def _make_services(self, loop: Loop, engine: Engine, state: Path, public_key: bytes) -> Services:
        config = self._config
        counters: Counter[str] = Counter()
        tickets = Tickets()
        pipes = Pipes(lambda: self._config.lease)
        consoles = Consoles(engine)
        return Services(
            config=config,
            engine=engine,
            images=make_images(config, engine, config.cache_directory or state / "images"),
            accounts=Accounts(engine),
            inventory=Inventory(),
            tickets=tickets,
            channels=ChannelServer(
                loop, tickets, logging.getLogger("tflocation.channels"), counters, pipes.connect
            ),
            pipes=pipes,
            consoles=consoles,
            outputs=Outputs(consoles),
            public_key=public_key,
            channel_port=config.channel_listen.port,
            counters=counters,
            tell=self._tell,
        )

    async def run(self) -> None:
        """Serve until `stop`. Raises StartError, and EngineError where the engine is unusable."""
        try:
            await self._start()
            follower = asyncio.create_task(self._follower.run())
            holding = asyncio.create_task(self._holding.run())
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((follower, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if follower.done():
                follower.result()
            for task in (follower, holding):
                task.cancel()
            await asyncio.gather(follower, holding, return_exceptions=True)
        finally:
            await self._stop()

    def stop(self) -> None:
        """Have `run` end in order."""
        self._stopping.set()

    def leave(self) -> None:
        """Have `run` end and leave the channels to the next process; like `stop` where nobody keeps them."""
        self._leaving = True
        self._stopping.set()

    async def _start(self) -> None:
        _raise_descriptors()
        config = self._config
        try:
            await self._services.images.open()
            await self._runtime.start()
            if self._services.web is not None:
                self._services.web.start()
        except OSError as error:
            raise StartError(str(error)) from error
        await self._listen(config.listen, config.channel_listen)
        ports = {"control": self.port, "channels": self._services.channel_port}
        log.info("listening", extra=told(logged.SERVING, **ports, name=config.name))
        self._pulse()
        self._tidy()
        self._notifier.ready()
        self._is_ready = True
        if self._notifier.watchdog_interval is not None:
            self._watchdog(self._notifier.watchdog_interval)

    def _pulse(self) -> None:
        """Show in systemd how it is, now and from time to time."""
        self._notifier.status(self._summary())
        self._timers["pulse"] = asyncio.get_running_loop().call_later(PULSE, self._pulse)

    def _tidy(self) -> None:
        """Have the heap hold only what is in use, now and from time to time."""
        trim()
        self._timers["tidy"] = asyncio.get_running_loop().call_later(TIDY, self._tidy)

    def _watchdog(self, interval: float) -> None:
        """Feed systemd's watchdog from the loop that does the work."""
        self._notifier.alive()
        self._timers["watchdog"] = asyncio.get_running_loop().call_later(interval, self._watchdog, interval)

    def _summary(self) -> str:
        web = self._services.web
        parts = [
            "last reload refused, see the log" if self._reload_refused else "",
            f"location {self._config.name} on port {self.port}: {self._control.sessions()} sessions",
            self._follower.reason,
            web.trouble if web is not None else "",
        ]
        return "; ".join(part for part in parts if part)

    async def _listen(self, control: Address, channels: Address) -> None:
        """Listen on both ports, and go on with the channels of the process before."""
        services, inherited = self._services, self._inherited
        kept = KeptListeners(inherited, self._notifier)
        address = channels
        try:
            await services.channels.start(channels.host, channels.port, kept)
            services.channel_port = services.channels.ports[0]
            address = control
            self.port = self._control.start(control, kept)
        except (OSError, zmq.ZMQError) as error:
            kept.close()
            raise StartError(f"cannot listen on {address}: {error.strerror or error}") from error
        for before in kept.take_rest():
            before.socket.close()
            kept.forget(before.name)
        kept.close()
        handover.take_over(
            services.channels, services.tickets, inherited, self._notifier, asyncio.get_running_loop().time()
        )
        # What this version does not know has no reader, and is kept no longer.
        for name in inherited.names:
            self._notifier.forget(name)
        inherited.close()
        self._is_kept = self._notifier.can_store()
        if not self._is_kept:
            log.info("nobody keeps channels while tflocation restarts: they end then")

    async def _stop(self) -> None:
        self._notifier.stopping()
        for timer in self._timers.values():
            timer.cancel()
        if self._is_kept and self._leaving:
            now = asyncio.get_running_loop().time()
            handover.leave(self._services.channels, self._services.tickets, self._notifier, now)
            self._control.leave()
        self._runtime.close()
        self._control.close()
        self._services.channels.close()
        if self._services.web is not None:
            await self._services.web.close()
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await self._services.pipes.close()
                self._services.outputs.close()
                await self._services.consoles.close()
                await self._services.images.close()
                await self._services.engine.close()
        except TimeoutError:
            log.warning(
                "not all ended in time; what still works is dropped",
                extra={"fields": {"seconds": STOP_LIMIT}},
            )
        self._notifier.close()
        log.info("stopped", extra=told(logged.STOPPED))

    def reload(self) -> None:
        """Take over from the file what can change without a restart; a wrong file changes nothing."""
        # Before READY=1, a second one would end the start for systemd.
        if self._is_ready:
            self._notifier.reloading()
        try:
            self._reload()
        finally:
            self._notifier.status(self._summary())
            if self._is_ready:
                self._notifier.ready()

    def _reload(self) -> None:
        try:
            fresh = settings.load(self._path, required=self._path != settings.DEFAULT_PATH)
        except ConfigErrors as errors:
            for problem in errors.problems:
                log.error("%s", problem)
            refused = told(logged.RELOAD_REFUSED, reason=str(errors.problems[0]))
            log.error("the configuration was not reloaded; the old one stays in force", extra=refused)
            self._reload_refused = True
            return
        self._reload_refused = False
        changed = {
            item.name
            for item in fields(Config)
            if getattr(fresh, item.name) != getattr(self._config, item.name)
        }
        fixed = {name: getattr(self._config, name) for name in changed - RELOADABLE}
        if fixed:
            message = "settings that only a restart changes stay as they were: systemctl restart tflocation"
            log.warning(message, extra={"fields": {"settings": ", ".join(sorted(fixed))}})
        taken = {item.name: getattr(fresh, item.name) for item in fields(Config)} | fixed
        self._config = self._services.config = Config(**taken)
        logging.getLogger("tflocation").setLevel(self._config.log_level.upper())
        names = ", ".join(sorted(changed - fixed.keys())) or "nothing"
        log.info("configuration reloaded", extra=told(logged.RELOADED, changed=names))

    def _tell(self, differences: Iterable[Difference]) -> None:
        differences = list(differences)
        for difference in differences:
            if isinstance(difference, Gone):
                self._services.channels.close_container(difference.container.id)
        if self._services.web is not None:
            self._services.web.follow(differences)
        self._services.consoles.follow(differences)
        self._control.tell(differences)
        self._follower.told(differences)

    async def _status(self) -> dict[str, Any]:
        status = await describe(self._services)
        web = self._services.web
        return status | {
            "engine_trouble": self._follower.reason,
            "web_trouble": web.trouble if web is not None else "",
        }


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(config: Config, path: Path, engine_of: Callable[[Config], Engine] = make_engine) -> None:
    """Run the service until it is asked to stop. Raises StartError, EngineError."""
    inherited = take_inherited()
    drivers = Loop(logs.DriverLog(log))

    async def serve() -> None:
        service = Service(
            config, path, drivers, engine_of(config), state_directory(), socket_path(), inherited
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, service.stop)
        # systemd runs no ExecStop= while a service starts or reloads: a SIGTERM then may mean a restart. Is
        # it a stop, then systemd forgets what it keeps, which resets the channels.
        for number in (signal.SIGUSR2, signal.SIGTERM):
            loop.add_signal_handler(number, service.leave)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        logs.attend(loop.call_later)
        try:
            await service.run()
        finally:
            logs.attend(None)

    try:
        with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(HostingSelector(drivers))
        ) as runner:
            runner.run(serve())
    except EngineError as error:
        raise StartError(f"the engine cannot be used: {error}") from error
    finally:
        drivers.close()
