"""A real browser, driven over its debugging pipe: what pages do in it, what its console says."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 60
"""Seconds that a page has for what is waited for."""


class Browser:
    """Chromium with one page. said: what the console said, errors and refusals among it."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self.said: list[str] = []
        self._numbers = itertools.count(1)
        self._rest = b""
        (into, self._to), (self._from, out) = os.pipe(), os.pipe()
        # The browser reads from its descriptor 3 and writes to 4.
        shell = f'exec "$0" "$@" 3<&{into} 4>&{out}'
        self._process = subprocess.Popen(
            [
                "bash", "-c", shell, CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
                "--disable-background-networking", f"--user-data-dir={folder / 'profile'}",
                "about:blank",
            ],
            pass_fds=(into, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(into)
        os.close(out)
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(30)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the browser's and wait for what it gives."""
        number = next(self._numbers)
        call = {"id": number, "method": method, "params": params}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._to, json.dumps(call).encode() + b"\0")
        while True:
            message = self._hear()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, url: str) -> None:
        """Go to a page."""
        self.ask("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What an expression of JavaScript is on the page."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Its value, as soon as that is true."""
        end = time.monotonic() + PATIENCE
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"never true: {script}; console: {self.said}"
            select.select([self._from], [], [], 0.05)
        return found

    def picture(self, path: Path) -> None:
        """What is to be seen, as a PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        told = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(a.get("value")) for a in told["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.said.append(json.dumps(told["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded":
            self.said.append(f"{told['entry']['level']}: {told['entry']['text']}")
        return message
