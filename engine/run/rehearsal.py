"""Rehearsing models before a run: kernels are compiled, and a model that breaks its contract shows.

    python -m gapcast.engine.run.rehearsal

is a second process that rehearses the plans it is sent, so that kernels are compiled on two cores:
Numba compiles one at a time in a process. What it has compiled the first one finds in the cache.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numba.core import event

from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.shard import plan as plans
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import Shard

STEPS = 200
"""Steps of a rehearsal: enough for models that change their ways after a day of half-hours."""


def rehearse(plan: Plan) -> None:
    """Step a shard of `plan` through made-up values; its state is thrown away."""
    shard = Shard(replace(plan, how=Evaluation()))
    columns = len(plan.layouts[0].series)
    wave = np.sin(np.arange(STEPS) / 7)[:, None] + np.arange(columns, dtype=float)
    shard.step(GridFrame(0, wave, np.full_like(wave, np.nan)))


def only(plan: Plan, model: int) -> Plan:
    """The plan of one of its models."""
    return replace(plan, models=(plan.models[model],), layouts=(plan.layouts[model],))


@contextmanager
def compilations(tell: Callable[[int], None]) -> Iterator[None]:
    """Within it, `tell` is given the number of functions compiled so far, after each; those that
    the cache has are none."""

    class Count(event.Listener):  # type: ignore[misc]
        def __init__(self) -> None:
            self.n = 0

        def on_start(self, event: Any) -> None:
            pass

        def on_end(self, event: Any) -> None:
            self.n += 1
            tell(self.n)

    with event.install_listener("numba:compile", Count()):
        yield


@contextmanager
def without_collection() -> Iterator[None]:
    """Within it no garbage is collected: a tenth of the time to compile goes into looking for some
    among what numba still needs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class SecondProcess:
    """Rehearses models of a plan, while the first process begins with something else.

    The first model first, for what all models share, so that no process compiles it again; then
    from the last one on, towards the first process.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._left = [*range(1, len(plan.models)), 0]
        self._begun: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._sender = threading.Thread(target=self._send, name="gapcast-rehearsal", daemon=True)
        self._sender.start()

    def take(self, model: int) -> None:
        """The first process is about to rehearse `model`: waits where the second one is at it."""
        with self._lock:
            if model in self._left:
                self._left.remove(model)
            begun = self._begun.get(model)
        if begun is not None:
            begun.wait()

    def close(self) -> None:
        """End the process, whatever it is at."""
        with self._lock:
            self._left.clear()
        self._process.kill()
        self._sender.join()
        self._process.wait()

    def _send(self) -> None:
        """Send one plan after the other; what goes wrong there, the first process meets, too."""
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        with suppress(OSError), into, out:  # the process may be gone
            while (model := self._next()) is not None:
                try:
                    _write(into, wire.pack(only(self._plan, model).parcel()).to_pybytes())
                    out.readline()
                finally:
                    self._begun[model].set()

    def _next(self) -> int | None:
        with self._lock:
            if not self._left or self._process.poll() is not None:
                return None
            model = self._left.pop()
            self._begun[model] = threading.Event()
            return model


def _write(file: IO[bytes], blob: bytes) -> None:
    file.write(len(blob).to_bytes(8, "big") + blob)
    file.flush()


def main() -> None:
    """Rehearse the plans that come on standard input, each after its length; a line for each."""
    gc.disable()
    while length := sys.stdin.buffer.read(8):
        blob = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        try:
            rehearse(plans.of_parcel(wire.unpack(blob)))
        finally:
            print(flush=True)


if __name__ == "__main__":
    main()
