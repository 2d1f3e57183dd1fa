"""The `spatial-rls` forecaster: a sensor regressed on the rest of its network, as it is now."""

from __future__ import annotations

from math import exp
from statistics import NormalDist

import numpy as np
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Ints, Layout, Needs, State
from gapcast.engine.kernels.moments import at
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.neighbours import CANDIDATES
from gapcast.engine.units import Duration
from gapcast.plugins.forecasters.spatial_rls.kernel import Models, Settings, nowcast

HALF_HOUR = 1_800_000_000


class SpatialRls(Forecaster):
    """Least squares on the neighbours' values of the same step, with exponential forgetting.

    The first forecasts are the average of the neighbours; what is learnt then gives each its
    weight, more readily to those that go with the target. A neighbour that is missing is stood in
    for by its last value moved on with the others, and trusted the less the longer it is gone.
    What is left of the last residual is carried into a gap. ``docs/spatial-rls.md`` has the
    recursion, its sources, the defaults and what they were chosen on.

    Reads up to 63 neighbours. State: about 4 K² bytes a target with K regressors, all quantities
    counted. Interval: from the past residuals, wider as the last one fades.
    """

    class Params(plugin.Params):
        memory: Duration = Field(
            default=4 * 86_400_000_000, gt=0, description="Time constant of forgetting."
        )
        ridge: float = Field(
            default=1.0, gt=0, description="How strongly strange neighbours are held back."
        )
        neighbours: Neighbours | None = Field(
            default=None, description="Sensors to regress on; by default up to 63, near ones first."
        )
        quantities: tuple[str, ...] = Field(
            default=(),
            description="Quantities to regress on besides the target's, of neighbours and sensor.",
        )

    params: Params

    def needs(self) -> Needs:
        """The neighbours' values of the target's quantity and of those asked for."""
        neighbours = self.params.neighbours or Neighbours(correlated=CANDIDATES)
        return Needs(neighbours, self.params.quantities)

    def start(self, layout: Layout) -> State:
        """Nothing learnt yet. Raises RunError where a target has more than 63 neighbours."""
        N, Q, C = layout.regressors.shape
        if C > CANDIDATES:
            raise RunError(
                f"spatial-rls reads up to {CANDIDATES} neighbours, the config gives it {C}; "
                "use neighbours: {correlated: k} or {nearest: k}"
            )
        K = Q * C + Q - 1
        m = K + 2
        models = Models(
            moments=np.zeros((N, m * (m + 1) // 2)),
            weights=np.zeros((N, K + 1)),
            apart=np.zeros((N, K + 1)),
            news=np.full(N, np.inf),
            level=np.full((N, Q), np.nan),
            filled=np.full((N, K), np.nan),
            age=np.zeros((N, K)),
            noise=np.zeros((N, K)),
            noise_weight=np.zeros((N, K)),
            let_go=np.zeros((N, K)),
            last_x=np.zeros((N, K)),
            last_y=np.full(N, np.nan),
            left=np.zeros(N),
            lagged=np.zeros(N),
            power=np.zeros(N),
            variance=np.zeros(N),
            variance_weight=np.zeros(N),
        )
        return models._asdict()

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Of neighbours that join nothing is known."""
        fresh, place = self.start(after), _places(before, after)
        N, K, wide = before.n, len(place), fresh["filled"].shape[1]
        to = np.array([*place, wide, wide + 1])  # the last two: the constant and the truth
        for name, old in state.items():
            if old.ndim == 1 or old.shape[1:] == fresh[name].shape[1:]:
                fresh[name][:N] = old
            elif name == "level":  # one a quantity
                fresh[name][:N, : old.shape[1]] = old
            elif name == "moments":
                i, j = (to[of] for of in np.triu_indices(K + 2))
                fresh[name][:N, at.py_func(i, j, wide + 2)] = old
            else:
                fresh[name][:N, to[: old.shape[1]]] = old
        return fresh

    def step(self, state: State, frame: Frame) -> Forecast:
        """Nowcast each step from its neighbours, then learn its truth."""
        layout = frame.layout
        out = np.empty((5, frame.t, layout.n))
        models = Models(**state)
        nowcast(frame.values, frame.companions, frame.own, models, self._settings(layout), out)
        regressors = out[4, ..., None].astype(np.int64)
        return Forecast(*out[:3, ..., None], reference=out[3], regressors=regressors)

    def _settings(self, layout: Layout) -> Settings:
        steps = max(1.0, HALF_HOUR / layout.interval)
        choose = CANDIDATES if layout.choose is None else layout.choose
        return Settings(
            columns=_columns(layout),
            group=_groups(layout),
            forgetting=exp(-layout.interval / self.params.memory),
            how=(steps, self.params.ridge, choose),
            z=NormalDist().inv_cdf((1 + layout.level) / 2),
        )


def _places(before: Layout, after: Layout) -> list[int]:
    """Where each regressor of `before` stands among those of `after`: the neighbours of a quantity
    in their order, its companion behind all of them."""
    _, Q, C = before.regressors.shape
    wide = after.regressors.shape[2]
    found: list[int] = []
    for q in range(Q):
        start = int(_groups(after)[q])
        found += range(start, start + C)
        found += [start + wide] if q else []
    return found


def _groups(layout: Layout) -> Ints:
    """Bounds of the quantities among a target's regressors: C neighbours, in all but the first
    also the companion."""
    _, Q, C = layout.regressors.shape
    return np.concatenate([[0], C + (C + 1) * np.arange(Q)])


def _columns(layout: Layout) -> Ints:
    """(N, K) where each regressor stands: a column of the frame's values, -1: nowhere, -2 - q:
    companion q."""
    Q = layout.regressors.shape[1]
    parts = [layout.regressors[:, 0]]
    for q in range(1, Q):
        companion = np.where(layout.companions[:, q - 1 : q] >= 0, -1 - q, -1)
        parts += [layout.regressors[:, q], companion]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))
