"""The grid that times ask for: the interval, where steps begin, and how near times are to that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.filling.whole import ROUND
from gapcast.engine.forecaster import Ints
from gapcast.engine.units import MICROSECONDS, write_duration, write_time

DAY = MICROSECONDS["d"]
EARLIEST = 631_152_000_000_000
"""From before the grid takes no reading, unless it is said (1990)."""
NEAR = 0.25
"""Times this share of an interval around the beginning of a step belong to it."""


_ROUND = np.append([m * u * 1_000 for u in (1, 10, 100) for m in (1, 2, 5)], ROUND)


class Steps(NamedTuple):
    """The section `grid`, and what may be otherwise, by its keys."""

    grid: Mapping[str, Any]
    unsure: Mapping[str, str]


def usual(times: Ints, series: Ints) -> int | None:
    """The interval by which the readings of one series usually follow each other, a round one
    where one is near; None where none has two."""
    order = np.lexsort((times, series))
    apart, same = np.diff(times[order]), np.diff(series[order]) == 0
    apart = apart[same & (apart > 0)]
    if not len(apart):
        return None
    middle = int(np.median(apart))
    near = int(_ROUND[np.abs(_ROUND - middle).argmin()])
    return near if abs(near - middle) <= 0.2 * near else middle


def steps(times: Ints, interval: int, zone: str | None) -> Steps:
    """The grid of times. zone: of the clock they are written by, where it was said."""
    grid: dict[str, Any] = {"interval": write_duration(interval)}
    unsure: dict[str, str] = {}
    if interval % DAY == 0 and zone:
        grid["zone"] = zone
    else:
        grid |= _begin(times, interval, unsure)
    if int(times.min()) < EARLIEST:
        grid["earliest"] = write_time(int(times.min()) // DAY * DAY)
    return Steps(grid, unsure)


def _begin(times: Ints, interval: int, unsure: dict[str, str]) -> dict[str, Any]:
    phase = times % interval
    if (phase == phase[0]).all():
        return {"offset": write_duration(int(phase[0]))} if phase[0] else {}
    off = (phase + interval // 2) % interval - interval // 2
    if (np.abs(off) < NEAR * interval).mean() > 0.9 and (off < 0).any():
        return {"align": "nearest"}
    if interval > MICROSECONDS["s"]:
        unsure["interval"] = "times lie anywhere within steps; a step takes the mean of its values"
    return {}
