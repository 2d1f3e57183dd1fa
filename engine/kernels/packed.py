"""Symmetric matrices as packed upper triangles, row by row: (0,0), (0,1), ..., (1,1), ...

Half the memory of a full matrix, and an asymmetric one cannot be stored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def packed_size(p: int) -> int:
    """Entries of the packed upper triangle of a (p, p) matrix."""
    return p * (p + 1) // 2


def packed_identity(n: int, p: int, scale: float) -> Floats:
    """(n, p(p+1)/2): `scale` times the identity, n times."""
    rows, columns = np.triu_indices(p)
    return np.tile(np.where(rows == columns, scale, 0.0), (n, 1))


def pack(matrices: Floats) -> Floats:
    """(..., p(p+1)/2) upper triangles of the symmetric `matrices` (..., p, p)."""
    rows, columns = np.triu_indices(matrices.shape[-1])
    return matrices[..., rows, columns]


def unpack(packed: Floats, p: int) -> Floats:
    """(..., p, p) full symmetric matrices of `packed` (..., p(p+1)/2)."""
    rows, columns = np.triu_indices(p)
    full = np.empty((*packed.shape[:-1], p, p))
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full
