"""Which candidates go best with a target, by the data: those whose difference varies least.

Var(target − candidate), exponentially forgotten, leaves a constant offset out and asks for no
positions. It is measured at steps at which both are seen.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def compare(truth, values, columns, forgetting, weight, offset, strange):
    """Take one step into the measures of one target's candidates.

    truth: the target's value; values (S,): the step's; columns (C,): each candidate's, -1 for
    none. weight, offset, strange (C,), updated in place: sum of the weights,
    weight ← λ weight + 1, and forgotten mean and variance of truth − candidate (West 1979).
    """
    for i in range(len(columns)):
        if columns[i] < 0:
            continue
        difference = truth - values[columns[i]]
        if not np.isnan(difference):
            weight[i] = forgetting * weight[i] + 1
            e = difference - offset[i]
            offset[i] += e / weight[i]
            strange[i] += (e * (difference - offset[i]) - strange[i]) / weight[i]


@njit(cache=True, nogil=True, error_model="numpy")
def choose(columns, weight, strange, chosen):
    """Put the columns of the k = len(chosen) candidates with the least `strange` into `chosen`,
    best first, -1 where there are fewer. Those measured go before those not, the better placed
    before the worse on a tie: before anything is known they are the first k."""
    k = 0
    for i in range(len(columns)):
        if columns[i] >= 0:
            at = min(k, len(chosen))
            while at > 0 and _before(i, chosen[at - 1], weight, strange):
                if at < len(chosen):
                    chosen[at] = chosen[at - 1]
                at -= 1
            if at < len(chosen):
                chosen[at] = i
            k += 1
    for at in range(len(chosen)):
        chosen[at] = columns[chosen[at]] if at < k else -1


@njit(forceinline=True)
def _before(i, j, weight, strange):
    """Whether candidate i, placed after j, is to go before it."""
    if (weight[i] > 0) != (weight[j] > 0):
        return weight[i] > 0
    return strange[i] < strange[j]
