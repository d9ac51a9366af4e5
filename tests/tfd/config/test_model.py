"""The values of a configuration: what makes them equal, and what makes a container another one."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfd.config.model import Container, FileSource, Health, Restart, is_local_image
from tfd.config.reader import load
from tfd.protocol.address import Address

WEB = Container("web", "nginx")
FILE = FileSource(None, b"x", b"digest")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("127.0.0.1", 80), "127.0.0.1:80"),
        (Address("::1", 80), "[::1]:80"),
        (Address("web.example", 80), "web.example:80"),
        (Address(path="/run/web"), "unix:/run/web"),
    ],
)
def test_address_text(address: Address, text: str) -> None:
    """An address is printed as the configuration writes it."""
    assert text == str(address)
    assert address.is_unix == text.startswith("unix:")


@pytest.mark.parametrize(
    ("image", "local"),
    [
        ("nginx", False),
        ("registry.example:5000/nginx", False),
        ("/srv/webapp.tar", True),
        ("oci:/srv/webapp", True),
        ("oci-archive:/srv/webapp.tar", True),
        ("docker-archive:/srv/webapp.tar", True),
    ],
)
def test_local_images(image: str, local: bool) -> None:
    """An image on this machine is told from a reference."""
    assert local == is_local_image(image)


@pytest.mark.parametrize(
    "changed",
    [
        replace(WEB, name="other"),
        replace(WEB, restart=Restart.NO),
        replace(WEB, health=Health(80)),
        replace(WEB, locations=("attic",)),
        replace(WEB, connects_to=("db",)),
        replace(WEB, enabled=False),
    ],
)
def test_changes_in_place(changed: Container) -> None:
    """What changes in place makes another value and the same identity."""
    assert changed != WEB
    assert WEB.identity() == changed.identity()


CHANGES = [
    replace(WEB, image="apache"),
    replace(WEB, image_stamp="1-2"),
    replace(WEB, command=()),
    replace(WEB, command=("a", "b")),
    replace(WEB, command=("ab",)),
    replace(WEB, entrypoint=("a", "b")),
    replace(WEB, environment=(("a", "b"),)),
    replace(WEB, volumes=(("a", "b"),)),
    replace(WEB, files=(("/a", FILE),)),
    replace(WEB, files=(("/a", replace(FILE, digest=b"other")),)),
    replace(WEB, files=(("/a", replace(FILE, mode=0o600)),)),
    replace(WEB, memory=1),
    replace(WEB, cpus=1.0),
    replace(WEB, processes=1),
]


def test_changes_that_replace() -> None:
    """Each thing that a running container cannot change makes another identity."""
    identities = {changed.identity() for changed in [WEB, *CHANGES]}

    assert len(CHANGES) + 1 == len(identities)


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_identity_of_lists(one: list[str], other: list[str]) -> None:
    """Two commands have the same identity only if they are the same."""
    identities = [replace(WEB, command=tuple(words)).identity() for words in (one, other)]

    assert (one == other) == (identities[0] == identities[1])


def test_identity_is_stable() -> None:
    """The identity is the same in every process, so that a restarted daemon adopts its containers."""
    program = "from tfd.config.model import Container; print(Container('web', 'nginx').identity().hex())"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert WEB.identity().hex() == "ddc65c8d9cd564fb28b187f3031a2f3b7b151958fb922a9b4512f231dd778fcd"
    assert WEB.identity().hex() == output.stdout.strip()


def configured(tmp_path: Path, line: str) -> Callable[[], Container]:
    """Write a configuration with `line` in its container, and give what reads it anew."""
    path = tmp_path / "tfd.toml"
    path.write_text(f"[container.web]\n{line}\n")
    return lambda: load(path).containers["web"]


def test_changed_file(tmp_path: Path) -> None:
    """A file whose contents change makes another value and another identity at the next reading."""
    (tmp_path / "motd").write_text("one")
    read = configured(tmp_path, 'image = "nginx"\nfiles = { "/etc/motd" = "motd" }')
    first, again = read(), read()
    (tmp_path / "motd").write_text("two")

    assert first == again
    assert first != read()
    assert first.identity() == again.identity() != read().identity()


def test_content_in_place_of_a_file(tmp_path: Path) -> None:
    """Contents written in the configuration are the same container as a file that has the same."""
    (tmp_path / "motd").write_bytes(b"x" * 200_000)
    file = configured(tmp_path, 'image = "nginx"\nfiles = { "/etc/motd" = "motd" }')()
    content = "x" * 200_000
    written = configured(
        tmp_path, f'image = "nginx"\nfiles = {{ "/etc/motd" = {{ content = "{content}" }} }}'
    )()

    assert file.identity() == written.identity()


@pytest.mark.parametrize("image", ["./app.tar", "docker-archive:app.tar", "oci-archive:app.tar:v1"])
def test_changed_archive(tmp_path: Path, image: str) -> None:
    """An archive that was built anew makes another identity."""
    (tmp_path / "app.tar").write_bytes(b"one")
    read = configured(tmp_path, f'image = "{image}"')
    first = read()
    (tmp_path / "app.tar").write_bytes(b"three")

    assert first.identity() != read().identity()


def test_changed_layout(tmp_path: Path) -> None:
    """An OCI layout whose index was written anew makes another identity."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "index.json").write_text("{}")
    read = configured(tmp_path, 'image = "oci:app"')
    first = read()
    (tmp_path / "app" / "index.json").write_text('{"manifests": []}')

    assert first.identity() != read().identity()
