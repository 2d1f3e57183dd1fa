"""Which of the two passes of an hour that comes twice each record of a file is of.

The rule: when the records of a series go back within that hour, by more than half of it less the
time that usually lies between two of them, those from there on are of the other pass. So an hourly
series turns where it has the same time again, and one of ten minutes where it goes back from 02:50
to 02:00, but not where a record is a little out of order. The first pass met is the first; in a
series that comes from later times, as in a file of newest first, it is the second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.engine.zones import HOUR, Ints
from gapcast.plugins.sources.text.names import Names

WINDOW = 6 * HOUR
"""Records so near to such an hour are looked at: they show the step and the way of a series."""
FORGET = 10_000
"""After so many rows outside of such windows what was seen is forgotten."""

_FAR = np.int64(1) << 62
_HOUR, _WAY, _TURNED, _FRONT, _STEP, _BEFORE, _OUTSIDE, _INSIDE, _WIDTH = range(9)
"""Of a series: the end of the hour that it is near to; 1 if its times grow, -1 if they fall;
whether it is in its second pass; how far it got, times its way; its last two steps; records outside
the hour since the last within; those within that are of the only pass met."""


class Found(NamedTuple):
    """second: (n,) records of a second pass. alone: (n,) records with which their series left an
    hour of which it has one pass."""

    second: NDArray[np.bool_]
    alone: NDArray[np.bool_]


class Passes:
    """The series of a file, as far as they have been near an hour that comes twice.

    first: the number of the first row. Where rows are cut changes nothing.
    """

    def __init__(self, first: int = 0) -> None:
        self._numbers: dict[tuple[str | None, str | None], int] = {}
        self._series = np.zeros((0, _WIDTH), np.int64)
        self._since = self._last = -1
        self._rows = first

    def near(self, local: Ints, twice: Ints) -> tuple[Ints, Ints]:
        """Which of some local times are near to one of the hours `twice`, and to which."""
        which = np.searchsorted(twice[:, 1] + WINDOW, local, "right")
        known = np.flatnonzero(which < len(twice))
        known = known[local[known] >= twice[which[known], 0] - WINDOW]
        return known, which[known]

    def look(self, local: Ints, hour: Ints, rows: Ints, sensor: Names, quantity: Names) -> Found:
        """The passes of records near to an hour: their local times, of each the hour (n, 2), the
        row on which it stands. sensor, quantity: of all rows."""
        second, alone = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
        key = self._numbered(sensor, quantity, rows)
        anew = self._anew(rows)
        _look(local, hour[:, 0], hour[:, 1], key, anew, self._series, second, alone)
        return Found(second, alone)

    def passed(self, rows: Ints, n: int) -> Ints:
        """Pass over n rows, of which `rows` were near to an hour.

        (n + 1,) the row from which on all must be seen again to go on before each of them, or after
        the last; -1: none.
        """
        at = self._rows + np.arange(n + 1)
        near = np.append(self._last, rows + self._rows)
        begun = np.where(self._anew(rows), rows + self._rows, -1)
        since = np.maximum.accumulate(np.append(self._since, begun))
        last = np.searchsorted(near, at, "left") - 1
        last = np.maximum(last, 0)
        found = np.where(at - near[last] - 1 > FORGET, -1, since[last])
        self._since, self._last = int(since[-1]), int(near[-1])
        self._rows += n
        return found

    def only(self) -> Ints:
        """The ends of the hours that some series are in, or ended in, with one pass."""
        here = (self._series[:, _INSIDE] > 0) & (self._series[:, _TURNED] == 0)
        return np.unique(self._series[here, _HOUR])

    def _anew(self, rows: Ints) -> NDArray[np.bool_]:
        """Which of the rows come after so many others that what was seen is forgotten."""
        near = np.append(self._last, rows + self._rows)
        return np.asarray((np.diff(near) - 1 > FORGET) | (near[:-1] < 0))

    def _numbered(self, sensor: Names, quantity: Names, rows: Ints) -> Ints:
        """(n,) numbers of the rows' series, by which they are known until the end of the file."""
        width = len(quantity.found) + 1
        codes = (sensor.ids[rows].astype(np.int64) + 1) * width + quantity.ids[rows] + 1
        found, which = np.unique(codes, return_inverse=True)
        numbers = np.empty(len(found), np.int64)
        for k, code in enumerate(found.tolist()):
            at, of = divmod(code, width)
            name = (_name(sensor, at - 1), _name(quantity, of - 1))
            numbers[k] = self._numbers.setdefault(name, len(self._numbers))
        more = len(self._numbers) - len(self._series)
        if more > 0:
            new = np.zeros((max(more, len(self._series)), _WIDTH), np.int64)
            self._series = np.concatenate([self._series, new])
        return numbers[which]


def _name(names: Names, number: int) -> str | None:
    return None if number < 0 else names.found[number].as_py()


@njit(cache=True, nogil=True, error_model="numpy")
def _look(local, begin, end, key, anew, series, second, alone):
    for i in range(local.size):
        if anew[i]:
            series[:, _HOUR] = 0
            series[:, _INSIDE] = 0
        s = series[key[i]]
        t = local[i]
        inside = begin[i] <= t < end[i]
        if s[_HOUR] != end[i]:
            _begin(s, t, end[i])
        else:
            if not inside:
                alone[i] = s[_INSIDE] > 0 and s[_TURNED] == 0
                s[_INSIDE] = 0
            if not inside and s[_OUTSIDE] > 0 and (s[_TURNED] or s[_WAY] != _way(t, end[i])):
                _begin(s, t, end[i])
            else:
                _go_on(s, t, inside, end[i] - begin[i])
        if inside:
            s[_INSIDE] += 1
            s[_OUTSIDE] = 0
            second[i] = (s[_WAY] == 1) == (s[_TURNED] == 1)
        else:
            s[_OUTSIDE] += 1


@njit_part
def _way(t, end):
    return -1 if t >= end else 1


@njit_part
def _begin(s, t, end):
    """A series is met for the first time, or has been outside the hour for two records."""
    s[:] = 0
    s[_HOUR] = end
    s[_WAY] = _way(t, end)
    s[_FRONT] = s[_WAY] * t
    s[_STEP] = s[_BEFORE] = _FAR


@njit_part
def _go_on(s, t, inside, length):
    ahead = s[_WAY] * t - s[_FRONT]
    if inside and ahead <= 0 and s[_TURNED] == 0:
        usual = min(s[_STEP], s[_BEFORE])
        if 2 * ((usual if usual < _FAR else 0) - ahead) > length:
            s[_TURNED] = 1
            s[_FRONT] = s[_WAY] * t
            return
    if ahead >= 0:
        s[_BEFORE] = s[_STEP]
        s[_STEP] = ahead
        s[_FRONT] += ahead
