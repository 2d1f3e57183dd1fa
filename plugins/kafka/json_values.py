"""JSON objects to readings: as one block of lines by Arrow, one by one where a block fails."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from gapcast.plugins.kafka import json_fields
from gapcast.plugins.kafka.decoders import CELL, Columns, Decoder, lengths
from gapcast.plugins.kafka.records import NOTHING, Decoded, Ints, Records, decoded, joined, poison
from gapcast.plugins.sources.formats.batches import rows
from gapcast.plugins.sources.formats.rows import SKIPPED
from gapcast.plugins.sources.text.decimals import ABSENT, MALFORMED, NULL
from gapcast.plugins.sources.text.patterns import UNITS, reader
from gapcast.plugins.sources.text.times import NONE

ONE_BY_ONE = 64
"""A block of so many records that Arrow cannot read is not cut in two again."""
_OPEN, _CLOSE = 123, 125
_FAR = float(1 << 62)


class JsonObjects(Decoder):
    """Values that are JSON objects, or arrays of such. In a flat one, null is as good as absent."""

    def __init__(self, columns: Columns, where: str) -> None:
        """Raises SourceError when the names of the columns cannot be known."""
        options = columns.options
        fields = [options.time, options.sensor]
        if options.wide is None:
            fields += [options.quantity, options.value]
        else:
            wide = json_fields.named(options.wide, columns.quantities, where)
            wide = {n: c for n, c in wide.items() if n in options.wide or n not in fields}
            options = options.model_copy(update={"wide": wide})
            columns = Columns(options, columns.quantities, columns.key, columns.time)
            fields += [name for name in wide if name not in fields]
        self._columns = columns
        self._numeric = options.time_format in UNITS
        self._written = reader(options.time_format)
        self._known, self._table = columns.found(fields, where)
        self._fields = [
            self._known[n] for n in sorted(
                {self._table.time, self._table.sensor, self._table.quantity, *self._table.values}
                - {-1}
            )
        ]  # fmt: skip
        self._asked = [name for name in self._fields if name not in columns.beside]
        self._values = {self._known[n] for n in self._table.values}
        self._schemas = self._possible(where)

    def sizes(self, records: Records) -> Ints:
        """See `Decoder.sizes`."""
        objects = np.ones(len(records), np.int64)
        for i in _arrays(records.values):
            objects[i] = records.values[i].count(b"{")
        return lengths(records.values) + CELL * (1 + len(self._fields)) * objects

    def made(self, records: Records) -> Decoded:
        """See `Decoder.made`."""
        if arrays := _arrays(records.values):
            records = _spread(records, arrays)
        return joined(self._parts(records)) if len(records) else NOTHING

    def _parts(self, records: Records) -> list[Decoded]:
        batch = self._block(records.values)
        if batch is not None:
            return [self._finished(batch, records, {}, set())]
        if len(records) <= ONE_BY_ONE:
            return self._each(records)
        half = len(records) // 2
        return self._parts(records.part(slice(half))) + self._parts(records.part(slice(half, None)))

    def _possible(self, where: str) -> list[pa.Schema]:
        """The types a block may have: those of time, sensor and values vary, first what is most
        common. A number may stand in quotes."""
        options = self._columns.options
        time = [pa.string()]
        if self._numeric:
            whole = options.time_format in ("us", "ns")
            time = [pa.int64(), *([] if whole else [pa.float64()]), pa.string()]
        found = []
        for of_time, sensor, value in itertools.product(
            time, (pa.string(), pa.int64()), (pa.float64(), pa.string())
        ):
            types = dict.fromkeys(self._asked, pa.string()) | dict.fromkeys(self._values, value)
            own = {options.time: of_time, options.sensor: sensor}
            types |= {name: kind for name, kind in own.items() if name in types}
            found.append(json_fields.schema(types, where))
        return found

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
            except (pa.ArrowInvalid, UnicodeDecodeError):
                continue
            if len(read) != len(values):
                return None
            if schema is not self._schemas[0]:
                self._schemas.remove(schema)
                self._schemas.insert(0, schema)
            (batch,) = read.combine_chunks().to_batches()
            columns = [json_fields.column(batch, name) for name in self._asked]
            return pa.RecordBatch.from_arrays(columns, names=self._asked)
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
            written = json.dumps(json_fields.last(name)).encode()
            for i in np.flatnonzero(nulls.to_numpy(zero_copy_only=False)).tolist():
                raw = records.values[i]
                there = written in raw or b"\\" in raw
                if i not in bad and not (there and json_fields.has(_loaded(raw) or {}, name)):
                    bad[i] = f"no field {name!r}"

    def _each(self, records: Records) -> list[Decoded]:
        """Records one by one."""
        bad: dict[int, str] = {}
        cells: set[tuple[int, str]] = set()
        lists: dict[str, list[Any]] = {name: [] for name in self._asked}
        for i, value in enumerate(records.values):
            try:
                found = _loads(value)
            except (ValueError, RecursionError):
                if len(records) > 1 and self._block([value]) is not None:
                    return self._around(i, records)
                found, bad[i] = {}, "not JSON"
            if not isinstance(found, dict):
                found, bad[i] = {}, "not a JSON object"
            for name in self._asked:
                lists[name].append(self._one(name, json_fields.value(found, name), i, cells))
        arrays = [pa.array(lists[name], self._type(name)) for name in self._asked]
        batch = pa.RecordBatch.from_arrays(arrays, names=self._asked)
        return [self._finished(batch, records, bad, cells)]

    def _around(self, i: int, records: Records) -> list[Decoded]:
        """Records of which that at `i` is JSON to Arrow alone, as ``-Inf`` is."""
        places = (slice(i), slice(i, i + 1), slice(i + 1, None))
        return [part for k in places for part in self._parts(records.part(k))]

    def _type(self, name: str) -> pa.DataType:
        numeric = name == self._columns.options.time and self._numeric
        return pa.timestamp("us", tz="UTC") if numeric else pa.string()

    def _one(self, name: str, found: Any, row: int, cells: set[tuple[int, str]]) -> Any:
        """A field as its column has it, or None if it is not of its type."""
        options = self._columns.options
        number = isinstance(found, int | float) and not isinstance(found, bool)
        text = found if isinstance(found, str) and _is_unicode(found) else None
        if name == options.time and self._numeric:
            return _micros(found, options.time_format) if number else self._micros_of(text)
        if name == options.sensor and number and isinstance(found, int):
            return str(found)
        if name not in self._values or text is not None:
            return text
        if number:
            return _digits(found)
        if found is not None:
            cells.add((row, name))
        return None

    def _micros_of(self, text: str | None) -> int | None:
        """A time that is a number in quotes."""
        raw = (text or "").encode()
        span = np.array([0, len(raw)], np.int32)
        times, kinds = self._written(np.frombuffer(raw + b"\n", np.uint8), span[:1], span[1:])
        return int(times[0]) if kinds[0] != NONE else None


def _loads(value: bytes) -> Any:
    """The value of JSON; bytes that are not UTF-8 become half surrogates, as no name is."""
    return json.loads(value.decode("utf-8-sig", "surrogateescape"))


def _loaded(value: bytes) -> dict[str, Any] | None:
    try:
        found = _loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _arrays(values: list[bytes]) -> set[int]:
    """The places of those values that begin as an array does."""
    if {value[:1] for value in values} == {b"{"}:
        return set()
    return {i for i, value in enumerate(values) if value.lstrip()[:1] == b"["}


def _spread(records: Records, arrays: set[int]) -> Records:
    """`records` with each object of an array as a record of its own, of the same offset."""
    places, values = [], []
    for i, value in enumerate(records.values):
        objects = [value]
        if i in arrays:
            with suppress(ValueError, RecursionError):
                found = _loads(value)
                if all(isinstance(one, dict) for one in found):
                    objects = [json.dumps(one).encode() for one in found]
        values += objects
        places += [i] * len(objects)
    return replace(records.part(np.array(places, np.int64)), values=values)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digits(number: int | float) -> str:
    """A number as text that gives the same float64; one that is too large is infinite."""
    try:
        return repr(float(number))
    except OverflowError:
        return "inf" if number > 0 else "-inf"


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
