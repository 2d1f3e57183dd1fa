"""Nowcasts from a network: a regression on other series of the same step that forgets.

The recursion, its sources and what its constants were chosen on are in ``docs/spatial-rls.md``.
Targets go through in blocks of LANES; a target's numbers depend neither on its lane or block, nor
on where frames are cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.lanes import (
    LANES,
    fill,
    fma,
    inlined,
    load,
    load_rows,
    mul,
    new_rows,
    store,
    store_rows,
)
from gapcast.engine.kernels.moments import add_moments, at, normal_equations, solve
from gapcast.engine.kernels.standin import plausible, stand_in
from gapcast.engine.kernels.uncounted import inlined_part
from gapcast.plugins.forecasters.spatial_rls.graded_ridge import CLOSEST, prepare

REFRESH = 64.0
"""Weights are solved for anew when 1/REFRESH of all that is remembered is news;"""
DOUBT = 0.1
"""when stand-ins add more than this share to the residuals' variance, and when a regressor is back
that the weights were solved without: with an error variance above that of the residuals."""


class Models(NamedTuple):
    """The state of N targets with K regressors of Q quantities; float64."""

    moments: Any  # (N, m(m+1)/2), m = K + 2: forgotten moments of (regressors, 1, truth)
    weights: Any  # (N, K + 1): of the regressors and the constant, the mean of two solutions
    apart: Any  # (N, K + 1): the stiff solution minus the loose one
    news: Any  # (N,): steps learnt since the weights were solved for; infinite: never
    level: Any  # (N, Q): subtracted from all of a quantity; NaN until something of it is seen
    filled: Any  # (N, K), and age, noise, noise_weight: see `stand_in`
    age: Any
    noise: Any
    noise_weight: Any
    let_go: Any  # (N, K): error variance that each was solved with; infinite: not used yet
    last_x: Any  # (N, K): regressors at the last truth, level subtracted
    last_y: Any  # (N,): that truth, level subtracted; NaN before there is one
    left: Any  # (N,): share of that truth's residual that is left; 1 right after it
    lagged: Any  # (N,): forgotten sum of products of residuals one step apart
    power: Any  # (N,): of their squares
    variance: Any  # (N,): forgotten mean square of residuals, and the sum of its weights
    variance_weight: Any


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    columns: Any  # (N, K) int64: column of the frame's values; -1: none; -2 - q: companion q
    group: Any  # (Q + 1,) int64: bounds of the quantities among the K
    forgetting: float
    how: Any  # (steps that weigh as one of half an hour, ridge, neighbours to use)
    z: float  # half-width of an interval in standard deviations


class Block(NamedTuple):
    """Scratch of LANES targets, in rows of LANES."""

    M: Any  # (m(m+1)/2,)
    A: Any
    v: Any  # (m,): regressors, 1, truth
    last: Any  # (m,): at the last truth
    w: Any  # (m - 1,)
    apart: Any  # (m - 1,)
    loose: Any  # (m - 1,): solved with the weak ridge
    stiff: Any  # (m - 1,): with the strong one
    centre: Any  # (m,), and the next five: see `prepare`
    prior: Any
    weak: Any
    strong: Any
    use: Any
    error: Any
    memory: Any  # (1,): forgetting; 1 where nothing is learnt
    fit: Any  # (4,): w'v, w'last, Σ w² error, apart'v


@inlined
def _new_block(m):
    rows = new_rows(12 * m + 5)
    rows[:] = 0.0
    return Block(
        new_rows(m * (m + 1) // 2), new_rows(m * (m + 1) // 2),
        rows[:m], rows[m : 2 * m], rows[2 * m : 3 * m - 1], rows[3 * m : 4 * m - 1],
        rows[4 * m : 5 * m - 1], rows[5 * m : 6 * m - 1], rows[6 * m : 7 * m],
        rows[7 * m : 8 * m], rows[8 * m : 9 * m], rows[9 * m : 10 * m], rows[10 * m : 11 * m],
        rows[11 * m : 12 * m], rows[12 * m : 12 * m + 1], rows[12 * m + 1 :],
    )  # fmt: skip


@inlined_part
def _load(block, s, first):
    """Copy the state of targets `first` onward into the block; lanes beyond the last target hold
    zeros, learn and solve nothing."""
    block.v[:] = 0.0
    block.last[-2:] = 0.0
    block.use[:] = 0.0
    block.weak[:] = 1.0
    block.strong[:] = 1.0
    load_rows(block.M, s.moments, first)
    load_rows(block.w, s.weights, first)
    load_rows(block.apart, s.apart, first)
    load_rows(block.last[:-2], s.last_x, first)


@inlined_part
def _store(block, s, first):
    store_rows(block.M, s.moments, first)
    store_rows(block.w, s.weights, first)
    store_rows(block.apart, s.apart, first)
    store_rows(block.last[:-2], s.last_x, first)


@inlined_part
def _read(values, companions, columns, x):
    """The regressors of one target and step, NaN where missing."""
    for i in range(len(columns)):
        c = columns[i]
        if c >= 0:
            x[i] = plausible(values[c])
        else:
            x[i] = np.nan if c == -1 else plausible(companions[-2 - c])


@inlined_part
def _adopt(block, lane):
    """Take the two solutions, the centres folded into the constant."""
    K = len(block.w) - 1
    block.w[K, lane] = (block.loose[K, lane] + block.stiff[K, lane]) / 2
    block.w[K, lane] += block.centre[K + 1, lane]
    block.apart[K, lane] = block.stiff[K, lane] - block.loose[K, lane]
    for i in range(K):
        block.w[i, lane] = (block.loose[i, lane] + block.stiff[i, lane]) / 2
        block.apart[i, lane] = block.stiff[i, lane] - block.loose[i, lane]
        block.w[K, lane] -= block.w[i, lane] * block.centre[i, lane]
        block.apart[K, lane] -= block.apart[i, lane] * block.centre[i, lane]


@inlined_part
def _fit(block):
    K = len(block.w) - 1
    now = then = load(block.w, K)
    doubt, apart = fill(0.0), load(block.apart, K)
    for i in range(K):
        w, v = load(block.w, i), load(block.v, i)
        now, then = fma(w, v, now), fma(w, load(block.last, i), then)
        doubt = fma(mul(w, w), load(block.error, i), doubt)
        apart = fma(load(block.apart, i), v, apart)
    store(block.fit, 0, now)
    store(block.fit, 1, then)
    store(block.fit, 2, doubt)
    store(block.fit, 3, apart)


@inlined_part
def _nowcast(block, lane, s, n, forgetting):
    """The nowcast and its variance, and what the residual one step before is by the weights of
    now, NaN where that step had no truth."""
    before = s.last_y[n] - block.fit[1, lane]
    last = before if s.left[n] == 1 else np.nan
    a = min(max(s.lagged[n] / s.power[n], 0.0), forgetting) if s.power[n] > 0 else 0.0
    s.left[n] *= a
    carried = 0.0 if np.isnan(before) else s.left[n] * before
    variance = s.variance[n] + block.fit[3, lane] * block.fit[3, lane]
    variance = variance * (1 - s.left[n] * s.left[n]) + block.fit[2, lane]
    if s.variance_weight[n] == 0:
        variance = np.nan
    return block.fit[0, lane] + carried + s.level[n, 0], variance, last


@inlined_part
def _used(block, lane, s, n):
    """How many regressors are seen and have a weight."""
    used = 0
    for i in range(len(block.w) - 1):
        used += (s.age[n, i] == 0) & (block.w[i, lane] != 0)
    return used


@inlined_part
def _learn(block, lane, s, n, truth, last, forgetting):
    """Take in a truth: all but the moments, which follow for the whole block at once."""
    K = len(block.w) - 1
    if np.isnan(s.level[n, 0]):
        s.level[n, 0] = truth
    y = truth - s.level[n, 0]
    e = y - block.fit[0, lane]
    if not np.isnan(last):
        s.lagged[n] = forgetting * s.lagged[n] + last * e
        s.power[n] = forgetting * s.power[n] + (last * last + e * e) / 2
    s.variance_weight[n] = forgetting * s.variance_weight[n] + 1
    s.variance[n] += (e * e - s.variance[n]) / s.variance_weight[n]
    s.news[n] += 1
    s.last_y[n] = y
    s.left[n] = 1.0
    for i in range(K):
        block.last[i, lane] = block.v[i, lane]
    block.v[K + 1, lane] = y
    block.memory[0, lane] = forgetting


@inlined_part
def _due(block, lane, s, n):
    """Whether the weights of a target are to be solved for; sets the error of its regressors."""
    K = len(block.w) - 1
    doubt = 0.0
    due = s.news[n] * REFRESH > block.M[at(K, K, K + 2), lane]
    for i in range(K):
        w = block.w[i, lane]
        error = s.noise[n, i] * s.age[n, i]
        block.error[i, lane] = error
        doubt += w * w * error
        if s.age[n, i] == 0:
            due |= s.let_go[n, i] > s.variance[n]
        else:
            due |= s.noise_weight[n, i] == 0 and w != 0
    return due or doubt > DOUBT * s.variance[n]


@inlined_part
def _look(block, lane, s, n, c, values, companions, x, scratch):
    """Bring one target's regressors of a step into its lane; returns whether its weights are to be
    solved for."""
    K = len(x)
    _read(values, companions, c.columns[n], x)
    stand_in(
        x, c.group, s.level[n], s.filled[n], s.age[n], s.noise[n], s.noise_weight[n],
        c.forgetting, scratch[0],
    )  # fmt: skip
    for i in range(K):
        block.v[i, lane] = scratch[0, i]
    block.v[K, lane] = 1.0
    due = _due(block, lane, s, n)
    if due:
        prepare(
            block, lane, block.M, s.filled[n], s.age[n], s.noise[n], s.noise_weight[n], c.group,
            c.how, scratch,
        )  # fmt: skip
        s.news[n] = 0.0
        for i in range(K):
            s.let_go[n, i] = np.inf if np.isnan(s.filled[n, i]) else block.error[i, lane]
    return due


@inlined_part
def _step(block, s, c, first, values, companions, own, out, scratch, x, solving):
    """One step of the targets `first` onward, one a lane, as many as `own` has."""
    any_solving, any_learning = False, False
    for lane in range(len(own)):
        n = first + lane
        solving[lane] = _look(block, lane, s, n, c, values, companions[lane], x, scratch)
        any_solving |= solving[lane]
    if any_solving:
        normal_equations(block.M, block.centre, block.prior, block.weak, block.use, block.A)
        solve(block.A, block.loose)
        normal_equations(block.M, block.centre, block.prior, block.strong, block.use, block.A)
        solve(block.A, block.stiff)
        for lane in range(len(own)):
            if solving[lane]:
                _adopt(block, lane)
    _fit(block)
    for lane in range(len(own)):
        n = first + lane
        mean, variance, last = _nowcast(block, lane, s, n, c.forgetting)
        half = c.z * np.sqrt(variance)
        out[0, lane], out[1, lane], out[2, lane] = mean, mean - half, mean + half
        used = _used(block, lane, s, n)
        out[3, lane] = np.nan if used == 0 else block.fit[0, lane] + s.level[n, 0]
        out[4, lane] = used
        truth = plausible(own[lane])
        block.memory[0, lane] = 1.0
        if np.isnan(truth):
            block.v[:, lane] = 0.0
        else:
            _learn(block, lane, s, n, truth, last, c.forgetting)
            any_learning = True
    if any_learning:
        add_moments(block.M, block.v, block.memory)


@njit(cache=True, nogil=True, error_model="numpy")
def nowcast(values, companions, own, s, c, out):
    """Forecast every step from the others of the same step, then learn its truth.

    values (T, S), companions (T, N, Q - 1), own (T, N): as a `Frame` has them; s: `Models`,
    updated in place; c: `Settings`. out (5, T, N) receives mean, lower and upper bound in the
    target's unit, the mean without what is carried of the target's own residual, and how many
    regressors are seen: the means NaN until anything is seen (the last one whenever nothing is),
    the bounds until there is a residual.
    """
    N, K = c.columns.shape
    block = _new_block(K + 2)
    scratch, x = np.empty((4, K + CLOSEST + 2)), np.empty(K)
    solving = np.zeros(LANES, np.bool_)
    for first in range(0, N, LANES):
        stop = min(N, first + LANES)
        _load(block, s, first)
        for t in range(len(values)):
            _step(
                block, s, c, first, values[t], companions[t, first:stop], own[t, first:stop],
                out[:, t, first:stop], scratch, x, solving,
            )  # fmt: skip
        _store(block, s, first)
