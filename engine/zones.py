"""The rules of a time zone as arrays: when clocks are changed, and by how much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Span = tuple[int, int]

SECOND = 1_000_000
HOUR = 3600 * SECOND
_YEAR = 366 * 24 * HOUR
_MARGIN = 30 * HOUR
"""More than any clock was ever changed by."""
_LOOK = 6 * HOUR
"""No zone changes its clocks twice within this time."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR = 10_000 * _YEAR
"""Beyond it no zone has rules."""
_MOST = 8
"""Years in a row whose rules are looked up at once."""


class Rules(NamedTuple):
    """Of a zone, in the years that are asked for; all in µs, local times as if they were UTC.

    starts, offsets: (k,) from which local time on the clock is how far ahead of UTC; of a time that
    comes twice, the first. twice, never: (m, 2) from when to when local times come twice, or not
    at all.
    """

    starts: Ints
    offsets: Ints
    twice: Ints
    never: Ints

    def offset(self, local: Ints) -> Ints:
        """How far ahead of UTC the clock is at local times; of those that come twice, the first."""
        place = np.searchsorted(self.starts, local, "right") - 1
        return self.offsets[np.maximum(place, 0)]


def known(zone: str) -> bool:
    """Whether there is a zone of this name."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def rules(zone: str, local: Ints) -> Rules:
    """The rules of `zone` for all of `local`, which is not empty, and a day around them."""
    local = np.clip(local, -_CALENDAR, _CALENDAR)
    low, high = int(local.min()), int(local.max())
    if high // _YEAR - low // _YEAR <= _MOST:
        return _joined(zone, (low - _MARGIN) // _YEAR, (high + _MARGIN) // _YEAR + 1)
    near = [np.unique((local + shift) // _YEAR) for shift in (-_MARGIN, 0, _MARGIN)]
    return _join(zone, np.unique(np.concatenate(near)).tolist())


@cache
def _joined(zone: str, first: int, end: int) -> Rules:
    return _join(zone, range(first, end))


def _join(zone: str, years: range | list[int]) -> Rules:
    return Rules(*map(np.concatenate, zip(*(_year(zone, year) for year in years), strict=True)))


@cache
def _year(zone: str, year: int) -> Rules:
    """The rules within one of the spans of `_YEAR` since 1970."""
    place = ZoneInfo(zone)
    first, end = year * _YEAR, (year + 1) * _YEAR
    at = range(first - _MARGIN, end + _MARGIN + 1, _LOOK)
    offsets = [_offset(place, moment) for moment in at]
    starts, kept, twice, never = [first], [offsets[0]], list[Span](), list[Span]()
    for k in np.flatnonzero(np.diff(offsets)).tolist():
        before, after = offsets[k], offsets[k + 1]
        when = _change(place, at[k], at[k + 1], before)
        start = when + max(before, after)
        if start <= first:
            kept[0] = after
        elif start < end:
            starts.append(start)
            kept.append(after)
            spans = twice if after < before else never
            spans.append((when + min(before, after), start))
    return Rules(
        np.array(starts, np.int64),
        np.array(kept, np.int64),
        np.array(twice, np.int64).reshape(-1, 2),
        np.array(never, np.int64).reshape(-1, 2),
    )


def _change(place: ZoneInfo, low: int, high: int, before: int) -> int:
    """The second at which the offset is no longer `before`, after `low` and up to `high`."""
    while high - low > SECOND:
        middle = (low + high) // 2 // SECOND * SECOND
        low, high = (middle, high) if _offset(place, middle) == before else (low, middle)
    return high


def _offset(place: ZoneInfo, moment: int) -> int:
    """How far ahead of UTC clocks are at a moment; 0 beyond the calendar."""
    try:
        shown = (_EPOCH + timedelta(microseconds=moment)).astimezone(place)
    except OverflowError:
        return 0
    return (shown.utcoffset() or timedelta(0)) // timedelta(microseconds=1)
