"""The `rls` forecaster: recursive least squares on a series' own past."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, State
from gapcast.engine.units import Duration
from gapcast.plugins.forecasters.rls.kernel import SPREAD, Past, fresh_past, own_lags, prior


class Rls(Forecaster):
    """A linear model of each series on its last values and those a period ago, always learning.

    Regressors: the last `lags` values, the value one `period` before the step forecast and the
    `lags` before that one. In a gap the model runs on its own forecasts, held within the range of
    the truths. Beyond a period ahead, horizons read the last period known. Until a period has been
    seen the last value stands in, without interval.

    Cost, with p = 2·lags + 1: some 3.5 p² flops a step, and 2 p for each step of the greatest
    horizon. State: a period of values and p² / 2 numbers a target.
    Interval: from the running variance of the innovations and x'Px one step after a truth; beyond,
    from the errors of a shadow of the model that runs on its own forecasts all the time.
    """

    class Params(plugin.Params):
        lags: int = Field(default=3, ge=1, le=64, description="Last values to read.")
        period: Duration = Field(default=86_400_000_000, gt=0, description="Length of a period.")
        forgetting: float = Field(
            default=0.998, gt=0.5, le=1, description="Weight of each step, of the next one's."
        )

    params: Params
    horizons = (0, 1_000_000)

    def start(self, layout: Layout) -> State:
        """Models that repeat the last period, plus most of the newest deviation from it."""
        theta, P = prior(layout.n, self.params.lags)
        past = fresh_past(layout.n, self._period(layout), self.params.lags)
        zeros = np.zeros(layout.n)
        return {"theta": theta, "P": P, "s2": zeros, "w": zeros.copy(), **past._asdict()}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast each step from what came before, learn it, then look ahead."""
        layout, forgetting = frame.layout, self.params.forgetting
        forecast = Forecast.empty(frame)
        deviation = np.full_like(forecast.mean, np.nan)
        own_lags(
            state["theta"], state["P"], state["s2"], state["w"],
            Past(*(state[name] for name in Past._fields)), frame.own, frame.first,
            self._period(layout), forgetting, 1e5 * SPREAD * state["theta"].shape[1],
            layout.horizons, forecast.mean, deviation,
        )  # fmt: skip
        half = NormalDist().inv_cdf((1 + layout.level) / 2) * deviation
        return Forecast(forecast.mean, forecast.mean - half, forecast.mean + half)

    def _period(self, layout: Layout) -> int:
        return layout.steps(self.params.period)
