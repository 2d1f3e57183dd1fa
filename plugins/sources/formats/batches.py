"""Arrow columns, from a file or a message, to rows of cells.

Times are timestamps, dates, text, or numbers with `time_format` saying of what: whole ones, or in
s and ms such with a fraction, rounded to microseconds. Sensors and quantities are text or whole
numbers. Values are numbers of any type, booleans (1 and 0), or text, which is read as the cells
of CSV are. Each may come as a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.errors import SourceError
from gapcast.plugins.sources.formats.arrays import is_text, once, pieces, storage, utf8, valid
from gapcast.plugins.sources.formats.columns import Table, TableOptions, labels
from gapcast.plugins.sources.formats.rows import BAD_NAME, BAD_TIME, GOOD, OFF_CLOCK, Rows
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.decimals import FINE, INFINITE, NULL, decimals
from gapcast.plugins.sources.text.names import LONGEST, Names
from gapcast.plugins.sources.text.patterns import UNITS, reader
from gapcast.plugins.sources.text.split import Fields
from gapcast.plugins.sources.text.times import DAY, LOCAL, NONE, PLACED, Times

_LARGEST = (1 << 63) - 1


def rows(
    found: Table,
    column: Mapping[int, pa.Array],
    options: TableOptions,
    wanted: Callable[[str], bool],
    where: str,
    clock: Clock | None = None,
) -> Rows:
    """Rows of the columns that `found` numbers; clock: that of a file, which sees all of its rows.

    Raises SourceError, naming `where`, if a column is of a type that cannot be read.
    """
    if len(found.times) > 1:
        raise SourceError(f"{where}: time: one column, found {', '.join(options.times)}")
    column = {number: storage(values) for number, values in column.items()}
    time, kinds = once(column[found.time], lambda values: _times(values, options, where))
    state = np.zeros(len(time), np.int8)
    state[kinds == NONE] = BAD_TIME
    sensor = _names(column.get(found.sensor), state, options.sensor, where)
    quantity = _names(column.get(found.quantity), state, options.quantity, where)
    clock = clock or Clock(options.timezone)
    time, never = clock.utc(time, (state == GOOD) & (kinds == LOCAL), sensor, quantity)
    state[never] = OFF_CLOCK
    values = np.empty((len(time), len(found.values)))
    cells = np.full(values.shape, FINE, np.int8)
    for k, number in enumerate(found.values):
        values[:, k], cells[:, k] = once(column[number], _Numbers(found.columns[number], where))
    of = labels(found, sensor, quantity, wanted)
    return Rows(state, time, values, cells, of, clock.zone)


def _wrong(where: str, name: str, kind: pa.DataType, expected: str) -> SourceError:
    return SourceError(
        f"{where}: column {name!r} is of type {kind}; expected {expected}: write it as such"
    )


def _times(column: pa.Array, options: TableOptions, where: str) -> Times:
    kind = column.type
    if is_text(kind):
        times, kinds = reader(options.time_format)(*pieces(column))
        return times, np.where(valid(column), kinds, NONE).astype(np.int8)
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        if options.time_format in ("s", "ms"):
            return _fractions(column, UNITS[options.time_format])
    elif pa.types.is_timestamp(kind):
        return _scaled(column, UNITS[kind.unit], PLACED if kind.tz else LOCAL)
    elif pa.types.is_date32(kind):
        return _scaled(column.cast(pa.int32()), DAY, LOCAL)
    elif pa.types.is_date64(kind):
        return _scaled(column, UNITS["ms"], LOCAL)
    elif pa.types.is_integer(kind) and options.time_format in UNITS:
        return _scaled(column, UNITS[options.time_format], PLACED)
    elif pa.types.is_null(kind):
        return np.zeros(len(column), np.int64), np.zeros(len(column), np.int8)
    raise _wrong(
        where, options.times[0], kind, "times, text, or numbers with time_format: s, ms, us or ns"
    )


def _scaled(column: pa.Array, unit: int, kind: int) -> Times:
    """Whole numbers of `unit` microseconds (0: nanoseconds) since 1970, times of one kind."""
    numbers = pc.fill_null(column.cast(pa.int64(), safe=False), 0).to_numpy()
    good = valid(column)
    if pa.types.is_uint64(column.type):
        good &= numbers >= 0
    if unit > 1:
        most = _LARGEST // unit
        good &= (numbers >= -most) & (numbers <= most)
        numbers = np.where(good, numbers, 0) * unit
    elif unit == 0:
        numbers = numbers // 1000
    return numbers, np.where(good, kind, NONE).astype(np.int8)


def _fractions(column: pa.Array, unit: int) -> Times:
    numbers = np.rint(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy() * unit)
    good = np.abs(numbers) < float(_LARGEST)
    times = np.where(good, numbers, 0).astype(np.int64)
    return times, np.where(good, PLACED, NONE).astype(np.int8)


def _names(column: pa.Array | None, state: NDArray[np.int8], name: str, where: str) -> Names:
    """The names in a column; a row with none, or with one that is empty, too long or not UTF-8,
    is not read."""
    if column is None:
        return Names.none(len(state))
    coded = pa.types.is_dictionary(column.type)
    kind = storage(column.dictionary).type if coded else column.type
    numbers = pa.types.is_integer(kind) or pa.types.is_null(kind)
    if not (numbers or is_text(kind)):
        raise _wrong(where, name, kind, "text or whole numbers")
    column = column if coded else column.dictionary_encode()
    found = storage(column.dictionary)
    found, known = utf8(found.cast(pa.string()) if numbers else found)
    length = pc.binary_length(found).to_numpy()
    known = np.append(known & (length > 0) & (length <= LONGEST), False)
    ids = pc.fill_null(column.indices.cast(pa.int32()), -1).to_numpy()
    if not known[:-1].all():
        ids = np.where(known[ids], ids, -1).astype(np.int32)
    state[(state == GOOD) & (ids < 0)] = BAD_NAME
    return Names(ids, found)


class _Numbers:
    """Reads the values of a column, and what became of each."""

    def __init__(self, name: str, where: str) -> None:
        self._name, self._where = name, where

    def __call__(self, column: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        kind = column.type
        if is_text(kind):
            return self._texts(column)
        types = pa.types
        if not (
            types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
            or types.is_boolean(kind) or types.is_null(kind)
        ):  # fmt: skip
            raise _wrong(self._where, self._name, kind, "numbers, or text that holds numbers")
        numbers = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)
        values = numbers.to_numpy(zero_copy_only=False)
        cells = np.full(len(values), FINE, np.int8)
        if not np.isfinite(values).all():
            cells[np.isnan(values)] = NULL
            cells[np.isinf(values)] = INFINITE
        return values, cells

    def _texts(self, column: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        text, starts, ends = pieces(column)
        n, none = len(column), np.empty(0)
        fields = Fields(
            text, none.astype(np.int64), none.astype(np.int32), starts[:, None], ends[:, None]
        )
        values, cells = decimals(fields, [0], np.zeros(n, np.int8))
        return values[:, 0], cells[:, 0]
