"""tflocation as a program on an engine in memory, whose content outlives the process.

`python -m tests.support.kept_location CONFIGURATION FILE`: the engine's content is kept in the file.
"""

import pickle
import sys
from pathlib import Path

from tests.support.location import DIGEST
from tests.support.memory_engine import MemoryEngine
from tflocation import logs
from tflocation.config import Config, load
from tflocation.engines.interface import EngineEvent, ImageInfo
from tflocation.images.process import from_config
from tflocation.service import run


class KeptEngine(MemoryEngine):
    """Its content is written to a file at each change, and read at the start."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if path.exists():
            self._memory, self._containers = pickle.loads(path.read_bytes())  # noqa: S301 - our own
        metadata = from_config({"config": {"Cmd": ["/bin/true"]}}, "", "").metadata()
        self.published[DIGEST] = ImageInfo(DIGEST, ("web:latest",), 1, metadata)

    def tell(self, event: EngineEvent) -> None:
        """Write everything before anybody learns of it."""
        self._path.write_bytes(pickle.dumps((self._memory, self._containers)))
        super().tell(event)


def main(configuration: Path, content: Path) -> None:
    """Run until a signal says to end."""

    def engine_of(_config: Config) -> KeptEngine:
        return KeptEngine(content)

    logs.configure("info")
    run(load(configuration, required=True), configuration, engine_of)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
