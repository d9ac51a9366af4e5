"""The process of an image: what its config says, kept with the engine's image, and a container's own wishes.

Sources: OCI image specification 1.0, config.md; Docker's rules for ENTRYPOINT, CMD and USER.
"""

import json
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tfd.protocol.errors import Code, CommandError
from tflocation.engines.interface import ProcessSpec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_KEPT = 128 * 1024
"""Bytes of what the engine keeps of an image's config."""
METADATA_KEY = "process"
"""Where the engine's metadata of an image holds it."""
CONFIG_KEY = "config"
"""Where the engine's metadata of an image holds its whole config."""
MAX_ID = (1 << 16) - 1
"""The highest user and group id that an unprivileged container is sure to have (subuid(5): 65536 ids)."""


@dataclass(frozen=True, slots=True)
class ImageProcess:
    """The part of an image's config that containers need, with the user looked up in the image's own files.

    `environment` is in the image's order as "NAME=value". `ports` are such as "80/tcp";
    `volumes` are mount points.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    home: str = "/"
    stop_signal: int = int(signal.SIGTERM)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def metadata(self) -> dict[str, str]:
        """Give the form in which the engine keeps it beside the image. Raises CommandError limit."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        if len(text) > MAX_KEPT:
            raise CommandError(
                Code.LIMIT, f"the image's config has more than {MAX_KEPT} bytes besides its history"
            )
        return {METADATA_KEY: text}


@dataclass(frozen=True, slots=True)
class User:
    """A user as passwd(5) has it."""

    uid: int
    gid: int
    home: str


def config_metadata(config: Mapping[str, Any]) -> dict[str, str]:
    """Give the form in which the engine keeps the whole config, but for a history that makes it too long.

    Raises CommandError limit.
    """
    text = json.dumps(config, separators=(",", ":"))
    if len(text) > MAX_KEPT:
        shorter = {key: value for key, value in config.items() if key != "history"}
        text = json.dumps(shorter, separators=(",", ":"))
    if len(text) > MAX_KEPT:
        raise CommandError(
            Code.LIMIT, f"the image's config has more than {MAX_KEPT} bytes besides its history"
        )
    return {CONFIG_KEY: text}


def config_text(metadata: Mapping[str, str], digest: str) -> str:
    """Give what `config_metadata` kept. Raises CommandError engine where nothing was."""
    if CONFIG_KEY not in metadata:
        message = (
            f"image {digest}: it was published without its config; destroy it and bring it again for that"
        )
        raise CommandError(Code.ENGINE, message)
    return metadata[CONFIG_KEY]


def from_metadata(metadata: Mapping[str, str], digest: str) -> ImageProcess:
    """Read what `ImageProcess.metadata` gave. Raises CommandError engine where something else is there."""
    try:
        fields = json.loads(metadata[METADATA_KEY])
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return ImageProcess(**known)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        message = (
            f"image {digest}: the engine's image was not published by tflocation; destroy and bring it again"
        )
        raise CommandError(Code.ENGINE, message) from error


def from_config(config: Mapping[str, Any], passwd: str, group: str) -> ImageProcess:
    """Read an image's config; `passwd` and `group` are the image's own files (empty where it has none).

    Raises CommandError malformed where the config is wrong, not-found where its user is not in the files.
    """
    wishes = config.get("config")
    wishes = wishes if isinstance(wishes, dict) else {}
    user = look_up(_text(wishes, "User"), passwd, group)
    return ImageProcess(
        entrypoint=_texts(wishes, "Entrypoint"),
        command=_texts(wishes, "Cmd"),
        environment=tuple(entry for entry in _texts(wishes, "Env") if "=" in entry[1:]),
        cwd="/" + _text(wishes, "WorkingDir").lstrip("/"),
        uid=user.uid,
        gid=user.gid,
        home=user.home,
        stop_signal=signal_number(_text(wishes, "StopSignal")),
        ports=_keys(wishes, "ExposedPorts"),
        volumes=_keys(wishes, "Volumes"),
    )


def process_spec(
    image: ImageProcess,
    command: Sequence[str] | None,
    entrypoint: Sequence[str] | None,
    environment: Mapping[str, str],
) -> ProcessSpec:
    """Tell what a container runs: an own entrypoint also drops the image's command, as docker run does.

    Raises CommandError bad-parameter where nothing is left to be run.
    """
    first = image.entrypoint if entrypoint is None else tuple(entrypoint)
    inherited = image.command if entrypoint is None else ()
    arguments = first + (inherited if command is None else tuple(command))
    if not arguments or not arguments[0]:
        raise CommandError(
            Code.BAD_PARAMETER, "the image names no program to run: give `command` or `entrypoint`"
        )
    variables = {"PATH": DEFAULT_PATH, "HOME": image.home}
    for entry in image.environment:
        name, _, value = entry.partition("=")
        variables[name] = value
    return ProcessSpec(
        args=arguments,
        cwd=image.cwd,
        environment={**variables, **environment},
        uid=image.uid,
        gid=image.gid,
        stop_signal=image.stop_signal,
    )


def look_up(user: str, passwd: str, group: str) -> User:
    """Give the user for "", "name", "uid", "name:group" and any mix of names and numbers.

    Raises CommandError: not-found where a name is not in the files, bad-parameter for ids out of range.
    """
    name, _, wanted_group = user.partition(":")
    name = name or "0"
    found = _entry(passwd, name, 7)
    if found is not None:
        uid, gid, home = _id(found[2], user), _id(found[3], user), found[5] or "/"
    elif name.isdecimal():
        uid, gid, home = _id(name, user), 0, "/root" if name == "0" else "/"
    else:
        raise CommandError(Code.NOT_FOUND, f"the image's user {name!r} is not in its /etc/passwd")
    if wanted_group:
        entry = _entry(group, wanted_group, 3)
        if entry is None and not wanted_group.isdecimal():
            raise CommandError(Code.NOT_FOUND, f"the image's group {wanted_group!r} is not in its /etc/group")
        gid = _id(entry[2] if entry else wanted_group, user)
    return User(uid, gid, home)


def signal_number(name: str) -> int:
    """Give the number of "SIGQUIT", "QUIT", "3" or "SIGRTMIN+3"; an empty name is SIGTERM.

    Raises CommandError malformed on anything else.
    """
    if not name:
        return int(signal.SIGTERM)
    match = re.fullmatch(r"(?:SIG)?(?:RTMIN(?:\+(\d{1,2}))?|([A-Z0-9]+))", name.upper())
    number = 0
    if match and match[2]:
        known = signal.Signals.__members__.get(f"SIG{match[2]}")
        number = int(known) if known else int(match[2]) if re.fullmatch(r"\d{1,2}", match[2]) else 0
    elif match:
        number = int(signal.SIGRTMIN) + int(match[1] or 0)
    if not 1 <= number <= int(signal.SIGRTMAX):
        raise CommandError(Code.MALFORMED, f"the image's stop signal {name[:40]!r} does not exist")
    return number


def _entry(text: str, key: str, fields: int) -> list[str] | None:
    """Give the line of passwd(5) or group(5) with this name, or else with this number."""
    lines = [line.split(":") for line in text.splitlines()]
    entries = [line for line in lines if len(line) >= fields]
    named = [line for line in entries if line[0] == key]
    return next(iter(named or [line for line in entries if line[2] == key]), None)


def _id(text: str, user: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
    if not 0 <= number <= MAX_ID:
        raise CommandError(
            Code.BAD_PARAMETER, f"the image's user {user!r} has id {text[:20]}; allowed is 0 to {MAX_ID}"
        )
    return number


def _text(wishes: Mapping[str, Any], key: str) -> str:
    value = wishes.get(key)
    if value is not None and not _is_text(value):
        raise CommandError(Code.MALFORMED, f"the image's config: {key} must be text")
    return value or ""


def _is_text(value: object) -> bool:
    """Tell whether it can be handed to a program: JSON can hold a NUL and half a surrogate pair."""
    return isinstance(value, str) and re.search("[\0\ud800-\udfff]", value) is None


def _texts(wishes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = wishes.get(key) or []
    if not isinstance(value, list) or not all(_is_text(item) for item in value):
        raise CommandError(Code.MALFORMED, f"the image's config: {key} must be a list of texts")
    return tuple(value)


def _keys(wishes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = wishes.get(key) or {}
    if not isinstance(value, dict):
        raise CommandError(Code.MALFORMED, f"the image's config: {key} must be a table")
    return tuple(value)
