"""The one who runs quickstart becomes a user of its location: keys in `~/.20ft`, under the name `local`."""

import contextlib
import os
import pwd
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preconditions import QuickstartError

from tfd.protocol import keys
from tfd.protocol.errors import KeyFileError, ProtocolError

LOCATION = "local"
LIMIT = 60.0
STALE = ".stale"
_SUFFIXES = ("", ".pub", ".spub", ".address")

Command = Callable[..., str]
"""Runs a sub-command of tflocation and gives what it prints; raises QuickstartError."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who runs quickstart: with sudo, the one who typed it."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def keys(self) -> Path:
        """Where this person's accounts are."""
        return self.home / ".20ft"

    @property
    def account(self) -> str:
        """The name of this person's account at the location."""
        return "user-" + re.sub(r"[^A-Za-z0-9_.-]", "-", self.name)[:50]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this person's programs."""
        return {**os.environ, "HOME": os.fspath(self.home), "USER": self.name, "LOGNAME": self.name}


def person() -> Person:
    """Give who runs this; where it was sudo(8) that ran it, who ran that."""
    uid = os.environ.get("SUDO_UID", "")
    with contextlib.suppress(KeyError):
        if os.geteuid() == 0 and uid.isdecimal() and int(uid):
            entry = pwd.getpwuid(int(uid))
            return Person(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    name = f"uid{os.geteuid()}"
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(os.geteuid()).pw_name
    return Person(name, os.geteuid(), os.getegid(), Path.home())


def enrol(who: Person, command: Command, tf: Path, location_key: Path, dials: str) -> str:
    """See to it that the person has an account, and give one line on what was done.

    `location_key` is the file with the location's keys, `dials` its address. An account `local` that leads
    elsewhere is left alone; one of an earlier location of quickstart is set aside, as NAME.stale.
    Raises QuickstartError.
    """
    place = who.keys / LOCATION
    prefix = ""
    if os.path.lexists(place):
        if _is_current(place, command, location_key):
            return f"{place}: the account of {who.name} for location {LOCATION}, as before"
        led = _read(place.with_name(f"{LOCATION}.address"))
        if led != dials:
            return (
                f"{place} leads to {led or 'another location'}, so it was left alone and {who.name} has no "
                f"account for this one; move the files {LOCATION}* away and start again, to have one"
            )
        for suffix in _SUFFIXES:
            old = place.with_name(LOCATION + suffix)
            if os.path.lexists(old):
                old.replace(old.with_name(old.name + STALE))
        prefix = f"{place} was of an earlier location and is {LOCATION}{STALE} now; "
    if who.account in _accounts(command):
        command("revoke", who.account)
    _join(who, tf, command("invite", "--role", "admin", who.account))
    return f"{prefix}{who.name} has an account for location {LOCATION}: {place}"


def is_default(who: Person) -> bool:
    """Whether the person's commands go to this location without being told so."""
    return _read(who.keys / "default_location") == LOCATION


def _is_current(place: Path, command: Command, location_key: Path) -> bool:
    """Whether the keys are an account of the location that runs."""
    import base64
    import binascii

    try:
        server = base64.b64decode(_read(place.with_name(f"{LOCATION}.spub")))
        public = base64.b64decode(_read(place.with_name(f"{LOCATION}.pub")))
        return server == keys.load(location_key).public and keys.z85_encode(public) in _accounts(command)
    except (binascii.Error, KeyFileError, ProtocolError):
        return False


def _accounts(command: Command) -> set[str]:
    """Give names and keys (z85) of the accounts that are not revoked."""
    import json

    accounts = [one for one in json.loads(command("accounts", "--json")) if one["state"] != "revoked"]
    return {str(one[part]) for one in accounts for part in ("name", "key")}


def _join(who: Person, tf: Path, invite: str) -> None:
    """Accept the invite as that person, so that the files are theirs."""
    other = who.uid != os.geteuid()
    try:
        done = subprocess.run(
            [tf, "init", invite],
            env=who.environment,
            cwd=who.home if who.home.is_dir() else "/",
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            user=who.uid if other else None,
            group=who.gid if other else None,
            extra_groups=[] if other else None,
        )
    except PermissionError:
        raise QuickstartError(
            f"{who.name} may not read {tf.parents[2]}, so there is no account for {who.name}: put the tree "
            "where everybody may read it"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QuickstartError(f"no account was made for {who.name}: {error}") from error
    if done.returncode != 0:
        raise QuickstartError(f"no account was made for {who.name}: {done.stderr.strip()}")


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""
