"""Symmetric matrices as upper triangles of whole vectors.

Of an (M, M) matrix, M a multiple of LANES, each row is kept from the vector that holds its
diagonal entry on; rows follow each other. A tenth more than a packed triangle at M = 64, and
every row is updated without a remainder.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.kernels.lanes import LANES, add, fill, fma, load, mul, store
from gapcast.engine.kernels.uncounted import inlined_part


def padded(m: int) -> int:
    """The least multiple of LANES that holds m."""
    return -(-m // LANES) * LANES


def triangle_size(M: int) -> int:
    """Entries kept of an (M, M) matrix."""
    vectors = M // LANES
    return LANES * LANES * vectors * (vectors + 1) // 2


def entries(m: int, M: int) -> NDArray[np.int64]:
    """Places, in the triangle of an (M, M) matrix, of all that is kept of its leading (m, m) one,
    in the order of that one's own triangle. Both multiples of LANES."""
    i, j = np.divmod(np.arange(m * m), m)
    kept = j >= i // LANES * LANES
    found: NDArray[np.int64] = origin.py_func(i[kept], M) + j[kept]
    return found


@inlined_part
def origin(i, M):
    """Place of row i's column 0, were it kept: entry (i, j), i <= j, is at origin + j."""
    above, within = i // LANES, i % LANES
    rows = above * M - LANES * (above * (above - 1) // 2)
    return LANES * rows + within * (M - LANES * above) - LANES * above


@inlined_part
def add_outer(triangle, u, scale, forgetting, m):
    """triangle ← forgetting · triangle + scale · u u', u (M,) zero behind its first m entries."""
    M = len(u)
    memory = fill(forgetting)
    for i in range(m):
        row, factor = origin(i, M) // LANES, fill(scale * u[i])
        for v in range(i // LANES, M // LANES):
            kept = mul(memory, load(triangle, row + v))
            store(triangle, row + v, fma(factor, load(u, v), kept))


@inlined_part
def combine(rows, y, out):
    """out_j = Σ_k y_k rows_kj, for rows (M, M), y and out (M,), M a multiple of LANES."""
    vectors = len(y) // LANES
    for v in range(vectors):
        a = b = c = d = fill(0.0)
        for k in range(0, len(y), 4):
            at = k * vectors + v
            a = fma(fill(y[k]), load(rows, at), a)
            b = fma(fill(y[k + 1]), load(rows, at + vectors), b)
            c = fma(fill(y[k + 2]), load(rows, at + 2 * vectors), c)
            d = fma(fill(y[k + 3]), load(rows, at + 3 * vectors), d)
        store(out, v, add(add(a, b), add(c, d)))
