"""From the arrays of the shards to the rows that sinks receive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.silence import Silence
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.horizon import Horizons
from gapcast.engine.shard.results import ModelRows, StepResult, Steps
from gapcast.engine.sink import FLAGS, FORECASTS, STATUSES


class Rows:
    """Makes tables of schema `FORECASTS`: rows ahead, then final ones, each by model, horizon, time
    and target, in this order.

    The order depends on nothing but the steps, so that a repeated epoch repeats its rows. Steps
    that `silence` says are silent have none, and make none ahead. ahead: whether rows ahead are
    made at all.
    """

    def __init__(
        self,
        targets: Sequence[Series],
        models: Sequence[Model],
        grid: GridSpec,
        silence: Silence | None = None,
        ahead: bool = True,
    ) -> None:
        self.grid = grid
        self._silence = silence
        self._ahead = ahead
        self.models = [(m.name, m.horizons) for m in models]
        self._sensor = _encode([t.sensor for t in targets])
        self._quantity = _encode([t.quantity for t in targets])
        self._names = pa.array([m.name for m in models], pa.string())
        self._statuses = pa.array(STATUSES)
        self._flags = pa.array(FLAGS)
        self._experts = [_combinations(m.forecaster.experts) for m in models]
        self._lags = Horizons(h for m in models for h in m.horizons).lags

    def table(self, result: StepResult) -> pa.Table:
        """All models' rows of the steps of a result; a forecast of NaN makes no row."""
        ahead = self._rows_ahead(result) if self._ahead else []
        return pa.concat_tables([*ahead, *self._final(result)])

    def _rows_ahead(self, result: StepResult) -> Iterator[pa.Table]:
        """What the steps say of steps ahead."""
        T, N = result.steps.truth.shape
        heard = self._heard(result.first, T, N)
        for m, rows in enumerate(result.ahead):
            leads = (h for h in self.models[m][1] if h.lead)
            for i, horizon in enumerate(leads):
                columns = self._shared(result.first + horizon, result.steps.ahead(horizon))
                named = columns | self._named(m, horizon, result.first, T, N)
                yield _rows(named, rows, i, self._experts[m], heard)

    def _final(self, result: StepResult) -> Iterator[pa.Table]:
        """What was said of the steps, beside their truths."""
        T, N = result.steps.truth.shape
        first = result.first
        heard = {lag: self._heard(first - lag, T, N) for lag in (0, *self._lags)}
        shared = {0: self._shared(first, result.steps)}
        for lag, steps in zip(self._lags, result.lagged, strict=True):
            shared[lag] = self._shared(first - lag, steps)
        for m, (_, horizons) in enumerate(self.models):
            for i, horizon in enumerate(horizons):
                named = self._named(m, horizon, first - horizon.lead, T, N)
                columns = shared[horizon.lag] | named
                yield _rows(columns, result.rows[m], i, self._experts[m], heard[horizon.lag])

    def _named(self, m: int, horizon: int, made: int, T: int, N: int) -> dict[str, pa.Array]:
        """The columns that say which model made rows, how far from their steps and when; `made`:
        the first of the steps at whose close it made them."""
        code = pa.array(np.full(T * N, m, np.int32))
        return {
            "model": pa.DictionaryArray.from_arrays(code, self._names),
            "horizon": pa.array(np.full(T * N, horizon, np.int32)),
            "made": self._times(made, T, N),
        }

    def _times(self, first: int, T: int, N: int) -> pa.Array:
        """(T x N,) the beginnings of steps."""
        times = self.grid.begins(first + np.arange(T))
        return pa.array(np.repeat(times, N)).cast(FORECASTS.field("time").type)

    def _heard(self, first: int, T: int, N: int) -> NDArray[np.bool_]:
        """(T x N,) whether a step may have rows."""
        if self._silence is None:
            return np.ones(T * N, bool)
        return np.repeat(~self._silence.of(first, T), N)

    def _shared(self, first: int, steps: Steps) -> dict[str, pa.Array]:
        """The columns that are the same for all models."""
        T, N = steps.truth.shape
        return {
            "time": self._times(first, T, N),
            "sensor": _tile(self._sensor, T),
            "quantity": _tile(self._quantity, T),
            "truth": pa.array(steps.truth.ravel(), from_pandas=True),
            "status": pa.DictionaryArray.from_arrays(
                pa.array(steps.status.ravel().astype(np.int32)), self._statuses
            ),
            "gap_age": pa.array(steps.age.ravel()),
            "flag": pa.DictionaryArray.from_arrays(
                pa.array(steps.flag.ravel().astype(np.int32) - 1, mask=steps.flag.ravel() == 0),
                self._flags,
            ),
        }


def _rows(
    shared: dict[str, pa.Array],
    rows: ModelRows,
    i: int,
    experts: pa.Array | None,
    heard: NDArray[np.bool_],
) -> pa.Table:
    mean = rows.mean[..., i].ravel()
    own = {
        "forecast": pa.array(mean),
        "lower": pa.array(rows.lower[..., i].ravel(), from_pandas=True),
        "upper": pa.array(rows.upper[..., i].ravel(), from_pandas=True),
        "regressors": _known(rows.regressors, i, len(mean)),
        "experts": pa.nulls(len(mean), FORECASTS.field("experts").type),
    }
    if experts is not None:
        codes = _known(rows.experts, i, len(mean))
        own["experts"] = pa.DictionaryArray.from_arrays(codes, experts)
    columns = shared | own
    table = pa.table([columns[f.name] for f in FORECASTS], schema=FORECASTS)
    known = heard & ~np.isnan(mean)
    return table if known.all() else table.filter(pa.array(known))


def _known(column: NDArray[np.int32] | None, i: int, rows: int) -> pa.Array:
    """One horizon's numbers, null where they are below 0 or not given."""
    if column is None:
        return pa.nulls(rows, pa.int32())
    of = column[..., i].ravel()
    return pa.array(of, mask=of < 0)


def _combinations(experts: Sequence[str]) -> pa.Array | None:
    """Names of every set of experts, in the order of the numbers whose bits stand for them."""
    if not experts:
        return None
    sets = range(1 << len(experts))
    return pa.array([" ".join(e for b, e in enumerate(experts) if s >> b & 1) for s in sets])


def _encode(names: list[str]) -> tuple[NDArray[np.int32], pa.Array]:
    encoded = pa.array(names, pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int32), encoded.dictionary


def _tile(encoded: tuple[NDArray[np.int32], pa.Array], times: int) -> pa.DictionaryArray:
    codes, names = encoded
    return pa.DictionaryArray.from_arrays(pa.array(np.tile(codes, times)), names)
