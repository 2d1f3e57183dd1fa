"""Lines of the Intel lab log's format, written by a compiled loop."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

DAY = 86_400_000_000
LONGEST = 128
"""Bytes that one line has room for."""
FIELDS = 8
DECIMALS = np.array([4, 4, 2, 5], np.int64)
"""Of temperature, humidity, light and voltage; zeros at the end are not written."""

_SPACE, _NEWLINE, _DASH, _COLON, _POINT, _ZERO = 32, 10, 45, 58, 46, 48


def lines(
    time: NDArray[np.int64],
    epoch: NDArray[np.int64],
    mote: NDArray[np.int64],
    values: NDArray[np.float64],
    kept: NDArray[np.int64],
) -> bytes:
    """A line for each time (µs since 1970, from 1970 on): ``date time epoch moteid`` and `values`.

    values: (n, 4), each below 10^9. kept: how many of the line's eight fields are written.
    """
    out = np.empty(len(time) * LONGEST, np.uint8)
    return out[: _lines(out, time, epoch, mote, values, kept, DECIMALS)].tobytes()


@njit(cache=True, nogil=True, error_model="numpy")
def _lines(out, time, epoch, mote, values, kept, decimals):
    at = 0
    for i in range(time.size):
        at = _date(out, at, time[i] // DAY)
        out[at] = _SPACE
        at = _clock(out, at + 1, time[i] % DAY)
        if kept[i] > 2:
            out[at] = _SPACE
            at = _whole(out, at + 1, epoch[i], 1)
        if kept[i] > 3:
            out[at] = _SPACE
            at = _whole(out, at + 1, mote[i], 1)
        for j in range(min(values.shape[1], kept[i] - 4)):
            out[at] = _SPACE
            at = _decimal(out, at + 1, values[i, j], decimals[j])
        out[at] = _NEWLINE
        at += 1
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def _date(out, at, day):
    """The date `day` days after 1970, by Hinnant's ``civil_from_days``; where it ends."""
    shifted = day + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    at = _whole(out, at, year + era * 400 + (month >= 10), 4)
    out[at] = _DASH
    at = _whole(out, at + 1, month + 3 if month < 10 else month - 9, 2)
    out[at] = _DASH
    return _whole(out, at + 1, of_year - (153 * month + 2) // 5 + 1, 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _clock(out, at, micros):
    """``hh:mm:ss`` and a fraction, without zeros at its end, as the original has it."""
    seconds = micros // 1_000_000
    at = _whole(out, at, seconds // 3600, 2)
    out[at] = _COLON
    at = _whole(out, at + 1, seconds // 60 % 60, 2)
    out[at] = _COLON
    at = _whole(out, at + 1, seconds % 60, 2)
    return _fraction(out, at, micros % 1_000_000, 6)


@njit(cache=True, nogil=True, error_model="numpy")
def _decimal(out, at, value, decimals):
    scaled = np.int64(np.rint(abs(value) * 10.0**decimals))
    if value < 0 and scaled > 0:
        out[at] = _DASH
        at += 1
    unit = 10**decimals
    at = _whole(out, at, scaled // unit, 1)
    return _fraction(out, at, scaled % unit, decimals)


@njit(cache=True, nogil=True, error_model="numpy")
def _fraction(out, at, value, digits):
    if value == 0:
        return at
    out[at] = _POINT
    while value % 10 == 0:
        value //= 10
        digits -= 1
    return _whole(out, at + 1, value, digits)


@njit(cache=True, nogil=True, error_model="numpy")
def _whole(out, at, value, width):
    """`value` in at least `width` digits; where it ends."""
    digits = 1
    bound = 10
    while value >= bound:
        digits += 1
        bound *= 10
    end = at + max(digits, width)
    for k in range(end - 1, at - 1, -1):
        out[k] = _ZERO + value % 10
        value //= 10
    return end
