"""From forecasts made *at* the steps of a frame to forecasts *for* steps whose truth is at hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Forecast, Ints, Model, State
from gapcast.engine.horizon import NOWCAST, Horizons, Kind
from gapcast.engine.shard.results import ModelRows
from gapcast.engine.shard.smoothing import Smoother

_COLUMNS = [f.name for f in fields(ModelRows)]


class Alignment:
    """Lines up one model's forecasts with their truths, over the targets of a shard.

    Those ahead of time wait for their step; horizons below 0 are smoothed from the nowcasts, some
    steps after. All that changes is in `state`, targets leading.
    """

    def __init__(
        self, model: Model, asked: Ints, targets: int, interval: int, period: Floats | None = None
    ) -> None:
        """asked: the horizons that the forecaster itself is asked for, ascending. period: as for
        `Smoother`."""
        self.asked = Horizons(asked)
        smoothed = [h.lag for h in model.horizons if h.kind is Kind.SMOOTHED]
        self.smoother = Smoother(targets, smoothed, interval, period)
        self._wanted = [self.asked.index(h) for h in model.horizons if h.kind is not Kind.SMOOTHED]
        self._early = [self.asked.index(h) for h in model.horizons if h.kind is Kind.FORECAST]
        depth = self.asked.furthest
        width = len(_COLUMNS) if depth else 0
        self._ahead = np.full((targets, width, depth, len(self.asked)), np.nan)

    @property
    def state(self) -> State:
        """Everything, by name; arrays of the same names can be put in its place."""
        return {"ahead": self._ahead, **self.smoother.state}

    @state.setter
    def state(self, arrays: State) -> None:
        """Go on from these."""
        self._ahead = arrays["ahead"]
        self.smoother.state = {name: arrays[name] for name in self.smoother.state}

    def ahead(self, forecast: Forecast) -> ModelRows:
        """What a frame's steps say of steps ahead, by the model's horizons above 0, ascending."""
        given = {name: getattr(forecast, name) for name in _COLUMNS}
        some = {n: None if a is None else a[..., self._early] for n, a in given.items()}
        notes = (_whole(some[name]) for name in _COLUMNS[3:])
        return ModelRows(*(some[name] for name in _COLUMNS[:3]), *notes)  # type: ignore[arg-type]

    def rows(
        self, forecast: Forecast, own: Floats, age: NDArray[np.int32], first: int
    ) -> ModelRows:
        """The rows of a frame's steps, by the model's horizons in ascending order.

        own (T, N): truths that the model may see; age (T, N): steps since there was one; first:
        index of the first step.
        """
        rows = self._ahead_of_time(forecast)
        if len(self.smoother.lags) == 0:
            return rows
        smoothed = self.smoother.step(forecast, self.asked.index(NOWCAST), own, age, first)
        sides = [
            np.concatenate([late, a[..., self._wanted]], axis=2)
            for late, a in zip(smoothed, (rows.mean, rows.lower, rows.upper), strict=True)
        ]
        unknown = np.full(smoothed[0].shape, -1, np.int32)
        notes = [
            None if a is None else np.concatenate([unknown, a[..., self._wanted]], axis=2)
            for a in (rows.regressors, rows.experts)
        ]
        return ModelRows(*sides, *notes)

    def _ahead_of_time(self, forecast: Forecast) -> ModelRows:
        given = {name: getattr(forecast, name) for name in _COLUMNS}
        depth = self._ahead.shape[2]
        if depth == 0:
            return ModelRows(
                forecast.mean, forecast.lower, forecast.upper,
                *(None if given[n] is None else given[n].astype(np.int32) for n in _COLUMNS[3:]),
            )  # fmt: skip
        T = len(forecast.mean)
        out: dict[str, Floats | None] = {}
        for c, (name, made) in enumerate(given.items()):
            if made is None:
                out[name] = None
                continue
            # line[depth + t] was made at step t; horizon h at step t was made at t - h.
            line = np.concatenate([np.moveaxis(self._ahead[:, c], 1, 0), made])
            out[name] = np.stack(
                [line[depth - h : depth - h + T, :, i] for i, h in enumerate(self.asked)], axis=2
            )
            self._ahead[:, c] = np.moveaxis(line[-depth:], 0, 1)
        sides = (out[n] for n in _COLUMNS[:3])
        return ModelRows(*sides, *(_whole(out[n]) for n in _COLUMNS[3:]))  # type: ignore[arg-type]


def _whole(column: Floats | None) -> NDArray[np.int32] | None:
    return None if column is None else np.where(np.isnan(column), -1, column).astype(np.int32)
