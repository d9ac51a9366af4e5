"""A progress bar for uploads: bytes, rate and time left; on a terminal alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def upload_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give what is to be told (bytes done, bytes in all), None where nobody looks at a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as shown:
        bar = _Bar(shown)
        yield bar.show


class _Bar:
    """Appears with the first report; log lines go above it."""

    def __init__(self, shown: ExitStack) -> None:
        self._shown = shown
        self._update: Callable[[int], object] | None = None
        self._done = 0

    def show(self, done: int, total: int) -> None:
        if self._update is None:
            from tqdm import tqdm  # type: ignore[import-untyped]  # Debian packages no stubs
            from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

            tqdm.monitor_interval = 0  # a thread of its own for a bar that is told ten times a second
            self._shown.enter_context(logging_redirect_tqdm())
            bar = tqdm(desc="Uploading", total=total, unit="B", unit_scale=True, unit_divisor=1024)
            self._update = self._shown.enter_context(bar).update
        self._update(done - self._done)
        self._done = done
