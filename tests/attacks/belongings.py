"""Two accounts at a real location, and what each of them owns."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.support import images as made
from tests.support.client import Client
from tests.support.engine import opened, private_engine
from tests.support.images import Image
from tests.support.product import Location, free_port
from tfd.protocol.invite import parse_invite
from tflocation.uuids import derived

LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Owned:
    """What an account owns, by the names that commands take; `token` is the invite that it used."""

    session: bytes
    token: bytes
    container: str
    declared: str
    uuid: str
    volume: str
    declared_volume: str
    image: str
    image_name: str
    blob: str
    pipe: bytes
    tag: str
    key: str
    value: str
    cluster: str
    domain: str

    def marks(self) -> list[str]:
        """Give all of them as texts: none may stand in an answer to another account."""
        values = (getattr(self, field.name) for field in fields(self))
        return [value.hex() if isinstance(value, bytes) else value for value in values]


NOBODYS = Owned(
    session=bytes(16),
    token=bytes(range(16)),
    container="tf-00000000000000000000",
    declared="tf-11111111111111111111",
    uuid=derived("nobody"),
    volume=f"sdk/{derived('nobody')}",
    declared_volume="prod/nothing",
    image="sha256:" + "0" * 64,
    image_name="nothing-app",
    blob="sha256:" + "1" * 64,
    pipe=bytes(16),
    tag="nothing-tag",
    key="nothing/key",
    value="nothing's value",
    cluster="nothing-cluster",
    domain="nothing.example",
)
"""Names of the same kinds that nobody owns."""


@dataclass(frozen=True, slots=True)
class Party:
    """An account: its session that holds what it owns, and what that is."""

    name: str
    client: Client
    owned: Owned


@dataclass(frozen=True, slots=True)
class Scene:
    """The two accounts; `alice` and `bob` own the same kinds of things."""

    alice: Party
    bob: Party


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Run an engine and a location where two accounts own one of everything, from `with` to its end."""
    with ExitStack() as stack:
        engine = stack.enter_context(private_engine("lxd"))
        # Pipes without a channel live as long as a lease, and these are never attached to.
        web = f'registries = []\nlease = "1h"\n[web]\nhttp = "127.0.0.1:{free_port()}"\nhttps = "off"\n'
        location = Location(directory, engine, extra=web)
        stack.callback(location.stop)
        location.start()

        async def claim() -> None:
            """Claim the domains as domain.claim does, without a name server."""
            async with opened(engine) as memory:
                for name in ("alice", "bob"):
                    claimed = json.dumps({"account": name, "shared": False})
                    await memory.save_memory({f"domain.{name}.example": claimed})

        asyncio.run(claim())
        parties = [_party(stack, location, name) for name in ("alice", "bob")]
        yield Scene(*parties)


def told(party: Party) -> Mapping[str, Any]:
    """Give all that a party sees of its own things, but for what changes by itself."""
    client, owned = party.client, party.owned
    volumes = client.call("volume.list", LIMIT)["volumes"]
    attached = client.call("pipe.attach", LIMIT, pipe=owned.pipe)
    return {
        "containers": sorted(client.call("container.list", LIMIT)["containers"], key=str),
        "volumes": sorted((volume | {"used": 0} for volume in volumes), key=str),
        "keys": client.call("keys.get", LIMIT)["values"],
        "images": sorted(client.call("image.list", LIMIT)["images"], key=str),
        "clusters": client.call("cluster.list", LIMIT)["clusters"],
        "domains": client.call("domain.list", LIMIT)["domains"],
        "pipe": sorted(attached["ticket"]),
    }


def _party(stack: ExitStack, location: Location, name: str) -> Party:
    invite = parse_invite(location.invite(name))
    client = stack.enter_context(Client(location.port, invite.public, heartbeat=30.0))
    client.open().call("join", token=invite.token)
    uuid, image = derived(name), f"{name}-app"
    volume, tag, domain = f"sdk/{uuid}", f"{name}-tag", f"{name}.example"
    digest, blob = _bring(client, image, name)
    client.call("volume.create", LIMIT, key=uuid, tag=tag)
    client.call("volume.ensure", LIMIT, name=f"prod/{name}-data")
    container = _run(client, f"sdk/{uuid}/0", image, held=True, tag=tag, volumes=[[volume, "/mnt"]])
    declared = _run(client, f"prod/{name}/0", image, volumes=[[f"prod/{name}-data", "/mnt"]])
    key, value = f"{name}/key", f"{name}'s value {secrets.token_hex(8)}"
    client.call("keys.set", changes={key: value})
    client.call("connection.allow", LIMIT, **{"from": container, "to": declared})
    cluster = f"{name}-cluster"
    client.call("cluster.publish", LIMIT, key=cluster, fqdn=f"www.{domain}", containers=[container])
    pipe = client.call("process.start", LIMIT, id=container, line="exec sleep 3600")["pipe"]
    owned = Owned(
        session=client.session_id,
        token=invite.token,
        container=container,
        declared=declared,
        uuid=uuid,
        volume=volume,
        declared_volume=f"prod/{name}-data",
        image=digest,
        image_name=image,
        blob=blob,
        pipe=pipe,
        tag=tag,
        key=key,
        value=value,
        cluster=cluster,
        domain=domain,
    )
    client.call("location.watch", LIMIT)
    return Party(name, client, owned)


def _bring(client: Client, name: str, owner: str) -> tuple[str, str]:
    """Upload an image that nobody else has; give the digests of it and of one of its layers."""
    secret = made.layer({"srv/secret": secrets.token_bytes(64)})
    image = Image([made.busybox_layer(), secret], {"Cmd": ["sleep", "3600"], "Env": [f"OWNER={owner}"]})
    blobs = image.blobs()
    manifest = image.manifest(blobs)
    contents = {made.digest(content): content for content in (image.config, *blobs)}
    layers = [{"digest": made.digest(content), "size": len(content)} for content in blobs]
    offer = {"config": image.digest, "config_size": len(image.config), "layers": layers}
    names = {"manifest": manifest, "names": [name]}
    for digest in client.call("image.offer", LIMIT, **offer, **names)["missing"]:
        client.put_blob(digest, contents[digest], LIMIT)
    client.call("image.commit", LIMIT, config=image.digest, **names)
    return image.digest, made.digest(blobs[1])


def _run(client: Client, name: str, image: str, *, volumes: list[list[str]], **more: Any) -> str:
    made_one = client.call(
        "container.create", LIMIT, name=name, key="k", image=image, config={"volumes": volumes}, **more
    )
    container_id: str = made_one["container"]["id"]
    return container_id
