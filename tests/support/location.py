"""A location's service in this process, on an engine in memory; its clients speak to it over real sockets."""

import asyncio
import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.client import Client
from tests.support.memory_engine import MemoryEngine
from tests.support.waiting import wait_for
from tfd.protocol.commands import Role
from tfd.protocol.drivers.hosting import HostingSelector
from tfd.protocol.drivers.loop import Loop
from tfd.protocol.keys import KeyPair
from tflocation.accounts import Accounts
from tflocation.config import Config
from tflocation.engines.interface import ImageInfo
from tflocation.images.process import from_config
from tflocation.logs import DriverLog
from tflocation.service import Service
from tflocation.values import Address

LOOPBACK = Address("127.0.0.1", 0)
DIGEST = "sha256:" + "1" * 64
START_LIMIT = 30.0


class MemoryLocation:
    """Runs the service in a thread from `with` to its end. `settings` are fields of the configuration."""

    def __init__(self, directory: Path, engine: MemoryEngine | None = None, **settings: Any) -> None:
        self.engine = engine or MemoryEngine()
        self.config = Config(name="home", listen=LOOPBACK, channel_listen=LOOPBACK, **settings)
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.socket = directory / "status.sock"
        self._drivers = Loop(DriverLog(logging.getLogger("tests.location")))
        self._loop = asyncio.SelectorEventLoop(HostingSelector(self._drivers))
        self._thread = threading.Thread(target=self._run)
        self._service: Service | None = None
        metadata = from_config({"config": {"Cmd": ["/bin/true"]}}, "", "").metadata()
        self.engine.published[DIGEST] = ImageInfo(DIGEST, ("web:latest",), 1, metadata)

    def __enter__(self) -> "MemoryLocation":
        self._thread.start()
        wait_for(lambda: self.port, START_LIMIT, "the service to listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._service is not None
        self._loop.call_soon_threadsafe(self._service.stop)
        self._thread.join(START_LIMIT)
        assert not self._thread.is_alive()
        self._loop.close()
        self._drivers.close()

    @property
    def port(self) -> int:
        """The control port; 0 until it is bound."""
        return self._service.port if self._service is not None else 0

    @property
    def public(self) -> bytes:
        """The location's key."""
        assert self._service is not None
        return self._service.public_key

    def do(self, work: Any) -> Any:
        """Await something in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_LIMIT)

    def call(self, function: Any, *arguments: Any) -> None:
        """Call something in the service's loop."""

        async def work() -> None:
            function(*arguments)

        self.do(work())

    def invite(self, name: str, role: Role = Role.USER, expires: float = 60.0) -> bytes:
        """Invite as the command line does: into the engine's memory, beside the service. Gives the token."""
        token: bytes = self.do(Accounts(self.engine).invite(name, role, expires))[0]
        return token

    def revoke(self, name: str) -> None:
        """Revoke as the command line does."""
        self.do(Accounts(self.engine).revoke(name))

    def client(self, pair: KeyPair | None = None, **options: Any) -> Client:
        """Give a client with this key pair, or a new one; not open yet."""
        return Client(self.port, self.public, pair, **options)

    def member(self, name: str, role: Role = Role.USER, **options: Any) -> Client:
        """Give a client that has joined as the account `name`."""
        token = self.invite(name, role)
        client = self.client(**options).open()
        client.call("join", token=token)
        return client

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def serve() -> None:
            self._service = Service(
                self.config,
                self.directory / "absent.toml",
                self._drivers,
                self.engine,
                self.directory,
                self.socket,
            )
            await self._service.run()

        self._loop.run_until_complete(serve())
