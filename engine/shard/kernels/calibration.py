"""Bounds that hold their share: the kernel behind `gapcast.engine.shard.calibration`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.arcs import arc, within
from gapcast.engine.kernels.uncounted import inlined_part

OLDER, NEWER = range(2)
NEVER = -(1 << 60)
"""The step at which nothing was seen yet."""


LEAST, GREATEST = 0.02, 50.0
"""Factors stay within these, so that a long calm can be unlearnt again."""


class Holding(NamedTuple):
    """What it has cost to hold a value for K ages; targets leading."""

    at: Any  # (N, K, 2) int64: steps of two values seen, the older and the newer one
    value: Any  # (N, K, 2): the values
    square: Any  # (N, K): forgotten mean square of how far truth was from the older one, or NaN
    weight: Any  # (N, K): the sum of its weights


class Factors(NamedTuple):
    """By what half-widths are multiplied, and what was claimed of steps that have not come yet."""

    factor: Any  # (N, H, C), by class of gap age
    count: Any  # (N, H, C): the evidence that it rests on
    made: Any  # (N, D, H, 3): mean, half-widths below and above; a ring by the step they are of
    kind: Any  # (N, D) int8: class of gap age in which they were made, -1: never seen


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    ages: Any  # (K,): steps held, ascending
    bounds: Any  # (C - 1,): greatest gap age of each class but the last, in steps
    doubt: Any  # (C,): by what claims are widened at first
    gains: Any  # (C, 3): least gain, c and n0 of gain = max(least, c / (evidence + n0))
    steady: Any  # (C, 2): factors of a miss and of a hit at the least gain
    late: float  # weight of evidence that comes when a span is released
    horizons: Any  # (H,)
    level: float  # nominal coverage
    z: float  # its quantile of the normal distribution
    forgetting: float  # of squares, a step
    columns: Any  # (N,): each target's
    others: Any  # (R, Q, C): columns that are read, [:, 0] of the target's quantity, -1: none
    row: Any  # (N,): each target's row of these
    period: Any  # (N,): after which each target's quantity begins anew, 0: never
    reads: bool  # whether the model reads other series, and is doubted where none is there
    sure: bool  # whether its claims in gaps need not be widened


@njit(cache=True, nogil=True, error_model="numpy")
def calibrate(forecast, own, withheld, values, first, hold, f, s, out, late, late_kind):
    """Bounds of a frame's forecasts, each from what was visible when it was made.

    forecast: mean, lower, upper (T, N, H), made at each step; own, withheld (T, N): truths that
    the model sees, and those it does not see yet; values (T, S); hold: `Holding`, f: `Factors`,
    both moved; s: `Settings`. out (2, T, N, H) receives the bounds; late, late_kind (T, N, H),
    of no steps if nobody asks, the scores of forecasts whose truth is withheld and their classes.
    """
    T, N, H = out.shape[1:]
    depth = f.made.shape[1]
    now = np.empty((H, 3))
    for t in range(T):
        step = first + t
        for n in range(N):
            kind = _kind(step - hold.at[n, 0, NEWER], s.bounds)
            alone = s.reads and _none_seen(values, t, n, s)
            _make(forecast, t, n, step, kind, alone, False, hold, f, s, now, out)
            seen = not np.isnan(own[t, n])
            truth = own[t, n] if seen else withheld[t, n]
            for h in range(H):
                score, of = _score(truth, step, n, h, now, kind, f, s)
                if seen and of >= 0:
                    _learn(score, of, n, h, 1.0, f, s)
                elif not seen and len(late) > 0:
                    late[t, n, h], late_kind[t, n, h] = score, of
            if seen:
                _hold(truth, step, n, hold, s)
            if depth > 0:
                kind = _kind(step + 1 - hold.at[n, 0, NEWER], s.bounds)
                _make(forecast, t, n, step, kind, alone, True, hold, f, s, now, out)
                for h in range(H):
                    for k in range(3):
                        f.made[n, step % depth, h, k] = now[h, k]
                f.kind[n, step % depth] = kind


@njit(cache=True, nogil=True)
def learn_late(late, kind, f, s):
    """Learn the scores (T, N, H) of a span that has ended, in order; see `calibrate`."""
    T, N, H = late.shape
    for n in range(N):
        for t in range(T):
            for h in range(H):
                of = kind[t, n, h]
                if of >= 0:
                    _learn(late[t, n, h], of, n, h, 1.0 if of == 0 else s.late, f, s)


@njit(cache=True, nogil=True)
def learn_holding(own, first, hold, s):
    """Note what holding would have cost by the truths `own` (T, N) of steps from `first` on."""
    for n in range(own.shape[1]):
        for t in range(len(own)):
            if not np.isnan(own[t, n]):
                _hold(own[t, n], first + t, n, hold, s)


@inlined_part
def _kind(age, bounds):
    """Class of a gap age, -1 if nothing was ever seen."""
    if age > 1 << 59:
        return -1
    for k in range(len(bounds)):
        if age <= bounds[k]:
            return k
    return len(bounds)


@inlined_part
def _none_seen(values, t, n, s):
    for c in range(s.others.shape[2]):
        column = s.others[s.row[n], 0, c]
        if column >= 0 and column != s.columns[n] and not np.isnan(values[t, column]):
            return False
    return True


@inlined_part
def _make(forecast, t, n, step, kind, alone, ahead, hold, f, s, now, out):
    """Claims and bounds of the nowcast, or of all that looks ahead of `step`."""
    mean, lower, upper = forecast
    of = kind if kind >= 0 else len(s.bounds)
    for h in range(len(s.horizons)):
        if (s.horizons[h] > 0) != ahead:
            continue
        m = mean[t, n, h]
        below, above = m - lower[t, n, h], upper[t, n, h] - m
        if alone or np.isnan(below) or np.isnan(above):
            held = s.z * np.sqrt(_cost(step + s.horizons[h] - hold.at[n, 0, NEWER], n, hold, s))
            if not np.isnan(held):
                below = held if not below >= held else below
                above = held if not above >= held else above
        if of > 0:
            widened = s.doubt[of] * (1.0 if s.sure else max(1.0, f.factor[n, h, 0]))
            below, above = widened * below, widened * above
        now[h, 0], now[h, 1], now[h, 2] = m, below, above
        q = f.factor[n, h, of]
        out[0, t, n, h] = m - within(q * below, s.period[n])
        out[1, t, n, h] = m + within(q * above, s.period[n])


@inlined_part
def _score(truth, step, n, h, now, kind, f, s):
    """How many claimed half-widths the forecast for `step` was off, and the class it is of."""
    ahead = s.horizons[h]
    if ahead > 0:
        d = (step - ahead) % f.made.shape[1]
        e, of = arc(truth - f.made[n, d, h, 0], s.period[n]), f.kind[n, d]
        half = f.made[n, d, h, 2] if e > 0 else f.made[n, d, h, 1]
    else:
        e, of = arc(truth - now[h, 0], s.period[n]), kind
        half = now[h, 2] if e > 0 else now[h, 1]
    if np.isnan(e) or np.isnan(half):
        return np.nan, -1
    return (0.0 if e == 0 else abs(e) / half), of


@inlined_part
def _learn(score, k, n, h, weight, f, s):
    """Robbins-Monro on the logarithm of a factor: up by level, down by the rest."""
    q = f.factor[n, h, k]
    gain = s.gains[k, 1] / (f.count[n, h, k] + s.gains[k, 2])
    f.count[n, h, k] += weight
    if gain <= s.gains[k, 0] and weight == 1:
        q *= s.steady[k, 0] if score > q else s.steady[k, 1]
    else:
        gain = weight * max(gain, s.gains[k, 0])
        q *= np.exp(gain * s.level if score > q else gain * (s.level - 1))
    f.factor[n, h, k] = min(max(q, LEAST), GREATEST)


@inlined_part
def _hold(x, step, n, hold, s):
    """Compare a truth with the values held for about each age, and begin to hold it in turn."""
    for k in range(len(s.ages)):
        long = s.ages[k]
        if 3 * (step - hold.at[n, k, NEWER]) >= 2 * long:
            hold.at[n, k, OLDER], hold.value[n, k, OLDER] = (
                hold.at[n, k, NEWER], hold.value[n, k, NEWER],
            )  # fmt: skip
            hold.at[n, k, NEWER], hold.value[n, k, NEWER] = step, x
        if step - hold.at[n, k, OLDER] <= 2 * long:
            e = arc(x - hold.value[n, k, OLDER], s.period[n])
            hold.weight[n, k] = s.forgetting * hold.weight[n, k] + 1
            old = 0.0 if np.isnan(hold.square[n, k]) else hold.square[n, k]
            hold.square[n, k] = old + (e * e - old) / hold.weight[n, k]


@inlined_part
def _cost(age, n, hold, s):
    """Mean square of holding a value for `age` steps: straight lines between the ages that are
    known, never less than for a shorter one; NaN while none is known."""
    least, at = np.nan, 0
    for k in range(len(s.ages)):
        square = hold.square[n, k]
        if np.isnan(square):
            continue
        if not np.isnan(least):
            square = max(square, least)
        if age <= s.ages[k]:
            if np.isnan(least):
                return square
            return least + (square - least) * (age - at) / (s.ages[k] - at)
        least, at = square, s.ages[k]
    return least
