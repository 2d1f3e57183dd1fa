"""What stands in for a regressor that is missing, and how far it may be trusted."""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part

ABSURD = 1e50
"""A magnitude from which products of squares may overflow; such a value counts as missing."""


@inlined_part
def plausible(x):
    """x, or NaN where it is not finite or is absurd."""
    return x if abs(x) < ABSURD else np.nan


@inlined_part
def stand_in(x, group, level, filled, age, noise, weight, forgetting, z):
    """Fill the missing regressors of one target and step.

    A regressor that is missing moves on from its last value with the mean move of those of its
    group that are seen, last value or stand-in to this step. Each regressor's own misses of the
    others' mean move, squared and per step, are averaged in `noise`: a stand-in of age a has error
    variance noise · a, a random walk's.

    x (K,) NaN where missing; group (Q + 1,) bounds of the groups, one a quantity; level (Q,) first
    mean of each group, NaN until one is seen; filled (K,) values as filled, NaN until first seen,
    then its group's mean stands in; age (K,) steps since seen; noise, weight (K,) the forgotten
    mean of squares and the sum of its weights, weight ← λ weight + 1. z (K,) receives the filled
    values minus the level, 0 where nothing of the group has ever been seen.
    """
    for q in range(len(level)):
        low, high = group[q], group[q + 1]
        total, seen, moved, known = _sums(x, filled, low, high)
        if seen > 0 and np.isnan(level[q]):
            level[q] = total / seen
        neutral = total / seen if seen > 0 else level[q]
        for i in range(low, high):
            fresh = np.isnan(filled[i])
            if np.isnan(x[i]):
                age[i] += 1
                if not fresh and known > 0:
                    filled[i] += moved / known
            else:
                if not fresh:
                    move = x[i] - filled[i]
                    e = move - (moved - move) / (known - 1) if known > 1 else move
                    weight[i] = forgetting * weight[i] + 1
                    noise[i] += (e * e / (age[i] + 1) - noise[i]) / weight[i]
                filled[i] = x[i]
                age[i] = 0
            value = neutral if np.isnan(filled[i]) else filled[i]
            z[i] = 0.0 if np.isnan(value) else value - level[q]


@inlined_part
def _sums(x, filled, low, high):
    """Sum and number of the values seen; of the moves of those that were known before."""
    total, seen, moved, known = 0.0, 0, 0.0, 0
    for i in range(low, high):
        if not np.isnan(x[i]):
            total += x[i]
            seen += 1
            if not np.isnan(filled[i]):
                moved += x[i] - filled[i]
                known += 1
    return total, seen, moved, known
