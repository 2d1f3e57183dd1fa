"""The `ema` forecaster: an exponential moving average of the neighbours' mean."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from gapcast.engine import plugin, spread
from gapcast.engine.config.neighbours import Neighbours
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Needs, State


class Ema(Forecaster):
    """forecast(t) = (1 − α)·forecast(t − 1) + α·(mean of the neighbours at t).

    The target's own values are never used, so a gap changes nothing; a step in which no neighbour
    is seen repeats the last forecast. Horizons above 0 repeat the nowcast.

    Cost: one addition a neighbour and step. Interval: from its own past errors.
    """

    class Params(plugin.Params):
        alpha: float = Field(
            default=0.2, gt=0, le=1, description="Weight of the newest mean, 0 to 1."
        )
        start: float | None = Field(
            default=None, description="Forecast before the first step; by default the first mean."
        )
        neighbours: Neighbours | None = Field(
            default=None, description="Which sensors to average; by default every other one."
        )

    params: Params
    horizons = (0, 1_000_000)

    def needs(self) -> Needs:
        """The neighbours' values of the target's quantity."""
        return Needs(self.params.neighbours or Neighbours(all=True))

    def start(self, layout: Layout) -> State:
        """The forecast before the first step."""
        level = np.nan if self.params.start is None else self.params.start
        return {"level": np.full(layout.n, level), **spread.start(layout)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Move every target's average by each step's neighbours."""
        layout = frame.layout
        mean = np.empty((frame.t, layout.n, len(layout.horizons)))
        _average(frame.values, layout.regressors[:, 0], self.params.alpha, state["level"], mean)
        return spread.around(mean, state, frame)


@njit(cache=True, nogil=True)
def _average(values, neighbours, alpha, level, mean):
    for t in range(len(values)):
        for n in range(len(level)):
            total, seen = 0.0, 0
            for c in neighbours[n]:
                if c >= 0 and not np.isnan(values[t, c]):
                    total += values[t, c]
                    seen += 1
            if seen > 0:
                newest = total / seen
                fresh = np.isnan(level[n])
                level[n] = newest if fresh else (1 - alpha) * level[n] + alpha * newest
            mean[t, n, :] = level[n]
