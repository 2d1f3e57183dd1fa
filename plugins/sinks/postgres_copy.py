"""Arrow columns as the binary rows of PostgreSQL's COPY: no Python object is made for a row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TYPES = {
    pa.timestamp("us", tz="UTC"): "timestamptz",
    pa.string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.binary(): "bytea",
}
"""What PostgreSQL calls the types of the columns that can be sent; names are text."""

_EPOCH = 946_684_800_000_000
"""The time from which PostgreSQL counts, 2000-01-01, in µs since 1970."""
_NULL = pa.scalar((-1).to_bytes(4, signed=True), pa.binary())
_BLOCK = 65_536
"""Rows encoded at once: a block stays far below the 2 GiB of an Arrow array."""


def type_of(column: pa.DataType) -> str:
    """What PostgreSQL calls a column's type. Raises KeyError if it has no name here."""
    return TYPES[column.value_type if pa.types.is_dictionary(column) else column]


def binary(table: pa.Table) -> Iterator[memoryview]:
    """A whole COPY in the binary format, in pieces; every value exact, nulls as nulls."""
    yield memoryview(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    columns = [_whole(column) for column in table.columns]
    count = pa.scalar(len(columns).to_bytes(2), pa.binary())
    for start in range(0, len(table), _BLOCK):
        fields = [_field(column.slice(start, _BLOCK)) for column in columns]
        rows = pc.binary_join_element_wise(count, *fields, b"")
        _, offsets, data = rows.buffers()
        ends = np.frombuffer(offsets, np.int32)[rows.offset :]
        yield memoryview(data)[int(ends[0]) : int(ends[len(rows)])]
    yield memoryview((-1).to_bytes(2, signed=True))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; names as numbers into the fields that they become."""
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    if not pa.types.is_dictionary(whole.type):
        return whole
    return pa.DictionaryArray.from_arrays(whole.indices, _measured(whole.dictionary))


def _field(column: pa.Array) -> pa.Array:
    """Each value with its length in bytes before it, as COPY has it."""
    if pa.types.is_dictionary(column.type):
        made = column.dictionary.take(column.indices)
    elif pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        made = _measured(column)
    else:
        made = _fixed(column)
    return made.fill_null(_NULL)


def _measured(values: pa.Array) -> pa.Array:
    """Texts or bytes, each after its length."""
    length = pc.fill_null(pc.binary_length(values), 0).to_numpy().astype(">i4")
    lengths = _cells(length, 4)
    return pc.binary_join_element_wise(lengths, values.cast(pa.binary()), b"")


def _fixed(column: pa.Array) -> pa.Array:
    """Numbers and times, each after its length; null where the column is."""
    if pa.types.is_timestamp(column.type):
        moments = pc.fill_null(column.cast(pa.int64()), _EPOCH).to_numpy()
        return _numbers(column, moments - _EPOCH)
    return _numbers(column, pc.fill_null(column, 0).to_numpy())


def _numbers(column: pa.Array, values: NDArray[np.generic]) -> pa.Array:
    value = values.dtype.newbyteorder(">")
    cells = np.empty(len(values), [("length", ">i4"), ("value", value)])
    cells["length"], cells["value"] = value.itemsize, values
    made = _cells(cells, cells.itemsize)
    if not column.null_count:
        return made
    return pc.if_else(column.is_valid(), made, pa.scalar(None, pa.binary()))


def _cells(values: NDArray[np.generic], width: int) -> pa.Array:
    """The bytes of an array's items, an element an item."""
    ends = np.arange(len(values) + 1, dtype=np.int32) * np.int32(width)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)
