"""Certificates from an ACME server (RFC 8555), fetched and renewed by lego for names that have no other."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tflocation.web import certificates
from tflocation.web.certificates import Certificate
from tflocation.web.clusters import Cluster
from tflocation.web.haproxy import HAProxy, NotServing
from tflocation.web.settings import WebSettings
from tflocation.web.sites import Order

log = logging.getLogger(__name__)

LIMIT: Final = 180.0
"""Seconds for one certificate."""

FIRST_PAUSE: Final = timedelta(minutes=5)
LONGEST_PAUSE: Final = timedelta(hours=12)
"""Waited after failures, twice as long after each: a public server counts them (5 an hour for a name)."""

LOOK: Final = 3600.0
"""Seconds until the certificates are looked at again where nothing is due earlier."""


@dataclass(slots=True)
class Name:
    """One name's certificate, and when it is to be asked for (again)."""

    certificate: Certificate | None = None
    due: datetime = field(default_factory=lambda: datetime.now(UTC))
    pause: timedelta = FIRST_PAUSE


def renewal(certificate: Certificate) -> datetime:
    """Give when to renew: after two thirds of its life, as ACME servers advise."""
    return certificate.starts + (certificate.expires - certificate.starts) * 2 / 3


class Acme:
    """Keeps certificates for names; does nothing where no server is set.

    Args:
        settings: which server, and who asks it.
        directory: where lego keeps account and certificates.
        proxy: where the server's challenges come in (http-01).
        changed: called when what `certificate` or `challenged` tell has changed.

    """

    def __init__(
        self,
        settings: WebSettings,
        directory: Path,
        proxy: HAProxy,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._proxy = proxy
        self._changed = changed
        self._names: dict[str, Name] = {}
        self._challenged = ""
        self._woken = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Fetch and renew from now on until `close`. Raises OSError."""
        if self._settings.acme_directory is not None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """End what runs."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def certificate(self, fqdn: str) -> bytes:
        """Give the name's certificate, PEM; b"" while there is none."""
        known = self._names.get(fqdn)
        return known.certificate.pem if known is not None and known.certificate is not None else b""

    def challenged(self, fqdn: str) -> bool:
        """Whether the server may ask for this name now."""
        return fqdn == self._challenged

    def wanted(self, clusters: Collection[Cluster]) -> None:
        """Keep certificates for these clusters, as far as they have none of their own, and for no others."""
        if self._settings.acme_directory is None:
            return
        names = {cluster.fqdn for cluster in clusters if cluster.certificate is None}
        for gone in self._names.keys() - names:
            del self._names[gone]
        for fqdn in names - self._names.keys():
            kept = self._kept(fqdn)
            self._names[fqdn] = Name() if kept is None else Name(kept, renewal(kept))
        self._woken.set()

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            now = datetime.now(UTC)
            due = sorted((known.due, fqdn) for fqdn, known in self._names.items())
            if due and due[0][0] <= now:
                await self._fetch(due[0][1])
                continue
            wait = min(LOOK, (due[0][0] - now).total_seconds()) if due else LOOK
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    async def _fetch(self, fqdn: str) -> None:
        self._challenged = fqdn
        try:
            reason = await self._ask(fqdn)
        finally:
            self._challenged = ""
        known = self._names.get(fqdn)
        fresh = self._kept(fqdn) if not reason else None
        if known is not None and fresh is not None:
            known.certificate, known.due, known.pause = fresh, renewal(fresh), FIRST_PAUSE
            log.info("certificate fetched", extra={"fields": {"name": fqdn, "expires": fresh.expires}})
        elif known is not None:
            known.due = datetime.now(UTC) + known.pause
            known.pause = min(LONGEST_PAUSE, known.pause * 2)
            log.warning(
                "no certificate could be fetched",
                extra={"fields": {"name": fqdn, "again": known.due, "reason": reason or "it cannot be used"}},
            )
        await self._changed()

    async def _ask(self, fqdn: str) -> str:
        """Run lego for the name; gives why it failed, "" where it did not."""
        port = _free_port()
        try:
            await self._proxy.order(
                Order(f"set server acme/lego addr 127.0.0.1 port {port}", "no need to change the addr"),
                Order("set server acme/lego state ready"),
            )
            await self._changed()
            return await self._run(fqdn, port)
        except NotServing as error:
            return f"the web gateway does not run: {error}"
        except OSError as error:
            return f"lego cannot be run: {error.strerror or error}"

    async def _run(self, fqdn: str, port: int) -> str:
        program, setpriv = shutil.which("lego"), shutil.which("setpriv")
        if program is None or setpriv is None:
            return "lego is needed: apt install lego"
        settings = self._settings
        arguments = ["--server", settings.acme_directory or "", "--email", settings.acme_email or ""]
        arguments += ["--accept-tos", "--path", str(self._directory), "--domains", fqdn]
        arguments += ["--key-type", "ec256", "--http", "--http.port", f"127.0.0.1:{port}", "run"]
        environment = dict(os.environ)
        if settings.acme_ca is not None:
            environment["LEGO_CA_CERTIFICATES"] = str(settings.acme_ca)
        process = await asyncio.create_subprocess_exec(
            *(setpriv, "--pdeathsig", "KILL", program, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            umask=0o077,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(LIMIT):
                _, errors = await process.communicate()
        except TimeoutError:
            return f"no certificate within {LIMIT:g} s"
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        lines = errors.decode(errors="replace").strip().splitlines()
        return "" if process.returncode == 0 else (lines[-1] if lines else f"code {process.returncode}")

    def _kept(self, fqdn: str) -> Certificate | None:
        """Give what lego has fetched for the name, unless it has expired."""
        base = self._directory / "certificates" / fqdn
        try:
            pem = base.with_name(fqdn + ".key").read_bytes() + base.with_name(fqdn + ".crt").read_bytes()
            now = datetime.now(UTC)
            found = certificates.check(pem, fqdn, now)
        except (OSError, certificates.CertificateError):
            return None
        return found if found.expires > now else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
