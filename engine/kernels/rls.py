"""Recursive least squares with exponential forgetting, over many independent targets at once.

One step of one target, with regressors x (p) and truth y (Haykin, *Adaptive Filter Theory*, ch.
"recursive least squares"; λ the forgetting factor, in (0, 1])::

    e = y - x'θ        q = P x        d = λ + x'q        θ ← θ + q e/d
    P ← s (P - q q'/d) + b I

Unguarded, s = 1/λ and b = 0. The guard (docs/rls.md) bounds P. With τ = tr(P) - |q|²/d, the trace
left by the step, and f = τ max(1/cap, |x|²/REACH)::

    s = 1 / max(λ, f)        b = FLOOR s τ where f > λ, else 0

A step is learnt where y and all of x are finite and tr(P) |x|² is at most 100 REACH; where it is
above, double precision cannot carry the step, and P shrinks to 0.9 P instead; where something is
missing, nothing of the target changes, bit for bit.

The forecast at x has mean x'θ and variance s2 (1 + x'Px). s2 is the exponentially forgotten mean
of standardised squared innovations: w ← λ w + 1, s2 ← s2 + (e²/(1 + x'Px) - s2) / w, with P and θ
those before the step, as in a discounted normal-gamma model (West & Harrison, *Bayesian
Forecasting and Dynamic Models*, §4.6). x'θ is NaN where x is not finite, the variance also before
the first step learnt.

Targets go through in blocks of LANES, one a lane: `load_block` copies a block's state to scratch
that stays in the cache for a whole frame, with all of a driver's steps between that and
`store_block`. A driver is a numba kernel::

    block = new_block(p)
    for first in range(0, N, LANES):
        count = load_block(block, theta, P, s2, w, first)
        for t in range(T):
            block.x[i, lane] = ...  # for each regressor i and each lane < count
            predict(block)  # block.mean[lane], block.variance[lane]
            block.y[lane] = ...  # NaN where missing
            learn(block, forgetting, cap)
        store_block(block, theta, P, s2, w, first)

`predict` may be called again for another x before `learn`, which learns the last one. A target's
numbers depend neither on its lane or block, nor on where frames are cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.lanes import (
    LANES,
    add,
    div,
    fill,
    fma,
    fnma,
    if_finite,
    if_positive,
    larger,
    load,
    load_rows,
    mul,
    prefetch,
    store,
    sub,
)
from gapcast.engine.kernels.rls_block import load_block, new_block, store_block, sweep
from gapcast.engine.kernels.uncounted import inlined_part

__all__ = [
    "LANES",
    "learn",
    "load_block",
    "new_block",
    "predict",
    "rls_dense",
    "store_block",
]

REACH = 1e12
"""Greatest tr(P) |x|² that the guard lets stand after a step: the update subtracts numbers of that
size to leave one near 1, so that about four digits remain."""
FLOOR = 2.0**-52
"""What the guard adds to the diagonal of P, as a share of its trace: one rounding error."""
SHRINK = 0.9
"""Factor on P for a step out of reach: one outlier costs little, a new level is soon in reach."""


@inlined_part
def predict(block):
    """Mean and variance of the forecast at ``block.x``."""
    sweep(block)
    xPx, w, nan = load(block.xPx, 0), load(block.w, 0), fill(np.nan)
    variance = mul(load(block.s2, 0), add(fill(1.0), xPx))
    store(block.mean, 0, if_finite(xPx, load(block.mean, 0), nan))
    store(block.variance, 0, if_finite(xPx, if_positive(w, variance, nan), nan))


@inlined_part
def learn(block, forgetting, cap):
    """Learn ``block.y`` at the x of the last `predict`: θ, s2 and w now, P with the next sweep."""
    one, zero, memory = fill(1.0), fill(0.0), fill(forgetting)
    xPx, xx, trace = load(block.xPx, 0), load(block.xx, 0), load(block.trace, 0)
    e = sub(load(block.y, 0), load(block.mean, 0))
    # What is not finite has no excess; what is missing is not learnt either.
    excess = sub(mul(trace, xx), fill(100.0 * REACH))
    known = if_finite(e, if_finite(xPx, one, zero), zero)
    learnt = if_positive(excess, zero, known)
    inverse = div(one, add(memory, xPx))
    left = fnma(load(block.qq, 0), inverse, trace)
    f = mul(left, larger(fill(1.0 / cap), mul(xx, fill(1.0 / REACH))))
    s = div(one, larger(memory, f))
    beyond = if_positive(sub(f, memory), mul(fill(FLOOR), mul(s, left)), zero)
    idle = if_positive(known, fill(SHRINK), one)
    store(block.scale, 0, if_positive(learnt, s, idle))
    store(block.rank, 0, if_positive(learnt, mul(s, inverse), zero))
    store(block.lift, 0, if_positive(learnt, beyond, zero))
    step = if_positive(learnt, mul(e, inverse), zero)
    for i in range(len(block.x)):
        gi = if_positive(learnt, load(block.q, i), zero)
        store(block.g, i, gi)
        store(block.theta, i, fma(step, gi, load(block.theta, i)))
    _learn_variance(block, learnt, memory, e)


@inlined_part
def _learn_variance(block, learnt, memory, e):
    one = fill(1.0)
    s2, w = load(block.s2, 0), load(block.w, 0)
    grown = fma(memory, w, one)
    spread = add(one, load(block.xPx, 0))
    # s2 + (e²/spread - s2)/grown with a single division
    change = div(fnma(s2, spread, mul(e, e)), mul(grown, spread))
    store(block.s2, 0, if_positive(learnt, add(s2, change), s2))
    store(block.w, 0, if_positive(learnt, grown, w))


@njit(cache=True, nogil=True, error_model="numpy")
def rls_dense(theta, P, s2, w, X, Y, forgetting, cap, out_mean, out_var):
    """Forecast, then learn, T steps of N targets with regressors given.

    State, C-ordered float64, updated in place: theta (N, p); P (N, p(p+1)/2), packed upper
    triangles; s2 (N,) in units of y squared, w (N,). X (T, N, p), Y (T, N): NaN where missing.
    forgetting: λ in (0, 1]. cap: greatest trace of P, in units of P. out_mean, out_var (T, N):
    the forecast of Y, made before it is learnt, in units of y and y squared.
    """
    T, N, p = X.shape
    block = new_block(p)
    for first in range(0, N, LANES):
        count = load_block(block, theta, P, s2, w, first)
        for t in range(T):
            for lane in range(count):
                block.y[lane] = Y[t, first + lane]
            load_rows(block.x, X[t], first)
            for i in range(p):
                prefetch(X, ((t + 1) * N + first) * p + i * LANES)
            predict(block)
            for lane in range(count):
                out_mean[t, first + lane] = block.mean[lane]
                out_var[t, first + lane] = block.variance[lane]
            learn(block, forgetting, cap)
        store_block(block, theta, P, s2, w, first)
