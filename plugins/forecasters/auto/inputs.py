"""What inputs that are known ahead say of a step by themselves, the step itself or a later one."""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.auto.moments import RIDGE, deviation, remembered, shrunk

INFORMED = np.array([1, 2])
"""Memories at which members are regressed on inputs: the slow one and all that was seen."""


@inlined_part
def _there(mo, i, v):
    return v == v and mo.count[i] > 1


@njit_part
def say_by_inputs(mo, k, x, behind, m, a, z, out):
    """Every other member by those inputs that are known, at memory k, into out (M,).

    x (K,): values of the inputs, NaN where unknown; behind (K,): how far before the end of the m
    members each stands. a (M, M), z (M,): scratch. NaN where no input is known, of members not
    heard of, and of these inputs themselves.
    """
    K = len(behind)
    steps, more = remembered(mo, k)
    known = 0
    for p in range(K):
        i = m - behind[p]
        there = _there(mo, i, x[p])
        known += there
        z[p] = (x[p] - mo.mean[k, i]) / deviation(mo, i) if there else 0.0
        for q in range(p + 1):
            j = m - behind[q]
            a[p, q] = 0.0
            if there and _there(mo, j, x[q]):
                a[p, q] = shrunk(mo, k, i, j, steps, more) / (deviation(mo, i) * deviation(mo, j))
        a[p, p] += RIDGE / (steps + more) if there else 1.0
    for i in range(m):
        out[i] = np.nan
    if known == 0:
        return
    _solve(a, z, K)
    for i in range(m):
        if mo.count[i] > 1:
            out[i] = mo.mean[k, i]
            for p in range(K):
                j = m - behind[p]
                if _there(mo, j, x[p]):
                    out[i] += z[p] * shrunk(mo, k, i, j, steps, more) / deviation(mo, j)
    for p in range(K):
        out[m - behind[p]] = np.nan


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
