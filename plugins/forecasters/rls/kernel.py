"""Least squares on a series' own past: its last values, and those of the period before.

A step k of a target has 2·lags + 1 regressors, with `level` the running mean of its truths::

    x(k-1) … x(k-lags),   x(k-period) … x(k-period-lags)       each less the level, over the scale

so that what is learnt is free of units, and a model that has learnt nothing yet can be a sensible
one: `PRIOR` of the last deviation from the period before, on top of it. Where a truth is missing
its forecast stands in the past for it, held within the range of the truths: a model that would run
away on its own forecasts cannot. Truths leave that range, and the mean, at the rate of the
forgetting factor.

How far the truth strays from a model that runs on its own forecasts is measured, not derived: a
*shadow* of each model forgets the truths for a period at a time, and its squared errors are
averaged by how long ago its last truth was, in octaves. With one observation's weight, a random
walk's law stands in for what has not been measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.packed import packed_identity
from gapcast.engine.kernels.rls import (
    LANES,
    learn,
    load_block,
    new_block,
    predict,
    store_block,
)
from gapcast.engine.kernels.uncounted import inlined_part

Array = NDArray[Any]

PRIOR = 0.7
"""Weight of the newest deviation from the period before, until the truths say otherwise."""
SPREAD = 0.03
"""Variance of the coefficients about the prior: the weight of some thirty observations."""


class Past(NamedTuple):
    """What the models of N targets remember besides their coefficients.

    Floats, variances in units of the truth squared; `age` and `shadow_age` (integers) count the
    steps since the last truth that model and shadow may remember.
    """

    values: Array  # (N, period + lags + 1) truths or forecasts, a ring by step index
    level: Array  # (N,) running mean, variance and weight of the truths
    variance: Array
    weight: Array
    low: Array  # (N,) range of the truths
    high: Array
    age: Array  # (N,)
    shadow: Array  # (N, lags) the shadow's last values, newest first
    shadow_age: Array  # (N,)
    strayed: Array  # (N, octaves) mean squared error by age, and its weight
    strayed_weight: Array


def fresh_past(n: int, period: int, lags: int) -> Past:
    """Nothing seen yet."""
    octaves = int(period).bit_length()
    return Past(
        values=np.full((n, period + lags + 1), np.nan),
        level=np.zeros(n),
        variance=np.zeros(n),
        weight=np.zeros(n),
        low=np.full(n, np.inf),
        high=np.full(n, -np.inf),
        age=np.zeros(n, np.int64),
        shadow=np.full((n, lags), np.nan),
        shadow_age=np.zeros(n, np.int64),
        strayed=np.zeros((n, octaves)),
        strayed_weight=np.zeros((n, octaves)),
    )


def prior(n: int, lags: int) -> tuple[Array, Array]:
    """theta (n, 2·lags + 1) and packed P of models that have learnt nothing."""
    theta = np.zeros((n, 2 * lags + 1))
    theta[:, 0], theta[:, lags], theta[:, lags + 1] = PRIOR, 1.0, -PRIOR
    return theta, packed_identity(n, 2 * lags + 1, SPREAD)


@inlined_part
def _held(value, low, high):
    return min(max(value, low), high)


@inlined_part
def _scale(variance):
    return np.sqrt(variance) if variance > 0.0 else 1.0


@inlined_part
def _back(slot, steps, depth):
    """The place in a ring of that many `steps` (at most `depth`) before `slot`."""
    place = slot - steps
    return place + depth if place < 0 else place


@inlined_part
def _set_regressors(block, lane, past, n, slot, period):
    values, lags = past.values[n], past.shadow.shape[1]
    depth, level, over = len(values), past.level[n], 1.0 / _scale(past.variance[n])
    for i in range(lags):
        block.x[i, lane] = (values[_back(slot, 1 + i, depth)] - level) * over
    for i in range(lags + 1):
        block.x[lags + i, lane] = (values[_back(slot, period + i, depth)] - level) * over


@inlined_part
def _next(theta, lane, recent, values, n, level, slot, ahead, period):
    """The forecast for `ahead` steps after the one at `slot`, the last known, from the values
    `recent` before it, newest first. What is not known yet of the period before is taken from
    whole periods earlier."""
    depth, lags = values.shape[1], len(recent)
    total = level
    for i in range(lags):
        total += theta[i, lane] * (recent[i] - level)
    for i in range(lags + 1):
        steps = period + i - ahead
        while steps < 0:
            steps += period
        total += theta[lags + i, lane] * (values[n, _back(slot, steps, depth)] - level)
    return total


@inlined_part
def _push(recent, value):
    for i in range(len(recent) - 1, 0, -1):
        recent[i] = recent[i - 1]
    recent[0] = value


@inlined_part
def _octave(ahead, octaves):
    """floor(log2(ahead)), the last octave holding all that is farther."""
    k = 0
    while ahead > 1 and k < octaves - 1:
        ahead >>= 1
        k += 1
    return k


@inlined_part
def _deviation(past, n, ahead, variance):
    """Standard deviation of a forecast `ahead` steps after the last truth, `variance` being that
    of one step ahead."""
    if ahead == 1:
        return np.sqrt(variance)
    octaves = past.strayed.shape[1]
    k = _octave(ahead, octaves)
    walk = min(variance * ahead, max(variance, 2.0 * past.variance[n]))
    weight = past.strayed_weight[n, k]
    return np.sqrt(max(variance, (weight * past.strayed[n, k] + walk) / (weight + 1.0)))


@inlined_part
def _learn_shadow(theta, lane, past, n, slot, truth, period, forgetting):
    """Move the shadow to the step at `slot`, and measure how far it has strayed.

    One that is not on its way sets out after the next truth. (The calls stand outside of branches:
    there numba counts references of arrays, which would take most of the time.)
    """
    depth, shadow = past.values.shape[1], past.shadow[n]
    if past.shadow_age[n] == 0:
        for i in range(len(shadow)):
            shadow[i] = past.values[n, _back(slot, 1 + i, depth)]
    forecast = _next(theta, lane, shadow, past.values, n, past.level[n], slot, 0, period)
    forecast = _held(forecast, past.low[n], past.high[n])
    _push(shadow, forecast)
    if past.shadow_age[n] == 0 and past.age[n] > 0:
        return
    past.shadow_age[n] += 1
    error = truth - forecast
    if not np.isnan(error):
        k = _octave(past.shadow_age[n], past.strayed.shape[1])
        past.strayed_weight[n, k] = forgetting * past.strayed_weight[n, k] + 1.0
        past.strayed[n, k] += (error * error - past.strayed[n, k]) / past.strayed_weight[n, k]
    if past.shadow_age[n] == period:
        past.shadow_age[n] = 0


@inlined_part
def _remember(past, n, slot, truth, forecast, forgetting):
    """Put the truth, or what stands for it, into the past."""
    if np.isnan(truth):
        past.values[n, slot] = _held(forecast, past.low[n], past.high[n])
        past.age[n] += 1
        return
    past.values[n, slot] = truth
    past.age[n] = 0
    past.weight[n] = forgetting * past.weight[n] + 1.0
    ahead = truth - past.level[n]
    level = past.level[n] + ahead / past.weight[n]
    past.variance[n] += (ahead * (truth - level) - past.variance[n]) / past.weight[n]
    past.level[n] = level
    past.low[n] = min(truth, level + forgetting * (past.low[n] - level))
    past.high[n] = max(truth, level + forgetting * (past.high[n] - level))


@inlined_part
def _now(block, lane, past, n, slot):
    """Forecast for the step at `slot` from all before it: (mean, standard deviation)."""
    scale = _scale(past.variance[n])
    mean = past.level[n] + scale * block.mean[lane]
    if np.isnan(mean):
        return past.values[n, _back(slot, 1, past.values.shape[1])], np.nan
    if past.age[n] > 0:
        mean = _held(mean, past.low[n], past.high[n])
    return mean, _deviation(past, n, past.age[n] + 1, scale * scale * block.variance[lane])


@inlined_part
def _look_ahead(block, lane, past, n, slot, period, horizons, recent, out):
    """Forecasts at the step at `slot` for the horizons above 0, each running on those before."""
    depth = past.values.shape[1]
    scale = _scale(past.variance[n])
    one = scale * scale * block.variance[lane]
    mean, sd = out
    level = past.level[n]
    for i in range(len(recent)):
        recent[i] = past.values[n, _back(slot, i, depth)]
    column = 0
    for ahead in range(1, horizons[-1] + 1):
        value = _next(block.theta, lane, recent, past.values, n, level, slot, ahead, period)
        if np.isnan(value):
            value = recent[0]
        age = past.age[n] + ahead
        _push(recent, _held(value, past.low[n], past.high[n]))
        while horizons[column] < ahead:
            column += 1
        if horizons[column] == ahead:
            mean[column] = value if age == 1 else recent[0]
            sd[column] = _deviation(past, n, age, one)


@njit(cache=True, nogil=True, error_model="numpy")
def own_lags(theta, P, s2, w, past, own, first, period, forgetting, cap, horizons, mean, sd):
    """Forecast and learn T steps of N targets from their own past.

    theta (N, 2·lags + 1), P packed, s2, w: as in ``rls_dense``, updated in place, like `past`.
    own (T, N): truths, NaN where missing. first: index of the first step. period: in steps.
    horizons (H,) steps ahead, ascending, none negative. mean, sd (T, N, H): forecast and standard
    deviation, made at step t for step t + horizon, in units of the truth; horizon 0 before the
    truth of t is seen. NaN where there is none: sd until a period and a few steps have been seen.
    """
    T, N = own.shape
    block = new_block(theta.shape[1])
    recent = np.empty(past.shadow.shape[1])
    for start in range(0, N, LANES):
        count = load_block(block, theta, P, s2, w, start)
        for t in range(T):
            slot = (first + t) % past.values.shape[1]
            for lane in range(count):
                _set_regressors(block, lane, past, start + lane, slot, period)
            predict(block)
            for lane in range(count):
                n = start + lane
                block.y[lane] = (own[t, n] - past.level[n]) / _scale(past.variance[n])
            learn(block, forgetting, cap)
            for lane in range(count):
                n = start + lane
                now, spread = _now(block, lane, past, n, slot)
                if horizons[0] == 0:
                    mean[t, n, 0], sd[t, n, 0] = now, spread
                _learn_shadow(block.theta, lane, past, n, slot, own[t, n], period, forgetting)
                _remember(past, n, slot, own[t, n], now, forgetting)
                out = mean[t, n], sd[t, n]
                _look_ahead(block, lane, past, n, slot, period, horizons, recent, out)
        store_block(block, theta, P, s2, w, start)
