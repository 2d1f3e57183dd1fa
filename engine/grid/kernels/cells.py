"""The kernel that puts readings into the cells of steps and series."""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.uncounted import njit_part

MEAN, LAST, MIN, MAX, SUM, CIRCULAR = range(6)
"""What a step holds of a series with several readings in it. CIRCULAR: the direction of the mean of
unit vectors, in [0, period); nothing where they cancel out."""

DROP_SAME, FIRST_OF, LAST_OF, ALL = range(4)
"""Which readings of one series and time count: all that differ in value, one, or all."""

TAKEN, SAME, OTHER = range(3)
"""What becomes of a reading: it counts; it repeats a value; another of its time counts instead."""

NO_DIRECTION = 1e-9
"""Mean vectors shorter than this have no direction."""


@njit_part
def _sort(order, n, time, partition, offset):
    """Shell sort of the first n indices of `order` by (time, partition, offset), in place."""
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            x = order[i]
            j = i - gap
            while j >= 0:
                y = order[j]
                if time[y] != time[x]:
                    in_order = time[y] < time[x]
                elif partition[y] != partition[x]:
                    in_order = partition[y] < partition[x]
                else:
                    in_order = offset[y] <= offset[x]
                if in_order:
                    break
                order[j + gap] = y
                j -= gap
            order[j + gap] = x
        gap //= 3


@njit_part
def _aggregate(order, n, value, rejected, wanted, how, period):
    """Aggregate the values that are there among the first n of `order`, good or rejected ones."""
    total, across, seen = np.nan, 0.0, 0
    for k in range(n):
        x = value[order[k]]
        if rejected[order[k]] != wanted or np.isnan(x):
            continue
        if how == CIRCULAR:
            angle = x * (2 * np.pi / period)
            total = np.cos(angle) if seen == 0 else total + np.cos(angle)
            across += np.sin(angle)
        elif seen == 0 or how == LAST:
            total = x
        elif how == MIN:
            total = min(total, x)
        elif how == MAX:
            total = max(total, x)
        else:
            total += x
        seen += 1
    if how == CIRCULAR and seen:
        return _direction(total / seen, across / seen, period)
    return total / seen if how == MEAN and seen > 1 else total


@njit_part
def _direction(along, across, period):
    if np.hypot(along, across) < NO_DIRECTION:
        return np.nan
    angle = np.arctan2(across, along) * (period / (2 * np.pi))
    return angle + period if angle < 0 else angle


@njit_part
def _counting(order, n, time, value, policy, fate, scratch):
    """Keep of n sorted indices those that count, by `policy`; returns how many are left."""
    a = 0
    while a < n:
        b = a + 1
        while b < n and time[order[b]] == time[order[a]]:
            b += 1
        if b - a > 1 and policy == DROP_SAME:
            _drop_same(order[a:b], b - a, value, fate, scratch)
        elif b - a > 1 and policy != ALL:
            chosen = order[b - 1] if policy == LAST_OF else order[a]
            for k in range(a, b):
                i = order[k]
                if i != chosen:
                    fate[i] = SAME if _same(value[chosen], value[i]) else OTHER
        a = b
    left = 0
    for k in range(n):
        if fate[order[k]] == TAKEN:
            order[left] = order[k]
            left += 1
    return left


@njit_part
def _drop_same(order, n, value, fate, scratch):
    """Of n indices in order, mark all but the first of each value."""
    for k in range(n):
        scratch[k] = k
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, n):
            x = scratch[k]
            j = k - gap
            while j >= 0 and not _before(value[order[scratch[j]]], scratch[j], value[order[x]], x):
                scratch[j + gap] = scratch[j]
                j -= gap
            scratch[j + gap] = x
        gap //= 3
    for k in range(1, n):
        i = order[scratch[k]]
        if _same(value[order[scratch[k - 1]]], value[i]):
            fate[i] = SAME


@njit_part
def _before(x, i, y, j):
    """Whether (x, i) comes before (y, j): by value, what is missing last."""
    if _same(x, y):
        return i < j
    return x < y or np.isnan(y)


@njit_part
def _same(x, y):
    return x == y or (np.isnan(x) and np.isnan(y))


@njit(cache=True, nogil=True)
def fill(
    step, series, time, value, partition, offset, rejected, first, how, period, policy, values,
    rejected_values, fate,
):  # fmt: skip
    """Put readings into cells and aggregate each; returns (used, duplicates, rejected).

    Readings of steps after the T that begin with `first` are left out. step, series, time (µs),
    value, partition, offset, rejected (n,) in any order. how, period (S,): how a series is
    aggregated. policy: what becomes of several readings of one series and time, in the order of
    (partition, offset), so that arrival order within the bound of lateness changes nothing.

    values (T, S) and rejected_values (T, S) receive, NaN where nothing is, the aggregate of the
    good readings and of the rejected ones (rejected_values may be empty where none is); fate (n,)
    what became of each reading, `TAKEN` of those left out.
    """
    T, S = values.shape
    newest = np.full(T * S, -1, np.int64)  # of each cell; `before` leads from there to the rest
    before = np.empty(len(step), np.int64)
    for i in range(len(step)):
        fate[i] = TAKEN
        if step[i] < first + T:
            c = (step[i] - first) * S + series[i]
            before[i] = newest[c]
            newest[c] = i
    order, scratch = np.empty(len(step), np.int64), np.empty(len(step), np.int64)
    used, duplicates, rejections = 0, 0, 0
    for c in range(T * S):
        t, s = c // S, c % S
        n, i = 0, newest[c]
        while i >= 0:
            order[n] = i
            n, i = n + 1, before[i]
        if n > 1:
            _sort(order, n, time, partition, offset)
            left = _counting(order, n, time, value, policy, fate, scratch)
            duplicates += n - left
            n = left
        bad = 0
        for k in range(n):
            bad += rejected[order[k]]
        used += n - bad
        rejections += bad
        values[t, s] = _aggregate(order, n, value, rejected, False, how[s], period[s])
        if rejected_values.size:
            rejected_values[t, s] = (
                _aggregate(order, n, value, rejected, True, how[s], period[s]) if bad else np.nan
            )
    for i in range(len(step)):
        if fate[i] != TAKEN and rejected[i]:  # for this it is a dead letter already
            duplicates -= 1
            rejections += 1
    return used, duplicates, rejections
