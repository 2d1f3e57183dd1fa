"""Forecasts as lines of InfluxDB's line protocol: no Python object is made for a row.

    forecasts,sensor=1,quantity=light,model=rls,horizon=0 forecast=19.5,status="missing",... TIME

A name that a server could read in another way than it was meant is not written at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.sink import superseded
from gapcast.plugins.sinks.bodies import Body, cut

TAGS = ("sensor", "quantity", "model", "horizon")
FLOATS = ("forecast", "lower", "upper", "truth")
_BLOCK = 16_384
"""Rows turned into text at once."""
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]")
_NO_TEXT = pa.scalar(None, pa.string())


def escape(name: str) -> str:
    """`name` as the value of a tag: commas, equals signs and spaces behind backslashes."""
    return re.sub(r"([,= ])", r"\\\1", name)


def quoted(text: str) -> str:
    """`text` as the value of a field."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def flaw(name: str) -> str:
    """Why `name` cannot be the value of a tag; empty if it can."""
    if not name:
        return "an empty name cannot be a tag"
    if found := _UNSAFE.search(name):
        return f"{name!r} has {found[0]!r}, which servers read in different ways in a tag"
    return ""


def unfit(forecasts: pa.Table) -> dict[int, str]:
    """Rows that have no line, each with the reason."""
    wrong: dict[int, str] = {}
    for tag in TAGS[:3]:
        column = _whole(forecasts[tag])
        flaws = [flaw(name) for name in column.dictionary.to_pylist()]
        codes = column.indices.to_numpy()
        for row in np.flatnonzero(np.array([bool(f) for f in flaws], bool)[codes]).tolist():
            wrong.setdefault(row, f"{tag}: {flaws[codes[row]]}")
    for name in FLOATS:
        finite = pc.fill_null(pc.is_finite(forecasts[name]), True).to_numpy()
        for row in np.flatnonzero(~finite).tolist():
            wrong.setdefault(row, f"{name} is {forecasts[name][row]}, not a finite number")
    return dict(sorted(wrong.items()))


def lines(measurement: str, forecasts: pa.Table, skip: Sequence[int], size: int) -> Iterator[Body]:
    """All rows but those in `skip`, a line each, in bodies of up to `size` bytes.

    The same rows make the same bytes. Floats are the shortest decimals that read back as they were.
    A row ahead whose final row is there too has no line: they are of one point.
    """
    gone = superseded(forecasts)
    gone[list(skip)] = True
    rows = np.flatnonzero(~gone)
    if not len(rows):
        return
    table = forecasts.take(rows)
    columns = {name: _whole(table[name]) for name in table.column_names}
    columns["made"] = columns["made"].cast(pa.int64())
    columns["horizon"] = columns["horizon"].cast(pa.string()).dictionary_encode()
    columns |= {tag: _renamed(columns[tag], escape) for tag in TAGS}
    columns |= {name: _renamed(columns[name], quoted) for name in ("status", "experts", "flag")}
    for start in range(0, len(rows), _BLOCK):
        here = {name: column.slice(start, _BLOCK) for name, column in columns.items()}
        yield from cut(_lines(measurement, here), rows[start : start + _BLOCK], size)


def _lines(measurement: str, columns: dict[str, pa.Array]) -> pa.Array:
    time = columns["time"].cast(pa.int64()).cast(pa.string())
    return _join(
        _heads(measurement, columns),
        " forecast=", columns["forecast"].cast(pa.string()),
        *(_field(name, columns[name]) for name in FLOATS[1:]),
        *(_field(name, _text(columns[name])) for name in ("status", "experts", "flag")),
        *(_field(name, columns[name], "i") for name in ("gap_age", "regressors", "made")),
        " ", time, "\n",
    )  # fmt: skip


def _heads(measurement: str, columns: dict[str, pa.Array]) -> pa.Array:
    """Measurement and tags of each row; text is made for each series once."""
    code = np.zeros(len(columns["time"]), np.int64)
    for tag in TAGS:
        code = code * len(columns[tag].dictionary) + columns[tag].indices.to_numpy()
    _, examples, of_row = np.unique(code, return_index=True, return_inverse=True)
    names = {tag: _text(columns[tag].take(pa.array(examples))) for tag in TAGS}
    heads = _join(measurement, *(part for tag in TAGS for part in (f",{tag}=", names[tag])))
    return heads.take(pa.array(of_row))


def _field(name: str, values: pa.Array, unit: str = "") -> pa.Array:
    """A field with the comma before it, or nothing where there is no value."""
    text = values if pa.types.is_string(values.type) else values.cast(pa.string())
    return _join(f",{name}=", text, unit).fill_null("")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _renamed(column: pa.DictionaryArray, how: object) -> pa.Array:
    words = [how(word) for word in column.dictionary.to_pylist()]  # type: ignore[operator]
    return pa.DictionaryArray.from_arrays(column.indices, pa.array(words, pa.string()))


def _text(column: pa.DictionaryArray) -> pa.Array:
    return column.dictionary.take(column.indices)


def _join(*pieces: str | pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, "")
