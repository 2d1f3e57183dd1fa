"""The weights of a block: each member's regression on the others, four ways, averaged.

All of them are solved for from the block's shared moments; the formulas are in
``docs/network-rls.md``. Operations have one fixed order, whatever the machine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.inverse import invert
from gapcast.engine.kernels.lanes import LANES, fill, store
from gapcast.engine.kernels.moments import at, solve
from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.network_rls.triangle import origin

NEAR, FAR = 8, 20
"""Sizes of the two sets of nearest neighbours; NEAR also sets the scale of strangeness."""
ALIKE = 0.98
"""Prior correlation of all members: near 1, the average of the others."""
LEARNT = 2.0
"""Weight of that prior, in steps of at least half an hour."""
RIDGE = 0.1
"""Ridge of the regression on all members, times how strange each is to the target."""
LEVELLING = 30.0
"""Weight of its belief that weights sum to one, in the same steps."""
LEAST, MOST = 0.01, 1e4
"""Bounds of the squared relative strangeness."""
NOTHING = 1e-9
"""What is below this share of the second moments is rounding."""
FIRM = 1 + 1e-10
"""The diagonal is raised by what rounding may have taken from it."""
TINY = 1e-30


class Solver(NamedTuple):
    """Scratch for `weigh`, for up to M members."""

    cross: Any  # (M, M): moments about the centre
    prior: Any  # (M, M): the same with the prior
    inverse: Any  # (M, M)
    strange: Any  # (M, M): variance of the difference of two members
    near: Any  # (M, FAR) int64: nearest members, least strange first
    vector: Any  # (M,)
    square: Any  # (M,)
    own: Any  # (M,) int64: the members that are targets
    packed: Any  # ((M + 1)(M + 2) / 2, LANES): normal equations of LANES targets
    solution: Any  # (M, LANES)


def new_solver(M: int) -> Solver:
    """Scratch for blocks of up to M members."""
    scratch: list[Any] = [
        *(np.empty((M, M)) for _ in range(4)),
        np.empty((M, FAR), np.int64),
        *(np.empty(M) for _ in range(2)),
        np.empty(M, np.int64),
        np.empty(((M + 1) * (M + 2) // 2, LANES)),
        np.empty((M, LANES)),
    ]
    return Solver(*scratch)


@njit_part
def weigh(
    changes, change_sum, change_weight, levels, level_sum, weight, steps, phi, m, targets, s, out
):
    """Solve for all weights of a block of m members; returns its centre.

    changes, levels (triangle_size(M),) moments of quasi-differences u = z - phi z' and of z, their
    sums (M,) and weights; steps: how many weigh as one of half an hour; targets (M,) -1 for
    members that only serve others; out.variance_weight (M,) 0 for members never seen, which may
    not be all. out.weights (M, M) receives at [k, i] the weight of member k in the regression of
    member i, out.offset (M,) each member's mean minus the centre.
    """
    M = len(change_sum)
    centre, typical = _levels(levels, level_sum, weight, steps, m, s, out)
    weak = LEARNT * steps * typical
    for i in range(m):
        for j in range(i, m):
            c = changes[origin(i, M) + j] - centre * (change_sum[i] + change_sum[j])
            c = (c + change_weight * centre * centre) / (1 - phi * phi)
            alike = ALIKE if i != j else 1.0
            a = c + weak * alike
            if i == j:
                a *= FIRM
            s.cross[i, j] = s.cross[j, i] = c
            s.prior[i, j] = s.prior[j, i] = a
    for i in range(m):
        for k in range(m):
            out.weights[k, i] = 0.0
    if m > 1:
        _rank(s, m)
        own = _on_all(s, m, targets, out.weights)
        ridge, levelling = RIDGE * steps * typical, LEVELLING * steps * typical
        for first in range(0, own, LANES):
            of = s.own[first : min(first + LANES, own)]
            _on_nearest(s, min(NEAR, m - 1), of, out.weights)
            _on_nearest(s, min(FAR, m - 1), of, out.weights)
            _graded(s, m, ridge, levelling, of, out.weights)
    return centre


@inlined_part
def _levels(levels, level_sum, weight, steps, m, s, out):
    """Centre of the block, each member's offset from it, a typical variance; strangeness.

    Centre and variance are medians over all members ever seen, so that a broken sensor does not
    move them; the variance between the means weighs as one step: at first it is all there is.
    """
    M, offset = len(out.offset), out.offset
    for i in range(m):
        offset[i] = level_sum[i] / weight
    centre = _median(offset, out.variance_weight, m, s.vector)
    for i in range(m):
        offset[i] -= centre
        s.square[i] = offset[i] * offset[i]
    between = _median(s.square, out.variance_weight, m, s.vector)
    for i in range(m):
        for j in range(i, m):
            c = levels[origin(i, M) + j] / weight - (centre + offset[i]) * (centre + offset[j])
            s.strange[i, j] = c
        s.strange[i, i] = s.square[i] = max(s.strange[i, i], 0.0)
    within = _median(s.square, out.variance_weight, m, s.vector)
    typical = (weight * within + steps * between) / (weight + steps)
    least = NOTHING * (within + between + centre * centre)
    typical = max(typical, 1e-6 * between, least, TINY)
    for i in range(m):
        for j in range(i + 1, m):
            d = s.strange[i, i] + s.strange[j, j] - 2 * s.strange[i, j]
            s.strange[i, j] = s.strange[j, i] = max(d, NOTHING * typical)
    return centre, typical


@inlined_part
def _median(a, weight, m, work):
    """The upper median of those of the first m entries of a that have weight, by insertion."""
    n = 0
    for i in range(m):
        if weight[i] > 0:
            k = n
            while k > 0 and work[k - 1] > a[i]:
                work[k] = work[k - 1]
                k -= 1
            work[k] = a[i]
            n += 1
    return work[n // 2]


@inlined_part
def _rank(s, m):
    """The FAR least strange others of every member, in order; of equals the first."""
    for i in range(m):
        found = 0
        for j in range(m):
            if j == i:
                continue
            d = s.strange[i, j]
            k = min(found, FAR - 1)
            if found < FAR or d < s.strange[i, s.near[i, k]]:
                while k > 0 and d < s.strange[i, s.near[i, k - 1]]:
                    s.near[i, k] = s.near[i, k - 1]
                    k -= 1
                s.near[i, k] = j
                found = min(found + 1, FAR)


@inlined_part
def _on_all(s, m, targets, weights):
    """Regressions on all others, from the inverse of the moments with the prior: the off-diagonal
    of a row over its diagonal. They are a quarter of a target's weights, and all of those of other
    members. Returns how many are targets.
    """
    a = s.inverse
    for i in range(m):
        for j in range(m):
            a[i, j] = s.prior[i, j]
    invert(a, m, s.square)
    own = 0
    for i in range(m):
        share = 4 if targets[i] >= 0 else 1
        for k in range(m):
            if k != i:
                weights[k, i] -= a[i, k] / a[i, i] / share
        if targets[i] >= 0:
            s.own[own] = i
            own += 1
    return own


@njit_part
def _solve(packed, solution):
    solve(packed, solution)


@inlined_part
def _on_nearest(s, k, targets, weights):
    """Regressions on the k nearest, for up to LANES targets at once."""
    size = k + 1
    for lane in range(LANES):
        i = targets[min(lane, len(targets) - 1)]
        for a in range(k):
            row = at(a, a, size) - a
            of = s.near[i, a]
            for b in range(a, k):
                s.packed[row + b, lane] = s.prior[of, s.near[i, b]]
            s.packed[row + k, lane] = s.prior[of, i]
    _solve(s.packed[: size * (size + 1) // 2], s.solution[:k])
    for lane in range(len(targets)):
        i = targets[lane]
        for a in range(k):
            weights[s.near[i, a], i] += s.solution[a, lane] / 4


@inlined_part
def _graded(s, m, ridge, levelling, targets, weights):
    """Regressions on all others with a ridge that grows with strangeness, LANES targets at once.
    The target itself stays among its regressors with nothing to explain."""
    size = m + 1
    for i in range(m):
        row = at(i, i, size) - i
        for j in range(i, m):
            store(s.packed, row + j, fill(s.cross[i, j] + levelling))
    for lane in range(LANES):
        i = targets[min(lane, len(targets) - 1)]
        scale = 0.0
        closest = min(NEAR, m - 1)
        for a in range(closest):
            scale += s.strange[i, s.near[i, a]]
        scale /= closest
        for j in range(m):
            relative = s.strange[i, j] / scale
            penalty = min(max(relative * relative, LEAST), MOST)
            s.packed[at(j, j, size), lane] += ridge * penalty
            s.packed[at(j, m, size), lane] = s.cross[i, j] + levelling
            s.packed[at(min(i, j), max(i, j), size), lane] *= 0.0 if i != j else 1.0
        s.packed[at(i, m, size), lane] = 0.0
        s.packed[at(i, i, size), lane] = 1.0
    _solve(s.packed[: size * (size + 1) // 2], s.solution[:m])
    for lane in range(len(targets)):
        i = targets[lane]
        for k in range(m):
            if k != i:
                weights[k, i] += s.solution[k, lane] / 4
