"""Intervals that hold their nominal share, whatever the forecaster claims: online conformal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Forecast, Forecaster, Frame, Layout, State
from gapcast.engine.horizon import Horizons
from gapcast.engine.shard.kernels import calibration as kernel

HOUR = 3_600_000_000
CLASSES = (HOUR, 6 * HOUR, 24 * HOUR)
"""Greatest gap ages of the classes between "seen a step ago" and "longer", in microseconds."""
DOUBT = 1.15
"""Claims about gaps are widened by this until gaps have shown what they are worth."""
SEEN = (0.08, 20.0, 50.0)
DARK = (0.01, 3.0, 30.0)
"""Gains where the target was seen a step ago, and in gaps: least, c, n0."""
APART = HOUR // 2
"""Errors in a released gap that lie closer than this count as one, in microseconds."""
MEMORY = 4 * 24 * HOUR
"""What holding costs is forgotten with this time constant, in microseconds."""


class Intervals:
    """Calibrates the bounds of one model's forecasts, target by target, as truths become visible.

    A forecast's half-widths are multiplied by a factor of its target, horizon and class of gap
    age, which moves so that the share of truths within the bounds is the layout's level
    (docs/intervals.md). Where a forecaster gives no bounds, or reads other series and none of them
    is there, what holding the last value costs at that age stands for its claim.

    Bounds made at a step rest on truths that the model could see by then. Those of a withheld span
    are learnt when it is released, in order, as evidence on the forecasts made within it.
    """

    def __init__(
        self, layout: Layout, forecaster: Forecaster, period: Floats | None = None
    ) -> None:
        """period: (targets,) after which their quantities begin anew, 0: never; None: all never."""
        period = np.zeros(layout.n) if period is None else period
        self._settings = _settings(layout, forecaster, period)
        self._holding = _holding(layout.n, len(self._settings.ages))
        self._factors = _factors(layout, len(self._settings.doubt))
        self._before: kernel.Holding | None = None
        self._late: list[tuple[Floats, NDArray[np.int8]]] = []

    def open(self) -> None:
        """A span begins whose truths will be released."""
        self._before = kernel.Holding(*(a.copy() for a in self._holding))
        self._late = []

    def calibrate(self, forecast: Forecast, frame: Frame, withheld: Floats) -> Forecast:
        """The forecast with calibrated bounds.

        withheld (T, N): truths that are there and that ``frame.own`` does not show, else NaN.
        """
        T, *each = forecast.mean.shape
        out = np.empty((2, *forecast.mean.shape))
        kept = 0 if self._before is None else T
        late, kind = np.full((kept, *each), np.nan), np.full((kept, *each), -1, np.int8)
        kernel.calibrate(
            (forecast.mean, forecast.lower, forecast.upper), frame.own, withheld, frame.values,
            frame.first, self._holding, self._factors, self._settings, out, late, kind,
        )  # fmt: skip
        if kept:
            self._late.append((late, kind))
        return replace(forecast, lower=out[0], upper=out[1])

    def release(self) -> None:
        """The span ends: learn what its forecasts were worth; `see` of all its steps follows."""
        assert self._before is not None
        for late, kind in self._late:
            kernel.learn_late(late, kind, self._factors, self._settings)
        self._holding, self._before, self._late = self._before, None, []

    def see(self, own: Floats, first: int) -> None:
        """Truths (T, N) of a released span, from step `first` on."""
        kernel.learn_holding(own, first, self._holding, self._settings)

    @property
    def state(self) -> State:
        """All that changes, by name, targets leading. Arrays of the same names restore it."""
        found: dict[str, NDArray[Any]] = {**self._holding._asdict(), **self._factors._asdict()}
        if self._before is not None:
            found |= {f"before_{name}": a for name, a in self._before._asdict().items()}
            none = (np.empty((0, *self._factors.factor.shape[:2])),) * 2
            late, kind = zip(*(self._late or [none]), strict=True)
            found["late"] = np.concatenate(late).swapaxes(0, 1)
            found["late_kind"] = np.concatenate(kind).astype(np.int8).swapaxes(0, 1)
        return found

    @state.setter
    def state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from these."""
        self._holding = kernel.Holding(*(arrays[n] for n in kernel.Holding._fields))
        self._factors = kernel.Factors(*(arrays[n] for n in kernel.Factors._fields))
        self._before, self._late = None, []
        if "late" in arrays:
            names = (f"before_{n}" for n in kernel.Holding._fields)
            self._before = kernel.Holding(*(arrays[n] for n in names))
            both = (np.ascontiguousarray(arrays[n].swapaxes(0, 1)) for n in ("late", "late_kind"))
            self._late = [tuple(both)]  # type: ignore[list-item]


def _settings(layout: Layout, forecaster: Forecaster, period: Floats) -> kernel.Settings:
    needs, sure = forecaster.needs(), forecaster.rehearses
    joint = layout.members.shape[1] > 0
    gains = np.array([SEEN, *[DARK] * (len(CLASSES) + 1)])
    return kernel.Settings(
        ages=np.unique([1, *(layout.steps(c) for c in CLASSES)]).astype(np.int64),
        bounds=np.array([1.0, *(c / layout.interval for c in CLASSES)]),
        doubt=np.array([1.0, 1.0, *[DOUBT] * len(CLASSES)]),
        gains=gains,
        steady=np.exp(np.multiply.outer(gains[:, 0], [layout.level, layout.level - 1])),
        late=min(1.0, layout.interval / APART),
        horizons=layout.horizons,
        level=layout.level,
        z=NormalDist().inv_cdf((1 + layout.level) / 2),
        forgetting=exp(-layout.interval / MEMORY),
        columns=layout.targets,
        others=layout.members[:, None] if joint else layout.regressors,
        row=layout.units if joint else np.arange(layout.n),
        period=period,
        reads=not sure and (needs.neighbours is not None or needs.block is not None),
        sure=sure,
    )


def _holding(n: int, ages: int) -> kernel.Holding:
    return kernel.Holding(
        np.full((n, ages, 2), kernel.NEVER),
        np.full((n, ages, 2), np.nan),
        np.full((n, ages), np.nan),
        np.zeros((n, ages)),
    )


def _factors(layout: Layout, classes: int) -> kernel.Factors:
    n, H = layout.n, len(layout.horizons)
    depth = Horizons(layout.horizons).furthest
    return kernel.Factors(
        np.ones((n, H, classes)),
        np.zeros((n, H, classes)),
        np.full((n, depth, H, 3), np.nan),
        np.full((n, depth), -1, np.int8),
    )
