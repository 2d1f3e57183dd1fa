"""Angles and other quantities that begin anew: which way round is the shorter one."""

from __future__ import annotations

from math import atan2, cos, floor, hypot, pi, sin

import numpy as np
from numba import njit

from gapcast.engine.kernels.uncounted import inlined_part


@inlined_part
def arc(difference, period):
    """A difference the shorter way round, from minus half a period on; as it is where the period
    is 0: nothing begins anew."""
    if period > 0:
        return difference - period * np.floor(difference / period + 0.5)
    return difference


@inlined_part
def within(half, period):
    """Half an interval, at most half the way round."""
    return period / 2 if period > 0 and half > period / 2 else half


@njit(cache=True, nogil=True, error_model="numpy")
def part(values, period, sine, out):
    """out = cosine, or sine, of values (T, K) with periods (K,); plain where the period is 0."""
    for t in range(values.shape[0]):
        for k in range(values.shape[1]):
            x = values[t, k]
            if period[k] > 0:
                x *= 2 * pi / period[k]
                x = sin(x) if sine else cos(x)
            out[t, k] = x


@njit(cache=True, nogil=True, error_model="numpy")
def angle(x, y, period, out):
    """out = direction of vectors, from 0 to below the period (N,); untouched where that is 0. x,
    y, out (T, N, H)."""
    for t in range(out.shape[0]):
        for n in range(out.shape[1]):
            for h in range(out.shape[2]):
                if period[n] > 0:
                    turns = atan2(y[t, n, h], x[t, n, h]) / (2 * pi)
                    turns -= floor(turns)
                    out[t, n, h] = 0.0 if turns >= 1 else turns * period[n]


@njit(cache=True, nogil=True, error_model="numpy")
def opening(x, y, x_half, y_half, period, out):
    """out = half the arc over which vectors may point whose parts may be so much more or less: how
    far that moves them across their direction, at most half the way round."""
    for t in range(out.shape[0]):
        for n in range(out.shape[1]):
            for h in range(out.shape[2]):
                if period[n] <= 0:
                    continue
                a, b = x[t, n, h], y[t, n, h]
                square = a * a + b * b
                across = hypot(b * x_half[t, n, h], a * y_half[t, n, h])
                turns = across / square / (2 * pi) if square > 0 else across + 0.5
                out[t, n, h] = within(turns * period[n], period[n])
