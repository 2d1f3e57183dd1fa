"""Direct regressions of one age: of a value on what was known so many steps before.

With o the step before, t the present one, S the profile, a = x - S the anomaly, the members' means
marked ¯, and S¯ of what is above each member's own mean::

    x(t) - x(o) = θ₁ ΔS¯ + θ₂ (ΔS - ΔS¯) - θ₃ a¯(o) - θ₄ (a(o) - a¯(o)) + θ₅ (x(o) - x(o-1))

``docs/diurnal.md`` says why.
"""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.uncounted import njit_part

REGRESSORS = 5
TERMS = REGRESSORS * (REGRESSORS + 1) // 2
FIRM = 20.0
"""The prior's weight, in stretches as long as the age."""
LEEWAY = 1.0
"""Most that a coefficient may be off the prior: regressors can be next to nothing for hours."""
GROWTH = 0.7
"""Where little is known, mean square errors grow by this power of the age."""
DOUBT = 0.5
"""Weight of what the next shorter age says of errors, in stretches as long as the age."""
OPTIMISM = 1.0
"""By how much errors of what was learnt from itself are too small, in stretches of the age."""


@njit_part
def learn(
    x, s, there, past, before, shared, m, forgetting, coefs, moments, products, weight, error,
    error_weight, sums,
):  # fmt: skip
    """Learn what this step says of one age; whether coefficients have something to learn from.

    x, s (M,) values and profile of this step; past (2, M) of the earlier one, before (M,) values
    of the one before that, shared (2,) its mean anomaly and typical profile, `there` this step's.
    error, error_weight (M,). A member without a profile has errors of its last value alone.
    sums (TERMS + REGRESSORS,) is scratch.
    """
    sums[:] = 0.0
    pairs = 0
    common, mean = there - shared[1], shared[0]
    for i in range(m):
        y = x[i] - past[0, i]
        if np.isnan(y):
            continue
        r = y
        own = s[i] - past[1, i]
        if not np.isnan(own):
            move = past[0, i] - before[i]
            move = 0.0 if np.isnan(move) else move
            v = (common, own - common, -mean, mean - past[0, i] + past[1, i], move)
            at = 0
            for p in range(REGRESSORS):
                r -= coefs[p] * v[p]
                for q in range(p, REGRESSORS):
                    sums[at] += v[p] * v[q]
                    at += 1
                sums[TERMS + p] += v[p] * y
            pairs += 1
        error_weight[i] = forgetting * error_weight[i] + 1
        error[i] += (r * r - error[i]) / error_weight[i]
    if pairs > 0:
        weight[0] = forgetting * weight[0] + 1
        for k in range(TERMS):
            moments[k] = forgetting * moments[k] + sums[k] / pairs
        for p in range(REGRESSORS):
            products[p] = forgetting * products[p] + sums[TERMS + p] / pairs
    return pairs > 0


@njit_part
def solve(moments, products, weight, age, prior, coefs, scale, A):
    """Coefficients by ridge regression towards the prior, whose weight is that of FIRM stretches.

    scale (REGRESSORS,): the regressors' mean squares, the greatest of this age and those before;
    updated. A first pair in which a regressor happens to be next to nothing would take the prior's
    weight from it. A (REGRESSORS, REGRESSORS + 1) is scratch.
    """
    n = REGRESSORS
    at = 0
    for p in range(n):
        for q in range(p, n):
            A[p, q] = A[q, p] = moments[at]
            at += 1
    for p in range(n):
        rest = products[p]
        for q in range(n):
            rest -= A[p, q] * prior[q]
        A[p, n] = rest
    for p in range(n):
        scale[p] = max(scale[p], A[p, p] / weight)
        A[p, p] = A[p, p] + (1 + FIRM * age) * scale[p] if scale[p] > 0 else 1.0
    for p in range(n):
        for q in range(p + 1, n):
            f = A[q, p] / A[p, p]
            for k in range(p, n + 1):
                A[q, k] -= f * A[p, k]
    for p in range(n - 1, -1, -1):
        d = A[p, n]
        for q in range(p + 1, n):
            d -= A[p, q] * A[q, n]
        A[p, n] = d / A[p, p]
        coefs[p] = prior[p] + min(max(A[p, n], -LEEWAY), LEEWAY)


@njit_part
def deviation(error, weight, age, shorter, growth, first, variance, m):
    """Variance (M,) of forecasts of one age: its own errors, and while there are few of them also
    those of the next shorter one, grown."""
    for i in range(m):
        w, doubt = weight[i], DOUBT * age
        if first:
            if w > 0:
                variance[i] = error[i]
        elif not np.isnan(shorter[i]):
            own = error[i] * (w + OPTIMISM * age)
            variance[i] = (own + doubt * growth * shorter[i]) / (w + doubt)
