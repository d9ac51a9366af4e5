"""The attempts: for each command of the table, what one account tries on another's things."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.attacks.belongings import Owned

Parameters = dict[str, Any]


class Verdict(Enum):
    """What must come of an attempt. Whatever it is, the victim's things stay as they were."""

    HIDDEN = "as for one that does not exist"
    APART = "of the attacker's own alone"
    DENIED = "denied: only an administrator may"
    PUBLIC = "refused; names in the DNS are no secret"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: `make` gives the parameters from what is attacked, and from what the attacker owns itself.

    `undo` names the command and its parameters that remove what the attacker made for itself.
    """

    what: str
    make: Callable[[Owned, Owned], Parameters]
    verdict: Verdict = Verdict.HIDDEN
    undo: Callable[[Owned, Owned], tuple[str, Parameters]] | None = None


def _on(what: str, **names: str) -> Attempt:
    """Give an attempt that names the victim's things: parameter=field of what it owns."""
    return Attempt(
        what, lambda target, _: {parameter: getattr(target, field) for parameter, field in names.items()}
    )


def _container(**more: Any) -> tuple[Attempt, ...]:
    """Give the attempts on both kinds of containers."""
    return (
        Attempt("another's held container", lambda target, _: {"id": target.container} | more),
        Attempt("another's declared container", lambda target, _: {"id": target.declared} | more),
    )


def _create(
    what: str, verdict: Verdict = Verdict.HIDDEN, **parameters: Callable[[Owned, Owned], Any]
) -> Attempt:
    """Give an attempt to create a container with some parameters that are the victim's."""

    def make(target: Owned, own: Owned) -> Parameters:
        usual = {"name": "prod/thief/0", "key": "thief", "image": own.image_name, "config": {}}
        return usual | {name: value(target, own) for name, value in parameters.items()}

    return Attempt(what, make, verdict)


def _everything(what: str = "what it tells by itself", **parameters: Any) -> tuple[Attempt, ...]:
    return (Attempt(what, lambda _, __: parameters, Verdict.APART),)


def _denied(**parameters: Any) -> tuple[Attempt, ...]:
    return (Attempt("as a user's account", lambda _, __: parameters, Verdict.DENIED),)


def _pair(what: str, *, outwards: bool) -> Attempt:
    def make(target: Owned, own: Owned) -> Parameters:
        ends = (own.container, target.container) if outwards else (target.container, own.container)
        return dict(zip(("from", "to"), ends, strict=True))

    return Attempt(what, make)


def _set(what: str, *, outwards: bool) -> Attempt:
    def make(target: Owned, own: Owned) -> Parameters:
        ends = (own.declared, target.declared) if outwards else (target.declared, own.declared)
        return {"environment": "prod", "pairs": [[ends[0], "thief", ends[1]]]}

    return Attempt(what, make)


_BOTH_WAYS = (
    _pair("from one's own to another's container", outwards=True),
    _pair("from another's container to one's own", outwards=False),
    _on("between two of another's containers", **{"from": "container", "to": "declared"}),
)
_IMAGE = (("another's image by its name", "image_name"), ("another's image by its digest", "image"))
_PROBE = {"kind": "tcp", "port": 80, "interval": 1.0, "timeout": 1.0, "rise": 1, "fall": 1}
_GARBAGE = b"{}"

ATTEMPTS: Mapping[str, tuple[Attempt, ...]] = {
    "join": (_on("the invite that another used", token="token"),),
    "location.status": _everything(),
    "location.watch": _everything(),
    "node.list": _everything(),
    "account.invite": _denied(name="mallory", role="admin", expires=60.0, address="127.0.0.1:1"),
    "account.list": _denied(),
    "account.revoke": (
        Attempt(
            "of another's account",
            lambda target, _: {"name": target.domain.partition(".")[0]},
            Verdict.DENIED,
        ),
    ),
    "image.find": tuple(_on(what, name=field) for what, field in _IMAGE),
    "image.pull": tuple(_on(what, name=field) for what, field in _IMAGE),
    "image.describe": tuple(_on(what, image=field) for what, field in _IMAGE),
    "image.offer": (
        Attempt(
            "another's image with a made-up manifest",
            lambda target, _: {
                "config": target.image,
                "config_size": 2,
                "layers": [],
                "manifest": _GARBAGE,
                "names": ["stolen"],
            },
        ),
    ),
    "image.commit": (
        Attempt(
            "another's image with a made-up manifest",
            lambda target, _: {"config": target.image, "manifest": _GARBAGE, "names": ["stolen"]},
        ),
    ),
    "image.list": _everything(),
    "image.destroy": tuple(_on(what, image=field) for what, field in _IMAGE),
    "volume.ensure": (
        _on("another's SDK volume", name="volume"),
        Attempt(
            "the name of another's declared volume",
            lambda target, _: {"name": target.declared_volume},
            Verdict.APART,
            lambda target, _: ("volume.destroy", {"name": target.declared_volume}),
        ),
    ),
    "volume.create": (
        Attempt(
            "the UUID and the tag of another's",
            lambda target, _: {"key": target.uuid, "tag": target.tag},
            Verdict.APART,
            lambda target, _: ("volume.destroy", {"name": target.volume}),
        ),
    ),
    "volume.list": _everything(),
    "volume.snapshot": (
        _on("another's", name="volume"),
        _on("another's declared one", name="declared_volume"),
    ),
    "volume.rollback": (
        _on("another's", name="volume"),
        _on("another's declared one", name="declared_volume"),
    ),
    "volume.destroy": (
        _on("another's", name="volume"),
        _on("another's declared one", name="declared_volume"),
        Attempt("another's, when free", lambda target, _: {"name": target.volume, "when_free": True}),
    ),
    "keys.get": _everything(),
    "keys.set": (
        Attempt(
            "the key that another has",
            lambda target, _: {"changes": {target.key: "overwritten"}},
            Verdict.APART,
            lambda target, _: ("keys.set", {"changes": {target.key: None}}),
        ),
        Attempt(
            "asking whether another's key has its value",
            lambda target, _: {"changes": {"guessed": 1}, "expect": {target.key: target.value}},
        ),
    ),
    "cluster.publish": (
        Attempt(
            "another's container under one's own name",
            lambda target, own: {
                "key": "thief",
                "fqdn": f"thief.{own.domain}",
                "containers": [target.container],
            },
        ),
        Attempt(
            "one's own container under another's domain",
            lambda target, own: {
                "key": "thief",
                "fqdn": f"thief.{target.domain}",
                "containers": [own.container],
            },
            Verdict.PUBLIC,
        ),
        Attempt(
            "under the key of another's cluster",
            lambda target, own: {
                "key": target.cluster,
                "fqdn": f"thief.{own.domain}",
                "containers": [own.container],
            },
            Verdict.APART,
            lambda target, _: ("cluster.remove", {"cluster": target.cluster}),
        ),
    ),
    "cluster.change": (
        Attempt("another's", lambda target, own: {"cluster": target.cluster, "containers": [own.container]}),
        Attempt(
            "one's own, to another's container",
            lambda target, own: {"cluster": own.cluster, "containers": [target.container]},
        ),
    ),
    "cluster.remove": (_on("another's", cluster="cluster"),),
    "cluster.list": _everything(),
    "domain.list": _everything(),
    "domain.prepare": (Attempt("another's", lambda target, _: {"domain": target.domain}, Verdict.PUBLIC),),
    "domain.claim": (Attempt("another's", lambda target, _: {"domain": target.domain}, Verdict.PUBLIC),),
    "domain.share": (Attempt("another's", lambda target, _: {"domain": target.domain, "shared": True}),),
    "domain.release": (_on("another's", domain="domain"),),
    "container.list": _everything(),
    "container.create": (
        _create("from another's image by its name", image=lambda target, _: target.image_name),
        _create("from another's image by its digest", image=lambda target, _: target.image),
        _create(
            "with another's SDK volume", config=lambda target, _: {"volumes": [[target.volume, "/stolen"]]}
        ),
        Attempt(
            "with the name, the key and the tag of another's",
            lambda target, own: {
                "name": f"sdk/{target.uuid}/0",
                "key": "k",
                "image": own.image_name,
                "config": {},
                "held": True,
                "tag": target.tag,
            },
            Verdict.APART,
        ),
    ),
    "container.start": _container(),
    "container.stop": _container(timeout=1.0),
    "container.destroy": _container(),
    "container.get": _container(),
    "container.wake": _container(),
    "container.reboot": _container(reset=True),
    "container.console": _container(),
    "container.log": _container(),
    "container.output": _container(wait=0.0),
    "process.start": _container(line="cat /srv/secret"),
    "file.put": _container(path="/srv/secret"),
    "file.fetch": _container(path="/srv/secret"),
    "sftp.open": _container(),
    "pipe.attach": (_on("another's", pipe="pipe"),),
    "pipe.close": (_on("another's", pipe="pipe"),),
    "ticket.take": _container(port=80, count=1),
    "port.wait": _container(port=80, timeout=0.0),
    "connections.set": (
        _set("from one's own to another's container", outwards=True),
        _set("from another's container to one's own", outwards=False),
    ),
    "connection.allow": _BOTH_WAYS,
    "connection.disallow": _BOTH_WAYS,
    "health.watch": _container(probe=_PROBE),
    "health.forget": _container(),
}
