"""What the small program of the page costs in memory: `Location().best_node().spawn('nginx')` and a tunnel.

    .venv/bin/python -m bench.sdk_memory [--python PROGRAM] [--port PORT]

Starts an engine and a location of its own, runs the page's second program as it is printed, fetches a page
through its port 8080, and prints what proc(5) says of it, by what the memory is used for. Needs root and what
`packaging/prepare tests` installs; where something else has port 8080, --port puts another one into the
program. The modules are compiled first, as installed ones are.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.footprint import smaps
from tests.support import page
from tests.support.images import archive, busybox_image, layer, oci_files
from tests.support.product import Location
from tests.support.user import NO_ENGINE
from tests.support.waiting import wait_for
from tfd.protocol.drivers.memory import QUIET
from tflocation.development import PrivateEngine

PROMISE = 17_000_000
"""Bytes: the page says 17 MB."""

PORT = 8080
LIMIT = 60.0
TREE = Path(__file__).resolve().parents[1]
JOIN = "import sys; from tfnz import account; account.join(sys.argv[1])"


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.sdk_memory", description=__doc__)
    parser.add_argument(
        "--python", default=f"{sys.base_prefix}/bin/python3", help="which interpreter (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=PORT, help="instead of %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tfd-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        with PrivateEngine(directory / "engine", "lxd") as engine:
            location = Location(directory / "location", engine, extra="registries = []\n")
            try:
                location.start()
                _add_nginx(location, directory)
                print(measured(options.python, options.port, location, directory))
            finally:
                location.stop()


def measured(python: str, port: int, location: Location, directory: Path) -> str:
    """Run the page's program twice, once for the compiled modules, and give the report on the second run."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "HOME": str(directory),
        "DOCKER_HOST": NO_ENGINE,
        "PYTHONPATH": str(TREE),
        "PYTHONPYCACHEPREFIX": str(directory / "compiled"),
    }
    subprocess.run([python, "-c", JOIN, location.invite("bench")], env=environment, check=True)
    program = page.block_with(f"container.attach_tunnel(80, localport={PORT})").replace(str(PORT), str(port))
    for _ in range(2):
        process = subprocess.Popen([python, "-c", program], env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: _served(port), LIMIT, f"the page on port {port}")
            time.sleep(2 * QUIET)
            report = _report(process.pid)
        finally:
            process.terminate()
            process.wait()
    return report


def _add_nginx(location: Location, directory: Path) -> None:
    image = busybox_image(
        entrypoint=["httpd", "-f", "-p", "80", "-h", "/srv"],
        command=[],
        extra=[layer({"srv/index.html": b"nginx"})],
        ExposedPorts={"80/tcp": {}},
    )
    location.add_image(archive(directory / "nginx.tar", oci_files({"latest": image})), "nginx")


def _served(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT) as answer:
            return bool(answer.read() == b"nginx")
    except OSError:
        return False


def _report(pid: int) -> str:
    mappings = smaps.read(pid)
    whole = smaps.total(mappings)
    over = whole.resident - PROMISE
    verdict = "kept" if over <= 0 else f"missed by {_mb(over)}"
    kinds = smaps.by_kind(mappings)
    return "\n".join(
        [
            f"resident      {_mb(whole.resident):>9}  (promised: {_mb(PROMISE)}, {verdict})",
            f"proportional  {_mb(whole.proportional):>9}  (PSS: each page divided among those who share it)",
            f"its own       {_mb(whole.resident - whole.shared):>9}",
            "resident by what it is used for:",
            *(f"  {_mb(memory.resident):>9}  {kind}" for kind, memory in kinds.items()),
        ]
    )


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
