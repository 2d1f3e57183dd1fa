"""Intervals from a model's own past errors, for forecasters that have no variance of their own."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def spread(mean, own, horizons, first, forgetting, made, variance, weight, z, lower, upper):
    """Bounds ``mean ± z·s`` with s² the exponentially forgotten mean of squared errors.

    mean, lower, upper (T, N, H); own (T, N); horizons (H,) steps ahead, not negative; first: index
    of the first step; made (N, D, H) forecasts of the last D > max(horizons) steps, a ring by
    step index; variance, weight (N, H) the running mean and the sum of its weights,
    weight ← λ·weight + 1, variance ← variance + (e² − variance) / weight.
    """
    T, N, H = mean.shape
    D = made.shape[1]
    for n in range(N):
        for t in range(T):
            step = first + t
            for h in range(H):
                made[n, step % D, h] = mean[t, n, h]
                ahead = horizons[h]
                if ahead == 0:
                    s = z * np.sqrt(variance[n, h])
                    lower[t, n, h], upper[t, n, h] = mean[t, n, h] - s, mean[t, n, h] + s
                e = own[t, n] - made[n, (step - ahead) % D, h]
                if not np.isnan(e):
                    weight[n, h] = forgetting * weight[n, h] + 1
                    old = 0.0 if np.isnan(variance[n, h]) else variance[n, h]
                    variance[n, h] = old + (e * e - old) / weight[n, h]
                if ahead > 0:
                    s = z * np.sqrt(variance[n, h])
                    lower[t, n, h], upper[t, n, h] = mean[t, n, h] - s, mean[t, n, h] + s
