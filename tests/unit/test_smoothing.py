"""Negative horizons: what a gap's far end tells, against closed forms and conditional means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Forecast
from gapcast.engine.shard.results import Steps
from gapcast.engine.shard.smoothing import Lagged, Smoother

HALF_HOUR = 1_800_000_000
LAG = 6


def played(own, mean, reference=None, lags=(LAG,), cuts=(), half=1.0):
    """What a smoother says of one target's nowcasts: (3, T, lags)."""
    own, mean = np.array(own, float)[:, None], np.array(mean, float)[:, None]
    of = None if reference is None else np.array(reference, float)[:, None]
    smoother = Smoother(1, lags, HALF_HOUR)
    out, age, last = [], np.zeros(own.shape, int), -1
    for t in range(len(own)):
        age[t] = t - last
        last = last if np.isnan(own[t, 0]) else t
    for a, b in zip((0, *cuts), (*cuts, len(own)), strict=True):
        forecast = Forecast(
            mean[a:b, :, None], mean[a:b, :, None] - half, mean[a:b, :, None] + half,
            None if of is None else of[a:b],
        )  # fmt: skip
        out.append(smoother.step(forecast, 0, own[a:b], age[a:b], 100 + a))
    return np.concatenate(out, axis=1)[:, :, 0]


def test_the_last_value_becomes_a_straight_line():
    own = [1.0, 2.0, np.nan, np.nan, np.nan, 6.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]
    mean = [np.nan, 1.0, 2.0, 2.0, 2.0, 2.0, 6.0, 7.0, 7.0, 7.0, 7.0, 7.0]
    found = played(own, mean)[0, LAG:, 0]
    np.testing.assert_allclose(found, [np.nan, np.nan, 3.0, 4.0, 5.0, np.nan])


def test_a_gap_without_an_end_keeps_its_nowcasts():
    found = played([1.0, *[np.nan] * 12], [np.nan, *range(12)], half=2.0)
    np.testing.assert_array_equal(found[:, LAG + 1 :, 0], np.add.outer([0, -2, 2], np.arange(6)))


def test_what_comes_later_than_the_lag_is_not_waited_for():
    own = [0.0, *[np.nan] * 8, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    found = played(own, [np.nan, *[0.0] * 9, *[9.0] * 6])[0, LAG:, 0]
    np.testing.assert_allclose(found[1:9], [0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])


@given(st.integers(1, 9), st.integers(0, 8), st.floats(0.05, 0.98), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_errors_that_fade_are_known_at_both_ends(gap, inside, a, seed):
    """Given the rate of fading, the estimate is the conditional mean of the process, its variance
    the conditional variance, from the covariances themselves."""
    from gapcast.engine.shard.kernels import smoothing as smooth

    inside = min(inside, gap - 1)
    steps = np.arange(gap + 2)
    cov = a ** np.abs(steps[:, None] - steps)
    ends, within = [0, gap + 1], inside + 1
    gain = np.linalg.solve(cov[np.ix_(ends, ends)], cov[ends, within])
    rest = cov[within, within] - gain @ cov[ends, within]
    near, far = np.random.default_rng(seed).normal(size=2)
    made = a**within * near
    weight, left = smooth._bridge(a, within, gap - inside)
    np.testing.assert_allclose(
        made + weight * (far - a ** (gap + 1) * near), gain @ [near, far], atol=1e-12
    )
    np.testing.assert_allclose(left * (1 - a ** (2 * within)), rest, atol=1e-12)


def noisy(seed, steps=3000, noise=1.0, slow=0.02):
    """A slow level under white noise, and a network that knows nothing of it."""
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.normal(0, slow, steps))
    return level, level + rng.normal(0, noise, steps), rng.normal(0, 3.0, steps)


@pytest.mark.parametrize("line_is_better", [True, False])
def test_rehearsal_finds_whether_the_line_does_better(line_is_better):
    level, _, other = noisy(1, noise=0.0)
    truth = level if line_is_better else other
    reference = other + (0.0 if line_is_better else 0.01 * level)
    masked = np.arange(len(truth)) % 9 == 4
    own = np.where(masked, np.nan, truth)
    left = np.zeros(len(truth))
    residual = 0.0
    for t in range(len(truth)):
        left[t] = residual = 0.8 * residual
        if not masked[t]:
            residual = truth[t] - reference[t]
    found = played(own, reference + left, reference)[0, LAG:, 0]
    smoothed, aim = found[~np.isnan(found)], truth[:-LAG][masked[:-LAG]]
    line = (truth[np.flatnonzero(masked) - 1] + truth[np.flatnonzero(masked) + 1])[: len(aim)] / 2
    late = slice(len(aim) // 2, None)
    error = np.square(smoothed - aim)[late].mean()
    if line_is_better:
        assert error < 5 * np.square(line - aim)[late].mean()  # by the bridge: 10,000 times
    else:
        assert error < 0.01 * np.square(line - aim)[late].mean()


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 39), max_size=4, unique=True))
@settings(deadline=None, max_examples=30)
def test_cuts_change_nothing(seed, cuts):
    rng = np.random.default_rng(seed)
    own = np.where(rng.random(40) < 0.4, np.nan, rng.normal(size=40))
    mean, reference = rng.normal(size=(2, 40))
    reference[rng.random(40) < 0.1] = np.nan
    whole = played(own, mean, reference, (1, LAG))
    np.testing.assert_array_equal(
        whole, played(own, mean, reference, (1, LAG), tuple(sorted(cuts)))
    )
    assert (np.isnan(whole[0, LAG:, 1]) == ~np.isnan(own[:-LAG])).all()


def test_lagged_steps_are_those_so_far_back():
    lagged, rng = Lagged(2, [1, 3]), np.random.default_rng(0)
    truth = rng.normal(size=(9, 2))
    status, age = truth.astype(np.uint8), truth.astype(np.int32)
    found = [
        lagged.push(Steps(truth[a:b], status[a:b], age[a:b], status[a:b]))
        for a, b in ((0, 2), (2, 9))
    ]
    for i, lag in enumerate((1, 3)):
        joined = np.concatenate([f[i].truth for f in found])
        np.testing.assert_array_equal(joined[lag:], truth[:-lag])
        assert np.isnan(joined[:lag]).all()
