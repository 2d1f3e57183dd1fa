"""Days as a zone's clocks show them, of 23 to 25 hours, on a time in which all have 24.

The grid counts equal steps. So for days that are not equal it counts on an even time, which is UTC
but for how it runs within a day: each local day begins a multiple of 24 hours after the one before,
its readings lie behind its beginning by what they do in truth, and those of a 25th hour at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.units import MICROSECONDS
from gapcast.engine.zones import rules

Ints = NDArray[np.int64]

DAY = MICROSECONDS["d"]
_END = 2_524_608_000_000_000  # the year 2050
_FAR = 1 << 61


@dataclass(frozen=True)
class Calendar:
    """Days in `zone` that begin at `begin`, µs after midnight. All times in µs since 1970."""

    zone: str
    begin: int = 0

    def starts(self, days: Ints) -> Ints:
        """When days begin, by their numbers since 1970, UTC."""
        local = days * DAY + self.begin
        return local - rules(self.zone, local).offset(local) if len(days) else local

    def even(self, times: Ints) -> Ints:
        """Moments (UTC) on the even time; order is kept."""
        times = np.clip(times, -_FAR, _FAR)
        day: Ints = (times - self.begin) // DAY
        day -= self.starts(day) > times
        day += self.starts(day + 1) <= times
        behind: Ints = np.minimum(times - self.starts(day), DAY - 1)
        return day * DAY + self.begin + behind

    def moments(self, even: Ints) -> Ints:
        """What is on the even time, UTC."""
        day = (even - self.begin) // DAY
        return self.starts(day) + even - (day * DAY + self.begin)


def offsets(zone: str, first: int) -> list[int]:
    """How far ahead of UTC clocks in `zone` ever are from `first` to 2050, in µs, ascending."""
    years = np.arange(first, max(_END, first + 1), 300 * DAY)
    found = rules(zone, years)
    changes = found.starts[found.starts > first]
    there: list[int] = np.unique(found.offset(np.concatenate([years, changes]))).tolist()
    return there
