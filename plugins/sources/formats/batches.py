"""Arrow columns, from a file or a message, to rows of cells.

Times are timestamps, dates, text, or numbers with `time_format` saying of what: whole ones, or in
s and ms such with a fraction, rounded to microseconds. Sensors and quantities are text or whole
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.errors import SourceError
from gapcast.plugins.sources.formats.columns import Names, Table, TableOptions, labels
from gapcast.plugins.sources.formats.rows import BAD_NAME, BAD_TIME, GOOD, Rows
from gapcast.plugins.sources.text.decimals import FINE, INFINITE, NULL
from gapcast.plugins.sources.text.names import LONGEST
from gapcast.plugins.sources.text.patterns import UNITS, reader
from gapcast.plugins.sources.text.times import DAY, Times, to_utc

_LARGEST = (1 << 63) - 1


def rows(
    found: Table,
    column: Mapping[int, pa.Array],
    options: TableOptions,
    wanted: Callable[[str], bool],
    where: str,
) -> Rows:
    """Rows of the columns that `found` numbers.

    Raises SourceError, naming `where`, if a column is of a type that cannot be read.
    """
    if len(found.times) > 1:
        raise SourceError(f"{where}: time: one column, found {', '.join(options.times)}")
    time, good = _times(column[found.time], options, where)
    state = np.zeros(len(time), np.int8)
    state[~good] = BAD_TIME
    sensor = _names(column.get(found.sensor), state)
    quantity = _names(column.get(found.quantity), state)
    values = np.empty((len(time), len(found.values)))
    cells = np.full(values.shape, FINE, np.int8)
    for k, number in enumerate(found.values):
        _values(column[number], values[:, k], cells[:, k], where)
    return Rows(state, time, values, cells, labels(found, sensor, quantity, wanted))


def _times(column: pa.Array, options: TableOptions, where: str) -> Times:
    kind, zone = column.type, options.timezone
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(column.cast(pa.string()), reader(options.time_format, zone))
    if pa.types.is_floating(kind) and options.time_format in ("s", "ms"):
        return _fractions(column, UNITS[options.time_format])
    if pa.types.is_timestamp(kind):
        unit, zone = UNITS[kind.unit], "UTC" if kind.tz else zone
    elif pa.types.is_date(kind):
        column, unit = column.cast(pa.date32()).cast(pa.int32()), DAY
    elif pa.types.is_integer(kind) and options.time_format in UNITS:
        unit, zone = UNITS[options.time_format], "UTC"
    else:
        raise SourceError(
            f"{where}: column {options.times[0]!r} is of type {kind}; expected times,"
            " text, or numbers with time_format: s, ms, us or ns"
        )
    numbers = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    good = _valid(column)
    if unit > 1:
        most = _LARGEST // unit
        good &= (numbers >= -most) & (numbers <= most)
        numbers = np.where(good, numbers, 0) * unit
    elif unit == 0:
        numbers = numbers // 1000
    return (numbers if zone == "UTC" else to_utc(numbers, zone)), good


def _fractions(column: pa.Array, unit: int) -> Times:
    numbers = np.rint(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy() * unit)
    good = np.abs(numbers) < float(_LARGEST)
    return np.where(good, numbers, 0).astype(np.int64), good


def _names(column: pa.Array | None, state: NDArray[np.int8]) -> Names:
    """The names in a column; a row with none, or one that is empty or too long, is not read."""
    if column is None:
        return Names.none(len(state))
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    found = column.dictionary.cast(pa.string())
    length = pc.fill_null(pc.binary_length(found), 0).to_numpy()
    known = np.append((length > 0) & (length <= LONGEST), False)
    ids = pc.fill_null(column.indices.cast(pa.int32()), -1).to_numpy()
    if not known[:-1].all():
        ids = np.where(known[ids], ids, -1).astype(np.int32)
    state[(state == GOOD) & (ids < 0)] = BAD_NAME
    return Names(ids, found)


def _values(
    column: pa.Array, values: NDArray[np.float64], cells: NDArray[np.int8], where: str
) -> None:
    try:
        numbers = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise SourceError(f"{where}: values that are not numbers: {error}") from error
    values[:] = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        cells[np.isnan(values)] = NULL
        cells[np.isinf(values)] = INFINITE


def _texts(column: pa.Array, parse: Any) -> Times:
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1]
    text = np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)
    times, good = parse(text, places[:-1], places[1:])
    return times, good & _valid(column)


def _valid(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
