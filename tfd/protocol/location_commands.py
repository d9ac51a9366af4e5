"""The commands on everything but containers: sessions, accounts, images, volumes, keys, web endpoints."""

from typing import Final

from tfd.protocol.command_types import (
    ADDRESS,
    CERTIFICATE,
    CIPHER,
    CONTAINER_ID,
    DIGEST,
    DOMAIN,
    HEARTBEAT,
    IMAGE,
    KEY,
    LAYER,
    MANIFEST_AND_NAMES,
    NAME,
    PROGRAM,
    SDK_UUID,
    SESSION_ID,
    SIZE,
    STORED_KEY,
    STORED_VALUE,
    TAG,
    TOKEN,
    VOLUME_NAME,
    VOLUME_SIZE,
    Command,
    Repeat,
    Role,
    declare,
)
from tfd.protocol.schema import Choice, Flag, Integer, ListOf, MapOf, Number, Parameter, Text

SESSIONS: Final = (
    declare(
        "hello",
        "Opens or resumes the session. -> version, location, account, role, resumed, cipher, heartbeat, "
        "channel_port",
        Parameter("versions", ListOf(Integer(1, 1 << 16), 16, minimum=1)),
        Parameter("session", SESSION_ID),
        Parameter("resume", Flag()),
        Parameter("ciphers", ListOf(CIPHER, 16, minimum=1)),
        Parameter("program", PROGRAM),
        Parameter("heartbeat", HEARTBEAT, required=False),
        role=Role.GUEST,
    ),
    declare(
        "join",
        "Proves an invite's token; the key of the connection becomes an account. -> account, role",
        Parameter("token", TOKEN),
        Parameter("name", NAME, required=False),
        role=Role.GUEST,
    ),
    declare("session.end", "Destroys what the session holds: containers, pipes, clusters. -> nothing"),
    declare(
        "location.status",
        "Tells how the location does. -> name, version, engine, uptime (s), sessions, channels, counters",
    ),
    declare(
        "location.watch",
        "Tells all that the account sees here, and from then on each change while the session lives. "
        "-> nodes, volumes, containers, keys, domains, web, lease (s); events follow",
    ),
    declare("node.list", "Tells the nodes and their resources. -> nodes"),
)

ACCOUNTS: Final = (
    declare(
        "account.invite",
        "Makes an invite for a new account. -> invite (one line)",
        Parameter("name", NAME),
        Parameter("role", Choice(("user", "admin"))),
        Parameter("expires", Number(1, 366 * 86400, "s")),
        Parameter("address", ADDRESS),
        role=Role.ADMIN,
        repeat=Repeat.KEYED,
    ),
    declare("account.list", "Tells the accounts. -> accounts", role=Role.ADMIN),
    declare(
        "account.revoke",
        "Ends an account: its sessions and channels close at once. -> nothing",
        Parameter("name", NAME),
        role=Role.ADMIN,
    ),
)

IMAGES: Final = (
    declare(
        "image.find", "Looks an image up at the location. -> image (digest or nil)", Parameter("name", IMAGE)
    ),
    declare(
        "image.pull",
        "Looks an image up at the location, else in its registries; may take minutes. -> image (digest)",
        Parameter("name", IMAGE),
    ),
    declare(
        "image.describe",
        "Tells an image's OCI configuration. -> digest, config (JSON, bytes)",
        Parameter("image", IMAGE),
    ),
    declare(
        "image.offer",
        "Describes an image that the client can bring. -> missing (digests of blobs to be sent)",
        Parameter("config", DIGEST),
        Parameter("config_size", SIZE),
        Parameter("layers", ListOf(LAYER, 512)),
        *MANIFEST_AND_NAMES,
    ),
    declare(
        "blob.put",
        "Sends one blob from `offset` on, by a stream of data under the location's credit; the location "
        "ends the stream once the digest is verified. -> offset (bytes)",
        Parameter("digest", DIGEST),
        Parameter("size", SIZE),
        stream=True,
    ),
    declare(
        "image.commit",
        "Makes an engine image of the blobs that were sent; may take minutes. -> image (digest)",
        Parameter("config", DIGEST),
        *MANIFEST_AND_NAMES,
    ),
    declare("image.list", "Tells the location's images. -> images"),
    declare("image.destroy", "Destroys an image. -> nothing", Parameter("image", IMAGE)),
)

VOLUMES: Final = (
    declare(
        "volume.ensure",
        "Gives the volume of that name, created when there is none. -> volume",
        Parameter("name", VOLUME_NAME),
        Parameter("node", NAME, required=False),
        Parameter("size", VOLUME_SIZE, required=False),
    ),
    declare(
        "volume.create",
        "Creates the volume sdk/KEY; the same account and key again give the existing one. -> volume",
        Parameter("key", SDK_UUID),
        Parameter("tag", TAG, required=False),
        Parameter("node", NAME, required=False),
        Parameter("size", VOLUME_SIZE, required=False),
        Parameter("synchronous", Flag(), required=False),
    ),
    declare("volume.list", "Tells the account's volumes. -> volumes"),
    declare(
        "volume.snapshot",
        "Sets a volume's one snapshot point. -> volume",
        Parameter("name", VOLUME_NAME),
        repeat=Repeat.KEYED,
    ),
    declare(
        "volume.rollback",
        "Takes a volume back to its snapshot point, else to how it was created. -> volume",
        Parameter("name", VOLUME_NAME),
        repeat=Repeat.KEYED,
    ),
    declare(
        "volume.destroy",
        "Destroys a volume and its data; with `when_free` once the last container of this session that "
        "mounts it has ended. -> nothing",
        Parameter("name", VOLUME_NAME),
        Parameter("when_free", Flag(), required=False),
    ),
)

KEYS: Final = (
    declare("keys.get", "Tells the account's key-value store. -> values"),
    declare(
        "keys.set",
        "Changes entries of the key-value store, all or none, where those of `expect` are as told; nil "
        "deletes. -> nothing",
        Parameter("changes", MapOf(STORED_KEY, STORED_VALUE, 4096)),
        Parameter("expect", MapOf(STORED_KEY, STORED_VALUE, 4096), required=False),
        repeat=Repeat.KEYED,
    ),
)

WEB: Final = (
    declare(
        "cluster.publish",
        "Serves a domain name from port 80 of containers while the session lives; the same key again "
        "changes it. With a certificate port 443 serves it. -> cluster",
        Parameter("key", KEY),
        Parameter("fqdn", DOMAIN),
        Parameter("containers", ListOf(CONTAINER_ID, 1024)),
        Parameter("rewrite", Text(253), required=False),
        Parameter("certificate", CERTIFICATE, required=False),
    ),
    declare(
        "cluster.change",
        "Sets which containers serve a cluster. -> nothing",
        Parameter("cluster", KEY),
        Parameter("containers", ListOf(CONTAINER_ID, 1024)),
    ),
    declare("cluster.remove", "Takes a cluster down. -> nothing", Parameter("cluster", KEY)),
    declare("cluster.list", "Tells the account's clusters. -> clusters"),
    declare("domain.list", "Tells the domains that the account may publish under. -> domains"),
    declare(
        "domain.prepare",
        "Gives the token that a TXT record must show before the domain is claimed. -> token",
        Parameter("domain", DOMAIN),
        repeat=Repeat.KEYED,
    ),
    declare(
        "domain.claim",
        "Makes a domain the account's, once the TXT record shows its token. -> nothing",
        Parameter("domain", DOMAIN),
    ),
    declare(
        "domain.share",
        "Lets every account publish under a domain of this one, or no longer. -> nothing",
        Parameter("domain", DOMAIN),
        Parameter("shared", Flag()),
    ),
    declare("domain.release", "Gives a domain up. -> nothing", Parameter("domain", DOMAIN)),
)

LOCATION_COMMANDS: Final[tuple[Command, ...]] = (
    *SESSIONS,
    *ACCOUNTS,
    *IMAGES,
    *VOLUMES,
    *KEYS,
    *WEB,
)
