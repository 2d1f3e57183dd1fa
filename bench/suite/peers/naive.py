"""Peers that learn nothing: hold the last value, repeat the season, draw a line or a spline."""

from __future__ import annotations

import numpy as np

from suite.sets import Floats

DAY, WEEK = 86_400, 7


def last(values: Floats) -> Floats:
    """(T, N) the last value before each step, NaN before the first."""
    at = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    at = np.maximum.accumulate(at, axis=0)
    before = np.vstack([np.full((1, values.shape[1]), -1), at[:-1]])
    found = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    return np.where(before < 0, np.nan, found)


def hold(values: Floats, interval: float) -> Floats:
    """The last value (last observation carried forward)."""
    return last(values)


def period(interval: float) -> int:
    """Steps of a day; where steps are longer than half a day, of seven steps."""
    steps = round(DAY / interval)
    return steps if steps >= 2 else WEEK


def seasonal(values: Floats, interval: float) -> Floats:
    """What was seen, or filled in, a period ago; the last value where there is no such."""
    filled, steps = values.copy(), period(interval)
    for t in range(steps, len(values)):
        filled[t] = np.where(np.isnan(values[t]), filled[t - steps], values[t])
    return np.where(np.isnan(filled), last(values), filled)


def line(values: Floats, interval: float) -> Floats:
    """A straight line across each gap, level beyond the ends."""
    filled, steps = values.copy(), np.arange(len(values))
    for column in filled.T:
        seen = ~np.isnan(column)
        if seen.any():
            column[:] = np.interp(steps, steps[seen], column[seen])
    return filled


def spline(values: Floats, interval: float) -> Floats:
    """A cubic through each gap that neither rings nor overshoots (Akima's), level beyond ends."""
    from scipy.interpolate import Akima1DInterpolator

    filled, steps = line(values, interval), np.arange(len(values))
    for column, original in zip(filled.T, values.T, strict=True):
        seen = np.flatnonzero(~np.isnan(original))
        if len(seen) > 2:
            inner = slice(seen[0], seen[-1] + 1)
            column[inner] = Akima1DInterpolator(seen, original[seen])(steps[inner])
    return filled
