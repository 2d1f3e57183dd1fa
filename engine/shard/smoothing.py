"""Negative horizons: each missing step once more, some steps later, both ends of its gap known."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Forecast, Ints, State
from gapcast.engine.shard.kernels import smoothing as kernel
from gapcast.engine.shard.results import Steps

MEMORY = 4 * 86_400_000_000
"""What gaps are like is forgotten with this time constant, in microseconds (four days)."""


class Lagged:
    """What became of the steps some steps ago, of the targets of a shard.

    lags: how many steps ago, ascending. All that changes is in `state`, targets leading.
    """

    def __init__(self, targets: int, lags: Sequence[int]) -> None:
        self.lags = list(lags)
        shape = (targets, max(self.lags, default=0))
        self.state: State = {
            "truth": np.full(shape, np.nan),
            "status": np.ones(shape, np.uint8),
            "age": np.zeros(shape, np.int32),
            "flag": np.zeros(shape, np.uint8),
        }

    def push(self, steps: Steps) -> list[Steps]:
        """Take in the next steps; for each lag, the steps that lie so far back of them."""
        if not self.lags:
            return []
        T, depth = len(steps.truth), self.lags[-1]
        lines = []
        for name, new in vars(steps).items():
            line = np.concatenate([self.state[name].T, new])
            lines.append(line)
            self.state[name] = np.ascontiguousarray(line[len(line) - depth :].T)
        return [
            Steps(*(line[depth - lag : depth - lag + T] for line in lines)) for lag in self.lags
        ]


class Smoother:
    """Estimates the missing steps of one model's targets anew, `lags` steps later.

    A nowcast in a gap is corrected by how far off it was at the gap's far end, as much as an error
    that fades like a first-order autoregression would have been there before (Rauch, Tung &
    Striebel 1965, in closed form for one gap). Where the model says what it holds without the
    target's past (`Forecast.reference`), the rate of fading is the target's own, and gaps are
    rehearsed on steps that were seen: where a straight line from end to end does better, it takes
    over. Of truth withheld from the model it sees nothing.
    """

    def __init__(
        self, targets: int, lags: Sequence[int], interval: int, period: Floats | None = None
    ) -> None:
        """period: (targets,) after which their quantities begin anew, 0: never; None: all never."""
        self._period = np.zeros(targets) if period is None else period
        self.lags: Ints = np.array(lags, np.int64)
        self.forgetting = exp(-interval / MEMORY)
        depth = int(max(lags, default=0)) + kernel.REACH + 1 if len(lags) else 0
        self.state: State = {
            "past": np.full((targets, 5, depth), np.nan),
            "ages": np.zeros((targets, depth), np.int64),
            "evidence": np.zeros((targets, len(kernel.CLASSES), 3)),
            "carry": np.zeros((targets, 3)),
        }

    def step(
        self, forecast: Forecast, nowcast: int, own: Floats, age: NDArray[np.int32], first: int
    ) -> Floats:
        """Take in a frame's forecasts, whose horizon 0 stands at place `nowcast`, with the truths
        the model may see; (3, T, N, L) mean and bounds of the steps `lags` before."""
        out = np.empty((3, *own.shape, len(self.lags)))
        made = np.stack([a[..., nowcast] for a in (forecast.mean, forecast.lower, forecast.upper)])
        reference = forecast.reference
        if reference is None:
            reference = np.full(own.shape, np.nan)
        kernel.smooth(
            own, made, reference, age, first, self.lags, self.forgetting, self._period,
            *self.state.values(), out,
        )  # fmt: skip
        return out
