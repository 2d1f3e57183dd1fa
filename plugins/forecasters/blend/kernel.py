"""Weighing experts by what they are known to err at how long ago the last truth was.

The rule, its sources and what its constants were chosen on are in ``docs/blend.md``. A target's
numbers depend neither on other targets nor on where frames are cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.standin import plausible
from gapcast.engine.kernels.uncounted import inlined_part, njit_part

POWER = 4.0
"""Weights go with the expected square error to the power of minus this;"""
CUT = 3.0
"""an expert is left out whose expected square error is so many times the least."""
ABSURD = 100.0
"""So many times its expected square a forecast's move away from the last truth is absurd."""
PRIOR = 4.0
"""Steps that an expert's usual error outweighs those it was seen to make in gaps."""
SAY = 0.05
"""Least weight that counts as a say in a forecast."""


class Models(NamedTuple):
    """The state of N targets with E experts, of which F foresee; L leads; float64.

    A lead is a number of steps since the target's last truth. Expert E is the last truth itself.
    """

    age: Any  # (N,): steps since there was a truth; -1 before the first
    last: Any  # (N,): that truth
    error: Any  # (N, E + 1, L): forgotten mean square errors at each lead, and their weights
    weight: Any
    apart: Any  # (N, E): of references, which know nothing of the target's past
    apart_weight: Any
    gap: Any  # (N, E): forgotten sum of square errors in gaps, each over what was expected
    gap_weight: Any
    made: Any  # (N, D, F + 1, L): what was said ahead of time in the last D steps of rehearsal


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    leads: Any  # (L,) int64: 1, and those rehearsed, ascending
    lead_at: Any  # (L,) int64: where each stands in the forecasts ahead; the first: nowhere
    asked: Any  # (H,) int64: horizons to forecast
    asked_at: Any  # (H,) int64: where each stands in the forecasts ahead, -1: the nowcast
    foresees: Any  # (E,) int64: place among those that forecast ahead, or -1
    refers: Any  # (E,) bool: whether it says what it holds without the target's past
    spatial: Any  # (E,) bool: whether it reads other sensors
    stride: int  # steps from one rehearsal to the next
    forgetting: float


class Said(NamedTuple):
    """What the experts say of T steps."""

    now: Any  # (3, E, T, N): mean and bounds of nowcasts
    apart: Any  # (E, T, N): references
    seen: Any  # (E, T, N): values of other series that were used
    ahead: Any  # (3, F, T, N, K): mean and bounds at horizons above 0


class Blended(NamedTuple):
    """What is made of it."""

    means: Any  # (3, T, N, H)
    reference: Any  # (T, N)
    regressors: Any  # (T, N, H) int64
    experts: Any  # (T, N, H) int64


@njit_part
def _curve(error, weight, leads, lead):
    """Mean square error at a lead by those measured: straight between the logarithms of leads,
    level behind the last, growing in proportion from the last that is known."""
    below, above = -1, -1
    for j in range(len(leads)):
        if weight[j] > 0:
            if leads[j] <= lead:
                below = j
            elif above < 0:
                above = j
    if below < 0:
        return np.nan if above < 0 else error[above]
    if above < 0:
        rest = min(lead, leads[-1]) / leads[below]
        return error[below] * max(rest, 1.0)
    beyond = np.log(lead / leads[below]) / np.log(leads[above] / leads[below])
    return error[below] + beyond * (error[above] - error[below])


@inlined_part
def _fading(near, far, lead):
    """The same of an expert whose residual fades: `near` at lead 1, `far` without it. A residual of
    lag-1 correlation a leaves far · (1 - a^2h) (Box & Jenkins 1970)."""
    if not near < far:
        return far
    return far * (1 - (1 - near / far) ** lead)


@njit_part
def _expected(s, c, n, e, lead):
    """Mean square error that expert e is known to make at a lead; NaN if nothing is known."""
    E = len(c.foresees)
    if lead == 1 and s.weight[n, e, 0] > 0:
        return s.error[n, e, 0]
    if e == E or c.foresees[e] >= 0:
        found = _curve(s.error[n, e], s.weight[n, e], c.leads, lead)
    elif c.refers[e]:
        near = s.error[n, e, 0] if s.weight[n, e, 0] > 0 else np.inf
        found = _fading(near, s.apart[n, e], lead) if s.apart_weight[n, e] > 0 else np.nan
    elif s.weight[n, e, 0] == 0:
        return np.nan
    else:
        found = s.error[n, e, 0] * (1.0 if c.spatial[e] else min(lead, c.leads[-1]))
    if e < E:
        found *= (PRIOR + s.gap[n, e]) / (PRIOR + s.gap_weight[n, e])
    return found


@njit_part
def _weigh(s, c, n, lead, mean, expected, w):
    """Weights w (E,) of the means that are not NaN, which add up to 1; whether there are any."""
    E = len(w)
    moves = _expected(s, c, n, E, lead) if s.age[n] >= 0 else np.nan
    sane, known, least, awake, near = 0, 0, np.inf, 0, 0
    for e in range(E):
        w[e] = 0.0
        expected[e] = np.nan
        if np.isnan(mean[e]):
            continue
        awake += 1
        near += c.spatial[e]
        v = expected[e] = _expected(s, c, n, e, lead)
        move = mean[e] - s.last[n]
        w[e] = 1.0
        if move * move > ABSURD * (v + moves):
            w[e] = -1.0
        else:
            sane += 1
    for e in range(E):
        # when all of them are absurd it is the world that has changed
        if w[e] == 1 or (w[e] == -1 and sane == 0):
            w[e] = 1.0
            if not np.isnan(expected[e]):
                known += 1
                least = min(least, expected[e])
        else:
            w[e] = 0.0
    total = 0.0
    for e in range(E):
        if w[e] == 0:
            continue
        if known == 0:
            w[e] = 1.0 if near == 0 or c.spatial[e] else 0.0
        elif not expected[e] <= CUT * least:
            w[e] = 0.0
        elif least > 0:
            w[e] = (least / expected[e]) ** POWER
        total += w[e]
    for e in range(E):
        w[e] /= max(total, 1e-300)
    return total > 0


@inlined_part
def _mix(w, mean, lower, upper):
    """Weighted mean, and half-widths below and above over the experts that have bounds."""
    middle, below, above, bounded = 0.0, 0.0, 0.0, 0.0
    for e in range(len(w)):
        if w[e] > 0:
            middle += w[e] * mean[e]
            if not np.isnan(lower[e] + upper[e]):
                below += w[e] * (mean[e] - lower[e])
                above += w[e] * (upper[e] - mean[e])
                bounded += w[e]
    if bounded == 0:
        return middle, np.nan, np.nan
    return middle, middle - below / bounded, middle + above / bounded


@inlined_part
def _taken(error, weight, square, forgetting):
    """Mean and weight with another square taken in."""
    weight = forgetting * weight + 1
    return error + (square - error) / weight, weight


@njit_part
def _held(s, c, n, e, lead, square):
    """A square error, held below what is absurd, so that one does not outlive its cause."""
    limit = ABSURD * (_expected(s, c, n, e, lead) + _expected(s, c, n, len(c.foresees), lead))
    return min(square, limit) if limit > 0 else square


@njit_part
def _judge(s, c, n, step, truth, mean, apart):
    """Take in what a truth says of the nowcasts, the references and what was said ahead of it."""
    E, lead = len(mean), s.age[n] + 1
    for e in range(E):
        if not np.isnan(mean[e]) and lead > 1:
            expected = _expected(s, c, n, e, lead)
            if expected > 0:
                ratio = min((truth - mean[e]) ** 2 / expected, ABSURD)
                s.gap[n, e] = c.forgetting * s.gap[n, e] + ratio
                s.gap_weight[n, e] = c.forgetting * s.gap_weight[n, e] + 1
        if not np.isnan(apart[e]):
            square = _held(s, c, n, e, c.leads[-1], (truth - apart[e]) ** 2)
            s.apart[n, e], s.apart_weight[n, e] = _taken(
                s.apart[n, e], s.apart_weight[n, e], square, c.forgetting
            )
    for e in range(E + 1):
        said = s.last[n] if e == E else mean[e]
        if lead == 1 and not np.isnan(said):
            square = _held(s, c, n, e, 1.0, (truth - said) ** 2)
            s.error[n, e, 0], s.weight[n, e, 0] = _taken(
                s.error[n, e, 0], s.weight[n, e, 0], square, c.forgetting
            )
        f = s.made.shape[2] - 1 if e == E else c.foresees[e]
        if f >= 0:
            _rehearsed(s, c, n, e, f, step, truth)


@njit_part
def _rehearsed(s, c, n, e, f, step, truth):
    forgetting = c.forgetting**c.stride
    for j in range(1, len(c.leads)):
        began = step - c.leads[j]
        if began % c.stride != 0:
            continue
        said = s.made[n, (began // c.stride) % s.made.shape[1], f, j]
        if not np.isnan(said):
            square = _held(s, c, n, e, c.leads[j], (truth - said) ** 2)
            s.error[n, e, j], s.weight[n, e, j] = _taken(
                s.error[n, e, j], s.weight[n, e, j], square, forgetting
            )


@inlined_part
def _look_ahead(s, c, n, step, ahead):
    """Keep what is said ahead of time of a target just seen, for its truth to come."""
    slot = (step // c.stride) % s.made.shape[1]
    F = s.made.shape[2] - 1
    for j in range(1, len(c.leads)):
        for f in range(F + 1):
            said = s.last[n] if f == F else plausible(ahead[f, c.lead_at[j]])
            s.made[n, slot, f, j] = said if s.age[n] == 0 else np.nan


@inlined_part
def _note(w, seen, out, t, n, h):
    """Who had a say, and how many values the first among them used."""
    first, who = -1, 0
    for e in range(len(w)):
        if w[e] >= SAY:
            who |= 1 << e
        if w[e] > 0 and (first < 0 or w[e] > w[first]):
            first = e
    out.experts[t, n, h] = who
    out.regressors[t, n, h] = int(seen[first]) if first >= 0 else 0


@inlined_part
def _tell_apart(w, apart):
    """What the experts hold without the target's past."""
    total, weight = 0.0, 0.0
    for e in range(len(w)):
        if w[e] > 0 and not np.isnan(apart[e]):
            total += w[e] * apart[e]
            weight += w[e]
    return total / weight if weight > 0 else np.nan


class Heard(NamedTuple):
    """Scratch: what E experts say of one target at one horizon."""

    mean: Any  # (E,), and all others
    lower: Any
    upper: Any
    apart: Any
    expected: Any  # square error
    w: Any  # weight
    none: Any  # zeros


@inlined_part
def _hear(said, c, t, n, r):
    """The nowcasts and references of a step; asleep is who has no reference but usually one."""
    for e in range(len(r.w)):
        r.mean[e] = plausible(said.now[0, e, t, n])
        r.lower[e], r.upper[e] = said.now[1, e, t, n], said.now[2, e, t, n]
        r.apart[e] = plausible(said.apart[e, t, n])
        if c.refers[e] and np.isnan(r.apart[e]):
            r.mean[e] = np.nan


@inlined_part
def _hear_ahead(said, c, t, n, k, r):
    for e in range(len(r.w)):
        f = c.foresees[e]
        r.mean[e] = r.lower[e] = r.upper[e] = np.nan
        if f >= 0:
            r.mean[e] = plausible(said.ahead[0, f, t, n, k])
            r.lower[e], r.upper[e] = said.ahead[1, f, t, n, k], said.ahead[2, f, t, n, k]


@inlined_part
def _tell(there, r, seen, out, t, n, h):
    mean = lower = upper = np.nan
    if there:
        mean, lower, upper = _mix(r.w, r.mean, r.lower, r.upper)
    out.means[0, t, n, h], out.means[1, t, n, h], out.means[2, t, n, h] = mean, lower, upper
    _note(r.w, seen, out, t, n, h)


@inlined_part
def _learn(s, c, n, step, truth, r):
    if np.isnan(truth):
        if s.age[n] >= 0:
            s.age[n] += 1
        return
    if s.age[n] >= 0:
        _judge(s, c, n, step, truth, r.mean, r.apart)
    s.age[n], s.last[n] = 0.0, truth


@njit(cache=True, nogil=True, error_model="numpy")
def blend(own, first, said, s, c, scratch, out):
    """Weigh every step's nowcasts, learn from its truth, then weigh what is said ahead.

    own (T, N): as a `Frame` has them; first: index of the first step; s: `Models`, updated in
    place; scratch (7, E) zeros; out receives everything.
    """
    r = Heard(
        scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5], scratch[6]
    )  # fmt: skip
    for n in range(own.shape[1]):
        for t in range(len(own)):
            _hear(said, c, t, n, r)
            lead = s.age[n] + 1 if s.age[n] >= 0 else float(c.leads[-1])
            there = _weigh(s, c, n, lead, r.mean, r.expected, r.w)
            out.reference[t, n] = _tell_apart(r.w, r.apart)
            for h in range(len(c.asked)):
                if c.asked_at[h] < 0:
                    _tell(there, r, said.seen[:, t, n], out, t, n, h)
            _learn(s, c, n, first + t, plausible(own[t, n]), r)
            if (first + t) % c.stride == 0:
                _look_ahead(s, c, n, first + t, said.ahead[0, :, t, n])
            for h in range(len(c.asked)):
                if c.asked_at[h] >= 0:
                    _hear_ahead(said, c, t, n, c.asked_at[h], r)
                    lead = c.asked[h] + max(s.age[n], 0.0)
                    there = _weigh(s, c, n, lead, r.mean, r.expected, r.w)
                    _tell(there, r, r.none, out, t, n, h)
