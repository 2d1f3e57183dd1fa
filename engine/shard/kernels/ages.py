"""The kernel of gap ages, target by target, in the order of the steps."""

from __future__ import annotations

import numpy as np
from numba import njit


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
