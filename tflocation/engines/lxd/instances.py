"""Containers in the engine's words and back: an instance's configuration, and what it tells."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Any

from tflocation.engines.interface import ContainerInfo, ContainerSpec, EngineError, State
from tflocation.engines.lxd.network import ADDRESS, address_of, interface_device, raw_config
from tflocation.engines.lxd.process import (
    DEFAULT_PATH,
    DIRECTORY,
    SCRIPT_KEY,
    WOKEN,
    Exit,
    hosts_file,
    start_script,
)

DEFAULT_PROCESSES = 4096  # a fork bomb ends here
SHUTDOWN_LIMIT = 10  # seconds that a process has when the machine goes down
_CPU_PERIOD = 100  # milliseconds
_OWN = "user.tfd."
_NO_MOUNTS = ("proc", "sys", "dev", DIRECTORY.lstrip("/"))

MADE = f"{_OWN}state"  # "creating" until all of it is there, then "made"
WANTED = f"{_OWN}wanted"  # "running" or "stopped": tells a requested stop from an accident
MAKER = f"{_OWN}maker"  # the node whose tflocation makes it, to clean up after that one
CONNECTS = f"{_OWN}connects"  # ids that it may connect to
HOSTS = f"{_OWN}hosts"  # name -> ip
HOLDER = f"{_OWN}holder"
ASLEEP = f"{_OWN}asleep"  # it was made to wait for somebody, who has not come yet
WAITING = f"{_OWN}waiting"  # its process has not been let begin
RESETS = f"{_OWN}resets"  # it is to be given a snapshot before its first start
REBOOTING = f"{_OWN}rebooting"
_TAG = f"{_OWN}tag"
_ENVIRONMENT = f"{_OWN}environment"
_LAST_POWER = "volatile.last_state.power"


def container_id(account: str, name: str, key: str) -> str:
    """Name a container: the same account, name and key give the same id, so that none is made twice."""
    parts = b"".join(len(x).to_bytes(4, "big") + x for x in (s.encode() for s in (account, name, key)))
    return "tf-" + hashlib.blake2b(parts, digest_size=10).hexdigest()


def volume_id(account: str, name: str) -> str:
    """Name a volume of the engine, likewise."""
    parts = b"".join(len(x).to_bytes(4, "big") + x for x in (s.encode() for s in (account, name)))
    return "tv-" + hashlib.blake2b(parts, digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the engine a container is put: with one of the first `addresses` of the gateway's network."""

    pool: str
    bridge: str
    gateway: IPv4Interface
    maker: str
    addresses: int


# The engine writes the start script before the next start: when its file system is as it was made.
FRESH = {"volatile.apply_template": "create"}


def instance_body(
    spec: ContainerSpec, fingerprint: str, address: IPv4Address, place: Place, guest_api: str
) -> dict[str, Any]:
    """Give the request that makes the instance; `guest_api` is the key that turns the engine's guest API off.

    It is not started, and marked as unfinished where files are still to be put into it.
    """
    name = container_id(spec.account, spec.name, spec.key)
    script = start_script(
        spec.process,
        gateway=str(place.gateway.ip),
        hosts=hosts_file(name, str(address), {}),
        mounts=[mount for _, mount in spec.volumes],
        terminal=spec.terminal,
        waits=waits(spec),
    )
    config = {
        "boot.autostart": "false",  # nothing runs before the firewall is there
        "boot.host_shutdown_timeout": str(SHUTDOWN_LIMIT),
        "security.privileged": "false",
        "security.nesting": "false",
        guest_api: "false",
        **_limits(spec),
        "raw.lxc": raw_config(place.gateway, address, terminals=1 if spec.terminal else 0),
        MADE: "creating" if spec.files else "made",
        MAKER: place.maker,
        WANTED: "running",
        f"{_OWN}account": spec.account,
        f"{_OWN}name": spec.name,
        f"{_OWN}key": spec.key,
        f"{_OWN}image": spec.image,
        f"{_OWN}volumes": json.dumps([name for name, _ in spec.volumes]),
        HOLDER: spec.holder,
        ASLEEP: json.dumps(spec.asleep),
        WAITING: json.dumps(waits(spec)),
        RESETS: json.dumps(bool(spec.holder)),
        SCRIPT_KEY: script,
        ADDRESS: str(address),
        _ENVIRONMENT: json.dumps({"PATH": DEFAULT_PATH, **spec.process.environment}),
    }
    if spec.tag is not None:
        config[_TAG] = spec.tag
    return {
        "name": name,
        "type": "container",
        "source": {"type": "image", "fingerprint": fingerprint},
        "profiles": [],
        "config": config,
        "devices": _devices(spec, address, place),
    }


def _limits(spec: ContainerSpec) -> dict[str, str]:
    """Give what it may use of the machine."""
    limits = {"limits.processes": str(spec.processes or DEFAULT_PROCESSES)}
    if spec.memory is not None:
        limits |= {"limits.memory": str(spec.memory), "limits.memory.swap": "false"}
    if spec.cpus is not None:
        limits["limits.cpu.allowance"] = f"{max(1, round(spec.cpus * _CPU_PERIOD))}ms/{_CPU_PERIOD}ms"
    return limits


def _devices(spec: ContainerSpec, address: IPv4Address, place: Place) -> dict[str, dict[str, str]]:
    """Give its disks and its network interface."""
    devices = {
        "root": {"type": "disk", "path": "/", "pool": place.pool},
        "eth0": interface_device(place.bridge, place.gateway, address),
    }
    for number, (volume, mount) in enumerate(spec.volumes):
        _check_mount(mount)
        source = volume_id(spec.account, volume)
        devices[f"volume{number}"] = {"type": "disk", "pool": place.pool, "source": source, "path": mount}
    return devices


def waits(spec: ContainerSpec) -> bool:
    """Whether the process begins when woken: nobody may miss the output of one that is held."""
    return spec.asleep or bool(spec.holder)


def is_waiting(raw: Mapping[str, Any]) -> bool:
    """Whether its process has not been let begin yet."""
    return bool(raw["config"].get(WAITING) == "true")


def awake() -> dict[str, str]:
    """Give the configuration of one that was woken: its process begins at each start from now on."""
    return {ASLEEP: "false", WAITING: "false", f"environment.{WOKEN}": "1"}


def environment(raw: Mapping[str, Any]) -> dict[str, str]:
    """Give the environment that the container's processes have."""
    found: dict[str, str] = json.loads(raw["config"].get(_ENVIRONMENT, "{}"))
    return found


def _check_mount(mount: str) -> None:
    """Refuse a mount point that is none of the container's, or that could end a line of liblxc's file."""
    parts = PurePosixPath(mount).parts
    if not mount.isprintable() or parts[:1] != ("/",) or len(parts) < 2 or ".." in parts:
        raise EngineError(f"{mount!r} is no mount point: an absolute path below / without .. is")
    if parts[1] in _NO_MOUNTS:
        raise EngineError(f"{mount!r} is no mount point: nothing can be mounted below /{parts[1]}")


def is_ours(raw: Mapping[str, Any]) -> bool:
    """Whether the instance was made by a tflocation."""
    return MADE in raw["config"]


def is_made(raw: Mapping[str, Any]) -> bool:
    """Whether all of the instance is there."""
    return bool(raw["config"].get(MADE) == "made")


def was_cut_short(raw: Mapping[str, Any]) -> bool:
    """Whether it should run and would, had not we, the engine or the machine died in between."""
    config = raw["config"]
    return (
        raw["status"] == "Stopped"
        and is_made(raw)
        and config.get(WANTED) == "running"
        and (config.get(_LAST_POWER, "RUNNING") == "RUNNING" or REBOOTING in config)
    )


def ended_by_itself(raw: Mapping[str, Any]) -> bool:
    """Whether there may be an exit code."""
    return is_made(raw) and raw["status"] == "Stopped" and REBOOTING not in raw["config"]


def never_ran(raw: Mapping[str, Any]) -> bool:
    """Whether it has never been started."""
    return datetime.fromisoformat(raw["last_used_at"]).timestamp() <= 0


def info(raw: Mapping[str, Any], node: str, end: Exit | None) -> ContainerInfo:
    """Read an instance as the engine lists it; it is on `node`. `end` is how its process ended, if known."""
    config = raw["config"]
    state, reason = _state(raw, end)
    allowance = config.get("limits.cpu.allowance")
    return ContainerInfo(
        id=raw["name"],
        account=config.get(f"{_OWN}account", ""),
        name=config.get(f"{_OWN}name", ""),
        key=config.get(f"{_OWN}key", ""),
        node=node,
        image=config.get(f"{_OWN}image", ""),
        ip=address_of(raw),
        state=state,
        exit=end.code if end else None,
        reason=reason,
        created=datetime.fromisoformat(raw["created_at"]).timestamp(),
        volumes=tuple(json.loads(config.get(f"{_OWN}volumes", "[]"))),
        memory=int(config["limits.memory"]) if "limits.memory" in config else None,
        cpus=int(allowance.partition("ms")[0]) / _CPU_PERIOD if allowance else None,
        processes=int(config.get("limits.processes", DEFAULT_PROCESSES)),
        holder=config.get(HOLDER, ""),
        tag=config.get(_TAG),
        asleep=config.get(ASLEEP) == "true",
    )


def _state(raw: Mapping[str, Any], end: Exit | None) -> tuple[State, str]:
    if not is_made(raw):
        return State.CREATED, "it is being made"
    if raw["status"] == "Stopped" and never_ran(raw) and raw["config"].get(WANTED) == "running":
        return State.CREATED, "it is being made"
    if raw["status"] == "Starting":
        return State.STARTING, ""
    if REBOOTING in raw["config"] and raw["config"].get(WANTED) == "running":
        return State.STARTING, "it is being rebooted"
    if raw["status"] != "Stopped":
        return State.RUNNING, ""
    if raw["config"].get(WANTED) == "stopped":
        return State.STOPPED, "stopped on request"
    if end is None:
        return State.FAILED, "it was killed, or never ran"
    way = f"was killed by signal {end.code - 128}" if end.code > 128 else f"ended with exit code {end.code}"
    return State.FAILED if end.code else State.STOPPED, end.reason or f"its process {way}"


def hosts(raw: Mapping[str, Any]) -> dict[str, str]:
    """Give the names, and their addresses, that the container knows."""
    found: dict[str, str] = json.loads(raw["config"].get(HOSTS, "{}"))
    return found


def connections(raw: Mapping[str, Any]) -> Sequence[str]:
    """Give the ids that the container may connect to."""
    return str(raw["config"].get(CONNECTS, "")).split()
