"""Values of records to readings: text, JSON, Arrow IPC. An undecodable value is one dead letter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.plugins.kafka.records import (
    NO_TIME,
    NOTHING,
    Decoded,
    Ints,
    Records,
    decoded,
    joined,
    moments,
    names,
    poison,
)
from gapcast.plugins.sources.formats.batches import rows
from gapcast.plugins.sources.formats.columns import Table, TableOptions, table
from gapcast.plugins.sources.formats.csv import Csv
from gapcast.plugins.sources.formats.format import TextFormat
from gapcast.plugins.sources.formats.rows import Raw
from gapcast.plugins.sources.text.split import NEWLINE


class Decoder(ABC):
    """Makes readings of records. What a record gives depends on it alone."""

    @abstractmethod
    def decode(self, records: Records) -> Decoded:
        """Readings and dead letters, both in the order of the records."""


class Lines(Decoder):
    """Values of one line or several, as a format of files reads them."""

    def __init__(self, reader: TextFormat) -> None:
        self._reader = reader

    def decode(self, records: Records) -> Decoded:
        """See `Decoder.decode`."""
        if not len(records):
            return NOTHING
        text = np.frombuffer(b"\n".join([*records.values, b""]), np.uint8)
        parsed = self._reader.parse(text)
        sizes = np.fromiter(map(len, records.values), np.int64, len(records))
        of_row = np.searchsorted(np.cumsum(sizes + 1) - 1, np.flatnonzero(text == NEWLINE))
        raw = Raw(parsed.fields, parsed.slots, parsed.fields.lines)
        return decoded(parsed.rows, of_row, records, raw)


class Beside(Decoder):
    """CSV whose sensor is the record's key, or whose time is the record's: put before each line."""

    def __init__(self, reader: Csv, delimiter: str, key: bool, time: bool) -> None:
        self._lines = Lines(reader)
        self._delimiter = delimiter.encode()
        self._key, self._time = key, time

    def decode(self, records: Records) -> Decoded:
        """See `Decoder.decode`."""
        bad: dict[int, str] = {}
        values = []
        for i, value in enumerate(records.values):
            first = []
            if self._key:
                key = records.keys[i]
                if not key or any(c in key for c in (self._delimiter, b'"', b"\n", b"\r")):
                    bad[i] = "no key that is a name"
                first.append(key or b"")
            if self._time:
                if records.times[i] == NO_TIME:
                    bad[i] = "no timestamp"
                first.append(b"%d" % records.times[i])
            before = b"".join(part + self._delimiter for part in first)
            lines = value.split(b"\n")
            values.append(b"\n".join(before + line if line.strip() else b"" for line in lines))
        keep = np.array([i for i in range(len(values)) if i not in bad], np.int64)
        good = Records(
            records.partition, [values[i] for i in keep], records.offsets[keep], [], records.times
        )
        return joined([self._lines.decode(good), poison(records, bad)])


class Columns:
    """Which columns of records are readings; the key, the time and the quantity of a record can be
    columns. beside: the names of those that are."""

    def __init__(
        self,
        options: TableOptions,
        quantities: frozenset[str] | None,
        key: bool,
        time: bool,
        quantity: bool = False,
    ) -> None:
        self.options = options
        self.quantities = quantities
        self.key, self.time, self.quantity = key, time, quantity
        self.beside = [options.sensor] * key + [options.quantity] * quantity + [options.time] * time

    def found(self, columns: Sequence[str], where: str) -> tuple[list[str], Table]:
        """All the columns that there are, and those that are read. Raises SourceError."""
        known = [*(name for name in columns if name not in self.beside), *self.beside]
        return known, table(self.options, known, self.quantities, where)

    def wanted(self, quantity: str) -> bool:
        """Whether readings of `quantity` are asked for."""
        return self.quantities is None or quantity in self.quantities

    def decode(self, batch: pa.RecordBatch, of_row: Ints, records: Records) -> Decoded:
        """The rows of `batch`, row i of which came from record ``of_row[i]``. Raises SourceError
        when its columns are not those of readings."""
        known, found = self.found(batch.schema.names, records.partition)
        numbers = {found.time, found.sensor, found.quantity, *found.values} - {-1}
        column = {n: self.column(known[n], batch, of_row, records) for n in numbers}
        made = rows(found, column, self.options, self.wanted, records.partition)
        return decoded(made, of_row, records)

    def column(self, name: str, batch: pa.RecordBatch, of_row: Ints, records: Records) -> pa.Array:
        """One column, from `batch` or from the records themselves."""
        if self.key and name == self.options.sensor:
            return names(records.keys).dictionary_encode().take(pa.array(of_row))
        if self.quantity and name == self.options.quantity:
            return names(records.quantities).dictionary_encode().take(pa.array(of_row))
        if self.time and name == self.options.time:
            return moments(records.times[of_row])
        return batch.column(name)


class ArrowStreams(Decoder):
    """Values that are Arrow IPC streams, many readings each. A stream is taken whole or not."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def decode(self, records: Records) -> Decoded:
        """See `Decoder.decode`."""
        found: list[tuple[int, pa.Table]] = []
        bad: dict[int, str] = {}
        for i, value in enumerate(records.values):
            try:
                found.append((i, _stream(value)))
            except (pa.ArrowException, OSError, ValueError) as error:
                bad[i] = f"not an Arrow IPC stream: {str(error).partition(chr(10))[0]}"
        parts = [
            self._alike(list(group), records)
            for _, group in groupby(found, lambda item: item[1].schema)
        ]
        return joined([*parts, poison(records, bad)]) if parts or bad else NOTHING

    def _alike(self, found: Sequence[tuple[int, pa.Table]], records: Records) -> Decoded:
        """The readings of tables of one schema."""
        sizes = [len(piece) for _, piece in found]
        of_row = np.repeat(np.array([i for i, _ in found], np.int64), sizes)
        if not len(of_row):
            return NOTHING
        (batch,) = pa.concat_tables([t for _, t in found]).combine_chunks().to_batches()
        try:
            return self._columns.decode(batch, of_row, records)
        except (SourceError, pa.ArrowException, UnicodeDecodeError) as error:
            return poison(records, {i: str(error) for i, _ in found})


def _stream(value: bytes) -> pa.Table:
    with pa.ipc.open_stream(value) as stream:
        found = stream.read_all()
    found.validate(full=True)  # its offsets and indices come from another party
    return found
