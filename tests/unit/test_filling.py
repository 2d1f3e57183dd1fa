"""Whole records filled: nothing seen is touched, both ends count, the past is kept where asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.filling.fill import Origin, fill, model
from gapcast.engine.filling.passes import BothWays, Playing
from gapcast.engine.filling.record import NEVER, Record, ends
from gapcast.engine.filling.rehearsal import planted
from gapcast.engine.filling.ways import WAYS, estimates
from gapcast.engine.filling.weighing import _shares
from gapcast.engine.forecaster import Forecast, Forecaster, Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import Shard

HOUR = 3_600_000_000
DAY = 24
FIRST = 473_352
"""2024-01-01, in hours."""


def network(seed, steps=20 * DAY, series=4):
    """Sensors with a common day, a common weather, and noise of their own."""
    rng = np.random.default_rng(seed)
    weather = np.zeros(steps)
    for t in range(1, steps):
        weather[t] = 0.97 * weather[t - 1] + rng.normal(0, 0.5)
    day = 4 * np.sin(2 * np.pi * np.arange(steps) / DAY)
    own = rng.normal(0, 0.3, (steps, series)) + rng.normal(0, 3, series)
    return (day + weather)[:, None] + own


def record(values):
    """Hourly, a sensor a column."""
    values = np.array(values, float)
    names = (Series(f"{i:03d}", "t") for i in range(values.shape[1]))
    return Record(values, tuple(names), HOUR, FIRST)


def with_gaps(values, seed, share=0.1, longest=12):
    """A copy with gaps of each series by itself."""
    rng = np.random.default_rng(seed + 1)
    out = values.copy()
    while np.isnan(out).mean() < share:
        at, length = rng.integers(0, len(out)), rng.integers(1, longest + 1)
        out[at : at + length, rng.integers(0, out.shape[1])] = np.nan
    return out


def rmse(filled, truth, gone):
    return float(np.sqrt(np.mean((filled - truth)[gone] ** 2)))


@pytest.mark.parametrize("causal", [False, True])
def test_what_was_seen_stays_and_all_else_is_filled_with_an_interval(causal):
    truth = network(1)
    values = with_gaps(truth, 1)
    values[:5, 0] = np.nan
    values[-5:, 1] = np.nan
    found = fill(record(values), causal=causal)
    gone = np.isnan(values)
    assert (found.values[~gone] == values[~gone]).all()
    assert np.isnan(found.lower[~gone]).all()
    assert np.isnan(found.upper[~gone]).all()
    assert (found.origin[~gone] == Origin.OBSERVED).all()
    late = gone & (np.arange(len(values)) > 30)[:, None]
    assert (found.lower[late] <= found.values[late]).all()
    assert (found.values[late] <= found.upper[late]).all()
    assert (found.origin[-5:, 1] == Origin.AFTER).all()
    if not causal:
        assert not np.isnan(found.values).any()
        assert (found.origin[:5, 0] == Origin.BEFORE).all()
        inside = gone[5:-5, 2:]
        assert {*found.origin[5:-5, 2:][inside]} == {Origin.BETWEEN}


def test_a_record_without_gaps_comes_back():
    values = network(2, steps=50)
    found = fill(record(values))
    np.testing.assert_array_equal(found.values, values)
    assert (found.origin == Origin.OBSERVED).all()


def test_a_series_that_never_had_a_value_stays_empty():
    values = network(3, steps=10 * DAY)
    values[:, 2] = np.nan
    values[50:60, 0] = np.nan
    found = fill(record(values))
    assert np.isnan(found.values[:, 2]).all()
    assert (found.origin[:, 2] == Origin.NOWHERE).all()
    assert not np.isnan(found.values[:, [0, 1, 3]]).any()


def test_a_record_of_nothing_stays_empty():
    assert np.isnan(fill(record(np.full((30, 2), np.nan))).values).all()


@pytest.mark.parametrize("longest", [3, 30])
def test_both_ends_are_worth_more_than_one(longest):
    """Averaged over networks: less error than the past alone, and than a straight line."""
    both, past, line = [], [], []
    for seed in range(4):
        truth = network(seed)
        values = with_gaps(truth, seed, longest=longest)
        gone = np.isnan(values)
        of = record(values)
        both.append(rmse(fill(of).values, truth, gone))
        past.append(rmse(np.nan_to_num(fill(of, causal=True).values), truth, gone))
        lines = [np.interp(range(len(v)), np.flatnonzero(v == v), v[v == v]) for v in values.T]
        line.append(rmse(np.array(lines).T, truth, gone))
    assert np.mean(both) < 0.95 * np.mean(past)
    assert np.mean(both) < 0.9 * np.mean(line)


def test_a_smooth_signal_is_filled_by_its_ends():
    """Where a straight line is hard to beat, the rehearsal finds it."""
    steps = 30 * DAY
    truth = np.cumsum(np.random.default_rng(5).normal(0, 1, (steps, 1)), axis=0)
    values = with_gaps(truth, 5, longest=6)
    gone = np.isnan(values)
    line = np.interp(range(steps), np.flatnonzero(~gone), truth[~gone])
    assert rmse(fill(record(values)).values, truth, gone) < 1.03 * rmse(line[:, None], truth, gone)


def test_intervals_hold_about_what_they_say():
    held = []
    for seed in range(4):
        truth = network(seed, steps=40 * DAY)
        values = with_gaps(truth, seed)
        found, gone = fill(record(values), level=0.8), np.isnan(values)
        held.append(((found.lower <= truth) & (truth <= found.upper))[gone].mean())
    assert 0.72 < np.mean(held) < 0.92


def nowcasts(of):
    """What a run says of every step."""
    chosen = Model("m", model())
    layout = lay_out(of.network, of.series, chosen, of.interval)
    shard = Shard(Plan((chosen,), (layout,), Evaluation(), DAY * HOUR, layout.targets))
    nothing = np.full(of.values.shape, np.nan)
    rows = shard.step(GridFrame(of.first, of.values, nothing)).rows[0]
    return rows.mean[..., 0], rows.lower[..., 0], rows.upper[..., 0]


def test_causal_values_are_what_a_run_says():
    values = with_gaps(network(6), 6)
    gone = np.isnan(values)
    found = fill(record(values), causal=True)
    for own, of in zip((found.values, found.lower, found.upper), nowcasts(record(values)),
                       strict=True):  # fmt: skip
        np.testing.assert_array_equal(own[gone], of[gone])


@given(st.integers(0, 2**32 - 1), st.integers(2, 5 * DAY), st.integers(1, 3))
@settings(deadline=None, max_examples=15)
def test_the_future_changes_no_causal_value(seed, cut, series):
    """Whatever comes after a moment, what was filled up to it stays bit for bit."""
    values = with_gaps(network(seed, steps=5 * DAY + 20, series=series), seed, share=0.3)
    whole = fill(record(values), causal=True)
    early = fill(record(values[:cut]), causal=True)
    for all_of_it, then in zip(whole, early, strict=True):
        np.testing.assert_array_equal(all_of_it[:cut], then)


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_withheld_gaps_had_values(seed, steps, series):
    rng = np.random.default_rng(seed)
    missing = rng.random((steps, series)) < rng.random()
    assert not (planted(missing) & missing).any()


def test_gaps_are_rehearsed_as_they_are():
    missing = np.zeros((400, 3), bool)
    missing[300:310, :2] = True
    found = planted(missing)
    lengths = [np.diff(np.flatnonzero(np.diff(np.r_[0, c, 0])))[::2] for c in found.T.astype(int)]
    assert {*lengths[0]} == {*lengths[1]} == {10}
    assert len(lengths[2]) == 0
    assert (found[:, 0] == found[:, 1]).all()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.95])
def test_most_values_are_left_to_learn_from(share):
    missing = np.random.default_rng(2).random((2000, 5)) < share
    found = planted(missing)
    assert 0.1 < found.sum() / (~missing).sum() < 0.5


def test_ends_of_gaps():
    missing = np.array([[1, 0, 1, 1, 0, 1]], bool).T
    found = ends(missing)
    assert found.since[:, 0].tolist() == [NEVER, 0, 1, 2, 0, 1]
    assert found.until[:, 0].tolist() == [1, 0, 2, 1, 0, NEVER]


def test_backwards_a_day_is_still_a_day():
    """A day that rises slowly and falls fast, backwards: known by its hours."""
    steps = 30 * DAY
    truth = np.tile(np.r_[np.linspace(0, 10, 20), np.linspace(8, 2, 4)], 30)[:, None]
    truth = truth + np.random.default_rng(7).normal(0, 0.2, truth.shape)
    values = truth.copy()
    values[5 * DAY : 8 * DAY] = np.nan
    of = record(values)
    models = BothWays(of, model(), 0.9, lambda values: None)
    models.rehearse(of)
    forwards, backwards = models.play()
    gone = np.isnan(values)
    assert len(forwards.mean) == steps
    assert rmse(backwards.mean, truth, gone) < 0.5
    assert rmse(forwards.mean, truth, gone) < 0.5


class Hold(Forecaster):
    """Says the last value, with an interval that grows; notes the steps it was given."""

    def start(self, layout):
        return {"last": np.full(layout.u, np.nan), "age": np.zeros(layout.u)}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        steps = self.__dict__.setdefault("steps", [])
        for t in range(frame.t):
            steps.append(frame.first + t)
            state["age"] += 1
            out.mean[t, :, 0] = state["last"]
            width = np.sqrt(state["age"])
            out.lower[t, :, 0], out.upper[t, :, 0] = state["last"] - width, state["last"] + width
            seen = ~np.isnan(frame.own[t])
            state["last"][seen] = frame.own[t][seen]
            state["age"][seen] = 0
        return out


def test_a_model_without_a_reference_is_joined_by_its_intervals():
    values = np.r_[np.zeros(40), [np.nan] * 3, np.full(40, 4.0)][:, None]
    of = record(values)
    hold = Hold(Hold.Params())
    said = estimates(of, BothWays(of, hold, 0.9, lambda values: None).play())
    assert np.isnan(said.ways[WAYS.index("bridge"), 40:43]).all()
    both = said.ways[WAYS.index("both"), 40:43, 0]
    assert both[0] < both[1] < both[2]
    assert both[1] == pytest.approx(2.0)
    np.testing.assert_allclose(said.ways[WAYS.index("line"), 40:43, 0], [1.0, 2.0, 3.0])


def test_steps_between_two_records_are_played_without_values():
    hold = Hold(Hold.Params())
    of = record(np.zeros((10, 1)))
    playing = Playing(of, hold, 0.9, lambda values: None)
    playing.play(of.moved(-15))
    playing.play(of)
    assert hold.steps == list(range(FIRST - 15, FIRST + 10))


def test_it_tells_how_far_it_is():
    told = []
    fill(record(with_gaps(network(8), 8)), told=told.append)
    assert sum(told) >= 4 * 20 * DAY * 4


def test_a_constant_series_decides_for_no_other():
    """Its errors are rounding, whichever way is taken."""
    ways, steps = len(WAYS), 200
    square = np.full((ways, steps, 2), 4.0)
    square[WAYS.index("both"), :, 0] = 1.0
    square[:, :, 1] = 1e-32
    square[WAYS.index("line"), :, 1] = 0.0
    withheld, classes = np.ones((steps, 2), bool), np.zeros((steps, 2), np.int64)
    least = np.array([1e-12, 1e-26])
    one = _shares(square[:, :, :1], withheld[:, :1], classes[:, :1], least[:1])[:, 0, 0]
    two = _shares(square, withheld, classes, least)[:, 0, 0]
    assert one.argmax() == two.argmax() == WAYS.index("both")
    assert (two[WAYS.index("line")] < 0.2) & (one[WAYS.index("line")] < 0.2)
