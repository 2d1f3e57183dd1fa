"""`diurnal` against a plain recursion, on real measurements, and in its corner cases."""

from itertools import pairwise

import numpy as np
import pytest
from diurnal_oracle import DiurnalOracle
from hypothesis import given, settings
from hypothesis import strategies as st
from waves import waves, withhold

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.diurnal.forecaster import Diurnal

HALF_HOUR = 1_800_000_000
DAY = 48 * HALF_HOUR
Z = 1.6448536269514722


def forecast(values, own=None, horizons=(0,), cuts=(), interval=HALF_HOUR, first=500, block=64):
    """Mean, lower and upper (3, T, N, H) of a fresh model stepped over `values`."""
    model = Diurnal(Diurnal.Params(block=block))
    network = Network.of(Series(f"{i:03}", "t") for i in range(values.shape[1]))
    layout = lay_out(network, network.series, Model("m", model, horizons), interval)
    state, pieces, bounds = model.start(layout), [], [0, *cuts, len(values)]
    for a, b in pairwise(bounds):
        shown = None if own is None else own[a:b]
        out = model.step(state, view(layout, first + a, values[a:b], shown))
        pieces.append(np.stack([out.mean, out.lower, out.upper]))
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize(
    ("N", "missing", "interval"),
    [
        (1, 0.0, HALF_HOUR),
        (5, 0.0, HALF_HOUR),
        (4, 0.3, HALF_HOUR),
        (3, 0.9, HALF_HOUR),
        (3, 0.1, 2 * HALF_HOUR),
        (2, 0.1, 1_261_000_000),
        (2, 0.0, DAY),
    ],
)
def test_agrees_with_the_plain_recursion(N, missing, interval):
    values = waves(T=200, N=N, missing=missing)
    own = withhold(values, 110, 130)
    own[60:64, 0] = np.nan
    horizons = (0, 1, 5, 46, 47, 48, 130)
    mean, lower, upper = forecast(values, own, horizons, interval=interval)
    oracle = DiurnalOracle(N, interval / DAY)
    told = np.array([oracle.step(500 + t, own[t], horizons) for t in range(len(own))])
    expected = np.moveaxis(told, 1, 3)
    np.testing.assert_allclose(mean, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose((upper - lower) / 2 / Z, np.sqrt(expected[:, 1]), rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 119), max_size=6),
    missing=st.sampled_from([0.0, 0.3]),
    hidden=st.booleans(),
)
def test_cuts_change_no_bit(cuts, missing, hidden):
    values = waves(T=120, N=5, missing=missing)
    own = withhold(values, 80, 100) if hidden else values
    whole = forecast(values, own, (0, 3, 50))
    assert whole.tobytes() == forecast(values, own, (0, 3, 50), sorted(cuts)).tobytes()


@settings(max_examples=20, deadline=None)
@given(
    targets=st.sets(st.integers(0, 8), min_size=1),
    missing=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 10**6),
)
def test_a_withheld_truth_reaches_nothing(targets, missing, seed):
    """Not its own target, neither in the span nor after it; nor any other."""
    values = waves(N=9, T=150, seed=seed, missing=missing)
    own = withhold(values, 60, 110, sorted(targets))
    changed = values.copy()
    changed[60:110, min(targets)] += 5.0
    one, other = forecast(values, own, (0, 1, 48)), forecast(changed, own, (0, 1, 48))
    np.testing.assert_array_equal(one, other)


def test_others_of_the_same_step_do_not_matter():
    values = waves(N=6, T=150)
    alone = withhold(values, 120, 121, [2])
    one, other = forecast(values, alone), forecast(values, withhold(values, 120, 121))
    np.testing.assert_array_equal(one[:, :121, 2], other[:, :121, 2])


def test_a_gap_and_a_horizon_are_forecast_alike():
    """What is forecast a steps ahead is what is said in the gap after a steps, but for the knot
    that the gap's first half hour completes."""
    values = waves(N=6, T=200)
    ages = [1, 2, 7, 24, 45, 48, 60]
    gap = forecast(values, withhold(values, 120))[..., 0]
    ahead = forecast(values[:120], horizons=(0, *ages))
    for h, a in enumerate(ages, start=1):
        np.testing.assert_allclose(gap[:, 119 + a], ahead[:, 119, :, h], atol=0.02)


def test_until_a_day_is_known_the_last_value_stays():
    values = waves(N=3, T=48)
    out = forecast(values, horizons=(0, 1, 30))[0]
    np.testing.assert_array_equal(out[1:, :, 0], values[:-1])
    np.testing.assert_array_equal(out[:, :, 2], values)
    assert np.isnan(out[0, :, 0]).all()


def test_a_day_that_repeats_is_known():
    day = 20 + 5 * np.sin(2 * np.pi * np.arange(48) / 48)
    values = np.column_stack([np.tile(day, 8), 3 - np.tile(day, 8)])
    mean, lower, upper = forecast(values, withhold(values, 300))[..., 0]
    np.testing.assert_allclose(mean[300:], values[300:], atol=1.0)
    assert (upper >= lower)[300:].all()


def test_a_gap_of_yesterday_is_bridged():
    values = waves(N=4, T=160)
    gone = values.copy()
    gone[60:90] = np.nan
    assert np.isfinite(forecast(gone, withhold(gone, 110))[:, 1:]).any()
    assert np.abs(forecast(gone, withhold(gone, 110))[0, 110:] - values[110:, :, None]).max() < 20


def test_blocks_stand_alone():
    values = waves(N=5)
    one = forecast(values, block=1)
    for i in range(5):
        assert one[:, :, i].tobytes() == forecast(values[:, [i]]).tobytes()


@pytest.mark.parametrize("absurd", [1e300, -1e200, np.inf])
def test_absurd_values_count_as_missing(absurd):
    values = waves(N=4)
    values[80, 2] = absurd
    blank = values.copy()
    blank[80, 2] = np.nan
    assert forecast(values).tobytes() == forecast(blank).tobytes()


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_units_do_not_matter(scale):
    values = waves(N=4, missing=0.1)
    one, other = forecast(values)[0], forecast(values * scale)[0] / scale
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_first_pair_next_to_nothing_is_not_believed():
    """The prior's weight does not go where a regressor happens to be tiny once."""
    values = waves(N=3, T=150, seed=3)
    values[49:60] = values[1:12] + 1e-6
    assert np.abs(np.diff(forecast(values)[0, 60:, :, 0], axis=0)).max() < 5


@pytest.mark.parametrize("huge", [1e6, 1e49])
def test_years_of_anything_stay_finite(huge):
    values = np.tile(waves(N=4, T=500), (20, 1))
    values[3_000:6_000, 1] = 7.0
    values[7_000::97, 2] = huge
    values[8_000:8_500, 0] = np.nan
    assert np.isfinite(forecast(values, interval=2 * HALF_HOUR)[0, 1:]).all()


def by_age(values, ages, start):
    """Mean squared errors by age of this, the last value and yesterday's, for all onsets."""
    mean, found = forecast(values, horizons=tuple(ages))[0], []
    for h, a in enumerate(ages):
        o = np.arange(start, len(values) - a)
        rivals = mean[o, :, h], values[o], values[o + a - 48]
        found.append([((f - values[o + a]) ** 2).mean() for f in rivals])
    return np.array(found)


def test_better_than_yesterday_and_the_last_value_on_the_sample(lab):
    """At every age, but that at 4 to 8 hours it is level with the better of the two."""
    ages = [1, 2, 3, 5, 8, 12, 16, 20, 24, 30, 36, 42, 48]
    found = by_age(lab, ages, 50)
    assert (found[:, 0] < 1.05 * found[:, 1:].min(axis=1)).all()
    assert found[0, 0] < 0.6 * found[0, 1]


@pytest.mark.parametrize("start", [50, 72, 84, 96])
def test_intervals_hold_through_a_day_in_the_dark(lab, start):
    _, lower, upper = forecast(lab, withhold(lab, start, start + 48))[..., 0]
    span = slice(start, start + 48)
    assert ((lower <= lab) & (lab <= upper))[span].mean() > 0.85
