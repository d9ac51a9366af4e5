"""An image whose container runs `peer.py`: Debian's Python and one file."""

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = "base-files,base-passwd,busybox-static,python3.11-minimal,libpython3.11-stdlib"
LIMIT = 300


def build(output: Path, work: Path) -> None:
    """Write the image to `output` as an OCI archive, using the empty directory `work`.

    Needs root, mmdebstrap and umoci; raises subprocess.SubprocessError where one of them fails.
    """
    rootfs, layout = work / "rootfs", work / "layout"
    _run(
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=extract",
        f"--include={PACKAGES}",
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
    shutil.copy(Path(__file__).with_name("peer.py"), rootfs / "peer.py")
    image = f"{layout}:latest"
    _run("umoci", "init", "--layout", layout)
    _run("umoci", "new", "--image", image)
    _run("umoci", "insert", "--image", image, rootfs, "/")
    _run(
        *("umoci", "config", "--image", image, "--no-history"),
        *("--config.entrypoint", "/usr/bin/python3.11", "--config.entrypoint", "/peer.py"),
        *("--config.env", "PATH=/usr/bin:/bin", "--config.exposedports", "80/tcp"),
    )
    _run("tar", "-C", layout, "-cf", output, "oci-layout", "index.json", "blobs")


def _run(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        build(Path(sys.argv[1]), Path(directory))
