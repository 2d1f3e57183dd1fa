"""The scoring kernel: sums of errors, target by target, in the order of the steps."""

from __future__ import annotations

import numpy as np
from numba import njit

N, SQUARED, ABSOLUTE, ERROR, COVERED, BOUNDED = range(6)
FIELDS = 6


@njit(cache=True, nogil=True)
def accumulate(mean, lower, upper, truth, scored, bucket, total, window, by_gap):
    """Add the errors of a chunk of steps to the sums of its window, of the run and of gap ages.

    mean, lower, upper (T, N, H); truth (T, N); scored (T, N) whether a cell counts; bucket (T, N)
    its gap age's bucket; total, window (N, H, FIELDS); by_gap (N, H, B, FIELDS). The error is
    forecast - truth. Each target's sums grow in the order of the steps, so they do not depend on
    how steps are cut into chunks or targets into shards.
    """
    T, S, H = mean.shape
    for t in range(T):
        for n in range(S):
            if not scored[t, n]:
                continue
            for h in range(H):
                e = mean[t, n, h] - truth[t, n]
                if np.isnan(e):
                    continue
                low, high = lower[t, n, h], upper[t, n, h]
                bounded = not (np.isnan(low) or np.isnan(high))
                covered = bounded and low <= truth[t, n] <= high
                for sums in (total[n, h], window[n, h], by_gap[n, h, bucket[t, n]]):
                    sums[N] += 1
                    sums[SQUARED] += e * e
                    sums[ABSOLUTE] += abs(e)
                    sums[ERROR] += e
                    sums[COVERED] += covered
                    sums[BOUNDED] += bounded


@njit(cache=True, nogil=True)
def ages(own, first, last):
    """(T, N) steps since each target's own truth was last visible, before the step itself.

    own (T, N); first: index of the first step; last (N,) index of the last visible step, moved.
    """
    T, S = own.shape
    age = np.empty((T, S), np.int64)
    for t in range(T):
        for n in range(S):
            age[t, n] = first + t - last[n]
            if not np.isnan(own[t, n]):
                last[n] = first + t
    return age
