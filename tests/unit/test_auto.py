"""The `auto` forecaster: what its experts say, and that the best of them is listened to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from gapcast.engine.forecaster import Layout, Series
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.auto.cross import conditional, conditional_covariance, new_cross
from gapcast.plugins.forecasters.auto.forecaster import Auto
from gapcast.plugins.forecasters.persistence import Persistence

HALF_HOUR = 1_800_000_000
DAY = 48


def layout(n, horizons=(0,), interval=HALF_HOUR):
    none = np.empty((n, 1, 0), np.int64)
    return Layout(
        interval, tuple(Series(str(i), "v") for i in range(n)), np.arange(n), none, none[:, 0],
        None, np.array(horizons), 0.9, np.zeros(n, np.int64), np.arange(n)[None],
    )  # fmt: skip


def played(values, horizons=(0,), forecaster=None, interval=HALF_HOUR, own=None):
    model, where = forecaster or Auto(Auto.Params()), layout(values.shape[1], horizons, interval)
    return model.step(model.start(where), view(where, 48_000, values, own))


def rmse(forecast, truth, where, h=0):
    return np.sqrt(np.nanmean((forecast.mean[..., h] - truth)[where] ** 2))


def hidden(values, rows, columns):
    seen, where = values.copy(), np.zeros(values.shape, bool)
    where[rows, columns] = True
    seen[where] = np.nan
    return seen, where


@njit
def _conditional(P, q, missing, count, m, s, scale, out):
    conditional(P, q, missing, count, m, s)
    conditional_covariance(count, scale, missing, s, out)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.data())
def test_what_the_seen_say_is_the_conditional_mean(seed, m, data):
    count = data.draw(st.integers(0, m - 1))
    rng = np.random.default_rng(seed)
    cov = np.cov(rng.normal(size=(m, 3 * m))) + 0.1 * np.eye(m)
    K, d = np.linalg.inv(cov), rng.normal(size=m)
    missing = np.sort(rng.permutation(m)[:count])
    d[missing] = 0.0
    s, out = new_cross(m), np.zeros((m, m))
    s.d[:] = d
    places = np.zeros(m, np.int64)
    places[:count] = missing
    _conditional(K - np.diag(np.diag(K)), np.diag(K).copy(), places, count, m, s, np.ones(m), out)
    for i in range(m):
        by = np.setdiff1d(np.arange(m), [*missing, i])
        expected = cov[i, by] @ np.linalg.solve(cov[np.ix_(by, by)], d[by]) if len(by) else 0.0
        assert s.fit[i] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    by = np.setdiff1d(np.arange(m), missing)
    given_seen = cov[np.ix_(missing, missing)] - cov[np.ix_(missing, by)] @ np.linalg.solve(
        cov[np.ix_(by, by)], cov[np.ix_(by, missing)]
    )
    np.testing.assert_allclose(out[:count, :count], given_seen, rtol=1e-6, atol=1e-9)


def test_one_value_is_held():
    values = np.full((10, 1), np.nan)
    values[0] = 7.0
    found = played(values, (0, 3))
    assert np.isnan(found.mean[0, 0, 0])
    assert (found.mean[1:, 0] == 7.0).all()


def test_a_sensor_alone_has_its_day_back_in_a_gap():
    t = np.arange(20 * DAY)
    truth = (20 + 5 * np.sin(2 * np.pi * t / DAY))[:, None]
    seen, where = hidden(truth, slice(15 * DAY, 17 * DAY), 0)
    assert rmse(played(seen), truth, where) < 0.3
    held = rmse(played(seen, forecaster=Persistence(Persistence.Params())), truth, where)
    assert held > 3


def test_steps_ahead_follow_the_day():
    t = np.arange(20 * DAY)
    truth = (20 + 5 * np.sin(2 * np.pi * t / DAY))[:, None]
    found = played(truth, (0, 24))
    late = slice(15 * DAY, -24)
    assert np.abs(found.mean[late, 0, 1] - np.roll(truth, -24)[late, 0]).max() < 0.5


def test_a_random_walk_is_held_and_has_no_day():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(4000, 1)).cumsum(axis=0)
    seen, where = hidden(truth, slice(3000, 3040), 0)
    held = rmse(played(seen, forecaster=Persistence(Persistence.Params())), truth, where)
    assert rmse(played(seen), truth, where) < 1.3 * held


def test_near_duplicates_speak_for_each_other_and_not_when_they_are_missing_too():
    rng = np.random.default_rng(5)
    walk = rng.normal(size=(3000, 2)).cumsum(axis=0)
    truth = np.column_stack([walk[:, 0], 2 * walk[:, 0] + 3, walk[:, 1]])
    truth += 0.02 * rng.normal(size=truth.shape)
    seen, where = hidden(truth, slice(2500, 2600), [0])
    assert rmse(played(seen), truth, where) < 0.2
    seen, where = hidden(truth, slice(2500, 2600), [0, 1])
    spread = truth[2500:2600, 0].std()
    assert rmse(played(seen), truth, where) < 20 * max(spread, 1)


def test_a_stranger_beside_two_near_duplicates_spoils_nothing():
    rng = np.random.default_rng(4)
    pair = rng.normal(size=(600, 1)).cumsum(axis=0) + 0.2 * rng.normal(size=(600, 2))
    seen = np.where(rng.random(pair.shape) < 0.1, np.nan, pair)
    where = np.isnan(seen)
    where[:100] = False
    alone = rmse(played(seen), pair, where)
    for stranger in (rng.normal(size=600), np.full(600, 0.1)):
        beside = played(np.column_stack([seen, stranger]))
        found = np.sqrt(np.nanmean((beside.mean[:, :2, 0] - pair)[where] ** 2))
        assert found < 1.1 * alone


def test_the_scale_of_values_changes_nothing():
    rng = np.random.default_rng(8)
    truth = rng.normal(size=(600, 4)) @ rng.normal(size=(4, 4))
    seen = np.where(rng.random(truth.shape) < 0.1, np.nan, truth)
    plain, scaled = played(seen), played(1000 * seen)
    np.testing.assert_allclose(1000 * plain.mean, scaled.mean, rtol=1e-5, atol=1e-5)


def test_a_single_absurd_value_spoils_nothing_for_long():
    rng = np.random.default_rng(9)
    truth = rng.normal(size=(1500, 1)).cumsum(axis=0) * 0.1 + rng.normal(size=(1500, 5)) * 0.1
    broken = truth.copy()
    broken[700, 2] = 1e6
    seen, where = hidden(broken, slice(900, 1000), [1])
    assert rmse(played(seen), truth, where) < 0.5


def test_a_constant_sensor_and_one_that_is_never_seen():
    rng = np.random.default_rng(2)
    truth = np.column_stack([np.full(400, 3.0), rng.normal(size=400), np.full(400, np.nan)])
    found = played(truth)
    assert found.mean[50:, 0, 0] == pytest.approx(3.0, abs=1e-6)
    assert np.isfinite(found.mean[2:, :2]).all()
    assert np.isnan(found.mean[:, 2]).all()


def test_experts_are_named_and_regressors_counted():
    rng = np.random.default_rng(4)
    walk = rng.normal(size=(500, 1)).cumsum(axis=0)
    found = played(walk + 0.01 * rng.normal(size=(500, 4)))
    network = sum(1 << Auto.experts.index(name) for name in ("joint", "few", "network"))
    assert (found.experts[300:, :, 0] & network > 0).all()
    assert (found.regressors[300:] == 3).all()


def test_no_rain_is_less_than_none():
    rng = np.random.default_rng(6)
    rain = np.where(rng.random((2000, 3)) < 0.1, rng.gamma(1, 5, (2000, 3)), 0.0)
    rain[1500:1600, 1] = np.nan
    found = played(rain, (0, 6))
    assert (found.mean[200:] >= 0).all()
    assert (found.lower[200:] >= 0).all()


def test_a_step_ahead_in_a_gap_begins_at_the_nowcast():
    rng = np.random.default_rng(12)
    walk = rng.normal(size=(2000, 1)).cumsum(axis=0)
    truth = walk + 0.05 * rng.normal(size=(2000, 5))
    seen, _ = hidden(truth, slice(1500, 1700), [2])
    found = played(seen, (0, 1))
    ahead = np.roll(found.mean[:, 2, 1], 1)[1550:1700]
    assert np.sqrt(np.mean((ahead - truth[1550:1700, 2]) ** 2)) < 1.5
    covered = np.roll(found.lower[:, 2, 1], 1) <= truth[:, 2]
    covered &= truth[:, 2] <= np.roll(found.upper[:, 2, 1], 1)
    assert covered[1550:1700].mean() > 0.7


def test_a_sensor_that_joins_late_is_soon_one_of_the_network():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(3400, 1)).cumsum(axis=0) + 0.05 * rng.normal(size=(3400, 4))
    truth[:3000, 3] = np.nan
    seen, where = hidden(truth, slice(3300, 3350), [3])
    assert rmse(played(seen), truth, where) < 0.3


def test_what_nobody_says_is_not_made_up_where_all_others_are_withheld():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(60, 2)).cumsum(axis=0)
    truth[:40, 1] = np.nan
    own = truth.copy()
    own[38:45, 0] = np.nan
    runs = []
    for _ in range(3):
        junk = [np.full(k, 1e6) for k in range(1, 300)]
        del junk
        runs.append(played(truth, own=own).mean)
    for run in runs[1:]:
        np.testing.assert_array_equal(runs[0], run)
    assert np.nanmax(np.abs(runs[0])) < 100


@settings(max_examples=8, deadline=None)
@given(st.floats(9.0, 70.0), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_period_that_no_calendar_knows_is_found(period, sensors, seed):
    rng, steps = np.random.default_rng(seed), np.arange(1200.0)[:, None]
    turns = steps / period + rng.uniform(size=sensors)
    values = np.sin(2 * np.pi * turns) + 0.4 * np.cos(4 * np.pi * turns)
    values += 0.1 * rng.normal(size=values.shape)
    seen, where = hidden(values, slice(1050, 1050 + int(2 * period)), slice(None))
    found = played(seen, interval=1_000_000)
    assert rmse(found, values, where) < 0.4 * values.std()


def test_noise_and_what_repeats_daily_has_no_other_period():
    rng, steps = np.random.default_rng(5), np.arange(2000.0)[:, None]
    daily = np.sin(2 * np.pi * steps / DAY + np.arange(3)) + 0.1 * rng.normal(size=(2000, 3))
    for values in (rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3)).cumsum(0), daily):
        model, where = Auto(Auto.Params()), layout(3)
        state = model.start(where)
        model.step(state, view(where, 48_000, values))
        assert state["found/cycle"][0, 0] == 0


def test_a_period_tells_no_target_its_own_withheld_truth():
    rng, steps = np.random.default_rng(3), np.arange(1400.0)[:, None]
    values = np.sin(2 * np.pi * (steps / 35.8 + rng.uniform(size=3))) + 0.1 * rng.normal(
        size=(1400, 3)
    )
    own = values.copy()
    own[600:1000, 1] = np.nan
    other = values.copy()
    other[600:1000, 1] += 3
    one, two = (played(of, own=np.where(np.isnan(own), np.nan, own)) for of in (values, other))
    np.testing.assert_allclose(one.mean[1000:, 1], two.mean[1000:, 1], atol=1e-9)


def test_a_long_gap_does_not_make_a_period_forgotten():
    steps = np.arange(4200.0)[:, None]
    noise = 0.1 * np.random.default_rng(0).normal(size=steps.shape)
    values = 3 * np.sin(2 * np.pi * steps / 74.5) + noise
    seen, where = hidden(values, slice(2060, 3960), slice(None))
    found = played(seen, interval=1_000_000)
    late = where.copy()
    late[:3400] = False
    assert rmse(found, values, late) < 1.5
