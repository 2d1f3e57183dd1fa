"""``gapcast.fill``: a table or an array in, the same with its gaps filled out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
from pydantic_core import PydanticCustomError

from gapcast.engine.errors import DataError
from gapcast.engine.filling import fill as filling
from gapcast.engine.filling.record import Record
from gapcast.engine.forecaster import Series
from gapcast.engine.units import read_duration

T = TypeVar("T")


def fill(
    data: T,
    *,
    interval: str | None = None,
    time: str | None = None,
    sensor: str | None = None,
    values: Sequence[str] | None = None,
    causal: bool = False,
    bounds: bool = False,
    flags: bool = False,
    level: float = 0.9,
) -> T:
    """`data` with its missing values filled; what is there is left as it is.

    data: a table of pandas, polars or Arrow (others that Narwhals knows may do), or a NumPy array
    of floats with steps as rows and series as columns. Comes back as the same container with the
    same order, index, names and types; whole numbers are rounded. Missing is what is null, NaN or
    infinite. Rows that are not there are not added.

    interval: of a step, such as ``10min``; found from the times of a table, needed for an array.
    time: column of the times; found, or the index. Times without a zone are taken for UTC.
    sensor: column of a sensor's name, in a long table; without it every column is a series.
    values: columns to fill, and to learn from; without it all that hold numbers.
    causal: estimate from earlier rows, and others of the same time, alone.
    bounds, flags: add columns ``NAME_lower`` and ``NAME_upper`` with the interval of what was
    filled, and ``NAME_origin`` with a word: observed, between (both ends of the gap were known),
    after, before, nowhere (nothing is known). level: nominal coverage of the interval.

    Raises DataError where it is not clear what is meant, and says which parameter decides.
    """
    if not 0 < level < 1:
        raise DataError(f"level must be between 0 and 1, found {level}")
    step = None if interval is None else duration(interval)
    if isinstance(data, np.ndarray):
        if bounds or flags:
            raise DataError("an array has no columns for bounds and flags: fill a table")
        return cast(T, _array(data, step, causal, level))
    from gapcast.engine.filling.tables import Table

    table = Table(data, time, sensor, values, step)
    found = filling.fill(table.record, causal=causal, level=level)
    return cast(T, table.filled(found, bounds, flags))


def _array(data: np.ndarray, interval: int | None, causal: bool, level: float) -> np.ndarray:
    if interval is None:
        raise DataError("an array has no times: say interval, such as '10min'")
    if data.ndim not in (1, 2) or data.dtype.kind != "f":
        raise DataError(
            f"cannot fill an array of shape {data.shape} and type {data.dtype}: expected floats, "
            "(steps,) or (steps, series)"
        )
    if data.size == 0:
        return data.copy()
    values = data.reshape(len(data), -1).astype(np.float64)
    values[np.isinf(values)] = np.nan
    names = tuple(Series(f"{i:09d}", "value") for i in range(values.shape[1]))
    found = filling.fill(Record(values, names, interval, 0), causal=causal, level=level)
    filled = found.values.reshape(data.shape).astype(data.dtype)
    return np.where(np.isfinite(data) | np.isnan(filled), data, filled)


def duration(interval: str) -> int:
    """Microseconds of an interval as it is written, above 0. Raises DataError."""
    try:
        found = read_duration(interval)
    except PydanticCustomError as error:
        raise DataError(f"interval {error.message()}, found {interval!r}") from None
    if found == 0:
        raise DataError("interval must be above 0")
    return found
