"""The `persistence` forecaster: the last value seen, at every horizon."""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine import spread
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, State


class Persistence(Forecaster):
    """Holds the last value seen. The yardstick that any other model has to beat.

    Cost: one comparison a step and horizon. Interval: from its own past errors.
    """

    horizons = (0, 1_000_000)

    def start(self, layout: Layout) -> State:
        """Nothing seen yet."""
        return {"last": np.full(layout.n, np.nan), **spread.start(layout)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast the last value seen, then note this step's."""
        mean = np.empty((frame.t, frame.layout.n, len(frame.layout.horizons)))
        _hold(frame.own, frame.layout.horizons, state["last"], mean)
        return spread.around(mean, state, frame)


@njit(cache=True, nogil=True)
def _hold(own, horizons, last, mean):
    for t in range(len(own)):
        for n in range(len(last)):
            before = last[n]
            if not np.isnan(own[t, n]):
                last[n] = own[t, n]
            for h in range(len(horizons)):
                mean[t, n, h] = before if horizons[h] == 0 else last[n]
