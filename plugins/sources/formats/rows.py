"""Rows of cells to readings, row by row, and to dead letters. Every format ends here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.readings import DEAD_LETTERS, RAW_LIMIT, READINGS, TIME, dead_letters, empty
from gapcast.plugins.sources.formats.chunk import REST, Chunk, Ints, Rest
from gapcast.plugins.sources.text.decimals import MALFORMED, NULL
from gapcast.plugins.sources.text.names import gather
from gapcast.plugins.sources.text.split import Fields

GOOD, SKIPPED, BAD_LINE, BAD_TIME, BAD_NAME, OFF_CLOCK = range(6)
"""What became of a row: it holds cells, nothing at all, or something that cannot be read; the last:
a local time that clocks never show."""

_NO_READINGS, _NO_LETTERS = empty(READINGS), empty(DEAD_LETTERS)

TOO_LONG = "line too long"
_REASONS = pa.array(
    [
        "malformed line",
        "malformed time",
        "malformed name",
        "time on no clock",
        "malformed field",
        "not a finite number",
    ]
)
_OF_ROW, _OF_CELL = -BAD_LINE, OFF_CLOCK + 1 - BAD_LINE - MALFORMED
"""What to add to a row's state, or to what became of a cell, for its number in `_REASONS`."""


@dataclass(frozen=True)
class Labels:
    """The sensor and the quantity of each cell of n rows and q columns.

    sensor, quantity: (n,) numbers of the row's names in `sensors` and `quantities`, or -1.
    of_sensor, of_quantity: (q,) those of the column, which come first. A cell whose quantity is
    -1 is not wanted.
    """

    sensor: NDArray[np.int32]
    quantity: NDArray[np.int32]
    of_sensor: NDArray[np.int32]
    of_quantity: NDArray[np.int32]
    sensors: pa.Array
    quantities: pa.Array

    @property
    def unwanted(self) -> NDArray[np.bool_]:
        """(n,) rows none of whose cells is wanted."""
        return np.asarray((self.quantity < 0) & bool(np.all(self.of_quantity < 0)))


@dataclass(frozen=True)
class Rows:
    """Cells in n rows and q columns.

    state: (n,) `GOOD` or why not. time: (n,) µs since 1970, local time in `zone` of a row that is
    `OFF_CLOCK`. values, cells: (n, q), a number and whether it is one (see `decimals`).
    """

    state: NDArray[np.int8]
    time: Ints
    values: NDArray[np.float64]
    cells: NDArray[np.int8]
    labels: Labels
    zone: str = "UTC"


@dataclass(frozen=True)
class Raw:
    """The text of rows: `slots[j]` is the field of column j, `starts` is as in `Chunk`."""

    fields: Fields
    slots: list[int]
    starts: Ints


def chunk(rows: Rows, partition: str, first: int, raw: Raw | None = None) -> Chunk:
    """Readings and dead letters of `rows`, the first of which is line (or row) `first`."""
    return Chunk(
        readings=_readings(rows, first),
        dead_letters=_dead_letters(rows, partition, first, raw),
        first=first,
        end=first + len(rows.state),
        starts=None if raw is None else raw.starts,
    )


def too_long(raw: bytes, partition: str, line: int, byte: int, end: int) -> Chunk:
    """The chunk of a single line that was not read; `raw` is how it begins."""
    letters = dead_letters(TOO_LONG, partition, [line], raw=[raw[:RAW_LIMIT]])
    return Chunk(_NO_READINGS, letters, line, line + 1, np.array([byte, end]))


def rest_of_line(raw: bytes, partition: str, line: int, end: int) -> Rest:
    """What was written to the line before `line` since that was read, if more than its end."""
    text = raw.strip()[:RAW_LIMIT]
    letters = dead_letters(REST, partition, [line - 1], raw=[text]) if text else _NO_LETTERS
    return Rest(_NO_READINGS, letters, line, line, np.array([end]))


def _readings(rows: Rows, first: int) -> pa.RecordBatch:
    size = rows.cells.size
    time, offset = np.empty(size, np.int64), np.empty(size, np.int64)
    sensor, quantity = np.empty(size, np.int32), np.empty(size, np.int32)
    value, null = np.empty(size), np.empty(size, np.bool_)
    of = rows.labels
    n, nulls = _emit(
        rows.state, rows.time, rows.values, rows.cells, of.sensor, of.quantity,
        of.of_sensor, of.of_quantity, first, time, sensor, quantity, value, null, offset,
    )  # fmt: skip
    mask = null[:n] if nulls else None
    columns = [
        pa.array(time[:n]).view(TIME),
        pa.DictionaryArray.from_arrays(pa.array(sensor[:n]), of.sensors),
        pa.DictionaryArray.from_arrays(pa.array(quantity[:n]), of.quantities),
        pa.array(value[:n], mask=mask),
        pa.array(offset[:n]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=READINGS)


@njit(cache=True, nogil=True, error_model="numpy")
def _emit(
    state, time, values, cells, sensor, quantity, of_sensor, of_quantity, first,
    out_time, out_sensor, out_quantity, out_value, out_null, out_offset,
):  # fmt: skip
    k = 0
    nulls = 0
    for i in range(state.size):
        if state[i] != GOOD:
            continue
        for j in range(of_sensor.size):
            what = of_quantity[j] if of_quantity[j] >= 0 else quantity[i]
            if what < 0 or cells[i, j] > NULL:
                continue
            out_time[k] = time[i]
            out_sensor[k] = of_sensor[j] if of_sensor[j] >= 0 else sensor[i]
            out_quantity[k] = what
            out_value[k] = values[i, j]
            out_null[k] = cells[i, j] == NULL
            out_offset[k] = first + i
            nulls += cells[i, j] == NULL
            k += 1
    return k, nulls


def _dead_letters(rows: Rows, partition: str, first: int, raw: Raw | None) -> pa.RecordBatch:
    """In the order of their lines."""
    of = rows.labels
    whole = np.flatnonzero(rows.state > SKIPPED)
    row, column = np.nonzero((rows.cells >= MALFORMED) & (rows.state == GOOD)[:, None])
    quantity = _first_known(of.of_quantity[column], of.quantity[row])
    row, column, quantity = (a[quantity >= 0] for a in (row, column, quantity))
    if len(whole) + len(row) == 0:
        return _NO_LETTERS
    sensor = _first_known(of.of_sensor[column], of.sensor[row])
    value = rows.values[row, column]
    codes = np.concatenate([rows.state[whole] + _OF_ROW, rows.cells[row, column] + _OF_CELL])
    lines = np.concatenate([whole, row]) + first
    n = len(whole)
    letters = dead_letters(
        _reasons(codes, rows.time[whole], rows.zone),
        partition,
        lines,
        time=_after(n, pa.array(rows.time[row]).view(TIME)),
        sensor=_after(n, of.sensors.take(pa.array(sensor))),
        quantity=_after(n, of.quantities.take(pa.array(quantity))),
        value=_after(n, pa.array(value, mask=~np.isinf(value))),
        raw=_raw(raw, whole, row, column),
    )
    return letters.take(pa.array(np.argsort(lines, kind="stable")))


def _reasons(codes: NDArray[np.int8], time: Ints, zone: str) -> pa.Array:
    """Of numbers in `_REASONS`; time: of the rows, which come before the cells."""
    reasons = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), _REASONS)
    off = np.flatnonzero(codes == OFF_CLOCK + _OF_ROW)
    if not len(off):
        return reasons
    texts = reasons.to_pylist()
    for i, day in zip(off.tolist(), time[off].astype("M8[us]").astype("M8[D]"), strict=True):
        texts[i] += f": those of {zone} are set forward over it on {day}"
    return pa.array(texts)


def _first_known(column: NDArray[np.int32], row: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(column >= 0, column, row)


def _after(n: int, values: pa.Array) -> pa.Array:
    """`values` after `n` nulls."""
    return pa.concat_arrays([pa.nulls(n, values.type), values])


def _raw(raw: Raw | None, whole: Ints, row: Ints, column: Ints) -> pa.Array:
    if raw is None:
        return pa.nulls(len(whole) + len(row), pa.binary())
    lines, slots = raw.fields.lines, np.array(raw.slots, np.int64)[column]
    starts = np.concatenate([lines[whole], raw.fields.starts[row, slots]])
    ends = np.concatenate([lines[whole + 1] - 1, raw.fields.ends[row, slots]])
    ends = np.minimum(ends, starts + RAW_LIMIT)
    return gather(raw.fields.text, starts.astype(np.int32), ends.astype(np.int32))
