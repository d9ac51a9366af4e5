"""HAProxy as a process of ours: started, supervised, and told what to serve."""

import asyncio
import contextlib
import logging
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tflocation.web.launching import SOCKET, launch
from tflocation.web.runtimeapi import RuntimeApi, RuntimeApiError
from tflocation.web.settings import WebSettings
from tflocation.web.sites import Files, Leaving, Order, Sites, backend_name, departures, orders
from tflocation.web.store import write_private
from tflocation.web.template import Machine, certificate_list, configuration, maps

log = logging.getLogger(__name__)

START_LIMIT: Final = 10.0
"""Seconds until a started or reloaded HAProxy must answer."""

RELOADS: Final = 3
"""Times that it is told to reload where nothing comes of it within RELOAD_LIMIT seconds."""

RELOAD_LIMIT: Final = 5.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
LONG_LIFE: Final = 60.0
"""Seconds of running after which the next restart waits the shortest time again."""

SWEEP: Final = 2.0
"""Seconds between two looks at servers that may have lost their last connection."""

POLL: Final = 0.02
USER: Final = "haproxy"
"""Whom Debian's package makes for its workers."""


class NotServing(Exception):  # noqa: N818 - it names the condition
    """HAProxy does not run at present; the message says why."""


class HAProxy:
    """One HAProxy in master-worker mode, which ends when this process does, however that ends.

    Args:
        settings: where it listens.
        files: where its files are; the directories exist.

    """

    def __init__(self, settings: WebSettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._api = RuntimeApi(Path(files.directory) / "admin.sock")
        self._master = RuntimeApi(Path(files.directory) / "master.sock")
        self._lock = asyncio.Lock()
        self._running = asyncio.Event()
        self._reason = "it has not been started yet"
        self._sites: Sites = {}
        self._told: Sites = {}
        self._leaving: list[Leaving] = []
        self._last_line = ""
        self._supervisor: asyncio.Task[None] | None = None

    def start(self, sites: Sites) -> None:
        """Run it from now on until `close`, with these sites first."""
        self._sites = sites
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End it, and wait for its end."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    @property
    def sites(self) -> Sites:
        """What it serves, or will serve once it runs."""
        return self._sites

    @property
    def trouble(self) -> str:
        """Why it does not serve; "" while it does."""
        return "" if self._running.is_set() else self._reason

    async def apply(self, change: Callable[[Sites], Sites]) -> None:
        """Serve what `change` makes of what is served; returns once it is so.

        Raises NotServing where it does not run within START_LIMIT; the change holds once it does.
        """
        async with self._lock:
            self._sites = change(self._sites)
            if self._running.is_set():
                await self._take()
        await self._until_running()

    async def order(self, *wanted: Order) -> None:
        """Have commands done, once it runs. Raises NotServing."""
        await self._until_running()
        try:
            for order in wanted:
                await self._api.do(order)
        except RuntimeApiError as error:
            raise NotServing(str(error)) from error

    async def _until_running(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT):
                await self._running.wait()
        except TimeoutError:
            raise NotServing(self._reason) from None

    async def _take(self) -> None:
        """Bring what runs from what it was told to what is wanted."""
        old, new = self._told, self._sites
        if old == new:
            return
        back = {Leaving(backend_name(site), server.name) for site in new.values() for server in site.servers}
        try:
            await asyncio.to_thread(self._write_certificates, new)
            for order in orders(old, new, self._leaving, self._files):
                await self._api.do(order)
        except RuntimeApiError as error:
            log.warning("HAProxy refused a change, and is reloaded", extra=_why(str(error)))
            await self._reload()
            return
        self._told = new
        self._leaving = [gone for gone in self._leaving if gone not in back] + departures(old, new)
        await self._sweep()

    async def _reload(self) -> None:
        """Have a new worker take the listening sockets over; the old one ends with its last connection."""
        before = await self._api.process()
        if before is None:
            self._running.clear()  # it died; the supervisor starts it with what is wanted now
            return
        await asyncio.to_thread(self._write)
        self._leaving.clear()
        # A master that has just started may lose what it is told, and none answers to this.
        for _ in range(RELOADS):
            with contextlib.suppress(RuntimeApiError):
                await self._master.ask("reload")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELOAD_LIMIT):
                    while await self._api.process() in (None, before):
                        await asyncio.sleep(POLL)
                    return
        log.error("HAProxy did not take its configuration", extra=_why(self._last_line))

    async def _sweep(self) -> None:
        """Delete the servers without connections among those that take no new ones."""
        for gone in list(self._leaving):
            try:
                answer = await self._api.ask(f"del server {gone.backend}/{gone.server}")
            except RuntimeApiError:
                return
            if "deleted" in answer or "No such server" in answer:
                self._leaving.remove(gone)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                await self._run()
            except OSError as error:
                self._reason = f"HAProxy cannot be started: {error.strerror or error}"
            self._running.clear()
            if loop.time() - began > LONG_LIFE:
                pause = FIRST_PAUSE
            log.error("the web gateway does not run", extra=_why(self._reason))
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _run(self) -> None:
        """Run it once, to its end."""
        async with self._lock:
            await asyncio.to_thread(self._write)
            self._leaving.clear()
            self._last_line = ""
            launched = await launch(self._files.directory, os.environ.get(SOCKET, ""))
        lines = asyncio.create_task(self._read(launched.errors))
        try:
            await self._wait_ready(lines)
            while not lines.done():
                await asyncio.wait({lines}, timeout=SWEEP)
                if self._leaving:
                    async with self._lock:
                        await self._sweep()
        finally:
            self._running.clear()
            await launched.end()
            await lines
            self._reason = f"HAProxy ended: {self._last_line or 'it did not say why'}"

    async def _wait_ready(self, lines: "asyncio.Task[None]") -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + START_LIMIT
        while not lines.done() and loop.time() < end:
            async with self._lock:
                if (process := await self._api.process()) is not None:
                    await self._take()  # what was wanted after it was started
                    self._running.set()
                    log.info("the web gateway runs", extra={"fields": {"pid": process}})
                    return
            await asyncio.sleep(POLL)

    async def _read(self, errors: asyncio.StreamReader) -> None:
        async for line in errors:
            text = line.decode(errors="replace").strip()
            if "[ALERT]" not in text or "has no server available" in text:
                # A server that fails or recovers by itself is told with the reason; the rest we did.
                log.log(logging.INFO if ", reason: " in text else logging.DEBUG, "haproxy: %s", text)
                continue
            if self._running.is_set() or not self._last_line:
                # Of those before it ran the first says why, and the rest that its processes end.
                self._last_line = text.partition(" : ")[2] or text
            log.warning("haproxy: %s", text)

    def _write(self) -> None:
        sites = self._told = self._sites
        self._write_certificates(sites)
        for name, text in maps(sites).items():
            write_private(Path(self._files.map(name)), text.encode())
        write_private(Path(self._files.certificate_list), certificate_list(sites, self._files).encode())
        text = configuration(self._settings, _machine(), self._files, sites)
        write_private(Path(self._path("haproxy.cfg")), text.encode())

    def _write_certificates(self, sites: Sites) -> None:
        wanted = {Path(self._files.certificate(fqdn)): site.certificate for fqdn, site in sites.items()}
        for path, pem in wanted.items():
            if pem and (not path.exists() or path.read_bytes() != pem):
                write_private(path, pem)
        for path in Path(self._files.certificates).iterdir():
            if not wanted.get(path):
                path.unlink()

    def _path(self, name: str) -> str:
        return f"{self._files.directory}/{name}"


def _machine() -> Machine:
    user = ""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(USER).pw_name
    return Machine(user, Path("/proc/net/if_inet6").exists())


def _why(reason: str) -> dict[str, object]:
    return {"fields": {"reason": reason}}
