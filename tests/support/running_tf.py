"""A `tf` that a person runs, and the page that its container serves."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.user import LIMIT, User
from tests.support.waiting import wait_for


def page(port: int, host: str = "127.0.0.1") -> bytes:
    """Fetch the page that a container serves, tried until it answers."""

    def fetched() -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            return None

    content = wait_for(fetched, LIMIT, f"a page on port {port}")
    assert content is not None
    return content


@contextmanager
def running(user: User, directory: Path, *arguments: str, **how: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A `tf` that runs, and what its --json file says once all is there; it is ended with SIGTERM."""
    file = directory / "run.json"
    with user.start("--json", str(file), *arguments, log=directory / "log", **how) as process:
        try:

            def written() -> dict[str, Any] | None:
                assert process.poll() is None, (directory / "log").read_text()
                document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
                return document if "tunnels" in document else None

            document = wait_for(written, LIMIT, "the --json file")
            assert document is not None
            yield process, document
        finally:
            process.terminate()
            process.wait(LIMIT)
