"""The `diurnal` forecaster: each sensor's day as it usually is, and what is left of its anomaly."""

from __future__ import annotations

from functools import cache
from math import exp
from statistics import NormalDist

import numpy as np
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.forecaster import (
    Floats,
    Forecast,
    Forecaster,
    Frame,
    Ints,
    Layout,
    Needs,
    State,
)
from gapcast.engine.state import widened
from gapcast.engine.units import Duration
from gapcast.plugins.forecasters.diurnal.fit import REGRESSORS, TERMS
from gapcast.plugins.forecasters.diurnal.kernel import (
    ORIGIN,
    Models,
    Settings,
    new_scratch,
    step_all,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR
KNOTS = 48
"""Most knots of a day's profile: one each half hour."""
RATIO = 1.5
"""Each age that coefficients are learnt for is so many times the one before."""
REACH = (1.0, 4.0, 12.0, 4.0)
"""Hours in which the prior turns from the last value to the profile: the block's mean move of it,
each sensor's own; the block's anomaly, each sensor's own."""
SHARE = 0.95
"""How much of the profile's moves the prior believes."""
LARGEST = 64
"""Most series a block may have."""


class Diurnal(Forecaster):
    """Damped anomalies about the profile of the day: for gaps of the whole network.

    A value is forecast from its sensor's last one, the profile of its day then and now, and how
    far it and its block were from their profiles. The weights of these depend on how long ago the
    last value was, on a geometric set of ages up to a day; each age has its own regression, which
    the sensors of a block share, shrunk to a prior that holds while only a day or two are known.
    ``docs/diurnal.md`` has the formulas, their sources, the defaults and what they were chosen on.

    A forecast reads the past alone, other sensors' too: it is the same whoever else is seen. Until
    a day is known it is the last value.

    Cost: some 25 multiplications an age, of which there are ten at half an hour, a target and
    step. State: 16 bytes a step of a day and one kilobyte a target, more in small blocks. Interval:
    from its own errors by age.
    """

    class Params(plugin.Params):
        memory: Duration = Field(default=4 * DAY, gt=0, description="Time constant of forgetting.")
        block: int = Field(
            default=LARGEST, ge=1, le=LARGEST, description="Most sensors that share coefficients."
        )

    params: Params
    horizons = (0, 1_000_000)

    def needs(self) -> Needs:
        """The other series of the target's quantity, in blocks."""
        return Needs(block=self.params.block)

    def start(self, layout: Layout) -> State:
        """Nothing seen yet; coefficients are the prior's."""
        U, M = layout.members.shape
        period = layout.steps(DAY)
        K, ages = min(KNOTS, period), _ages(period)
        J, R = len(ages), int(ages[-1]) + 2
        origin = np.full((U, ORIGIN, M), np.nan)
        origin[:, -1] = 0.0
        models = Models(
            knots=np.full((U, K, M), np.nan),
            visits=np.zeros((U, K, M)),
            level=np.zeros((U, M)),
            filling=np.zeros((U, 4, M)),
            waited=np.full((U, M), -1.0),
            past=np.full((U, R, 2, M), np.nan),
            shared=np.full((U, R, 2), np.nan),
            origin=origin,
            moments=np.zeros((U, J, TERMS)),
            products=np.zeros((U, J, REGRESSORS)),
            weight=np.zeros((U, J)),
            coefs=np.tile(_prior(period), (U, 1, 1)),
            error=np.zeros((U, J, M)),
            error_weight=np.zeros((U, J, M)),
            variance=np.full((U, J, M), np.nan),
        )
        return models._asdict()

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Of newcomers nothing is known."""
        return widened(state, self.start(after))

    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast each step and those ahead of it, then learn it."""
        layout = frame.layout
        period = layout.steps(DAY)
        settings = Settings(
            columns=layout.members,
            targets=layout.of_members,
            horizons=layout.horizons,
            period=period,
            ages=_ages(period),
            prior=_prior(period),
            **_between(period),
            forgetting=exp(-layout.interval / self.params.memory),
            least=1 - exp(-DAY / self.params.memory),
            z=NormalDist().inv_cdf((1 + layout.level) / 2),
        )
        out = np.empty((3, frame.t, layout.n, len(layout.horizons)))
        scratch = new_scratch(layout.members.shape[1])
        step_all(frame.values, frame.own, frame.first, Models(**state), settings, scratch, out)
        return Forecast(*out)


@cache
def _ages(period: int) -> Ints:
    """(J,) ages in steps, from 1 to a day less two knots: a knot needs as long to be learnt."""
    last = max(1, period - 2 * round(period / min(KNOTS, period)))
    ages = [1]
    while (following := max(ages[-1] + 1, round(ages[-1] * RATIO))) * 1.2 < last:
        ages.append(following)
    return np.array(ages + [last] * (last > 1))


@cache
def _prior(period: int) -> Floats:
    """(J, REGRESSORS) coefficients that hold until data say better."""
    hours = _ages(period)[:, None] * 24 / period
    reached = 1 - np.exp(-hours / np.array(REACH))
    return np.hstack([SHARE * reached[:, :2], reached[:, 2:], np.zeros_like(hours)])


@cache
def _between(period: int) -> dict[str, Ints | Floats]:
    """For each age from 0 to the last: the last of `_ages` that is no greater, and how far it is
    to the next one on a scale of logarithms."""
    ages = _ages(period)
    every = np.arange(ages[-1] + 1)
    below = np.maximum(np.searchsorted(ages, every, "right") - 1, 0)
    low, high = ages[below], ages[np.minimum(below + 1, len(ages) - 1)]
    width = np.log(np.maximum(high / low, 1 + 1e-9))
    return {"below": below, "beyond": np.log(np.maximum(every, 1) / low) / width}
