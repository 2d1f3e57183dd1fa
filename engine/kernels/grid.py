"""Kernels of the grid: one pass to judge readings, one to put them into cells."""

from __future__ import annotations

import numpy as np
from numba import njit

# Verdicts on a reading, in the order in which they are looked for.
USED, LATE, REJECTED, UNKNOWN, EARLY, FUTURE, INFINITE = range(7)

CONFIRM = 10
"""So many readings in a row must agree before a jump past the `future` limit is believed."""

MEAN, LAST, MIN, MAX, SUM = range(5)


@njit(cache=True, nogil=True)
def judge(
    time, value, series, lowest, highest, interval, lateness, earliest, now, future, closed, mark,
    counts, step, verdict,
):  # fmt: skip
    """Judge readings in arrival order and move their partition's watermark.

    time (n,) µs; value (n,) NaN where reported missing; series (n,) index or -1; lowest, highest
    (S,) limits of a series; closed: steps before this one are closed for every partition; mark
    (2,) the partition's watermark in µs and how many readings in a row have jumped past it;
    counts (7,) readings by verdict, added to; step, verdict (n,) receive each reading's step and
    what became of it. A reading is late when the end of its step plus `lateness` is not after the
    watermark as it stood before the reading.
    """
    unset = np.iinfo(np.int64).min
    for i in range(len(time)):
        t, s = time[i], series[i]
        step[i] = t // interval
        watermark = mark[0]
        if s < 0:
            what = UNKNOWN
        elif t < earliest:
            what = EARLY
        elif np.isinf(value[i]):
            what = INFINITE
        elif t > now or (watermark != unset and t > watermark + future):
            mark[1] += t <= now
            what = USED if t <= now and mark[1] >= CONFIRM else FUTURE
        elif (step[i] + 1) * interval + lateness <= watermark or step[i] < closed:
            what = LATE
        else:
            what = USED
        if what == USED:
            mark[0], mark[1] = max(watermark, t), 0
            if value[i] < lowest[s] or value[i] > highest[s]:
                what = REJECTED
        verdict[i] = what
        counts[what] += 1


@njit(cache=True, nogil=True)
def _sort_cell(order, begin, end, time, partition, offset):
    """Shell sort of one cell's readings by (time, partition, offset), in place."""
    n = end - begin
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(begin + gap, end):
            x = order[i]
            j = i - gap
            while j >= begin:
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


@njit(cache=True, nogil=True)
def _aggregate(order, begin, end, value, skip, how):
    """Aggregate the values of one sorted cell that are there and not to be skipped."""
    total, n = np.nan, 0
    for i in range(begin, end):
        x = value[order[i]]
        if skip[i] or np.isnan(x):
            continue
        if n == 0 or how == LAST:
            total = x
        elif how == MIN:
            total = min(total, x)
        elif how == MAX:
            total = max(total, x)
        else:
            total += x
        n += 1
    return total / n if how == MEAN and n > 1 else total


@njit(cache=True, nogil=True)
def fill(step, series, time, value, partition, offset, rejected, first, how, values, refused):
    """Put readings into cells and aggregate each; returns (used, duplicates, rejected).

    Readings of steps after the T that begin with `first` are left out. step, series, time (µs),
    value, partition, offset, rejected (n,) in any order; values (T, S) and refused (T, S)
    receive, NaN where nothing is, the aggregate of the good readings and of the rejected ones. Of
    readings of one series and time the first by (partition, offset) counts, so arrival order
    within the bound of lateness changes nothing.
    """
    T, S = values.shape
    start = np.zeros(T * S + 1, np.int64)
    for i in range(len(step)):
        if step[i] < first + T:
            start[(step[i] - first) * S + series[i] + 1] += 1
    for c in range(T * S):
        start[c + 1] += start[c]
    order = np.empty(start[T * S], np.int64)
    place = start.copy()
    for i in range(len(step)):
        if step[i] < first + T:
            c = (step[i] - first) * S + series[i]
            order[place[c]] = i
            place[c] += 1
    bad = np.empty(len(order), np.bool_)
    good = np.empty(len(order), np.bool_)
    used, duplicates, refusals = 0, 0, 0
    for c in range(T * S):
        begin, end = start[c], start[c + 1]
        if end - begin > 1:
            _sort_cell(order, begin, end, time, partition, offset)
        for i in range(begin, end):
            again = i > begin and time[order[i]] == time[order[i - 1]]
            bad[i] = rejected[order[i]] or again
            good[i] = not rejected[order[i]] or again
            duplicates += again
            used += not bad[i]
            refusals += not good[i]
        values[c // S, c % S] = _aggregate(order, begin, end, value, bad, how)
        refused[c // S, c % S] = _aggregate(order, begin, end, value, good, how)
    return used, duplicates, refusals
