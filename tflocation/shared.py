"""An engine that runs already and has other users: what a development location makes in it, and removes.

All of it is found by its names: a project, a bridge and, where the engine has no storage pool, a pool.
Nothing else in the engine is touched.
"""

import http.client
from pathlib import Path
from typing import Any, cast

from tflocation import leftovers
from tflocation.development import DevelopmentError
from tflocation.enginesocket import LIMIT, ask


class SharedEngine:
    """A running engine at the socket `path`; `project` names our project, and our pool if one is made.

    Every method raises DevelopmentError with the engine's words.
    """

    def __init__(self, path: Path, project: str, bridge: str) -> None:
        self.socket = path
        self.project = project
        self.bridge = bridge
        self.pool = ""
        """The storage pool to use, once `prepare` has chosen it."""

    def prepare(self) -> bool:
        """Choose a storage pool: `default`, else the first, else a new one of our own; tell if it is new."""
        pools = self._names("/1.0/storage-pools")
        if pools:
            self.pool = next((name for name in (self.project, "default") if name in pools), pools[0])
            return False
        # A directory: it needs no loop device, which would stay for as long as the engine runs.
        self._request("POST", "/1.0/storage-pools", {"name": self.project, "driver": "dir", "config": {}})
        self.pool = self.project
        return True

    def rest(self) -> None:
        """Remove our containers, bridge and rules; images and volumes stay for the next time."""
        if self._in_project("/1.0/instances"):
            stop = {"state": {"action": "stop", "force": True}}
            self._request("PUT", f"/1.0/instances?project={self.project}", stop)
        for name in self._in_project("/1.0/instances"):
            self._request("DELETE", f"/1.0/instances/{name}?project={self.project}")
        self._request("DELETE", f"/1.0/networks/{self.bridge}")
        leftovers.remove_tables(self.bridge)

    def remove(self) -> list[str]:
        """Remove all that is ours, but for volumes, which hold a user's data: give the names of those kept.

        The project and its pool stay where there is such a volume.
        """
        self.rest()
        for fingerprint in self._in_project("/1.0/images"):
            self._request("DELETE", f"/1.0/images/{fingerprint}?project={self.project}")
        volumes = [
            name
            for pool in self._names("/1.0/storage-pools")
            for name in self._in_project(f"/1.0/storage-pools/{pool}/volumes/custom")
        ]
        if not volumes:
            self._request("DELETE", f"/1.0/projects/{self.project}")
            self._request("DELETE", f"/1.0/storage-pools/{self.project}")
        return volumes

    def _in_project(self, url: str) -> list[str]:
        return self._names(f"{url}?project={self.project}")

    def _names(self, url: str) -> list[str]:
        """Give the last parts of the listed objects' addresses; none where the project is not there."""
        listed = cast("list[str] | None", self._request("GET", url).get("metadata"))
        return [path.partition("?")[0].rpartition("/")[2] for path in listed or []]

    def _request(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        """Ask, and wait for an operation's end; what is not there is an empty answer."""
        what = f"the engine at {self.socket}: {method} {url}"
        try:
            status, answer = ask(self.socket, method, url, body)
            if status == http.client.ACCEPTED:
                _, answer = ask(self.socket, "GET", f"{answer['operation']}/wait?timeout={LIMIT - 5:.0f}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DevelopmentError(f"{what}: {error or type(error).__name__}") from error
        if status == http.client.NOT_FOUND:
            return {}
        operation = answer.get("metadata")
        failure = operation.get("err") if status == http.client.ACCEPTED and operation else ""
        if status == http.client.ACCEPTED and operation and operation.get("status") == "Running":
            failure = f"not done within {LIMIT - 5:.0f} s"
        if failure or status >= http.client.BAD_REQUEST:
            raise DevelopmentError(f"{what}: {failure or answer.get('error')}")
        return answer
