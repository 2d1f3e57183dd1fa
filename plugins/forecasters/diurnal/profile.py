"""A day's profile of many series: knots joined by straight lines, learnt day by day.

A knot is the mean of the values near it, each weighted by how near it is (a linear B-spline's
weights), so that nothing is looked up that lies ahead of a step. Functions take one block's arrays
as in ``kernels/diurnal.py``.
"""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

ENOUGH = 8
"""A profile is known after a day in which one in so many of its knots was learnt."""


@inlined_part
def place(step, period, knots):
    """The knot at or before a step, the next one, and how far the step is towards that."""
    at = (step % period) * knots
    j = at // period
    return j, (j + 1) % knots, (at % period) / period


@inlined_part
def profile(knots, i, j, k, f):
    """Member i's profile at a `place`."""
    return knots[j, i] + f * (knots[k, i] - knots[j, i])


@inlined_part
def typical(knots, level, waited, m, j, k, f):
    """Mean over the members whose profile is known of what it is above its own mean at a `place`;
    NaN where there is none."""
    total, count = 0.0, 0
    for i in range(m):
        if waited[i] == np.inf:
            total += profile(knots, i, j, k, f) - level[i]
            count += 1
    return total / count if count > 0 else np.nan


@inlined_part
def turned(step, period, knots):
    """The knot that no value from `step` on belongs to any more, or -1 unless it has just become
    complete."""
    before, now = place(step - 1, period, knots)[0], place(step, period, knots)[0]
    return before if before != now or knots == period else -1


@inlined_part
def learnt(knots, visits, gathered, i, j, least):
    """Member i's knot j once it has learnt what was gathered for it (sum, weight): the first time
    all of it, then by a gain of visits^(-1/2), `least` at least."""
    if gathered[1] == 0 or visits[j, i] == 0:
        return knots[j, i] if gathered[1] == 0 else gathered[0] / gathered[1]
    gain = max(1 / np.sqrt(visits[j, i] + 1), least)
    return knots[j, i] + gain * (gathered[0] / gathered[1] - knots[j, i])


@njit_part
def commit(knots, visits, level, filling, i, j, least):
    """Let member i's knot j learn what was gathered for it and go on to the next knot."""
    new = learnt(knots, visits, filling[:2, i], i, j, least)
    if filling[1, i] > 0:
        visits[j, i] += 1
        old = 0.0 if np.isnan(knots[j, i]) else knots[j, i]
        level[i] += (new - old) / len(knots)
        knots[j, i] = new
    filling[0, i], filling[1, i] = filling[2, i], filling[3, i]
    filling[2, i], filling[3, i] = 0.0, 0.0


@njit_part
def complete(knots, visits, level, i):
    """Draw lines across the knots that member i has not learnt; False while there are too few."""
    K = len(knots)
    known, first = 0, -1
    for j in range(K):
        if visits[j, i] > 0:
            known += 1
            first = j if first < 0 else first
    if known * ENOUGH < K:
        return False
    a = first
    for _ in range(known):
        gap = 1
        while visits[(a + gap) % K, i] == 0:
            gap += 1
        b = (a + gap) % K
        for g in range(1, gap):
            knots[(a + g) % K, i] = knots[a, i] + g / gap * (knots[b, i] - knots[a, i])
        a = b
    total = 0.0
    for j in range(K):
        total += knots[j, i]
    level[i] = total / K
    return True


@njit_part
def gather(filling, waited, x, m, f):
    """Note the values x, `f` on the way from one knot to the next, for both of them."""
    for i in range(m):
        if not np.isnan(x[i]):
            filling[0, i] += (1 - f) * x[i]
            filling[1, i] += 1 - f
            filling[2, i] += f * x[i]
            filling[3, i] += f
        if waited[i] >= 0 or not np.isnan(x[i]):
            waited[i] += 1
