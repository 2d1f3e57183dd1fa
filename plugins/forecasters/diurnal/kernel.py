"""Forecasts of many series from their own past: the hour's profile and the last anomalies.

The model, its sources and what its constants were chosen on are in ``docs/diurnal.md``. A block's
numbers depend neither on other blocks nor on where frames are cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.standin import plausible
from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.diurnal.fit import (
    GROWTH,
    REGRESSORS,
    TERMS,
    deviation,
    learn,
    solve,
)
from gapcast.plugins.forecasters.diurnal.profile import (
    commit,
    complete,
    gather,
    learnt,
    place,
    profile,
    turned,
    typical,
)

ORIGIN = 6
VALUE, PROFILE, SHARED, TYPICAL, MOVE, AGE = range(ORIGIN)
"""Places in `Models.origin`."""
YOUNG = 0.1
"""What is left of the weight of a member's errors when its profile becomes known."""


class Models(NamedTuple):
    """The state of U blocks of up to M members; K knots, J ages, R steps remembered; float64."""

    knots: Any  # (U, K, M): the day's profile; NaN where nothing is known
    visits: Any  # (U, K, M): days that a knot has been learnt on
    level: Any  # (U, M): mean of the knots
    filling: Any  # (U, 4, M): sum and weight of the knot before now, and of the one after
    waited: Any  # (U, M): steps from the first value to the last step, -1 before; infinite
    # once the profile is known
    past: Any  # (U, R, 2, M): values and profile of the last steps, a ring by step index
    shared: Any  # (U, R, 2): mean anomaly of the block and its typical profile, likewise
    origin: Any  # (U, ORIGIN, M): of each member's last value: the value, its profile, the block's
    # mean anomaly and typical profile, the move to it from the step before; steps since
    moments: Any  # (U, J, TERMS): forgotten moments of the regressors
    products: Any  # (U, J, REGRESSORS): of regressors and truth
    weight: Any  # (U, J): sum of their weights
    coefs: Any  # (U, J, REGRESSORS)
    error: Any  # (U, J, M): forgotten mean square of residuals, and the sum of its weights
    error_weight: Any
    variance: Any  # (U, J, M): of forecasts; NaN until an error is known


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    columns: Any  # (U, M) int64: column of each member, -1 behind the last
    targets: Any  # (U, M) int64: which target each member is, or -1
    horizons: Any  # (H,) int64
    period: int  # steps a day
    ages: Any  # (J,) int64: those that coefficients are learnt for, ascending from 1
    prior: Any  # (J, REGRESSORS)
    below: Any  # (A,) int64: for each age up to the last: the last of `ages` that is no greater
    beyond: Any  # (A,): how far towards the next one
    forgetting: float
    least: float  # gain of a knot
    z: float  # half-width of an interval in standard deviations


class Block(NamedTuple):
    """One block's state, as in `Models`, and what is at hand in a step."""

    knots: Any
    visits: Any
    level: Any
    filling: Any
    waited: Any
    past: Any
    shared: Any
    origin: Any
    moments: Any
    products: Any
    weight: Any
    coefs: Any
    error: Any
    error_weight: Any
    variance: Any
    x: Any  # (M,): values that may be learnt from, else NaN
    s: Any  # (M,): profile of the step looked at
    sums: Any  # scratch
    scale: Any  # scratch
    system: Any  # scratch
    kept: Any  # (2, M): knots that are being learnt


def new_scratch(members: int) -> tuple[NDArray[np.float64], ...]:
    """What `step_all` needs beside state and frame, for blocks of so many members."""
    return (
        np.empty(members), np.empty(members), np.empty(TERMS + REGRESSORS), np.empty(REGRESSORS),
        np.empty((REGRESSORS, REGRESSORS + 1)), np.empty((2, members)),
    )  # fmt: skip


@inlined_part
def _look(b, m, columns, targets, values, own):
    """Read what may be learnt from: a withheld truth is missing. Returns how many there are."""
    heard = 0
    for i in range(m):
        v = plausible(own[targets[i]] if targets[i] >= 0 else values[columns[i]])
        b.x[i] = v
        heard += not np.isnan(v)
    return heard


@inlined_part
def _shared_anomaly(b, m):
    """Mean anomaly of those heard whose profile is known; NaN where there is none."""
    total, count = 0.0, 0
    for i in range(m):
        if not np.isnan(b.x[i]) and not np.isnan(b.s[i]):
            total += b.x[i] - b.s[i]
            count += 1
    return total / count if count > 0 else np.nan


@njit_part
def _settle(b, m, step, c):
    """Commit a knot that is complete; a member whose profile has just become known looks at its
    last value anew."""
    K = len(b.knots)
    knot = turned(step, c.period, K)
    if knot < 0:
        return
    for i in range(m):
        commit(b.knots, b.visits, b.level, b.filling, i, knot, c.least)
    for i in range(m):
        young = c.period - 1 <= b.waited[i] < np.inf
        if young and complete(b.knots, b.visits, b.level, i):
            b.waited[i] = np.inf
            for a in range(len(b.error_weight)):
                b.error_weight[a, i] *= YOUNG
    for i in range(m):
        if b.waited[i] == np.inf and np.isnan(b.origin[PROFILE, i]):
            j, k, f = place(step - 1 - np.int64(b.origin[AGE, i]), c.period, K)
            b.origin[PROFILE, i] = profile(b.knots, i, j, k, f)
            b.origin[TYPICAL, i] = typical(b.knots, b.level, b.waited, m, j, k, f)
            b.origin[SHARED, i] = 0.0  # the profile is of that very day


@inlined_part
def _profiles(b, m, step, period):
    """Fill b.s for a step, NaN where unknown; returns what is typical."""
    j, k, f = place(step, period, len(b.knots))
    for i in range(m):
        b.s[i] = profile(b.knots, i, j, k, f) if b.waited[i] == np.inf else np.nan
    return typical(b.knots, b.level, b.waited, m, j, k, f)


@njit_part
def _forecast(b, i, age, there, c, out):
    """Mean, lower and upper bound of member i at a step `age` after its last value, whose typical
    profile is `there`; its own is b.s[i]."""
    o = b.origin[:, i]
    top = len(c.below) - 1
    j, f, left = c.below[min(age, top)], c.beyond[min(age, top)], 1.0
    k = min(j + 1, len(c.ages) - 1)
    if age > top:
        left = 0.5 ** ((age - top) / c.period)
    mean = o[VALUE]
    if not np.isnan(b.s[i]) and not np.isnan(o[PROFILE]):
        low, high = b.coefs[j], b.coefs[k]
        common, own = there - o[TYPICAL], b.s[i] - o[PROFILE]
        anomaly = o[VALUE] - o[PROFILE]
        mean += (low[0] + f * (high[0] - low[0])) * common
        mean += (low[1] + f * (high[1] - low[1])) * (own - common)
        mean -= (1 - left * (1 - low[2] - f * (high[2] - low[2]))) * o[SHARED]
        mean -= (1 - left * (1 - low[3] - f * (high[3] - low[3]))) * (anomaly - o[SHARED])
        mean += left * (low[4] + f * (high[4] - low[4])) * o[MOVE]
    v = b.variance[j, i] + f * (b.variance[k, i] - b.variance[j, i])
    half = c.z * np.sqrt(v)
    out[0], out[1], out[2] = mean, mean - half, mean + half


@njit_part
def _ahead(b, m, c, targets, step, horizon, late, out, h):
    """Forecast all targets of the block for `step` + `horizon`; late: 1 where the step itself has
    not been noted yet, else 0. So far ahead that a knot of today's is read again, what has been
    gathered for it counts: it will have been learnt by then."""
    K = len(b.knots)
    again = horizon > c.ages[-1]
    j, k, _ = place(step, c.period, K)
    if again:
        for i in range(m):
            b.kept[0, i], b.kept[1, i] = b.knots[j, i], b.knots[k, i]
            b.knots[j, i] = learnt(b.knots, b.visits, b.filling[:2, i], i, j, c.least)
            if k != j:
                b.knots[k, i] = learnt(b.knots, b.visits, b.filling[2:, i], i, k, c.least)
    there = _profiles(b, m, step + horizon, c.period)
    for i in range(m):
        if targets[i] >= 0:
            age = np.int64(b.origin[AGE, i]) + horizon + late
            _forecast(b, i, age, there, c, out[:, targets[i], h])
    if again:
        for i in range(m):
            b.knots[k, i] = b.kept[1, i]
            b.knots[j, i] = b.kept[0, i]


@njit_part
def _note(b, m, row, before, mean, there):
    """Remember this step in the ring and as the origin of the forecasts to come."""
    b.shared[row, 0], b.shared[row, 1] = mean, there
    for i in range(m):
        x = b.x[i]
        b.past[row, 0, i], b.past[row, 1, i] = x, b.s[i]
        b.origin[AGE, i] += 1
        if not np.isnan(x):
            move = x - b.past[before, 0, i]
            b.origin[VALUE, i], b.origin[PROFILE, i] = x, b.s[i]
            b.origin[SHARED, i] = 0.0 if np.isnan(mean) else mean
            b.origin[TYPICAL, i] = there
            b.origin[MOVE, i] = 0.0 if np.isnan(move) else move
            b.origin[AGE, i] = 0.0


@njit_part
def _learn(b, m, step, there, c):
    """Learn from all pairs of this step and one that lies one of the ages back."""
    R = len(b.past)
    any_pair = False
    for j in range(len(c.ages)):
        o = step - c.ages[j]
        r = o % R
        any_pair |= learn(
            b.x, b.s, there, b.past[r], b.past[(o - 1) % R, 0], b.shared[r], m, c.forgetting,
            b.coefs[j], b.moments[j], b.products[j], b.weight[j : j + 1], b.error[j],
            b.error_weight[j], b.sums,
        )  # fmt: skip
    b.scale[:] = 0.0
    for j in range(len(c.ages)):
        if any_pair and b.weight[j] > 0:
            solve(
                b.moments[j], b.products[j], b.weight[j], c.ages[j], c.prior[j], b.coefs[j],
                b.scale, b.system,
            )  # fmt: skip
        growth = 1.0 if j == 0 else (c.ages[j] / c.ages[j - 1]) ** GROWTH
        shorter = b.variance[max(j - 1, 0)]
        deviation(
            b.error[j], b.error_weight[j], c.ages[j], shorter, growth, j == 0, b.variance[j], m
        )


@njit(cache=True, nogil=True, error_model="numpy")
def step_all(values, own, first, models, c, scratch, out):
    """Step every block over a frame; forecasts go to `out` (3, T, N, H): mean, lower, upper.

    values (T, S), own (T, N) as in `Frame`; first: index of the first step; scratch: `x` to
    `system` of a block, from `new_scratch`.
    """
    R = models.past.shape[1]
    for u in range(len(c.columns)):
        m = 0
        while m < c.columns.shape[1] and c.columns[u, m] >= 0:
            m += 1
        targets = c.targets[u]
        b = Block(
            models.knots[u], models.visits[u], models.level[u], models.filling[u],
            models.waited[u], models.past[u], models.shared[u], models.origin[u],
            models.moments[u], models.products[u], models.weight[u], models.coefs[u],
            models.error[u], models.error_weight[u], models.variance[u], *scratch,
        )  # fmt: skip
        for t in range(len(values)):
            step = first + t
            _settle(b, m, step, c)
            for h in range(len(c.horizons)):
                if c.horizons[h] == 0:
                    _ahead(b, m, c, targets, step, 0, 1, out[:, t], h)
            heard = _look(b, m, c.columns[u], targets, values[t], own[t])
            there = _profiles(b, m, step, c.period)
            if heard > 0:
                _learn(b, m, step, there, c)
            _note(b, m, step % R, (step - 1) % R, _shared_anomaly(b, m), there)
            gather(b.filling, b.waited, b.x, m, place(step, c.period, len(b.knots))[2])
            for h in range(len(c.horizons)):
                if c.horizons[h] > 0:
                    _ahead(b, m, c, targets, step, c.horizons[h], 0, out[:, t], h)
