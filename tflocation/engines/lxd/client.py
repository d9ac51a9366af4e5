"""A thin client of the engine's REST API over its Unix socket (doc/rest-api.md of LXD and Incus)."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from tflocation.engines.interface import (
    Conflict,
    EngineError,
    EngineUnavailable,
    Exists,
    InUse,
    NoSpace,
    NotFound,
)
from tflocation.engines.lxd.settings import find_socket

REQUEST_LIMIT = 30.0  # seconds for what answers at once; the engine's database may be busy
OPERATION_LIMIT = 120.0  # seconds for what the engine does in the background
_MESSAGE = 1 << 22  # bytes; the engine sends at most 128 KiB at once
_SILENT = 20.0  # seconds without any message until a stream of events is asked for life

_BY_STATUS: Mapping[int, type[EngineError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Exists,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.INSUFFICIENT_STORAGE: NoSpace,
    HTTPStatus.BAD_GATEWAY: EngineUnavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: EngineUnavailable,
}
# The engine tells these by their text alone.
_BY_TEXT: tuple[tuple[str, type[EngineError]], ...] = (
    ("no space left on device", NoSpace),
    ("disk quota exceeded", NoSpace),
    ("not found", NotFound),
    ("no such file", NotFound),
    ("already exists", Exists),
    ("already in use", Exists),  # a name, at that
    ("unique constraint", Exists),
    ("device or resource busy", InUse),
    ("in use", InUse),
    ("database is locked", EngineUnavailable),
    ("context deadline exceeded", EngineUnavailable),
    ("daemon is shutting down", EngineUnavailable),
    ("daemon is starting up", EngineUnavailable),
    ("shutting down", EngineUnavailable),
)

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said: `metadata` of its JSON, and the object's version as the ETag header gave it."""

    metadata: Any
    etag: str


def error_of(status: int, text: str, what: str) -> EngineError:
    """Give the error for a refused request; `what` names the object for people."""
    lower = text.lower()
    for mark, leaf in _BY_TEXT:
        if mark in lower:
            return leaf(f"{what}: {text}")
    return _BY_STATUS.get(status, EngineError)(f"{what}: {text}")


class Client:
    """Requests to one engine, all within one project. Every method raises `EngineError`s alone."""

    def __init__(self, socket: Path | None, project: str) -> None:
        self.project = project
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._socket_in_use: Path | None = None
        self._server: dict[str, Any] = {}

    @property
    def is_incus(self) -> bool:
        """Whether it is Incus and not LXD; known once opened."""
        return bool(self._server.get("environment", {}).get("server") == "incus")

    @property
    def clustered(self) -> bool:
        """Whether it has more than one machine."""
        return bool(self._server.get("environment", {}).get("server_clustered"))

    @property
    def version(self) -> str:
        """Give name and version, for people; an empty text before the engine has answered."""
        if not self._server:
            return ""
        return f"{'Incus' if self.is_incus else 'LXD'} {self._server['environment']['server_version']}"

    @property
    def node(self) -> str:
        """Give the name of this machine among the engine's."""
        return str(self._server["environment"]["server_name"])

    def node_of(self, raw: Mapping[str, Any]) -> str:
        """Give the node of an instance or a volume, which a lone engine does not name."""
        location = raw.get("location") or "none"
        return self.node if location == "none" else str(location)

    @property
    def header(self) -> str:
        """Give the prefix of the engine's own header fields."""
        return "X-Incus-" if self.is_incus else "X-LXD-"

    async def open(self) -> None:
        """Learn which engine it is. Raises EngineUnavailable while it does not answer."""
        self._server = (await self.get("/1.0", what="the engine")).metadata

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, *, what: str, query: Query | None = None) -> Answer:
        """Read one object or list."""
        return await self.request("GET", path, what=what, query=query)

    async def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: object = None,
        query: Query | None = None,
        etag: str | None = None,
    ) -> Answer:
        """Send one request that is answered at once.

        `etag` makes it fail with Conflict where the object has changed since.
        """
        headers = {"If-Match": etag} if etag else {}
        async with self._send(
            method, path, what=what, query=query, limit=REQUEST_LIMIT, headers=headers, json=body
        ) as response:
            answer = await _decoded(response, what)
            return Answer(answer.get("metadata"), response.headers.get("ETag", ""))

    async def operation(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: object = None,
        query: Query | None = None,
        limit: float = OPERATION_LIMIT,
    ) -> None:
        """Do what the engine does in the background, and wait for its end for `limit` seconds."""
        async with self._send(
            method, path, what=what, query=query, limit=REQUEST_LIMIT, json=body
        ) as response:
            answer = await _decoded(response, what)
        if answer.get("type") == "async":
            await self._wait(answer["metadata"]["id"], what, limit)

    async def begin(self, path: str, *, what: str, body: object) -> tuple[str, dict[str, Any]]:
        """Start an operation that is spoken to over websockets; give its path and its own metadata."""
        async with self._send(
            "POST", path, what=what, query=None, limit=REQUEST_LIMIT, json=body
        ) as response:
            answer = await _decoded(response, what)
        operation = answer["metadata"]
        return f"/1.0/operations/{operation['id']}", operation["metadata"] or {}

    async def websocket(self, operation: str, secret: str, *, what: str) -> aiohttp.ClientWebSocketResponse:
        """Open one of an operation's websockets. The caller closes it."""
        session = await self._ready()
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                return await session.ws_connect(
                    f"http://engine{operation}/websocket",
                    params={"secret": secret},
                    autoping=False,  # a pong to an engine that has closed loses what it had sent before
                    max_msg_size=_MESSAGE,
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(f"{what}: {_words(error)}") from error

    async def upgrade(
        self, path: str, protocol: str, *, what: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection of its own that speaks `protocol` from then on (RFC 9110, 7.8)."""
        request = (
            f"GET {path}?project={quote(self.project)} HTTP/1.1\r\nHost: engine\r\n"
            f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(REQUEST_LIMIT):
                reader, writer = await asyncio.open_unix_connection(self._found())
                try:
                    writer.write(request.encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    status = int(head.split(maxsplit=2)[1])
                    if status != HTTPStatus.SWITCHING_PROTOCOLS:
                        text = (await reader.read(_MESSAGE)).decode(errors="replace")
                        raise error_of(status, _error_in(text, status), what)
                except BaseException:
                    writer.close()
                    raise
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            raise EngineUnavailable(f"{what}: {_words(error)}") from error
        return reader, writer

    async def finished(self, operation: str, *, what: str) -> dict[str, Any]:
        """Wait for the end of an operation, however long, and give its description."""
        query = {"timeout": str(int(OPERATION_LIMIT))}
        while True:
            try:
                done = await self._described(f"{operation}/wait", what, query)
            except EngineUnavailable:
                raise
            except EngineError:  # Incus tells its failure in place of its description
                done = await self._described(operation, what, {})
            if done["status"] not in ("Running", "Pending"):
                return done

    async def _described(self, operation: str, what: str, query: Query) -> dict[str, Any]:
        limit = OPERATION_LIMIT + REQUEST_LIMIT
        async with self._send("GET", operation, what=what, query=query, limit=limit) as response:
            described: dict[str, Any] = (await _decoded(response, what))["metadata"]
            return described

    async def upload(
        self,
        path: str,
        data: AsyncIterable[bytes] | bytes,
        *,
        what: str,
        headers: Mapping[str, str],
        query: Query | None = None,
        limit: float = REQUEST_LIMIT,
    ) -> None:
        """POST raw bytes within `limit` seconds.

        Names in `headers` lack the engine's prefix, but for Content-Type.
        """
        names = {
            name if name == "Content-Type" else self.header + name: value for name, value in headers.items()
        }
        async with self._send(
            "POST", path, what=what, query=query, limit=limit, headers=names, data=data
        ) as response:
            answer = await _decoded(response, what)
        if answer.get("type") == "async":
            await self._wait(answer["metadata"]["id"], what, limit)

    async def download(self, path: str, *, what: str, query: Query, limit: int) -> bytes:
        """GET a file of at most `limit` bytes."""
        async with self._send("GET", path, what=what, query=query, limit=REQUEST_LIMIT) as response:
            if response.headers.get(f"{self.header}type", "file") != "file":
                raise EngineError(f"{what} is no regular file")
            data = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                data += chunk
                if len(data) > limit:
                    raise EngineError(f"{what} is longer than {limit} bytes")
            return bytes(data)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Open the stream of lifecycle events of all projects; leaving it raises EngineUnavailable."""
        session = await self._ready()
        url = "http://engine/1.0/events"
        query = {"type": "lifecycle", "all-projects": "true"}
        try:
            async with session.ws_connect(
                url, params=query, heartbeat=_SILENT, max_msg_size=1 << 22
            ) as websocket:
                yield self._messages(websocket)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(f"the engine's events: {_words(error)}") from error

    @staticmethod
    async def _messages(websocket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
        async for message in websocket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                try:
                    decoded = json.loads(message.data)
                except ValueError:
                    continue  # the engine's fault; the next message may be fine
                if isinstance(decoded, dict):
                    yield decoded
        raise EngineUnavailable("the engine closed its stream of events")

    async def _wait(self, operation: str, what: str, limit: float) -> None:
        path = f"/1.0/operations/{operation}/wait"
        query = {"timeout": str(int(limit))}
        async with self._send("GET", path, what=what, query=query, limit=limit + 5) as response:
            done = (await _decoded(response, what))["metadata"]
        if done["status"] == "Running":
            raise EngineError(f"{what}: not done after {limit:.0f} s")
        if done["status"] != "Success":
            raise error_of(HTTPStatus.BAD_REQUEST, done.get("err") or done["status"], what)

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        *,
        what: str,
        query: Query | None,
        limit: float,
        **more: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, and map every way in which it can fail."""
        session = await self._ready()
        parameters = {"project": self.project, **(query or {})}
        timeout = aiohttp.ClientTimeout(total=limit)
        try:
            async with session.request(
                method, f"http://engine{path}", params=parameters, timeout=timeout, **more
            ) as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise error_of(response.status, _error_in(await response.text(), response.status), what)
                yield response
        except TimeoutError as error:
            raise EngineUnavailable(f"{what}: the engine did not answer within {limit:.0f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EngineUnavailable(f"{what}: {_words(error)}") from error

    def directory(self) -> Path:
        """Give the engine's own directory on this machine, which holds its socket."""
        return self._found().parent

    def _found(self) -> Path:
        socket = self._socket or find_socket()
        if socket is None:
            raise EngineUnavailable("no engine runs on this machine: start Incus or LXD, or set its socket")
        return socket

    async def _ready(self) -> aiohttp.ClientSession:
        socket = self._found()
        if self._session is None or socket != self._socket_in_use:
            await self.close()
            self._socket_in_use = socket
            # A kept connection to an engine that has restarted fails the first request on it.
            # Connections stay open for each console and process, so that any limit would soon be theirs.
            connector = aiohttp.UnixConnector(path=str(socket), force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


async def _decoded(response: aiohttp.ClientResponse, what: str) -> dict[str, Any]:
    """Read the JSON of an answer, which may tell an error under the status of a success."""
    answer: dict[str, Any] = await response.json(content_type=None)
    if answer.get("type") == "error":
        raise error_of(answer.get("error_code", 0), str(answer.get("error")), what)
    return answer


def _error_in(text: str, status: int) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or f"status {status}"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
