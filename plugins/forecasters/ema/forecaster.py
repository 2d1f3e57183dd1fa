"""The `ema` forecaster: an exponential moving average of the neighbours' mean."""

from __future__ import annotations

from math import exp

import numpy as np
from numba import njit
from pydantic import Field

from gapcast.engine import plugin, spread
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Needs, State
from gapcast.engine.kernels.uncounted import njit_part
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.state import widened
from gapcast.plugins.forecasters.ema.kernel import choose, compare


class Ema(Forecaster):
    """forecast(t) = (1 − α)·forecast(t − 1) + α·(mean of the neighbours at t).

    The target's own values are not averaged, so a gap changes nothing; a step in which no
    neighbour is seen repeats the last forecast. Horizons above 0 repeat the nowcast. With
    ``neighbours: {correlated: k}`` the target's past says who they are: the k whose difference
    from it has varied least, looked up at every truth; until then the first k.

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
        """The forecast before the first step; no candidate measured yet."""
        level = np.nan if self.params.start is None else self.params.start
        shape = (layout.n, 0 if layout.choose is None else layout.regressors.shape[2])
        return {
            "level": np.full(layout.n, level),
            "weight": np.zeros(shape),
            "offset": np.zeros(shape),
            "strange": np.zeros(shape),
            **spread.start(layout),
        }

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Candidates that join have not been measured."""
        return widened(state, self.start(after))

    def step(self, state: State, frame: Frame) -> Forecast:
        """Move every target's average by each step's neighbours."""
        layout = frame.layout
        mean = np.empty((frame.t, layout.n, len(layout.horizons)))
        neighbours, alpha, level = layout.regressors[:, 0], self.params.alpha, state["level"]
        if layout.choose is None:
            _average(frame.values, neighbours, alpha, level, mean)
        else:
            measures = (state["weight"], state["offset"], state["strange"])
            forgetting = exp(-layout.interval / spread.MEMORY)
            _average_of_best(
                frame.values, frame.own, neighbours, layout.choose, alpha, forgetting, measures,
                level, mean,
            )  # fmt: skip
        return spread.around(mean, state, frame)


@njit(cache=True, nogil=True)
def _average(values, neighbours, alpha, level, mean):
    for t in range(len(values)):
        for n in range(len(level)):
            level[n] = _moved(values[t], neighbours[n], alpha, level[n])
            mean[t, n, :] = level[n]


@njit(cache=True, nogil=True)
def _average_of_best(values, own, candidates, k, alpha, forgetting, measures, level, mean):
    weight, offset, strange = measures
    chosen = np.empty(k, np.int64)
    for n in range(len(level)):
        choose(candidates[n], weight[n], strange[n], chosen)
        for t in range(len(values)):
            level[n] = _moved(values[t], chosen, alpha, level[n])
            mean[t, n, :] = level[n]
            if not np.isnan(own[t, n]):
                compare(
                    own[t, n], values[t], candidates[n], forgetting, weight[n], offset[n],
                    strange[n],
                )  # fmt: skip
                choose(candidates[n], weight[n], strange[n], chosen)


@njit_part
def _moved(values, neighbours, alpha, level):
    """The average, moved by the mean of those neighbours that are seen."""
    total, seen = 0.0, 0
    for c in neighbours:
        if c >= 0 and not np.isnan(values[c]):
            total += values[c]
            seen += 1
    if seen == 0:
        return level
    newest = total / seen
    return newest if np.isnan(level) else (1 - alpha) * level + alpha * newest
