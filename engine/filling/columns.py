"""Which columns of a table are what, where nobody says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np

from gapcast.engine.errors import DataError
from gapcast.engine.forecaster import Ints
from gapcast.engine.spelling import meant


class Columns(NamedTuple):
    """time: None where the index says it. values: those that are filled."""

    time: str | None
    values: tuple[str, ...]


def columns_of(
    frame: nw.DataFrame[Any], time: str | None, sensor: str | None, values: Sequence[str] | None
) -> Columns:
    """The columns as they are named; where they are not, the only one of times, or an index of
    times, and all others that hold numbers. Raises DataError."""
    for parameter, names in (("time", [time]), ("sensor", [sensor]), ("values", values or [])):
        for name in names:
            if name is not None and name not in frame.columns:
                close = meant(name, frame.columns)
                raise DataError(f"{parameter}: there is no column {name!r}{close}")
    at = time or _time(frame)
    numbers = [n for n, d in frame.schema.items() if d.is_float() or d.is_integer()]
    chosen = [n for n in numbers if n not in (at, sensor)] if values is None else list(values)
    for name in chosen:
        if name not in numbers:
            raise DataError(f"values: column {name!r} holds {frame.schema[name]}, no numbers")
    if not chosen:
        raise DataError(f"no column holds numbers; there are {_listed(frame.columns)}")
    return Columns(at, tuple(chosen))


def microseconds(frame: nw.DataFrame[Any], time: str | None) -> Ints:
    """(rows,) microseconds since 1970 of a column of times, None: the index. Times without a zone
    are taken for UTC. Raises DataError where a row has none, or there is no row."""
    if time is None:
        index: Any = nw.maybe_get_index(frame)
        column, name = nw.from_native(index.to_series(), series_only=True), "the index"
    else:
        column, name = frame.get_column(time), f"column {time!r}"
    if not _of_times(column.dtype):
        raise DataError(f"time: {name} holds {column.dtype}, expected times")
    if len(column) == 0:
        raise DataError("there are no rows")
    gone = column.is_null().to_numpy()
    if gone.any():
        row = int(np.flatnonzero(gone)[0]) + 1
        raise DataError(f"time: {name} has no time in row {row:,}, and {gone.sum():,} such rows")
    found: Ints = column.cast(_moment(column.dtype)).dt.timestamp("us").to_numpy()
    return found.astype(np.int64)


def _time(frame: nw.DataFrame[Any]) -> str | None:
    index = nw.maybe_get_index(frame)
    if index is not None and hasattr(index, "to_series") and getattr(index, "nlevels", 1) == 1:
        of = nw.from_native(index.to_series(), series_only=True)
        if _of_times(of.dtype):
            return None
    found = [name for name, dtype in frame.schema.items() if _of_times(dtype)]
    if len(found) != 1:
        there = f"columns {_listed(found)} hold" if found else "no column holds"
        say = f"; there are {_listed(frame.columns)}" if not found else ""
        raise DataError(f"{there} times: say which is the time of the rows, time='...'{say}")
    return found[0]


def _of_times(dtype: Any) -> bool:
    return bool(dtype == nw.Datetime or dtype == nw.Date)


def _moment(dtype: Any) -> Any:
    return nw.Datetime("us") if dtype == nw.Date else dtype


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")
