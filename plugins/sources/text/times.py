"""Times in text to int64 microseconds since 1970: ISO 8601, numbers, or a pattern."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.plugins.sources.text.split import SPACE, Bytes

Ints = NDArray[np.int64]
Times = tuple[Ints, NDArray[np.int8]]
"""(n,) microseconds since 1970, those that are local as if they were UTC; and what each is: `NONE`,
`LOCAL` or `PLACED`."""
Parse = Callable[[Bytes, NDArray[np.int32], NDArray[np.int32]], Times]
"""(text, starts, ends) of fields to times."""

DAY = 86_400_000_000
DAY_LIMIT = 1_000_000
"""More days than lie between 1970 and either end of the calendar."""
NONE, LOCAL, PLACED = range(3)
"""What a field is: no time, a local time, one with its offset from UTC."""

_Z, _LOWER_Z, _T, _COLON, _DASH, _PLUS, _POINT, _COMMA = 90, 122, 84, 58, 45, 43, 46, 44
_U, _C = 85, 67
_SECOND = 1_000_000


def iso() -> Parse:
    """``YYYY-MM-DD``, then perhaps ``T`` or a space and ``hh:mm[:ss[.fraction]]``, then perhaps
    ``Z``, ``UTC`` or ``±hh[:]mm``, perhaps after a space.

    Digits beyond microseconds are dropped. There is no second 60 and no hour 24.
    """

    def parse(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Times:
        times = np.empty(len(starts), np.int64)
        kinds = np.empty(len(starts), np.int8)
        _iso(text, starts, ends, times, kinds)
        return times, kinds

    return parse


@njit(cache=True, nogil=True, error_model="numpy")
def _iso(text, starts, ends, times, kinds):
    for i in range(starts.size):
        times[i], kinds[i] = iso_time(text, starts[i], ends[i])


@njit_part
def iso_time(text, a, b):
    """The time in ``text[a:b]`` and its kind."""
    day = date(text, a, b)
    if day < -DAY_LIMIT:
        return 0, NONE
    a += 10
    if a == b:
        return day * DAY, LOCAL
    if text[a] != SPACE and text[a] != _T:
        return 0, NONE
    hour, minute = pair(text, a + 1, b), pair(text, a + 4, b)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or text[a + 3] != _COLON:
        return 0, NONE
    a += 6
    second = 0
    fraction = 0
    if a < b and text[a] == _COLON:
        second = pair(text, a + 1, b)
        if second < 0 or second > 59:
            return 0, NONE
        a += 3
        if a < b and (text[a] == _POINT or text[a] == _COMMA):
            fraction, a = micros(text, a + 1, b)
    shift, kind = _zone(text, a, b)
    minutes = hour * 60 + minute - shift
    return day * DAY + (minutes * 60 + second) * _SECOND + fraction, kind


@njit_part
def date(text, a, b):
    """Days from 1970 to ``YYYY-MM-DD`` at ``text[a:]``; far below ``-DAY_LIMIT`` if none."""
    if b - a < 10 or text[a + 4] != _DASH or text[a + 7] != _DASH:
        return -2 * DAY_LIMIT
    century, years = pair(text, a, b), pair(text, a + 2, b)
    if century < 0 or years < 0:
        return -2 * DAY_LIMIT
    return days(century * 100 + years, pair(text, a + 5, b), pair(text, a + 8, b))


@njit_part
def days(year, month, day):
    """Days from 1970 to a date, proleptic Gregorian; far below ``-DAY_LIMIT`` if there is none."""
    if year < 1 or month < 1 or month > 12 or day < 1:
        return -2 * DAY_LIMIT
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 30 + ((month + (month >> 3)) & 1) if month != 2 else 28 + leap
    if day > longest:
        return -2 * DAY_LIMIT
    late = month > 2
    y = year if late else year - 1
    shifted = month - 3 if late else month + 9
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * shifted + 2) // 5 + day - 719_469


@njit_part
def pair(text, a, b):
    """The number that two digits make; -1 if they are not two digits before `b`."""
    if a + 2 > b:
        return -1
    tens, ones = text[a] - np.uint8(48), text[a + 1] - np.uint8(48)
    if tens > 9 or ones > 9:
        return -1
    return np.int64(tens) * 10 + np.int64(ones)


@njit_part
def micros(text, a, b):
    """A decimal fraction of a second from `a` on, in µs, and where it ends; -1 if it is empty."""
    value = 0
    weight = 100_000
    first = a
    while a < b and 48 <= text[a] <= 57:
        value += weight * np.int64(text[a] - 48)
        weight //= 10
        a += 1
    if a == first:
        return 0, b + 1
    return value, a


@njit_part
def _zone(text, a, b):
    """Minutes east of UTC written in all of ``text[a:b]``, and the kind of time that makes."""
    if a == b:
        return 0, LOCAL
    a += b - a > 1 and text[a] == SPACE
    if b - a == 3 and text[a] == _U and text[a + 1] == _T and text[a + 2] == _C:
        return 0, PLACED
    if b - a == 1 and (text[a] == _Z or text[a] == _LOWER_Z):
        return 0, PLACED
    if b - a < 5 or b - a > 6 or (text[a] != _PLUS and text[a] != _DASH):
        return 0, NONE
    if b - a == 6 and text[a + 3] != _COLON:
        return 0, NONE
    hours, minutes = pair(text, a + 1, b), pair(text, b - 2, b)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return 0, NONE
    east = hours * 60 + minutes
    return -east if text[a] == _DASH else east, PLACED
