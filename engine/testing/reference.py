"""What the kit of backends holds them against: a plain backend, and models that show mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.forecaster import Floats, Forecast, Forecaster, Frame, Layout, Needs, State
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.shard.results import Ending, StepResult


class Reference(Backend):
    """One shard of all targets, stepped where it is read. Nothing could be plainer."""

    batch = 100_000

    @contextmanager
    def workers(self, work: Work) -> Iterator[Workers]:
        """This thread."""
        yield OneShard(work)


class OneShard(Workers):
    """Steps the one shard when it is sent a frame."""

    def __init__(self, work: Work) -> None:
        (self.shard,) = work.begin(work.shares(1))

    def step(self, frame: GridFrame) -> Callable[[], StepResult]:
        """Step it at once."""
        result = self.shard.step(frame)
        return lambda: result

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The shard's own."""
        return self.shard.snapshot()

    def finish(self) -> Ending:
        """The shard's own."""
        return self.shard.finish()

    def alive(self) -> tuple[int, int, int]:
        """One thread, which is this one."""
        return 1, 1, 1


class Plain(Forecaster):
    """A unit a target: its last value and its mean, its neighbours', another quantity."""

    horizons = (0, 5)

    def needs(self) -> Needs:
        """Every other sensor, humidity too."""
        return Needs(Neighbours(all=True), ("humidity",))

    def start(self, layout: Layout) -> State:
        """Nothing seen."""
        return {"last": np.full(layout.n, 15.0), "mean": np.zeros(layout.n)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Mean of what is seen around, then learn, then the same for later steps."""
        out, last, mean = Forecast.empty(frame), _floats(state["last"]), _floats(state["mean"])
        for t in range(frame.t):
            now = _around(last + mean, frame, t)
            seen = ~np.isnan(frame.own[t])
            last[seen] = frame.own[t][seen]
            mean += 0.1 * (last - mean)
            for i, h in enumerate(frame.layout.horizons):
                out.mean[t, :, i] = now if h == 0 else last + h * (now - mean) / 9
            out.lower[t], out.upper[t] = out.mean[t] - 1, out.mean[t] + 1
        return out


def _floats(array: NDArray[Any]) -> Floats:
    """The array itself, by its type."""
    return array


def _around(own: Floats, frame: Frame, t: int) -> Floats:
    """Mean of a target's own two numbers and all that it may see of step t."""
    total, n = own, np.full(frame.layout.n, 2.0)
    near = frame.layout.regressors.reshape(frame.layout.n, -1)
    for c in range(near.shape[1]):
        there = near[:, c] >= 0
        total, n = _plus(total, n, np.where(there, frame.values[t, near[:, c]], np.nan))
    for q in range(frame.companions.shape[2]):
        total, n = _plus(total, n, frame.companions[t, :, q])
    around: Floats = total / n
    return around


def _plus(total: Floats, n: Floats, value: Floats) -> tuple[Floats, Floats]:
    seen = ~np.isnan(value)
    return np.where(seen, total + value, total), n + seen


class Joint(Forecaster):
    """A unit a block of three series: one level for all of its targets."""

    def needs(self) -> Needs:
        """Blocks of three."""
        return Needs(block=3)

    def start(self, layout: Layout) -> State:
        """One level and one count of steps a unit."""
        return {"level": np.full(layout.u, 10.0), "n": np.zeros(layout.u, np.int64)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """The unit's level, which follows the values its targets show, withheld ones left out."""
        out, units, level = Forecast.empty(frame), frame.layout.units, _floats(state["level"])
        for t in range(frame.t):
            out.mean[t] = level[units][:, None]
            seen = np.flatnonzero(~np.isnan(frame.own[t]))
            total, n = np.zeros(frame.layout.u), np.zeros(frame.layout.u, np.int64)
            np.add.at(total, units[seen], frame.own[t, seen])
            np.add.at(n, units[seen], 1)
            level[n > 0] += 0.3 * (total[n > 0] / n[n > 0] - level[n > 0])
            state["n"][:] = state["n"] + n  # type: ignore[operator]
        return out


class Fails(Plain):
    """Gives up at a step."""

    class Params(plugin.Params):
        at: int = Field(description="Index of the step, counted from 1970.")

    params: Params

    def step(self, state: State, frame: Frame) -> Forecast:
        """Raises when the step has come."""
        if frame.first + frame.t > self.params.at:
            raise ValueError("the kit's model gives up")
        return super().step(state, frame)
