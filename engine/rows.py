"""From the arrays of the shards to the rows that sinks receive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Model, Series
from gapcast.engine.shard import ModelRows, StepResult
from gapcast.engine.sink import FORECASTS, STATUSES


def cut(result: StepResult, steps: int) -> tuple[StepResult, StepResult]:
    """The first `steps` steps of a result and the rest; windows go with the rest."""

    def part(of: slice, first: int, windows: list[tuple[int, int, Floats]]) -> StepResult:
        rows = [ModelRows(*(a[of] for a in vars(r).values())) for r in result.rows]
        return StepResult(first, result.truth[of], result.status[of], rows, windows)

    head = part(slice(steps), result.first, [])
    return head, part(slice(steps, None), result.first + steps, result.windows)


def joined(results: Sequence[StepResult]) -> StepResult:
    """One result of the results of consecutive frames, without their windows."""
    if len(results) == 1:
        return results[0]
    rows = [
        ModelRows(*(np.concatenate(a) for a in zip(*(vars(r).values() for r in of), strict=True)))
        for of in zip(*(result.rows for result in results), strict=True)
    ]
    truth = np.concatenate([r.truth for r in results])
    return StepResult(results[0].first, truth, np.concatenate([r.status for r in results]), rows)


class Rows:
    """Makes tables of schema `FORECASTS`: by model, horizon, time and target, in this order.

    The order depends on nothing but the steps, so that a repeated epoch repeats its rows.
    """

    def __init__(self, targets: Sequence[Series], models: Sequence[Model], interval: int) -> None:
        self.interval = interval
        self.models = [(m.name, sorted(m.horizons)) for m in models]
        self._sensor = _encode([t.sensor for t in targets])
        self._quantity = _encode([t.quantity for t in targets])
        self._names = pa.array([m.name for m in models], pa.string())
        self._statuses = pa.array(STATUSES)

    def table(self, result: StepResult) -> pa.Table:
        """All models' rows of the steps of a result; a forecast of NaN makes no row."""
        T, N = result.truth.shape
        times = (result.first + np.arange(T)) * self.interval
        shared: dict[str, pa.Array] = {
            "time": pa.array(np.repeat(times, N)).cast(FORECASTS.field("time").type),
            "sensor": _tile(self._sensor, T),
            "quantity": _tile(self._quantity, T),
            "truth": pa.array(result.truth.ravel(), from_pandas=True),
            "status": pa.DictionaryArray.from_arrays(
                pa.array(result.status.ravel().astype(np.int32)), self._statuses
            ),
        }
        pieces = []
        for m, (_, horizons) in enumerate(self.models):
            code = pa.array(np.full(T * N, m, np.int32))
            shared["model"] = pa.DictionaryArray.from_arrays(code, self._names)
            for i, horizon in enumerate(horizons):
                shared["horizon"] = pa.array(np.full(T * N, horizon, np.int32))
                pieces.append(_rows(shared, result.rows[m], i))
        return pa.concat_tables(pieces)


def _rows(shared: dict[str, pa.Array], rows: ModelRows, i: int) -> pa.Table:
    mean = rows.mean[..., i].ravel()
    own = {
        "forecast": pa.array(mean),
        "lower": pa.array(rows.lower[..., i].ravel(), from_pandas=True),
        "upper": pa.array(rows.upper[..., i].ravel(), from_pandas=True),
    }
    columns = shared | own
    table = pa.table([columns[f.name] for f in FORECASTS], schema=FORECASTS)
    known = ~np.isnan(mean)
    return table if known.all() else table.filter(pa.array(known))


def _encode(names: list[str]) -> tuple[NDArray[np.int32], pa.Array]:
    encoded = pa.array(names, pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int32), encoded.dictionary


def _tile(encoded: tuple[NDArray[np.int32], pa.Array], times: int) -> pa.DictionaryArray:
    codes, names = encoded
    return pa.DictionaryArray.from_arrays(pa.array(np.tile(codes, times)), names)
