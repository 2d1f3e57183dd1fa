"""Fixed-lag smoothing of gaps: what the far end of a gap says of the steps within it.

The formulas, their sources and what the constants were chosen on are in ``docs/smoothing.md``. A
target's numbers depend neither on other targets nor on where frames are cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.arcs import arc

OWN, MEAN, LOWER, UPPER, REFERENCE = range(5)
"""Places in `past`."""
LAGGED, POWER, WEIGHT = range(3)
"""Places in `carry`."""
SQUARES, PRODUCTS, NOISE = range(3)
"""Places in `evidence`: sums of d², d·e and d²·e²."""
CLASSES = np.array([2, 3, 4, 6, 8, 11])
"""Steps from end to end of the gaps that are rehearsed; each also serves those a bit shorter."""
REACH = 12
"""Steps before the greatest lag that must be known, for the near end of a rehearsed gap."""
SURE, FEW = 2.0, 100.0
"""Standard errors at which evidence for the straight line begins to count; so many steps make it
count half, as errors with heavy tails make a standard error of few of them doubtful."""
HABIT, TRUST = 0.8, 50.0
"""Share of a residual left a step later before it is known, and the steps it counts for."""


@njit(cache=True, nogil=True)
def _left(carry):
    """Share of a residual that is left one step later."""
    if carry[POWER] <= 0:
        return HABIT
    own = carry[WEIGHT] * carry[LAGGED] / carry[POWER]
    return min(max((own + TRUST * HABIT) / (carry[WEIGHT] + TRUST), 0.0), 1.0)


@njit(cache=True, nogil=True)
def _bridge(a, i, j):
    """Weight at i steps from the near end of the error at the far end, j steps on; and what is
    left of the variance: a first-order autoregression known at both ends."""
    if a > 0.9999:
        return i / (i + j), j / (i + j)
    known = (1 - a ** (2 * i)) / (1 - a ** (2 * (i + j)))
    return a**j * known, 1 - a ** (2 * j) * known


@njit(cache=True, nogil=True)
def _line_share(evidence, steps):
    """How much better a straight line does than the bridge: 0 not at all, 1 alone."""
    products = evidence[PRODUCTS]
    if products <= 0 or evidence[SQUARES] <= 0:
        return 0.0
    sure = SURE * (1 + FEW / max(steps, 1.0))
    doubt = sure * sure * evidence[NOISE] / (products * products)
    return min(products / evidence[SQUARES], 1.0) * max(0.0, 1 - doubt**3)


@njit(cache=True, nogil=True)
def _rehearse(past, step, forgetting, period, evidence, carry):
    """Learn from a truth: as if steps before it had been missing, by the line and by the bridge."""
    D = past.shape[1]
    b = step % D
    evidence[:, :NOISE] *= forgetting
    evidence[:, NOISE] *= forgetting * forgetting
    own, reference = past[OWN], past[REFERENCE]
    far = arc(own[b] - reference[b], period)
    if np.isnan(far):
        return
    before = arc(own[(step - 1) % D] - reference[(step - 1) % D], period)
    if not np.isnan(before):
        carry[LAGGED] = forgetting * carry[LAGGED] + before * far
        carry[POWER] = forgetting * carry[POWER] + (before * before + far * far) / 2
        carry[WEIGHT] = forgetting * carry[WEIGHT] + 1
    a = _left(carry)
    for c in range(len(CLASSES)):
        n = CLASSES[c]
        i = n // 2
        s, o = (step - n + i) % D, (step - n) % D
        near = arc(own[o] - reference[o], period)
        e = arc(own[s] - reference[s], period)
        if np.isnan(near) or np.isnan(e):
            continue
        to_far, _ = _bridge(a, i, n - i)
        to_near, _ = _bridge(a, n - i, i)
        e -= to_near * near + to_far * far
        d = arc(own[o] + arc(own[b] - own[o], period) * i / n - (own[s] - e), period)
        evidence[c, SQUARES] += d * d
        evidence[c, PRODUCTS] += d * e
        evidence[c, NOISE] += d * d * e * e


@njit(cache=True, nogil=True)
def _estimate(past, ages, step, lag, period, evidence, carry, out):
    """Mean and bounds of the step `lag` before `step` into `out`; NaN where it was seen."""
    D = past.shape[1]
    s = (step - lag) % D
    out[:] = np.nan
    if not np.isnan(past[OWN, s]):
        return
    out[:] = past[MEAN : UPPER + 1, s]
    j = 1
    while j <= lag and np.isnan(past[OWN, (step - lag + j) % D]):
        j += 1
    b = (step - lag + j) % D
    i = ages[s]
    if j > lag or i < 1 or np.isnan(past[MEAN, b] + out[0]):
        return
    known = not np.isnan(past[REFERENCE, s])
    w, left = _bridge(_left(carry) if known else 1.0, i, j)
    mean = out[0] + w * arc(past[OWN, b] - past[MEAN, b], period)
    n = i + j
    if known and n <= CLASSES[-1]:
        near = past[OWN, (step - lag - i) % D]
        share = _line_share(evidence[np.searchsorted(CLASSES, n)], carry[WEIGHT])
        line = near + arc(past[OWN, b] - near, period) * i / n
        if share > 0 and not np.isnan(line):
            mean += share * arc(line - mean, period)
    if period > 0:
        mean -= period * np.floor(mean / period)
    narrower = np.sqrt(left)
    out[1] = mean - narrower * (out[0] - out[1])
    out[2] = mean + narrower * (out[2] - out[0])
    out[0] = mean


@njit(cache=True, nogil=True)
def smooth(
    own, made, reference, age, first, lags, forgetting, period, past, ages, evidence, carry, out
):  # fmt: skip
    """Take in the nowcasts of a chunk of steps; at each, estimate those `lags` before.

    own (T, N); made (3, T, N) mean, lower and upper bound of the nowcasts; reference (T, N), as in
    `Forecast`; age (T, N) steps since the target was seen; first: index of the first step; lags
    (L,) steps back; period (N,) after which a target's quantity begins anew, or 0. past (N, 5, D)
    and ages (N, D): rings by the index of the step, D > REACH + max(lags); evidence (N, CLASSES,
    3); carry (N, 3). out (3, T, N, L) receives what `made` would say with what has come since; NaN
    for steps at which the target was seen.
    """
    T, N = own.shape
    D = past.shape[2]
    for n in range(N):
        for t in range(T):
            slot = (first + t) % D
            past[n, OWN, slot] = own[t, n]
            past[n, MEAN : UPPER + 1, slot] = made[:, t, n]
            past[n, REFERENCE, slot] = reference[t, n]
            ages[n, slot] = age[t, n]
            _rehearse(past[n], first + t, forgetting, period[n], evidence[n], carry[n])
            for k in range(len(lags)):
                _estimate(
                    past[n], ages[n], first + t, lags[k], period[n], evidence[n], carry[n],
                    out[:, t, n, k],
                )  # fmt: skip
