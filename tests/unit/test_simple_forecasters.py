"""persistence, seasonal and ema against the same written out plainly, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.testing import forecaster as conformance
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.ema.forecaster import Ema
from gapcast.plugins.forecasters.ema.kernel import choose, compare
from gapcast.plugins.forecasters.persistence import Persistence
from gapcast.plugins.forecasters.seasonal import Seasonal

HOUR = 3_600_000_000

TestEmaCorrelated = conformance(Ema, Ema.Params(neighbours=Neighbours(correlated=2)))
TestSeasonalHours = conformance(Seasonal, Seasonal.Params(period="3h", periods=4, decay=1.0))


def run(model, values, horizons=(0,), own=None, first=7, level=0.9):
    """(T, N, H) forecasts of every column of `values` (T, N), one an hour."""
    network = Network.of([Series(str(i), "x") for i in range(values.shape[1])])
    layout = lay_out(network, network.series, Model("m", model, horizons, level), HOUR)
    return model.step(model.start(layout), view(layout, first, values, own))


def series(*values):
    """(T, 1) of these, None where missing."""
    return np.array([[np.nan if v is None else float(v)] for v in values])


def waves(T=200, N=4, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = 20 + np.cumsum(rng.normal(size=(T, N)), axis=0)
    values[rng.random((T, N)) < missing] = np.nan
    return values


def test_persistence_holds_the_last_value_seen():
    out = run(Persistence(Persistence.Params()), series(None, 1, None, None, 4, 5), (0, 1, 9))
    expected = {0: [np.nan, np.nan, 1, 1, 1, 4], 1: [np.nan, 1, 1, 1, 4, 5]}
    np.testing.assert_array_equal(out.mean[:, 0, 0], expected[0])
    np.testing.assert_array_equal(out.mean[:, 0, 1], expected[1])
    np.testing.assert_array_equal(out.mean[:, 0, 2], expected[1])


def test_seasonal_repeats_the_last_period():
    model = Seasonal(Seasonal.Params(period="3h"))
    out = run(model, series(1, 2, 3, 4, None, None, None, None, 9, 10), (0, 1, 2, 7))
    nan = np.nan
    np.testing.assert_array_equal(out.mean[:, 0, 0], [nan, 1, 2, 1, 2, 3, 4, 2, 3, 4])
    np.testing.assert_array_equal(out.mean[:, 0, 1], [1, 2, 1, 2, 3, 4, 2, 3, 4, 2])
    np.testing.assert_array_equal(out.mean[2:, 0, 3], [1, 2, 3, 4, 2, 3, 4, 2])


def test_seasonal_reaches_back_past_a_period_never_seen():
    model = Seasonal(Seasonal.Params(period="2h", periods=3))
    values = series(1, 2, 3, None, 5, 6, None, None)
    out = run(model, values).mean[:, 0, 0]
    np.testing.assert_allclose(out[4:], [7 / 3, 2, 3.857142857142857, 4.285714285714286])


@settings(max_examples=30, deadline=None)
@given(
    period=st.integers(1, 6),
    periods=st.integers(1, 4),
    decay=st.sampled_from([0.25, 0.5, 1.0]),
    missing=st.sampled_from([0.0, 0.4]),
    horizon=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_seasonal_is_the_decaying_mean_of_earlier_periods(
    period, periods, decay, missing, horizon, seed
):
    values = waves(60, 1, missing, seed)
    params = Seasonal.Params(period=f"{period}h", periods=periods, decay=decay)
    mean = run(Seasonal(params), values, (horizon,)).mean[:, 0, 0]
    filled, last = [], np.nan
    for t, x in enumerate(values[:, 0]):
        nowcast = earlier(filled, t, period, periods, decay, last)
        filled.append(nowcast if np.isnan(x) else x)
        last = last if np.isnan(x) else x
        found = nowcast
        if horizon > 0:
            found = earlier(filled, t + horizon, period, periods, decay, last)
        np.testing.assert_allclose(mean[t], found, rtol=1e-12)


def earlier(filled, step, period, periods, decay, last):
    """The weighted mean of `filled` whole periods before `step`, of those within reach."""
    back = [step - k * period for k in range(1, step // period + 1)]
    reach = [i for i in back if len(filled) - period * periods <= i < len(filled)]
    pairs = [(decay**k, filled[i]) for k, i in enumerate(reach) if not np.isnan(filled[i])]
    total = sum(w for w, _ in pairs)
    return sum(w * v for w, v in pairs) / total if pairs else last


def test_ema_moves_by_the_neighbours_mean_and_never_by_the_target():
    values = waves(missing=0.3)
    mean = run(Ema(Ema.Params(alpha=0.3, start=15.0)), values, (0, 4)).mean
    for n in range(4):
        level = 15.0
        for t in range(len(values)):
            others = np.delete(values[t], n)
            if not np.isnan(others).all():
                level = 0.7 * level + 0.3 * np.nanmean(others)
            np.testing.assert_allclose(mean[t, n], [level, level], rtol=1e-12)


def test_ema_without_a_start_begins_with_the_first_mean():
    values = waves(5)
    values[:2] = np.nan
    mean = run(Ema(Ema.Params(alpha=0.1)), values).mean[..., 0]
    assert np.isnan(mean[:2]).all()
    np.testing.assert_allclose(mean[2, 0], values[2, 1:].mean())


def test_ema_of_a_sensor_without_neighbours_says_nothing():
    assert np.isnan(run(Ema(Ema.Params()), series(1, 2, 3)).mean).all()


def test_ema_finds_the_neighbours_that_go_with_the_target():
    values = waves(T=300, N=6)
    values[:, 0] = values[:, 4] + 7
    params = Ema.Params(alpha=1.0, neighbours=Neighbours(correlated=1))
    mean = run(Ema(params), values).mean[..., 0]
    assert mean[0, 0] == values[0, 1]
    np.testing.assert_array_equal(mean[60:, 0], values[60:, 4])


def test_ema_chooses_by_what_a_target_may_see():
    values = waves(T=120, N=6)
    own = values.copy()
    own[50:] = np.nan
    params = Ema.Params(alpha=1.0, neighbours=Neighbours(correlated=2))
    changed = values.copy()
    changed[50:, 0] = 1e6
    one, other = (run(Ema(params), v, own=own).mean[:, 0] for v in (values, changed))
    np.testing.assert_array_equal(one, other)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_chosen_are_the_least_strange_in_order(data):
    C = data.draw(st.integers(0, 9))
    columns = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=C, max_size=C)), np.int64)
    weight = np.array(data.draw(st.lists(st.sampled_from([0.0, 2.0]), min_size=C, max_size=C)))
    strange = np.array(data.draw(st.lists(st.integers(0, 3), min_size=C, max_size=C)), float)
    chosen = np.full(data.draw(st.integers(1, 5)), 99)
    choose(columns, weight, strange, chosen)
    there = [i for i in range(C) if columns[i] >= 0]
    there.sort(key=lambda i: (weight[i] == 0, strange[i], i))
    expected = [columns[i] for i in there] + [-1] * len(chosen)
    assert chosen.tolist() == expected[: len(chosen)]


def test_strangeness_is_the_forgotten_variance_of_the_difference():
    values = waves(80, 3, missing=0.2)
    weight, offset, strange = np.zeros((3, 2))
    for row in values:
        compare(row[0], row, np.array([1, -1]), 0.9, weight, offset, strange)
    d = (values[:, 0] - values[:, 1])[~np.isnan(values[:, 0] - values[:, 1])]
    w = 0.9 ** np.arange(len(d))[::-1]
    mean = (w * d).sum() / w.sum()
    np.testing.assert_allclose(offset, [mean, 0])
    np.testing.assert_allclose(strange, [(w * (d - mean) ** 2).sum() / w.sum(), 0])


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("model", [Seasonal(Seasonal.Params()), Ema(Ema.Params())])
def test_intervals_hold_their_share(model, level):
    rng = np.random.default_rng(3)
    values = 20 + rng.normal(size=(3000, 4))
    out = run(model, values, (0, 5), level=level)
    truth = np.stack([values, np.roll(values, -5, axis=0)], axis=2)[200:-5]
    inside = (out.lower[200:-5] <= truth) & (truth <= out.upper[200:-5])
    np.testing.assert_allclose(inside.mean(axis=(0, 1)), level, atol=0.03)
    assert np.isnan(out.lower[0]).all()
