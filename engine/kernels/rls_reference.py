"""The recursion of :mod:`gapcast.engine.kernels.rls` in plain NumPy, one target at a time.

Slow and meant to be read: the oracle that the compiled kernel is held to.
"""

from __future__ import annotations

import numpy as np

from gapcast.engine.kernels.packed import Floats, pack, unpack
from gapcast.engine.kernels.rls import FLOOR, REACH, SHRINK


def rls_reference(
    theta: Floats,
    P: Floats,
    s2: Floats,
    w: Floats,
    X: Floats,
    Y: Floats,
    forgetting: float,
    cap: float,
    out_mean: Floats,
    out_var: Floats,
) -> None:
    """Same arguments, same state and same meaning as ``rls_dense``."""
    T, N, p = X.shape
    full = unpack(P, p)
    for n in range(N):
        for t in range(T):
            x, y = X[t, n], Y[t, n]
            out_mean[t, n], out_var[t, n] = np.nan, np.nan
            if not np.isfinite(x).all():
                continue
            q = full[n] @ x
            spread = 1.0 + x @ q
            out_mean[t, n] = x @ theta[n]
            if w[n] > 0.0:
                out_var[t, n] = s2[n] * spread
            if not np.isfinite(y):
                continue
            if np.trace(full[n]) * (x @ x) > 100.0 * REACH:
                full[n] *= SHRINK
                continue
            e = y - out_mean[t, n]
            full[n] = _updated(full[n], x, q, forgetting, cap)
            theta[n] += q * e / (forgetting + x @ q)
            w[n] = forgetting * w[n] + 1.0
            s2[n] += (e * e / spread - s2[n]) / w[n]
    P[:] = pack(full)


def _updated(P: Floats, x: Floats, q: Floats, forgetting: float, cap: float) -> Floats:
    left: Floats = P - np.outer(q, q) / (forgetting + x @ q)
    trace = float(np.trace(left))
    f = trace * max(1.0 / cap, float(x @ x) / REACH)
    s = 1.0 / max(forgetting, f)
    return s * left + (FLOOR * s * trace if f > forgetting else 0.0) * np.eye(len(x))
