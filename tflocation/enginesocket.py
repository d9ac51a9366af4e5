"""Single requests to an engine's Unix socket, for programs without an event loop."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

LIMIT = 30.0  # seconds for one answer


def ask(path: Path, method: str, url: str, body: object = None) -> tuple[int, dict[str, Any]]:
    """Send one request to the engine at the socket `path`, and give its status and its JSON answer.

    Raises OSError and http.client.HTTPException where nothing, or nothing that is HTTP, answers.
    """
    connection = _UnixConnection(path)
    try:
        connection.request(method, url, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=LIMIT)
        self._path = os.fspath(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
