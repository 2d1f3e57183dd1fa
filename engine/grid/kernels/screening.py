"""Screening of closed steps: each value held against its own past and its neighbours' moves.

Robust statistics after Huber (1981): medians over neighbours, scales of which no single value can
be more than a bounded part. See ``docs/screening.md`` for the formulas.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.uncounted import njit_part

# What a value is found to be.
BELIEVED, OUTLIER, STUCK, DRIFT = range(4)

# Columns of a series' row of state.
(
    SEEN,  # values learnt from
    LAST,  # the newest of them
    AWAY,  # how far it was from where its neighbours put it
    VARIANCE,  # of what a step brings and neighbours do not tell
    SPREAD,  # mean square of the distances from where neighbours put it
    LONGEST,  # steps of its longest run of equal values, fading
    COMMON,  # how the neighbours stood when last known
    HEARD,  # the newest value, believed or not
    RUN,  # so many values before it were equal to it
    BEGAN,  # step of the first of these
    LOW,  # least and greatest COMMON since
    HIGH,
    FAR,  # step since which it is far from its neighbours, -1 if it is not
    KIND,  # what its newest value was found to be
    SINCE,  # step at which that began
    LEVEL,  # while not believed: the distance it may be believed at
    TRIED,  # step since which it keeps to that
    KEPT,  # values since
    FARTHEST,  # the greatest distance of the episode
    CENTRE,  # mean of COMMON
    MOVES,  # and its variance
    USUAL,  # mean number of equal values in a row
    LEAST,  # least and greatest value believed before the newest run of equal ones
    GREATEST,
) = range(24)
COLUMNS = 24

# Constants of a run.
(
    ALPHA,  # weight of a new value in VARIANCE
    BETA,  # the same in level and SPREAD, and by which LONGEST fades
    WARM,  # values learnt from before VARIANCE is believed
    SETTLED,  # before SPREAD is
    FRESH,  # steps for which a silent neighbour's value stands
    STUCK_FOR,  # steps after which a constant value may be stuck; 0: never
    DRIFT_FOR,  # steps after which a distant one drifts; 0: never
    TRUST,  # steps after which it is believed at another level
    OUTLIERS,  # whether single values are judged
    STRICT,  # whether outliers are rejected where what is stuck or drifts is only flagged
) = range(10)

KAPPA = 8.0
"""A value is an outlier so many scales from what was expected."""
DISTANT = 5.0
"""A series is far from its neighbours at so many times its usual distance."""
UNSHARED = 2.0
"""Where neighbours have little in common both bounds are so many times wider."""
QUIET = 3
"""Fewer neighbours than this say nothing."""
LONGER = 2.0
"""A run of equal values may be stuck once it is so many times as long as any before."""
SAME = 24
"""So many equal values in a row are a fault of a series that hardly ever repeats a value, ..."""
SELDOM = 1.25
"""... whose runs of equal values are no longer than this on the mean, ..."""
ALONE = 4.0
"""... and which never had one of a quarter of this length; unless neighbours stand still, too."""
CONFIRM = 3
"""So many values in a row confirm a jump to where neighbours allow it."""


NEIGHBOURS = 8
"""The sorting network below is for so many."""
_EXCHANGES = (
    (0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6), (0, 4), (3, 7),
    (1, 5), (2, 6), (1, 4), (3, 6), (2, 4), (3, 5), (3, 4),
)  # fmt: skip


@njit_part
def _order(a, i, j):
    x, y = a[i], a[j]
    a[i], a[j] = (x, y) if x < y else (y, x)


@njit(cache=True, nogil=True, error_model="numpy")
def median(a, n):
    """Median of the first n of `a` (8,), which is sorted in place by Batcher's network (1968)."""
    for i in range(n, NEIGHBOURS):
        a[i] = np.inf
    for i, j in _EXCHANGES:
        _order(a, i, j)
    return 0.5 * (a[(n - 1) // 2] + a[n // 2])


@njit_part
def scale(rows, s, neighbours, column, least, a):
    """Root of a column of variances: the series' own or its neighbours' median, whichever is
    greater, of those that have seen `least` values; NaN where there is none."""
    n = 0
    for j in neighbours[s]:
        if j >= 0 and rows[j, SEEN] >= least:
            a[n] = rows[j, column]
            n += 1
    found = median(a, n) if n else np.nan
    if rows[s, SEEN] >= least and not rows[s, column] < found:
        found = rows[s, column]
    return np.sqrt(found)


@njit_part
def _shared(rows, s, neighbours, how, a):
    """Whether what neighbours have in common outweighs what each has of its own."""
    n = 0
    for j in neighbours[s]:
        if j >= 0 and rows[j, SEEN] >= how[WARM]:
            a[n] = rows[j, SPREAD]
            n += 1
    return n >= QUIET and rows[s, MOVES] > 2 * median(a, n)


@njit_part
def _moves(x, step, fresh, columns, rows, level, at, now):
    """How far each series that is believed stands from its level at this step."""
    for s in columns:
        now[s] = np.nan
        if at[s] >= 0 and rows[s, KIND] == BELIEVED:
            if not np.isnan(x[s]):
                now[s] = x[s] - level[s]
            elif step - at[s] <= fresh:
                now[s] = rows[s, LAST] - level[s]


@njit_part
def _common(s, neighbours, now, a):
    """Median move of the neighbours that are there, NaN where they are too few."""
    n = 0
    for i in range(neighbours.shape[1]):
        j = neighbours[s, i]
        if j >= 0 and not np.isnan(now[j]):
            a[n] = now[j]
            n += 1
    return median(a, n) if n >= QUIET else np.nan


@njit_part
def _note_run(row, x, c, known, step, beta):
    """Note whether the value is the same as the one before, and how neighbours moved meanwhile."""
    same = abs(x - row[HEARD]) <= 1e-12 * abs(x)
    if same:
        row[RUN] += 1
        if known:
            row[LOW], row[HIGH] = min(row[LOW], c), max(row[HIGH], c)
    else:
        row[LONGEST] = max(row[LONGEST], step - row[BEGAN])
        row[USUAL] += max(beta, 1 / (row[SEEN] + 1)) * (row[RUN] + 1 - row[USUAL])
        if row[KIND] == BELIEVED:
            row[LEAST] = min(row[LEAST], row[HEARD])
            row[GREATEST] = max(row[GREATEST], row[HEARD])
        row[RUN], row[BEGAN] = 0, step
        row[LOW], row[HIGH] = c, c
    row[HEARD] = x
    row[LONGEST] *= 1 - beta / 4
    return same


@njit_part
def _is_stuck(rows, s, x, step, known, neighbours, how, a):
    row, lasted = rows[s], step - rows[s, BEGAN]
    if row[SEEN] < how[WARM] or lasted < LONGER * row[LONGEST]:
        return False
    ranged = row[HIGH] - row[LOW]
    moved = not known or ranged > np.sqrt(row[VARIANCE])
    restless = row[USUAL] <= SELDOM and lasted >= ALONE * row[LONGEST]
    if row[LEAST] < x < row[GREATEST] and row[RUN] >= SAME and restless and moved:
        return True
    # At an end of what it can say (no rain, all overcast) a series may well stay.
    if not known or x == row[LEAST] or x == row[GREATEST]:
        return False
    if not ranged > max(4 * np.sqrt(row[VARIANCE]), np.sqrt(row[SPREAD])):
        return False
    near = scale(rows, s, neighbours, VARIANCE, how[WARM], a)
    far = scale(rows, s, neighbours, SPREAD, how[WARM], a)
    return ranged > max(4 * near, far) and _shared(rows, s, neighbours, how, a)


@njit_part
def _is_far(rows, s, d, neighbours, how, a):
    wide = 1 if _shared(rows, s, neighbours, how, a) else UNSHARED
    return abs(d) > wide * DISTANT * scale(rows, s, neighbours, SPREAD, how[SETTLED], a)


@njit_part
def _surprise(own, related):
    """How far the value lies outside of all between its last one and where neighbours put it."""
    if own * related <= 0:
        return 0.0
    return own if abs(own) < abs(related) else related


@njit_part
def _tolerance(rows, s, age, neighbours, how, a):
    """What a surprise may be, infinite where it is not known."""
    near = scale(rows, s, neighbours, VARIANCE, how[WARM], a)
    far = scale(rows, s, neighbours, SPREAD, how[WARM], a)
    if not near > 0:
        return np.inf
    wide = 1 if _shared(rows, s, neighbours, how, a) else UNSHARED
    return wide * KAPPA * max(near, min(max(near, far), near * np.sqrt(age)), far / 3)


@njit_part
def _believe(row, x, d, e, how, level, s):
    """Learn from a believed value; bounded, so that none weighs more than a few others."""
    n = row[SEEN]
    square = e * e
    if n >= how[WARM]:
        square = min(square, KAPPA * KAPPA * max(row[VARIANCE], 1e-300))
    row[VARIANCE] += max(how[ALPHA], 1 / (n + 1)) * (square - row[VARIANCE])
    weight = max(how[BETA], 1 / (n + 1))
    moved, apart = d, d * d
    if n >= how[SETTLED]:
        bound = 2 * np.sqrt(row[SPREAD])
        moved, apart = min(max(d, -bound), bound), min(apart, bound * bound)
    row[SPREAD] += weight * (apart - row[SPREAD])
    level[s] += weight * moved
    from_centre = row[COMMON] - row[CENTRE]
    row[CENTRE] += weight * from_centre
    row[MOVES] += weight * ((1 - weight) * from_centre**2 - row[MOVES])
    row[LAST], row[AWAY], row[SEEN] = x, d - weight * moved, n + 1
    row[KIND] = BELIEVED


@njit_part
def _again(rows, s, d, step, neighbours, how, a):
    """Whether a series that is not believed has kept to a distance long enough to be believed
    again: shortly where it belongs, long anywhere else, and not without moving at all."""
    row = rows[s]
    near = scale(rows, s, neighbours, VARIANCE, how[WARM], a)
    far = scale(rows, s, neighbours, SPREAD, how[WARM], a)
    if np.isnan(row[LEVEL]) or abs(d - row[LEVEL]) > max(KAPPA * near, DISTANT / 2 * far):
        row[LEVEL], row[TRIED], row[KEPT] = d, step, 0
    row[KEPT] += 1
    if row[KEPT] < CONFIRM:
        return False
    if row[RUN] >= row[KEPT] - 1 and row[HIGH] - row[LOW] > max(4 * near, far):
        return False
    lasted = step - row[TRIED]
    settled = row[SEEN] >= how[SETTLED]
    if row[KIND] == DRIFT:
        return lasted >= (how[DRIFT_FOR] if abs(d) <= DISTANT / 2 * far else how[TRUST])
    return lasted >= how[TRUST] or not settled or abs(d) <= DISTANT * far


@njit_part
def _judge(s, x, step, rows, level, at, now, neighbours, how, a, about):
    """What the value is; learns from it if it is believed. about (2,): expected, tolerance."""
    row = rows[s]
    c = _common(s, neighbours, now, a)
    known = not np.isnan(c)
    c = c if known else row[COMMON]
    row[COMMON] = c
    if row[SEEN] == 0:
        level[s], at[s] = x - c, step
        row[LAST], row[HEARD], row[BEGAN], row[SEEN], row[FAR] = x, x, step, 1, -1
        row[LOW], row[HIGH] = c, c
        row[USUAL], row[LEAST], row[GREATEST] = 1.0, x, x
        return BELIEVED
    same = _note_run(row, x, c, known, step, how[BETA])
    d = x - level[s] - c
    own, related = x - row[LAST], d - row[AWAY]
    e = _surprise(own, related)
    # What is plainly usual is not looked at any further: that is nearly all.
    far = known and row[SEEN] >= how[SETTLED] and abs(d) > DISTANT * np.sqrt(row[SPREAD])
    far = far and _is_far(rows, s, d, neighbours, how, a)
    if known:
        row[FAR] = -1 if not far else step if row[FAR] < 0 else row[FAR]
    tolerance = np.inf
    if row[SEEN] < how[WARM] or abs(e) > KAPPA * np.sqrt(row[VARIANCE]):
        tolerance = _tolerance(rows, s, step - at[s], neighbours, how, a)
    about[0], about[1] = x - e, tolerance
    kind = BELIEVED
    stuck = row[KIND] == STUCK and same
    if not stuck and same and 0 < how[STUCK_FOR] <= step - row[BEGAN]:
        stuck = _is_stuck(rows, s, x, step, known, neighbours, how, a)
    outlier = how[OUTLIERS] > 0 and abs(e) > tolerance
    if outlier and how[STRICT] > 0:
        kind = OUTLIER
    elif stuck:
        kind = STUCK
    elif row[KIND] == DRIFT or (far and 0 < how[DRIFT_FOR] <= step - row[FAR]):
        kind = DRIFT
    elif outlier:
        kind = OUTLIER
    if kind != BELIEVED:
        return _reject(kind, s, d, e, step, rows, level, at, neighbours, how, a)
    _believe(row, x, d, e, how, level, s)
    at[s] = step
    return BELIEVED


@njit_part
def _reject(kind, s, d, e, step, rows, level, at, neighbours, how, a):
    """Note an episode in which a series is not believed, and whether this value ends it."""
    row = rows[s]
    if row[KIND] != kind:
        if row[KIND] == BELIEVED and kind == OUTLIER:
            square = min(e * e, KAPPA * KAPPA * row[VARIANCE])
            row[VARIANCE] += how[ALPHA] * (square - row[VARIANCE])
        row[SINCE] = step
        if kind == STUCK:
            row[SINCE] = row[BEGAN]
        elif kind == DRIFT:
            row[SINCE] = row[FAR]
        row[KIND], row[LEVEL], row[FARTHEST] = kind, np.nan, 0.0
    row[FARTHEST] = max(row[FARTHEST], abs(d))
    if kind == STUCK or not _again(rows, s, d, step, neighbours, how, a):
        return kind
    if row[SEEN] < how[WARM]:
        level[s] += d
        row[VARIANCE], row[SPREAD], row[SEEN], d = 0.0, 0.0, 1, 0.0
    elif abs(d) > DISTANT * scale(rows, s, neighbours, SPREAD, how[WARM], a):
        level[s] += row[LEVEL]
        d -= row[LEVEL]
    elif kind == DRIFT:
        row[SPREAD] = max(row[SPREAD], (row[FARTHEST] / DISTANT) ** 2)
    else:
        row[VARIANCE] += how[ALPHA] * (e * e - row[VARIANCE])
    row[LAST], row[AWAY], row[FAR], row[KIND] = row[HEARD], d, -1, BELIEVED
    at[s] = step
    return BELIEVED


@njit(cache=True, nogil=True, error_model="numpy")
def screen(values, first, columns, rows, level, at, neighbours, how, now):
    """Judge the T steps of a frame, in order.

    values (T, S); first: index of the first step; columns: series to judge; rows (S, COLUMNS),
    level, at (S,) the state; neighbours (S, K) columns, K <= 8, -1 where there are fewer; how:
    constants; now (S,) is overwritten.
    Returns (n, 9), one row a value that is not believed or an end of a longer episode: step within
    the frame, series, what it is (BELIEVED: an episode has ended), the step it began at, whether it
    begins here, the value, what was expected and by how much it could differ, and what the series'
    value before was found to be.
    """
    found, n = np.empty((16, 9)), 0
    a, about = np.empty(NEIGHBOURS), np.empty(2)
    for t in range(len(values)):
        step = first + t
        _moves(values[t], step, how[FRESH], columns, rows, level, at, now)
        for s in columns:
            x = values[t, s]
            if np.isnan(x):
                continue
            before, since = rows[s, KIND], rows[s, SINCE]
            kind = _judge(s, x, step, rows, level, at, now, neighbours, how, a, about)
            if kind == BELIEVED and before in (BELIEVED, OUTLIER):
                continue
            if n == len(found):
                more = np.empty((2 * n, 9))
                for i in range(n):
                    for k in range(9):
                        more[i, k] = found[i, k]
                found = more
            row = found[n]
            row[0], row[1], row[2], row[5], row[6], row[7] = t, s, kind, x, about[0], about[1]
            row[3] = since if kind == BELIEVED else rows[s, SINCE]
            row[4], row[8] = kind != before, before
            n += 1
    return found[:n]
