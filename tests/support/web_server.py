"""A small web server with a WebSocket (RFC 6455), for containers: nothing but the standard library.

It is copied into an image and run there, so it imports nothing of ours. `python3 web_server.py [ADDRESS]`.
"""

import base64
import hashlib
import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PORT: Final = 80
MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT: Final = 0x81
CLOSE: Final = 0x88

PAGE: Final = b"""<!doctype html><title>page</title><script>
const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/socket`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => {
  const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  if (event.data == "hello") socket.send(`answered over ${protocol}`);
};
</script>"""

heard: list[str] = []
"""What came over WebSockets."""


class Handler(BaseHTTPRequestHandler):
    """Serves PAGE at /, a WebSocket that echoes at /socket, and what it was asked, as JSON, anywhere else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path.endswith("/socket"):
            self._socket()
        elif self.path == "/":
            self._answer("text/html", PAGE)
        else:
            told = {
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "heard": heard,
                "server": os.environ.get("NAME") or socket.gethostname(),
            }
            self._answer("application/json", json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _socket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] == CLOSE:
                return
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(self.rfile.read(head[1] & 127)))
            heard.append(data.decode())
            self.wfile.write(bytes((TEXT, len(data))) + data)


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Server((sys.argv[1] if len(sys.argv) > 1 else "", PORT), Handler).serve_forever()
