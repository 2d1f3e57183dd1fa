"""JSON objects to readings: as one block of lines by Arrow, one by one where a block fails."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from gapcast.engine.errors import SourceError
from gapcast.plugins.kafka.decoders import Columns, Decoder
from gapcast.plugins.kafka.records import NOTHING, Decoded, Records, decoded, joined, poison
from gapcast.plugins.sources.formats.batches import rows
from gapcast.plugins.sources.formats.columns import REST
from gapcast.plugins.sources.formats.rows import SKIPPED
from gapcast.plugins.sources.text.decimals import ABSENT, MALFORMED, NULL
from gapcast.plugins.sources.text.patterns import UNITS

ONE_BY_ONE = 64
"""A block of so many records that Arrow cannot read is not cut in two again."""
_OPEN, _CLOSE = 123, 125
_FAR = float(1 << 62)


class JsonObjects(Decoder):
    """Values that are JSON objects, one each. In a flat one, null is as good as absent."""

    def __init__(self, columns: Columns, where: str) -> None:
        """Raises SourceError when the names of the columns cannot be known."""
        options = columns.options
        self._columns = columns
        self._numeric = options.time_format in UNITS
        fields = [options.time, options.sensor]
        if options.wide is None:
            fields += [options.quantity, options.value]
        else:
            fields += [name for name in options.wide if name != REST]
            if REST in options.wide:
                if columns.quantities is None:
                    raise SourceError(
                        f"{where}: '*' in `wide` is not possible here; name the fields"
                    )
                fields += sorted(columns.quantities - {*fields})
        self._known, self._table = columns.found(fields, where)
        self._fields = [
            self._known[n] for n in sorted(
                {self._table.time, self._table.sensor, self._table.quantity, *self._table.values}
                - {-1}
            )
        ]  # fmt: skip
        self._asked = [name for name in self._fields if name not in columns.beside]
        self._schemas = self._possible()

    def decode(self, records: Records) -> Decoded:
        """See `Decoder.decode`."""
        return joined(self._parts(records)) if len(records) else NOTHING

    def _parts(self, records: Records) -> list[Decoded]:
        batch = self._block(records.values)
        if batch is not None:
            return [self._finished(batch, records, {}, set())]
        if len(records) <= ONE_BY_ONE:
            return self._each(records)
        half = len(records) // 2
        return self._parts(records.part(slice(half))) + self._parts(records.part(slice(half, None)))

    def _possible(self) -> list[pa.Schema]:
        """The types a block may have: that of time and sensor vary, first what is most common."""
        options = self._columns.options
        time = [pa.string()]
        if self._numeric:
            whole = options.time_format in ("us", "ns")
            time = [pa.int64()] if whole else [pa.int64(), pa.float64()]
        types = {options.time: time, options.sensor: [pa.string(), pa.int64()]}
        types[options.quantity] = [pa.string()] if options.wide is None else [pa.float64()]
        each = [types.get(name, [pa.float64()]) for name in self._asked]
        return [
            pa.schema(list(zip(self._asked, chosen, strict=True)))
            for chosen in itertools.product(*each)
        ]

    def _block(self, values: list[bytes]) -> pa.RecordBatch | None:
        """All values as one table, or None if they are not all objects of one kind."""
        text = b"\n".join(values)
        ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)) + 1) - 1
        starts = np.append(0, ends[:-1] + 1)
        # Objects that begin and end where the values do cannot run from one into the next, so as
        # many rows as values are one a value.
        seen = np.frombuffer(text + b"\n\n", np.uint8)
        if not (np.all(seen[starts] == _OPEN) and np.all(seen[ends - 1] == _CLOSE)):
            return None
        for schema in self._schemas:
            try:
                read = pj.read_json(
                    pa.BufferReader(text),
                    pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
                    pj.ParseOptions(schema, unexpected_field_behavior="ignore"),
                )
            except pa.ArrowInvalid:
                continue
            if len(read) != len(values):
                return None
            if schema is not self._schemas[0]:
                self._schemas.remove(schema)
                self._schemas.insert(0, schema)
            (batch,) = read.combine_chunks().to_batches()
            return batch
        return None

    def _finished(
        self,
        batch: pa.RecordBatch,
        records: Records,
        bad: dict[int, str],
        cells: set[tuple[int, str]],
    ) -> Decoded:
        """Rows of a block. bad: rows that are dead letters already; cells: and fields of rows."""
        columns, of_row = self._columns, np.arange(len(records))
        column = {
            self._known.index(n): columns.column(n, batch, of_row, records) for n in self._fields
        }
        made = rows(self._table, column, columns.options, columns.wanted, records.partition)
        if columns.options.wide is not None:
            made.cells[made.cells == NULL] = ABSENT
        else:
            self._without_value(batch, records, bad)
        slots = {self._known[n]: k for k, n in enumerate(self._table.values)}
        for row, name in cells:
            made.cells[row, slots[name]] = MALFORMED
        made.state[list(bad)] = SKIPPED
        return joined([decoded(made, of_row, records, shown=True), poison(records, bad)])

    def _without_value(self, batch: pa.RecordBatch, records: Records, bad: dict[int, str]) -> None:
        """A null value says that one is missing; a field that is not there says nothing."""
        name = self._columns.options.value
        nulls = batch.column(name).is_null()
        if batch.column(name).null_count:
            written = json.dumps(name).encode()
            for i in np.flatnonzero(nulls.to_numpy(zero_copy_only=False)).tolist():
                if i not in bad and written not in records.values[i]:
                    bad[i] = f"no field {name!r}"

    def _each(self, records: Records) -> list[Decoded]:
        """Records one by one."""
        bad: dict[int, str] = {}
        cells: set[tuple[int, str]] = set()
        lists: dict[str, list[Any]] = {name: [] for name in self._asked}
        for i, value in enumerate(records.values):
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                found, bad[i] = {}, "not JSON"
            if not isinstance(found, dict):
                found, bad[i] = {}, "not a JSON object"
            for name in self._asked:
                lists[name].append(self._one(name, found.get(name), i, cells))
        arrays = [pa.array(lists[name], self._type(name)) for name in self._asked]
        batch = pa.RecordBatch.from_arrays(arrays, names=self._asked)
        return [self._finished(batch, records, bad, cells)]

    def _type(self, name: str) -> pa.DataType:
        options = self._columns.options
        if name == options.time:
            return pa.timestamp("us", tz="UTC") if self._numeric else pa.string()
        text = name == options.sensor or (options.wide is None and name == options.quantity)
        return pa.string() if text else pa.float64()

    def _one(self, name: str, found: Any, row: int, cells: set[tuple[int, str]]) -> Any:
        """A field as its column has it, or None if it is not of its type."""
        options = self._columns.options
        number = isinstance(found, int | float) and not isinstance(found, bool)
        if name == options.time and self._numeric:
            return _micros(found, options.time_format) if number else None
        if name == options.sensor and number and isinstance(found, int):
            return str(found)
        if self._type(name) == pa.string():
            return found if isinstance(found, str) else None
        if number:
            try:
                return float(found)
            except OverflowError:
                return float("inf") if found > 0 else float("-inf")
        if found is not None:
            cells.add((row, name))
        return None


def _micros(number: int | float, unit: str) -> int | None:
    """A time as µs since 1970, as a block would have it; None if it is none."""
    scale = UNITS[unit]
    if isinstance(number, int):
        found = number * scale if scale else number // 1000
    elif unit in ("s", "ms") and abs(number) < _FAR:
        found = int(np.rint(number * scale))
    else:
        return None
    return found if abs(found) < 1 << 63 else None
