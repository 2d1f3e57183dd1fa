"""A run in a thread that a test feeds and looks at by HTTP, as a browser or Prometheus does."""

from __future__ import annotations

import json
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from doubles import SCRIPTS, Holds

from gapcast import read_config
from gapcast.engine.run.loop import RunResult
from gapcast.engine.serve.running import run

PATIENCE = 120
"""Seconds for whatever is waited for; kernels may have to be compiled."""
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Watched:
    """A run of steps of a minute, of `sensors` with a quantity t, that reads what `feed` gives it.

    Its sinks: `files`, and one that does not let it end before `let_go`. more: further keys.
    """

    def __init__(self, folder: Path, sensors: list[str], **more: Any) -> None:
        self.folder = folder
        self._script = f"fed-{id(self)}"
        self.fed = SCRIPTS[self._script] = {"a": []}
        self.headers: dict[str, str] = {}
        self._config = {
            "name": "watched",
            "source": {"type": "doubles:Fed", "script": self._script, "at_once": 10_000},
            "grid": {"interval": "1min"},
            "limits": {"t": {"max": 90}},
            "network": {"sensors": sensors},
            "targets": {"quantities": ["t"]},
            "models": {"last": {"type": "persistence", "horizons": [0, 2]}},
            "sinks": {"files": {"type": "files"}, "holds": {"type": "doubles:Holds"}},
            "serve": {"port": 0},
            **more,
        }
        self._told: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._run)
        self.result: RunResult | BaseException | None = None

    def __enter__(self) -> Self:
        Holds.go.clear()
        self._thread.start()
        told = self._told.get(timeout=PATIENCE)
        self.url = told.rpartition(" ")[2]
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        SCRIPTS.pop(self._script, None)

    def feed(self, *rows: tuple[float, str, float]) -> None:
        """Readings: minute, sensor, value."""
        self.fed["a"] += [(minute, sensor, "t", value) for minute, sensor, value in rows]

    def let_go(self) -> None:
        """Let the run end, as soon as its source has."""
        Holds.go.set()

    def finish(self) -> None:
        """End the source; the run delivers all, then waits for `let_go`."""
        self.fed["a"].append("end")

    def end(self) -> RunResult:
        """End the run and wait for it."""
        self.let_go()
        if not self.fed["a"]:  # a run that reads nothing is an error
            self.feed((0, self._config["network"]["sensors"][0], 1.0))
        if "end" not in self.fed["a"]:
            self.finish()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert isinstance(self.result, RunResult), self.result
        return self.result

    def get(self, path: str, **headers: str) -> str:
        """What is answered; raises HTTPError for all but 200."""
        request = urllib.request.Request(self.url + path, headers={**self.headers, **headers})
        with NO_PROXY.open(request, timeout=30) as answer:
            return answer.read().decode()

    def json(self, path: str) -> Any:
        """The same, read."""
        return json.loads(self.get(path))

    def code(self, path: str, method: str = "GET", **headers: str) -> int:
        """The status of an answer."""
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        try:
            with NO_PROXY.open(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def until(self, path: str, true: Any) -> Any:
        """The JSON of `path` as soon as `true` says so of it."""
        pause = threading.Event()
        for _ in range(PATIENCE * 20):
            if true(found := self.json(path)):
                return found
            assert self._thread.is_alive(), self.result
            pause.wait(0.05)
        raise AssertionError(f"never true: {found}")

    def _run(self) -> None:
        try:
            config = read_config(self._config)
            self.result = run(config, self.folder, told=self._told.put)
        except BaseException as error:
            self.result = error
            self._told.put("")
