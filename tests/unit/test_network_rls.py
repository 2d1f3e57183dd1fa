"""`network-rls` against a plain recursion, on real measurements, and in all its corner cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_oracle import NetworkOracle
from waves import stepped, waves, withhold

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.network.layouts import for_targets, lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls

Params = NetworkRls.Params
HALF_HOUR = 1_800_000_000
LEVEL_Z = 1.6448536269514722


def network(sensors, targets=None, params=None, interval=HALF_HOUR):
    """A forecaster and the layout of some of `sensors` targets, all by default."""
    model = NetworkRls(params or Params())
    whole = Network.of(Series(str(i), "t") for i in range(sensors))
    chosen = [whole.series[i] for i in (range(sensors) if targets is None else targets)]
    return model, lay_out(whole, chosen, Model("m", model), interval)


def forecast(values, own=None, cuts=(), **of):
    """Mean, lower and upper (3, T, N) of a fresh model stepped over `values`."""
    model, layout = network(values.shape[1], **of)
    return stepped(model, layout, values, own, cuts)


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("N", [1, 2, 5, 23])
def test_agrees_with_the_plain_recursion(N, missing):
    values = waves(N=N, missing=missing)
    own = withhold(values, 60, 80)
    own[110:130, 0] = np.nan
    mean, lower, upper = forecast(values, own)
    oracle = NetworkOracle(N, range(N))
    expected = np.array([oracle.step(x, y) for x, y in zip(values, own, strict=True)])
    np.testing.assert_allclose(mean, expected[:, 0], rtol=1e-7)
    deviation = np.sqrt(expected[:, 1])
    np.testing.assert_allclose((upper - lower) / 2 / LEVEL_Z, deviation, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("interval", [30_000_000, 86_400_000_000])
def test_the_prior_weighs_time_not_steps(interval):
    values = waves(N=9)
    mean = forecast(values, params=Params(memory="10d"), interval=interval)[0]
    oracle = NetworkOracle(9, range(9), interval, memory=8.64e11)
    expected = [oracle.step(x, x)[0] for x in values]
    np.testing.assert_allclose(mean, expected, rtol=1e-7)


def test_members_that_are_no_targets_serve_those_that_are():
    values = waves(N=12, missing=0.1)
    targets = [3, 4, 9]
    own = withhold(values[:, targets], 100, 120)
    mean = forecast(values, own, targets=targets)[0]
    oracle = NetworkOracle(12, targets)
    expected = [oracle.step(x, y)[0] for x, y in zip(values, own, strict=True)]
    np.testing.assert_allclose(mean, expected, rtol=1e-7)


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 119), max_size=6),
    missing=st.sampled_from([0.0, 0.3]),
    hidden=st.booleans(),
)
def test_cuts_change_no_bit(cuts, missing, hidden):
    values = waves(T=120, N=11, missing=missing)
    own = withhold(values, 60, 80) if hidden else values
    whole = forecast(values, own)
    assert whole.tobytes() == forecast(values, own, sorted(cuts)).tobytes()


def test_other_blocks_change_no_bit():
    values = waves(N=30, missing=0.1)
    model, layout = network(30, params=Params(block=8))
    assert layout.u > 2
    whole = model.step(model.start(layout), view(layout, 0, values)).mean
    for u in range(layout.u):
        mine = np.flatnonzero(layout.units == u)
        some = for_targets(layout, mine)
        alone = model.step(model.start(some), view(some, 0, values)).mean
        assert alone.tobytes() == whole[:, mine].tobytes()


def test_width_of_the_table_changes_no_bit():
    """A block beside a larger one has the numbers it has alone."""
    values = waves(N=9, missing=0.1)
    model, layout = network(9)
    state = model.start(layout)
    wide = type(layout)(**{
        **vars(layout), "members": np.pad(layout.members, ((0, 0), (0, 20)), constant_values=-1)
    })  # fmt: skip
    one = model.step(state, view(layout, 0, values)).mean
    other = model.step(model.start(wide), view(wide, 0, values)).mean
    assert one.tobytes() == other.tobytes()


def test_order_within_a_block_matters_only_while_neighbours_tie():
    values = waves(N=23)
    order = np.random.default_rng(0).permutation(23)
    own = withhold(values, 100, 130)
    one, other = forecast(values, own)[0], forecast(values[:, order], own[:, order])[0]
    np.testing.assert_allclose(one[40:, order], other[40:], atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    targets=st.sets(st.integers(0, 8), min_size=1),
    missing=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 10**6),
)
def test_a_withheld_truth_reaches_nothing_of_its_own(targets, missing, seed):
    """Neither in the span nor after it, when the truth is never released; whatever else is
    withheld or missing at the same time."""
    values = waves(N=9, T=110, seed=seed, missing=missing)
    rng = np.random.default_rng(seed)
    own = withhold(values, 40, 70, sorted(targets))
    changed = values.copy()
    victim = min(targets)
    changed[40:70, victim] += rng.normal(0, 5, 30)
    one, other = forecast(values, own), forecast(changed, own)
    np.testing.assert_array_equal(one[:, :, victim], other[:, :, victim])


def test_a_truth_withheld_from_the_first_step_on_is_not_seen():
    values = waves(N=4, T=60)
    own = withhold(values, 0, 30)
    changed = values.copy()
    changed[:30, 2] = 1e6
    one, other = forecast(values, own), forecast(changed, own)
    np.testing.assert_array_equal(one[:, :, 2], other[:, :, 2])


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_a_nowcast_does_not_see_its_truth_through_stand_ins(missing):
    values = waves(N=9, missing=missing)
    values[100, 2] = 20.0
    changed = values.copy()
    changed[100, 2] = 50.0
    one, other = forecast(values), forecast(changed)
    np.testing.assert_array_equal(one[:, :101, 2], other[:, :101, 2])
    assert (one[0, 101] != other[0, 101]).any()


def test_first_forecasts_are_the_average_of_the_others():
    values = waves(N=12)
    own = np.full_like(values, np.nan)
    mean = forecast(values, own)[0]
    average = np.stack([np.delete(values, n, axis=1).mean(1) for n in range(12)], axis=1)
    np.testing.assert_allclose(mean, average, atol=1e-9)


def test_a_sensor_nobody_speaks_for_stays_where_it_was():
    values = waves(N=3)
    gone = values.copy()
    gone[100:] = np.nan
    np.testing.assert_allclose(forecast(gone)[0, 100:], values[99:100].repeat(60, 0), rtol=1e-12)
    alone = forecast(values[:, :1])[0, :, 0]
    np.testing.assert_allclose(alone[1:], values[:-1, 0])
    assert np.isnan(alone[0])


def test_learns_a_line_from_one_neighbour():
    x = waves(N=1, T=600)
    values = np.column_stack([x, 3 + 0.9 * x])
    mean = forecast(values, withhold(values, 500))[0]
    assert np.sqrt(((mean - values)[500:, 1] ** 2).mean()) < 0.2 * values[500:, 1].std()


def test_a_gap_starts_with_what_is_left_of_the_last_residual():
    values = waves(N=12, T=300)
    values[150:, 3] += np.linspace(0, 40, 150) ** 0.5
    errors = np.abs(forecast(values, withhold(values, 200))[0] - values)[200:, 3]
    assert errors[0] < 0.5 * errors[20:].mean()


def test_a_member_gone_for_good_is_let_go():
    values = waves(N=12, T=300)
    gone = values.copy()
    gone[150:, 3] = np.nan
    kept = np.delete(np.arange(12), 3)
    errors = [
        ((forecast(v, withhold(v, 200))[0] - v)[200:] ** 2).mean(axis=0)
        for v in (gone, np.ascontiguousarray(values[:, kept]))
    ]
    assert errors[0][kept].mean() < 1.2 * errors[1].mean()


def test_a_dying_member_does_little_harm():
    values = waves(N=20, T=240)
    broken = values.copy()
    broken[100:, [3, 9]] = 122.153
    sound = np.delete(np.arange(20), [3, 9])
    errors = [
        ((forecast(v, withhold(v, 180))[0] - v)[180:, sound] ** 2).mean() for v in (values, broken)
    ]
    assert errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize("seed", range(20))
def test_hardly_ever_seen_is_no_reason_to_be_wild(seed):
    seen = waves(T=120, N=6, seed=seed)
    sparse = np.where(np.random.default_rng(seed).random(seen.shape) < 0.95, np.nan, seen)
    assert np.nanmax(np.abs(forecast(sparse)[0] - seen)) < 4 * np.ptp(seen)


def test_constant_sensors_are_forecast_as_they_are():
    values = np.tile([20.0, 21.0, 25.0, 18.0], (400, 1))
    mean, lower, _ = forecast(values, withhold(values, 300))
    np.testing.assert_allclose(mean[300:], values[300:], atol=0.3)
    assert np.isfinite(lower[300:]).all()


@pytest.mark.parametrize("huge", [1e6, 1e49])
def test_years_of_anything_stay_finite(huge):
    values = np.tile(waves(N=5, T=500), (60, 1))
    values[10_000:20_000, 1] = 7.0
    values[12_000:13_000] = 3.0
    values[21_000::97, 2] = huge
    values[22_000:22_500, 0] = np.nan
    assert np.isfinite(forecast(values, interval=3_600_000_000)[0][1:]).all()


def errors(values, truth, start, stop=None):
    """Squared errors in the gap span; `values` may lack what others miss."""
    mean = forecast(values, withhold(values, start, stop))[0]
    return ((mean - truth)[start:stop]) ** 2


def test_accuracy_on_the_sample(lab):
    """Figures of docs/network-rls.md, with room for a last digit."""
    assert errors(lab, lab, 96).mean() < 0.19
    assert errors(lab, lab, 48).mean() < 0.37
    assert errors(lab, lab, 48, 96).mean() < 0.36


def test_accuracy_on_the_sample_by_age_of_the_gap(lab):
    ages = np.mean([errors(lab[: s + 12], lab[: s + 12], s).mean(1) for s in range(48, 132, 5)], 0)
    assert ages[0] < 0.07
    assert ages[1:3].mean() < 0.14
    assert ages.mean() < 0.22


def test_accuracy_on_the_sample_with_members_missing(lab):
    rng = np.random.default_rng(0)
    hidden = np.argsort(rng.random(lab.shape), axis=1) < 10
    always = np.where(hidden, np.nan, lab)
    when_dark = always.copy()
    when_dark[:96] = lab[:96]
    assert errors(when_dark, lab, 96).mean() < 0.21
    assert errors(always, lab, 96).mean() < 0.27
