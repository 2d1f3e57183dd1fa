"""Calibrated intervals: an oracle, their share on streams that change, and what they may know."""

from __future__ import annotations

from dataclasses import replace
from math import exp, isnan
from statistics import NormalDist

import numpy as np
import pytest

from gapcast.engine.forecaster import Forecast, Frame, Model, Needs, Series
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.shard.calibration import DARK, DOUBT, SEEN, Intervals
from gapcast.engine.shard.kernels.calibration import GREATEST, LEAST
from gapcast.plugins.forecasters.persistence import Persistence

HOUR = 3_600_000_000
STEP = HOUR // 2
READS_NOTHING = Persistence(Persistence.Params())


class Reading(Persistence):
    """Reads all others."""

    def needs(self):
        return Needs(Neighbours(all=True))


class Rehearsing(Reading):
    """Is sure of its claims in gaps."""

    rehearses = True


def layout(n=3, horizons=(0,), level=0.9, interval=STEP):
    network = Network.of([Series(str(i), "x") for i in range(n)])
    model = Model("m", Persistence(Persistence.Params()), horizons, level)
    return lay_out(network, network.series, model, interval)


def claims(mean, half):
    return Forecast(mean, mean - half, mean + half)


def frame(lay, own, first=0, values=None):
    values = own if values is None else values
    return Frame(lay, first, values, own, np.empty((*own.shape, 0)))


def part(forecast, of):
    return Forecast(forecast.mean[of], forecast.lower[of], forecast.upper[of])


def step(intervals, lay, forecast, own, withheld, cuts=(), first=7, values=None):
    """Lower and upper (2, T, N, H) of a whole run, its frames ending at `cuts`."""
    found = []
    values = own if values is None else values
    for a, b in zip((0, *cuts), (*cuts, len(own)), strict=True):
        of = slice(a, b)
        view = frame(lay, own[of], first + a, values[of])
        out = intervals.calibrate(part(forecast, of), view, withheld[of])
        found.append(np.stack([out.lower, out.upper]))
    return np.concatenate(found, axis=1)


def nothing(own):
    return np.full_like(own, np.nan)


def stream(T=2000, n=3, horizons=1, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    own = np.cumsum(rng.normal(size=(T, n)), axis=0)
    own[rng.random(own.shape) < missing] = np.nan
    mean = np.nan_to_num(own)[..., None] + rng.normal(size=(T, n, horizons))
    return own, mean


def oracle(mean, half, own, horizons, level=0.9):
    """Half-widths of one target, claims symmetric and never missing, by the words of the docs."""
    H = len(horizons)
    q = [[1.0] * 5 for _ in range(H)]
    n = [[0.0] * 5 for _ in range(H)]
    last, made, out = None, {}, np.empty(mean.shape)

    def kind(age):
        hours = age / 2
        return 0 if age <= 1 else 1 if hours <= 1 else 2 if hours <= 6 else 3 if hours <= 24 else 4

    def make(t, h, age):
        k = None if age is None else kind(age)
        of = 4 if k is None else k
        claim = half[t, h]
        if of:
            claim *= max(1.0, q[h][0]) * (DOUBT if of > 1 else 1.0)
        made[t + horizons[h], h] = mean[t, h], claim, k
        out[t, h] = q[h][of] * claim

    for t in range(len(own)):
        for h in range(H):
            if horizons[h] == 0:
                make(t, h, None if last is None else t - last)
        if not isnan(own[t]):
            for h in range(H):
                m, claim, k = made.pop((t, h), (0, 0, None))
                if k is None:
                    continue
                least, c, n0 = DARK if k else SEEN
                gain = max(least, c / (n[h][k] + n0))
                n[h][k] += 1
                missed = abs(own[t] - m) / claim > q[h][k]
                q[h][k] *= exp(gain * (level if missed else level - 1))
                q[h][k] = min(max(q[h][k], LEAST), GREATEST)
            last = t
        for h in range(H):
            if horizons[h] > 0:
                make(t, h, None if last is None else t + 1 - last)
    return out


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bounds_are_those_of_the_oracle(level):
    horizons = (0, 1, 3)
    lay = layout(2, horizons, level)
    own, mean = stream(400, 2, 3, missing=0.3)
    own[100:160, 0] = np.nan
    half = 0.5 + np.random.default_rng(1).random(mean.shape)
    lower, upper = step(Intervals(lay, READS_NOTHING), lay, claims(mean, half), own, nothing(own))
    for n in range(2):
        expected = oracle(mean[:, n], half[:, n], own[:, n], horizons, level)
        np.testing.assert_allclose(upper[:, n] - mean[:, n], expected, rtol=1e-9)
        np.testing.assert_allclose(mean[:, n] - lower[:, n], expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_the_share_holds_when_claims_are_wrong_and_the_stream_changes(level):
    rng = np.random.default_rng(2)
    T, n = 4000, 4
    wild = np.exp(np.sin(np.arange(T) / 60))[:, None] * np.where(np.arange(T) < 2000, 1, 5)[:, None]
    own = wild * rng.standard_t(4, size=(T, n))
    lay = layout(n, level=level)
    forecast = claims(np.zeros((T, n, 1)), 1.0)
    bounds = step(Intervals(lay, READS_NOTHING), lay, forecast, own, nothing(own))[..., 0]
    inside = (bounds[0] <= own) & (own <= bounds[1])
    for of in (slice(0, 2000), slice(2000, T)):
        np.testing.assert_allclose(inside[of].mean(), level, atol=0.015)


@pytest.mark.parametrize("cuts", [(1, 2, 3), (150, 151, 299), tuple(range(1, 300))])
def test_cuts_restores_and_company_change_nothing(cuts):
    lay = layout(3, (0, 2))
    own, mean = stream(300, 3, 2, missing=0.2)
    withheld = nothing(own)
    withheld[140:200] = own[140:200]
    own[140:200] = np.nan
    forecast = claims(mean, np.where(np.arange(300) % 7 < 3, np.nan, 1.0)[:, None, None])
    whole, pieces = Intervals(lay, READS_NOTHING), Intervals(lay, READS_NOTHING)
    whole.open(), pieces.open()
    expected = step(whole, lay, forecast, own, withheld)
    got = []
    for a, b in zip((0, *cuts), (*cuts, 300), strict=True):
        of = slice(a, b)
        out = step(pieces, lay, part(forecast, of), own[of], withheld[of], first=7 + a)
        got.append(out)
        other = Intervals(lay, READS_NOTHING)
        other.state = {name: x.copy() for name, x in pieces.state.items()}
        pieces = other
    np.testing.assert_array_equal(np.concatenate(got, axis=1), expected)
    whole.release(), pieces.release()
    for one, two in zip(whole.state.values(), pieces.state.values(), strict=True):
        np.testing.assert_array_equal(one, two)

    alone = layout(1, (0, 2))
    mine = Forecast(*(a[:, 1:2] for a in (forecast.mean, forecast.lower, forecast.upper)))
    found = step(Intervals(alone, READS_NOTHING), alone, mine, own[:, 1:2], withheld[:, 1:2])
    np.testing.assert_array_equal(found, expected[:, :, 1:2])


def test_what_is_withheld_moves_nothing_until_it_is_released():
    lay = layout(2)
    own, mean = stream(300, 2)
    withheld = nothing(own)
    withheld[200:248], own[200:248] = mean[200:248, :, 0] + 50, np.nan
    forecast = claims(mean, 1.0)
    one, other = Intervals(lay, READS_NOTHING), Intervals(lay, READS_NOTHING)
    one.open(), other.open()
    np.testing.assert_array_equal(
        step(one, lay, forecast, own, withheld), step(other, lay, forecast, own, nothing(own))
    )
    before = one.state["factor"].copy()
    one.release(), other.release()
    after = one.state["factor"]
    assert (after[..., 2:4] > before[..., 2:4]).all()  # a day of misses, at up to 24 h
    np.testing.assert_array_equal(after[..., 4], before[..., 4])
    np.testing.assert_array_equal(other.state["factor"], before)


def test_after_a_release_the_gap_is_over():
    lay = layout(1)
    own, mean = stream(120, 1)
    shown, withheld = own.copy(), nothing(own)
    shown[60:100], withheld[60:100] = np.nan, own[60:100]
    forecast = claims(mean, 1.0)
    masked, light = Intervals(lay, READS_NOTHING), Intervals(lay, READS_NOTHING)
    step(light, lay, part(forecast, slice(0, 100)), own[:100], nothing(own[:100]))
    step(masked, lay, part(forecast, slice(0, 60)), own[:60], nothing(own[:60]))
    masked.open()
    of = slice(60, 100)
    step(masked, lay, part(forecast, of), shown[of], withheld[of], first=67)
    masked.release()
    masked.see(own[of], 67)
    for name in ("at", "value", "square", "weight"):
        np.testing.assert_array_equal(masked.state[name], light.state[name])


def test_without_a_claim_it_is_what_holding_has_cost_at_that_age():
    lay = layout(1)
    rng = np.random.default_rng(4)
    own = np.cumsum(rng.normal(size=(6000, 1)), axis=0)
    own[5950:] = np.nan
    mean = np.zeros((6000, 1, 1))
    silent = Forecast(mean, nothing(mean), nothing(mean))
    lower, upper = step(Intervals(lay, READS_NOTHING), lay, silent, own, nothing(own))
    assert isnan(upper[0, 0, 0])
    half = (upper - lower)[:, 0, 0] / 2
    grown = half[[5950 + 12, 5950 + 47]] / half[5950 + 2]  # ages 13 and 48 over age 3
    np.testing.assert_allclose(grown, np.sqrt(np.array([13, 48]) / 3), rtol=0.35)
    assert (np.diff(half[5951:]) >= 0).all()


def test_a_model_that_sees_no_neighbour_is_no_surer_than_holding():
    lay = layout(3)
    lay = replace(lay, regressors=np.array([[[1, 2]], [[0, 2]], [[0, 1]]]))
    reading = Reading(Persistence.Params())
    rng = np.random.default_rng(5)
    own = np.cumsum(rng.normal(size=(400, 3)), axis=0)
    values = own.copy()
    own[350:] = np.nan
    forecast = claims(np.zeros((400, 3, 1)), 1e-3)
    seeing = step(Intervals(lay, reading), lay, forecast, own, nothing(own), values=values)
    values = values.copy()
    values[350:] = np.nan
    alone = step(Intervals(lay, reading), lay, forecast, own, nothing(own), values=values)
    np.testing.assert_array_equal(seeing[:, :350], alone[:, :350])
    narrow, wide = ((a[1] - a[0])[360:].min() for a in (seeing, alone))
    assert wide > 20 * narrow
    assert NormalDist().inv_cdf(0.95) < wide
    sure = Intervals(lay, Rehearsing(Persistence.Params()))
    lower, upper = step(sure, lay, forecast, own, nothing(own), values=values)
    np.testing.assert_allclose((upper - lower)[352:], 2e-3 * DOUBT)
