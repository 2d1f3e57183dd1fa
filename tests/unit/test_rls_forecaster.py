"""The `rls` forecaster: its recursion against an oracle, gaps, horizons, intervals, units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Frame, Layout, Series
from gapcast.engine.kernels.packed import packed_identity
from gapcast.engine.kernels.rls_reference import rls_reference
from gapcast.engine.testing import forecaster
from gapcast.plugins.forecasters.rls.forecaster import Rls
from gapcast.plugins.forecasters.rls.kernel import PRIOR, SPREAD

HOUR = 3_600_000_000
DAY = 24

TestRls = forecaster(Rls)
TestRlsFar = forecaster(Rls, Rls.Params(lags=1), horizons=(1, 5, 60))


def layout(n, horizons=(0,), level=0.9):
    return Layout(
        interval=HOUR,
        series=tuple(Series(str(i), "temperature") for i in range(n)),
        targets=np.arange(n),
        regressors=np.zeros((n, 1, 0), np.int64),
        companions=np.zeros((n, 0), np.int64),
        choose=None,
        horizons=np.array(horizons),
        level=level,
        units=np.arange(n),
        members=np.full((n, 0), -1),
    )


class Run:
    """A forecaster stepped through hourly values (T, N)."""

    def __init__(self, n, horizons=(0,), **params):
        self.layout = layout(n, horizons)
        self.forecaster = Rls(Rls.Params(**params))
        self.state = self.forecaster.start(self.layout)
        self.done = 0

    def __call__(self, values):
        own = np.ascontiguousarray(values)
        frame = Frame(self.layout, self.done, own, own, np.zeros((*own.shape, 0)))
        self.done += len(own)
        return self.forecaster.step(self.state, frame)


def weather(days, n=6, seed=0):
    """Daily waves plus slow noise, hourly."""
    rng = np.random.default_rng(seed)
    t = np.arange(days * DAY)[:, None]
    slow = np.zeros((len(t), n))
    for k in range(1, len(t)):
        slow[k] = 0.95 * slow[k - 1] + rng.normal(0, 0.4, n)
    return 20 + 4 * np.sin(2 * np.pi * t / DAY + rng.uniform(0, 6, n)) + slow


def oracle(values, lags, forgetting):
    """Nowcasts of one series, in plain Python around the plain recursion."""
    T, p = len(values), 2 * lags + 1
    theta = np.zeros((1, p))
    theta[0, [0, lags, lags + 1]] = PRIOR, 1, -PRIOR
    models = theta, packed_identity(1, p, SPREAD), np.zeros(1), np.zeros(1)
    past, truths, forecasts, masked = [np.nan] * (DAY + lags + 1), [], [], False
    low, high = np.inf, -np.inf
    for t in range(T):
        weights = forgetting ** np.arange(len(truths))[::-1]
        level = np.average(truths, weights=weights) if truths else 0.0
        scale = np.sqrt(
            np.average((np.array(truths) - level) ** 2, weights=weights) if truths else 0
        )
        scale = scale or 1.0
        window = [*past[-lags:][::-1], *past[-DAY - lags : len(past) - DAY + 1][::-1]]
        x = (np.array(window) - level) / scale
        out = np.empty((2, 1, 1))
        y = np.array([[(values[t] - level) / scale]])
        rls_reference(*models, x[None, None], y, forgetting, 1e5 * SPREAD * p, out[0], out[1])
        forecast = level + scale * out[0, 0, 0] if np.isfinite(x).all() else past[-1]
        held = np.clip(forecast, low, high) if truths else forecast
        forecasts.append(held if masked else forecast)
        masked = np.isnan(values[t])
        past.append(held if masked else values[t])
        if not masked:
            truths.append(values[t])
            weights = forgetting ** np.arange(len(truths))[::-1]
            level = np.average(truths, weights=weights)
            low = min(values[t], level + forgetting * (low - level))
            high = max(values[t], level + forgetting * (high - level))
    return np.array(forecasts)


@pytest.mark.parametrize("lags", [1, 3])
def test_agrees_with_the_plain_recursion(lags):
    values = weather(12, n=1)[:, 0]
    values[30:33] = np.nan
    values[np.random.default_rng(1).random(len(values)) < 0.1] = np.nan
    values[200:230] = np.nan
    found = Run(1, lags=lags, forgetting=0.99)(values[:, None]).mean[:, 0, 0]
    np.testing.assert_allclose(found, oracle(values, lags, 0.99), rtol=1e-8)


def test_the_last_value_stands_in_until_a_period_is_known():
    values = weather(3, n=1)
    values[5] = np.nan
    forecast = Run(1)(values)
    expected = values[:26, 0].copy()
    expected[5] = expected[4]
    np.testing.assert_array_equal(forecast.mean[1:27, 0, 0], expected)
    assert np.isnan(forecast.mean[0]).all()
    assert np.isnan(forecast.upper[:27]).all()
    assert np.isfinite(forecast.upper[29:]).all()


def test_beats_yesterday_and_the_last_value():
    values = weather(40)
    run = Run(6)
    error = run(values[: 30 * DAY]).mean[10 * DAY :, :, 0] - values[10 * DAY : 30 * DAY]
    last = np.diff(values, axis=0)
    assert np.mean(error**2) < 0.6 * np.mean(last**2)
    masked = run(np.full((DAY, 6), np.nan)).mean[..., 0]
    truth, yesterday = values[30 * DAY : 31 * DAY], values[29 * DAY : 30 * DAY]
    assert np.mean((masked - truth) ** 2) < 0.9 * np.mean((yesterday - truth) ** 2)


@given(
    kind=st.sampled_from(["walk", "noise", "ramp", "pulse", "alternating", "constant", "growing"]),
    seed=st.integers(0, 10),
    days=st.integers(1, 6),
    lags=st.sampled_from([1, 3, 12]),
    forgetting=st.sampled_from([0.9, 0.998, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_a_long_dark_stays_within_what_was_seen(kind, seed, days, lags, forgetting):
    rng = np.random.default_rng(seed)
    t = np.arange(days * DAY + 7.0)
    noise = rng.normal(size=len(t))
    values = {
        "walk": np.cumsum(noise),
        "noise": noise,
        "ramp": t + noise,
        "pulse": 1e6 * (t % 50 == 7),
        "alternating": (-1.0) ** t * t,
        "constant": 0 * t + 3.3,
        "growing": 1.1**t,
    }[kind]
    run = Run(1, horizons=(0, 1, 30), lags=lags, forgetting=forgetting)
    run(values[:, None])
    masked = run(np.full((400, 1), np.nan)).mean
    seen = masked[1:] if kind != "growing" else masked[1:, :, 0]
    assert np.isfinite(masked).all()
    assert seen.min() >= values.min() - 1e-9
    assert seen.max() <= values.max() * (1 + 1e-12) + 1e-9


def test_a_constant_stays_what_it_is():
    values = np.full((5 * DAY, 1), 21.7)
    values[100:] = np.nan
    forecast = Run(1, horizons=(0, 3))(values)
    np.testing.assert_allclose(forecast.mean[1:], 21.7, rtol=1e-12)
    np.testing.assert_allclose(forecast.upper[40:], 21.7, rtol=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1.8, 32.0), (1e-6, 0.0), (1e5, -7e6)])
def test_units_do_not_matter(scale, shift):
    values = weather(15)
    values[100:130, 2] = np.nan
    plain = Run(6, horizons=(0, 2))(values)
    other = Run(6, horizons=(0, 2))(scale * values + shift)
    for column in ("mean", "lower", "upper"):
        expected = scale * getattr(plain, column) + shift
        found = getattr(other, column)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5 * abs(scale))


def test_a_horizon_is_the_nowcast_of_a_gap():
    """What is forecast h steps ahead is what would be forecast then, had nothing come since."""
    values = weather(10)
    ahead = Run(6, horizons=(0, 1, 2, DAY))
    forecast = ahead(values)
    gap = Run(6)
    gap(values)
    nowcast = gap(np.full((DAY, 6), np.nan))
    for i, h in enumerate(ahead.layout.horizons[1:], 1):
        np.testing.assert_allclose(forecast.mean[-1, :, i], nowcast.mean[h - 1, :, 0], rtol=1e-12)
        width = (forecast.upper - forecast.lower)[-1, :, i]
        np.testing.assert_allclose(width, (nowcast.upper - nowcast.lower)[h - 1, :, 0], rtol=0.1)


def test_beyond_a_period_the_model_goes_on():
    run = Run(6, horizons=(DAY, 3 * DAY))
    forecast = run(weather(20))
    assert np.isfinite(forecast.mean[2 * DAY :]).all()
    width = (forecast.upper - forecast.lower)[10 * DAY :]
    assert (width[..., 1] > 0.5 * width[..., 0]).all()


def test_intervals_hold_what_they_say_one_step_ahead_and_in_the_dark():
    values = weather(80, n=20)
    run = Run(20)
    steps, masked = [], []
    for day in range(80):
        piece = values[day * DAY : (day + 1) * DAY]
        if day >= 20 and day % 5 == 0:
            kept = {k: a.copy() for k, a in run.state.items()}
            forecast = run(np.full_like(piece, np.nan))
            masked.append(inside(forecast, piece))
            run.state, run.done = kept, run.done - DAY
        steps.append(inside(run(piece), piece))
    assert 0.86 < np.mean(steps[20:]) < 0.95
    assert 0.82 < np.mean(masked) < 0.96


def inside(forecast, truth):
    return (forecast.lower[..., 0] <= truth) & (truth <= forecast.upper[..., 0])


def test_intervals_widen_in_the_dark_and_narrow_after_it():
    values = weather(20)
    values[400:430] = np.nan
    forecast = Run(6)(values)
    width = (forecast.upper - forecast.lower)[..., 0]
    assert (width[420] > 1.5 * width[399]).all()
    assert (width[440] < 1.2 * width[399]).all()


def test_no_value_ever_is_no_forecast():
    forecast = Run(2, horizons=(0, 1, 40))(np.full((60, 2), np.nan))
    assert np.isnan(forecast.mean).all()
    assert np.isnan(forecast.lower).all()
