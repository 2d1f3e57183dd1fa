"""Forecasts as the points of OpenTSDB, in JSON, made column by column: no object a point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.sink import STATUSES, is_ahead, residuals, superseded
from gapcast.plugins.sinks.bodies import Body, cut

OF_SENSOR = ("truth", "status")
"""Series that know neither model nor horizon; all others do."""

SHARED = 1 << 32
"""More than the rows of an epoch. Added to the row of a point that speaks for all rows that `alike`
counts as one; the row of a figure of the run itself is -1."""

OF_MODEL = {"model", "horizon"}
FIELDS = {"sensor", "quantity", "series", "run", *OF_MODEL}
"""What a template may name."""

_BLOCK = 16_384
"""Rows turned into text at once."""


def escape(name: str) -> str:
    """`name` in letters that OpenTSDB takes; `unescape` gives it back, whatever it was.

    Withheld are A-Z a-z 0-9 - _ . and /; every other character becomes its code point as ``_x20_``,
    and so does an underscore before an x; an empty name is ``_x_``. Letters beyond ASCII are not
    kept although OpenTSDB takes them: it stores names in Latin-1, other letters as ``?``.
    """
    return _FOREIGN.sub(lambda found: f"_x{ord(found[0]):X}_", name) or "_x_"


def unescape(name: str) -> str:
    """What `escape` made `name` of."""
    return re.sub(r"_x([0-9A-F]*)_", lambda m: chr(int(m[1], 16)) if m[1] else "", name)


_FOREIGN = re.compile(r"[^A-Za-z0-9\-_./]|_(?=x)")


class Template:
    """A text with fields in braces, as ``{quantity}.{series}``. Raises ValueError if malformed."""

    def __init__(self, text: str) -> None:
        self.parts = [(literal, field) for literal, field, _, _ in Formatter().parse(text)]
        self.fields = {field for _, field in self.parts if field is not None}
        if unknown := self.fields - FIELDS:
            raise ValueError(f"unknown field {{{min(unknown)}}}; there are {sorted(FIELDS)}")
        literals = "".join(literal for literal, _ in self.parts)
        if not text or escape(literals or "a") != (literals or "a"):
            raise ValueError(f"{text!r} has characters other than A-Z a-z 0-9 - _ . / and fields")

    def fill(self, values: Mapping[str, str | pa.Array]) -> list[str | pa.Array]:
        """Literals and values in order, to be joined."""
        return [
            piece
            for literal, field in self.parts
            for piece in (literal, *(() if field is None else (values[field],)))
        ]


def figures(values: Mapping[str, float], run: str, second: int) -> Body:
    """Figures of a run at one second, as ``gapcast.rate`` with the tag ``run``."""
    texts = [
        f'{{"metric":"gapcast.{name}","tags":{{"run":"{escape(run)}"}},'
        f'"timestamp":{second},"value":{float(value)!r}}},'.encode()
        for name, value in values.items()
    ]
    ends = np.cumsum([len(t) for t in texts])
    return Body(memoryview(b"".join(texts)), ends, np.full(len(texts), -1))


@dataclass(frozen=True)
class Layout:
    """What points are called and which are made.

    unit: microseconds in a unit of the timestamps, 1,000,000 or 1,000. scored: statuses whose
    squared errors count. periods: as in `JobInfo`.
    """

    run: str
    metric: Template
    tags: Mapping[str, Template]
    series: Sequence[str]
    unit: int
    scored: Sequence[str]
    periods: Mapping[str, float] = field(default_factory=dict)

    def heads(self, series: str, names: Mapping[str, pa.Array]) -> pa.Array:
        """The beginnings of points of one series, up to the timestamp, one an element of names."""
        values = {**names, "series": series, "run": escape(self.run)}
        of_sensor = series in OF_SENSOR
        kept = {t: v for t, v in self.tags.items() if not (of_sensor and v.fields & OF_MODEL)}
        pieces: list[str | pa.Array] = ['{"metric":"', *self.metric.fill(values), '","tags":{']
        for i, (tag, template) in enumerate(kept.items()):
            pieces += [f'{"," if i else ""}"{tag}":"', *template.fill(values), '"']
        return _join(*pieces, '},"timestamp":')

    def unfit(self, forecasts: pa.Table) -> dict[int, str]:
        """Rows that OpenTSDB could not store, each with the reason."""
        time = forecasts["time"].cast(pa.int64()).to_numpy() // self.unit
        low, high = (0, 0xFFFF_FFFF) if self.unit == 1_000_000 else (0xFFFF_FFFF, 9_999_999_999_999)
        wrong = {
            int(row): f"OpenTSDB cannot keep times outside {_date(low, self.unit)} to "
            f"{_date(high, self.unit)} on a grid of "
            f"{'seconds' if self.unit == 1_000_000 else 'milliseconds'}"
            for row in np.flatnonzero((time <= low) | (time > high))
        }
        for name in ("forecast", "lower", "upper", "truth"):
            finite = pc.fill_null(pc.is_finite(forecasts[name]), True).to_numpy()
            for row in np.flatnonzero(~finite).tolist():
                wrong.setdefault(row, f"{name} is {forecasts[name][row]}, not a finite number")
        return wrong


def bodies(layout: Layout, forecasts: pa.Table, skip: Sequence[int], size: int) -> Iterator[Body]:
    """All points of an epoch but those of rows in `skip`, in bodies of up to `size` bytes of text.

    The same rows make the same bytes. Values are always written as floats, so that OpenTSDB
    gives them eight bytes: a cell rewritten in another width breaks queries. A point larger than
    `size` goes alone. Errors that overflow make no point. Of a row ahead there are the forecast and
    its bounds, at its time; they come again, the same, with the final row.
    """
    gone = superseded(forecasts)
    gone[list(skip)] = True
    rows = np.flatnonzero(~gone)
    if not len(rows):
        return
    table = _escaped(forecasts.take(rows))
    final = np.flatnonzero(~is_ahead(table))
    first = np.zeros(len(table), bool)
    first[final[np.unique(alike(table)[final], return_index=True)[1]]] = True
    for start in range(0, len(rows), _BLOCK):
        here = slice(start, start + _BLOCK)
        yield from cut(*_texts(layout, table.slice(start, _BLOCK), first[here], rows[here]), size)


def _escaped(table: pa.Table) -> pa.Table:
    """The table in one piece, with names as OpenTSDB takes them."""
    table = table.unify_dictionaries().combine_chunks()
    for name in ("sensor", "quantity", "model", "horizon"):
        column = table[name].combine_chunks()
        column = column if name != "horizon" else column.dictionary_encode()
        words = pa.array([escape(str(word)) for word in column.dictionary.to_pylist()])
        column = pa.DictionaryArray.from_arrays(column.indices, words)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def alike(table: pa.Table) -> NDArray[np.int64]:
    """A number for each row, the same for rows of the same sensor, quantity and time."""
    moments = np.unique(table["time"].cast(pa.int64()).to_numpy(), return_inverse=True)[1]
    series = _codes(table.unify_dictionaries().combine_chunks(), ("sensor", "quantity"))
    return moments * (series.max(initial=0) + 1) + series


def _codes(table: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """One number for each combination of names."""
    code = np.zeros(len(table), np.int64)
    for name in names:
        column = table[name].combine_chunks()
        code = code * len(column.dictionary) + column.indices.to_numpy()
    return code


def _texts(
    layout: Layout, block: pa.Table, first: NDArray[np.bool_], rows: NDArray[np.int64]
) -> tuple[pa.Array, NDArray[np.int64]]:
    """The points of some rows, one series after the other, and the row of each."""
    named = ("sensor", "quantity", "model", "horizon")
    _, examples, code = np.unique(_codes(block, named), return_index=True, return_inverse=True)
    some = block.take(pa.array(examples))
    names = {name: some[name].combine_chunks().cast(pa.string()) for name in named}
    time = block["time"].cast(pa.int64()).to_numpy() // layout.unit
    moments = pa.array(time).cast(pa.string())
    values = _values(block, first, layout)
    texts, of = [], []
    for series in layout.series:
        where = pa.array(np.flatnonzero(values[series].is_valid()))
        head = layout.heads(series, names).take(pa.array(code).take(where))
        number = _numbers(values[series].drop_null())
        texts.append(_join(head, moments.take(where), ',"value":', number, "},"))
        of.append(rows[where] + (SHARED if series in OF_SENSOR else 0))
    return pa.concat_arrays(texts), np.concatenate(of)


def _values(rows: pa.Table, first: NDArray[np.bool_], layout: Layout) -> dict[str, pa.Array]:
    """The values of each series, null where there is no point."""
    plain = {n: rows[n].combine_chunks() for n in ("forecast", "lower", "upper", "truth")}
    status = rows["status"].cast(pa.string())
    error = residuals(rows, layout.periods)
    with np.errstate(over="ignore", invalid="ignore"):
        square = error * error
    counts = pc.is_in(status, value_set=pa.array(layout.scored, pa.string())).to_numpy()
    code = pc.index_in(status, value_set=pa.array(STATUSES)).to_numpy().astype(float)
    return {
        **plain,
        "truth": pc.if_else(pa.array(first), plain["truth"], pa.scalar(None, pa.float64())),
        "status": pa.array(code, mask=~first),
        "residual": pa.array(error, mask=~np.isfinite(error)),
        "squared_error": pa.array(square, mask=~(np.isfinite(square) & counts)),
    }


def _numbers(values: pa.Array) -> pa.Array:
    """The shortest decimal that reads back as each value, always with a point or an exponent."""
    text = values.cast(pa.string())
    real = pc.match_substring_regex(text, "[.e]")
    return text if pc.all(real).as_py() else pc.if_else(real, text, _join(text, ".0"))


def _join(*pieces: str | pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, "")


def _date(value: int, unit: int) -> str:
    return str(np.datetime64(value * (unit // 1000), "ms").astype("datetime64[s]"))
