"""Members of a block that are missing, as the others say: for every target without itself.

What a target's forecast reads must not contain its own value of the step, not even through a
stand-in for another member. So every target has its own stand-ins; they are computed for all
targets at once, one a column. Sums that leave a target out are sums of what stands before and
behind it, never differences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

SWEEPS = 8
"""Passes over the missing members (Gauss-Seidel)."""


class Gaps(NamedTuple):
    """Scratch for `stand_in`, up to M members; column i: without target i, column M: for all."""

    missing: Any  # (M,) int64: the members that are missing, first `count`
    base: Any  # (M, M + 1): what those seen say of each missing one
    carry: Any  # (M, M + 1): what is left of its last residual; to be set
    cross: Any  # (M, M + 1): the column's target's weight in it
    value: Any  # (M, M + 1): its stand-in
    own: Any  # (M + 1,): forecast of the column's target
    own_carry: Any  # (M + 1,): what is left of its residual; to be set
    plain: Any  # (M + 1,): what those seen say of it; to be set
    level: Any  # (M + 1,): how far those seen are above their offsets
    fresh: Any  # (M + 1,)
    before: Any  # (M, M): sums of what stands before each target


def new_gaps(M: int) -> Gaps:
    """Scratch for blocks of up to M members."""
    tables = [np.empty((M, M + 1)) for _ in range(4)]
    rows = [np.zeros(M + 1) for _ in range(5)]
    scratch: list[Any] = [np.empty(M, np.int64), *tables, *rows, np.empty((M, M))]
    return Gaps(*scratch)


@njit_part
def stand_in(g, count, m, weights, y, seen, offset):
    """Solve y_k = Σ_j W_kj y_j + carry_k for the `count` missing members, and each target.

    weights (M, M) [k, i]: of member k in i; y (M,) centred values, 0 where missing; seen (M,)
    bool; offset (M,) each member's mean above the centre. Starts from offsets plus the mean level
    of those seen; results in ``g.value[q, i]``, ``g.own[i]``, and ``g.value[q, m]`` for all.
    """
    _level(g, m, y, seen, offset)
    for q in range(count):
        k = g.missing[q]
        total = 0.0
        for i in range(m):
            g.base[q, i] = total
            g.cross[q, i] = weights[i, k]
            total += weights[i, k] * y[i]
        g.base[q, m], g.cross[q, m], total = total, 0.0, 0.0
        for i in range(m - 1, -1, -1):
            g.base[q, i] += total
            total += weights[i, k] * y[i]
        for i in range(m + 1):
            g.value[q, i] = offset[k] + g.level[i]
        g.value[q, k] = 0.0
    for i in range(m):
        g.own[i] = offset[i] + g.level[i]
    g.own[m] = 0.0
    for _ in range(SWEEPS):
        _sweep(g, count, m, weights)


@inlined_part
def _level(g, m, y, seen, offset):
    total, number = 0.0, 0
    for i in range(m):
        g.level[i], g.fresh[i] = total, number
        if seen[i]:
            total += y[i] - offset[i]
            number += 1
    g.level[m] = total / max(number, 1)
    total, number = 0.0, 0
    for i in range(m - 1, -1, -1):
        g.level[i] = (g.level[i] + total) / max(g.fresh[i] + number, 1.0)
        if seen[i]:
            total += y[i] - offset[i]
            number += 1


@njit_part
def _sweep(g, count, m, weights):
    for q in range(count):
        k = g.missing[q]
        for i in range(m + 1):
            g.fresh[i] = g.base[q, i] + g.carry[q, i] + g.cross[q, i] * g.own[i]
        for p in range(count):
            w = weights[g.missing[p], k]
            for i in range(m + 1):
                g.fresh[i] += w * g.value[p, i]
        for i in range(m + 1):
            g.value[q, i] = g.fresh[i]
        # as a target, a missing member stands in for itself once only: as `own`
        g.value[q, k] = 0.0
    for i in range(m):
        g.fresh[i] = g.plain[i] + g.own_carry[i]
    for p in range(count):
        k = g.missing[p]
        for i in range(m):
            g.fresh[i] += weights[k, i] * g.value[p, i]
    for i in range(m):
        g.own[i] = g.fresh[i]


@njit_part
def residuals_without(g, count, m, weights, y, seen, hidden, carried):
    """For every hidden target i, the residuals of the others seen, i's forecast in place of i.

    carried (M, M): row i receives them; what belongs to members not seen stays. After `stand_in`,
    or with ``g.own`` set where nothing is missing.
    """
    some = 0.0
    for i in range(m):
        some += hidden[i]
    if some == 0:
        return
    for j in range(m):
        g.fresh[j] = 0.0
    for i in range(m):
        for j in range(m):
            g.before[i, j] = g.fresh[j]
            g.fresh[j] += weights[i, j] * y[i]
    for j in range(m):
        g.fresh[j] = 0.0
    for i in range(m - 1, -1, -1):
        if hidden[i]:
            for j in range(m):
                g.before[i, j] += g.fresh[j] + weights[i, j] * g.own[i]
            for p in range(count):
                k = g.missing[p]
                for j in range(m):
                    g.before[i, j] += weights[k, j] * g.value[p, i]
            for j in range(m):
                if seen[j] and j != i:
                    carried[i, j] = y[j] - g.before[i, j]
        for j in range(m):
            g.fresh[j] += weights[i, j] * y[i]
