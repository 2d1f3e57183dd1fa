"""The kernel that puts readings into the cells of steps and series."""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.uncounted import njit_part

MEAN, LAST, MIN, MAX, SUM = range(5)


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
def _aggregate(order, n, value, rejected, wanted, how):
    """Aggregate the values that are there among the first n of `order`, good or rejected ones."""
    total, seen = np.nan, 0
    for k in range(n):
        x = value[order[k]]
        if rejected[order[k]] != wanted or np.isnan(x):
            continue
        if seen == 0 or how == LAST:
            total = x
        elif how == MIN:
            total = min(total, x)
        elif how == MAX:
            total = max(total, x)
        else:
            total += x
        seen += 1
    return total / seen if how == MEAN and seen > 1 else total


@njit_part
def _distinct(order, n, time):
    """Keep the first of each time among the first n sorted indices; returns how many are left."""
    kept = 0
    for k in range(n):
        if kept == 0 or time[order[k]] != time[order[kept - 1]]:
            order[kept] = order[k]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def fill(
    step, series, time, value, partition, offset, rejected, first, how, values, rejected_values
):
    """Put readings into cells and aggregate each; returns (used, duplicates, rejected).

    Readings of steps after the T that begin with `first` are left out. step, series, time (µs),
    value, partition, offset, rejected (n,) in any order; values (T, S) and rejected_values (T, S)
    receive, NaN where nothing is, the aggregate of the good readings and of the rejected ones
    (rejected_values may be empty where none is). Of
    readings of one series and time the first by (partition, offset) counts, so arrival order
    within the bound of lateness changes nothing.
    """
    T, S = values.shape
    newest = np.full(T * S, -1, np.int64)  # of each cell; `before` leads from there to the rest
    before = np.empty(len(step), np.int64)
    for i in range(len(step)):
        if step[i] < first + T:
            c = (step[i] - first) * S + series[i]
            before[i] = newest[c]
            newest[c] = i
    order = np.empty(len(step), np.int64)
    used, duplicates, rejections = 0, 0, 0
    for c in range(T * S):
        t, s = c // S, c % S
        n, i = 0, newest[c]
        while i >= 0:
            order[n] = i
            n, i = n + 1, before[i]
        if n > 1:
            _sort(order, n, time, partition, offset)
            kept = _distinct(order, n, time)
            duplicates += n - kept
            n = kept
        bad = 0
        for k in range(n):
            bad += rejected[order[k]]
        used += n - bad
        rejections += bad
        values[t, s] = _aggregate(order, n, value, rejected, False, how)
        if rejected_values.size:
            rejected_values[t, s] = (
                _aggregate(order, n, value, rejected, True, how) if bad else np.nan
            )
    return used, duplicates, rejections
