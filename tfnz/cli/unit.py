"""The systemd unit that runs one `tf` command line (systemd.service(5)). Text alone, nothing is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from tfd.protocol.text import printable

MARK: Final = "# Written by tf --systemd; run it again to change it."
"""First line of every unit of ours: one without it is left alone."""

_ELSEWHERE: Final = ("--systemd", "--identity", "--location", "--json", "--interactive", "--browser")
"""Options that are for the one who types, or are decided anew for the service."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service runs: who is there, and which of our programs."""

    user: str
    group: str
    home: str
    program: str


@dataclass(frozen=True, slots=True)
class Service:
    """One command line as a service: its name, its words without the program, and what goes beside the unit.

    `files` are the names that the words use, by the files here that they come from; `environment` are the
    variables that the words name without a value.
    """

    name: str
    image: str
    words: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def service_name(image: str) -> str:
    """Give a unit's name without .service: the image's, with what no name may have as dashes.

    `tfnz/docs` is tfnz-docs as ever; a plain name gets tf- before it, for nginx.service is Debian's.
    """
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", image.removeprefix("docker.io/library/")).strip("-.")[:100]
    return name if "/" in image and name and "docker.io/library/" not in image else f"tf-{name or 'image'}"


def make_service(
    given: Sequence[str], image: str, command: Sequence[str], present: Mapping[str, str], location: str
) -> Service:
    """Make a service of a command line taken apart: options as `--name=value`, the image, its own words.

    `present` is the caller's environment, `location` the location's name.
    """
    words = [f"--location={location}"]
    files: dict[str, Path] = {}
    environment: dict[str, str] = {}
    for option in given:
        name, _, value = option.partition("=")
        if name in _ELSEWHERE:
            continue
        if name == "--file":
            source, _, destination = value.partition(":")
            if destination.endswith("/"):
                destination += PurePosixPath(source).name
            words.append(f"--file={_beside(files, Path(source))}:{destination}")
        elif name == "--web" and value.count(":") == 2:
            fqdn, rewrite, certificate = value.split(":")
            _beside(files, Path(f"{certificate}.crt"), f"{Path(certificate).name}.crt")
            _beside(files, Path(f"{certificate}.key"), f"{Path(certificate).name}.key")
            words.append(f"--web={fqdn}:{rewrite}:{Path(certificate).name}")
        else:
            if name == "--env" and "=" not in value:
                environment[value] = present[value]
            words.append(option)
    return Service(service_name(image), image, (*words, "--", image, *command), files, environment)


def unit_text(service: Service, place: Place) -> str:
    """Give the unit's text. It begins where a network is expected, and again for ever."""
    directory = f"{place.home}/{service.name}"
    lines = [
        MARK,
        "[Unit]",
        f"Description={_plain(service.image)}, run by tf",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=simple",
        f"User={place.user}",
        f"Group={place.group}",
        f"WorkingDirectory={_percent(directory)}",
        "Environment=PYTHONUNBUFFERED=1",
        *([f"EnvironmentFile={_percent(directory)}/environment"] if service.environment else []),
        f"ExecStart={' '.join(_word(word) for word in (place.program, *service.words))}",
        # Ports below 1024 are what a web server's service is for.
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "KillSignal=SIGINT",
        "KillMode=mixed",
        "TimeoutStopSec=30",
        "Restart=always",
        "RestartSec=5",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def environment_text(environment: Mapping[str, str]) -> str:
    """Give the text of an EnvironmentFile (systemd.exec(5))."""
    lines = []
    for name, value in environment.items():
        escaped = re.sub(r'["\\$`]', r"\\\g<0>", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def _beside(files: dict[str, Path], source: Path, name: str = "") -> str:
    """Choose the name that a file has beside the unit, and note where it comes from."""
    wanted = name or source.name
    stem, suffix = PurePosixPath(wanted).stem, PurePosixPath(wanted).suffix
    number = 1
    while wanted in files and files[wanted] != source:
        number += 1
        wanted = f"{stem}-{number}{suffix}"
    files[wanted] = source
    return wanted


def _word(word: str) -> str:
    """Quote one word of ExecStart: specifiers, variables and quotes mean themselves."""
    word = _percent(word).replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", word):
        return word
    escaped = "".join(_ESCAPES.get(character, character) for character in word)
    return f'"{escaped}"'


_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    return _percent(printable(text))
