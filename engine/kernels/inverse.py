"""The inverse of a positive definite matrix, by one order of operations on every machine."""

from __future__ import annotations

from gapcast.engine.kernels.uncounted import inlined_part


@inlined_part
def invert(a, m):
    """Invert the positive definite a[:m, :m] in place: Gauss-Jordan elimination, no pivoting."""
    for k in range(m):
        over = 1 / a[k, k]
        a[k, k] = 1.0
        for j in range(m):
            a[k, j] *= over
        for i in range(m):
            if i != k:
                factor = a[i, k]
                a[i, k] = 0.0
                for j in range(m):
                    a[i, j] -= factor * a[k, j]
