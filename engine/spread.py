"""An interval for any forecaster, from the errors it has made so far at each horizon."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from gapcast.engine.forecaster import Floats, Forecast, Frame, Layout, State
from gapcast.engine.horizon import Horizons
from gapcast.engine.kernels.spread import spread

MEMORY = 4 * 86_400_000_000
"""Errors are forgotten with this time constant, in microseconds (four days)."""


def start(layout: Layout) -> State:
    """State of the errors: to be stored within the forecaster's own, under these names."""
    H = len(layout.horizons)
    depth = Horizons(layout.horizons).furthest + 1
    return {
        "spread_made": np.full((layout.n, depth, H), np.nan),
        "spread_variance": np.full((layout.n, H), np.nan),
        "spread_weight": np.zeros((layout.n, H)),
    }


def around(mean: Floats, state: State, frame: Frame) -> Forecast:
    """The forecast with bounds at the layout's level; learns from the errors of this frame.

    The bounds are those of a normal distribution with the running mean square of the model's
    own errors at that horizon. NaN until the first error is known.
    """
    layout = frame.layout
    lower, upper = np.empty_like(mean), np.empty_like(mean)
    forgetting = float(np.exp(-layout.interval / MEMORY))
    z = NormalDist().inv_cdf((1 + layout.level) / 2)
    spread(
        mean, frame.own, layout.horizons, frame.first, forgetting, state["spread_made"],
        state["spread_variance"], state["spread_weight"], z, lower, upper,
    )  # fmt: skip
    return Forecast(mean, lower, upper)
