"""From the rows of a file to a record, and from what was found in it back to the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.filling import fill as filling
from gapcast.engine.filling.file import Answers, TableFile
from gapcast.engine.filling.fill import Filled, Origin
from gapcast.engine.filling.passes import Told
from gapcast.engine.filling.record import Mask, Record
from gapcast.engine.filling.times import Steps, interval_of, steps_of
from gapcast.engine.forecaster import Ints, Series
from gapcast.engine.units import write_duration, write_time

REPEATED = 0.1
"""Share of the rows that may be of a step that has another row already."""


ROUND = np.array(
    [m * u * 1_000_000 for u in (1, 60) for m in (1, 2, 5, 10, 15, 20, 30)]
    + [h * 3_600_000_000 for h in (1, 2, 3, 4, 6, 8, 12, 24)]
)
"""Intervals that loggers have, in microseconds."""


class Way(NamedTuple):
    """How to fill: see `gapcast.engine.filling.api.fill`."""

    causal: bool = False
    bounds: bool = False
    flags: bool = False
    level: float = 0.9


@dataclass(frozen=True)
class Whole:
    """A file as a record.

    steps: of the rows that are used. used: (n,) which those are: the first of each sensor and step.
    """

    file: TableFile
    steps: Steps
    used: Ints
    record: Record

    @property
    def repeated(self) -> Ints:
        """Rows of a step that has another row already."""
        return np.setdiff1d(np.arange(len(self.file.rows.times)), self.used)

    @property
    def absent(self) -> Mask:
        """(T, sensors) which rows are not there."""
        rows = self.file.rows
        found = np.ones((self.steps.total, max(1, len(rows.names))), np.bool_)
        found[self.steps.place, rows.sensors[self.used]] = False
        return found

    def work(self, causal: bool) -> int:
        """How many values models go over."""
        steps, series = self.record.values.shape
        rehearsed = min(steps, max(filling.STEPS, filling.REHEARSED // series))
        work = steps if causal else 2 * (steps + rehearsed)
        return int(work * series)

    def filled(self, way: Way, told: Told) -> Answers:
        """What is found for the rows of the file."""
        found = filling.fill(self.record, causal=way.causal, level=way.level, told=told)
        return self._answers(found, way)

    def _answers(self, found: Filled, way: Way) -> Answers:
        rows = self.file.rows
        width = len(rows.columns)
        place = self.steps.place[:, None]
        column = rows.sensors[self.used, None] * width + np.arange(width)
        gaps = rows.gaps[self.used]

        def back(of: np.ndarray) -> np.ndarray:
            whole = np.full(rows.values.shape, np.nan)
            whole[self.used] = np.where(gaps, of[place, column], np.nan)
            return whole

        values = back(found.values)
        origin = None
        if way.flags:
            words = np.array([o.name.lower() for o in Origin], object)
            seen = np.where(rows.gaps, Origin.NOWHERE, Origin.OBSERVED)
            seen[self.used] = np.where(gaps, found.origin[place, column], seen[self.used])
            origin = [words[column].tolist() for column in seen.T]
        if not way.bounds:
            return Answers(values, origin=origin)
        return Answers(values, back(found.lower), back(found.upper), origin)


def whole(file: TableFile, interval: int | None, crowded: bool = False) -> Whole:
    """The record of a file. interval: of a step, in microseconds, None: found. crowded: whether
    many rows may be of a step that has one already. Raises DataError."""
    rows = file.rows
    try:
        interval = interval or _round(rows.times) or interval_of(rows.times)
    except DataError as error:
        why = str(error).partition(": say")[0]
        raise Undecided(f"{file.path}: {why}", "--interval") from None
    of = (rows.times - rows.times.min() + interval // 2) // interval
    _, used = np.unique(rows.sensors * (int(of.max()) + 1) + of, return_index=True)
    used.sort()
    if len(used) < len(of) * (1 - REPEATED) and not crowded:
        raise _crowded(file, of, used, interval)
    try:
        steps = steps_of(rows.times[used], rows.sensors[used], interval)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from None
    width = len(rows.columns)
    series = max(1, len(rows.names)) * width
    values = np.full((steps.total, series), np.nan)
    column = rows.sensors[used, None] * width + np.arange(width)
    values[steps.place[:, None], column] = rows.values[used]
    values[np.isinf(values)] = np.nan
    names = tuple(Series(f"{i:09d}", "value") for i in range(series))
    return Whole(file, steps, used, Record(values, names, interval, steps.first))


def _round(times: Ints) -> int | None:
    """The round interval that times have but for some jitter: most follow each other by about that
    much, and those by that much in the mean. None where there is none."""
    apart = np.diff(np.unique(times))
    if not len(apart):
        return None
    found = int(ROUND[np.abs(ROUND - np.median(apart)).argmin()])
    near = apart[np.abs(apart - found) < 0.2 * found]
    even = 2 * len(near) >= len(apart) and abs(near.mean() - found) < 0.002 * found
    return found if even else None


def _crowded(file: TableFile, of: Ints, used: Ints, interval: int) -> DataError:
    rows = file.rows
    other = int(np.setdiff1d(np.arange(len(of)), used)[0])
    same = (of[used] == of[other]) & (rows.sensors[used] == rows.sensors[other])
    one = int(used[same][0])
    times = " and ".join(write_time(int(rows.times[row])) for row in (one, other))
    more = len(of) - len(used)
    return DataError(
        f"{file.path}: {file.place(one)} and {file.place(other)} are of one step, {times} "
        f"with an interval of {write_duration(interval)}, and {more:,} rows are like that: "
        "expected one row for each sensor and step; --sensor names the columns by which "
        "series differ, --interval the step"
    )
