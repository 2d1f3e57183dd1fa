"""Moments of a block's members at three memories, and the precision matrices solved from them.

The recursion and its sources are in ``docs/auto.md``. Operations have one fixed order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.inverse import invert
from gapcast.engine.kernels.uncounted import inlined_part, njit_part

MEMORIES = np.array([50.0, 400.0, 1e15])
"""Effective steps of the three memories: a quick one, a slow one and all that was ever seen."""
JOINT = len(MEMORIES)
"""Precision matrices: one a memory."""
CASCADE = 20.0
"""Steps of the longest memory that the quick one is shrunk to."""
RIDGE = 1.0
"""Ridge of a precision matrix, in steps, of standardised members."""
FRESH = 40.0
"""A precision matrix is solved for anew when 1/FRESH of what is remembered is news,"""
SETTLED = 100.0
"""but after so many steps only every"""
SOONEST, LATEST = 10.0, 50.0
"""SOONEST steps at most, and every LATEST at least."""
SOON = 1e9
"""Steps that have passed for what is to be solved for at once."""
RANKED = 16
"""Nearest members that are known of each one."""
SMALLEST = 1e-150
"""No standard deviation is less."""
JOINED = 50.0
"""Steps that what was seen counts when a member joins, so that it is soon one of them."""
BOUND, OFTEN = 0.02, 5
"""What is the lowest or highest of so great a share of values, and so often, is a bound."""
FACTS = 2
STEPS, NEWS = range(FACTS)


class Moments(NamedTuple):
    """The state of U blocks of up to M members; float64 but for `near`."""

    first: Any  # (U, M): first value of each member, NaN before
    count: Any  # (U, M): values
    level: Any  # (U, M): their mean
    square: Any  # (U, M): sum of squared deviations from it
    mean: Any  # (U, 3, M): mean at each memory
    cov: Any  # (U, 3, M, M): covariance at each memory
    precision: Any  # (U, JOINT, M, M): of standardised members; its diagonal is 0 here
    diagonal: Any  # (U, JOINT, M): and there
    scale: Any  # (U, JOINT, M): standard deviations that a matrix is standardised by
    waited: Any  # (U, JOINT): steps learnt since a matrix was solved for
    range: Any  # (U, 4, M): the lowest value and how often it was seen, the highest, likewise
    near: Any  # (U, M, RANKED) int16: others most correlated, best first; -1 behind the last
    facts: Any  # (U, FACTS): steps learnt, steps since members were ranked


@inlined_part
def deviation(mo, i):
    """Standard deviation of all values of member i; 1 while there is one."""
    if mo.count[i] < 2:
        return 1.0
    v = np.sqrt(mo.square[i] / (mo.count[i] - 1)) + 1e-9 * abs(mo.level[i])
    return max(v, SMALLEST)


@inlined_part
def remembered(mo, k):
    """Steps that memory k holds, and those of all that was seen that it is shrunk to."""
    steps = min(MEMORIES[k], max(mo.facts[STEPS], 1.0))
    return steps, CASCADE if k == 0 else 0.0


@inlined_part
def shrunk(mo, k, i, j, steps, more):
    """Covariance of members i and j at memory k, shrunk to that of the longest memory."""
    last = len(MEMORIES) - 1
    return (steps * mo.cov[k, i, j] + more * mo.cov[last, i, j]) / (steps + more)


@njit_part
def _standardised(mo, k, m, a, z):
    """Fill the lower triangle of a (m, m) with the covariances of memory k, standardised, with the
    ridge. z: scratch (m,)."""
    steps, more = remembered(mo, k)
    cov, last, over = mo.cov[k], mo.cov[len(MEMORIES) - 1], 1 / (steps + more)
    for i in range(m):
        mo.scale[k, i] = deviation(mo, i)
        z[i] = 1 / mo.scale[k, i] if mo.count[i] > 1 else 0.0
    for i in range(m):
        row, own, all_, zi = a[i], cov[i], last[i], z[i] * over
        for j in range(i + 1):
            row[j] = (steps * own[j] + more * all_[j]) * (zi * z[j])
        row[i] += RIDGE * over if mo.count[i] > 1 else 1.0


@njit_part
def _solve_anew(mo, j, m, a, z):
    _standardised(mo, j, m, a, z)
    invert(a, m, z)
    for i in range(m):
        row, of = mo.precision[j, i], a[i]
        for k in range(m):
            row[k] = of[k]
        mo.diagonal[j, i] = of[i]
        row[i] = 0.0


@inlined_part
def _due(waited, steps, all_steps):
    """Whether what was solved for so many steps ago is to be solved for anew."""
    if waited == 0 or (waited < SOONEST and all_steps > SETTLED):
        return False
    return waited * FRESH >= steps or waited >= LATEST


@njit_part
def refresh(mo, m, a, z):
    """Solve anew for the precision matrices that are no longer fresh; a (M, M), z (M,): scratch."""
    every = mo.facts[STEPS]
    for j in range(JOINT):
        if _due(mo.waited[j], min(MEMORIES[j], every), every):
            _solve_anew(mo, j, m, a, z)
            mo.waited[j] = 0.0
    if _due(mo.facts[NEWS], every, every):
        _rank(mo, m, a[0], z)
        mo.facts[NEWS] = 0.0


@njit_part
def _rank(mo, m, root, alike):
    """The RANKED most correlated others of every member, whatever the sign; of equals the first.
    root, alike: scratch (M,)."""
    cov = mo.cov[JOINT - 1]
    for i in range(m):
        root[i] = 1 / np.sqrt(cov[i, i]) if cov[i, i] > 0 else 0.0
    for i in range(m):
        for j in range(m):
            alike[j] = abs(cov[i, j]) * root[i] * root[j]
        found, near = 0, mo.near[i]
        for j in range(m):
            if j == i or mo.count[j] == 0:
                continue
            k = min(found, RANKED - 1)
            if found == RANKED and alike[j] <= alike[near[k]]:
                continue
            while k > 0 and alike[j] > alike[near[k - 1]]:
                near[k] = near[k - 1]
                k -= 1
            near[k] = j
            found = min(found + 1, RANKED)


@inlined_part
def _extreme(range_, side, i, x):
    """Take a value in as the lowest (side 0) or the highest (1) so far."""
    sign = 1.0 if side == 0 else -1.0
    if range_[2 * side + 1, i] == 0 or sign * x < sign * range_[2 * side, i]:
        range_[2 * side, i], range_[2 * side + 1, i] = x, 1.0
    elif x == range_[2 * side, i]:
        range_[2 * side + 1, i] += 1


@inlined_part
def within_bounds(mo, i, x):
    """x, or the bound of member i that it lies beyond: no rain is less than none."""
    often = max(BOUND * mo.count[i], OFTEN)
    if mo.range[1, i] >= often:
        x = max(x, mo.range[0, i])
    if mo.range[3, i] >= often:
        x = min(x, mo.range[2, i])
    return x


@njit_part
def note(mo, x, heard, m):
    """Take the first values of members not heard before; whether there are any."""
    new = False
    for i in range(m):
        if heard[i] and mo.count[i] == 0:
            mo.first[i] = mo.level[i] = x[i]
            for k in range(len(MEMORIES)):
                mo.mean[k, i] = x[i]
            new = True
    if new:
        mo.facts[STEPS] = min(mo.facts[STEPS], JOINED)
    return new


@njit_part
def learn(mo, x, heard, filled, doubt, missing, count, m, dl):
    """Take a step into all moments. filled (3, M): what memory k says of members not heard;
    doubt (3, M, M): [k, a, b] conditional covariance of the missing a-th and b-th."""
    mo.facts[STEPS] += 1
    mo.facts[NEWS] += 1
    for j in range(JOINT):
        mo.waited[j] += 1
    for k in range(len(MEMORIES)):
        gain = max(1 / MEMORIES[k], 1 / mo.facts[STEPS])
        mean, cov = mo.mean[k], mo.cov[k]
        for i in range(m):
            dl[i] = (x[i] if heard[i] else filled[k, i]) - mean[i]
        for i in range(m):
            di = gain * dl[i]
            row = cov[i]
            for j in range(m):
                row[j] = (1 - gain) * (row[j] + di * dl[j])
        for a in range(count):
            for b in range(count):
                if mo.count[missing[a]] > 1 and mo.count[missing[b]] > 1:
                    cov[missing[a], missing[b]] += gain * doubt[k, a, b]
        for i in range(m):
            mean[i] += gain * dl[i]
    for i in range(m):
        if heard[i]:
            _extreme(mo.range, 0, i, x[i])
            _extreme(mo.range, 1, i, x[i])
            mo.count[i] += 1
            d = x[i] - mo.level[i]
            mo.level[i] += d / mo.count[i]
            mo.square[i] += d * (x[i] - mo.level[i])
