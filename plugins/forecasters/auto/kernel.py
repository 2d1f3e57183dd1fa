"""Forecasts of blocks by many experts: one step after the other, every block for itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.standin import plausible
from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.auto.cross import (
    CROSS,
    NETWORK,
    group_of,
    say,
    say_few,
    widened,
)
from gapcast.plugins.forecasters.auto.inputs import INFORMED, say_by_inputs
from gapcast.plugins.forecasters.auto.moments import (
    MEMORIES,
    NEWS,
    SOON,
    STEPS,
    Moments,
    deviation,
    learn,
    note,
    refresh,
    within_bounds,
)
from gapcast.plugins.forecasters.auto.period import (
    BEGIN,
    KNOTS,
    LENGTH,
    PERIOD,
    Found,
    due,
    find,
    listen,
)
from gapcast.plugins.forecasters.auto.season import (
    Season,
    forget,
    gather,
    harmonics,
    learn_season,
    profile,
    waves,
)
from gapcast.plugins.forecasters.auto.weighing import (
    POWER,
    TWICE,
    Errors,
    Weighing,
    ahead_power,
    combine,
    learn_weights,
    new_errors,
    remember,
    without_past,
)

MEANS = 2
"""Experts that say the mean: of the quick memory, and of all."""
OUTLIER, JUDGED = 30.0, 50
"""A value counts as no farther from what was said than so many standard deviations, once a
member has so many."""
SAY = 0.05
"""Least weight that counts as a say."""


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    columns: Any  # (U, M) int64: column of each member, -1 behind the last
    targets: Any  # (U, M) int64: which target each member is, or -1
    horizons: Any  # (H,) int64
    group: Any  # (E,) int64: bit of each expert in `Forecast.experts`
    young: Any  # (E,): looks at a target in which each expert is doubted
    leads: Any  # (G, 1 + H, I) int64: columns of inputs that each group of their experts reads, of
    # the step itself and at each horizon, or -1
    level: float  # of intervals
    z: float  # half-width of an interval in standard deviations


class Scratch(NamedTuple):
    """What is at hand in a step, for blocks of up to M members."""

    x: Any  # (M,): values, NaN where missing
    seen: Any  # (M,) bool
    heard: Any  # (M,) bool: seen, and no truth that is withheld
    missing: Any  # (M,) int64: members known but not seen
    views: Any  # (2, F, M): what experts say of a step, the second without the nearest members
    filled: Any  # (3, M)
    doubt: Any  # (3, M, M)
    errors: Errors
    wave: Any  # (B,)
    gain: Any  # (B,)
    of: Any  # (F,): views of one member
    say: Any  # (E,): weights
    said: Any  # (E,): what each says
    expected: Any  # (E,): the mean square error that each counts with
    kept: Any  # (3, E)
    told: Any  # (4,): see `combine`
    origin: Any  # (2, M): the nowcast and its square error of members that the network speaks for
    apart: Any  # (F, M): how far the nowcast is from what experts say of the step
    near: Any  # (M,): values, outliers moved to where they are believed
    vector: Any  # (M,)
    bases: Any  # (M,): what days, weeks and years say
    wider: Any  # (2, M): see `learn_weights`
    off: Any  # (M,): how far off a value is from that
    is_off: Any  # (M,) bool: where that is known
    acf: Any  # (LENGTH // 2,): autocorrelation by lag
    line: Any  # (3, LENGTH)


def new_scratch(M: int, F: int, B: int) -> Scratch:
    """Scratch for blocks of up to M members."""
    E = F + 2
    return Scratch(
        np.zeros(M), np.zeros(M, np.bool_), np.zeros(M, np.bool_), np.zeros(M, np.int64),
        np.zeros((2, F, M)), np.zeros((3, M)), np.zeros((3, M, M)), new_errors(E, M),
        np.zeros(B), np.zeros(B), np.zeros(F), np.zeros(E), np.zeros(E),
        np.zeros(E), np.zeros((3, E)), np.zeros(4), np.zeros((2, M)), np.zeros((F, M)),
        np.zeros(M), np.zeros(M), np.zeros(M), np.ones((2, M)), np.zeros(M), np.zeros(M, np.bool_),
        np.zeros(LENGTH // 2), np.zeros((3, LENGTH)),
    )  # fmt: skip


@njit_part
def _look(mo, s, m, columns, targets, values, own):
    """Read a step; returns how many members are seen, how many may be learnt from, how many that
    are known are missing, and whether a truth is withheld that others see."""
    seen, heard, withheld = 0, 0, False
    for i in range(m):
        v = plausible(values[columns[i]])
        n = targets[i]
        s.x[i] = v
        s.seen[i] = v == v and mo.count[i] > 0
        s.heard[i] = v == v and (n < 0 or plausible(own[n]) == plausible(own[n]))
        seen += s.seen[i]
        heard += s.heard[i]
        withheld |= s.seen[i] and not s.heard[i]
    return seen, heard, _list_missing(mo, s, m), withheld


@inlined_part
def _list_missing(mo, s, m):
    """Note the members that are known but not seen; returns how many."""
    count = 0
    for i in range(m):
        if mo.count[i] > 0 and not s.seen[i]:
            s.missing[count] = i
            count += 1
    return count


@njit_part
def _seasons(mo, se, fo, w, c, young, step, s, m, first):
    """Views of the experts that read no other member, from place `first` on."""
    for k in range(MEANS):
        for i in range(m):
            s.views[0, first + k, i] = mo.mean[0 if k == 0 else 2, i]
    e = first + MEANS
    for r in range(len(c.periods)):
        profile(se, r, c.periods[r], c.knots[r], step, m, s.views[0, e])
        e += 1
    waves(c, step, s.wave)
    for k in range(len(c.terms)):
        harmonics(se, k, c, s.wave, mo.first, m, s.views[0, e])
        e += 1
    r, period, out = len(c.periods), fo.cycle[PERIOD], s.views[0, e]
    if period > 0:
        profile(se, r, period, np.int64(fo.cycle[KNOTS]), step - fo.cycle[BEGIN], m, out)
    for i in range(m):
        s.bases[i] = without_past(w, first, e, first, young, s.views[0], i)
        out[i] = s.bases[i] + out[i] if period > 0 else np.nan


@njit_part
def _inputs(mo, s, c, cross, m, row, h):
    """Views of the experts that read inputs alone, of the step itself (h = 0) or at the h-th
    horizon; returns how many are known."""
    G, _, K = c.leads.shape
    most, e = 0, len(s.of) - INFORMED * G
    for g in range(G):
        leads, known = c.leads[g, h], 0
        for p in range(K):
            cross.total[p] = plausible(row[leads[p]]) if leads[p] >= 0 else np.nan
            known += cross.total[p] == cross.total[p]
        for k in range(INFORMED):
            say_by_inputs(mo, 1 + k, cross.total, K, m, cross.matrix, cross.whole, s.views[0, e])
            e += 1
        most = max(most, known)
    return most


@inlined_part
def _by_others(s, c):
    """Weight of the experts that read other members."""
    weight, first = 0.0, len(s.of) - INFORMED * len(c.leads)
    for e in range(len(s.of)):
        if e < CROSS or e >= first:
            weight += s.say[e]
    return weight


@njit_part
def _network(mo, s, cross, m, inputs, targets, said, seen, count, twice):
    """Views of the experts that read other members; none where no other is seen but inputs, whose
    own experts are judged by what they say alone."""
    if seen == 0 or m == 1:
        s.views[:, :CROSS] = np.nan
        s.filled[:] = np.nan
        s.wider[:] = 1.0
        return
    say(mo, s.x, s.seen, s.missing, count, m, twice, cross, s.views, s.filled, s.doubt)
    widened(mo, s.seen, s.missing, count, m, cross, s.doubt, s.wider[0])
    say_few(mo, s.x, s.seen, m, False, cross, s.views[0])
    if twice:
        say_few(mo, s.x, s.seen, m, True, cross, s.views[1])
    for i in range(m):
        s.views[0, NETWORK, i] = said[targets[i]] if targets[i] >= 0 else np.nan
        s.views[1, NETWORK, i] = np.nan
    others = 0
    for i in range(m - inputs):
        others += s.seen[i]
    if others <= 1:
        for i in range(m):
            if others == 0 or s.seen[i]:
                s.views[:, :CROSS, i] = np.nan


@njit_part
def _nearest_missing(mo, s, i):
    """How far the nearest members of one are missing: 0, 0.5 or 1."""
    number, missing = 0, 0
    for r in range(group_of(mo.near, i)):
        j = mo.near[i, r]
        if j >= 0:
            number += 1
            missing += not s.seen[j]
    if number == 0:
        return 0.0
    share = missing / number
    return 0.0 if share <= 0.25 else (0.5 if share < 0.75 else 1.0)


@njit_part
def _say(w, s, c, i, age, q, power):
    """What all experts say of member i: into s.told, s.say."""
    for e in range(len(s.of)):
        s.of[e] = s.views[0, e, i]
    combine(
        w, i, age, q, s.of, CROSS, s.wider[0, i], c.young, power, s.say, s.said, s.expected, s.told
    )


@njit_part
def _tell(mo, s, c, i, n, t, h, others, out):
    """Note what has been said of member i, target n, within its bounds."""
    half = c.z * np.sqrt(s.told[1]) * s.told[3]
    out.mean[t, n, h] = within_bounds(mo, i, s.told[0])
    out.lower[t, n, h] = within_bounds(mo, i, s.told[0] - half)
    out.upper[t, n, h] = within_bounds(mo, i, s.told[0] + half)
    who = 0
    for e in range(len(s.say)):
        if s.say[e] >= SAY:
            who |= 1 << c.group[e]
    out.regressors[t, n, h] = others if _by_others(s, c) >= SAY else 0
    out.experts[t, n, h] = who
    if len(out.said) > 0:
        for e in range(len(s.say)):
            out.said[n, h, 0, e], out.said[n, h, 1, e] = s.said[e], s.say[e]
            out.said[n, h, 2, e] = s.expected[e]


class Told(NamedTuple):
    """Where forecasts go, as in `Forecast`; and, of one step, what they are made of."""

    mean: Any
    lower: Any
    upper: Any
    reference: Any
    regressors: Any
    experts: Any
    said: Any  # (N, H, 3, E): what each expert says, its weight, its square error; empty: not asked


@njit_part
def _begin_anew(s, c, i):
    """Note the nowcast of a member that is missing, where the network speaks for it: steps ahead
    may begin there."""
    if s.heard[i] or _by_others(s, c) < SAY:
        return
    s.origin[0, i], s.origin[1, i] = s.told[0], s.told[1]
    for e in range(len(s.of)):
        s.apart[e, i] = s.told[0] - s.of[e]


@njit_part
def _from_nowcast(w, s, c, i, horizon):
    """What is said ahead from the nowcast instead of the last value, if that errs less: into
    s.told, s.say."""
    if not s.origin[1, i] < np.inf:
        return
    mean, error = s.told[0], s.told[1]
    last, move = w.last[i], w.move[i]
    w.last[i], w.move[i] = s.origin[0, i], np.nan
    for e in range(CROSS, len(s.of)):
        s.apart[e, i], w.residual[e, i] = w.residual[e, i], s.apart[e, i]
    for e in range(len(s.say)):
        s.kept[0, e], s.kept[1, e], s.kept[2, e] = s.say[e], s.said[e], s.expected[e]
    _say(w, s, c, i, horizon, 0.0, ahead_power(w, horizon, i))
    s.told[1] += s.origin[1, i]
    for e in range(CROSS, len(s.of)):
        s.apart[e, i], w.residual[e, i] = w.residual[e, i], s.apart[e, i]
    w.last[i], w.move[i] = last, move
    if s.told[1] > error:
        s.told[0], s.told[1] = mean, error
        for e in range(len(s.say)):
            s.say[e], s.said[e], s.expected[e] = s.kept[0, e], s.kept[1, e], s.kept[2, e]


@njit_part
def _now(mo, w, s, c, m, targets, t, seen, withheld, out):
    """Nowcasts of all targets; and how far the values of the step are believed: fully where a truth
    is withheld, which others see and what is learnt must not."""
    for i in range(m):
        s.near[i], s.origin[1, i] = s.x[i], np.inf
        if w.age[i] < 0:
            continue
        q, n = _nearest_missing(mo, s, i), targets[i]
        _say(w, s, c, i, w.age[i] + 1, q, 1.0 * POWER)
        _begin_anew(s, c, i)
        if s.heard[i] and not withheld and mo.count[i] >= JUDGED:
            most = OUTLIER * np.sqrt(s.told[1])
            s.near[i] = s.told[0] + min(max(s.x[i] - s.told[0], -most), most)
        for h in range(len(c.horizons)):
            if c.horizons[h] == 0 and n >= 0:
                _tell(mo, s, c, i, n, t, h, seen - s.seen[i], out)
                out.reference[t, n] = s.told[2]


@njit_part
def _ahead(mo, se, fo, w, s, c, calendar, cross, step, m, targets, row, t, out):
    for h in range(len(c.horizons)):
        if c.horizons[h] == 0:
            continue
        s.views[0, :CROSS] = np.nan
        _seasons(mo, se, fo, w, calendar, c.young, step + c.horizons[h], s, m, CROSS)
        known = _inputs(mo, s, c, cross, m, row, 1 + h)
        for i in range(m):
            n = targets[i]
            if n >= 0 and w.age[i] >= 0:
                age = w.age[i] + c.horizons[h]
                _say(w, s, c, i, age, 0.0, ahead_power(w, age, i))
                _from_nowcast(w, s, c, i, c.horizons[h])
                _tell(mo, s, c, i, n, t, h, known, out)


@njit_part
def _fill_heard(mo, s, cross, m):
    """Where truths are withheld: what is learnt of them is what those heard say. Returns how many
    are missing then, and how many speak."""
    heard = 0
    for i in range(m):
        s.seen[i] = s.heard[i] and mo.count[i] > 0
        heard += s.seen[i]
    count = _list_missing(mo, s, m)
    if heard > 0 and m > 1:
        say(mo, s.x, s.seen, s.missing, count, m, False, cross, s.views, s.filled, s.doubt)
    else:
        s.filled[:] = np.nan
    return count, heard


@njit_part
def _learn(mo, se, w, s, c, calendar, cross, step, m, seen, heard, count, withheld, twice):
    for i in range(m):
        s.vector[i] = s.near[i] if s.heard[i] else np.nan
    learn_weights(
        w, step, s.vector, s.heard, s.views, CROSS, s.wider, twice, m, c.level, c.z, s.errors
    )  # fmt: skip
    gain = 1 / min(mo.facts[STEPS] + 1, MEMORIES[0])
    remember(w, step, s.x, s.near, s.heard, s.views[0], CROSS, s.wider[0], gain, m)
    if heard == 0:
        return
    if withheld:
        count, seen = _fill_heard(mo, s, cross, m)
    if note(mo, s.near, s.heard, m):
        mo.facts[NEWS] = SOON
        for j in range(len(mo.waited)):
            mo.waited[j] = SOON
    for k in range(len(s.filled)):
        for i in range(m):
            if not s.heard[i] and s.filled[k, i] != s.filled[k, i]:
                s.filled[k, i] = mo.mean[k, i]
        if seen == 0 or m == 1:
            for a in range(count):
                for b in range(count):
                    s.doubt[k, a, b] = mo.cov[k, s.missing[a], s.missing[b]]
    learn(mo, s.near, s.heard, s.filled, s.doubt, s.missing, count, m, s.vector)
    if se.since[0] < 0:
        se.since[0] = 0
    learn_season(se, calendar, step, s.near, s.heard, mo.first, s.wave, m, s.gain, s.errors.gain)


@njit_part
def _listen(mo, se, fo, w, s, c, step, m, inputs):
    """Learn the profile of the period found, and look for another one."""
    for i in range(m):
        s.off[i] = s.near[i] - s.bases[i] if s.heard[i] else np.nan
        s.is_off[i] = s.off[i] == s.off[i]
        s.vector[i] = deviation(mo, i)
    listen(fo, step, s.off, s.vector, m - inputs)
    r, period = len(c.periods), fo.cycle[PERIOD]
    if period > 0:
        knots = np.int64(fo.cycle[KNOTS])
        gather(se, r, period, knots, step - fo.cycle[BEGIN], s.off, s.is_off, m)
    steps = np.int64(se.since[0])
    if steps > 0 and due(steps) and find(fo, step, steps, c.periods, s.acf, s.line):
        forget(se, r)
        w.known[CROSS + MEANS + r + len(c.terms)] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def step_all(
    values, own, others, first, moments, season, found, weighing, c, calendar, s, cross, out
):  # fmt: skip
    """Step every block over a frame: nowcast, learn, forecast ahead; forecasts go to `out`.

    others (T, N): what `network-rls` says of each target without its past.
    """
    for u in range(len(c.columns)):
        m = 0
        while m < c.columns.shape[1] and c.columns[u, m] >= 0:
            m += 1
        mo = Moments(
            moments.first[u], moments.count[u], moments.level[u], moments.square[u],
            moments.mean[u], moments.cov[u], moments.precision[u], moments.diagonal[u],
            moments.scale[u], moments.waited[u], moments.range[u], moments.near[u],
            moments.facts[u],
        )  # fmt: skip
        se = Season(
            season.knots[u], season.visits[u], season.pending[u], season.segment[u],
            season.coefs[u], season.spread[u], season.since[u : u + 1],
        )  # fmt: skip
        w = Weighing(
            weighing.error[u], weighing.scored[u], weighing.known[u], weighing.lagged[u],
            weighing.power[u], weighing.turned[u], weighing.ring[u], weighing.residual[u],
            weighing.wider[u], weighing.last[u], weighing.move[u], weighing.age[u],
            weighing.width[u],
        )  # fmt: skip
        fo = Found(found.past[u], found.cycle[u])
        columns, targets = c.columns[u], c.targets[u]
        for t in range(len(values)):
            step = first + t
            refresh(mo, m, cross.matrix, cross.total)
            seen, heard, count, withheld = _look(mo, s, m, columns, targets, values[t], own[t])
            twice = step % TWICE == 0
            inputs = c.leads.shape[2]
            _network(mo, s, cross, m, inputs, targets, others[t], seen, count, twice)
            _seasons(mo, se, fo, w, calendar, c.young, step, s, m, CROSS)
            _inputs(mo, s, c, cross, m, values[t], 0)
            if twice:
                s.views[1, CROSS:] = s.views[0, CROSS:]
            _now(mo, w, s, c, m, targets, t, seen, withheld, out)
            if se.since[0] >= 0:
                se.since[0] += 1
            _learn(mo, se, w, s, c, calendar, cross, step, m, seen, heard, count, withheld, twice)
            _listen(mo, se, fo, w, s, calendar, step, m, inputs)
            _ahead(mo, se, fo, w, s, c, calendar, cross, step, m, targets, values[t], t, out)
