"""Parquet and Feather files: the same schema, metadata and compression come back."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.filling.file import Answers, Asked, Rows, TableFile, Written
from gapcast.engine.filling.keys import keys_of
from gapcast.engine.filling.tables import LOWER, ORIGIN, UPPER
from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.spelling import counted, meant
from gapcast.engine.zones import known
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.names import Names
from gapcast.plugins.tables.dates import UNZONED
from gapcast.plugins.tables.series import series_of


class Columnar(TableFile):
    """A file of Arrow columns."""

    table: pa.Table

    @abstractmethod
    def read(self, path: Path) -> pa.Table:
        """The table in a file. Raises pa.ArrowException."""

    def __init__(self, path: Path, asked: Asked) -> None:
        """See `TableFile`."""
        self.path = path
        try:
            self.table = self.read(path)
        except pa.ArrowException as error:
            raise DataError(f"{path}: cannot be read: {str(error).partition(chr(10))[0]}") from None
        self._check(asked)
        table, names = self.table, self.table.column_names
        time = self._time(asked)
        moments, self._at = self._moments(time)
        may = [n for n in names if n != time and _is_key(table[n])]
        keys = asked.sensor or keys_of(
            moments, may, lambda name: self._names(name).ids.astype(np.int64) + 1
        )
        series = series_of(len(moments), [self._names(name) for name in keys])
        times, zone = self._zoned(time, moments, series.labels, asked)
        slots = self._slots((time, *keys), asked)
        values = np.stack([_floats(table[name])[self._at] for name in slots], axis=1)
        self._keyed = time, tuple(keys), asked.zone
        facts = {"file": f"{type(self).__name__}", "times": f"{time!r}, {zone}"}
        if keys:
            facts["sensors"] = f"{len(series.names):,}, by {' and '.join(map(repr, keys))}"
        kinds = {field.name: field.type for field in table.schema}
        unused = [f"{n}: {kinds[n]}" for n in names if n not in (time, *keys, *slots)]
        if gone := len(table) - len(times):
            unused.append(f"{counted(gone, 'row')}: no time")
        foreign = np.zeros(values.shape, np.bool_)
        self.rows = Rows(
            times, series.ids, series.names, slots, values, foreign, facts, tuple(unused)
        )

    def place(self, row: int) -> str:
        """See `TableFile`."""
        return f"row {self._at[row] + 1:,}"

    def answered(self, answers: Answers) -> pa.Table:
        """The table with its gaps filled."""
        table, metadata = self.table, self.table.schema.metadata
        for i, name in enumerate(self.rows.columns):
            found = np.full(len(table), np.nan)
            found[self._at] = answers.values[:, i]
            place, field = table.schema.get_field_index(name), table.schema.field(name)
            table = table.set_column(place, field, _put(table[name], found))
            for end, bound in ((LOWER, answers.lower), (UPPER, answers.upper)):
                if bound is not None:
                    whole = np.full(len(table), np.nan)
                    whole[self._at] = bound[:, i]
                    table = self._with(table, name + end, pa.array(whole, from_pandas=True))
            if answers.origin is not None:
                words = np.full(len(table), None, object)
                words[self._at] = answers.origin[i]
                table = self._with(table, name + ORIGIN, pa.array(words, pa.string()))
        return table.replace_schema_metadata(metadata)

    def _with(self, table: pa.Table, name: str, column: pa.Array) -> pa.Table:
        if name in table.column_names:
            raise DataError(f"there is a column {name!r} already: rename it")
        return table.append_column(name, column)

    def _check(self, asked: Asked) -> None:
        """Raise DataError where a column that is asked for is not there, or there twice."""
        names = self.table.column_names
        for name in (*asked.time, *asked.sensor, *asked.values):
            if name not in names:
                there = ", ".join(map(repr, names[:20]))
                near = meant(name, names)
                raise DataError(f"{self.path}: no column {name!r}{near} (found: {there})")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{self.path}: two columns are called {twice[0]!r}: rename one")

    def _slots(self, own: tuple[str, ...], asked: Asked) -> tuple[str, ...]:
        """The columns of values: those asked for, or all of numbers that are not `own`."""
        kinds = {field.name: field.type for field in self.table.schema}
        numbers = [name for name, kind in kinds.items() if _is_number(kind)]
        slots = asked.values or tuple(name for name in numbers if name not in own)
        if wrong := [name for name in slots if name not in numbers]:
            raise DataError(
                f"{self.path}: column {wrong[0]!r} holds {kinds[wrong[0]]}, expected numbers"
            )
        if not slots:
            raise DataError(f"{self.path}: no column holds numbers; there are {', '.join(kinds)}")
        return slots

    def _time(self, asked: Asked) -> str:
        """The column of the time."""
        if len(asked.time) > 1:
            raise DataError(f"{self.path}: expected one column of times, found --time twice")
        if asked.time:
            return asked.time[0]
        schema = self.table.schema
        found = [field.name for field in schema if _is_time(field.type)]
        if not found:
            kinds = ", ".join(f"{field.name!r} ({field.type})" for field in schema)
            raise DataError(
                f"{self.path}: no column holds times; there are {kinds}; --time names one of "
                "texts in ISO 8601"
            )
        if len(found) > 1:
            raise Undecided(f"{self.path}: {len(found)} columns hold times", "--time", found)
        return str(found[0])

    def _moments(self, time: str) -> tuple[Ints, Ints]:
        """Microseconds since 1970 of the rows that have a time, and which these are."""
        column = self.table[time]
        try:
            zone = getattr(column.type, "tz", None)
            column = column.cast(pa.timestamp("us", zone), safe=False)
        except pa.ArrowException as error:
            raise DataError(f"{self.path}: column {time!r} holds no times: {error}") from None
        rows = np.flatnonzero(column.is_valid().to_numpy())
        if not len(rows):
            raise DataError(f"{self.path}: column {time!r} has no time")
        found: Ints = column.drop_null().cast(pa.int64()).to_numpy()
        return found, rows

    def _zoned(self, time: str, times: Ints, sensor: Names, asked: Asked) -> tuple[Ints, str]:
        if getattr(self.table.schema.field(time).type, "tz", None):
            return times, "with their zone"
        if asked.zone and not known(asked.zone):
            raise DataError(f"--zone {asked.zone!r}: no such zone, expected one such as UTC")
        clock = Clock(asked.zone or "UTC")
        clock.follow(0)
        every = np.ones(len(times), np.bool_)
        times, _ = clock.utc(times, every, sensor, Names.none(len(times)))
        return times, f"zone {asked.zone}" if asked.zone else "taken for UTC (--zone)"

    def _names(self, name: str) -> Names:
        """The texts of a column in rows that have a time."""
        column = self.table[name].take(pa.array(self._at))
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        of = column.combine_chunks().dictionary_encode()
        ids = pc.fill_null(of.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
        return Names(ids, of.dictionary.cast(pa.string()))


class Parquet(Columnar):
    """A Parquet file."""

    def read(self, path: Path) -> pa.Table:
        """See `Columnar`."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            about = file.metadata
            group = about.row_group(0) if about.num_row_groups else None
            self._size = group.num_rows if group else None
            named = {} if not group else {
                group.column(i).path_in_schema: group.column(i).compression.lower()
                for i in range(group.num_columns)
            }  # fmt: skip
            self._codec = next(iter(named.values()), "snappy").replace("uncompressed", "none")
            return file.read()

    def write(self, file: BinaryIO, answers: Answers) -> None:
        """See `TableFile`."""
        import pyarrow.parquet as pq

        table = self.answered(answers)
        pq.write_table(table, file, compression=self._codec, row_group_size=self._size)

    def written(self) -> Written:
        """See `TableFile`."""
        time, keys, zone = self._keyed
        source: dict[str, Any] = {"type": "replay", "format": "parquet", "time": time}
        unsure = {}
        if not getattr(self.table.schema.field(time).type, "tz", None):
            source["timezone"] = zone or "UTC"
            unsure = {} if zone else {"timezone": UNZONED}
        texts = {name: tuple(self._names(name).found.to_pylist()) for name in keys}
        return Written(source, self.rows.columns, texts, unsure=unsure)


class Feather(Columnar):
    """A Feather file, which is Arrow's file format."""

    def read(self, path: Path) -> pa.Table:
        """See `Columnar`."""
        from pyarrow.feather import read_table

        self._codec = "uncompressed" if path.suffix == ".arrow" else "lz4"
        return read_table(path)

    def write(self, file: BinaryIO, answers: Answers) -> None:
        """See `TableFile`."""
        from pyarrow.feather import write_feather

        write_feather(self.answered(answers), file, compression=self._codec)


def _is_time(kind: Any) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind))


def _is_number(kind: Any) -> bool:
    return bool(types.is_floating(kind) or types.is_integer(kind))


def _is_key(column: pa.ChunkedArray) -> bool:
    kind = column.type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind)
    return bool(text or (types.is_integer(kind) and column.null_count == 0))


def _floats(column: pa.ChunkedArray) -> Floats:
    found: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return np.array(found, np.float64)


def _put(column: pa.ChunkedArray, found: Floats) -> pa.ChunkedArray:
    """A column with what was found, rounded where it holds whole numbers."""
    mask = np.isfinite(found)
    if not mask.any():
        return column
    new = found[mask]
    whole = types.is_integer(column.type)
    made = pa.array(np.rint(new).astype(np.int64) if whole else new).cast(column.type, safe=False)
    return pa.chunked_array([pc.replace_with_mask(column.combine_chunks(), pa.array(mask), made)])
