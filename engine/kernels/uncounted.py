"""Decorators for parts of kernels that allocate nothing.

Numba counts the references of every array that a function touches; with dozens of arrays in small
functions that takes most of the time. Where nothing is allocated there is nothing to count: the
caller holds all arrays.
"""

from __future__ import annotations

from numba import njit

njit_part = njit(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
"""A part with code of its own, not callable from Python."""
inlined_part = njit(
    _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True,
    error_model="numpy",
)  # fmt: skip
"""A part whose code goes into its caller."""
