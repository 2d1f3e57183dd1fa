"""What the members seen at a step say of every other one: the experts of the network.

Nothing said of a member contains its own value, not even through what stands in for another one
that is missing: sums that leave a member out are sums of what stands before and behind it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.auto.moments import (
    JOINT,
    RANKED,
    RIDGE,
    deviation,
    remembered,
)

FEW = 3
"""Neighbours of the small regressions."""
GROUP = 4
"""Nearest neighbours, but no more than half of the others, that are left out, too, to tell how an
expert fares without them."""
CROSS = JOINT + 3
"""Experts of the network: joint ones, two of a few neighbours, and `network-rls`."""
NETWORK = CROSS - 1


class Cross(NamedTuple):
    """Scratch for blocks of up to M members."""

    d: Any  # (M,): standardised deviations; 0 where nothing is seen
    fit: Any  # (M,)
    total: Any  # (M,)
    over: Any  # (M,)
    factor: Any  # (M, M): Cholesky factor of the missing members' precision, diagonal inverted
    left: Any  # (M, M): of every member, solved by that factor
    right: Any  # (M, M): sums without each member, likewise
    whole: Any  # (M,)
    square: Any  # (GROUP + 2, GROUP + 3): a small system
    chosen: Any  # (GROUP + 1,) int64
    matrix: Any  # (M, M)
    size: Any  # (M,): 1 / standard deviation of each member


def new_cross(M: int) -> Cross:
    """Scratch for blocks of up to M members."""
    return Cross(
        *(np.zeros(M) for _ in range(4)),
        *(np.zeros((M, M)) for _ in range(3)),
        np.zeros(M),
        np.zeros((GROUP + 2, GROUP + 3)),
        np.zeros(GROUP + 1, np.int64),
        np.zeros((M, M)),
        np.zeros(M),
    )


@njit_part
def conditional(P, q, missing, count, m, s):
    """s.fit: what the others seen say of every member, by precision P with diagonal q apart; s.d
    holds their deviations."""
    d = s.d
    for i in range(m):
        s.total[i], s.over[i] = 0.0, q[i]
    for j in range(m):
        dj, row = d[j], P[j]
        for i in range(m):
            s.total[i] += row[i] * dj
    if count > 0:
        _factorise(P, q, missing, count, s)
        _without_each(P, missing, count, m, s)
    for i in range(m):
        s.fit[i] = -s.total[i] / s.over[i]
    for a in range(count):
        s.fit[missing[a]] = -s.whole[a]


@njit_part
def _factorise(P, q, missing, count, s):
    for a in range(count):
        row = P[missing[a]]
        for b in range(a):
            v = row[missing[b]]
            for k in range(b):
                v -= s.factor[a, k] * s.factor[b, k]
            s.factor[a, b] = v * s.factor[b, b]
        v = q[missing[a]]
        for k in range(a):
            v -= s.factor[a, k] * s.factor[a, k]
        s.factor[a, a] = 1 / np.sqrt(v)


@njit_part
def _without_each(P, missing, count, m, s):
    """Turn sums over members seen into those with the missing ones at their conditional means;
    s.whole: minus these means."""
    d = s.d
    for a in range(count):
        row, left, right, run = P[missing[a]], s.left[a], s.right[a], 0.0
        for i in range(m):
            left[i], right[i] = row[i], run
            run += row[i] * d[i]
        s.whole[a] = run
        run = 0.0
        for i in range(m - 1, -1, -1):
            right[i] += run
            run += row[i] * d[i]
        for k in range(a):
            factor, lefts, rights = s.factor[a, k], s.left[k], s.right[k]
            for i in range(m):
                left[i] -= factor * lefts[i]
                right[i] -= factor * rights[i]
            s.whole[a] -= factor * s.whole[k]
        over = s.factor[a, a]
        for i in range(m):
            left[i] *= over
            right[i] *= over
            s.total[i] -= left[i] * right[i]
            s.over[i] -= left[i] * left[i]
        s.whole[a] *= over
    for a in range(count - 1, -1, -1):
        for k in range(a + 1, count):
            s.whole[a] -= s.factor[k, a] * s.whole[k]
        s.whole[a] *= s.factor[a, a]


@njit_part
def conditional_covariance(count, scale, missing, s, out):
    """out (count, count): covariance of the missing members, given those seen, after
    `conditional`."""
    f = s.matrix
    for a in range(count):
        for b in range(a):
            v = 0.0
            for k in range(b, a):
                v -= s.factor[a, k] * f[k, b]
            f[a, b] = v * s.factor[a, a]
        f[a, a] = s.factor[a, a]
    for a in range(count):
        for b in range(a + 1):
            v = 0.0
            for k in range(a, count):
                v += f[k, a] * f[k, b]
            v *= scale[missing[a]] * scale[missing[b]]
            out[a, b] = out[b, a] = v


@inlined_part
def group_of(near, i):
    """How many neighbours are the nearest ones of member i, at least one."""
    n = 0
    while n < 2 * GROUP and near[i, n] >= 0:
        n += 1
    return min(max(n // 2, 1), GROUP)


@njit_part
def without_group(P, q, near, seen, count, i, s):
    """What is said of member i, seen, by those seen but for its nearest ones; after
    `conditional`."""
    n = _choose(near, seen, i, 0, group_of(near, i), s)
    s.chosen[n] = i
    n += 1
    a = s.square
    for x in range(n):
        j = s.chosen[x]
        for y in range(x, n):
            k = s.chosen[y]
            v = q[j] if j == k else P[j, k]
            for b in range(count):
                v -= s.left[b, j] * s.left[b, k]
            a[x, y] = v
        a[x, n] = s.over[j] * (s.d[j] - s.fit[j])
    return s.d[i] - _last_unknown(a, n)


@inlined_part
def _last_unknown(a, n):
    """The last unknown of the symmetric system in the upper triangle of a (n, n + 1), destroyed."""
    for x in range(n - 1):
        for y in range(x + 1, n):
            factor = a[x, y] / a[x, x]
            for z in range(y, n + 1):
                a[y, z] -= factor * a[x, z]
    return a[n - 1, n] / a[n - 1, n - 1]


@inlined_part
def _choose(near, seen, i, skip, most, s):
    """Put up to `most` of the nearest members seen of member i into s.chosen, but for the first
    `skip`; returns how many."""
    n = 0
    for r in range(RANKED):
        j = near[i, r]
        if j < 0 or n == most:
            break
        if seen[j]:
            if skip > 0:
                skip -= 1
            else:
                s.chosen[n] = j
                n += 1
    return n


@njit_part
def from_few(mo, k, x, seen, i, skip, s):
    """Member i by its FEW most correlated neighbours seen, at memory k; NaN where there are none.
    skip: how many of the nearest are left out."""
    n = _choose(mo.near, seen, i, skip, FEW, s)
    if n == 0:
        return np.nan
    steps, more = remembered(mo, k)
    cov, last, over = mo.cov[k], mo.cov[JOINT - 1], 1 / (steps + more)
    a, mean = s.square, mo.mean[k]
    for p in range(n):
        j = s.chosen[p]
        own, all_, sj = cov[j], last[j], s.size[j] * over
        for r in range(p, n):
            b = s.chosen[r]
            a[p, r] = (steps * own[b] + more * all_[b]) * (sj * s.size[b])
        a[p, p] += RIDGE * over
        a[p, n] = (steps * own[i] + more * all_[i]) * (sj * s.size[i])
        a[p, n + 1] = (x[j] - mean[j]) * s.size[j]
    return mean[i] + _regressed(a, n) / s.size[i]


@inlined_part
def _regressed(a, n):
    """y' A^-1 b of the n x n matrix in the upper triangle of a, b in column n, y in n + 1."""
    total = 0.0
    for p in range(n):
        over = 1 / a[p, p]
        total += a[p, n] * a[p, n + 1] * over
        for q in range(p + 1, n):
            factor = a[p, q] * over
            for r in range(q, n):
                a[q, r] -= factor * a[p, r]
            a[q, n] -= factor * a[p, n]
            a[q, n + 1] -= factor * a[p, n + 1]
    return total


@njit_part
def say(mo, x, seen, missing, count, m, twice, s, out, filled, doubt):
    """Let every expert of the network speak of every member.

    x (M,) values, seen (M,) which there are; missing: members known but not seen; out
    (2, CROSS, M): with all that is seen, and, where `twice`, without the nearest ones. filled
    (3, M), doubt (3, M, M): for `learn`.
    """
    for j in range(JOINT):
        P, q, scale = mo.precision[j], mo.diagonal[j], mo.scale[j]
        for i in range(m):
            s.d[i] = (x[i] - mo.mean[j, i]) / scale[i] if seen[i] else 0.0
        conditional(P, q, missing, count, m, s)
        for i in range(m):
            centre = mo.mean[j, i]
            out[0, j, i] = filled[j, i] = centre + scale[i] * s.fit[i]
            if twice:
                out[1, j, i] = out[0, j, i]
                if seen[i]:
                    v = without_group(P, q, mo.near, seen, count, i, s)
                    out[1, j, i] = centre + scale[i] * v
        if count > 0:
            conditional_covariance(count, scale, missing, s, doubt[j])


@njit_part
def say_few(mo, x, seen, m, without, s, out):
    """The same of the experts that read a few neighbours, into out (CROSS, M); `without` the
    nearest ones or with them."""
    for i in range(m):
        s.size[i] = 1 / deviation(mo, i)
    for i in range(m):
        skip = group_of(mo.near, i) if without else 0
        out[JOINT, i] = from_few(mo, 0, x, seen, i, skip, s)
        out[JOINT + 1, i] = from_few(mo, 2, x, seen, i, skip, s)


@njit_part
def widened(mo, seen, missing, count, m, s, doubt, out):
    """out (M,): how many times wider errors of what is said of each member are to be, with those
    seen instead of all that are known: by the covariance of all that was seen, after `say`."""
    last = JOINT - 1
    q, scale = mo.diagonal[last], mo.scale[last]
    for i in range(m):
        out[i] = 1.0
        if seen[i]:
            out[i] = np.sqrt(max(q[i] / s.over[i], 1.0))
    for a in range(count):
        i = missing[a]
        v = doubt[last, a, a] / (scale[i] * scale[i])
        out[i] = np.sqrt(max(q[i] * v, 1.0))
