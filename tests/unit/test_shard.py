"""Shards: alignment of horizons, blackouts, release, scores, and that cutting changes nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gapcast.engine.errors import ContractError
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.metrics import METRICS
from gapcast.engine.output.rows import Rows
from gapcast.engine.parallel.shares import Shares
from gapcast.engine.plugin import Params
from gapcast.engine.shard.evaluation import Evaluation, Gaps, Segment, Span, spans_of
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import MISSING, OBSERVED, REJECTED, WITHHELD, Shard
from gapcast.engine.sink import FORECASTS, is_ahead

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Last(Forecaster):
    """The last value seen, for every horizon; the mean of the others when it is a nowcast."""

    horizons = (0, 100)

    def start(self, layout):
        return {"last": np.full(layout.n, np.nan)}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        for t in range(frame.t):
            for h, horizon in enumerate(frame.layout.horizons):
                if horizon == 0:
                    out.mean[t, :, h] = state["last"]
            seen = ~np.isnan(frame.own[t])
            state["last"][seen] = frame.own[t][seen]
            for h, horizon in enumerate(frame.layout.horizons):
                if horizon > 0:
                    out.mean[t, :, h] = state["last"]
            out.lower[t], out.upper[t] = out.mean[t] - 1, out.mean[t] + 1
        return out


class Others(Forecaster):
    """The mean of the target sensor's companions and of every other column, as seen."""

    def start(self, layout):
        return {"n": np.zeros(layout.n)}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        for n, column in enumerate(frame.layout.targets):
            rest = np.delete(frame.values, column, axis=1)
            seen = np.nan_to_num(frame.companions[:, n]).sum(axis=1)
            out.mean[:, n, 0] = np.nan_to_num(rest).sum(axis=1) + 1000 * seen
        state["n"] += frame.t
        return out


def layout(targets, horizons=(0,), series=4, companions=None):
    names = tuple(Series(str(i), "t") for i in range(series))
    n = len(targets)
    return Layout(
        HOUR, names, np.array(targets), np.full((n, 1, 0), -1),
        np.full((n, 0), -1) if companions is None else np.array(companions),
        None, np.array(horizons), 0.9, np.arange(n), np.full((n, 0), -1),
    )  # fmt: skip


def shard(forecaster=None, targets=(0, 1, 2, 3), how=None, **where):
    model = Model("m", forecaster or Last(Params()), where.pop("horizons", (0,)))
    plan = Plan(
        (model,),
        (layout(targets, model.asked, **where),),
        how or Evaluation(),
        DAY,
        np.array(targets),
    )
    return Shard(plan)


def frame(first, values, rejected=None):
    values = np.array(values, float)
    return GridFrame(first, values, np.full_like(values, np.nan) if rejected is None else rejected)


def ramp(steps, series=4):
    return np.arange(steps)[:, None] + 100.0 * np.arange(series)


def test_a_forecast_stands_at_the_step_it_is_for():
    s = shard(horizons=(0, 1, 3))
    rows = s.step(frame(10, ramp(6))).rows[0].mean[:, 0, :]
    nan = np.nan
    expected = [
        [nan, nan, nan],
        [0, 0, nan],
        [1, 1, nan],
        [2, 2, 0],
        [3, 3, 1],
        [4, 4, 2],
    ]
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("cuts", [(1, 2, 3), (5,), (1,) * 29])
@pytest.mark.parametrize("hide", ["each", "each-sensor", "together"])
@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("gaps", [None, Gaps(0.4, 1, 3)])
def test_cuts_and_shards_change_nothing(cuts, hide, release, gaps):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 4))
    values[rng.random(values.shape) < 0.2] = np.nan
    how = Evaluation(hide, release, (Span(4, 9), Span(9, 15), Span(20, 29)), None, gaps)
    whole = shard(horizons=(-3, 0, 2), how=how)
    together = whole.step(frame(0, values))
    shares = Shares([layout((0, 1, 2, 3))], 2)
    pieces = [shard(targets=t, horizons=(-3, 0, 2), how=how) for t in shares.targets]
    for s in pieces:
        s.job_targets = np.arange(4)
    at, parts = 0, []
    for cut in (*cuts, 30 - sum(cuts)):
        parts.append(shares.join([s.step(frame(at, values[at : at + cut])) for s in pieces]))
        at += cut
    for name in ("mean", "lower", "upper"):
        cut_up = np.concatenate([getattr(p.rows[0], name) for p in parts])
        np.testing.assert_array_equal(getattr(together.rows[0], name), cut_up)
    for name in ("status", "age", "truth"):
        cut_up = np.concatenate([getattr(p.steps, name) for p in parts])
        np.testing.assert_array_equal(getattr(together.steps, name), cut_up)
    for key in ("total", "by_gap"):
        np.testing.assert_array_equal(
            whole.scorers[0].state[key],
            np.concatenate([s.scorers[0].state[key] for s in pieces]),
        )


def test_in_a_blackout_a_target_sees_the_others_but_not_itself():
    how = Evaluation("each", False, (Span(2, 4),))
    last = shard(how=how).step(frame(0, ramp(5))).rows[0].mean[:, 0, 0]
    np.testing.assert_array_equal(last, [np.nan, 0, 1, 1, 1])
    seen = shard(Others(Params()), how=how).step(frame(0, ramp(5))).rows[0].mean[:, 0, 0]
    np.testing.assert_array_equal(seen, [600 + 3 * t for t in range(5)])


def test_hidden_together_nobody_sees_the_targets():
    how = Evaluation("together", False, (Span(2, 4),))
    seen = shard(Others(Params()), (0, 1), how).step(frame(0, ramp(5))).rows[0].mean[:, 0, 0]
    np.testing.assert_array_equal(seen, [600, 603, 504, 506, 612])


def test_a_whole_sensor_dark_hides_its_companions():
    values = ramp(4)
    for hide, expected in (("each", 300_000 + 1000 * np.arange(4)), ("each-sensor", None)):
        how = Evaluation(hide, False, (Span(1, 3),))
        s = shard(Others(Params()), (0,), how, companions=[[3]])
        found = s.step(frame(0, values)).rows[0].mean[:, 0, 0] // 1000 * 1000
        if expected is None:
            np.testing.assert_array_equal(found, [300_000, 0, 0, 303_000])
        else:
            np.testing.assert_array_equal(found, expected)


def test_release_goes_on_as_if_never_dark():
    values = ramp(12)
    light, masked = shard(), shard(how=Evaluation("each", True, (Span(3, 7),)))
    straight = light.step(frame(0, values)).rows[0].mean
    released = masked.step(frame(0, values)).rows[0].mean
    np.testing.assert_array_equal(straight[7:], released[7:])
    assert (released[4:7] != straight[4:7]).all()
    np.testing.assert_array_equal(light.states[0]["last"], masked.states[0]["last"])


def test_statuses_and_truths():
    values = ramp(4, 2)
    values[1, 0] = values[2, 0] = np.nan
    rejected = np.full_like(values, np.nan)
    rejected[2, 0] = 122.153
    s = shard(targets=(0, 1), how=Evaluation("each", True, (Span(3, 4),)), series=2)
    result = s.step(frame(0, values, rejected))
    assert result.steps.status[:, 0].tolist() == [OBSERVED, MISSING, REJECTED, WITHHELD]
    np.testing.assert_array_equal(result.steps.truth[:, 0], [0, np.nan, 122.153, 3])


class SureButOnce(Last):
    """Bounds at a hair's breadth from the forecast, a thousand away for step 3: no factor that
    intervals are calibrated with (1/50 to 50) changes which of the ramp's truths they hold."""

    def step(self, state, frame):
        out = super().step(state, frame)
        for t in range(frame.t):
            width = 1000.0 if frame.first + t == 3 else 1e-6
            out.lower[t], out.upper[t] = out.mean[t] - width, out.mean[t] + width
        return out


def test_scores_count_what_the_evaluation_says():
    s = shard(SureButOnce(Params()), how=Evaluation("each", True, (Span(2, 5),)))
    s.step(frame(0, ramp(8)))
    sums = s.scorers[0].state["total"][0, 0]
    found = {metric.name: (metric.of(sums), metric.counted(sums)) for metric in METRICS}
    assert (found["mse"], found["mae"]) == (((1 + 4 + 9) / 3, 3), ((1 + 2 + 3) / 3, 3))
    assert (found["bias"], found["coverage"]) == ((-6 / 3, 3), (1 / 3, 3))
    by_gap = s.scorers[0].state["by_gap"][0, 0, :, 0]
    assert by_gap.tolist() == [0, 3, 0, 0]


def test_windows_end_with_their_day():
    s = shard()
    result = s.step(frame(20, ramp(30)))
    assert [(m, day) for m, day, _ in result.windows] == [(0, 0), (0, 1)]
    assert [w[2][0, 0, 0] for w in result.windows] == [3, 24]
    ((_, day, sums),) = s.finish().windows
    assert (day, sums[0, 0, 0]) == (2, 2)
    assert s.finish().windows == []


def test_rows_are_the_public_schema_and_leave_out_what_cannot_be_told():
    s = shard(horizons=(0, 1))
    series = tuple(Series(str(i), "t") for i in range(4))
    table = Rows(series, s.models, GridSpec(HOUR)).table(s.step(frame(5, ramp(3))))
    assert table.schema == FORECASTS
    early = is_ahead(table)
    assert (early.sum(), table.num_rows) == (3 * 4, 3 * 4 + 2 * 2 * 4)
    first = table.filter(pa.array(~early)).slice(0, 1).to_pylist()[0]
    assert (first["time"].hour, first["sensor"], first["horizon"]) == (6, "0", 0)
    assert (first["forecast"], first["truth"], first["status"]) == (0.0, 1.0, "observed")


def test_a_wrong_shape_names_the_model():
    class Wrong(Last):
        def step(self, state, frame):
            return Forecast(*(np.zeros((1, 1, 1)) for _ in range(3)))

    with pytest.raises(ContractError, match=r"model 'm': step returned mean of shape"):
        shard(Wrong(Params())).step(frame(0, ramp(3)))


def test_segments_follow_the_spans():
    how = Evaluation(spans=(Span(2, 4), Span(4, 6)))
    assert list(how.segments(0, 8)) == [
        Segment(0, 2),
        Segment(2, 4, True, True, True),
        Segment(4, 6, True, True, True),
        Segment(6, 8),
    ]
    assert list(how.segments(3, 5)) == [
        Segment(3, 4, True, False, True),
        Segment(4, 5, True, True, False),
    ]


def test_spans_hold_the_steps_that_start_in_them():
    assert spans_of([(0, HOUR), (HOUR + 1, 3 * HOUR)], GridSpec(HOUR)) == (Span(0, 1), Span(2, 3))
    with pytest.raises(ValueError, match="overlap"):
        spans_of([(0, 2 * HOUR), (HOUR, 3 * HOUR)], GridSpec(HOUR))


def test_a_frame_is_what_the_contract_says():
    kept = []

    class Spy(Last):
        def step(self, state, frame):
            kept.append(frame)
            return super().step(state, frame)

    shard(Spy(Params()), targets=(1, 3)).step(frame(7, ramp(2)))
    (seen,) = kept
    assert isinstance(seen, Frame)
    assert (seen.first, seen.t) == (7, 2)
    np.testing.assert_array_equal(seen.own, ramp(2)[:, [1, 3]])
    for array in (seen.values, seen.own, seen.companions):
        assert array.flags.c_contiguous
        assert array.dtype == np.float64
