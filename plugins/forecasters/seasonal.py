"""The `seasonal` forecaster: the value at this time of earlier periods."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from gapcast.engine import plugin, spread
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, State
from gapcast.engine.kernels.uncounted import njit_part
from gapcast.engine.units import Duration


class Seasonal(Forecaster):
    """Yesterday's value at this time, or a decaying mean of several yesterdays'.

    forecast(t) = Σ_k d^k x(t − (k+1)·period) / Σ_k d^k over the `periods` that are known. Where
    the truth was missing its forecast stands for it, so that a long gap repeats the last period
    known; before a whole period has been seen, the last value stands in.

    Cost: `periods` additions a step and horizon. Interval: from its own past errors.
    """

    class Params(plugin.Params):
        period: Duration = Field(default=86_400_000_000, gt=0, description="Length of a period.")
        periods: int = Field(default=1, ge=1, le=366, description="Periods to look back.")
        decay: float = Field(
            default=0.5, gt=0, le=1, description="Weight of each period, of the next one's."
        )

    params: Params
    horizons = (0, 1_000_000)

    def start(self, layout: Layout) -> State:
        """Nothing seen yet."""
        depth = self._period(layout) * self.params.periods
        return {
            "past": np.full((layout.n, depth), np.nan),
            "last": np.full(layout.n, np.nan),
            **spread.start(layout),
        }

    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast from the periods before, then note this step's value."""
        layout = frame.layout
        mean = np.empty((frame.t, layout.n, len(layout.horizons)))
        period, decay = self._period(layout), self.params.decay
        past, last = state["past"], state["last"]
        _repeat(frame.own, layout.horizons, frame.first, period, decay, past, last, mean)
        return spread.around(mean, state, frame)

    def _period(self, layout: Layout) -> int:
        return layout.steps(self.params.period)


@njit_part
def _earlier(past, step, now, period, decay, last):
    """The weighted mean of the periods before `step`, of what is known until `now`."""
    at = step - period
    while at > now:
        at -= period
    total, weights, weight = 0.0, 0.0, 1.0
    while at > now - len(past):
        x = past[at % len(past)]
        if not np.isnan(x):
            total += weight * x
            weights += weight
        weight *= decay
        at -= period
    return total / weights if weights > 0 else last


@njit(cache=True, nogil=True)
def _repeat(own, horizons, first, period, decay, past, last, mean):
    for n in range(len(last)):
        for t in range(len(own)):
            now = first + t
            # The oldest entry of the ring is this step's own of `periods` ago: read it first.
            nowcast = _earlier(past[n], now, now - 1, period, decay, last[n])
            seen = not np.isnan(own[t, n])
            past[n, now % past.shape[1]] = own[t, n] if seen else nowcast
            if seen:
                last[n] = own[t, n]
            for h in range(len(horizons)):
                if horizons[h] == 0:
                    mean[t, n, h] = nowcast
                else:
                    ahead = now + horizons[h]
                    mean[t, n, h] = _earlier(past[n], ahead, now, period, decay, last[n])
