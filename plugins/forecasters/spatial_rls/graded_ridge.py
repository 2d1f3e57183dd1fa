"""The prior of a regression on a network: the average of the neighbours, and a ridge that grows
with a regressor's strangeness to the target. The formulas are in ``docs/spatial-rls.md``."""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.moments import at
from gapcast.engine.kernels.uncounted import inlined_part

ALIKE = 0.98
"""Prior correlation of all series of the target's quantity: near 1, the average of neighbours."""
LEARNT = 3.0
"""Weight of that prior, in steps of at least half an hour."""
UNBIASED = 5.0
"""Weight of the prior that the target has no bias of its own, in the same steps."""
CLOSEST = 8
"""A regressor's strangeness is relative to the mean of so many, the least strange."""
WEAK = 1 / 32
"""The weak ridge as a share of the strong one; the weights are the mean of the two solutions."""
LEAST, MOST = 0.01, 1e4
"""Bounds of the squared relative strangeness."""
NOTHING = 1e-9
"""What is below this share of the second moments is rounding, not strangeness."""
TINY = 1e-30


@inlined_part
def prepare(rows, lane, M, filled, age, noise, noise_weight, group, how, scratch):
    """Set one lane of what `normal_equations` needs, for one target.

    rows: its arrays centre, prior, use, two diagonals, `weak` and `strong`, and `error`, the error
    variance of each regressor as filled, all (K + 2, LANES). M: the moments' scratch. filled,
    age, noise, noise_weight (K,), group: see `stand_in`. how: (steps that weigh as one of half an
    hour, ridge, how many of the neighbours to use). scratch: (4, K + CLOSEST + 2).
    """
    K = len(filled)
    n = M[at(K, K, K + 2), lane]
    steps, ridge, choose = how
    learnt = LEARNT * steps
    mean, var, strange, near = scratch[0], scratch[1], scratch[2, :K], scratch[3]
    _statistics(M, lane, group[1], filled, mean, var, strange)
    closest = _closest(strange, near)
    C = group[1]
    for q in range(len(group) - 1):
        low, high = group[q], group[q + 1]
        y = K + 1 if q == 0 else -1
        centre, typical = _scale(mean, var, low, high, y, n, steps, near)
        alike = ALIKE if q == 0 else 0.0
        for i in range(low, high):
            error = (noise[i] if noise_weight[i] > 0 else typical) * age[i]
            relative = strange[i] / closest
            penalty = ridge * steps * min(max(relative * relative, LEAST), MOST)
            used = strange[i] < np.inf and (
                choose >= C or i - low == C or _rank(strange, i - low, C) < choose
            )
            base = typical * learnt * (1 - alike) + (n + learnt) * error
            weak, strong = base + WEAK * penalty * typical, base + penalty * typical
            prior = np.sqrt(learnt * alike * typical)
            values = (centre, prior, weak, strong, 1.0, error)
            _put(rows, i, lane, values if used else (centre, 0.0, 1.0, 1.0, 0.0, 0.0))
        if q == 0:
            prior = np.sqrt(learnt * alike * typical)
            _put(rows, K + 1, lane, (centre, prior, 0.0, 0.0, 1.0, 0.0))
    _put(rows, K, lane, (0.0, 0.0, UNBIASED * steps, UNBIASED * steps, 1.0, 0.0))


@inlined_part
def _put(rows, i, lane, values):
    rows.centre[i, lane] = values[0]
    rows.prior[i, lane] = values[1]
    rows.weak[i, lane] = values[2]
    rows.strong[i, lane] = values[3]
    rows.use[i, lane] = values[4]
    rows.error[i, lane] = values[5]


@inlined_part
def _statistics(M, lane, C, filled, mean, var, strange):
    """Mean and variance of every variable, and how strange each regressor is to the target: the
    variance of the target that it leaves unexplained, taken as it is where it is one of the first
    C, of the target's quantity; by a straight line where not. 1 for
    all before anything is learnt, infinite for a regressor that has not been seen yet."""
    K = len(filled)
    m, y = K + 2, K + 1
    n = M[at(K, K, m), lane]
    per = 1 / n if n > 0 else 0.0
    for i in range(m):
        mean[i] = M[at(min(i, K), max(i, K), m), lane] * per
        var[i] = max(M[at(i, i, m), lane] * per - mean[i] * mean[i], 0.0)
    for i in range(K):
        c = M[at(i, y, m), lane] * per - mean[i] * mean[y]
        line = var[y] - c * c / max(var[i], TINY)
        least = NOTHING * per * (M[at(i, i, m), lane] + M[at(y, y, m), lane])
        strange[i] = max(var[i] + var[y] - 2 * c if i < C else line, least)
        if n == 0:
            strange[i] = 1.0
        if np.isnan(filled[i]):
            strange[i] = np.inf


@inlined_part
def _closest(strange, near):
    """Mean strangeness of the CLOSEST least strange regressors; `near` is scratch."""
    near[:CLOSEST] = np.inf
    for s in strange:
        i = CLOSEST - 1
        if s < near[i]:
            while i > 0 and near[i - 1] > s:
                near[i] = near[i - 1]
                i -= 1
            near[i] = s
    total, k = 0.0, 0
    while k < CLOSEST and near[k] < np.inf:
        total += near[k]
        k += 1
    return max(total / k, TINY) if k > 0 else TINY


@inlined_part
def _rank(strange, i, C):
    """How many of the first C regressors go before regressor i: less strange, or as strange and
    better placed."""
    before = 0
    for j in range(C):
        before += strange[j] < strange[i] or (strange[j] == strange[i] and j < i)
    return before


@inlined_part
def _scale(mean, var, low, high, y, n, steps, work):
    """Centre of the variables low to high, and a typical variance of them and of y where y >= 0.

    The median of their variances, so that a broken sensor does not stiffen the prior of all; the
    variance between their means weighs as one step: at first it is all there is to go by. `work`
    is scratch.
    """
    centre = 0.0
    for i in range(low, high):
        centre += mean[i]
    centre = centre / (high - low) if high > low else 0.0
    k = high - low + (y >= 0)
    if k == 0 or n == 0:
        return centre, 1.0
    between = 0.0
    for i in range(k):
        of = low + i if low + i < high else y
        work[i] = var[of]
        between += (mean[of] - centre) ** 2
    within, between = _median(work[:k]), between / k
    mixed = (n * within + steps * between) / (n + steps)
    least = max(1e-6 * between, NOTHING * (centre * centre + within + between), TINY)
    return centre, max(mixed, least)


@inlined_part
def _median(a):
    """The upper median of a, which is reordered (Hoare 1961, *Find*)."""
    low, high, k = 0, len(a) - 1, len(a) // 2
    while low < high:
        pivot, i, j = a[k], low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if i > k:
            high = j
    return a[k]
