"""The inverse of a positive definite matrix, by one order of operations on every machine."""

from __future__ import annotations

from gapcast.engine.kernels.uncounted import inlined_part


@inlined_part
def invert(a, m, z):
    """Invert the positive definite a[:m, :m] in place; its lower triangle is enough.

    By the sweep operator (Goodnight, *The American Statistician* 33, 1979), one member after the
    other, on the lower triangle. z: scratch (m,)."""
    for k in range(m):
        pivot, over = a[k], 1 / a[k, k]
        for j in range(k):
            z[j] = pivot[j]
        for j in range(k + 1, m):
            z[j] = a[j, k]
        for i in range(m):
            if i != k:
                row, factor = a[i], z[i] * over
                for j in range(i + 1):
                    row[j] -= factor * z[j]
        for j in range(k):
            pivot[j] = z[j] * over
        for j in range(k + 1, m):
            a[j, k] = z[j] * over
        pivot[k] = -over
    for i in range(m):
        for j in range(i):
            a[j, i] = a[i, j] = -a[i, j]
        a[i, i] = -a[i, i]
