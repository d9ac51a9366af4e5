"""The main job on one machine: an engine, a location in front of it, tfd, and a page of nginx.

`./quickstart` installs what this needs and runs it. A running LXD or Incus is used, in a
project of its own; where there is none, one is started with a state directory of its own and
stopped at the end. Exit codes: 0 fine; 1 it failed; 2 wrong configuration or command line.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from enrolment import LOCATION, Person, enrol, is_default, person
from preconditions import QuickstartError, alone, check_ports, end_leftovers, leftovers, step
from programs import PROGRAMS, STATE, TREE, Place, Program, wait_until

from tfd.config.model import Config
from tfd.config.problems import ConfigErrors
from tfd.config.reader import load
from tfd.protocol.address import Address
from tflocation.development import DevelopmentError, Kind, PrivateEngine, program
from tflocation.engines.lxd.settings import SOCKETS
from tflocation.shared import SharedEngine

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
ARCHIVE = STATE / "nginx.tar"
CONFIG = TREE / "conf" / "tfd.toml"
CONTROL = Address("127.0.0.1", 2020)
CHANNELS = Address("127.0.0.1", 2021)
REGISTRY_LIMIT = 10.0
PAGE = "usr/share/nginx/html/index.html"


def running_engine() -> Path | None:
    """Give the socket of an engine that somebody answers on, or None."""
    for path in SOCKETS:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(10)
            probe.connect(os.fspath(path))
            return path
    return None


class Interrupted(Exception):  # noqa: N818 - a wish of the user, no error
    """Ctrl-C or SIGTERM came."""


class Location:
    """The engine, the location in front of it, and the settings that join the two."""

    def __init__(self, stack: contextlib.ExitStack, checking: bool) -> None:
        """Choose the engine: one that runs, else a private one; `stack` tidies up at the end."""
        running = running_engine()
        if running is None:
            engine: PrivateEngine | SharedEngine = self._start_private(stack)
            self.place = Place("private")
        else:
            print(f"           using the engine that runs, {running}, in a project of its own")
            engine = SharedEngine(running, "tfd-quickstart", "tfdqs0")
            stack.callback(self._tidy, engine, checking)
            if engine.prepare():
                print(f"           it had no storage pool, so {engine.pool} was made, of the kind dir")
            self.place = Place(os.fspath(running.parent).strip("/").replace("/", "-"))
        settings = {
            "engine": engine.socket,
            "project": engine.project,
            "pool": engine.pool,
            "network": engine.bridge,
            "name": LOCATION,
            "listen": CONTROL,
            "channel_listen": CHANNELS,
            "address": CONTROL,
        }
        self.config = self.place.directory / "tflocation.toml"
        self.config.write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()))

    @staticmethod
    def _start_private(stack: contextlib.ExitStack) -> PrivateEngine:
        kind: Kind = "lxd" if program("lxd") else "incus"
        engine = PrivateEngine(STATE / "engine", kind)
        stack.callback(engine.stop)
        with step(f"started {kind}, its state in {engine.directory}"):
            engine.start()
        return engine

    @staticmethod
    def _tidy(engine: SharedEngine, checking: bool) -> None:
        """Leave nothing in the running engine after a check, and after another run nothing that runs."""
        if not checking:
            with step(f"removed the containers and the network {engine.bridge}; images and volumes stay"):
                engine.rest()
            return
        with step(f"removed all that was made in {engine.socket}"):
            kept = engine.remove()
        if kept:
            print(f"           but for the project {engine.project}, which has volumes: {', '.join(kept)}")

    def command(self, *arguments: str | Path) -> str:
        """Run a sub-command of tflocation with the settings of this location."""
        return self.place.run("tflocation", "--config", self.config, *arguments)

    def answers(self) -> bool:
        """Whether the service answers."""
        with contextlib.suppress(QuickstartError):
            return bool(self.command("status", "--json"))
        return False

    def ensure_image(self) -> None:
        """See to it that the location can have an image called nginx, if need be from Debian packages."""
        if any(name in ("nginx", "nginx:latest") for name in self.command("image", "list").split()):
            return
        if registry_has("nginx"):
            print("           the image nginx comes from a registry, at its first use")
            return
        print("           no registry can be reached, so the image nginx is made of Debian packages")
        if not ARCHIVE.exists():
            with step("built the image nginx"):
                build_archive()
        with step("gave the image to the location"):
            self.command("image", "add", ARCHIVE, "nginx")


def registry_has(image: str) -> bool:
    """Whether skopeo finds the image at the registry that its name means, within a few seconds."""
    try:
        done = subprocess.run(
            ["skopeo", "inspect", "--raw", "--retry-times", "0", f"docker://{image}"],
            capture_output=True,
            timeout=REGISTRY_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def build_archive() -> None:
    """Build the nginx image; raises QuickstartError with the builder's words."""
    script = TREE / "packaging" / "images" / "nginx" / "build"
    done = subprocess.run([script, ARCHIVE], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise QuickstartError(f"{script}: exit {done.returncode}: {done.stderr.strip()}")


def page_url(config: Config) -> str:
    """Give the URL of the first TCP listener; raises QuickstartError where there is none."""
    for listener in config.listeners:
        for address in listener.binds:
            if not address.is_unix:
                host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
                return f"http://{Address(host, address.port)}/"
    raise QuickstartError(f'{CONFIG} has no listener on TCP to load a page from: add bind = "127.0.0.1:8080"')


def page(url: str) -> bytes | None:
    """Load the page through tfd, or give None while it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - always http
            body: bytes = answer.read()
            return body
    except (OSError, http.client.HTTPException):
        return None


def page_in_image() -> bytes:
    """Give the page as it lies in the image that was built, to compare with what was served."""
    with tempfile.TemporaryDirectory(dir=STATE) as directory:
        layout = Path(directory) / "layout"
        bundle = Path(directory) / "bundle"
        layout.mkdir()
        subprocess.run(["tar", "-C", layout, "-xf", ARCHIVE], check=True, timeout=60)
        subprocess.run(
            ["umoci", "unpack", "--image", f"{layout}:latest", bundle],
            check=True,
            timeout=60,
            capture_output=True,
        )
        return (bundle / "rootfs" / PAGE).read_bytes()


def tfd_status(place: Place) -> dict[str, Any]:
    """Give what `tfd status --json` prints; an empty one while the daemon does not answer."""
    with contextlib.suppress(QuickstartError):
        status: dict[str, Any] = json.loads(place.run("tfd", "status", "--json"))
        return status
    return {}


def start(stack: contextlib.ExitStack, url: str, checking: bool) -> tuple[Location, Program]:
    """Bring up the location and tfd, wait for the page, and give both; `stack` ends it all."""
    location = Location(stack, checking)
    place = location.place
    service = Program(place, "tflocation", "--config", location.config)
    stack.callback(service.stop)
    with step("started tflocation"):
        service.start()
        wait_until("tflocation to answer", [service], location.answers)
    location.ensure_image()
    account = place.directory / "tfd" / "locations" / "local.json"
    if not account.exists() or "quickstart" not in location.command("accounts").split():
        with step("joined the location: tflocation invite, tfd join"):
            account.unlink(missing_ok=True)
            if "quickstart" in location.command("accounts").split():
                location.command("revoke", "quickstart")
            place.run("tfd", "join", location.command("invite", "quickstart"))
    daemon = Program(place, "tfd", "--config", CONFIG)
    stack.callback(daemon.stop)
    with step(f"tfd serves {url}"):
        daemon.start()
        wait_until("tfd to be ready", [service, daemon], lambda: bool(tfd_status(place).get("ready")))
        wait_until(f"a page at {url}", [service, daemon], lambda: page(url) is not None)
    return location, daemon


def enrol_user(location: Location, who: Person) -> bool:
    """Give the person an account at the location; whether commands of theirs go there."""
    key = location.place.directory / "tflocation" / "location.key"
    try:
        with step(f"account of {who.name}"):
            print(f"           {enrol(who, location.command, PROGRAMS / 'tf', key, str(CONTROL))}")
    except QuickstartError as error:
        print(f"           {error}")
        return False
    return True


def check_tf(location: Location) -> None:
    """Run `tf nginx` as a new user would, in a home of its own; raises QuickstartError where that fails."""
    with tempfile.TemporaryDirectory(dir=STATE) as home:
        who = Person("quickstart-check", os.geteuid(), os.getegid(), Path(home))
        key = location.place.directory / "tflocation" / "location.key"
        enrol(who, location.command, PROGRAMS / "tf", key, str(CONTROL))
        record = Path(home, "record.json")
        tf = Program(
            location.place, "tf", "--json", record, "-p", "0:80", "nginx", environment=who.environment
        )
        try:
            tf.start()
            wait_until("tf nginx", [tf], lambda: bool(_tunnels(record)))
            served = page(f"http://127.0.0.1:{_tunnels(record)[0]}/")
        finally:
            tf.stop()
            location.command("revoke", who.account)
    if served is None or b"nginx" not in served:
        raise QuickstartError(f"tf nginx did not serve the page of nginx; see {tf.log}")
    print(f"           the page of nginx came through tf: {len(served)} bytes")


def _tunnels(record: Path) -> list[int]:
    """Give the local ports in what `tf --json` wrote; none before there are any."""
    with contextlib.suppress(OSError, ValueError):
        return [tunnel["local"] for tunnel in json.loads(record.read_text()).get("tunnels", [])]
    return []


def check(url: str) -> None:
    """Compare the served page with the one in the image; raises QuickstartError where they differ."""
    served = page(url)
    if served is None or b"nginx" not in served:
        raise QuickstartError(f"{url} did not serve the page of nginx")
    said = f"the page of nginx came through tfd: {len(served)} bytes"
    if ARCHIVE.exists():
        if served != page_in_image():
            raise QuickstartError(
                f"{url} served {len(served)} bytes that are not those of the image's {PAGE}"
            )
        said += ", as they lie in the image"
    print(f"           {said}")


def tell(url: str, daemon: Program, who: Person, enrolled: bool) -> None:
    """Print the URL, the file to edit and things to try."""
    file = CONFIG.relative_to(TREE)
    pid = daemon.process.pid if daemon.process else 0
    option, argument = ("", "") if is_default(who) else (f" --location {LOCATION}", f'"{LOCATION}"')
    commands = f"""
  As {who.name}, with the SDK:
    .venv/bin/tf{option} nginx                 a container of your own; it prints where its page is
    .venv/bin/tf ps{option}                    and: tf help, man -M .venv/share/man tf
    .venv/bin/python -c 'import signal; from tfnz.location import Location
container = Location({argument}).best_node().spawn("nginx")
container.attach_tunnel(80, localport=8081)
signal.pause()'                         the same in Python, at http://127.0.0.1:8081/
"""
    print(
        f"""
  The page is at        {url}
  The file to edit is   {file}
  Log of tfd            {daemon.log}

  Try, in a second terminal, as root:
    curl {url}
    .venv/bin/tfd status
    $EDITOR {file}; .venv/bin/tfd --check {file} && kill -HUP {pid}
{commands if enrolled else ""}
  Ctrl-C stops all of it.
""",
        flush=True,
    )


def check_nothing_left(ports: Sequence[Address]) -> None:
    """Raise QuickstartError where something of ours runs or listens after the end."""
    if left := leftovers(STATE):
        raise QuickstartError(
            f"still there after the end: {', '.join(f'process {one.name}' for one in left)}"
        )
    check_ports(ports)


def wait_for_end(daemon: Program) -> None:
    """Wait for Ctrl-C or SIGTERM, which come as Interrupted; raises QuickstartError when tfd ends before."""
    while not daemon.ended():
        time.sleep(0.5)
    raise QuickstartError(daemon.ended())


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Turn the first signal into Interrupted; further ones must not break the cleaning up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def main(arguments: Sequence[str]) -> int:
    """Run quickstart; give the exit code."""
    checking = list(arguments) == ["--check"]
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        config = load(CONFIG)
        with contextlib.ExitStack() as stack:
            stack.enter_context(alone(STATE / "lock"))
            url = page_url(config)
            binds = [address for listener in config.listeners for address in listener.binds]
            end_leftovers(STATE)
            ports = [CONTROL, CHANNELS, *binds]
            check_ports(ports)
            location, daemon = start(stack, url, checking)
            if checking:
                check(url)
                check_tf(location)
            else:
                who = person()
                tell(url, daemon, who, enrol_user(location, who))
                wait_for_end(daemon)
        if checking:
            check_nothing_left(ports)
    except Interrupted:
        return 1 if checking else 0
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 2
    except (QuickstartError, DevelopmentError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
