"""The Debian packages as files: what is in them, what they depend on, and that lintian is content."""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.debian import TREE

pytestmark = pytest.mark.slow

LIMIT = 240
NAMES = ("python3-tfd-protocol", "python3-tfnz", "tfd", "tflocation")
MODULES = "./usr/lib/python3/dist-packages/"
PRIVATE = "./usr/share/tfd/"
"""Where the daemon's own modules are."""
DEBIAN = {
    "_cffi_backend": "python3-cffi-backend",
    "aiohttp": "python3-aiohttp",
    "asyncssh": "python3-asyncssh",
    "cryptography": "python3-cryptography",
    "dns": "python3-dnspython",
    "msgpack": "python3-msgpack",
    "nacl": "python3-nacl",
    "sdnotify": "python3-sdnotify",
    "systemd": "python3-systemd",
    "tfd": "python3-tfd-protocol",
    "toml": "python3-toml",
    "tqdm": "python3-tqdm",
    "zmq": "python3-zmq",
}
"""Debian's package of each module that ours may import."""


def run(*command: str | Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def package(packages: Path, name: str) -> Path:
    """The file of a package."""
    (found,) = packages.glob(f"{name}_*.deb")
    return found


def files(packages: Path, name: str) -> set[str]:
    """What a package installs, without directories."""
    lines = run("dpkg-deb", "--contents", package(packages, name)).splitlines()
    return {line.split()[5] for line in lines if not line.startswith("d")}


def depends(packages: Path, name: str) -> dict[str, str]:
    """What a package depends on, with the version that is asked for."""
    field = run("dpkg-deb", "--field", package(packages, name), "Depends")
    pairs = (re.fullmatch(r"(\S+)(?: \((.*)\))?", one.strip()) for one in field.split(","))
    return {found[1]: found[2] or "" for found in pairs if found is not None}


def test_lintian_has_nothing_to_say(packages: Path) -> None:
    """Down to its pedantic and experimental remarks; each override in packaging/debian tells its reason."""
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    (changes,) = packages.glob("*.changes")
    assert run("lintian", "--allow-root", "-EviIL", "+pedantic", changes).strip() == ""


def test_every_override_has_its_reason() -> None:
    """A comment stands above it."""
    overrides = list((Path(__file__).parents[2] / "packaging/debian").rglob("*lintian-overrides"))
    assert overrides
    bare = [
        f"{file.name}: {line}"
        for file in overrides
        for before, line in pairwise(["", *file.read_text().splitlines()])
        if not line.startswith("#") and not before
    ]
    assert bare == []


def test_a_file_is_in_one_package(packages: Path) -> None:
    """The daemon has its own copy of the protocol: one file is all that the small box installs."""
    owners: dict[str, str] = {}
    for name in NAMES:
        for file in files(packages, name):
            assert file not in owners, f"{file} is in {owners[file]} and in {name}"
            owners[file] = name

    assert owners[f"{MODULES}tfd/__init__.py"] == "python3-tfd-protocol"
    assert owners[f"{PRIVATE}tfd/daemon.py"] == "tfd"
    shared = {file.removeprefix(MODULES) for file in owners if file.startswith(f"{MODULES}tfd/")}
    assert shared == {
        "tfd/__init__.py",
        "tfd/py.typed",
        *(file for file in private(owners) if file.startswith("tfd/protocol/")),
    }
    assert shared < private(owners)


def private(paths: Iterable[str]) -> set[str]:
    """Those of the daemon's own modules, without their directory."""
    return {path.removeprefix(PRIVATE) for path in paths if path.startswith(PRIVATE)}


def test_each_package_has_its_part(packages: Path) -> None:
    """Programs, units, configuration, man pages, completion and catalog lie where Debian looks for them."""
    tfd, tflocation, tfnz = (files(packages, name) for name in ("tfd", "tflocation", "python3-tfnz"))
    share = "./usr/share"

    assert {
        "./etc/tfd.toml",
        "./usr/lib/systemd/system/tfd.service",
        "./usr/bin/tfd",
        "./usr/lib/systemd/catalog/tfd.catalog",
        f"{share}/bash-completion/completions/tfd",
        f"{share}/doc/tfd/examples/tfd.toml",
        f"{share}/man/man1/tfd.1.gz",
        f"{share}/man/man5/tfd.toml.5.gz",
        f"{share}/man/man8/tfd.service.8.gz",
    } <= tfd
    assert {
        "./etc/tflocation.toml",
        "./usr/lib/systemd/system/tflocation.service",
        "./usr/bin/tflocation",
        f"{share}/bash-completion/completions/tflocation",
        f"{share}/man/man1/tflocation.1.gz",
        f"{share}/man/man5/tflocation.toml.5.gz",
        f"{share}/man/man8/tflocation.service.8.gz",
    } <= tflocation
    assert {"./usr/bin/tf", "./usr/bin/tfvolumes", f"{share}/man/man1/tf-exec.1.gz"} <= tfnz


def test_configuration_files_are_known_to_dpkg(packages: Path) -> None:
    """An upgrade keeps what an administrator wrote into them."""
    for name in ("tfd", "tflocation"):
        listed = run("dpkg-deb", "--info", package(packages, name), "conffiles").split()
        assert listed == [f"/etc/{name}.toml"]


def test_programs_import_nothing_for_their_start(packages: Path, tmp_path: Path) -> None:
    """The script of a command is isolated from a user's modules, and holds no module that is of no use."""
    for name in NAMES:
        run("dpkg-deb", "--extract", package(packages, name), tmp_path)
    for script in (tmp_path / "usr/bin").iterdir():
        lines = script.read_text().splitlines()
        assert lines[0] == "#!/usr/bin/python3 -I"
        assert "import re" not in lines


def test_parts_of_one_version_go_together(packages: Path) -> None:
    """Who shares the protocol asks for it in its own version; the daemon asks for none of our packages."""
    version = run("dpkg-deb", "--field", package(packages, "tfd"), "Version").strip()
    for name in ("tflocation", "python3-tfnz"):
        asked = depends(packages, name)
        assert asked["python3-tfd-protocol"] == f"= {version}"
        assert asked.keys() & set(NAMES) == {"python3-tfd-protocol"}
    for name in ("tfd", "python3-tfd-protocol"):
        assert depends(packages, name).keys() & set(NAMES) == set()


def imported(directory: Path) -> Iterator[str]:
    """The top-level modules that the files below a directory import, those of Python left out."""
    for file in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("name", NAMES)
def test_what_is_imported_is_depended_upon(packages: Path, tmp_path: Path, name: str) -> None:
    """A package that is installed alone runs; what another package brings in is not relied upon."""
    run("dpkg-deb", "--extract", package(packages, name), tmp_path)
    own = {"python3-tfd-protocol": "tfd", "python3-tfnz": "tfnz"}.get(name, name)
    modules = tmp_path / (PRIVATE if name == "tfd" else MODULES)
    wanted = {DEBIAN[module] for module in imported(modules) if module != own}

    assert wanted <= depends(packages, name).keys()


def test_two_builds_are_the_same(packages: Path, tmp_path: Path) -> None:
    """The packages and the source, byte for byte, wherever the tree lies; into its dist/ unless told."""
    tree = tmp_path / "tree"
    ignored = (".git", ".venv", ".*_cache", "__pycache__", "dist")
    shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns(*ignored), symlinks=True)
    run("git", "init", "--quiet", tree)
    run(tree / "packaging/build-deb")

    assert sums(tree / "dist") == sums(packages)


def sums(directory: Path) -> dict[str, str]:
    """The digest of each file that is to be the same; .buildinfo has the date of the build, as it must."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.iterdir()
        if file.suffix in (".deb", ".dsc", ".xz")
    }
