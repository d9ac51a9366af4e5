"""Images of a few of Debian's packages, extracted and not installed, with busybox for the rest."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT = 300
_BASE = "base-files,base-passwd,busybox-static"


def build(
    output: Path,
    work: Path,
    packages: str,
    *,
    files: Mapping[str, Path],
    entrypoint: Sequence[str],
    port: int | None = None,
) -> None:
    """Write an image to `output` as an OCI archive, using the empty directory `work`.

    `packages` are names with commas between them; `files` go to the root directory; `port` is exposed. Needs
    root, mmdebstrap and umoci; raises subprocess.SubprocessError where one of them fails.
    """
    rootfs, layout = work / "rootfs", work / "layout"
    _run(
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=extract",
        f"--include={_BASE},{packages}",
        "bookworm",
        rootfs,
    )
    busybox = rootfs / "bin" / "busybox"
    subprocess.run(["chroot", rootfs, "/bin/busybox", "--install", "-s"], check=True, timeout=LIMIT)
    assert busybox.exists()
    master = rootfs / "usr" / "share" / "base-passwd"
    shutil.copy(master / "passwd.master", rootfs / "etc" / "passwd")
    shutil.copy(master / "group.master", rootfs / "etc" / "group")
    for name in ("usr/share/doc", "usr/share/man", "var/cache", "dev"):
        shutil.rmtree(rootfs / name, ignore_errors=True)
    (rootfs / "dev").mkdir()
    for name, source in files.items():
        shutil.copy(source, rootfs / name)
    image = f"{layout}:latest"
    _run("umoci", "init", "--layout", layout)
    _run("umoci", "new", "--image", image)
    _run("umoci", "insert", "--image", image, rootfs, "/")
    exposed = [f"--config.exposedports={port}/tcp"] if port is not None else []
    _run(
        *("umoci", "config", "--image", image, "--no-history"),
        *(f"--config.entrypoint={word}" for word in entrypoint),
        *("--config.env", "PATH=/usr/bin:/bin", *exposed),
    )
    _run("tar", "-C", layout, "-cf", output, "oci-layout", "index.json", "blobs")


def _run(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
