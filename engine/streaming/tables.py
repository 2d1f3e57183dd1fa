"""Readings from whatever holds them, and rows in the same kind of container."""

from __future__ import annotations

from functools import cache
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.errors import DataError
from gapcast.engine.readings import NAME, TIME, plain
from gapcast.engine.sink import FORECASTS
from gapcast.engine.spelling import meant

NAMES = ("time", "sensor", "quantity", "value")
PLAIN = plain(FORECASTS)

ARROW, LIST = "arrow", "list"
"""Kinds of containers; others are called as Narwhals calls them."""


def readings(data: Any, quantity: str | None) -> tuple[pa.RecordBatch, str]:
    """(time, sensor, quantity, value) of readings in order of arrival, and the kind of their
    container, for `made`: a table of Arrow, pandas, polars or another that Narwhals takes as
    eager, or a list of mappings. quantity: of all, where no column says it.

    Times without a zone are taken for UTC. Raises DataError.
    """
    table, container = _arrow(data)
    there = table.schema.names
    columns = []
    for name, kind in zip(NAMES, (TIME, NAME, NAME, pa.float64()), strict=True):
        if there.count(name) > 1:
            raise DataError(f"readings have the column {name!r} twice")
        if name in there:
            columns.append(_column(table[name], name, kind))
        elif name == "quantity" and quantity is not None:
            columns.append(_all(quantity, len(table)))
        elif len(there) or len(table):
            shown = ", ".join(map(repr, there[:12]))
            raise DataError(
                f"readings have no column {name!r}{meant(name, there)} (found: {shown}); expected "
                f"{', '.join(NAMES)}"
            )
        else:
            columns.append(pa.array([], kind))
    return pa.record_batch(columns, NAMES), container


def made(container: str, rows: pa.Table) -> Any:
    """Rows (schema `FORECASTS`) in a container of this kind."""
    if container == ARROW:
        return rows
    if container == LIST:
        return rows.cast(PLAIN).to_pylist() if len(rows) else []
    kind = nw.Implementation.from_string(container)
    if len(rows):
        return _native(kind, rows)
    none = _none(kind)
    return none.copy() if kind is nw.Implementation.PANDAS else none


def _arrow(data: Any) -> tuple[pa.Table | pa.RecordBatch, str]:
    if isinstance(data, pa.Table | pa.RecordBatch):
        return data, ARROW
    if isinstance(data, list | tuple):
        try:
            return pa.Table.from_pylist(list(data)), LIST
        except (pa.ArrowException, AttributeError, OverflowError, TypeError) as error:
            raise DataError(f"readings are no mappings of one kind: {error}") from None
    try:
        frame: nw.DataFrame[Any] = nw.from_native(data, eager_only=True)
    except TypeError:
        raise DataError(
            f"cannot take a {type(data).__name__}: expected a table of Arrow, pandas or polars, or "
            "a list of mappings"
        ) from None
    there = {*frame.columns}
    chosen = [name for name in NAMES if name in there] or frame.columns
    try:
        columns = [_column_of(frame, name) for name in chosen]
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"readings: {str(error).partition(chr(10))[0]}") from None
    return pa.table(columns, chosen), frame.implementation.value


def _column_of(frame: nw.DataFrame[Any], name: str) -> Any:
    if frame.implementation is nw.Implementation.PANDAS:  # the same, without what Narwhals adds
        return pa.array(frame.to_native()[name], from_pandas=True)
    return frame.get_column(name).to_arrow()


@cache
def _none(kind: Any) -> Any:
    """No rows: made once, since most pushes close no step."""
    return _native(kind, FORECASTS.empty_table())


def _native(kind: Any, rows: pa.Table) -> Any:
    if kind is nw.Implementation.PANDAS:
        return rows.cast(PLAIN).to_pandas()
    return nw.DataFrame.from_arrow(rows.cast(PLAIN), backend=kind).to_native()


def _column(column: Any, name: str, kind: pa.DataType) -> pa.Array:
    whole = column
    if isinstance(column, pa.ChunkedArray):
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if name != "value" and whole.null_count:
        raise DataError(f"readings: {whole.null_count} rows have no {name}")
    try:
        if name == "time":
            return _times(whole)
        if name == "value":
            return whole if whole.type == kind else whole.cast(kind)
        return _encoded(whole)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"readings: column {name!r} holds {whole.type}: {str(error).partition(chr(10))[0]}"
        ) from None


def _times(column: pa.Array) -> pa.Array:
    kind = column.type
    if kind == TIME:
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            return column.cast(TIME)
        except pa.ArrowInvalid:  # they do not say their zone
            return column.cast(pa.timestamp("us")).cast(TIME)
    if pa.types.is_timestamp(kind):
        return pc.cast(column, TIME, safe=False)
    if pa.types.is_null(kind):
        return column.cast(TIME)
    raise ValueError("expected times: datetimes, or text as ISO 8601")


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    if column.type == NAME:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()).dictionary_encode()


def _all(name: str, rows: int) -> pa.DictionaryArray:
    codes = pa.array(np.zeros(rows, np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([name], pa.string()))
