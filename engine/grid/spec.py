"""How event time is cut into steps, and what a step holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.grid.calendar import Calendar
from gapcast.engine.grid.kernels import cells

Ints = NDArray[np.int64]

AGGREGATES = ("mean", "last", "min", "max", "sum")
DUPLICATES = ("drop-same", "first", "last", "all")
"""In the numbers of the kernel."""

AHEAD = 24
"""Steps that a reading may be ahead of its partition's watermark, where the config does not say."""


@dataclass(frozen=True)
class Circular:
    """A quantity that begins anew after `period`: 360 for directions in degrees."""

    period: float


@dataclass(frozen=True)
class GridSpec:
    """How event time is cut. Durations and times in microseconds (since 1970, UTC).

    offset: how long after 1970 a step begins that is number 0; below `interval`. nearest: a reading
    belongs to the step whose beginning it is nearest to, not to that in which it lies. aggregate:
    what a step holds of a series with several readings in it: `AGGREGATES`, or that of
    each quantity ("mean" where it is not named), `Circular` for directions. duplicates: which
    readings of one series and time count, `DUPLICATES`. future: how far a reading may be ahead of
    its partition's watermark without being held until others agree; None: `AHEAD` steps. max_gap:
    steps after the last that holds a value for which there are rows though nothing arrives.
    calendar: that of days of 23 to 25 hours, on whose even time all the rest is counted.
    """

    interval: int
    offset: int = 0
    nearest: bool = False
    lateness: int = 0
    aggregate: str | Mapping[str, str | Circular] = "mean"
    duplicates: str = "drop-same"
    future: int | None = None
    max_gap: int = 1000
    earliest: int = 631_152_000_000_000
    calendar: Calendar | None = None

    @property
    def shift(self) -> int:
        """When the readings of step 0 begin, µs since 1970."""
        return self.offset - self.interval // 2 if self.nearest else self.offset

    @property
    def periods(self) -> dict[str, float]:
        """Of quantities that begin anew, such as directions."""
        of = {} if isinstance(self.aggregate, str) else self.aggregate
        return {q: how.period for q, how in of.items() if isinstance(how, Circular)}

    def even(self, times: Ints) -> Ints:
        """Moments, UTC, on the time that the grid cuts: UTC itself where there is no calendar."""
        return self.calendar.even(times) if self.calendar else times

    def moments(self, even: Ints) -> Ints:
        """The moments, UTC, of times that the grid cuts."""
        return self.calendar.moments(even) if self.calendar else even

    def begins(self, steps: Ints) -> Ints:
        """When steps begin, UTC."""
        return self.moments(steps * self.interval + self.offset)

    def begin(self, step: int) -> int:
        """When one step begins, UTC."""
        return int(self.begins(np.array([step]))[0])

    def steps(self, times: Ints) -> Ints:
        """The steps in which moments lie, UTC."""
        return (self.even(times) - self.offset) // self.interval

    def since(self, moment: int) -> int:
        """The first step that begins at a moment, UTC, or after it."""
        step = self.steps(np.array([moment - 1]))
        return int(step[0]) + 1


def aggregates(
    given: str | Mapping[str, str | Circular], quantities: Sequence[str]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """How these quantities are aggregated, and their periods (1 where there is none)."""
    of = {q: given if isinstance(given, str) else given.get(q, "mean") for q in {*quantities}}
    number = {
        quantity: cells.CIRCULAR if isinstance(how, Circular) else AGGREGATES.index(how)
        for quantity, how in of.items()
    }
    period = {q: how.period if isinstance(how, Circular) else 1.0 for q, how in of.items()}
    return (
        np.array([number[q] for q in quantities], np.int8),
        np.array([period[q] for q in quantities]),
    )
