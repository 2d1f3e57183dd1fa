"""The `persistence` forecaster: the last value seen, at every horizon."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, State


class Persistence(Forecaster):
    """Holds the last value seen. The yardstick that any other model has to beat.

    Cost: one comparison a step and horizon. Interval: the engine's, from what
    holding a value has cost at the gap's age.
    """

    horizons = (0, 1_000_000)
    state_version = 2

    def start(self, layout: Layout) -> State:
        """Nothing seen yet."""
        return {"last": np.full(layout.n, np.nan)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast the last value seen, then note this step's."""
        mean = np.empty((frame.t, frame.layout.n, len(frame.layout.horizons)))
        _hold(frame.own, frame.layout.horizons, state["last"], mean)
        return Forecast(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))

    def migrate(self, state: Mapping[str, NDArray[np.generic]], version: int) -> State:
        """Version 1 also held its own errors, for an interval."""
        return {"last": state["last"]}


@njit(cache=True, nogil=True)
def _hold(own, horizons, last, mean):
    for t in range(len(own)):
        for n in range(len(last)):
            before = last[n]
            if not np.isnan(own[t, n]):
                last[n] = own[t, n]
            for h in range(len(horizons)):
                mean[t, n, h] = before if horizons[h] == 0 else last[n]
