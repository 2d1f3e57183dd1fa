"""The `network-rls` forecaster: the sensors of a network solved for jointly, block by block."""

from __future__ import annotations

from math import exp
from statistics import NormalDist

import numpy as np
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Needs, State
from gapcast.engine.state import widened
from gapcast.engine.units import Duration
from gapcast.plugins.forecasters.network_rls.fill import new_gaps
from gapcast.plugins.forecasters.network_rls.kernel import FACTS, Models, Settings, nowcast
from gapcast.plugins.forecasters.network_rls.triangle import entries, padded, triangle_size
from gapcast.plugins.forecasters.network_rls.weights import new_solver

HALF_HOUR = 1_800_000_000
LARGEST = 64
"""Most series a block may have: beyond, more neighbours cost more than they tell."""


_TRIANGLES = ("changes", "levels")
"""Fields of `Models` that are triangles."""


class NetworkRls(Forecaster):
    """Least squares of every sensor on the others of its block, from moments that they share.

    Sensors of one quantity are put into blocks of neighbours. A block's second moments, with
    exponential forgetting, hold the regressions of all its sensors at once; its weights are the
    mean of four of them. Whatever is missing stands in for itself as the others say, plus what is
    left of its last residual; so does a target in a gap. While a truth is withheld its block
    learns nothing. ``docs/network-rls.md`` has the recursion, its sources, the defaults and what
    they were chosen on.

    Cost: O(m) a target and step in blocks of m. State: about 25 m bytes a target. Interval: from
    past residuals, wider as the last one fades and where neighbours are missing.
    """

    class Params(plugin.Params):
        memory: Duration = Field(
            default=4 * 86_400_000_000, gt=0, description="Time constant of forgetting."
        )
        block: int = Field(
            default=LARGEST, ge=2, le=LARGEST, description="Most sensors solved for jointly."
        )

    params: Params
    derives = True

    def needs(self) -> Needs:
        """The other series of the target's quantity, in blocks."""
        return Needs(block=self.params.block)

    def start(self, layout: Layout) -> State:
        """Nothing learnt yet: every sensor is the average of its block."""
        there = layout.members >= 0
        U, M = len(there), padded(there.shape[1])
        there = np.pad(there, ((0, 0), (0, M - there.shape[1])))
        others = ~np.eye(M, dtype=bool) & there[:, None, :] & there[:, :, None]
        models = Models(
            *(np.zeros((U, triangle_size(M))) for _ in range(2)),
            others / np.maximum(others.sum(axis=1, keepdims=True), 1),
            np.zeros((U, M, M)),
            *(np.zeros((U, M)) for _ in range(12)),
            np.zeros((U, FACTS)),
        )
        return models._asdict()

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Of newcomers nothing is known: no regression has a weight for them, their own are the
        average of the block."""
        fresh = self.start(after)
        U, M = before.u, padded(after.members.shape[1])
        found = widened({n: a for n, a in state.items() if n not in _TRIANGLES}, fresh)
        for name in _TRIANGLES:
            found[name][:U, entries(padded(before.members.shape[1]), M)] = state[name]
        there = np.zeros((after.u, M), bool)
        learnt = (state["facts"] != 0).any(axis=1)
        there[:U, : before.members.shape[1]] = (before.members >= 0) & learnt[:, None]
        unknown = np.where(there[:, None, :], 0.0, fresh["weights"])
        both = there[:, :, None] & there[:, None, :]
        return found | {"weights": np.where(both, found["weights"], unknown)}

    def step(self, state: State, frame: Frame) -> Forecast:
        """Nowcast each step from the block's other sensors, then learn it."""
        layout = frame.layout
        out = np.empty((5, frame.t, layout.n))
        settings = Settings(
            columns=layout.members,
            targets=layout.of_members,
            forgetting=exp(-layout.interval / self.params.memory),
            steps=max(1.0, HALF_HOUR / layout.interval),
            z=NormalDist().inv_cdf((1 + layout.level) / 2),
        )
        models = Models(**state)
        M = models.last.shape[1]
        scratch = new_gaps(M), new_solver(M), np.zeros((4, M)), np.zeros((3, M), bool)
        nowcast(frame.values, frame.own, models, settings, *scratch, out)
        regressors = out[4, ..., None].astype(np.int64)
        return Forecast(*out[:3, ..., None], reference=out[3], regressors=regressors)
