"""A small SFTP client (draft-ietf-secsh-filexfer-02, protocol version 3) over one stream."""

import asyncio
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum

from tflocation.engines.interface import EngineError, EngineUnavailable
from tflocation.engines.lxd.client import error_of

REPLY_LIMIT = 60.0  # seconds; the engine's disk may be busy
READ_SIZE = 1 << 15  # bytes; a server need not give more at once
WRITE_SIZE = 1 << 17  # bytes; a server takes 256 KiB with all that is around
AHEAD = 8  # requests for data on the way at once
_LONGEST = 1 << 20  # bytes of one packet; a list of names may have some hundred KiB
_VERSION = 3
_HAS_MODE = 0x4
_HAS_SIZE = 0x1
_HAS_OWNER = 0x2
_POSIX_RENAME = b"posix-rename@openssh.com"


class _Kind(IntEnum):
    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    STAT = 17
    READLINK = 19
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200


_END, _NO_SUCH_FILE = 1, 2  # of a status
_READING, _NEW_FILE = 0x1, 0x2 | 0x8 | 0x20  # read; write, create, and only if there is none


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a name stands for: `mode` has the type and the permission bits, as in stat(2)."""

    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class _Reply:
    kind: int
    fields: "_Fields"


class _Fields:
    """Reads the fields of a packet one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self._take(size), "big")

    def text(self) -> bytes:
        return self._take(self.number())

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.number(8) if flags & _HAS_SIZE else 0
        if flags & _HAS_OWNER:
            self._take(8)
        mode = self.number() if flags & _HAS_MODE else stat.S_IFREG
        if flags & 0x8:
            self._take(8)
        if flags & 0x80000000:
            for _ in range(self.number()):
                self.text(), self.text()
        return Attributes(size, mode)

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise EngineError("the engine's SFTP server sent a packet that is too short")
        self._at += size
        return taken


class Sftp:
    """Requests to one SFTP server; `what` names it for people. All methods raise `EngineError`s."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str) -> None:
        self._reader = reader
        self._writer = writer
        self._what = what
        self._number = 0
        self._waiting: dict[int, asyncio.Future[_Reply]] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Agree on the version."""
        self._send(_Kind.INIT, struct.pack(">I", _VERSION))
        try:
            async with asyncio.timeout(REPLY_LIMIT):
                kind, _ = await self._packet()
        except (TimeoutError, EOFError, OSError) as error:
            raise EngineUnavailable(f"{self._what}: the engine's SFTP server does not answer") from error
        if kind != _Kind.VERSION:
            raise EngineError(f"{self._what}: the engine does not speak SFTP")
        self._task = asyncio.create_task(self._receive())

    async def close(self) -> None:
        """End the stream; what is not finished is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def stat(self, path: str, *, follow: bool = True) -> Attributes:
        """Describe what a name, or the link itself, stands for. Raises NotFound."""
        reply = await self._ask(_Kind.STAT if follow else _Kind.LSTAT, _text(path), path)
        return reply.fields.attributes()

    async def readlink(self, path: str) -> str:
        """Give what a link points to."""
        reply = await self._ask(_Kind.READLINK, _text(path), path)
        reply.fields.number()
        return reply.fields.text().decode(errors="surrogateescape")

    async def mkdir(self, path: str) -> None:
        """Make a directory."""
        await self._ask(_Kind.MKDIR, _text(path) + struct.pack(">II", _HAS_MODE, 0o755), path)

    async def remove(self, path: str) -> None:
        """Remove a file."""
        await self._ask(_Kind.REMOVE, _text(path), path)

    async def rename(self, old: str, new: str) -> None:
        """Rename a file, in place of one that has the new name."""
        await self._ask(_Kind.EXTENDED, _text(_POSIX_RENAME) + _text(old) + _text(new), new)

    async def names(self, path: str, limit: int) -> list[str]:
        """List a directory. Raises EngineError where it has more than `limit` entries."""
        handle = (await self._ask(_Kind.OPENDIR, _text(path), path)).fields.text()
        found: list[str] = []
        while True:
            reply = await self._ask(_Kind.READDIR, _text(handle), path, end=True)
            if reply.kind == _Kind.STATUS:
                break
            for _ in range(reply.fields.number()):
                found.append(reply.fields.text().decode(errors="replace"))
                reply.fields.text()
                reply.fields.attributes()
            if len(found) > limit:
                raise EngineError(f"{self._what}: {path} has more than {limit} entries")
        await self._ask(_Kind.CLOSE, _text(handle), path)
        return sorted(name for name in found if name not in (".", ".."))

    async def open_file(self, path: str) -> bytes:
        """Open a file to be read, and give its handle."""
        body = _text(path) + struct.pack(">II", _READING, 0)
        return (await self._ask(_Kind.OPEN, body, path)).fields.text()

    async def new_file(self, path: str) -> bytes:
        """Make a file that nobody else may read, and give its handle."""
        body = _text(path) + struct.pack(">III", _NEW_FILE, _HAS_MODE, 0o600)
        return (await self._ask(_Kind.OPEN, body, path)).fields.text()

    async def close_file(self, handle: bytes, path: str) -> None:
        """Give a handle back."""
        await self._ask(_Kind.CLOSE, _text(handle), path)

    async def chmod(self, handle: bytes, mode: int, path: str) -> None:
        """Set the permission bits of an open file."""
        await self._ask(_Kind.FSETSTAT, _text(handle) + struct.pack(">II", _HAS_MODE, mode), path)

    async def read(self, handle: bytes, offset: int, path: str) -> bytes:
        """Read at most READ_SIZE bytes, none at the end."""
        body = _text(handle) + struct.pack(">QI", offset, READ_SIZE)
        reply = await self._ask(_Kind.READ, body, path, end=True)
        return b"" if reply.kind == _Kind.STATUS else reply.fields.text()

    async def write(self, handle: bytes, offset: int, data: bytes, path: str) -> None:
        """Write at most WRITE_SIZE bytes."""
        await self._ask(_Kind.WRITE, _text(handle) + struct.pack(">Q", offset) + _text(data), path)

    async def _ask(self, kind: _Kind, body: bytes, path: str, *, end: bool = False) -> _Reply:
        """Send a request and wait for its reply; with `end` the end of the data is no error."""
        self._number += 1
        number = self._number
        future: asyncio.Future[_Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        what = f"{self._what}: {path}"
        try:
            if self._task is None or self._task.done():
                raise EngineUnavailable(f"{what}: the engine ended the stream")
            async with asyncio.timeout(REPLY_LIMIT):
                self._send(kind, struct.pack(">I", number) + body)
                await self._writer.drain()
                reply = await future
        except TimeoutError as error:
            raise EngineUnavailable(f"{what}: no reply within {REPLY_LIMIT:.0f} s") from error
        except OSError as error:
            raise EngineUnavailable(f"{what}: {error}") from error
        finally:
            self._waiting.pop(number, None)
        if reply.kind != _Kind.STATUS:
            return reply
        code = reply.fields.number()
        if code == 0 or (end and code == _END):
            return reply
        text = "no such file or directory" if code == _NO_SUCH_FILE else _decoded(reply.fields.text())
        raise error_of(0, text, what)

    def _send(self, kind: _Kind, body: bytes) -> None:
        self._writer.write(struct.pack(">IB", len(body) + 1, kind) + body)

    async def _packet(self) -> tuple[int, bytes]:
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if not 1 <= length <= _LONGEST:
            raise EngineError(f"{self._what}: the engine's SFTP server sent a packet of {length} bytes")
        packet = await self._reader.readexactly(length)
        return packet[0], packet[1:]

    async def _receive(self) -> None:
        try:
            while True:
                kind, body = await self._packet()
                future = self._waiting.get(int.from_bytes(body[:4], "big"))
                if future is not None and not future.done():
                    future.set_result(_Reply(kind, _Fields(body[4:])))
        except (EOFError, OSError, EngineError) as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(EngineUnavailable(f"{self._what}: the stream ended: {error}"))


def _text(text: str | bytes) -> bytes:
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return struct.pack(">I", len(raw)) + raw


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="replace") or "refused"
