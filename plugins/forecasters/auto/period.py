"""A period found in the data: tides, shifts, duty cycles, whatever is neither a day nor a week.

What a block's first members are off from their seasons is kept for a while; its autocorrelation,
summed over them, so that their phases do not matter, is searched for the first of its high peaks
(Box, Jenkins & Reinsel, *Time Series Analysis*, §2.1). Peaks at multiples of that lag tell the
period more exactly than one step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

MEMBERS = 4
"""Members of a block that are listened to."""
LENGTH = 1024
"""Steps that are kept."""
FIRST = 64
"""Looked for after so many steps, then after every twice as many, LENGTH at most."""
PERIOD, BEGIN, KNOTS = range(3)
MOST = 96
"""Knots of the profile of a period found, at most."""
CYCLES = 2.5
"""A period has been seen so often, at least."""
SHORTEST = 4
FAR = 5.0
"""What is farther off, in standard deviations, counts as so far."""
PEAK, RISE, SURE = 0.25, 0.3, 5.0
"""Least autocorrelation at a period, in itself and in standard deviations of that of noise; and
least rise to it from the lowest before."""
NEARLY = 0.85
"""Of peaks that are so high, compared with the highest, the first is the period."""
TELLING = 2.0
"""Values say nothing of a period where they are fewer than steps by the square of this."""
SAME = 0.03
"""Periods so near to each other, relatively, are one."""


class Found(NamedTuple):
    """The state of U blocks."""

    past: Any  # (U, LENGTH, MEMBERS) float32: how far off in standard deviations, NaN: unknown
    cycle: Any  # (U, 3): the period in steps, 0: none; a step that it begins at; knots


@inlined_part
def due(steps):
    """Whether to look, so many steps after the first value."""
    if steps >= LENGTH:
        return steps % LENGTH == 0
    n = FIRST
    while n < steps:
        n *= 2
    return n == steps


@njit_part
def listen(fo, step, off, scale, m):
    """Keep how far `off` (M,) the first of m members are from what seasons say, NaN where
    unknown."""
    row = fo.past[step % LENGTH]
    for g in range(len(row)):
        row[g] = min(max(off[g] / scale[g], -FAR), FAR) if g < m and off[g] == off[g] else np.nan


@njit_part
def find(fo, step, steps, known, acf, line):
    """Look for a period in the last steps; whether what was learnt of the one before is no more
    of use. known: those that have a profile; acf (LENGTH // 2,), line (3, LENGTH): scratch."""
    n = min(steps, LENGTH)
    lags = min(np.int64(n / CYCLES), len(acf) - 1)
    noise = _autocorrelation(fo.past, step, n, lags, acf, line)
    if noise > TELLING / np.sqrt(n):
        return False
    lag = _first_peak(acf, lags, max(PEAK, SURE * noise))
    period = _refined(acf, lag, lags) if lag > 0 else 0.0
    for p in known:
        if abs(period - p) <= SAME * p:
            period = 0.0
    old, fo.cycle[PERIOD] = fo.cycle[PERIOD], period
    if old > 0 and abs(period - old) <= SAME * old:
        turn = (step - fo.cycle[BEGIN]) % old / old
        fo.cycle[BEGIN] = step - turn * period
        return False
    fo.cycle[BEGIN], fo.cycle[KNOTS] = step, min(round(period), MOST)
    return old > 0 or period > 0


@njit_part
def _autocorrelation(past, step, n, lags, acf, line):
    """acf[l] for l up to `lags`, of the last n steps up to `step`, all members together; returns
    the standard deviation of that of noise."""
    power, number = 0.0, 0.0
    acf[:] = 0.0
    pairs = line[2]
    pairs[:] = 0.0
    for g in range(past.shape[1]):
        _lay_out(past, step, n, g, line)
        x, there = line[0], line[1]
        for t in range(n):
            power += x[t] * x[t]
            number += there[t]
        for lag in range(lags + 1):
            total, count = 0.0, 0.0
            for t in range(n - lag):
                total += x[t] * x[t + lag]
                count += there[t] * there[t + lag]
            acf[lag] += total
            pairs[lag] += count
    for lag in range(lags + 1):
        known = pairs[lag] > 0 and power > 0
        acf[lag] = acf[lag] / pairs[lag] * number / power if known else 0.0
    return 1 / np.sqrt(max(number, 1.0))


@njit_part
def _lay_out(past, step, n, g, line):
    """The last n steps of a member, its mean taken off, 0 where unknown; and where it is known."""
    total, count = 0.0, 0.0
    for t in range(n):
        v = past[(step - t) % LENGTH, g]
        line[1, t] = v == v
        line[0, t] = v if v == v else 0.0
        total += line[0, t]
        count += line[1, t]
    if count > 0:
        for t in range(n):
            line[0, t] -= line[1, t] * (total / count)


@inlined_part
def _peak(acf, lag):
    return acf[lag] >= acf[lag - 1] and acf[lag] > acf[lag + 1]


@njit_part
def _first_peak(acf, lags, least):
    """The first lag whose peak is nearly as high as the highest; 0 where none is high."""
    best, lowest = 0.0, 1.0
    for lag in range(1, lags):
        lowest = min(lowest, acf[lag])
        if lag >= SHORTEST and _peak(acf, lag) and acf[lag] > max(least, lowest + RISE):
            best = max(best, acf[lag])
    lowest = 1.0
    for lag in range(1, lags):
        lowest = min(lowest, acf[lag])
        high = acf[lag] > max(least, lowest + RISE) and acf[lag] >= NEARLY * best
        if lag >= SHORTEST and best > 0 and high and _peak(acf, lag):
            return lag
    return 0


@njit_part
def _refined(acf, lag, lags):
    """The period in parts of a step, from the peaks near the multiples of a lag."""
    period, k = _top(acf, lag), 2
    while k * period + 1 < lags:
        middle, reach = np.int64(round(k * period)), max(1, np.int64(period / 8))
        at = middle
        for other in range(max(middle - reach, 1), min(middle + reach, lags - 1) + 1):
            if acf[other] > acf[at]:
                at = other
        if at < lags and _peak(acf, at):
            period = _top(acf, at) / k
        k += 1
    return period


@inlined_part
def _top(acf, lag):
    """Where the parabola through a peak and its neighbours is highest."""
    low, mid, high = acf[lag - 1], acf[lag], acf[lag + 1]
    bend = low - 2 * mid + high
    return lag + (0.5 * (low - high) / bend if bend < 0 else 0.0)
