"""A real Chromium without a window, driven over its DevTools protocol by a pipe."""

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

LIMIT = 60.0
STOP_LIMIT = 20.0


class Page:
    """One tab of a given size and preferred colour scheme."""

    def __init__(self, browser: "Browser", width: int, scheme: Literal["light", "dark"]) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Log.enable")
        self.call("Runtime.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for a method of the protocol within this tab."""
        return self._browser.call(method, self._session, **params)

    def scripts(self, allowed: bool) -> None:
        """Let scripts run, or not."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        self._browser.events.clear()
        self.call("Page.navigate", url=url)
        self._browser.wait_for("Page.loadEventFired", self._session)

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression of JavaScript; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Give what stands in the console so far: blocked content, failed requests, exceptions."""
        told = []
        for event in self._browser.events:
            if event["method"] == "Log.entryAdded":
                told.append(str(event["params"]["entry"]["text"]))
            elif event["method"] == "Runtime.exceptionThrown":
                told.append(str(event["params"]["exceptionDetails"]))
        return told

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page, as long as it is."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, reading: int, writing: int) -> None:
        self.events: list[dict[str, Any]] = []
        """What it told without being asked, since the latest page was opened."""
        self._reading = reading
        self._writing = writing
        self._buffer = b""
        self._number = 0

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """Ask for a method of the protocol and give its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + LIMIT
        while (answer := self._receive(end)).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, event: str, session: str) -> None:
        """Wait until it tells of an event."""
        end = time.monotonic() + LIMIT
        while not any(told["method"] == event and told.get("sessionId") == session for told in self.events):
            self.events.append(self._receive(end))

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._reading], [], [], max(0, end - time.monotonic()))[0], "no answer"
            data = os.read(self._reading, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """Give a Chromium with a profile in `directory`; end it and all its processes."""
    theirs, writing = os.pipe()
    reading, told = os.pipe()
    # Out of the way of 3 and 4, which the child's shell puts them on.
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (theirs, told)]
    os.close(theirs)
    os.close(told)
    command = (
        f"exec chromium --headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars "
        f"--user-data-dir={directory / 'profile'} --remote-debugging-pipe 3<&{high[0]} 4>&{high[1]}"
    )
    process = subprocess.Popen(
        ["bash", "-c", command],
        pass_fds=high,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for number in high:
        os.close(number)
    made = Browser(reading, writing)
    try:
        yield made
        with contextlib.suppress(OSError, AssertionError):
            made.call("Browser.close")
            process.wait(STOP_LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(reading)
        os.close(writing)
