"""Scores by the table of `gapcast.engine.metrics`, per window, run and gap age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import cast

import numpy as np
import pyarrow as pa

from gapcast.engine.forecaster import Floats, Ints, Model, Series, State
from gapcast.engine.metrics import COUNT, FIELDS, METRICS, accumulate
from gapcast.engine.readings import TIME
from gapcast.engine.shard.results import ModelRows, Steps
from gapcast.engine.sink import STATUSES

UNSET = np.iinfo(np.int64).min
GAP_AGES = {
    "< 1 h": 3_600_000_000,
    "< 6 h": 6 * 3_600_000_000,
    "< 1 d": 86_400_000_000,
    "longer": None,
}
"""Classes of how long a target had been missing, by their upper bounds in microseconds."""

_KEY = [("sensor", pa.string()), ("quantity", pa.string()), ("model", pa.string())]
_ERRORS = [(metric.name, pa.float64()) for metric in METRICS]
_WINDOW = [("start", TIME), ("end", TIME)]
_N = ("n", pa.int64())
SCORES = pa.schema([*_WINDOW, *_KEY, ("horizon", pa.int32()), _N, *_ERRORS])
GAP_SCORES = pa.schema([*_KEY, ("horizon", pa.int32()), ("gap", pa.string()), _N, *_ERRORS])


class Scorer:
    """Keeps the running sums of one model's errors over the targets of a shard.

    All of its state is in arrays with the targets on the leading axis (`state`), and a window is
    handed over when the first step of the next one comes.
    """

    def __init__(
        self, targets: int, model: Model, interval: int, window: int, period: Floats | None = None
    ) -> None:
        """period: (targets,) after which their quantities begin anew, 0: never; None: all never."""
        self._period = np.zeros(targets) if period is None else period
        self.horizons = model.horizons
        self.interval = interval
        self.window = window
        self._ages: Ints = np.array([-(-b // interval) for b in GAP_AGES.values() if b is not None])
        self._deviation = 1 / NormalDist().inv_cdf((1 + model.level) / 2)
        shape = (targets, len(self.horizons), FIELDS)
        self.state: State = {
            "total": np.zeros(shape),
            "window": np.zeros(shape),
            "by_gap": np.zeros((*shape[:2], len(GAP_AGES), FIELDS)),
            "current": np.full(targets, UNSET),
        }

    def add(
        self, first: int, rows: ModelRows, by_lag: Mapping[int, Steps], scored: str
    ) -> list[tuple[int, Floats]]:
        """Score rows made from step `first` on; returns windows that ended: (index, sums).

        by_lag: what became of the steps so far back that rows are for, 0: of those in which they
        were made; errors count in the window in which their row was made. scored: the status that
        counts.
        """
        finished = []
        start, T = 0, len(rows.mean)
        while start < T:
            index = (first + start) * self.interval // self.window
            stop = min(T, -(-(index + 1) * self.window // self.interval) - first)
            finished += self._turn(index)
            for lag, steps in by_lag.items():
                self._accumulate(
                    rows.cut(slice(start, stop)), lag, steps.cut(slice(start, stop)), scored
                )
            start = stop
        return finished

    def _accumulate(self, rows: ModelRows, lag: int, steps: Steps, scored: str) -> None:
        """Add the errors of the horizons whose rows come `lag` steps after their step."""
        of = self.horizons.places(lag)
        if of.start == of.stop:
            return
        state = self.state
        accumulate(
            rows.mean[..., of], rows.lower[..., of], rows.upper[..., of], steps.truth,
            steps.status == STATUSES.index(scored), steps.age, self._ages, self._deviation,
            self._period, state["total"][:, of], state["window"][:, of], state["by_gap"][:, of],
        )  # fmt: skip

    def _turn(self, index: int) -> list[tuple[int, Floats]]:
        current = self.state["current"]
        if len(current) == 0 or current[0] == index:
            return []
        done = self.finish()
        current[:] = index
        return done

    def finish(self) -> list[tuple[int, Floats]]:
        """Hand over the window in progress, if there is one."""
        current, sums = self.state["current"], self.state["window"]
        if len(current) == 0 or current[0] == UNSET:
            return []
        done = [(int(current[0]), cast(Floats, sums.copy()))]
        current[:] = UNSET
        sums[:] = 0
        return done


def names(targets: Sequence[Series]) -> pa.Table:
    """Sensor and quantity of each target, as columns."""
    sensors = pa.array((t.sensor for t in targets), pa.string(), size=len(targets))
    return pa.table(
        {
            "sensor": sensors,
            "quantity": pa.array((t.quantity for t in targets), pa.string(), size=len(targets)),
        }
    )


def table(
    sums: Floats,
    targets: pa.Table,
    model: str,
    horizons: Sequence[int],
    extra: Mapping[str, object],
    schema: pa.Schema,
) -> pa.Table:
    """Scores as rows: `sums` (N, H, ..., FIELDS) flattened, cells without an error left out.

    targets: their `names`. extra: the columns that `schema` has beyond key, horizon and
    errors, each a scalar, or an array over the cells between H and FIELDS.
    """
    cells = sums.reshape(-1, FIELDS)
    inner = len(cells) // max(1, len(targets) * len(horizons))
    at = np.flatnonzero(cells[:, COUNT])
    cells = cells[at]
    target = at // (inner * len(horizons))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        **{name: targets[name].take(pa.array(target)) for name in ("sensor", "quantity")},
        "model": pa.repeat(pa.scalar(model), len(at)),
        "horizon": pa.array(np.asarray(horizons, np.int32)[at // inner % len(horizons)]),
        "n": pa.array(cells[:, COUNT].astype(np.int64)),
        **{m.name: pa.array(m.of(cells), mask=m.counted(cells) == 0) for m in METRICS},
    }
    for name, value in extra.items():
        if isinstance(value, pa.Array):
            columns[name] = value.take(pa.array(at % inner))
        else:
            columns[name] = pa.repeat(pa.scalar(value, schema.field(name).type), len(at))
    return pa.table([columns[f.name] for f in schema], schema=schema)
