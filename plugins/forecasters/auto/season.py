"""Seasons of a block's members: profiles of the day and the week, and harmonics up to the year.

A profile is a row of knots, each a mean of the values near it, the last periods' first;
between knots a line is drawn. Harmonics are regressions by recursive least squares on sines and
cosines, whose regressors, and so gains, all members share.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

POWER = 0.7
"""The n-th visit of a knot counts n to minus this power,"""
PERIODS = 8
"""with n so many at most."""
FORGETTING = 1 - 1 / 5000
"""Of the harmonics."""
FIRM = 1e5
"""Most the trace of a harmonics' P may grow to."""


class Season(NamedTuple):
    """The state of U blocks; R profiles with K knots at most, W sets of harmonics with B terms."""

    knots: Any  # (U, R + 1, K, M): NaN where nothing is known; the last of a period found
    visits: Any  # (U, R + 1, K, M) int8: how often a knot has been learnt, PERIODS at most
    pending: Any  # (U, R + 1, 2, 2, M): sum and weight of values near the knots around this step
    segment: Any  # (U, R + 1): the knot before this step, -1 at first
    coefs: Any  # (U, W, B, M)
    spread: Any  # (U, W, B, B): P of the recursion
    since: Any  # (U,): steps since the first value; -1 before


class Calendar(NamedTuple):
    """What there is to know of the grid."""

    periods: Any  # (R,): periods of the profiles, in steps
    knots: Any  # (R,) int64: their knots
    waves: Any  # (B,): periods of a cosine and a sine each, in steps
    terms: Any  # (W,) int64: how many terms each set of harmonics has, the constant among them
    awake: Any  # (W,): steps until a set is believed


@inlined_part
def _place(step, period, knots):
    """Knot at or before a step, the next one, and how far on it is."""
    at = (step % period) / period * knots
    j = min(np.int64(at), knots - 1)
    return j, (j + 1) % knots, at - j


@njit_part
def profile(se, r, period, K, step, m, out):
    """What profile r, with K knots, says of a step; NaN where it is not known."""
    j, k, f = _place(step, period, K)
    low, high = se.knots[r, j], se.knots[r, k]
    for i in range(m):
        a, b = low[i], high[i]
        if f < 1e-9:
            out[i] = a
        elif np.isnan(a) or np.isnan(b):
            out[i] = a if f < 0.5 else b
        else:
            out[i] = a + f * (b - a)


@njit_part
def _commit(se, r, knot, side, m):
    """Let a knot learn what was gathered for it while the steps near it passed."""
    knots, visits = se.knots[r, knot], se.visits[r, knot]
    total, weight = se.pending[r, side, 0], se.pending[r, side, 1]
    for i in range(m):
        if weight[i] > 0:
            visits[i] = min(visits[i] + 1, PERIODS)
            new = total[i] / weight[i]
            knots[i] = new if visits[i] == 1 else knots[i] + (new - knots[i]) / visits[i] ** POWER
        total[i] = weight[i] = 0.0


@njit_part
def gather(se, r, period, K, step, x, heard, m):
    """Gather the values of a step for the knots on both sides of it. A knot learns when the steps
    near it are over, so that what a profile says of a step is a period old."""
    j, following, f = _place(step, period, K)
    before = np.int64(se.segment[r])
    if before >= 0 and before != j:
        _commit(se, r, before, 0, m)
        if (before + 1) % K != j:
            _commit(se, r, (before + 1) % K, 1, m)
        for part in range(2):
            for i in range(m):
                se.pending[r, 0, part, i] = se.pending[r, 1, part, i]
                se.pending[r, 1, part, i] = 0.0
    se.segment[r] = j
    for i in range(m):
        if heard[i]:
            se.pending[r, 0, 0, i] += (1 - f) * x[i]
            se.pending[r, 0, 1, i] += 1 - f
            if f > 1e-9 and following != j:
                se.pending[r, 1, 0, i] += f * x[i]
                se.pending[r, 1, 1, i] += f


@njit_part
def forget(se, r):
    """Profile r begins anew."""
    se.knots[r] = np.nan
    se.visits[r] = 0
    se.pending[r] = 0.0
    se.segment[r] = -1.0


@njit_part
def waves(c, step, out):
    """The regressors of a step: 1, and a cosine and a sine of every wave."""
    out[0] = 1.0
    for b in range(len(c.waves)):
        angle = 2 * np.pi * ((step % c.waves[b]) / c.waves[b])
        out[1 + 2 * b], out[2 + 2 * b] = np.cos(angle), np.sin(angle)


@njit_part
def harmonics(se, w, c, wave, first, m, out):
    """What set w of harmonics says; NaN while it sleeps."""
    n, awake = c.terms[w], se.since[0] >= c.awake[w]
    for i in range(m):
        out[i] = first[i] if awake else np.nan
    if awake:
        for b in range(n):
            row = se.coefs[w, b]
            for i in range(m):
                out[i] += wave[b] * row[i]


@njit_part
def learn_season(se, c, step, x, heard, first, wave, m, gain, error):
    """Learn a step into all profiles and harmonics."""
    for r in range(len(c.periods)):
        gather(se, r, c.periods[r], c.knots[r], step, x, heard, m)
    for w in range(len(c.terms)):
        n, P, coefs = c.terms[w], se.spread[w], se.coefs[w]
        power = FORGETTING
        for a in range(n):
            v = 0.0
            for b in range(n):
                v += P[a, b] * wave[b]
            gain[a] = v
            power += v * wave[a]
        for i in range(m):
            error[i] = x[i] - first[i] if heard[i] else 0.0
        for b in range(n):
            for i in range(m):
                error[i] -= wave[b] * coefs[b, i] if heard[i] else 0.0
        for b in range(n):
            g = gain[b] / power
            for i in range(m):
                coefs[b, i] += g * error[i]
        trace = 0.0
        for a in range(n):
            for b in range(a, n):
                v = (P[a, b] - gain[a] * gain[b] / power) / FORGETTING
                P[a, b] = P[b, a] = v
            trace += P[a, a]
        if trace > FIRM:
            for a in range(n):
                for b in range(n):
                    P[a, b] *= 0.5
