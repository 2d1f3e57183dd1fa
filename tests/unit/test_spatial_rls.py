"""`spatial-rls` against a plain recursion, on real measurements, and in all its corner cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from spatial_oracle import SpatialOracle
from waves import stepped, waves, withhold

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.kernels.moments import at
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.layouts import for_targets, lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.testing import forecaster
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.spatial_rls.forecaster import SpatialRls

Params = SpatialRls.Params
HALF_HOUR = 1_800_000_000
LEVEL_Z = 1.6448536269514722

TestSpatialRls = forecaster(SpatialRls)
TestSpatialRlsWithHumidity = forecaster(
    SpatialRls, Params(quantities=("humidity",), neighbours=Neighbours(correlated=4))
)
TestSpatialRlsOfOne = forecaster(SpatialRls, Params(neighbours=Neighbours(nearest=1)))


def network(sensors, params=None, quantities=("temperature",), interval=HALF_HOUR):
    """A forecaster and its layout: the last of the `quantities` of every sensor is a target."""
    model = SpatialRls(params or Params())
    series = [Series(str(i), q) for i in range(sensors) for q in quantities]
    whole = Network.of(series)
    targets = [s for s in whole.series if s.quantity == quantities[-1]]
    return model, lay_out(whole, targets, Model("m", model), interval)


def forecast(values, own=None, cuts=(), targets=slice(None), **of):
    """Mean, lower and upper (3, T, N) of a fresh model stepped over `values`."""
    width = len(of.get("quantities", "t"))
    model, layout = network(values.shape[1] // width, **of)
    layout = for_targets(layout, targets)
    return stepped(model, layout, values, None if own is None else own[:, targets], cuts)


def oracle(X, y, groups, **of):
    model = SpatialOracle(groups, **of)
    return np.array([model.step(x, v) for x, v in zip(X, y, strict=True)]).T


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("N", [1, 2, 4, 11])
def test_agrees_with_the_plain_recursion(N, missing):
    values = waves(N=N, missing=missing)
    own = withhold(values, 110, 150)
    found = forecast(values, own)
    for n in range(N):
        others = np.delete(values, n, axis=1)
        mean, deviation = oracle(others, own[:, n], [0] * (N - 1))
        np.testing.assert_allclose(found[0, :, n], mean, rtol=1e-9)
        np.testing.assert_allclose(
            (found[2] - found[1])[:, n] / 2 / LEVEL_Z, deviation, rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("choose", [2, 63])
def test_agrees_with_the_plain_recursion_on_two_quantities(choose):
    N = 6
    values = waves(N=2 * N, missing=0.1)
    values[:, 4] = np.nan
    values[:70, 7] = np.nan
    humidity, temperature = values[:, ::2], values[:, 1::2]
    own = withhold(temperature, 110, 150)
    params = Params(quantities=("humidity",), neighbours=Neighbours(correlated=choose))
    found = forecast(values, own, params=params, quantities=("humidity", "temperature"))
    for n in range(N):
        others = [np.delete(v, n, axis=1) for v in (temperature, humidity)]
        X = np.column_stack([*others, humidity[:, n]])
        groups = [0] * (N - 1) + [1] * N
        mean, _ = oracle(X, own[:, n], groups, choose=choose)
        np.testing.assert_allclose(found[0, :, n], mean, rtol=1e-9)


@pytest.mark.parametrize("interval", [30_000_000, 86_400_000_000])
def test_the_prior_weighs_time_not_steps(interval):
    values = waves(N=4)
    found = forecast(values, params=Params(memory="10d", ridge=0.3), interval=interval)
    mean, _ = oracle(values[:, 1:], values[:, 0], [0] * 3, interval=interval, memory=8.64e11,
                     ridge=0.3)  # fmt: skip
    np.testing.assert_allclose(found[0, :, 0], mean, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 119), max_size=6),
    first=st.integers(0, 18),
    count=st.integers(1, 19),
    missing=st.sampled_from([0.0, 0.3]),
)
def test_neither_cuts_nor_company_change_a_bit(cuts, first, count, missing):
    values = waves(T=120, N=19, missing=missing)
    own = withhold(values, 60, 80)
    targets = slice(first, min(19, first + count))
    whole = forecast(values, own)[:, :, targets]
    assert whole.tobytes() == forecast(values, own, sorted(cuts), targets).tobytes()


def test_order_of_targets_changes_nothing():
    values = waves(N=11)
    model, layout = network(11)
    order = np.random.default_rng(0).permutation(11)
    shuffled = for_targets(layout, order)
    one, other = (
        model.step(model.start(of), view(of, 0, values)).mean for of in (layout, shuffled)
    )
    assert one[:, order].tobytes() == other.tobytes()


def test_first_forecasts_are_the_neighbours_average():
    values = waves(N=12)
    own = np.full_like(values, np.nan)
    mean = forecast(values, own)[0]
    average = np.stack([np.delete(values, n, axis=1).mean(1) for n in range(12)], axis=1)
    np.testing.assert_allclose(mean[0], average[0], atol=1e-9)
    np.testing.assert_allclose(mean, average, atol=1.0)


def test_a_sensor_alone_forecasts_its_mean_and_what_is_left_of_its_last_residual():
    rng = np.random.default_rng(0)
    y = np.zeros(400)
    for t in range(1, 400):
        y[t] = 0.9 * y[t - 1] + rng.normal()
    own = withhold(y[:, None] + 50, 300)
    mean = forecast(own.copy(), own)[0, :, 0]
    level = np.nanmean(own)
    assert abs(mean[399] - level) < 1
    share = (mean[300:303] - mean[399]) / (own[299, 0] - mean[399])
    np.testing.assert_allclose(share, [0.9, 0.81, 0.73], atol=0.12)


def test_learns_a_line_from_one_neighbour():
    x = waves(N=1, T=400)
    values = np.column_stack([x, 3 + 0.5 * x])
    mean = forecast(values, withhold(values, 300))[0]
    assert np.abs(mean - values)[300:, 1].max() < 0.1


def test_a_negative_relation_to_another_quantity_is_found():
    rng = np.random.default_rng(2)
    T, N = 300, 4
    hidden = rng.normal(0, 2, (T, N)).cumsum(0) * 0.3
    humidity, temperature = 40 - 2 * hidden, 20 + hidden
    values = np.stack([humidity, temperature], axis=2).reshape(T, 2 * N)
    own = withhold(temperature, 200)
    of = {"quantities": ("humidity", "temperature")}
    with_it = forecast(values, own, params=Params(quantities=("humidity",)), **of)[0]
    without = forecast(values, own, **of)[0]
    errors = [((m - temperature)[200:] ** 2).mean() for m in (with_it, without)]
    assert errors[0] < 0.05 * errors[1]


def test_a_neighbour_gone_for_good_is_let_go():
    values = waves(N=12, T=300)
    gone = values.copy()
    gone[150:, 3] = np.nan
    own = withhold(values, 200)
    kept = np.delete(np.arange(12), 3)
    errors = [
        np.mean((forecast(v, o)[0] - truth)[200:] ** 2, axis=0)
        for v, o, truth in (
            (gone, own, values), (values[:, kept], own[:, kept], values[:, kept])
        )
    ]  # fmt: skip
    assert errors[0][kept].mean() < 1.1 * errors[1].mean()


def test_a_dying_neighbour_does_little_harm():
    values = waves(N=20, T=240)
    broken = values.copy()
    broken[100:, [3, 9]] = 122.153
    sound = np.delete(np.arange(20), [3, 9])
    errors = [
        np.mean((forecast(v, withhold(values, 180))[0] - values)[180:, sound] ** 2)
        for v in (values, broken)
    ]
    assert errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize("seed", range(40))
def test_hardly_ever_seen_is_no_reason_to_be_wild(seed):
    seen = waves(T=90, N=5, seed=seed)
    sparse = np.where(np.random.default_rng(seed).random(seen.shape) < 0.95, np.nan, seen)
    assert np.nanmax(np.abs(forecast(sparse)[0] - seen)) < 4 * np.ptp(seen)


def test_constant_sensors_are_forecast_as_they_are():
    values = np.tile([20.0, 21.0, 25.0, 18.0], (400, 1))
    mean, lower, _ = forecast(values, withhold(values, 300))
    np.testing.assert_allclose(mean[300:], values[300:], atol=0.05)
    assert np.isfinite(lower[300:]).all()


def test_years_of_steps_stay_finite():
    values = np.tile(waves(N=3, T=500), (100, 1))
    values[20_000:40_000, 1] = 7.0
    assert np.isfinite(forecast(values)[0]).all()


def test_correlated_uses_the_best_k_only():
    values = waves(N=8, T=300)
    rng = np.random.default_rng(1)
    values[:, 0] = values[:, 5] + 2 + rng.normal(0, 0.02, 300)
    own = withhold(values, 200)
    params = Params(neighbours=Neighbours(correlated=1))
    one = forecast(values, own, params=params)[0, :, 0]
    other = values.copy()
    other[200:, [1, 2, 3, 4, 6, 7]] += 3
    np.testing.assert_array_equal(forecast(other, own, params=params)[0, 200:, 0], one[200:])
    assert np.abs(one - values[:, 0])[200:].max() < 0.5


def test_more_neighbours_than_it_can_read_is_an_error():
    model, layout = network(65, Params(neighbours=Neighbours(all=True)))
    with pytest.raises(RunError, match=r"up to 63 neighbours.*gives it 64"):
        model.start(layout)


def test_packed_places_are_those_of_a_triangle():
    m = 5
    places = njit(lambda m: [at(i, j, m) for i in range(m) for j in range(i, m)])(m)
    assert places == list(range(m * (m + 1) // 2))


def error(values, truth, start, stop=None):
    mean = forecast(values, withhold(truth, start, stop))[0]
    return ((mean - truth)[start:stop] ** 2).mean()


def test_accuracy_on_the_sample(lab):
    """Figures of docs/spatial-rls.md, with room for a last digit."""
    assert error(lab, lab, 96) < 0.205
    assert error(lab, lab, 48) < 0.41
    assert error(lab[::-1].copy(), lab[::-1].copy(), 96) < 0.24


def test_accuracy_on_the_sample_with_neighbours_missing(lab):
    rng = np.random.default_rng(0)
    hidden = np.argsort(rng.random(lab.shape), axis=1) < 10
    always = np.where(hidden, np.nan, lab)
    when_dark = always.copy()
    when_dark[:96] = lab[:96]
    assert error(when_dark, lab, 96) < 0.25
    assert error(always, lab, 96) < 0.31
