"""What the engine itself says, asked past all of our code: the tests' witness."""

import http
import http.client
import json
import socket
import time
from typing import Any

from tflocation.development import PrivateEngine

LIMIT = 30.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=LIMIT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self._path)


def ask(engine: PrivateEngine, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Give the engine's answer to one request of its REST API; an operation is waited for."""
    connection = _Connection(str(engine.socket))
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if answer.get("type") == "async":
        return ask(engine, "GET", f"{answer['operation']}/wait?timeout={int(LIMIT)}")
    return answer


def instances(engine: PrivateEngine, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Give the engine's instances by their id, those whose declared name begins with `prefix`."""
    answer = ask(engine, "GET", f"/1.0/instances?project={engine.project}&recursion=1")
    return {
        one["name"]: one
        for one in answer["metadata"] or []
        if one["config"].get("user.tfd.name", "").startswith(prefix)
    }


def init_pid(engine: PrivateEngine, instance: str) -> int:
    """Give the process id, on this machine, of the instance's first process; 0 when it does not run."""
    answer = ask(engine, "GET", f"/1.0/instances/{instance}/state?project={engine.project}")
    return int(answer["metadata"]["pid"])


def delete(engine: PrivateEngine, instance: str) -> None:
    """Delete an instance behind everybody's back, also while somebody stops it. Raises TimeoutError."""
    path, project = f"/1.0/instances/{instance}", f"project={engine.project}"
    end = time.monotonic() + LIMIT
    while ask(engine, "GET", f"{path}?{project}").get("error_code") != http.HTTPStatus.NOT_FOUND:
        if time.monotonic() > end:
            raise TimeoutError(f"{instance} cannot be deleted")
        ask(engine, "PUT", f"{path}/state?{project}", {"action": "stop", "force": True})
        ask(engine, "DELETE", f"{path}?{project}")
