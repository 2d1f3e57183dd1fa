"""Weights of experts by how long a member has been missing, learnt from every value that is seen.

Every value tells what each expert would have said of it, had its member been missing for 1, 2, 4,
... steps: an expert says its own view of the step plus what is left, after so many steps, of its
last residual. Square errors are averaged by expert, member and age, once with all that was seen
and once without the nearest neighbours; weights fall with their eighth power.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

AGES = np.array([1, 2, 4, 8, 16, 40, 100, 256])
"""Ages that errors are known for; beyond, nothing is left of a residual."""
STRIDES = np.array([1, 2, 4, 10, 25, 64])
"""Residuals are kept in rings, every so many steps in each,"""
DEPTH = 5
"""the last five, so that"""
RING = np.array([0, 0, 0, 1, 2, 3, 4, 5])
"""this one reaches back as far as each age."""
BEYOND = len(AGES)
MOVED = 3
"""Place of the age after which a move is over."""
POWER = 8
"""Weights are mean square errors to minus this power."""
WOKEN = 0.25
"""When an expert speaks for the first time, so much of what is known of the others counts."""
SCORED = 500.0
"""Steps that errors are averaged over."""
FEW_LOOKS = 5.0
"""With so many looks farther apart than the age, weights ahead fall with half that power."""
TWICE = 4
"""Every so many steps experts are heard without the nearest neighbours, and ages from QUICK on
are looked at."""
QUICK = 3
WIDEN = (0.01, 3.0, 30.0)
"""Gains of how wide intervals are: least, c and n0 of c / (n + n0) after n looks."""
SETTLED = 8
"""Looks before that is learnt; at least as many as the age has steps."""
TINY = 1e-300
SUMS = 6
WEIGHT, LOSS, EXPECTED, MIXED, PLAIN, NUMBER = range(SUMS)
"""Of a group of experts: weights; weighed square errors, expected ones, and errors; of all that
spoke: square errors and their number."""
NETWORKED, OWN, ALL = range(3)
"""The groups: those that read other members, those that do not, both."""


class Weighing(NamedTuple):
    """The state of U blocks; E experts, of which the first F have residuals; A = len(AGES)."""

    error: Any  # (U, 2, A + 1, E, M): mean square errors; with and without the nearest neighbours
    scored: Any  # (U, 2, A + 1, M): how often
    known: Any  # (U, E, M): how often an expert has spoken of a member that was seen
    lagged: Any  # (U, A, F, M): products of residuals so far apart
    power: Any  # (U, A, F, M): their mean squares
    turned: Any  # (U, 2, A, M): moves over an age times the move before it, and its square
    ring: Any  # (U, len(STRIDES), DEPTH, F + 4, M): residuals, value, move, quick mean, wider
    residual: Any  # (U, F, M): the last
    wider: Any  # (U, M): and then: see `learn_weights`
    last: Any  # (U, M): last value
    move: Any  # (U, M): from the step before to it
    age: Any  # (U, M): steps since, -1 before the first
    width: Any  # (U, 2, A + 1, M): of intervals, relative; with the network and without


class Errors(NamedTuple):
    """Scratch for scoring E experts, blocks of up to M members."""

    off: Any  # (E, M): how far off they were
    sums: Any  # (3, SUMS, M)
    least: Any  # (2, M)
    wide: Any  # (M,)
    share: Any  # (M,)
    gain: Any  # (M,)


def new_errors(E: int, M: int) -> Errors:
    """Scratch for E experts, blocks of up to M members."""
    return Errors(
        np.zeros((E, M)), np.zeros((3, SUMS, M)), np.zeros((2, M)), *(np.zeros(M) for _ in range(3))
    )


@inlined_part
def age_class(age):
    """Place in AGES of the one nearest on a scale of logarithms; BEYOND where none is near."""
    for k in range(BEYOND):
        if age <= AGES[k] * 1.4142:
            return k
    return BEYOND


@inlined_part
def left(w, k, e, i):
    """Share of a residual that is left at an age."""
    if k == BEYOND:
        return 0.0
    return min(max(w.lagged[k, e, i] / (w.power[k, e, i] + TINY), 0.0), 1.0)


@inlined_part
def drift(w, k, i):
    """How many times its last move a member moves on in an age."""
    k = min(k, MOVED)
    return min(max(w.turned[0, k, i] / (w.turned[1, k, i] + TINY), -1.0), 1.0 * AGES[k])


@inlined_part
def _slot(k, step):
    """Where in its ring is what was kept the k-th age before a step."""
    return (step - AGES[k]) // STRIDES[RING[k]] % DEPTH


@inlined_part
def carried(now, then):
    """Share of a residual that counts now: what was learnt with more of the others missing is no
    more exact than it was."""
    return min(now / then, 1.0)


@njit_part
def _errors(w, k, step, x, views, mean, wider, m, off, share):
    """How far off (E, M) all experts were, had each member been missing for the k-th age. share:
    scratch (M,)."""
    F = views.shape[0]
    kk = min(k, BEYOND - 1)
    row = w.ring[RING[kk], _slot(kk, step)]
    for i in range(m):
        share[i] = carried(wider[i], row[F + 3, i])
    for e in range(F):
        old, view, to = row[e], views[e] if e != mean else row[F + 2], off[e]
        for i in range(m):
            to[i] = x[i] - view[i]
        if k < BEYOND:
            for i in range(m):
                to[i] -= left(w, k, e, i) * old[i] * (share[i] if e < mean else 1.0)
    for i in range(m):
        r = x[i] - row[F, i]
        off[F, i] = r
        r -= drift(w, k, i) * row[F + 1, i]
        off[F + 1, i] = r


@njit_part
def _weigh(w, c, k, off, wide, network, m, sums, least):
    """What is to be known of the errors of each group: sums (3, SUMS, M). wide (M,): how many times
    the square errors of the first `network` experts are to be. least (2, M): scratch."""
    sums[:] = 0.0
    least[:] = np.inf
    for e in range(off.shape[0]):
        known, err, low = w.known[e], w.error[c, k, e], least[NETWORKED if e < network else OWN]
        for i in range(m):
            v = err[i] * wide[i] if e < network else err[i]
            v = v if known[i] > 0 and off[e, i] == off[e, i] else np.inf
            low[i] = min(low[i], v)
    for e in range(off.shape[0]):
        group = NETWORKED if e < network else OWN
        known, err, low, to = w.known[e], w.error[c, k, e], least[group], sums[group]
        for i in range(m):
            v = err[i] * wide[i] if e < network else err[i]
            there = off[e, i] == off[e, i]
            r = off[e, i] if there else 0.0
            q = ((low[i] + TINY) / (v + TINY)) ** POWER if known[i] > 0 and there else 0.0
            to[WEIGHT, i] += q
            to[LOSS, i] += q * (r * r)
            to[EXPECTED, i] += q * v
            to[MIXED, i] += q * r
            to[PLAIN, i] += r * r
            to[NUMBER, i] += 1.0 if there else 0.0
    for i in range(m):
        both = min(least[0, i], least[1, i])
        for g in range(2):
            q = ((both + TINY) / (least[g, i] + TINY)) ** POWER if least[g, i] < np.inf else 0.0
            for v in range(SUMS):
                sums[ALL, v, i] += sums[g, v, i] * (q if v < PLAIN else 1.0)


@njit_part
def _score(w, c, k, off, wide, network, heard, m, of, gain):
    """Take errors in; experts that said nothing are charged what the mixture erred, by the sums
    `of` those that are judged. wide: as in `_weigh`. gain: scratch (M,)."""
    error, scored, loss = w.error[c, k], w.scored[c, k], of[LOSS]
    least = (1 if k < QUICK and c == 0 else TWICE) / SCORED
    for i in range(m):
        gain[i] = 0.0
        if of[NUMBER, i] > 0 and heard[i]:
            scored[i] += 1
            by, n = of[WEIGHT, i], of[NUMBER, i]
            loss[i] = loss[i] / by if by > 0 else of[PLAIN, i] / n
            gain[i] = max(least, 1 / scored[i])
    for e in range(off.shape[0]):
        err = error[e]
        for i in range(m):
            e2 = off[e, i] * off[e, i]
            v = e2 if e2 == e2 else loss[i]
            if e < network:
                v /= wide[i]
            err[i] += gain[i] * (v - err[i])


@njit_part
def _wake(w, off, gain, m):
    """Count the experts that have spoken of members that are learnt from, gain > 0."""
    for i in range(m):
        woken = False
        for e in range(off.shape[0]):
            if gain[i] > 0 and off[e, i] == off[e, i]:
                w.known[e, i] += 1
                woken |= w.known[e, i] == 1
        if woken:
            for b in range(2):
                for j in range(BEYOND + 1):
                    w.scored[b, j, i] = WOKEN * min(w.scored[b, j, i], SCORED)


@njit_part
def _widen(w, table, k, of, heard, m, level, z):
    """Let errors of what experts say together, by the sums `of` them, tell how wide intervals are
    to be: the quantile tracker of `gapcast.engine.shard.calibration`, in steps of the k-th age."""
    enough = max(SETTLED, AGES[min(k, BEYOND - 1)])
    for i in range(m):
        if heard[i] and of[EXPECTED, i] > 0 and w.scored[0, k, i] >= enough:
            gain = max(WIDEN[0], WIDEN[1] / (w.scored[0, k, i] + WIDEN[2]))
            width = w.width[table, k, i] * z * np.sqrt(of[EXPECTED, i] * of[WEIGHT, i])
            w.width[table, k, i] *= 1 + gain * (level if abs(of[MIXED, i]) > width else level - 1)


@njit_part
def _persist(w, k, step, x, heard, views, mean, wider, m, now, then):
    """Learn how much of residuals and moves is left at the k-th age. now, then: scratch (M,)."""
    row = w.ring[RING[k], _slot(k, step)]
    gain = (1 if k < QUICK else TWICE) / SCORED
    F = views.shape[0]
    for i in range(m):
        now[i], then[i] = 1 / wider[i], 1 / row[F + 3, i]
    for e in range(F):
        old, view = row[e], views[e] if e != mean else row[F + 2]
        lagged, power = w.lagged[k, e], w.power[k, e]
        for i in range(m):
            r, o = x[i] - view[i], old[i]
            known = heard[i] and r == r and o == o
            if e < mean:
                r, o = r * now[i], o * then[i]
            lagged[i] += gain * (r * o - lagged[i]) if known else 0.0
            power[i] += gain * (0.5 * (r * r + o * o) - power[i]) if known else 0.0
    for i in range(m):
        move, then = row[F + 1, i], row[F, i]
        if heard[i] and move == move and then == then:
            w.turned[0, k, i] += gain * ((x[i] - then) * move - w.turned[0, k, i])
            w.turned[1, k, i] += gain * (move * move - w.turned[1, k, i])


@njit_part
def learn_weights(w, step, x, heard, views, mean, wider, twice, m, level, z, s):
    """Score all experts by the values of a step. views (2, F, M): what they say of the step itself,
    the second without the nearest neighbours, where `twice`. mean: place of the first expert that
    reads no other member; wider (2, M): how many times wider the others' errors are to be, with
    those seen of a step instead of all. level, z: of intervals, and their half width in standard
    deviations. s: `Errors`."""
    for k in range(BEYOND + 1):
        if k >= QUICK and not twice:
            continue
        for c in range(2 if twice else 1):
            for i in range(m):
                s.wide[i] = wider[c, i] * wider[c, i]
            _errors(w, k, step, x, views[c], mean, wider[c], m, s.off, s.share)
            _weigh(w, c, k, s.off, s.wide, mean, m, s.sums, s.least)
            if c == 0:
                _widen(w, 0, k, s.sums[ALL], heard, m, level, z)
                _widen(w, 1, k, s.sums[OWN], heard, m, level, z)
            # What experts err without a member's past is told by no other member's value.
            judged = s.sums[OWN if k == BEYOND else ALL]
            _score(w, c, k, s.off, s.wide, mean, heard, m, judged, s.gain)
            if k == 0 and c == 0:
                _wake(w, s.off, s.gain, m)
        if k < BEYOND:
            _persist(w, k, step, x, heard, views[0], mean, wider[0], m, s.wide, s.share)


@njit_part
def remember(w, step, x, near, heard, views, mean, wider, gain, m):
    """Note the values of a step and the residuals of all experts; `views` (F, M)."""
    F = views.shape[0]
    for i in range(m):
        if heard[i]:
            w.move[i] = x[i] - w.last[i] if w.age[i] == 0 else np.nan
            w.last[i], w.age[i], w.wider[i] = x[i], 0, wider[i]
            for e in range(F):
                r = x[i] - views[e, i]
                if e == mean:
                    r *= 1 - gain
                w.residual[e, i] = r if r == r else 0.0
        elif w.age[i] >= 0:
            w.age[i] += 1
    for k in range(len(STRIDES)):
        if step % STRIDES[k] != 0:
            continue
        row = w.ring[k, step // STRIDES[k] % DEPTH]
        for i in range(m):
            for e in range(F):
                row[e, i] = near[i] - views[e, i] if heard[i] else np.nan
            row[mean, i] *= 1 - gain
            row[F + 2, i] = near[i] - row[mean, i]
            row[F, i] = near[i] if heard[i] else np.nan
            row[F + 1, i] = w.move[i] if heard[i] else np.nan
            row[F + 3, i] = wider[i]


@inlined_part
def _looked_at(w, age, i):
    """Place in AGES of the one nearest to an age, or of the next lower one that was looked at."""
    k = age_class(age)
    while k > 0 and w.scored[0, k, i] == 0:
        k -= 1
    return k


@inlined_part
def ahead_power(w, age, i):
    """The power that weights ahead fall with at an age: less where looks so far apart are few."""
    k = _looked_at(w, min(age, AGES[BEYOND - 1]), i)
    looks = w.scored[0, k, i] * (1 if k < QUICK else TWICE)
    looks = min(looks, SCORED) / AGES[k]
    return POWER * looks / (looks + FEW_LOOKS)


@inlined_part
def _expected(w, k, e, i, q, wider, young):
    """Mean square error of an expert at an age, no less than at any lower one; q: 0 with the
    nearest neighbours, 1 without, which is no better; wider: as in `combine`; young: looks in which
    the expert is doubted."""
    if w.known[e, i] == 0:
        return np.inf
    worst = 0.0
    for j in range(k + 1):
        error = w.error[0, j, e, i] * wider * wider
        if q > 0 and w.scored[1, j, i] > 0:
            far = max(error, w.error[1, j, e, i])
            error = far if q == 1 else np.sqrt(error * far)
        worst = max(worst, error)
    return worst * _doubt(w, e, i, young)


@inlined_part
def _doubt(w, e, i, young):
    """How many times an expert's errors count that has spoken so rarely of a member."""
    doubt = young / w.known[e, i]
    return 1 + doubt * doubt


@njit_part
def without_past(w, first, end, quick, young, views, i):
    """What experts from `first` to before `end`, but for the quick mean, say of member i, weighed
    by what they err without its past; NaN where none says anything."""
    least = np.inf
    for e in range(first, end):
        if e != quick and views[e, i] == views[e, i]:
            least = min(least, _error_without_past(w, e, i, young))
    total, mean = 0.0, 0.0
    for e in range(first, end):
        if e != quick and views[e, i] == views[e, i]:
            q = (least + TINY) / (_error_without_past(w, e, i, young) + TINY)
            q = q**POWER
            total += q
            mean += q * views[e, i]
    return mean / total if total > 0 else np.nan


@inlined_part
def _error_without_past(w, e, i, young):
    if w.known[e, i] == 0:
        return np.inf
    return w.error[0, BEYOND, e, i] * _doubt(w, e, i, young[e])


@inlined_part
def _weight(p, power):
    return p**POWER if power == POWER else p**power


@njit_part
def combine(w, i, age, q, views, mean, wider, young, power, say, said, expected, out):
    """What all experts together say of member i, `age` steps after its last value.

    views (F,): what those with residuals say of the step itself, NaN where they do not; young
    (E,): looks in which each is doubted. say, said, expected (E,): on return each one's weight,
    what it says, and the mean square error that it counts with. mean: place of the first expert
    that reads no other member; wider: how many times wider the others' errors are to be, with those
    seen instead of all. out: mean, square error, the mean without anything that the
    member's own past says, NaN where there is none; and how much wider than of that error an
    interval is to be.
    """
    F, E = len(views), len(say)
    k = _looked_at(w, age, i)
    c = 1 if q == 1 and w.scored[1, k, i] > 0 else 0
    least, base = np.inf, np.inf
    for e in range(E):
        if e < F:
            share = carried(wider, w.wider[i]) if e < mean else 1.0
            said[e] = views[e] + left(w, k, e, i) * w.residual[e, i] * share
        elif e == F:
            said[e] = w.last[i]
        else:
            said[e] = w.last[i] + (drift(w, k, i) * w.move[i] if w.move[i] == w.move[i] else 0.0)
        expected[e] = (
            _expected(w, k, e, i, q, wider if e < mean else 1.0, young[e])
            if said[e] == said[e]
            else np.inf
        )
        least = min(least, expected[e])
        if e < F:
            base = min(base, expected[e])
    if least == np.inf:
        out[0], out[1], out[2], out[3] = w.last[i], np.nan, np.nan, 1.0
        say[:] = 0.0
        return
    table = 1
    for e in range(mean):
        if expected[e] < np.inf:
            table = 0
    out[3] = w.width[table, k, i]
    total, centre, error, below, apart = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(E):
        there = expected[e] < np.inf
        p = (least + TINY) / (expected[e] + TINY)
        v = _weight(p, power) if there else 0.0
        if there:
            total += v
            centre += v * said[e]
            wide = wider * wider if c == 0 and e < mean else 1.0
            error += v * w.error[c, k, e, i] * wide
            if e < F:
                p = (base + TINY) / (expected[e] + TINY)
                p = _weight(p, power)
                below += p
                apart += p * views[e]
        say[e] = v
    for e in range(E):
        say[e] /= total
    out[0], out[1] = centre / total, error / total
    out[2] = apart / below if below > 0 else np.nan
