"""What inputs say of a step by themselves, the step itself or, where known ahead, a later one."""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.auto.moments import RIDGE, deviation, remembered, shrunk

INFORMED = 2
"""Experts of a group of inputs: members regressed on them at the last so many memories."""


@inlined_part
def _there(mo, i, v):
    return v == v and mo.count[i] > 1


@njit_part
def say_by_inputs(mo, k, x, K, m, a, z, out):
    """Every other member by those inputs that are known, at memory k, into out (M,).

    x: values of the K inputs, the last of the m members, NaN where unknown. a (M, M), z (M,):
    scratch. NaN where no input is known, of members not heard of, and of the inputs themselves.
    """
    first = m - K
    steps, more = remembered(mo, k)
    known = 0
    for p in range(K):
        i = first + p
        there = _there(mo, i, x[p])
        known += there
        z[p] = (x[p] - mo.mean[k, i]) / deviation(mo, i) if there else 0.0
        for q in range(p + 1):
            j = first + q
            a[p, q] = 0.0
            if there and _there(mo, j, x[q]):
                a[p, q] = shrunk(mo, k, i, j, steps, more) / (deviation(mo, i) * deviation(mo, j))
        a[p, p] += RIDGE / (steps + more) if there else 1.0
    for i in range(m):
        out[i] = np.nan
    if known == 0:
        return
    _solve(a, z, K)
    for i in range(first):
        if mo.count[i] > 1:
            out[i] = mo.mean[k, i]
            for p in range(K):
                j = first + p
                if _there(mo, j, x[p]):
                    out[i] += z[p] * shrunk(mo, k, i, j, steps, more) / deviation(mo, j)


@inlined_part
def _solve(a, z, n):
    """z becomes the solution of a z = z, a in its lower triangle, which is destroyed (Cholesky)."""
    for p in range(n):
        for q in range(p):
            v = a[p, q]
            for r in range(q):
                v -= a[p, r] * a[q, r]
            a[p, q] = v / a[q, q]
        v = a[p, p]
        for r in range(p):
            v -= a[p, r] * a[p, r]
        a[p, p] = np.sqrt(v)
        for r in range(p):
            z[p] -= a[p, r] * z[r]
        z[p] /= a[p, p]
    for p in range(n - 1, -1, -1):
        for r in range(p + 1, n):
            z[p] -= a[r, p] * z[r]
        z[p] /= a[p, p]
