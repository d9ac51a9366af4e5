"""The PostgreSQL component with a real server, from Debian's packages, and a real psql."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.product import Location
from tests.support.waiting import wait_for
from tfnz.components.postgresql import Postgresql
from tfnz.location import Location as Session

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LIMIT = 60
PASSWORD = "it's a \\ secret $HOME"


@pytest.fixture(scope="module", autouse=True)
def image(sdk_location: Location, postgres_archive: Path) -> None:
    """Give the location the image."""
    sdk_location.add_image(postgres_archive, "postgres")


def psql(port: int, password: str, statement: str, database: str = "postgres") -> str:
    """Ask the server at a port of loopback; raises PermissionError where it refuses."""
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is not installed")
    done = subprocess.run(
        [program, "-X", "-t", "-A", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", database],
        input=statement,
        env=os.environ | {"PGPASSWORD": password},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise PermissionError(done.stderr)
    return done.stdout.strip()


@pytest.mark.covers("tfnz.components.postgresql.Postgresql", "Postgresql.password", "Postgresql.ctr")
@pytest.mark.covers("Postgresql.asynchronous", "Postgresql.wait_truly_up", "Postgresql.ensure_database")
def test_a_database_outlives_its_container(module_session: Session) -> None:
    """Written by psql through a tunnel, read again by the next server on the same volume."""
    node = module_session.node()
    volume = module_session.create_volume(tag="database")
    logged: list[bytes] = []
    first = Postgresql(node, volume, password=PASSWORD, log_callback=lambda _, data: logged.append(data))
    first.wait_truly_up()
    first.asynchronous.join(LIMIT)
    assert not first.asynchronous.is_alive()
    assert PASSWORD not in repr(first)
    assert first.password == first.password() == PASSWORD
    assert first.ensure_database("shop") is True
    assert first.ensure_database("shop") is False
    assert first.ensure_database("od\"d näme'") is True
    tunnel = first.attach_tunnel(5432, localport=0, bind="127.0.0.1")
    table = "CREATE TABLE t (line text); INSERT INTO t VALUES ('kept');"
    psql(tunnel.localport(), PASSWORD, table, "shop")
    with pytest.raises(PermissionError, match="password authentication failed"):
        psql(tunnel.localport(), "guessed", "SELECT 1")
    assert b"ready to accept connections" in b"".join(logged)
    node.destroy_container(first)

    with Postgresql(node, volume).wait_until_ready(LIMIT * 3) as second:
        assert len(second.password) == 12
        tunnel = second.attach_tunnel(5432, localport=0, bind="127.0.0.1")
        assert psql(tunnel.localport(), second.password, "SELECT line FROM t", "shop") == "kept"
        assert second.ensure_database("shop") is False
    assert second.ctr.dead
    module_session.destroy_volume(volume)


def test_two_servers_never_share_a_database(module_session: Session) -> None:
    """The second one waits for the first, and does not touch its files."""
    node = module_session.node()
    volume = module_session.create_volume()
    first = Postgresql(node, volume)
    first.wait_until_ready(LIMIT * 3)
    second = Postgresql(node, volume)
    waiting = (
        "until grep -qsx flock /proc/*/comm; do sleep 0.1; done; grep -sx postgres /proc/*/comm || echo none"
    )
    assert second.run_process(waiting, timeout=LIMIT)[0] == b"none\n"
    assert not second.is_ready()
    node.destroy_container(first)
    second.wait_until_ready(LIMIT * 3)
    node.destroy_container(second)
    module_session.destroy_volume(volume)


def test_one_that_cannot_start_says_so_at_once(module_session: Session) -> None:
    """A volume with other files on it is left alone; who waits gets the reason."""
    node = module_session.node()
    volume = module_session.create_volume()
    with node.spawn_container("busybox", volumes=[(volume, "/mnt")]) as other:
        other.put("/mnt/precious", b"data")
    failing = Postgresql(node, volume)
    with pytest.raises(ValueError, match="will not be ready"):
        failing.wait_until_ready(LIMIT * 3)
    wait_for(lambda: failing.dead, LIMIT, "the container's end to be known")
    with pytest.raises(ValueError, match="no name of a database"):
        failing.ensure_database("x" * 64)
    with node.spawn_container("busybox", volumes=[(volume, "/mnt")]) as other:
        assert other.fetch("/mnt/precious") == b"data"
    module_session.destroy_volume(volume)
