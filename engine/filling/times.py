"""From the times of a table's rows to the steps of a record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gapcast.engine.errors import DataError
from gapcast.engine.forecaster import Ints
from gapcast.engine.units import write_duration, write_time

COMMON = 0.5
"""Share of the times that follow each other by the interval, at least, where nobody says it."""
LONGEST = 50_000_000
"""Steps a record has at most."""


class Steps(NamedTuple):
    """place: step of each row, from 0 on. total: of all steps. interval: of a step, in
    microseconds. first: index of the first step, see `Record`."""

    place: Ints
    total: int
    interval: int
    first: int


def interval_of(times: Ints) -> int:
    """The interval of times (microseconds, any order, each any number of times) that most of them
    follow each other by. Raises DataError where there is none."""
    apart = np.diff(np.unique(times))
    if len(apart) == 0:
        raise DataError("there is one time only: expected rows of several times")
    found, count = np.unique(apart, return_counts=True)
    most = int(count.argmax())
    if count[most] < COMMON * len(apart):
        seen = ", ".join(write_duration(int(found[i])) for i in np.argsort(-count)[:3])
        raise DataError(
            f"the times have no common interval (most often {seen}): say interval, such as '10min'"
        )
    return int(found[most])


def steps_of(times: Ints, sensors: Ints, interval: int) -> Steps:
    """The step of each row: the nearest to its time, counted from the earliest time.

    sensors: number of each row's sensor; no sensor has two rows in one step. Raises DataError.
    """
    begin = int(times.min())
    of = (times - begin + interval // 2) // interval
    count = int(of.max()) + 1
    if count > LONGEST:
        raise DataError(
            f"{count:,} steps of {write_duration(interval)}, at most {LONGEST:,}: say a longer "
            "interval"
        )
    order = np.lexsort((of, sensors))
    again = (np.diff(of[order]) == 0) & (np.diff(sensors[order]) == 0)
    if again.any():
        place = int(np.flatnonzero(again)[0])
        one, other = sorted((int(order[place]), int(order[place + 1])))
        then = " and ".join(write_time(int(times[row])) for row in (one, other))
        raise DataError(
            f"rows {one + 1:,} and {other + 1:,} are of one step, {then} with an interval of "
            f"{write_duration(interval)}: expected one row for each; if it is a long table, say "
            "sensor, the column of its names; else say interval"
        )
    return Steps(of, count, interval, begin // interval)
