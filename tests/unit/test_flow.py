"""From frames to epochs: what a backend may do in between without changing what sinks get."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.output.rows import Rows
from gapcast.engine.shard.results import ModelRows, StepResult, Steps
from gapcast.engine.sink import STATUSES
from gapcast.plugins.forecasters.persistence import Persistence

START = datetime(1970, 1, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def expected(result, models, names):
    """The rows of a result, one after the other, as their contract has them."""
    for model, rows in zip(models, result.ahead, strict=True):
        for i, horizon in enumerate(h for h in sorted(model.horizons) if h > 0):
            for t, n in np.ndindex(result.steps.truth.shape):
                if np.isnan(rows.mean[t, n, i]):
                    continue
                seen = result.steps.status[t, n] == STATUSES.index("observed")
                yield {
                    **row(model, horizon, rows, (t, n, i), result.first + t + horizon, names),
                    "truth": None,
                    "status": "ahead",
                    "gap_age": horizon + (0 if seen else result.steps.age[t, n]),
                }
    for model, rows in zip(models, result.rows, strict=True):
        for i, horizon in enumerate(sorted(model.horizons)):
            steps = result.lagged[0] if horizon < 0 else result.steps
            for t, n in np.ndindex(steps.truth.shape):
                if np.isnan(rows.mean[t, n, i]):
                    continue
                step = result.first + t + min(horizon, 0)
                yield {
                    **row(model, horizon, rows, (t, n, i), step, names),
                    "truth": steps.truth[t, n],
                    "status": STATUSES[steps.status[t, n]],
                    "gap_age": steps.age[t, n],
                }


def row(model, horizon, rows, at, step, names):
    """What is the same in rows of both stages."""
    return {
        "time": START + HALF_HOUR * step,
        "sensor": names[at[1]],
        "quantity": "temperature",
        "model": model.name,
        "horizon": horizon,
        "forecast": rows.mean[at],
        "lower": rows.lower[at],
        "upper": rows.upper[at],
        "regressors": None,
        "experts": None,
        "flag": None,
        "made": START + HALF_HOUR * (step - horizon),
    }


def test_rows_do_not_depend_on_where_frames_are_cut():
    rng = np.random.default_rng(3)

    def rows(horizons):
        sides = rng.normal(size=(3, 7, 4, horizons))
        sides[0][rng.random((7, 4, horizons)) < 0.2] = np.nan
        return ModelRows(*sides)

    def steps():
        status = rng.integers(0, 4, (7, 4)).astype(np.uint8)
        return Steps(rng.normal(size=(7, 4)), status, status.astype(np.int32), status * 0)

    whole = StepResult(100, steps(), [rows(4), rows(1)], [], [steps()], [rows(2), rows(0)])
    plain = Persistence(Persistence.Params())
    models = [Model("a", plain, (-2, 0, 1, 3)), Model("b", plain, (0,))]
    series = [Series(name, "temperature") for name in "abcd"]
    make = Rows(series, models, GridSpec(1_800_000_000)).table
    table, wanted = make(whole), list(expected(whole, models, "abcd"))
    assert table.to_pylist() == wanted
    for at in range(1, 7):
        head, tail = whole.cut(at)
        assert make(StepResult.joined((head, tail), np.concatenate)).equals(table)
        assert make(head).to_pylist() == [r for r in wanted if made_at(r) < 100 + at]
        assert make(tail).to_pylist() == [r for r in wanted if made_at(r) >= 100 + at]


def made_at(row):
    """The step of a frame in which a row was delivered."""
    if row["status"] == "ahead":
        return (row["made"] - START) // HALF_HOUR
    return (row["time"] - START) // HALF_HOUR - min(row["horizon"], 0)


def test_rows_of_lagged_steps_stand_at_their_own_time():
    past = Steps(
        np.array([[5.0]]),
        np.array([[2]], np.uint8),
        np.array([[4]], np.int32),
        np.array([[3]], np.uint8),
    )
    now = Steps(
        np.array([[7.0]]),
        np.array([[0]], np.uint8),
        np.array([[1]], np.int32),
        np.zeros((1, 1), np.uint8),
    )
    rows = ModelRows(*np.array([[[[1.0, 2.0]]], [[[0.0, 1.0]]], [[[3.0, 3.0]]]]))
    model = Model("a", Persistence(Persistence.Params()), (-12, 0))
    result = StepResult(100, now, [rows], [], [past])
    (late, row) = Rows([Series("1", "t")], [model], GridSpec(60_000_000)).table(result).to_pylist()
    shown = ("horizon", "forecast", "truth", "status", "gap_age", "flag")
    assert [late[k] for k in shown] == [-12, 1.0, 5.0, "withheld", 4, "drift"]
    assert [row[k] for k in shown] == [0, 2.0, 7.0, "observed", 1, None]
    assert (row["time"] - late["time"]).total_seconds() == 12 * 60
