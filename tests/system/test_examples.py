"""Each program of examples/ does what its text says, as a process with a user's account."""

import datetime as dt
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.forwarder import Forwarder
from tests.support.images import archive, busybox_image, layer, oci_files
from tests.support.product import Location, free_port
from tests.support.user import User
from tests.support.waiting import wait_for
from tests.support.web_parts import Load, ask
from tflocation.development import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAME = "shop.test"
LIMIT = 60.0
MEET = (
    "touch /tests/{own}; for n in $(seq 300); do [ -e /tests/{other} ] && exit 0; sleep 0.1; done; exit 1\n"
)


@pytest.fixture(scope="module")
def web_at() -> tuple[str, int]:
    """Where the location's web gateway listens."""
    return "127.0.0.1", free_port()


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    engine: PrivateEngine,
    web_at: tuple[str, int],
    nginx_archive: Path,
    postgres_archive: Path,
) -> Iterator[Location]:
    """A location with a web gateway, the images that the examples name, and two versions of a site."""
    directory = tmp_path_factory.mktemp("home")
    web = f'[web]\nhttp = "127.0.0.1:{web_at[1]}"\nhttps = "off"\ndomains = ["test"]\n'
    running = Location(directory, engine, extra=f'registries = []\nlease = "20s"\n{web}')
    running.start()
    try:
        running.add_image(nginx_archive, "nginx")
        running.add_image(postgres_archive, "postgres")
        for colour in ("blue", "green"):
            site = busybox_image(
                entrypoint=["httpd", "-f", "-p", "80", "-h", "/srv"],
                command=[],
                extra=[layer({"srv/index.html": colour.encode()})],
            )
            running.add_image(archive(directory / f"{colour}.tar", oci_files({"latest": site})), colour)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, home: Location) -> User:
    """Somebody with an account there."""
    made = User(tmp_path_factory.mktemp("person"))
    made.join(home, "person")
    return made


@pytest.fixture(autouse=True)
def empty(person: User) -> Iterator[None]:
    """See that an example leaves no container behind, and take away the volumes."""
    yield
    wait_for(lambda: listed(person, "ps") == [], LIMIT, "the location to be empty")
    for volume in listed(person, "volume", "list"):
        assert person.run("volume", "rm", str(volume["uuid"])).returncode == 0


def listed(person: User, *words: str) -> list[dict[str, object]]:
    """Give what one of tf's lists says."""
    done = person.run(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@contextmanager
def example(person: User, log: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run an example that serves; its stdout and stdin are pipes, stderr is `log`; SIGTERM ends it."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / words[0], *words[1:]],
            env={**person.environment, "PYTHONPATH": os.fspath(EXAMPLES.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(LIMIT)
            finally:
                process.kill()


def test_worker_pool(person: User, tmp_path: Path) -> None:
    """The tests run at the same time, share the volume, and the exit code counts those that failed."""
    tests = {
        "a_meets": MEET.format(own="a", other="b"),
        "b_meets": MEET.format(own="b", other="a"),
        "fails": "echo this went wrong; exit 3\n",
        "passes": "test -e /tests/a\n",
    }
    for name, text in tests.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "worker_pool.py", "--workers", "2", tmp_path],
        env={**person.environment, "PYTHONPATH": os.fspath(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert sorted(done.stdout.splitlines()) == ["FAIL fails", "ok   a_meets", "ok   b_meets", "ok   passes"]
    assert (done.returncode, done.stderr) == (1, "this went wrong\n\n")
    assert listed(person, "volume", "list") == []


class Database:
    """PostgreSQL as `nightly_snapshot.py` serves it."""

    def __init__(self, person: User, directory: Path) -> None:
        self._person, self._directory = person, directory
        self._port = free_port()
        self._password = directory / "password"
        self.log = directory / "log"

    @contextmanager
    def served(self, *words: str) -> Iterator[None]:
        """Run the example until the server answers."""
        own = (f"--port={self._port}", f"--password-file={self._password}")
        with example(self._person, self.log, "nightly_snapshot.py", *own, *words) as process:

            def answers() -> bool:
                assert process.poll() is None, self.log.read_text()
                return self.ask("SELECT 1") == "1"

            wait_for(answers, LIMIT * 2, "the database")
            yield
        assert process.returncode == 0, self.log.read_text()

    def ask(self, statement: str) -> str:
        """Give what psql(1) says to a statement; nothing where there is no server."""
        password = self._password.read_text() if self._password.exists() else ""
        done = subprocess.run(
            ["psql", "-XqtA", "-h", "127.0.0.1", "-p", str(self._port), "-U", "postgres", "-c", statement],
            env={**os.environ, "PGPASSWORD": password},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return done.stdout.strip()


def test_nightly_snapshot(person: User, tmp_path: Path) -> None:
    """What was there at the snapshot is there again after the rollback, and nothing later."""
    database = Database(person, tmp_path)
    with database.served():
        database.ask("CREATE TABLE t (line text); INSERT INTO t VALUES ('kept')")
    with database.served("--now"):
        wait_for(lambda: "snapshot taken" in database.log.read_text(), LIMIT, "the snapshot")
        database.ask("INSERT INTO t VALUES ('spoilt')")
        assert database.ask("SELECT line FROM t ORDER BY 1").split() == ["kept", "spoilt"]
    with database.served("--rollback"):
        assert database.ask("SELECT line FROM t") == "kept"
    assert (tmp_path / "password").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("now", "seconds"), [((2, 59, 59), 1), ((3, 0, 0), 86400), ((3, 0, 1), 86399), ((23, 0, 0), 4 * 3600)]
)
def test_the_night_comes_once_a_day(now: tuple[int, int, int], seconds: float) -> None:
    """The wait is for the next three o'clock, never for the one that is just now."""
    spec = importlib.util.spec_from_file_location("nightly_snapshot", EXAMPLES / "nightly_snapshot.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)

    assert program.seconds_until(program.HOUR, dt.datetime(2030, 1, 31, *now)) == seconds


def test_blue_green(person: User, web_at: tuple[str, int], tmp_path: Path) -> None:
    """Each Enter changes the version, no request fails meanwhile, and the end of input ends it."""
    log = tmp_path / "log"
    with example(person, log, "blue_green.py", NAME, "blue", "green") as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def said(live: str, other: str) -> None:
            assert process.stdout is not None
            expected = f"{NAME} is served by {live}; Enter changes to {other}\n"
            assert process.stdout.readline() == expected, log.read_text()
            wait_for(lambda: ask(web_at, NAME, "/") == (200, live.encode()), LIMIT, live)

        said("blue", "green")
        with Load(web_at, NAME) as load:
            for live, other in (("green", "blue"), ("blue", "green"), ("green", "blue")):
                process.stdin.write("\n")
                process.stdin.flush()
                said(live, other)
        assert load.failures == []
        assert set(load.answers) == {"blue", "green"}
        process.stdin.close()
        assert process.wait(LIMIT) == 0
    assert ask(web_at, NAME, "/")[0] != 200


def free_udp_port() -> int:
    """Give a UDP port that nothing is bound to now."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        port: int = probe.getsockname()[1]
        return port


class Sensors:
    """The two sides of `iot_gateway.py`: readings go in, and come out as a page."""

    def __init__(self) -> None:
        self.udp, self.http = free_udp_port(), free_port()

    def sends(self, reading: str) -> None:
        """Send one reading."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sensor:
            sensor.sendto(f"{reading}\n".encode(), ("127.0.0.1", self.udp))

    def served(self) -> list[str]:
        """Give the readings that are served; none while there is no page."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.http}/readings/all.txt", timeout=10
            ) as answer:
                return bytes(answer.read()).decode().splitlines()
        except OSError:
            return []

    def has(self, *readings: str) -> Callable[[], bool]:
        """Give the condition that these are served."""
        return lambda: set(readings) <= set(self.served())


def is_bound(port: int) -> bool:
    """Whether a UDP port is taken."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", port))
    except OSError:
        return True
    return False


def test_iot_gateway(person: User, home: Location, tmp_path: Path) -> None:
    """Readings are served, wait while the location is out of reach, and are there after a restart."""
    sensors = Sensors()
    log = tmp_path / "log"
    words = ("iot_gateway.py", "--udp", str(sensors.udp), "--http", str(sensors.http))
    (address,) = (person.home / ".20ft").glob("*.address")
    known = address.read_text()
    try:
        with Forwarder(("127.0.0.1", home.port)) as way:
            address.write_text(f"127.0.0.1:{way.port}\n")
            with example(person, log, *words):
                wait_for(lambda: is_bound(sensors.udp), LIMIT, f"the UDP port; see {log}")
                sensors.sends("first")
                wait_for(sensors.has("first"), LIMIT, "the first reading")
                way.hole()
                for number in range(20):
                    sensors.sends(f"meanwhile {number}")
                way.heal()
                sensors.sends("later")
                wait_for(sensors.has("later"), LIMIT, "a reading after the interruption")
                assert [line for line in sensors.served() if "meanwhile" in line] == [
                    f"meanwhile {number}" for number in range(20)
                ]
    finally:
        address.write_text(known)
    with example(person, log, *words):
        wait_for(sensors.has("first", "later"), LIMIT, "the readings of the run before")
        sensors.sends("last")
        wait_for(sensors.has("last"), LIMIT, "a new reading")


def test_notebook(person: User) -> None:
    """Its cells, in their order in one process, calculate what they say, and the volume is kept."""
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == 5
    done = person.python("\n".join(code))

    top = sorted(Counter(n * n % 97 for n in range(1000)).values(), reverse=True)[:3]
    assert [int(line.split()[0]) for line in done.stdout.splitlines() if line] == top, done.stderr
    assert [volume["tag"] for volume in listed(person, "volume", "list")] == ["notebook-results"]
