"""tflocation.toml: one table of keys, from which the parser and its messages come."""

import difflib
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tflocation import values
from tflocation.limits import GIB, KIB, Limits
from tflocation.values import CONTROL_PORT, Address, Key, default_name
from tflocation.web.settings import WEB_KEYS, WebSettings, contradiction

DEFAULT_PATH = Path("/etc/tflocation.toml")
CHANNEL_PORT = 2021
LISTEN = Address("", CONTROL_PORT)
CHANNEL_LISTEN = Address("", CHANNEL_PORT)
MAX_FILE = 1024 * KIB
"""Bytes; a longer file is a mistake (a wrong path), not a configuration."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file: where it is (line where known), what was found, what is allowed."""

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.text}"


class ConfigErrors(Exception):  # noqa: N818 - several at once
    """The file cannot be used; `problems` holds every mistake of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of the service; each field is a key of the file of the same name."""

    name: str = field(default_factory=lambda: default_name(socket.gethostname()))
    listen: Address = LISTEN
    channel_listen: Address = CHANNEL_LISTEN
    address: Address | None = None
    engine: Path | None = None
    project: str = "tfd"
    pool: str | None = None
    network: str | None = None
    subnet: IPv4Network | None = None
    registries: tuple[str, ...] = ("docker.io",)
    insecure_registries: tuple[str, ...] = ()
    registry_credentials: Path | None = None
    pull_timeout: int = 900
    image_size: int = 16 * GIB
    cache_directory: Path | None = None
    cache_size: int = 20 * GIB
    log_level: str = "info"
    lease: int = 30
    web: WebSettings | None = None
    limits: Limits = field(default_factory=Limits)
    account_limits: Mapping[str, Limits] = field(default_factory=dict)

    def limits_of(self, account: str) -> Limits:
        """Give the limits that hold for the account of this name."""
        return self.account_limits.get(account, self.limits)


KEYS: Mapping[str, Key] = {
    "name": Key(
        values.name,
        "The location's name, as tfd shows it.",
        absent="this machine's host name",
        example='"home"',
    ),
    "listen": Key(
        values.address(CONTROL_PORT),
        'Where clients\' control sessions come in. "*" is all addresses, IPv6 and IPv4.',
        '"*:2020"',
    ),
    "channel_listen": Key(values.address(CHANNEL_PORT), "Where clients' channels come in.", '"*:2021"'),
    "address": Key(
        values.public_address,
        "Under which address clients reach `listen`; `tflocation invite` prints it.",
        absent="this machine's own address, which is wrong behind a router",
        example='"home.example.net:2020"',
    ),
    "engine": Key(
        values.engine, 'The engine\'s Unix socket; "auto" looks for Incus, then for LXD.', '"auto"'
    ),
    "project": Key(values.name, "The project in the engine that is ours.", '"tfd"'),
    "pool": Key(
        values.name,
        "The storage pool that is used.",
        absent="the engine's only one, or the one named default",
        example='"default"',
    ),
    "network": Key(values.bridge, "The bridge of our containers.", absent="tfd0", example='"tfd0"'),
    "subnet": Key(
        values.subnet,
        "The bridge's network.",
        absent="a free one of 10.0.0.0/8",
        example='"10.94.0.0/20"',
    ),
    "registries": Key(
        values.texts,
        "Registries that are asked, in this order, for images which are not here; an empty list asks none.",
        '["docker.io"]',
    ),
    "insecure_registries": Key(
        values.texts,
        "Those of `registries` that have no valid TLS certificate.",
        "[]",
        example='["registry.lan:5000"]',
    ),
    "registry_credentials": Key(
        values.path,
        "Passwords for registries, in a file that `skopeo login --authfile FILE` writes "
        "(containers-auth.json(5)). It is read at each pull; give it the mode 0600.",
        absent="none",
        example='"/etc/tflocation/auth.json"',
    ),
    "pull_timeout": Key(values.seconds, "How long the download of one image may take.", '"15m"'),
    "image_size": Key(values.size, "How many bytes an image's files may have, unpacked.", '"16 GiB"'),
    "cache_directory": Key(
        values.path,
        "Where blobs of images are kept until the engine has them.",
        absent="images in the state directory",
        example='"/srv/images"',
    ),
    "cache_size": Key(values.size, "How much of them is kept.", '"20 GiB"'),
    "log_level": Key(values.log_level, "How much the log tells.", '"info"'),
    "lease": Key(
        values.seconds,
        "How long containers and names on the web that a program holds outlive its connection.",
        '"30s"',
    ),
}
"""The keys outside of any table, in the order in which the manual tells them."""

LIMIT_KEYS: Mapping[str, Key] = {
    "containers": Key(values.count, "How many containers an account may have.", "64"),
    "memory": Key(values.size, "What the memory limits of its containers may add up to.", '"64 GiB"'),
    "volumes": Key(values.size, "What the sizes of its volumes may add up to.", '"256 GiB"'),
    "container_memory": Key(
        values.size, "The memory limit of a container that says nothing of its own.", '"1 GiB"'
    ),
    "volume_size": Key(values.size, "The size of a volume that says nothing of its own.", '"4 GiB"'),
}


def load(path: Path, *, required: bool = True) -> Config:
    """Read the file; where it is absent and not `required`, the defaults.

    Raises ConfigErrors with every mistake of the file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        if not required:
            return Config()
        raise ConfigErrors([Problem(str(path), None, "there is no such file")]) from None
    except OSError as error:
        raise ConfigErrors([Problem(str(path), None, f"cannot be read: {error.strerror}")]) from error
    if len(raw) > MAX_FILE:
        raise ConfigErrors([Problem(str(path), None, f"is longer than {MAX_FILE} bytes")])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([Problem(str(path), line, "is not UTF-8")]) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Config:
    """Give the settings of a file's text; `file` is named in the messages.

    Raises ConfigErrors with every mistake.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        raise ConfigErrors([Problem(file, int(match[1]) if match else None, str(error))]) from error
    except RecursionError as error:
        raise ConfigErrors([Problem(file, None, "is nested too deeply")]) from error
    reader = _Reader(file, text)
    limits_table, web_table = document.pop("limits", {}), document.pop("web", None)
    settings = reader.table(document, KEYS, "", extra=("limits", "web"))
    settings |= reader.limits(limits_table)
    if web_table is not None:
        settings["web"] = reader.web(web_table)
    if reader.problems:
        raise ConfigErrors(reader.problems)
    return Config(**settings)


class _Reader:
    """Turns tables into values and collects what is wrong with them."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()
        self.problems: list[Problem] = []

    def table(
        self, table: Mapping[str, object], keys: Mapping[str, Key], where: str, extra: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        for key, value in table.items():
            known = keys.get(key)
            if known is None:
                self._unknown(key, (*keys, *extra), where)
                continue
            try:
                taken[key] = known.parse(value)
            except values.Invalid as error:
                self._note(where, key, f"{where}{key} = {_shown(value)}: allowed is {error}")
        return taken

    def limits(self, table: object) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._note("", "limits", f"limits = {_shown(table)}: allowed is a table [limits]")
            return {}
        defaults = Limits(
            **self.table({k: v for k, v in table.items() if not isinstance(v, dict)}, LIMIT_KEYS, "limits.")
        )
        base = {item.name: getattr(defaults, item.name) for item in fields(Limits)}
        accounts = {
            name: Limits(**(base | self.table(own, LIMIT_KEYS, f"limits.{name}.")))
            for name, own in table.items()
            if isinstance(own, dict)
        }
        return {"limits": defaults, "account_limits": accounts}

    def web(self, table: object) -> WebSettings | None:
        if not isinstance(table, dict):
            self._note("", "web", f"web = {_shown(table)}: allowed is a table [web]")
            return None
        settings = WebSettings(**self.table(table, WEB_KEYS, "web."))
        if wrong := contradiction(settings):
            self._note("", "web", f"web: {wrong}")
        return settings

    def _unknown(self, key: str, known: tuple[str, ...], where: str) -> None:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(known)}"
        self._note(where, key, f"{where}{key} is not a setting{hint}")

    def _note(self, where: str, key: str, text: str) -> None:
        self.problems.append(Problem(self._file, self._line(where.rstrip("."), key), text))

    def _line(self, table: str, key: str) -> int | None:
        """Give the first line that sets `key` in `table`; None where the file writes it in an unusual way."""
        current = ""
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
            if header:
                current = header[1].replace('"', "")
                if f"{table}.{key}".lstrip(".") == current:
                    return number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None


def _shown(value: object) -> str:
    """Give a value as the message quotes it: one line, not long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
