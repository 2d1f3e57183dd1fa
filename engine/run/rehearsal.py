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

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.screening import Screener, ScreeningSpec
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.series import Network
from gapcast.engine.parallel import wire
from gapcast.engine.readings import READINGS, empty
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


def rehearse_grid(network: Network, spec: GridSpec, screen: ScreeningSpec | None) -> None:
    """Compile the kernels of the grid."""
    screener = Screener(network, spec.interval, screen) if screen else None
    grid = Grid(spec, ["nothing"], network, {}, screener)
    grid.add(0, empty(READINGS), 0)
    grid.compile()


_ANY = Network.of([Series("a", "t"), Series("b", "t")])


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
    """Compiles what the first process will need, while that one is busy with something else.

    First the grid, for which it needs to know nothing. Then, once it is given a plan, the first of
    its models, for what all models share, and the others from the last one on, towards the first
    process.
    """

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._left: list[int] = []
        self._begun: dict[int, threading.Event] = {}
        self._given, self._grid = threading.Event(), threading.Event()
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

    def begin(self, plan: Plan) -> None:
        """Rehearse the models of `plan`."""
        self._plan, self._left = plan, [*range(1, len(plan.models)), 0]
        self._given.set()

    def wait_for_grid(self) -> None:
        """Wait until the kernels of the grid are compiled."""
        self._grid.wait()

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
        self._given.set()
        self._process.kill()
        self._sender.join()
        self._process.wait()

    def _send(self) -> None:
        """Send one plan after the other; what goes wrong there, the first process meets, too."""
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        with suppress(OSError), into, out:  # the process may be gone
            out.readline()
            self._grid.set()
            self._given.wait()
            while (model := self._next()) is not None:
                try:
                    assert self._plan is not None
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
    """Compile the grid, then rehearse the plans that come on standard input, each after its length;
    a line on standard output for each."""
    gc.disable()
    try:
        rehearse_grid(_ANY, GridSpec(1), ScreeningSpec())
    finally:
        print(flush=True)
    while length := sys.stdin.buffer.read(8):
        blob = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        try:
            rehearse(plans.of_parcel(wire.unpack(blob)))
        finally:
            print(flush=True)


if __name__ == "__main__":
    main()
