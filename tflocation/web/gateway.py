"""The web gateway of a location: its published clusters, as HAProxy serves them."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import Engine, EngineError, State
from tflocation.inventory import Difference, Gone, Inventory
from tflocation.web import store
from tflocation.web.acme import Acme
from tflocation.web.clusters import Cluster, Clusters, weights
from tflocation.web.haproxy import HAProxy, NotServing
from tflocation.web.settings import WebSettings
from tflocation.web.sites import Files, Server, Site, Sites, free_backend

log = logging.getLogger(__name__)

NODES_FRESH: Final = 60.0
"""Seconds for which the nodes' processors are not asked for again."""


class Gateway:
    """Serves clusters while it is open.

    Args:
        settings: the table [web].
        engine: tells the nodes' processors.
        inventory: tells where the containers are.
        state: a directory for what outlives the service; private keys are in it.
        runtime: a directory for what does not.

    """

    def __init__(
        self, settings: WebSettings, engine: Engine, inventory: Inventory, state: Path, runtime: Path
    ) -> None:
        self.settings = settings
        self._engine = engine
        self._inventory = inventory
        self._file = state / "clusters.json"
        self._directories = (state, state / "certificates", runtime)
        self._clusters = Clusters()
        self._proxy = HAProxy(settings, Files(str(runtime), str(state / "certificates")))
        self._acme = Acme(settings, state / "acme", self._proxy, self._refresh)
        self._processors: Mapping[str, int] = {}
        self._asked = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving = asyncio.Lock()

    def start(self) -> None:
        """Serve what was published before the service ended. Raises OSError."""
        for directory in self._directories:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clusters = Clusters(store.load(self._file))
        self._acme.start()
        self._acme.wanted(self._clusters.all())
        self._proxy.start(self._wanted({}))  # with the certificates that are kept

    async def close(self) -> None:
        """End HAProxy and what runs beside it; what is published is kept for the next start."""
        for task in self._tasks:
            task.cancel()
        await self._acme.close()
        await self._proxy.close()

    @property
    def trouble(self) -> str:
        """Why nothing is served at present; "" while it is."""
        return self._proxy.trouble

    def require(self, cluster: Cluster) -> None:
        """Raise CommandError unless the cluster may be published."""
        self._clusters.require(cluster)

    async def publish(self, cluster: Cluster) -> None:
        """Serve it; returns once it is served. Raises CommandError."""
        self._clusters.publish(cluster)
        self._acme.wanted(self._clusters.all())
        await self._settle()

    async def change(self, account: str, key: str, containers: tuple[str, ...]) -> None:
        """Give a cluster other containers; returns once they serve. Raises CommandError."""
        self._clusters.change(account, key, containers)
        await self._settle()

    async def remove(self, account: str, key: str) -> None:
        """Take a cluster down; one that is not there is down already. Raises CommandError."""
        if self._clusters.remove(account, key):
            self._acme.wanted(self._clusters.all())
            await self._settle()

    def find(self, account: str, key: str) -> Cluster:
        """Give one of the account's clusters. Raises CommandError not-found."""
        return self._clusters.find(account, key)

    def of(self, account: str) -> list[Cluster]:
        """Give the account's clusters."""
        return self._clusters.of(account)

    def holders(self) -> set[tuple[str, str]]:
        """Give the sessions that hold a cluster: account, and id in hexadecimal."""
        return self._clusters.holders()

    def release(self, account: str, holder: str) -> None:
        """Take down all that a session of the account held which has ended."""
        if self._clusters.release(account, holder):
            self._acme.wanted(self._clusters.all())
            self._soon()

    def follow(self, differences: Iterable[Difference]) -> None:
        """Take what happened to containers: one that does not run serves nothing, one that is gone leaves."""
        served = {container for cluster in self._clusters.all() for container in cluster.containers}
        touched = [difference for difference in differences if difference.container.id in served]
        for difference in touched:
            if isinstance(difference, Gone):
                self._clusters.forget(difference.container.id)
        if touched:
            self._soon()

    def _soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._refresh())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self) -> None:
        """Serve what is published now; what fails is logged."""
        try:
            await self._settle()
        except CommandError as error:
            log.warning(
                "a change of what is published is not served yet", extra={"fields": {"reason": error.message}}
            )

    async def _settle(self) -> None:
        await self._learn_nodes()
        try:
            async with self._saving:
                await asyncio.to_thread(store.save, self._file, self._clusters.all())
            await self._proxy.apply(self._wanted)
        except OSError as error:
            raise CommandError(Code.UNAVAILABLE, f"the cluster cannot be kept: {error}") from error
        except NotServing as error:
            raise CommandError(Code.UNAVAILABLE, f"the web gateway does not run: {error}") from error

    async def _learn_nodes(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked < NODES_FRESH:
            return
        try:
            self._processors = {node.name: node.cpus for node in await self._engine.nodes()}
            self._asked = loop.time()
        except EngineError as error:
            log.debug("the nodes could not be asked", extra={"fields": {"reason": str(error)}})

    def _wanted(self, present: Sites) -> Sites:
        """Give the sites of all clusters; each keeps the backend that it has."""
        wanted: dict[str, Site] = {}
        for cluster in self._clusters.all():
            site = present.get(cluster.fqdn)
            number = site.backend if site is not None else free_backend([*present.values(), *wanted.values()])
            wanted[cluster.fqdn] = replace(
                Site(cluster.fqdn, number),
                servers=self._servers(cluster.containers),
                host=cluster.rewrite.host,
                prefix=cluster.rewrite.prefix,
                certificate=cluster.certificate or self._acme.certificate(cluster.fqdn),
                challenged=self._acme.challenged(cluster.fqdn),
            )
        return wanted

    def _servers(self, containers: Collection[str]) -> tuple[Server, ...]:
        known = {container.id: container for container in self._inventory.all()}
        running = {
            container: known[container]
            for container in dict.fromkeys(containers)
            if container in known and known[container].state is State.RUNNING
        }
        weight = weights({name: info.node for name, info in running.items()}, self._processors)
        return tuple(Server(name, info.ip, weight[name]) for name, info in running.items())
