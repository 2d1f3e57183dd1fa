"""Tables of pandas, polars, Arrow and others as records, and back: same container, same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from gapcast.engine.errors import DataError
from gapcast.engine.filling.columns import Columns, columns_of, microseconds
from gapcast.engine.filling.fill import Filled, Origin
from gapcast.engine.filling.record import Record
from gapcast.engine.filling.times import interval_of, steps_of
from gapcast.engine.forecaster import Floats, Ints, Series
from gapcast.engine.network.series import natural

LOWER, UPPER, ORIGIN = "_lower", "_upper", "_origin"
"""Endings of the columns that are added."""


class Table:
    """A frame as a record, and a record as a frame.

    frame: pandas, polars, Arrow, or another that Narwhals takes as eager. time, sensor, values:
    names of columns, None: found. interval: of a step, in microseconds, None: found. Raises
    DataError where it is not clear what is meant, saying which parameter decides.
    """

    def __init__(
        self,
        frame: Any,
        time: str | None = None,
        sensor: str | None = None,
        values: Sequence[str] | None = None,
        interval: int | None = None,
    ) -> None:
        try:
            self.frame: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
        except TypeError:
            raise DataError(
                f"cannot fill a {type(frame).__name__}: expected a NumPy array, or a table of "
                "pandas, polars or Arrow"
            ) from None
        except nw.exceptions.DuplicateError as error:
            raise DataError(" ".join(str(error).split())) from None
        self.columns: Columns = columns_of(self.frame, time, sensor, values)
        times = microseconds(self.frame, self.columns.time)
        self._sensor, self._sensors = _numbered(self.frame, sensor)
        self.steps = steps_of(times, self._sensor, interval or interval_of(times))

    @property
    def record(self) -> Record:
        """The values by steps; rows that are not there are missing."""
        series = self._sensors * len(self.columns.values)
        values = np.full((self.steps.total, series), np.nan)
        for name, column in self._places():
            values[self.steps.place, column] = _floats(self.frame.get_column(name))
        names = tuple(Series(f"{i:09d}", "value") for i in range(series))
        return Record(values, names, self.steps.interval, self.steps.first)

    def filled(self, found: Filled, bounds: bool = False, flags: bool = False) -> Any:
        """The frame as it came, with what was found where a value was missing.

        bounds, flags: with columns of bounds, and of words for `Origin`, behind all others.
        """
        changed, added = [], []
        for name, column in self._places():
            at = self.steps.place, column
            missing = np.isnan(_floats(self.frame.get_column(name))) & ~np.isnan(found.values[at])
            changed.append(
                _put(self.frame.get_column(name), np.flatnonzero(missing), found.values[at])
            )
            for ending, bound in ((LOWER, found.lower), (UPPER, found.upper)) if bounds else ():
                added.append(self._new(f"{name}{ending}", bound[at].tolist(), nw.Float64()))
            if flags:
                words = [Origin(o).name.lower() for o in found.origin[at].tolist()]
                added.append(self._new(f"{name}{ORIGIN}", words, nw.String()))
        return self.frame.with_columns(*changed, *added).to_native()

    def _places(self) -> Iterator[tuple[str, Ints]]:
        """Columns of values, and for each row the column of the record."""
        width = len(self.columns.values)
        for i, name in enumerate(self.columns.values):
            yield name, self._sensor * width + i

    def _new(self, name: str, values: list[Any], dtype: Any) -> Any:
        if name in self.frame.columns:
            raise DataError(f"there is a column {name!r} already: rename it")
        made = nw.new_series(name, values, dtype, backend=self.frame.implementation)
        index = nw.maybe_get_index(self.frame)
        return made if index is None else nw.maybe_set_index(made, index=index)


def _numbered(frame: nw.DataFrame[Any], sensor: str | None) -> tuple[Ints, int]:
    """The number of each row's sensor, by natural order of the names, whatever that of the rows;
    and how many sensors there are."""
    if sensor is None:
        return np.zeros(len(frame), np.int64), 1
    names = frame.get_column(sensor).to_list()
    ordered = sorted(set(names), key=lambda name: natural(str(name)))
    place = {name: i for i, name in enumerate(ordered)}
    return np.array([place[name] for name in names], np.int64), len(place)


def _floats(column: nw.Series[Any]) -> Floats:
    """Values of a column, NaN where there is none, or an infinite one."""
    given = column.alias("").to_arrow().cast("float64", safe=False).to_numpy(zero_copy_only=False)
    found = np.array(given, np.float64)
    found[np.isinf(found)] = np.nan
    return found


def _whole(values: Floats, kind: str) -> list[int]:
    """Rounded, and within what a type of whole numbers, such as `UInt8`, can hold."""
    signed, bits = not kind.startswith("U"), int(kind.removeprefix("U").removeprefix("Int"))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return [min(max(int(value), low), high) for value in np.rint(values)]


def _put(column: nw.Series[Any], rows: Ints, values: Floats) -> nw.Series[Any]:
    if len(rows) == 0:
        return column
    new = values[rows].tolist()
    if column.dtype.is_integer():
        new = _whole(values[rows], str(column.dtype))
    made = nw.new_series("", new, column.dtype, backend=column.implementation)
    return column.scatter(rows.tolist(), made)
