"""The main job on one machine: an engine, a location in front of it, tfd, and a page of nginx.

`./quickstart` installs what this needs and runs it. A running LXD or Incus is used, in a
project of its own; where there is none, one is started with a state directory of its own and
stopped at the end.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tflocation.development import DevelopmentError, Kind, PrivateEngine, program

TREE = Path(__file__).resolve().parent.parent
PROGRAMS = TREE / ".venv" / "bin"
STATE = Path("/var/lib/tfd-quickstart")
LOCATION_CONFIG = STATE / "tflocation.toml"
ARCHIVE = STATE / "nginx.tar"
CONFIG = TREE / "conf" / "tfd.toml"
URL = "http://127.0.0.1:8080/"
START_LIMIT = 90.0
STOP_LIMIT = 30.0
REGISTRY_LIMIT = 10.0
PAGE = "usr/share/nginx/html/index.html"
ENGINE_SOCKETS = (
    Path("/var/lib/incus/unix.socket"),
    Path("/var/lib/lxd/unix.socket"),
    Path("/var/snap/lxd/common/lxd/unix.socket"),
)


def running_engine() -> Path | None:
    """Give the socket of an engine that somebody answers on, or None."""
    for path in ENGINE_SOCKETS:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(10)
            probe.connect(os.fspath(path))
            return path
    return None


class QuickstartError(Exception):
    """What failed, and what to do about it: the line that the user sees."""


class Interrupted(Exception):  # noqa: N818 - a wish of the user, no error
    """Ctrl-C or SIGTERM came."""


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Tell what was done, and in how many seconds."""
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:8.1f} s  {what}", flush=True)


def environment(program: str) -> dict[str, str]:
    """Give a program's environment: its state lies apart from that of an installed tfd or tflocation."""
    return {**os.environ, "STATE_DIRECTORY": os.fspath(STATE / program)}


def run(program: str, *arguments: str | Path, limit: float = 300.0) -> str:
    """Run one of our commands to its end and give its output; raises QuickstartError with what it said."""
    command = [os.fspath(PROGRAMS / program), *(os.fspath(argument) for argument in arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env=environment(program), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise QuickstartError(f"{' '.join(command)}: not done within {limit:.0f} s") from error
    if done.returncode != 0:
        raise QuickstartError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


class Program:
    """One of our two services, run beside this program."""

    def __init__(self, name: str, *arguments: str | Path) -> None:
        """Start it; its lines go to a file beside its state."""
        self.name = name
        self.log = STATE / f"{name}.log"
        (STATE / name).mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [os.fspath(PROGRAMS / name), *(os.fspath(argument) for argument in arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(name),
                start_new_session=True,
            )

    def ended(self) -> str:
        """Give one line on why it ended, or an empty string while it runs."""
        code = self.process.poll()
        if code is None:
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{self.name} ended with exit {code}: {lines[-1] if lines else 'it said nothing'}"

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL where that does not help within the limit."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wait_until(what: str, programs: Sequence[Program], condition: Callable[[], bool]) -> None:
    """Wait for `condition`; raises QuickstartError once a program ended or the limit has passed."""
    end = time.monotonic() + START_LIMIT
    while not condition():
        for one in programs:
            if ended := one.ended():
                raise QuickstartError(ended)
        if time.monotonic() > end:
            logs = ", ".join(os.fspath(one.log) for one in programs)
            raise QuickstartError(f"after {START_LIMIT:.0f} s still waiting for {what}; see {logs}")
        time.sleep(0.1)


class Location:
    """The engine, the location in front of it, and the settings that join the two."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        """Choose the engine: one that runs, else a private one, which `stack` stops at the end."""
        running = running_engine()
        if running is None:
            kind: Kind = "lxd" if program("lxd") else "incus"
            with step(f"started {kind}, its state in {STATE / 'engine'}"):
                engine = PrivateEngine(STATE / "engine", kind)
                stack.callback(engine.stop)
                engine.start()
            settings = {
                "engine": os.fspath(engine.socket),
                "project": engine.project,
                "pool": engine.pool,
                "network": engine.bridge,
            }
        else:
            print(f"           using the engine that runs, {running}, in a project of its own")
            settings = {"engine": os.fspath(running), "project": "tfd-quickstart", "network": "tfdqs0"}
        settings |= {
            "name": "local",
            "listen": "127.0.0.1:2020",
            "channel_listen": "127.0.0.1:2021",
            "address": "127.0.0.1:2020",
        }
        LOCATION_CONFIG.write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()))

    def command(self, *arguments: str | Path) -> str:
        """Run a sub-command of tflocation with the settings of this location."""
        return run("tflocation", "--config", LOCATION_CONFIG, *arguments)

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


def page() -> bytes | None:
    """Load the page through tfd, or give None while it cannot be had."""
    try:
        with urllib.request.urlopen(URL, timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, urllib.error.URLError):
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


def tfd_status() -> dict[str, Any]:
    """Give what `tfd status --json` prints; an empty one while the daemon does not answer."""
    with contextlib.suppress(QuickstartError):
        status: dict[str, Any] = json.loads(run("tfd", "status", "--json"))
        return status
    return {}


def start(stack: contextlib.ExitStack) -> Program:
    """Bring up the location and tfd, wait until the page can be loaded, and give tfd; `stack` ends it all."""
    location = Location(stack)
    with step("started tflocation"):
        service = Program("tflocation", "--config", LOCATION_CONFIG)
        stack.callback(service.stop)
        wait_until("tflocation to answer", [service], location.answers)
    location.ensure_image()
    account = STATE / "tfd" / "locations" / "local.json"
    if not account.exists() or "quickstart" not in location.command("accounts").split():
        with step("joined the location: tflocation invite, tfd join"):
            account.unlink(missing_ok=True)
            if "quickstart" in location.command("accounts").split():
                location.command("revoke", "quickstart")
            run("tfd", "join", location.command("invite", "quickstart"))
    with step(f"tfd serves {URL}"):
        daemon = Program("tfd", "--config", CONFIG)
        stack.callback(daemon.stop)
        wait_until("tfd to be ready", [service, daemon], lambda: bool(tfd_status().get("ready")))
        wait_until(f"a page at {URL}", [service, daemon], lambda: page() is not None)
    return daemon


def check() -> None:
    """Compare the served page with the one in the image; raises QuickstartError where they differ."""
    served = page()
    if served is None or b"nginx" not in served:
        raise QuickstartError(f"{URL} did not serve the page of nginx")
    if ARCHIVE.exists() and served != page_in_image():
        raise QuickstartError(f"{URL} served {len(served)} bytes that are not those of the image's {PAGE}")
    print(f"           the page of nginx came through tfd: {len(served)} bytes, as they lie in the image")


def tell(daemon: Program) -> None:
    """Print the URL, the file to edit and three things to try."""
    file = CONFIG.relative_to(TREE)
    print(
        f"""
  The page is at        {URL}
  The file to edit is   {file}
  Log of tfd            {daemon.log}

  Try, in a second terminal:
    curl {URL}
    .venv/bin/tfd status
    $EDITOR {file}; .venv/bin/tfd --check {file} && kill -HUP {daemon.process.pid}

  Ctrl-C stops all of it.
""",
        flush=True,
    )


def wait_for_end(daemon: Program) -> None:
    """Wait for Ctrl-C or SIGTERM, which come as Interrupted; raises QuickstartError when tfd ends before."""
    while not daemon.ended():
        time.sleep(0.5)
    raise QuickstartError(daemon.ended())


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Turn the first signal into Interrupted; further ones must not break the cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def main(arguments: Sequence[str]) -> int:
    """Run quickstart; give the exit code."""
    checking = list(arguments) == ["--check"]
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        with contextlib.ExitStack() as stack:
            daemon = start(stack)
            if checking:
                check()
            else:
                tell(daemon)
                wait_for_end(daemon)
    except Interrupted:
        return 1 if checking else 0
    except (QuickstartError, DevelopmentError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
