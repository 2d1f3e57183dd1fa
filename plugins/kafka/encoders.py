"""Columns to the values of records: JSON, Arrow IPC, lines of the Intel lab; a column at a time."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.errors import SinkError
from gapcast.plugins.sources.formats.intel_lab import QUANTITIES

ROWS = 10_000
"""Readings in one Arrow IPC stream, so that it stays well below a broker's limit of 1 MB."""


def objects(columns: Mapping[str, pa.Array]) -> list[str]:
    """A JSON object a row. Times are ISO 8601 in UTC, binary is Base64, what is no finite number
    is null; numbers are the shortest text that is read back as the same float64."""
    parts: list[Any] = []
    for k, (name, column) in enumerate(columns.items()):
        parts += [f"{',' if k else '{'}{json.dumps(name)}:", _json(column)]
    found: list[str] = pc.binary_join_element_wise(*parts, "}", "").to_pylist()
    return found


def moments(readings: pa.Table) -> tuple[list[str], list[str]]:
    """A JSON object for each run of readings of one time and sensor: ``{"time": ..., "sensor":
    ..., "temperature": ..., "humidity": ...}``; and its sensor."""
    starts = _runs(readings)
    first = readings.take(starts)
    pairs = pc.binary_join_element_wise(
        _json(_whole(readings, "quantity")), _json(_whole(readings, "value")), ":"
    )
    lists = pa.ListArray.from_arrays(np.append(starts, len(readings)).astype(np.int32), pairs)
    values = pc.binary_join_element_wise(
        '{"time":', _json(_whole(first, "time")), ',"sensor":', _json(_whole(first, "sensor")), ",",
        pc.binary_join(lists, ","), "}", "",
    )  # fmt: skip
    return values.to_pylist(), sensors(first)


def lines(readings: pa.Table) -> tuple[list[str], list[str]]:
    """A line in the original layout of the Intel lab for each run of readings of one time and
    sensor, without those of other quantities; and its sensor. Raises SinkError where a sensor is
    no number."""
    names = _whole(readings, "sensor").dictionary.to_pylist()
    if wrong := [name for name in names if not name.isdecimal()]:
        raise SinkError(f"intel-lab lines hold sensors that are numbers, not {wrong[0]!r}")
    starts = _runs(readings)
    first = readings.take(starts)
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(readings)))
    text = _numbers(_whole(readings, "value"), "")
    quantity = _whole(readings, "quantity")
    fields = []
    for name in QUANTITIES:
        rows = np.flatnonzero(pc.equal(quantity, name).to_numpy(zero_copy_only=False))
        of_run = np.full(len(starts), -1)
        of_run[run[rows]] = rows
        taken = text.take(pa.array(of_run, mask=of_run < 0))
        fields += [" ", pc.fill_null(taken, "")]
    when = pc.binary_replace_slice(_whole(first, "time").cast(pa.string()), 26, 27, "")
    values = pc.binary_join_element_wise(
        when, " 0 ", _whole(first, "sensor").cast(pa.string()), *fields, ""
    )
    return [v.rstrip(" ") for v in values.to_pylist()], sensors(first)


def streams(readings: pa.Table) -> list[bytes]:
    """Arrow IPC streams of `ROWS` readings at most, with the columns of readings."""
    found = []
    for start in range(0, len(readings), ROWS):
        piece = readings.slice(start, ROWS).combine_chunks()
        out = io.BytesIO()
        with pa.ipc.new_stream(out, piece.schema) as writer:
            writer.write_table(piece)
        found.append(out.getvalue())
    return found


def sensors(readings: pa.Table) -> list[str]:
    """The sensor of each row."""
    found: list[str] = _whole(readings, "sensor").cast(pa.string()).to_pylist()
    return found


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _runs(readings: pa.Table) -> NDArray[np.int64]:
    """Where a reading is of another time or sensor than the one before, or may be a second one of
    its quantity: a record holds each once."""
    time = _whole(readings, "time").cast(pa.int64()).to_numpy()
    sensor = _whole(readings, "sensor").indices.to_numpy()
    quantity = _whole(readings, "quantity").indices.to_numpy()
    other = (np.diff(time) != 0) | (np.diff(sensor) != 0) | (np.diff(quantity) <= 0)
    new = np.append(True, other)
    return np.flatnonzero(new)


def _json(column: pa.Array) -> pa.Array:
    """Each value as JSON text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pc.fill_null(_json(column.dictionary).take(column.indices), "null")
    if pa.types.is_timestamp(kind):
        each = column.dictionary_encode()  # times come many times, and are slow to write
        text = pc.binary_replace_slice(each.dictionary.cast(pa.string()), 10, 11, "T")
        quoted = pc.binary_join_element_wise('"', text, '"', "").take(each.indices)
        return pc.fill_null(quoted, "null")
    if pa.types.is_floating(kind):
        return _numbers(column, "null")
    if pa.types.is_integer(kind):
        return pc.fill_null(column.cast(pa.string()), "null")
    plain = column.to_pylist()
    if pa.types.is_binary(kind):
        plain = [None if v is None else base64.b64encode(v).decode() for v in plain]
    return pa.array([json.dumps(v) for v in plain], pa.string())


def _numbers(column: pa.Array, none: str) -> pa.Array:
    """Numbers as text, `none` for what is null or not finite."""
    text = column.cast(pa.string())
    good = pc.fill_null(pc.is_finite(column), False)
    return text if pc.all(good).as_py() else pc.if_else(good, text, none)
