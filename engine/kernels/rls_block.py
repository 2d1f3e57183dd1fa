"""Scratch for a block of least-squares models, one a lane, and the pass over their P.

The packed P of a block is read and written once a step: the rank-one update of the step before and
the product q = P x of this one share a sweep, so that each packed entry costs one load, one store
and four arithmetic instructions for LANES targets. See :mod:`gapcast.engine.kernels.rls`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.lanes import (
    LANES,
    add,
    fill,
    fma,
    fnma,
    inlined,
    load,
    load_rows,
    mul,
    new_rows,
    store,
    store_rows,
)
from gapcast.engine.kernels.uncounted import inlined_part


class Block(NamedTuple):
    """Scratch of one block of targets: rows of LANES.

    P is behind by one update, P ← scale P - rank g g' + lift I, which the next `sweep` makes.
    """

    P: Any  # (p(p+1)/2, LANES)
    theta: Any  # (p, LANES)
    x: Any  # (p, LANES), set by the driver
    q: Any  # (p, LANES): P x
    g: Any  # (p, LANES): q of the pending update
    scale: Any  # this and all below: (LANES,)
    rank: Any
    lift: Any
    trace: Any  # tr(P), x'Px, |q|², |x|² at the last x
    xPx: Any  # noqa: N815
    qq: Any
    xx: Any
    mean: Any  # of the forecast at x, by `predict`
    variance: Any
    y: Any  # truth, set by the driver
    s2: Any
    w: Any


@inlined
def new_block(p):
    """Scratch for blocks of models with p regressors."""
    one = new_rows(12)
    rows = new_rows(4 * p)
    return Block(
        new_rows(p * (p + 1) // 2),
        rows[:p], rows[p : 2 * p], rows[2 * p : 3 * p], rows[3 * p :],
        one[0], one[1], one[2], one[3], one[4], one[5], one[6], one[7], one[8], one[9], one[10],
        one[11],
    )  # fmt: skip


@inlined_part
def load_block(block, theta, P, s2, w, first):
    """Copy the state of targets `first` onward into `block`; returns how many of its lanes they
    fill. The others hold zeros and learn nothing: their y stays NaN and their x 0."""
    zero, none = fill(0.0), fill(np.nan)
    load_rows(block.P, P, first)
    load_rows(block.theta, theta, first)
    for i in range(len(block.x)):
        store(block.x, i, zero)
        store(block.g, i, zero)
    count = min(LANES, len(theta) - first)
    store(block.s2, 0, zero)
    store(block.w, 0, zero)
    for lane in range(count):
        block.s2[lane] = s2[first + lane]
        block.w[lane] = w[first + lane]
    store(block.y, 0, none)
    _nothing_pending(block)
    return count


@inlined_part
def store_block(block, theta, P, s2, w, first):
    """Make the pending update and write the state in `block` back to targets `first` onward."""
    sweep(block)
    store_rows(block.P, P, first)
    store_rows(block.theta, theta, first)
    for lane in range(min(LANES, len(theta) - first)):
        s2[first + lane] = block.s2[lane]
        w[first + lane] = block.w[lane]


@inlined_part
def sweep(block):
    """One pass over P: make the pending update, then q = P x, x'θ and the sums over x and q."""
    p = len(block.x)
    zero = fill(0.0)
    for i in range(p):
        store(block.q, i, zero)
    trace, sums = zero, (zero, zero, zero, zero)
    k = 0
    for i in range(0, p - 1, 2):
        trace = add(trace, _two_rows(block, i, k))
        sums = _row_sums(block, i + 1, _row_sums(block, i, sums))
        k += 2 * (p - i) - 1
    if p % 2 == 1:
        trace = add(trace, _last_row(block, p - 1, k))
        sums = _row_sums(block, p - 1, sums)
    store(block.trace, 0, trace)
    store(block.xPx, 0, sums[0])
    store(block.qq, 0, sums[1])
    store(block.xx, 0, sums[2])
    store(block.mean, 0, sums[3])
    _nothing_pending(block)


@inlined_part
def _nothing_pending(block):
    """P is up to date: a sweep leaves it as it is, whatever g."""
    store(block.scale, 0, fill(1.0))
    store(block.rank, 0, fill(0.0))
    store(block.lift, 0, fill(0.0))


@inlined_part
def _two_rows(block, i, k):
    """The sweep over rows i and i+1 of P, the first at `k`: two rows share the loads and stores
    of q, g and x. Returns the sum of their diagonal entries."""
    P, g, x, q = block.P, block.g, block.x, block.q
    scale, rank, lift = load(block.scale, 0), load(block.rank, 0), load(block.lift, 0)
    below = k + len(x) - i - 1  # entry (i+1, j) is at below + j - i
    g0, g1, x0, x1 = load(g, i), load(g, i + 1), load(x, i), load(x, i + 1)
    r0, r1 = mul(rank, g0), mul(rank, g1)
    v00 = add(fnma(r0, g0, mul(scale, load(P, k))), lift)
    v01 = fnma(r0, g1, mul(scale, load(P, k + 1)))
    v11 = add(fnma(r1, g1, mul(scale, load(P, below + 1))), lift)
    store(P, k, v00)
    store(P, k + 1, v01)
    store(P, below + 1, v11)
    q0 = fma(v01, x1, fma(v00, x0, load(q, i)))
    q1 = fma(v11, x1, fma(v01, x0, load(q, i + 1)))
    for j in range(2, len(x) - i):
        gj, xj = load(g, i + j), load(x, i + j)
        u = fnma(r0, gj, mul(scale, load(P, k + j)))
        v = fnma(r1, gj, mul(scale, load(P, below + j)))
        store(P, k + j, u)
        store(P, below + j, v)
        q0, q1 = fma(u, xj, q0), fma(v, xj, q1)
        store(q, i + j, fma(v, x1, fma(u, x0, load(q, i + j))))
    store(q, i, q0)
    store(q, i + 1, q1)
    return add(v00, v11)


@inlined_part
def _last_row(block, i, k):
    """The sweep over the row that has no other to go with."""
    gi = load(block.g, i)
    scaled = mul(load(block.scale, 0), load(block.P, k))
    v = add(fnma(mul(load(block.rank, 0), gi), gi, scaled), load(block.lift, 0))
    store(block.P, k, v)
    store(block.q, i, fma(v, load(block.x, i), load(block.q, i)))
    return v


@inlined_part
def _row_sums(block, i, sums):
    """x'q, q'q, x'x and x'θ with the terms of row i added."""
    xPx, qq, xx, mean = sums
    xi, qi = load(block.x, i), load(block.q, i)
    theta = load(block.theta, i)
    return fma(xi, qi, xPx), fma(qi, qi, qq), fma(xi, xi, xx), fma(xi, theta, mean)
