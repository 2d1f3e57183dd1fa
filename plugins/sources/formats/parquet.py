"""``parquet``: long or wide tables (see `columns`), of which only the columns needed are read.

Times are timestamps, dates, text, or whole numbers with `time_format` saying of what. Sensors and
quantities are text or whole numbers. A reading's offset is the number of its row, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.errors import SourceError
from gapcast.engine.source import Position
from gapcast.plugins.sources.formats.chunk import Chunk
from gapcast.plugins.sources.formats.columns import Names, TableOptions, labels, table
from gapcast.plugins.sources.formats.format import Format
from gapcast.plugins.sources.formats.rows import BAD_NAME, BAD_TIME, GOOD, Rows, chunk
from gapcast.plugins.sources.text.decimals import FINE, INFINITE, NULL
from gapcast.plugins.sources.text.names import LONGEST
from gapcast.plugins.sources.text.patterns import UNITS, reader
from gapcast.plugins.sources.text.times import DAY, Times, to_utc

_LARGEST = (1 << 63) - 1


class Parquet(Format):
    """Rows of a Parquet file, in its order."""

    Options = TableOptions

    options: TableOptions

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. Row groups before `position` are not read."""
        start = position["line"] if position else 1
        try:
            with self.file.open() as raw:
                for first, batch in self._batches(raw, start):
                    passed = max(0, start - first)
                    rows = self._rows(batch.slice(passed))
                    yield chunk(rows, self.file.name, first + passed)
        except (OSError, pa.ArrowException) as error:
            raise self.file.unreadable(error) from error

    def _batches(self, raw: Any, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Record batches of the columns needed, from that with row `start` on; their first row."""
        import pyarrow.parquet as pq

        schema = pq.read_schema(raw)
        found = self._found = table(self.options, schema.names, self.quantities, self.file.path)
        numbers = sorted({found.time, found.sensor, found.quantity, *found.values} - {-1})
        names = [schema.names[k] for k in (found.sensor, found.quantity) if k >= 0]
        text = [name for name in names if pa.types.is_string(schema.field(name).type)]
        file = pq.ParquetFile(raw, read_dictionary=text)
        size = max(1024, 4 * self.size // (16 + 8 * len(found.values)))
        first = 1
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if end > start:
                columns = [schema.names[k] for k in numbers]
                for batch in file.iter_batches(size, [group], columns, use_threads=False):
                    if first + len(batch) > start:
                        yield first, batch.select(columns)
                    first += len(batch)
            first = end

    def _rows(self, batch: pa.RecordBatch) -> Rows:
        found = self._found
        numbers = sorted({found.time, found.sensor, found.quantity, *found.values} - {-1})
        column = {number: batch.column(k) for k, number in enumerate(numbers)}
        state = np.zeros(len(batch), np.int8)
        time, good = self._times(column[found.time])
        state[~good] = BAD_TIME
        sensor = self._names(column.get(found.sensor), state)
        quantity = self._names(column.get(found.quantity), state)
        values = np.empty((len(batch), len(found.values)))
        cells = np.full(values.shape, FINE, np.int8)
        for k, number in enumerate(found.values):
            self._values(column[number], values[:, k], cells[:, k])
        return Rows(state, time, values, cells, labels(found, sensor, quantity, self.wanted))

    def _times(self, column: pa.Array) -> Times:
        kind, zone = column.type, self.options.timezone
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _texts(column.cast(pa.string()), reader(self.options.time_format, zone))
        if pa.types.is_timestamp(kind):
            unit, zone = UNITS[kind.unit], "UTC" if kind.tz else zone
        elif pa.types.is_date(kind):
            column, unit = column.cast(pa.date32()).cast(pa.int32()), DAY
        elif pa.types.is_integer(kind) and self.options.time_format in UNITS:
            unit, zone = UNITS[self.options.time_format], "UTC"
        else:
            raise SourceError(
                f"{self.file.path}: column {self.options.time!r} is of type {kind}; expected times,"
                " text, or whole numbers with time_format: s, ms, us or ns"
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

    def _names(self, column: pa.Array | None, state: NDArray[np.int8]) -> Names:
        """The names in a column; a row with none, or one that is empty or too long, is dead."""
        if column is None:
            return Names.none(len(state))
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        found = column.dictionary.cast(pa.string())
        length = pc.binary_length(found).to_numpy()
        known = np.append((length > 0) & (length <= LONGEST), False)
        ids = pc.fill_null(column.indices.cast(pa.int32()), -1).to_numpy()
        if not known[:-1].all():
            ids = np.where(known[ids], ids, -1).astype(np.int32)
        state[(state == GOOD) & (ids < 0)] = BAD_NAME
        return Names(ids, found)

    def _values(
        self, column: pa.Array, values: NDArray[np.float64], cells: NDArray[np.int8]
    ) -> None:
        try:
            numbers = column.cast(pa.float64(), safe=False)
        except pa.ArrowException as error:
            raise SourceError(f"{self.file.path}: values that are no numbers: {error}") from error
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
