"""Values of records to readings: what all kinds of values have in common, and lines of text.

No record can end a run: what nothing can be made of is a dead letter, whatever is wrong with it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from gapcast.plugins.kafka.records import (
    NO_TIME,
    NOTHING,
    Decoded,
    Ints,
    Records,
    decoded,
    in_order,
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
from gapcast.plugins.sources.text.names import LONGEST
from gapcast.plugins.sources.text.split import NEWLINE

log = logging.getLogger("gapcast.kafka")

UNFOLDED = 64 << 20
"""Bytes that one record may make when it is read."""
TOO_MUCH = f"record unfolds to more than {UNFOLDED} bytes"
CELL = 32
"""Bytes that a cell costs while text is read, about: its place, its number, what became of it."""


class Decoder(ABC):
    """Makes readings of records. What a record gives depends on it alone."""

    def decode(self, records: Records) -> Decoded:
        """Readings and dead letters, both in the order of the records. Never raises for what is
        in a record; about `UNFOLDED` bytes are unfolded at once."""
        if not len(records):
            return NOTHING
        sizes = np.array(self.sizes(records), np.float64)
        large = sizes > UNFOLDED
        rest = records.part(np.flatnonzero(~large)) if large.any() else records
        whole = np.cumsum(sizes[~large]) // UNFOLDED
        cuts = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), len(rest)]
        parts = [self._tried(rest.part(slice(a, b))) for a, b in pairwise(cuts) if a < b]
        parts.append(poison(records, dict.fromkeys(np.flatnonzero(large).tolist(), TOO_MUCH)))
        return in_order(joined(parts))

    def sizes(self, records: Records) -> Ints:
        """Bytes that each record makes when it is read, about; found without reading it."""
        return lengths(records.values)

    @abstractmethod
    def made(self, records: Records) -> Decoded:
        """Readings in the order of the records, and dead letters. If it raises, what it makes of
        each record alone counts."""

    def _tried(self, records: Records) -> Decoded:
        try:
            return self.made(records)
        except MemoryError:
            raise
        except Exception as error:
            if len(records) > 1:
                half = len(records) // 2
                return joined(
                    [self._tried(records.part(k)) for k in (slice(half), slice(half, None))]
                )
            log.warning(
                "%s:%d cannot be read", records.partition, records.offsets[0], exc_info=error
            )
            return poison(records, {0: f"cannot be read: {type(error).__name__}: {error}"})


def lengths(values: list[bytes]) -> Ints:
    """Bytes of each value."""
    return np.fromiter(map(len, values), np.int64, len(values))


def breaks(values: list[bytes]) -> Ints:
    """Line breaks in each value."""
    if b"\n" not in b"".join(values):
        return np.zeros(len(values), np.int64)
    return np.array([value.count(b"\n") for value in values], np.int64)


class Lines(Decoder):
    """Values of one line or several, as a format of files reads them; `cells` a line at most."""

    def __init__(self, reader: TextFormat, cells: int) -> None:
        self._reader = reader
        self._line = CELL * cells

    def sizes(self, records: Records) -> Ints:
        """See `Decoder.sizes`."""
        return lengths(records.values) + (breaks(records.values) + 1) * self._line

    def made(self, records: Records) -> Decoded:
        """See `Decoder.made`."""
        if not len(records):
            return NOTHING
        text = np.frombuffer(b"\n".join([*records.values, b""]), np.uint8)
        parsed = self._reader.parse(text)
        sizes = lengths(records.values)
        of_row = np.searchsorted(np.cumsum(sizes + 1) - 1, np.flatnonzero(text == NEWLINE))
        raw = Raw(parsed.fields, parsed.slots, parsed.fields.lines)
        return decoded(parsed.rows, of_row, records, raw)


class Beside(Decoder):
    """CSV whose sensor is the record's key, or whose time is the record's: put before each line."""

    def __init__(self, reader: Csv, cells: int, delimiter: str, key: bool, time: bool) -> None:
        self._lines = Lines(reader, cells)
        self._delimiter = delimiter.encode()
        self._key, self._time = key, time

    def sizes(self, records: Records) -> Ints:
        """See `Decoder.sizes`. A key is at most as long as a name."""
        return self._lines.sizes(records) + breaks(records.values) * LONGEST

    def made(self, records: Records) -> Decoded:
        """See `Decoder.made`."""
        bad: dict[int, str] = {}
        values = []
        for i, value in enumerate(records.values):
            first = []
            if self._key:
                key = records.keys[i]
                if (
                    not key
                    or len(key) > LONGEST
                    or any(c in key for c in (self._delimiter, b'"', b"\n", b"\r"))
                ):
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
        return joined([self._lines.made(good), poison(records, bad)])


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

    def own(self, columns: Sequence[str], where: str) -> list[int]:
        """The numbers of those `columns` that are read. Raises SourceError as `found` does."""
        known, found = self.found(columns, where)
        numbers = {found.time, found.sensor, found.quantity, *found.values} - {-1}
        names = {known[n] for n in numbers}
        return [n for n, name in enumerate(columns) if name in names]

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
