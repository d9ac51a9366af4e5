"""A location without an engine: the real session machine on a real ROUTER, with containers in a dictionary.

For tests of tfd's side alone. Nothing runs in its containers; with a channel server beside it, a container's
port is that port of 127.0.0.1.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic, time
from types import TracebackType
from typing import Any, Self

import zmq

from tests.support.dataplane import Location as ChannelLocation
from tfd.protocol.commands import Role
from tfd.protocol.errors import Code, CommandError
from tfd.protocol.invite import Invite, format_invite
from tfd.protocol.keys import KeyPair, generate, z85_encode
from tfd.protocol.messages import VERSION
from tfd.protocol.session import Called, ServerSession, StreamAborted, StreamData, StreamEnded, session_id_of

CREDIT = 256 * 1024


@dataclass
class Blob:
    """A blob on its way or complete."""

    size: int
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


class LocationPeer:
    """One location in a thread of the test; use as a context manager.

    `calls` lists every command that was asked for, in order, and `fail` the error for each that shall fail.
    With `cut_blob_at` the first stream that would go beyond so many bytes is aborted there, once.
    `versions` are those of the protocol that it speaks, `channels` is where its tickets are good.
    """

    def __init__(
        self,
        name: str = "peer",
        *,
        pair: KeyPair | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        channels: ChannelLocation | None = None,
    ) -> None:
        self.channels = channels
        self.name = name
        self.host = host
        self.pair = pair or generate()
        self.port = port
        self.accounts: dict[str, str] = {}
        self.tokens: dict[bytes, str] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.images: dict[str, str] = {"nginx": "sha256:" + "1" * 64}
        self.blobs: dict[str, Blob] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.cut_blob_at: int | None = None
        self.fail: dict[str, CommandError] = {}
        self.versions: tuple[int, ...] = (VERSION,)
        self._sessions: dict[bytes, ServerSession] = {}
        self._streams: dict[tuple[bytes, int], str] = {}
        self._stop = threading.Event()
        self._todo: list[Callable[[], None]] = []
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._thread = threading.Thread(target=self._run, name=f"location {name}")

    def __enter__(self) -> Self:
        zap = self._context.socket(zmq.REP)
        zap.linger = 0
        zap.bind("inproc://zeromq.zap.01")
        self._zap = zap
        router = self._router
        router.linger = 0
        router.router_mandatory = True
        router.curve_server = True
        router.curve_secretkey = self.pair.secret
        if self.port:
            router.bind(f"tcp://{self.host}:{self.port}")
        else:
            self.port = router.bind_to_random_port(f"tcp://{self.host}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        self._context.destroy(0)

    def invite(self, name: str = "box", *, port: int | None = None, expires_in: float = 3600) -> str:
        """Give the line of a new invite; one that has expired is not kept."""
        token = generate().public[:16]
        if expires_in > 0:
            self.tokens[token] = name
        expires = int(time() + expires_in)
        invite = Invite(name, self.host, port or self.port, self.pair.public, token, expires)
        return format_invite(invite)

    def event(self, name: str, body: dict[str, Any]) -> None:
        """Tell every session something."""

        def tell() -> None:
            for session in self._sessions.values():
                session.event(name, body)

        self._todo.append(tell)

    def revoke(self) -> None:
        """End every session for good."""

        def end() -> None:
            for session in self._sessions.values():
                session.close(Code.REVOKED, "the account was revoked")

        self._todo.append(end)

    def called(self, name: str) -> list[dict[str, Any]]:
        """Give the parameters of each call of a command so far."""
        return [params for called, params in list(self.calls) if called == name]

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._zap, zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(20))
            if self._zap in ready:
                self._authenticate()
            while self._router in ready and self._router.getsockopt(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[operator]
                self._receive()
            while self._todo:
                self._todo.pop(0)()
            for identity, session in list(self._sessions.items()):
                session.tick(monotonic())
                self._send(identity, session)
        self._zap.close(0)
        self._router.close(0)

    def _authenticate(self) -> None:
        version, request, _domain, _address, _identity, _mechanism, key = self._zap.recv_multipart()
        user = z85_encode(key)
        known = user in self.accounts or bool(self.tokens)
        status = [b"200", b"OK", user.encode()] if known else [b"400", b"unknown key", b""]
        self._zap.send_multipart([version, request, *status, b""])

    def _receive(self) -> None:
        identity = self._router.recv()
        message = self._router.recv(copy=False)
        frame = message.bytes
        user = str(message["User-Id"])
        wanted = session_id_of(frame)
        session = self._sessions.get(identity)
        if wanted is not None and session is None:
            for old, candidate in list(self._sessions.items()):
                if candidate.session_id == wanted:
                    session = self._sessions[identity] = self._sessions.pop(old)
                    session.resume(frame, monotonic())
                    self._send(identity, session)
                    return
        if session is None:
            account = self.accounts.get(user)
            session = self._sessions[identity] = ServerSession(
                location=self.name,
                account=account or "",
                role=Role.USER if account else Role.GUEST,
                ciphers=("chacha20poly1305",),
                channel_port=1,
                versions=self.versions,
            )
        for event in session.receive(frame, monotonic()):
            if isinstance(event, Called):
                self._call(session, event, user)
            elif isinstance(event, StreamData):
                self._data(identity, session, event)
            elif isinstance(event, StreamEnded):
                self._blob_ended(session, event.id)
            elif isinstance(event, StreamAborted):
                pass
        self._send(identity, session)

    def _send(self, identity: bytes, session: ServerSession) -> None:
        for frame in session.outgoing():
            with suppress(zmq.ZMQError):
                self._router.send_multipart([identity, frame], zmq.NOBLOCK)

    def _call(self, session: ServerSession, call: Called, user: str) -> None:
        self.calls.append((call.name, call.params))
        try:
            if call.name in self.fail:
                raise self.fail[call.name]
            if call.name == "join":
                body = self._join(session, call, user)
            else:
                body = getattr(self, "_do_" + call.name.replace(".", "_"))(session, call)
        except CommandError as error:
            session.fail(call.id, error)
        else:
            session.reply(call.id, body)
            if call.name == "blob.put" and not self.blobs[call.params["digest"]].complete:
                session.grant(call.id, CREDIT)

    def _join(self, session: ServerSession, call: Called, user: str) -> dict[str, Any]:
        name = self.tokens.pop(call.params["token"], None)
        if name is None:
            raise CommandError(Code.DENIED, "the invite was used, or has expired")
        self.accounts[user] = name
        session.set_role(name, Role.USER)
        return {"account": name, "role": "user"}

    def _do_node_list(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        node = {"name": "n1", "online": True, "cpus": 2, "load": 0.1, "memory_total": 1 << 32}
        node |= {"memory_free": 1 << 31, "paging": 0.0, "containers": len(self.containers)}
        return {"nodes": [node | {"images": list(self.images.values())}]}

    def _do_container_output(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        return {"output": b"", "after": None, "missed": 0, "over": True}

    def _do_container_list(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        return {"containers": list(self.containers.values())}

    def _do_volume_list(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        return {"volumes": list(self.volumes.values())}

    def _do_volume_ensure(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        name = call.params["name"]
        self.volumes.setdefault(name, {"name": name, "node": "n1", "size": 1 << 30, "used": 0})
        return {"volume": self.volumes[name]}

    def _do_image_list(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        known = {
            digest: [name for name in self.images if self.images[name] == digest and name != digest]
            for digest in self.images.values()
        }
        return {"images": [{"digest": digest, "names": names, "size": 1} for digest, names in known.items()]}

    def _do_image_find(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        name = call.params["name"]
        return {"image": name if name in self.images.values() else self.images.get(name)}

    def _do_image_pull(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        name = call.params["name"]
        digest = name if name in self.images.values() else self.images.get(name)
        if digest is None:
            raise CommandError(Code.NOT_FOUND, f"image {name!r}: neither here nor at a registry")
        return {"image": digest}

    def _do_image_offer(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        wanted = [call.params["config"], *(layer["digest"] for layer in call.params["layers"])]
        return {"missing": [d for d in wanted if not (d in self.blobs and self.blobs[d].complete)]}

    def _do_image_commit(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        self.images[call.params["config"]] = call.params["config"]
        return {"image": call.params["config"]}

    def _do_blob_put(self, session: ServerSession, call: Called) -> dict[str, Any]:
        blob = self.blobs.setdefault(call.params["digest"], Blob(call.params["size"]))
        for identity, candidate in self._sessions.items():
            if candidate is session:
                self._streams[identity, call.id] = call.params["digest"]
        return {"offset": len(blob.data)}

    def _data(self, identity: bytes, session: ServerSession, event: StreamData) -> None:
        blob = self.blobs[self._streams[identity, event.id]]
        if self.cut_blob_at is not None and len(blob.data) + len(event.data) > self.cut_blob_at:
            self.cut_blob_at = None
            session.abort_stream(event.id, "cut by the test")
            return
        blob.data += event.data
        session.grant(event.id, len(event.data))

    def _blob_ended(self, session: ServerSession, stream: int) -> None:
        for (identity, number), digest in list(self._streams.items()):
            if number == stream and self._sessions.get(identity) is session:
                blob = self.blobs[digest]
                if "sha256:" + sha256(blob.data).hexdigest() == digest:
                    blob.complete = True
                    session.end_stream(stream)
                else:
                    del self.blobs[digest]
                    session.fail(stream, CommandError(Code.DIGEST, "the digest is another one"))

    def _do_container_create(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        key = (call.params["name"], call.params["key"])
        for container in self.containers.values():
            if (container["name"], container["key"]) == key:
                return {"container": container}
        number = f"c{len(self.calls)}"
        self.containers[number] = {
            "id": number,
            "name": call.params["name"],
            "key": call.params["key"],
            "node": "n1",
            "image": call.params["image"],
            "ip": "10.0.0.2",
            "state": "running",
            "exit": None,
            "reason": "",
            "created": time(),
            "environment": call.params["name"].partition("/")[0],
            "volumes": [],
        }
        return {"container": self.containers[number]}

    def _do_container_destroy(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        self.containers.pop(call.params["id"], None)
        return {}

    def _do_container_stop(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        self.containers[call.params["id"]]["state"] = "stopped"
        return {"container": self.containers[call.params["id"]]}

    def _do_container_start(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        self.containers[call.params["id"]]["state"] = "running"
        return {"container": self.containers[call.params["id"]]}

    def _do_connections_set(self, _session: ServerSession, _call: Called) -> dict[str, Any]:
        return {}

    def _do_health_watch(self, session: ServerSession, call: Called) -> dict[str, Any]:
        session.event("container.health", {"id": call.params["id"], "good": True, "reason": "answers"})
        return {}

    def _do_ticket_take(self, _session: ServerSession, call: Called) -> dict[str, Any]:
        count = call.params["count"]
        if self.channels is None:
            place = {"host": None, "port": 1, "lifetime": 60.0}
            ids = [{"id": generate().public[:16], "key": generate().public} for _ in range(count)]
        else:
            place = {"host": None, "port": self.channels.port, "lifetime": 60.0}
            grants = self.channels.mint(call.params["id"], call.params["port"], count)
            ids = [{"id": grant.id, "key": grant.key} for grant in grants]
        return {"tickets": [entry | place for entry in ids], "cipher": "chacha20poly1305"}
