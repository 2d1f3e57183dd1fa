"""Nowcasts of a network from moments that its sensors share, block by block.

The recursion, its sources and what its constants were chosen on are in ``docs/network-rls.md``.
A block's numbers depend neither on other blocks nor on where frames are cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.standin import plausible
from gapcast.engine.kernels.uncounted import inlined_part, njit_part
from gapcast.plugins.forecasters.network_rls.fill import residuals_without, stand_in
from gapcast.plugins.forecasters.network_rls.triangle import add_outer, combine, origin
from gapcast.plugins.forecasters.network_rls.weights import weigh

PHI = 0.5
"""Moments are learnt of z_t - PHI z_(t-1)."""
SHARE = 5.0
"""Weights are solved for anew when 1/SHARE of all that is remembered is news."""
CALM = 0.1
"""Share of the usual spread below which a calm step counts no more than a calmer one."""
DOUBT = 0.2
"""Share of a stand-in's error variance that goes into the moments."""
FACTS = 9
REF, CENTRE, CHANGES, LEVELS, SPREAD, NEWS, LAGGED, POWER, KNOWN = range(FACTS)
"""Places in `Models.facts`."""


class Models(NamedTuple):
    """The state of U blocks of up to M members, M a multiple of LANES; float64."""

    changes: Any  # (U, triangle_size(M)): forgotten moments of quasi-differences
    levels: Any  # (U, triangle_size(M)): of values
    weights: Any  # (U, M, M): [k, i] of member k in the regression of i
    carried: Any  # (U, M, M): row i: last residuals as known to target i while it is hidden
    change_sum: Any  # (U, M): forgotten sums
    level_sum: Any
    offset: Any  # (U, M): mean above the centre
    last: Any  # (U, M): values of the last step learnt, stand-ins included, level subtracted
    doubt: Any  # (U, M): error variance of these
    residual: Any  # (U, M): last residual
    left: Any  # (U, M): share of it that is left; 1 right after it
    left_seen: Any  # (U, M): the same where withheld truths count as seen
    variance: Any  # (U, M): forgotten mean square of residuals, and the sum of its weights
    variance_weight: Any
    heard: Any  # (U, M): whether learnt from at the last step, 0 or 1
    hidden: Any  # (U, M): whether `carried` holds its residuals, 0 or 1
    facts: Any  # (U, FACTS): level subtracted; centre; weights of the moments of changes and of
    # levels; usual spread; steps learnt since the weights were solved for; forgotten sums of
    # products of residuals one step apart and of their squares; whether the step before was
    # learnt


class Settings(NamedTuple):
    """What the kernel is told besides state and frame."""

    columns: Any  # (U, M) int64: column of each member, -1 behind the last
    targets: Any  # (U, M) int64: which target each member is, or -1
    forgetting: float
    steps: float  # that weigh as one of half an hour
    z: float  # half-width of an interval in standard deviations


class Block(NamedTuple):
    """One block's state, as in `Models`, and what is at hand in a step."""

    changes: Any
    levels: Any
    weights: Any
    carried: Any
    change_sum: Any
    level_sum: Any
    offset: Any
    last: Any
    doubt: Any
    residual: Any
    left: Any
    left_seen: Any
    variance: Any
    variance_weight: Any
    heard_before: Any
    hidden: Any
    facts: Any
    y: Any  # (M,): values, level and centre subtracted; 0 where missing
    fit: Any  # (M,): what the others say
    u: Any  # (M,): quasi-differences
    noise: Any  # (M,): variance of residuals, the block's where there is none
    seen: Any  # (M,) bool
    heard: Any  # (M,) bool: seen, and no truth that is withheld: may be learnt from
    missing: Any  # (M,) bool: a target without truth


@inlined_part
def _look(b, m, columns, targets, values, own, missing):
    """Read a step; returns how many members are missing, how many may be learnt from."""
    count, heard = 0, 0
    for i in range(m):
        v = plausible(values[columns[i]])
        b.y[i] = v
        b.seen[i] = not np.isnan(v)
        b.missing[i] = targets[i] >= 0 and np.isnan(plausible(own[targets[i]]))
        b.heard[i] = b.seen[i] and not b.missing[i]
        heard += b.heard[i]
        if not b.seen[i]:
            missing[count] = i
            count += 1
    return count, heard


@inlined_part
def _fit(b):
    combine(b.weights, b.y, b.fit)


@inlined_part
def _due(b, heard):
    """Whether weights are to be solved for: when much is news, and when learning stops."""
    f = b.facts
    return f[NEWS] > 0 and (f[NEWS] * SHARE >= f[LEVELS] or heard == 0)


@njit_part
def _look_back(b, m):
    """The last residuals, by new weights. Of a member that was missing at the last step it is the
    one of the gap's onset: by how much the weights have moved what is said of it, it moves back."""
    if b.facts[KNOWN] == 0:
        return
    for i in range(m):
        b.u[i] = b.y[i]
        b.y[i] = b.last[i] - b.facts[CENTRE]
    _fit(b)
    for i in range(m):
        moved = b.y[i] - b.fit[i] - b.left[i] * b.residual[i]
        if b.heard_before[i] == 0:
            b.residual[i] += moved
            for j in range(m):
                if b.hidden[j] == 1:
                    b.carried[j, i] += moved
        else:
            b.residual[i] = b.y[i] - b.fit[i]
        b.y[i] = b.u[i]


@njit_part
def _hide(b, m, withheld):
    """A target without truth sees truths that are withheld from others, which learning does not:
    from then on until it has a truth it keeps residuals of its own."""
    for i in range(m):
        if not b.missing[i]:
            b.hidden[i] = 0.0
        elif b.hidden[i] == 0 and withheld > b.seen[i]:
            b.hidden[i] = 1.0
            for j in range(m):
                b.carried[i, j] = b.residual[j]


@inlined_part
def _fade(b, m, forgetting):
    """What is left of residuals; their variance, which returns for the block."""
    f = b.facts
    a = min(max(f[LAGGED] / f[POWER], 0.0), forgetting) if f[POWER] > 0 else 0.0
    total, number = 0.0, 0
    for i in range(m):
        b.left[i] *= a
        b.left_seen[i] *= a
        if b.variance_weight[i] > 0:
            total += b.variance[i]
            number += 1
    typical = total / max(number, 1)
    for i in range(m):
        b.noise[i] = b.variance[i] if b.variance_weight[i] > 0 else typical
    return typical


@inlined_part
def _centre(b, m, heard):
    """Subtract level and centre; the level is the mean of the first step learnt."""
    f = b.facts
    if f[LEVELS] == 0 and heard > 0:
        total = 0.0
        for i in range(m):
            if b.heard[i]:
                total += b.y[i]
        f[REF] = total / heard
    for i in range(m):
        b.y[i] = b.y[i] - f[REF] - f[CENTRE] if b.seen[i] else 0.0


@njit_part
def _fill(b, m, count, g):
    """Forecasts of all members into ``g.own``, and stand-ins for those missing."""
    _fit(b)
    for i in range(m):
        g.plain[i] = b.fit[i]
        g.own_carry[i] = b.left[i] * b.residual[i]
        if count == 0:
            g.own[i] = g.plain[i] + g.own_carry[i]
    if count == 0:
        return
    for q in range(count):
        k = g.missing[q]
        for i in range(m):
            r = b.left_seen[k] * b.carried[i, k] if b.hidden[i] == 1 else b.left[k] * b.residual[k]
            g.carry[q, i] = r
        g.carry[q, m] = b.left[k] * b.residual[k]
    stand_in(g, count, m, b.weights, b.y, b.seen, b.offset)


@inlined_part
def _tell(b, m, count, g, typical, targets, z, out):
    """Forecasts and bounds of the targets; a target that nobody else speaks for stays where it
    was."""
    f = b.facts
    for i in range(m):
        n = targets[i]
        if n < 0:
            continue
        mean = f[REF] + f[CENTRE] + g.own[i]
        if m - count - b.seen[i] == 0:
            mean = f[REF] + b.last[i] if f[LEVELS] > 0 else np.nan
        variance = b.noise[i] * (1 - b.left[i] * b.left[i])
        for q in range(count):
            k = g.missing[q]
            left = b.left_seen[k] if b.hidden[i] == 1 else b.left[k]
            variance += b.weights[k, i] * b.weights[k, i] * b.noise[k] * (1 - left * left)
        half = z * np.sqrt(variance) if typical > 0 or f[POWER] > 0 else np.nan
        out[0, n], out[1, n], out[2, n] = mean, mean - half, mean + half
        others = m - count - b.seen[i]
        out[3, n] = np.nan if others == 0 else mean - g.own_carry[i]
        out[4, n] = others


@inlined_part
def _judge(b, m, forgetting):
    """Take in this step's residuals, made by weights that have not seen it."""
    f = b.facts
    lagged, power = 0.0, 0.0
    for i in range(m):
        if not b.heard[i]:
            continue
        e = b.y[i] - b.fit[i]
        if f[KNOWN] == 1 and b.heard_before[i] == 1:
            lagged += b.residual[i] * e
            power += (b.residual[i] * b.residual[i] + e * e) / 2
        b.variance_weight[i] = forgetting * b.variance_weight[i] + 1
        b.variance[i] += (e * e - b.variance[i]) / b.variance_weight[i]
    f[LAGGED] = forgetting * f[LAGGED] + lagged
    f[POWER] = forgetting * f[POWER] + power


@inlined_part
def _importance(b, m):
    """Weight of a step: less when the block is farther apart than usual, and less certain."""
    f = b.facts
    total, squares = 0.0, 0.0
    for i in range(m):
        total += b.y[i]
    for i in range(m):
        d = b.y[i] - total / m
        squares += d * d
    spread = squares / m
    f[SPREAD] += (spread - f[SPREAD]) / f[LEVELS]
    usual = f[SPREAD]
    return 1 / np.sqrt((spread + CALM * usual) / ((1 + CALM) * usual)) if usual > 0 else 1.0


@inlined_part
def _learn(b, m, forgetting):
    """Moments of the step: of its values, and of their quasi-differences weighed by calm."""
    f = b.facts
    f[LEVELS] = forgetting * f[LEVELS] + 1
    h = _importance(b, m)
    phi = PHI if f[KNOWN] == 1 else 0.0
    for i in range(m):
        z = b.y[i] + f[CENTRE]
        b.u[i] = z - phi * b.last[i]
        b.last[i] = z
        b.level_sum[i] = forgetting * b.level_sum[i] + z
        b.change_sum[i] = forgetting * b.change_sum[i] + h * (1 - phi) * b.u[i]
    f[CHANGES] = forgetting * f[CHANGES] + h * (1 - phi) * (1 - phi)
    add_outer(b.changes, b.u, h, forgetting, m)
    add_outer(b.levels, b.last, 1.0, forgetting, m)
    for i in range(m):
        diagonal = origin(i, len(b.u)) + i
        doubt = 0.0 if b.heard[i] else DOUBT * b.noise[i] * (1 - b.left[i] * b.left[i])
        b.changes[diagonal] += h * (doubt + phi * phi * b.doubt[i])
        b.levels[diagonal] += doubt
        b.doubt[i] = doubt
    f[NEWS] += 1
    f[KNOWN] = 1.0


@njit_part
def _withhold(b, m, g):
    """Let what is withheld from targets be missing, for all; returns how many then are."""
    count = 0
    for i in range(m):
        b.seen[i] = b.heard[i]
        if not b.heard[i]:
            b.y[i] = 0.0
            g.missing[count] = i
            count += 1
    return count


@inlined_part
def _take_in(b, m, count, g, forgetting):
    """Learn a step whose missing members stand in for themselves."""
    if count > 0:
        for q in range(count):
            b.y[g.missing[q]] = g.value[q, m]
        _fit(b)
    _judge(b, m, forgetting)
    _learn(b, m, forgetting)
    for i in range(m):
        b.heard_before[i] = 1.0 if b.heard[i] else 0.0
        if b.heard[i]:
            b.residual[i] = b.y[i] - b.fit[i]
            b.left[i] = 1.0


@inlined_part
def _step(b, m, count, heard, targets, c, g, out):
    """Forecast a step that has been looked at, then learn it."""
    withheld = m - count - heard
    if withheld > 0 or heard < m:
        _hide(b, m, withheld)
    typical = _fade(b, m, c.forgetting)
    _centre(b, m, heard)
    _fill(b, m, count, g)
    _tell(b, m, count, g, typical, targets, c.z, out)
    residuals_without(g, count, m, b.weights, b.y, b.seen, b.hidden, b.carried)
    for i in range(m):
        if b.seen[i]:
            b.left_seen[i] = 1.0
    if heard == 0:
        b.facts[KNOWN] = 0.0
        return
    if withheld > 0:
        count = _withhold(b, m, g)
        _fill(b, m, count, g)
    _take_in(b, m, count, g, c.forgetting)


@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def nowcast(values, own, s, c, g, solver, scratch, flags, out):
    """Forecast every step from the others of the same step, then learn it.

    values (T, S), own (T, N): as a `Frame` has them; s: `Models`, updated in place; c: `Settings`;
    the next four scratch: `new_gaps`, `new_solver`, (4, M) and bool (3, M). out (5, T, N)
    receives mean, lower and upper bound in the target's unit, the mean without what is carried
    of the target's own residual, and how many others are seen: means are NaN until another member
    is seen (the last one whenever none is), bounds until there is a residual.
    """
    for k in range(len(s.last)):
        b = Block(
            s.changes[k], s.levels[k], s.weights[k], s.carried[k], s.change_sum[k],
            s.level_sum[k], s.offset[k], s.last[k], s.doubt[k], s.residual[k], s.left[k],
            s.left_seen[k], s.variance[k], s.variance_weight[k], s.heard[k], s.hidden[k],
            s.facts[k], scratch[0], scratch[1], scratch[2], scratch[3], flags[0], flags[1],
            flags[2],
        )  # fmt: skip
        m, f, columns, targets = c.columns.shape[1], b.facts, c.columns[k], c.targets[k]
        scratch[:] = 0.0
        while m > 0 and columns[m - 1] < 0:
            m -= 1
        for t in range(len(values)):
            count, heard = _look(b, m, columns, targets, values[t], own[t], g.missing)
            if _due(b, heard):
                f[CENTRE] = weigh(
                    b.changes, b.change_sum, f[CHANGES], b.levels, b.level_sum, f[LEVELS],
                    c.steps, PHI, m, targets, solver, b,
                )  # fmt: skip
                f[NEWS] = 0.0
                _look_back(b, m)
            _step(b, m, count, heard, targets, c, g, out[:, t])
