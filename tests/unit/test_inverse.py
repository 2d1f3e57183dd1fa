"""Inverses of positive definite matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from gapcast.engine.kernels.inverse import invert


@njit
def _invert(a, m, z):
    invert(a, m, z)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(0, 3))
def test_the_inverse_needs_the_lower_triangle_only_and_is_symmetric(seed, m, more):
    rng = np.random.default_rng(seed)
    whole = rng.normal(size=(m, 2 * m))
    whole = whole @ whole.T + 0.1 * np.eye(m)
    a = np.full((m + more, m + more), np.nan)
    a[:m, :m] = np.where(np.tri(m, dtype=bool), whole, np.nan)
    _invert(a, m, np.empty(m))
    np.testing.assert_allclose(a[:m, :m] @ whole, np.eye(m), atol=1e-9)
    np.testing.assert_array_equal(a[:m, :m], a[:m, :m].T)
    assert np.isnan(a[m:]).all()
