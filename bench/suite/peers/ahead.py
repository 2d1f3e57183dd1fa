"""Peers that forecast ahead: what they say of each step some steps before it.

Each takes values (T, N), NaN where missing, how many steps ahead, and the steps of a period; each
gives the forecasts (T, N) *for* each step, made that many steps earlier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suite.peers.naive import last
from suite.peers.recursion import CLIP, MEMORY, RIDGE, SOLVE_EVERY, Scale
from suite.peers.refit import PENALTIES
from suite.sets import Floats


def hold(values: Floats, ahead: int, period: int) -> Floats:
    """The last value that was known then."""
    return shifted(last(values), ahead - 1)


def seasonal(values: Floats, ahead: int, period: int) -> Floats:
    """The value of a whole number of periods ago, the latest known then."""
    found = shifted(values, period * -(-ahead // period))
    return np.where(np.isnan(found), hold(values, ahead, period), found)


def rls(values: Floats, ahead: int, period: int) -> Floats:
    """Recursive least squares, one regression a series, on `inputs`; learnt only from what was
    known when the forecast was made."""
    steps, series = values.shape
    scale = Scale(series)
    width = series + 2
    gram, cross = np.zeros((series, width, width)), np.zeros((series, width))
    weights, forget = np.zeros((series, width)), 1 - 1 / MEMORY
    filled, raw = np.full_like(values, np.nan), inputs(values, ahead, period)
    for t in range(steps):
        x = _standard(raw, t, scale)
        seen = np.flatnonzero(~np.isnan(values[t]))
        z = np.clip((values[t] - scale.mean) / scale.deviation, -CLIP, CLIP)[seen]
        gram[seen] = forget * gram[seen] + x[seen, :, None] * x[seen, None, :]
        cross[seen] = forget * cross[seen] + z[:, None] * x[seen]
        scale.learn(values[t])
        if t % SOLVE_EVERY == 0:
            weights = np.linalg.solve(gram + RIDGE * np.eye(width), cross[..., None])[..., 0]
        if t + ahead < steps:
            made = (_standard(raw, t + ahead, scale) * weights).sum(axis=1)
            filled[t + ahead] = made * scale.deviation + scale.mean
    return filled


def ridge(values: Floats, ahead: int, period: int) -> Floats:
    """A ridge regression on the same inputs, fitted once, on the first two thirds."""
    from sklearn.linear_model import RidgeCV

    steps, series = values.shape
    begin = 2 * steps // 3
    scale = Scale(series)
    for row in values[:begin]:
        scale.learn(row)
    raw = inputs(values, ahead, period)
    x = np.stack([_standard(raw, t, scale) for t in range(steps)])
    filled = np.full_like(values, np.nan)
    for j in range(series):
        past = np.flatnonzero(~np.isnan(values[:begin, j]))
        y = (values[past, j] - scale.mean[j]) / scale.deviation[j]
        said = RidgeCV(alphas=PENALTIES).fit(x[past, j], y).predict(x[begin:, j])
        filled[begin:, j] = said * scale.deviation[j] + scale.mean[j]
    return filled


def inputs(values: Floats, ahead: int, period: int) -> tuple[Floats, Floats]:
    """For each step, what was known that many steps before it: the last value of every series, and
    its own a whole number of periods earlier."""
    return hold(values, ahead, period), seasonal(values, ahead, period)


def shifted(values: Floats, by: int) -> Floats:
    """Each step's row is the one `by` steps before it, NaN at first."""
    empty = np.full((min(by, len(values)), values.shape[1]), np.nan)
    return np.vstack([empty, values[: max(0, len(values) - by)]])


def _standard(raw: tuple[Floats, Floats], t: int, scale: Scale) -> NDArray[np.float64]:
    """(N, N + 2) inputs of each series at a step: all series, its own of a period ago, a one."""
    now, then = (
        np.clip(np.nan_to_num((a[t] - scale.mean) / scale.deviation), -CLIP, CLIP) for a in raw
    )
    series = len(now)
    return np.column_stack([np.tile(now, (series, 1)), then, np.ones(series)])
