"""From frames to epochs: what a backend may do in between without changing what sinks get."""

from __future__ import annotations

import numpy as np

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.output.rows import Rows
from gapcast.engine.shard.results import ModelRows, StepResult, Steps
from gapcast.plugins.forecasters.persistence import Persistence


def test_rows_do_not_depend_on_where_frames_are_cut():
    rng = np.random.default_rng(3)

    def rows(horizons):
        sides = rng.normal(size=(3, 7, 4, horizons))
        sides[0][rng.random((7, 4, horizons)) < 0.2] = np.nan
        return ModelRows(*sides)

    def steps():
        status = rng.integers(0, 4, (7, 4)).astype(np.uint8)
        return Steps(rng.normal(size=(7, 4)), status, status.astype(np.int32))

    whole = StepResult(100, steps(), [rows(3), rows(1)], [], [steps()])
    plain = Persistence(Persistence.Params())
    models = [Model("a", plain, (-2, 0, 3)), Model("b", plain, (0,))]
    make = Rows([Series(str(i), "temperature") for i in range(4)], models, 1_800_000_000).table
    for at in range(1, 7):
        parts = whole.cut(at)
        assert make(StepResult.joined(parts, np.concatenate)).equals(make(whole))


def test_rows_of_lagged_steps_stand_at_their_own_time():
    past = Steps(np.array([[5.0]]), np.array([[2]], np.uint8), np.array([[4]], np.int32))
    now = Steps(np.array([[7.0]]), np.array([[0]], np.uint8), np.array([[1]], np.int32))
    rows = ModelRows(*np.array([[[[1.0, 2.0]]], [[[0.0, 1.0]]], [[[3.0, 3.0]]]]))
    model = Model("a", Persistence(Persistence.Params()), (-12, 0))
    result = StepResult(100, now, [rows], [], [past])
    (late, row) = Rows([Series("1", "t")], [model], 60_000_000).table(result).to_pylist()
    shown = ("horizon", "forecast", "truth", "status", "gap_age")
    assert [late[k] for k in shown] == [-12, 1.0, 5.0, "withheld", 4]
    assert [row[k] for k in shown] == [0, 2.0, 7.0, "observed", 1]
    assert (row["time"] - late["time"]).total_seconds() == 12 * 60
