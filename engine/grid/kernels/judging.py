"""What becomes of each reading, by the order in which it arrived in its partition."""

from __future__ import annotations

import numpy as np
from numba import njit

from gapcast.engine.kernels.uncounted import njit_part

# Verdicts on a reading.
USED, LATE, REJECTED, UNKNOWN, EARLY, FUTURE, ABSURD, AHEAD, HELD = range(9)

LARGEST = 1e100
"""No measurement is greater: beyond it squares would soon overflow, in any model."""

CONFIRM = 10
"""So many records must agree before a jump ahead is believed, and as many, if they are more,
disagree before it is not."""

ALONE = 100
"""So many must agree where all of them are of one sensor, in a partition of several."""

PATIENCE = 4
"""A jump is no jump as long as it is not above so many of the partition's usual advances."""

UNSET = np.iinfo(np.int64).min

(
    MARK, USUAL, SENSOR, SEVERAL, AGREE, DISAGREE, HELD_SENSOR, HELD_SEVERAL, AGREED, DISAGREED,
    ADVANCE,
) = range(11)  # fmt: skip
"""What is known of a partition: its watermark (µs); its usual advance (µs), the greatest of late
that came twice in a row; the first sensor seen, and whether there are others; of the readings that
are held: how many records agree with them and how many do not, the sensor of the first, whether
there are others, and the last record of either kind; and the last advance (µs)."""

NOTHING = np.array([UNSET, 0, -1, 0, 0, 0, -1, 0, -1, -1, 0], np.int64)
"""What is known of a partition at its beginning."""


@njit(cache=True, nogil=True)
def judge(
    time, value, series, offset, sensor, lowest, highest, interval, shift, lateness, earliest, now,
    future, closed, held, ended, mark, counts, step, verdict,
):  # fmt: skip
    """Judge readings in arrival order and move their partition's watermark.

    time (n,) µs; value (n,) NaN where reported missing; series (n,) index or -1; offset (n,) of
    the reading's record; sensor (S,) number of a series' sensor; lowest, highest (S,) limits of
    a series; shift: where step 0 begins; closed: steps before this one are closed for every
    partition; held: the first so many are those that the last call left as `HELD`; ended: none
    will follow; mark (11,) see `MARK`; counts (9,) readings by verdict, added to; step, verdict
    (n,) receive each reading's step and what became of it.

    A reading is late when the end of its step plus `lateness` is not after the watermark as it
    stood before the reading. The first readings, and those that jump ahead of the watermark by more
    than `future` (and more than `PATIENCE` times what is usual), are held until others agree.
    """
    n = len(time)
    lateness += shift  # what a watermark is compared with, beside the steps
    first = 0  # no reading before it is held
    for i in range(n):
        step[i] = (time[i] - shift) // interval
        if i < held:
            verdict[i] = HELD
            continue
        verdict[i] = _alone(time[i], value[i], series[i], earliest, now)
        if verdict[i] == USED:
            who = sensor[series[i]]
            _see(mark, who)
            if mark[MARK] == UNSET or time[i] - mark[MARK] > _limit(mark, future):
                verdict[i] = HELD
                if mark[AGREE] == 0:
                    first = i
                _agree(mark, who, offset[i])
                if _believed(mark):
                    first += _settle(
                        time[first : i + 1], step[first:], offset[first:], series[first:], sensor,
                        interval, lateness, closed, future, CONFIRM // 2, mark, verdict[first:],
                    )  # fmt: skip
            else:
                verdict[i] = _in_time(time[i], step[i], interval, lateness, closed, mark)
                if mark[AGREE] > 0 and offset[i] != mark[DISAGREED]:
                    mark[DISAGREE] += 1
                    mark[DISAGREED] = offset[i]
                    if mark[DISAGREE] >= max(CONFIRM, mark[AGREE] + 1):
                        _drop(mark, verdict[first : i + 1])
    if ended and mark[AGREE] > 0:
        if _believed_at_end(mark):
            first += _settle(
                time[first:], step[first:], offset[first:], series[first:], sensor, interval,
                lateness, closed, future, 2, mark, verdict[first:],
            )  # fmt: skip
        _drop(mark, verdict[first:])
    for i in range(n):
        s = series[i]
        if verdict[i] == USED and (value[i] < lowest[s] or value[i] > highest[s]):
            verdict[i] = REJECTED
        counts[verdict[i]] += 1


@njit_part
def _alone(time, value, series, earliest, now):
    """What a reading is by itself."""
    if series < 0:
        return UNKNOWN
    if time < earliest:
        return EARLY
    if abs(value) > LARGEST:
        return ABSURD
    return FUTURE if time > now else USED


@njit_part
def _see(mark, who):
    """Note whose reading it is."""
    if mark[SENSOR] < 0:
        mark[SENSOR] = who
    elif who != mark[SENSOR]:
        mark[SEVERAL] = 1


@njit_part
def _limit(mark, future):
    return max(future, PATIENCE * mark[USUAL])


@njit_part
def _agree(mark, who, record):
    """Count a record that is held; the values of one record agree as one."""
    if record != mark[AGREED]:
        mark[AGREE] += 1
        mark[AGREED] = record
    if mark[HELD_SENSOR] < 0:
        mark[HELD_SENSOR] = who
    elif who != mark[HELD_SENSOR]:
        mark[HELD_SEVERAL] = 1


@njit_part
def _believed(mark):
    together = mark[HELD_SEVERAL] == mark[SEVERAL]
    return mark[AGREE] >= (CONFIRM if together else ALONE)


@njit_part
def _believed_at_end(mark):
    if mark[MARK] == UNSET or mark[AGREE] >= CONFIRM:
        return True
    return mark[AGREE] >= 2 and mark[HELD_SEVERAL] == mark[SEVERAL]


@njit_part
def _in_time(time, step, interval, lateness, closed, mark):
    """Whether a reading is used or late; moves the watermark."""
    unset = mark[MARK] == UNSET
    if step < closed or (not unset and mark[MARK] - lateness >= (step + 1) * interval):
        return LATE
    if unset:
        mark[MARK] = time
    elif time > mark[MARK]:
        advance = time - mark[MARK]
        # One outage is nothing usual: what is, comes twice.
        mark[USUAL] = max(min(advance, mark[ADVANCE]), mark[USUAL] - mark[USUAL] // 16)
        mark[MARK], mark[ADVANCE] = time, advance
    return USED


@njit_part
def _settle(
    time, step, offset, series, sensor, interval, lateness, closed, future, least, mark, verdict
):
    """Believe the readings that are held; not those that most of the later ones contradict.

    One that is ahead of those believed before it needs `least` readings, itself among them, that
    agree with it: else it is held on. Returns the first that is, or the number of readings.
    """
    _release(mark)
    first = time.size
    for i in range(time.size):
        if verdict[i] != HELD:
            continue
        limit = _limit(mark, future)
        before, after = 0, 1
        for j in range(i + 1, time.size):
            if verdict[j] == HELD:
                if time[i] - time[j] > limit:
                    before += 1
                else:
                    after += 1
        if before > after:
            verdict[i] = AHEAD
        elif mark[MARK] == UNSET or time[i] - mark[MARK] <= limit or after >= least:
            verdict[i] = _in_time(time[i], step[i], interval, lateness, closed, mark)
        else:
            _agree(mark, sensor[series[i]], offset[i])
            first = min(first, i)
    return first


@njit_part
def _drop(mark, verdict):
    """Do not believe the readings that are held."""
    for i in range(verdict.size):
        if verdict[i] == HELD:
            verdict[i] = AHEAD
    _release(mark)


@njit_part
def _release(mark):
    mark[AGREE], mark[DISAGREE], mark[HELD_SEVERAL] = 0, 0, 0
    mark[HELD_SENSOR], mark[AGREED], mark[DISAGREED] = -1, -1, -1
