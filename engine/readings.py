"""Readings: one value of one quantity from one sensor at one time, in Arrow columns.

Strings travel dictionary-encoded: a batch carries each name once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import pyarrow as pa
from numpy.typing import NDArray

NAME = pa.dictionary(pa.int32(), pa.string())
TIME = pa.timestamp("us", tz="UTC")

READINGS = pa.schema(
    [
        pa.field("time", TIME, nullable=False),
        pa.field("sensor", NAME, nullable=False),
        pa.field("quantity", NAME, nullable=False),
        pa.field("value", pa.float64()),  # null: reported as missing
        pa.field("offset", pa.int64(), nullable=False),
    ]
)
"""What a source delivers. `offset` (a line, a row, a broker's offset) never falls within a
partition; with the partition it restores arrival order on any backend."""

DEAD_LETTERS = pa.schema(
    [
        pa.field("reason", NAME, nullable=False),
        pa.field("partition", NAME, nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("time", TIME),
        pa.field("sensor", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("raw", pa.binary()),
    ]
)
"""Dead letters: every reading, record or row that was not used, why, and where it stands in the
source, shown as ``partition:offset`` (``data.txt:17``). A forecast that a sink rejected has no
offset, and ``sink NAME`` for its partition. `raw` holds the first `RAW_LIMIT` bytes of a record
that could not be read at all."""

RAW_LIMIT = 1024

Column: TypeAlias = "pa.Array | pa.ChunkedArray | NDArray[Any] | Sequence[Any] | None"


def plain(schema: pa.Schema) -> pa.Schema:
    """`schema` with names that are not dictionary-encoded, as files and streams hold them."""
    types = [pa.string() if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema([f.with_type(t) for f, t in zip(schema, types, strict=True)])


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """A batch of `schema` without rows."""
    return pa.RecordBatch.from_pylist([], schema=schema)


def dead_letters(
    reason: Column,
    partition: Column,
    offset: Column = None,
    *,
    time: Column = None,
    sensor: Column = None,
    quantity: Column = None,
    value: Column = None,
    raw: Column = None,
) -> pa.RecordBatch:
    """A batch of `DEAD_LETTERS`: a column is an array or what Arrow makes one of (integers as times
    are µs since 1970), one text for all rows, or nothing where nothing is known."""
    columns = [reason, partition, offset, time, sensor, quantity, value, raw]
    rows = next(len(c) for c in columns if c is not None and not isinstance(c, str))
    fields = zip(columns, DEAD_LETTERS.types, strict=True)
    return pa.record_batch([_column(c, of, rows) for c, of in fields], schema=DEAD_LETTERS)


def _column(given: Column, of: pa.DataType, rows: int) -> pa.Array:
    if given is None:
        return pa.nulls(rows, of)
    if isinstance(given, str):
        array = pa.repeat(given, rows)
    elif isinstance(given, pa.ChunkedArray):
        array = given.combine_chunks()
    else:
        array = given if isinstance(given, pa.Array) else pa.array(given, of)
    return array.cast(of)
