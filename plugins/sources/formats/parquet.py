"""``parquet``: long or wide tables (see `columns`), of which only the columns needed are read.

How the columns are read is said in `batches`. A reading's offset is the number of its row, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Any

import pyarrow as pa

from gapcast.engine.source import Position
from gapcast.plugins.sources.formats.batches import rows
from gapcast.plugins.sources.formats.chunk import Chunk, Since
from gapcast.plugins.sources.formats.columns import Table, TableOptions, described, table
from gapcast.plugins.sources.formats.format import Format
from gapcast.plugins.sources.formats.rows import Rows, chunk
from gapcast.plugins.sources.text.clock import Clock


class Parquet(Format):
    """Rows of a Parquet file, in its order."""

    Options = TableOptions

    options: TableOptions

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. Row groups before `position` are not read."""
        start = position.get("since", position)["line"] if position else 1
        self._clock = Clock(self.options.timezone)
        self._clock.follow(start)
        try:
            with self.file.open() as raw:
                for first, batch in self._batches(raw, start):
                    passed = max(0, start - first)
                    made = self._rows(batch.slice(passed))
                    since = None if self._clock.since is None else Since(self._clock.since)
                    whole = chunk(made, self.file.name, first + passed)
                    yield replace(whole, since=since)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise self.file.unreadable(error) from error
        self._clock.end()

    def implicit(self) -> Set[str]:
        """See `Format.implicit`."""
        import pyarrow.parquet as pq

        try:
            with self.file.open() as raw:
                names = pq.read_schema(raw).names
        except (OSError, pa.ArrowException) as error:
            raise self.file.unreadable(error) from error
        return self._table(names).implicit

    def facts(self) -> dict[str, str]:
        """See `Format.facts`."""
        return super().facts() | described(self.options, self._found)

    def _table(self, names: list[str]) -> Table:
        return table(self.options, names, self.quantities, self.file.path, self.file.said)

    def _batches(self, raw: Any, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Record batches of the columns needed, from that with row `start` on; their first row."""
        import pyarrow.parquet as pq

        schema = pq.read_schema(raw)
        found = self._found = self._table(schema.names)
        numbers = sorted({*found.times, found.sensor, found.quantity, *found.values} - {-1})
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
                if first != end:
                    raise pa.ArrowInvalid(f"row group {group} lacks {end - first} of its rows")
            first = end

    def _rows(self, batch: pa.RecordBatch) -> Rows:
        found = self._found
        numbers = sorted({*found.times, found.sensor, found.quantity, *found.values} - {-1})
        column = {number: batch.column(k) for k, number in enumerate(numbers)}
        return rows(found, column, self.options, self.wanted, self.file.path, self._clock)
