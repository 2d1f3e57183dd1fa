"""A record that is there as a whole, and how far its missing values are from those seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints, Series
from gapcast.engine.network.series import Network

Mask = NDArray[np.bool_]
NEVER = 1 << 40
"""Steps to a value that never was, or never comes."""


class Ends(NamedTuple):
    """(T, S) steps since the last value and to the next one; 0 where there is one, else `NEVER`."""

    since: Ints
    until: Ints

    @property
    def near(self) -> Ints:
        """Steps to the nearer of both."""
        return np.minimum(self.since, self.until)


@dataclass(frozen=True)
class Record:
    """Values of series at equal steps, all known at once.

    values: (T, S) float64, NaN where missing. series: what each column is, in natural order.
    interval: of a step, in microseconds. first: index of the first step: its start in microseconds
    since 1970, over the interval.
    """

    values: Floats
    series: tuple[Series, ...]
    interval: int
    first: int

    @property
    def missing(self) -> Mask:
        """(T, S) where there is no value."""
        return np.isnan(self.values)

    @property
    def network(self) -> Network:
        """The series, of sensors without positions."""
        return Network.of(self.series)

    def cut(self, steps: slice) -> Record:
        """Some steps of it, from ``steps.start`` on."""
        return replace(self, values=self.values[steps], first=self.first + steps.start)

    def without(self, mask: Mask) -> Record:
        """The same without some of its values."""
        return replace(self, values=np.where(mask, np.nan, self.values))

    def moved(self, steps: int) -> Record:
        """The same, so many steps later."""
        return replace(self, first=self.first + steps)

    def reversed(self, last: int) -> Record:
        """The same run backwards: step s takes the index ``last - s``, so that whatever has a
        period still has it."""
        values = np.ascontiguousarray(self.values[::-1])
        return replace(self, values=values, first=last - (self.first + len(values) - 1))


def ends(missing: Mask) -> Ends:
    """How far each missing value is from those seen."""
    steps = np.arange(len(missing))[:, None]
    before = np.maximum.accumulate(np.where(missing, -2 * NEVER, steps), axis=0)
    after = np.minimum.accumulate(np.where(missing, 2 * NEVER, steps)[::-1], axis=0)[::-1]
    return Ends(np.minimum(steps - before, NEVER), np.minimum(after - steps, NEVER))
