"""The local engine: a real Podman, which speaks Docker's API, and sockets that misbehave."""

import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import archive, busybox_archive, busybox_image, docker_files
from tests.support.podman import PROGRAM, Podman, podman
from tfd.protocol.archive import read_archive
from tfnz.images.engine import (
    LocalEngine,
    LocalEngineError,
    NoEngineError,
    find_engine,
    is_asked_for,
    sockets,
)

needs_podman = pytest.mark.skipif(PROGRAM is None, reason="podman is not installed")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """A Podman with the image `docker.io/tfnz/docs:latest`, which exposes port 80."""
    directory = tmp_path_factory.mktemp("podman")
    with podman(directory / "storage") as running:
        image = busybox_image(command=["httpd", "-f"], ExposedPorts={"80/tcp": {}})
        files, links = docker_files(image, ["docker.io/tfnz/docs:latest"])
        running.load(archive(directory / "docs.tar", files, links))
        yield running


def in_python(statement: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a statement that may use `Docker` in a Python of its own, with this environment."""
    return subprocess.run(
        [sys.executable, "-c", f"from tfnz.docker import Docker; {statement}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.covers("tfnz.docker.Docker", "Docker.description")
@needs_podman
@pytest.mark.parametrize(
    "name", ["tfnz/docs", "tfnz/docs:latest", "docker.io/tfnz/docs", "docker.io/tfnz/docs:latest"]
)
def test_every_spelling_of_a_name_is_understood(engine: Podman, name: str) -> None:
    """With and without the host and the tag; what concerns the engine alone is left out."""
    done = in_python(f"import json; print(json.dumps(Docker.description({name!r})))", DOCKER_HOST=engine.host)

    assert done.returncode == 0, done.stderr
    assert '"ExposedPorts": {"80/tcp": {}}' in done.stdout
    assert "GraphDriver" not in done.stdout


@needs_podman
@pytest.mark.parametrize("digits", [12, 64])
def test_ids_are_understood(engine: Podman, digits: int) -> None:
    """The short one of 12 digits, and the full one with and without its prefix."""
    full = engine.inspect("tfnz/docs")["Id"]
    local = LocalEngine(os.fspath(engine.socket))

    found = local.inspect(full.removeprefix("sha256:")[:digits])

    assert found is not None
    assert found["Id"] == full
    assert local.inspect(full) is not None


@pytest.mark.covers("Docker.tarball")
@needs_podman
def test_a_saved_image_can_be_read(engine: Podman) -> None:
    """The stream of Podman is an archive with the image's one layer."""
    saved = io.BytesIO()
    LocalEngine(os.fspath(engine.socket)).save("tfnz/docs", saved)

    size = len(saved.getvalue())

    done = in_python("print(len(Docker.tarball('tfnz/docs')))", DOCKER_HOST=engine.host)

    assert done.stdout.strip() == str(size), done.stderr
    with read_archive(saved, "saved") as image:
        assert len(image.layers) == 1
        assert "docker.io/tfnz/docs:latest" in image.names


@pytest.mark.covers("Docker.last_image", "tfnz.location.last_image", "tf .")
@needs_podman
def test_the_last_image_is_the_newest(engine: Podman, tmp_path: Path) -> None:
    """An image that was made later comes first, whatever its name."""
    old = engine.load(busybox_archive(tmp_path / "old.tar", command=["a"]), "localhost/old:1")
    built = tmp_path / "Containerfile"
    built.write_text("FROM localhost/old:1\nLABEL built=yes\n")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as sent:
        sent.add(built, "Containerfile")
    status, answer = engine.ask(
        "POST", "/build?dockerfile=Containerfile&t=localhost/new:1", context.getvalue()
    )
    assert status == 200, answer
    new = engine.inspect("localhost/new:1")["Id"]

    done = in_python(
        "from tfnz.location import last_image; print(Docker.last_image(), last_image())",
        DOCKER_HOST=engine.host,
    )

    assert new != old
    assert done.stdout.split() == [new.removeprefix("sha256:")[:12]] * 2, done.stderr
    engine.remove("localhost/new:1")


@needs_podman
def test_an_image_that_is_not_there(engine: Podman) -> None:
    """It is a RuntimeError that names the image, and no hint is printed: there is an engine."""
    done = in_python("Docker.description('nothing/such')", DOCKER_HOST=engine.host)

    assert "RuntimeError: image 'nothing/such' is not known" in done.stderr
    assert "To use the local ones" not in done.stderr


def test_without_an_engine_there_is_a_hint(tmp_path: Path) -> None:
    """What to do is said on stderr, and each socket that was tried in the error."""
    missing = tmp_path / "none.sock"

    done = in_python("Docker.last_image()", DOCKER_HOST=f"unix://{missing}")

    assert "To use the local ones" in done.stderr
    assert f"{missing}: is not there" in done.stderr


@pytest.mark.covers("Docker.docker_socket", "Docker.docker_url_base", "Docker.session")
@needs_podman
def test_a_program_may_set_the_socket(engine: Podman) -> None:
    """Where DOCKER_HOST is not set, the attribute counts."""
    statement = (
        f"Docker.docker_socket = {os.fspath(engine.socket)!r}; print(Docker.description('tfnz/docs')['Id'])"
    )
    base = "print(Docker.docker_url_base, Docker.session)"

    assert engine.inspect("tfnz/docs")["Id"] in in_python(statement, DOCKER_HOST="").stdout
    assert in_python(base).stdout.strip() == "http+unix://%2Fvar%2Frun%2Fdocker.sock None"


def test_the_order_of_sockets() -> None:
    """DOCKER_HOST stands alone; else Docker's socket comes before Podman's."""
    assert sockets({"DOCKER_HOST": "unix:///a"}) == ["/a"]
    assert sockets({"XDG_RUNTIME_DIR": "/run/user/7"}) == [
        "/var/run/docker.sock",
        "/run/user/7/docker.sock",
        "/run/user/7/podman/podman.sock",
        "/run/podman/podman.sock",
    ]
    with pytest.raises(NoEngineError, match="tcp://host:2375; only unix:///PATH is understood"):
        sockets({"DOCKER_HOST": "tcp://host:2375"})


@contextmanager
def answering(directory: Path, reply: bytes | None) -> Iterator[LocalEngine]:
    """An engine that answers each request with these bytes, or with None only hangs up."""
    path = directory / "engine.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    if reply is not None:
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield LocalEngine(os.fspath(path))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


BAD_REPLIES = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "hang-up": None,
    "cut": b'HTTP/1.0 200 OK\r\n\r\n{"Id": "sha',
    "no object": b"HTTP/1.0 200 OK\r\n\r\n[1]",
    "error": b'HTTP/1.0 500 Internal Server Error\r\n\r\n{"message": "out of order"}',
    "redirect": b"HTTP/1.0 301 Moved\r\nLocation: /elsewhere\r\n\r\n",
}


@pytest.mark.parametrize("reply", BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_an_engine_that_misbehaves(tmp_path: Path, reply: bytes | None) -> None:
    """Whatever it answers is one clear error, and none of its answers is taken for an image."""
    with answering(tmp_path, reply) as local, pytest.raises(LocalEngineError):
        local.inspect("nginx")


@pytest.mark.parametrize(
    "reply", [None, b"HTTP/1.0 404 Not Found\r\n\r\n", b'HTTP/1.0 500 x\r\n\r\n{"message": 5}']
)
def test_a_save_that_fails(tmp_path: Path, reply: bytes | None) -> None:
    """It is an error that names the image or the socket."""
    with answering(tmp_path, reply) as local, pytest.raises(LocalEngineError, match="nginx"):
        local.save("nginx", io.BytesIO())


def test_no_permission_is_said(tmp_path: Path) -> None:
    """A socket that nobody listens on, or that is none, is told for what it is."""
    (tmp_path / "file").write_text("")

    with pytest.raises(NoEngineError, match="file: Connection refused"):
        find_engine(os.fspath(tmp_path / "file"))


@given(st.text())
def test_only_names_are_asked_for(name: str) -> None:
    """What an engine is asked for cannot mean another path, a query, or a second request."""
    if is_asked_for(name):
        assert not set(name) & set(" ?#%\\\r\n\0")
        assert ".." not in name.split("/")
