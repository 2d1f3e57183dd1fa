"""Forecasting quantities that begin anew, such as directions, as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.description import Description, created, describe
from gapcast.engine.explanation import Explanation
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
from gapcast.engine.kernels import arcs
from gapcast.engine.state import below, extend_nested, step_nested

COSINE, SINE = "cosine", "sine"


def periods_of(layout: Layout, periods: Mapping[str, float]) -> Floats:
    """(series,) the period of each of a layout's series, 0 where nothing begins anew."""
    found = np.zeros(len(layout.series))
    for quantity, period in periods.items():
        found[layout.of_quantity.get(quantity, np.empty(0, np.int64))] = period
    return found


class ByVector(Forecaster):
    """A forecaster twice: of the cosines of what begins anew, and of the sines.

    The forecast is the angle of the vector that the two make, from 0 to below the period. Its
    interval is the arc over which that vector may point, around the forecast: its lower bound may
    be below 0, its upper one above the period. All other quantities are forecast with the cosines.

    Cost and state: twice the forecaster's.
    """

    class Params(plugin.Params):
        forecaster: Description = Field(description="The forecaster, as `describe` puts it.")
        periods: dict[str, float] = Field(description="Of each such quantity its period.")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.forecaster: Forecaster = created(params.forecaster)
        self.horizons = self.forecaster.horizons
        self.experts = self.forecaster.experts
        self.state_version = self.forecaster.state_version

    @classmethod
    def of(cls, forecaster: Forecaster, periods: Mapping[str, float]) -> ByVector:
        """`forecaster` on vectors of quantities with these periods."""
        return cls(cls.Params(forecaster=describe(forecaster), periods=dict(periods)))

    def needs(self) -> Needs:
        """What the forecaster reads."""
        return self.forecaster.needs()

    def start(self, layout: Layout) -> State:
        """Two fresh states."""
        return {
            f"{part}/{name}": array
            for part in (COSINE, SINE)
            for name, array in self.forecaster.start(layout).items()
        }

    def step(self, state: State, frame: Frame) -> Forecast:
        """Both step; then the angles are taken."""
        period = periods_of(frame.layout, self.params.periods)
        x = step_nested(self.forecaster, state, COSINE, _parts(frame, period, sine=False))
        y = step_nested(self.forecaster, state, SINE, _parts(frame, period, sine=True))
        return _angles(x, y, period[frame.layout.targets])

    def explain(self, state: State, frame: Frame, target: int, horizon: int) -> Explanation | None:
        """The forecaster's own; None of an angle, which two forecasts make."""
        period = periods_of(frame.layout, self.params.periods)
        if period[frame.layout.targets[target]] > 0:
            return None
        cosines = _parts(frame, period, sine=False)
        return self.forecaster.explain(below(state, COSINE), cosines, target, horizon)

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Both states, each by the forecaster."""
        return extend_nested(self.forecaster, state, COSINE, before, after) | extend_nested(
            self.forecaster, state, SINE, before, after
        )

    def migrate(self, state: Mapping[str, NDArray[np.generic]], version: int) -> State:
        """Both states, each by the forecaster."""
        return {
            f"{part}/{name}": array
            for part in (COSINE, SINE)
            for name, array in self.forecaster.migrate(below(state, part), version).items()
        }


def _parts(frame: Frame, period: Floats, sine: bool) -> Frame:
    """`frame` with the cosines, or the sines, of all that begins anew."""
    beside: Ints = frame.layout.companions
    of_beside = np.where(beside >= 0, period[np.maximum(beside, 0)], 0.0).ravel()
    flat = frame.companions.reshape(frame.t, -1)
    return replace(
        frame,
        values=_part(frame.values, period, sine),
        own=_part(frame.own, period[frame.layout.targets], sine),
        companions=_part(flat, of_beside, sine).reshape(frame.companions.shape),
    )


def _part(values: Floats, period: Floats, sine: bool) -> Floats:
    out = np.empty(values.shape)
    arcs.part(np.ascontiguousarray(values), period, sine, out)
    return out


def _angles(x: Forecast, y: Forecast, period: Floats) -> Forecast:
    """Of forecasts of cosines and sines those of angles, for targets with a period."""
    mean, lower, upper = (np.array(a) for a in (x.mean, x.lower, x.upper))
    arcs.angle(x.mean, y.mean, period, mean)
    half = np.full(mean.shape, np.nan)
    halves = ((f.upper - f.lower) / 2 for f in (x, y))
    arcs.opening(x.mean, y.mean, *halves, period, half)
    round_ = period[:, None] > 0
    changed: dict[str, Any] = {
        "mean": mean,
        "lower": np.where(round_, mean - half, lower),
        "upper": np.where(round_, mean + half, upper),
    }
    if x.reference is not None and y.reference is not None:
        reference = np.array(x.reference)[..., None]
        arcs.angle(x.reference[..., None], y.reference[..., None], period, reference)
        changed["reference"] = reference[..., 0]
    return replace(x, **changed)
