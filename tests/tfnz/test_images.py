"""Images on their way to a location: from a real Podman, from archives of all kinds, over cut connections."""

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import images
from tests.support.engine import private_engine
from tests.support.forwarder import Forwarder
from tests.support.images import (
    Image,
    archive,
    busybox_image,
    docker_files,
    docker_oci_files,
    layout,
    oci_files,
)
from tests.support.podman import PROGRAM, Podman, podman
from tests.support.product import Location
from tests.support.registry import PROGRAM as REGISTRY
from tests.support.registry import Registry, registry
from tests.support.user import LIMIT, NO_ENGINE, User

pytestmark = pytest.mark.engine

ENSURE = """
import json, re, sys
from tfnz import account
from tfnz.connection import Connection
from tfnz.images import ensure

class Owner:
    def connection_opened(self, welcome): pass
    def connection_ended(self, error): pass
    def callback_failed(self, error): pass

import logging
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
connection = Connection(account.load(account.default_location()), Owner())
connection.open()
def progress(done, total): print(json.dumps({"done": done, "total": total}), flush=True)
try:
    image = ensure(connection, sys.argv[1], progress)
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) << 10
    found = {"image": image.name_to_spawn, "layers": image.layers, "description": image.description}
    print(json.dumps({**found, "peak": peak}))
except (RuntimeError, ValueError) as error:
    print(json.dumps({"error": type(error).__mro__[-4].__name__, "message": str(error)}))
finally:
    connection.close()
"""


class Client(User):
    """A user whose programs ensure images."""

    def begin(self, name: str) -> subprocess.Popen[str]:
        """Begin to ensure an image in a process of its own."""
        return self.start_python(ENSURE, name)

    def ensure(self, name: str) -> dict[str, Any]:
        """Ensure an image; give the result with the log lines as `log` and the reports as `progress`."""
        done = self.python(ENSURE, name)
        assert done.returncode == 0, done.stderr
        told = done.stdout.splitlines()
        log = "\n".join([done.stderr, *(line for line in told if not line.startswith("{"))])
        *reports, result = [json.loads(line) for line in told if line.startswith("{")]
        return {**result, "log": log, "progress": [(one["done"], one["total"]) for one in reports]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry | None]:
    """A registry with the image `pulled`, where there is the program for one."""
    if REGISTRY is None:
        yield None
        return
    directory = tmp_path_factory.mktemp("registry")
    with registry(directory / "data") as running:
        image = archive(directory / "pulled.tar", oci_files({"latest": busybox_image(command=["pulled"])}))
        running.push(f"oci-archive:{image}", "library/pulled:latest")
        yield running


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory, shop: Registry | None) -> Iterator[Location]:
    """A location on an engine of its own, which pulls from the registry alone."""
    extra = "registries = []\n"
    if shop is not None:
        extra = f'registries = ["{shop.address}"]\ninsecure_registries = ["{shop.address}"]\n'
    with private_engine("lxd") as engine:
        running = Location(tmp_path_factory.mktemp("location"), engine, extra=extra)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """A Podman without images."""
    if PROGRAM is None:
        pytest.skip("podman is not installed")
    with podman(tmp_path_factory.mktemp("podman") / "storage") as running:
        yield running


@pytest.fixture
def join(tmp_path: Path, location: Location) -> Callable[[str], Client]:
    """Makes a user of this name with an account of its own and no local engine."""

    def made(name: str) -> Client:
        client = Client(tmp_path / name)
        client.join(location, f"{tmp_path.name[:40]}-{name}".replace("_", "-"))
        return client

    return made


@pytest.fixture
def client(join: Callable[[str], Client]) -> Client:
    """One user."""
    return join("user")


def known(location: Location) -> str:
    """What the location tells of its images."""
    done = location.command("--config", location.config, "image", "list")
    assert done.returncode == 0, done.stderr
    return done.stdout


def saved_in_the_old_way(path: Path, image: Image) -> Path:
    """Write what docker save wrote until version 24."""
    files, links = docker_files(image, ["docker.io/tfnz/old:latest"])
    return archive(path, files, links)


def compressed(path: Path, image: Image) -> Path:
    """Write an OCI archive through gzip."""
    plain = archive(path.with_suffix(".plain"), oci_files({"latest": image}))
    path.write_bytes(images.compressed(plain.read_bytes(), "gzip"))
    return path


WRITERS: dict[str, Callable[[Path, Image], str]] = {
    "oci-archive": lambda path, image: f"oci-archive:{archive(path, oci_files({'latest': image}))}",
    "bare path": lambda path, image: str(archive(path, oci_files({"latest": image}))),
    "compressed": lambda path, image: str(compressed(path, image)),
    "oci": lambda path, image: f"oci:{layout(path, oci_files({'latest': image}))}",
    "directory": lambda path, image: str(layout(path, oci_files({"latest": image}))),
    "docker save of today": lambda path, image: (
        f"docker-archive:{archive(path, docker_oci_files(image, ['n:1']))}"
    ),
    "docker save of yesterday": lambda path, image: f"docker-archive:{saved_in_the_old_way(path, image)}",
}


@pytest.mark.covers("Location.ensure_image_uploaded")
def test_every_kind_of_archive(tmp_path: Path, client: Client) -> None:
    """Each one is the same image at the location, whose layer goes there once."""
    image = busybox_image(command=["kinds"], ExposedPorts={"80/tcp": {}})

    answers = {kind: client.ensure(write(tmp_path / kind, image)) for kind, write in WRITERS.items()}

    for kind, answer in answers.items():
        assert answer.get("image") == image.digest, (kind, answer)
        assert answer["description"]["Config"]["ExposedPorts"] == {"80/tcp": {}}
        assert [f"sha256:{layer}" for layer in answer["layers"]] == [images.digest(image.layers[0])]
    assert "Layers to upload: 1 of 1" in answers["oci-archive"]["log"]
    assert "No layers need uploading for: " in answers["docker save of yesterday"]["log"]


def test_an_image_of_the_local_engine(engine: Podman, client: Client, tmp_path: Path) -> None:
    """It goes up once; an image built on it sends its own layer alone; later neither sends anything."""
    client.docker_host = engine.host
    base = busybox_image(command=["base"], compression="")
    above = Image([*base.layers, images.layer({"etc/above": b"1"})], {"Cmd": ["above"]}, "")
    for name, image in (("base", base), ("above", above)):
        files, links = docker_files(image, [f"docker.io/shop/{name}:latest"])
        engine.load(archive(tmp_path / f"{name}.tar", files, links))

    first, second = client.ensure("shop/base"), client.ensure("shop/above:latest")
    again = client.ensure("shop/above:latest")

    assert re.search(r"Layers to upload: \d of 1|No layers need uploading for: shop/base", first["log"])
    assert "Ensuring layers (2) are uploaded for: shop/above:latest" in second["log"]
    assert "Layers to upload: 1 of 2" in second["log"]
    assert "No layers need uploading for: shop/above:latest" in again["log"]
    assert again["progress"] == []
    assert again["image"] == second["image"]
    assert second["progress"][-1][0] == second["progress"][-1][1] > 0


def test_spellings_and_ids(engine: Podman, client: Client, tmp_path: Path) -> None:
    """A name with or without its tag, the short id, the full one: all are the one image."""
    client.docker_host = engine.host
    files, links = docker_files(busybox_image(command=["spelt"]), ["docker.io/tfnz/spelt:latest"])
    full = engine.load(archive(tmp_path / "spelt.tar", files, links)).removeprefix("sha256:")

    spellings = ["tfnz/spelt", "tfnz/spelt:latest", "docker.io/tfnz/spelt", full[:12], full, f"sha256:{full}"]
    answers = [client.ensure(spelling)["image"] for spelling in spellings]

    assert len(set(answers)) == 1


def test_what_ran_before_runs_without_the_engine(engine: Podman, client: Client, tmp_path: Path) -> None:
    """The location knows the image by the name it came with, for this account."""
    client.docker_host = engine.host
    files, links = docker_files(busybox_image(command=["before"]), ["docker.io/tfnz/before:latest"])
    engine.load(archive(tmp_path / "before.tar", files, links))
    came = client.ensure("tfnz/before")

    client.docker_host = NO_ENGINE
    later = client.ensure("tfnz/before")

    assert later["image"] == came["image"]
    assert later["layers"] == came["layers"]
    assert later["description"]["Config"]["Cmd"] == ["before"]


def test_a_second_name_is_told_too(engine: Podman, client: Client, tmp_path: Path) -> None:
    """An image that was tagged anew is known at the location under the new name as well."""
    client.docker_host = engine.host
    path = archive(tmp_path / "one.tar", oci_files({"latest": busybox_image(command=["two names"])}))
    engine.load(path, "localhost/first:1")
    came = client.ensure("localhost/first:1")
    engine.load(path, "localhost/second:1")
    client.ensure("localhost/second:1")

    client.docker_host = NO_ENGINE

    assert client.ensure("localhost/second:1")["image"] == came["image"]


def test_another_account_does_not_see_the_name(join: Callable[[str], Client], tmp_path: Path) -> None:
    """Names are an account's own; the error says where it was looked for, and what to do."""
    path = archive(tmp_path / "own.tar", docker_oci_files(busybox_image(command=["own"]), ["secret/own:1"]))
    join("owner").ensure(str(path))

    answer = join("stranger").ensure("secret/own:1")

    assert answer["error"] == "RuntimeError"
    assert "image 'secret/own:1' was found nowhere" in answer["message"]
    assert "To use the local ones" in answer["log"]


def test_a_registry_of_the_location(shop: Registry | None, client: Client) -> None:
    """What neither the engine here nor the location has, the location pulls."""
    if shop is None:
        pytest.skip("docker-registry is not installed")
    first, second = (
        client.ensure(f"{shop.address}/library/pulled"),
        client.ensure(f"{shop.address}/library/pulled"),
    )

    assert first["description"]["Config"]["Cmd"] == ["pulled"]
    assert "location's registries" in first["log"]
    assert "location's registries" not in second["log"]


def damaged(path: Path, files: dict[str, bytes]) -> str:
    """An archive in which the first layer's content has another digest, of the same length."""
    name = max(files, key=lambda one: len(files[one]))
    content = bytearray(files[name])
    content[len(content) // 2] ^= 1
    return str(archive(path, {**files, name: bytes(content)}))


def truncated(path: Path, files: dict[str, bytes]) -> str:
    """An archive that ends in the middle of its largest file."""
    whole = archive(path, files).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return str(path)


def escaping() -> Sequence[bytes]:
    """Layers that try to write outside of the root file system."""
    up = tarfile.TarInfo("../../../../tmp/escaped-by-dots")
    up.size = 7
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as sent:
        sent.addfile(up, io.BytesIO(b"escaped"))
    through = images.layer({"out/escaped-by-link": b"escaped"}, [images.link("out", "/tmp")])
    return content.getvalue(), through


def test_bad_images(tmp_path: Path, client: Client, location: Location) -> None:
    """Damaged, cut short, for other machines, no image at all: a ValueError says so, and nothing stays."""
    spoilt = busybox_image(
        command=["spoilt"], extra=[images.layer({"data": os.urandom(4 << 20)})], compression=""
    )
    good = oci_files({"latest": spoilt})
    foreign = Image([images.busybox_layer()], {"Cmd": ["foreign"]}, architecture="s390x")
    (tmp_path / "text.tar").write_text("no archive")
    bad = {
        truncated(tmp_path / "cut.tar", good): "cut short",
        damaged(tmp_path / "digest.tar", good): "digest",
        str(archive(tmp_path / "foreign.tar", oci_files({"latest": foreign}))): "s390x",
        str(tmp_path / "text.tar"): "is not a tar archive",
        str(tmp_path / "missing.tar"): "No such file",
        f"oci:{tmp_path}": "index.json",
    }
    before = known(location)

    answers = {said: client.ensure(name) for name, said in bad.items()}

    for said, answer in answers.items():
        assert answer.get("error") == "ValueError", answer
        assert said in answer["message"]
    assert known(location) == before


def test_layers_that_try_to_escape(tmp_path: Path, client: Client) -> None:
    """Nothing of them is written outside of the image, whether it is refused or not."""
    for number, layer in enumerate(escaping()):
        image = busybox_image(command=["escape"], extra=[layer])
        path = archive(tmp_path / f"{number}.tar", oci_files({"latest": image}))

        answer = client.ensure(str(path))

        assert answer.get("error", "ValueError") == "ValueError"
    assert not list(Path("/tmp").glob("escaped-by-*"))


def large(path: Path, size: int) -> Path:
    """An archive of an image with so many bytes that do not compress."""
    image = busybox_image(
        command=[path.name], extra=[images.layer({"data": os.urandom(size)})], compression=""
    )
    return archive(path, oci_files({"latest": image}))


def test_an_upload_goes_on_after_a_cut(tmp_path: Path, client: Client, location: Location) -> None:
    """While bytes are on their way the path falls silent, and comes back: the upload ends well."""
    path = large(tmp_path / "large.tar", 96 << 20)
    (address,) = (client.home / ".20ft").glob("*.address")
    with Forwarder(("127.0.0.1", location.port)) as way:
        address.chmod(0o600)
        address.write_text(f"127.0.0.1:{way.port}\n")
        with client.begin(f"oci-archive:{path}") as process:
            assert process.stdout is not None
            reports = []
            for line in process.stdout:
                if line.startswith("{"):
                    reports.append(json.loads(line))
                    if len(reports) == 1:
                        way.hole()
                elif "Have been disconnected from location" in line:
                    way.heal()
            _, log = process.communicate(timeout=LIMIT)

    *progress, result = reports
    assert "image" in result, (result, log)
    assert 0 <= progress[0]["done"] < progress[0]["total"]
    assert any(report["done"] < progress[0]["total"] for report in progress[10:]), "it was not cut"


def test_memory_does_not_grow_with_the_image(tmp_path: Path, client: Client, engine: Podman) -> None:
    """An image of 128 MiB, saved by the engine and sent, costs less than a third of that."""
    client.docker_host = engine.host
    engine.load(large(tmp_path / "memory.tar", 128 << 20), "localhost/memory:1")

    answer = client.ensure("localhost/memory:1")

    assert answer["peak"] < 44 << 20, answer["peak"]


def test_two_send_one_image_at_once(tmp_path: Path, join: Callable[[str], Client]) -> None:
    """Both succeed, and it is one image."""
    path = large(tmp_path / "both.tar", 16 << 20)
    with join("a").begin(str(path)) as one, join("b").begin(str(path)) as other:
        outputs = [process.communicate(timeout=LIMIT)[0] for process in (one, other)]

    first, second = ([line for line in output.splitlines() if '"image"' in line] for output in outputs)
    assert [json.loads(line)["image"] for line in first] == [json.loads(line)["image"] for line in second]
    assert len(first) == 1
