"""An image whose container runs `peer.py`: Debian's Python and one file."""

import sys
from pathlib import Path

from tests.support import debian_image

PACKAGES = "python3.11-minimal,libpython3.11-stdlib"


def build(output: Path, work: Path) -> None:
    """Write the image to `output` as an OCI archive, using the empty directory `work`.

    Needs root, mmdebstrap and umoci; raises subprocess.SubprocessError where one of them fails.
    """
    debian_image.build(
        output,
        work,
        PACKAGES,
        files={"peer.py": Path(__file__).with_name("peer.py")},
        entrypoint=["/usr/bin/python3.11", "/peer.py"],
        port=80,
    )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        build(Path(sys.argv[1]), Path(directory))
