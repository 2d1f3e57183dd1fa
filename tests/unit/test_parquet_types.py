"""Columns of every Arrow type: read by one rule, or rejected by name before a run gets far."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_formats import everything, short, source

from gapcast.engine.errors import SourceError

NOON = datetime(2004, 3, 1, 12, tzinfo=UTC)


def read(folder, **columns):
    """Readings and dead letters of a long table; columns that are not given are good ones."""
    n = len(next(iter(columns.values())))
    usual = {"time": pa.array([NOON] * n), "sensor": ["a"] * n, "quantity": ["t"] * n,
             "value": [1.0] * n}  # fmt: skip
    path = folder / "x.parquet"
    pq.write_table(pa.table(usual | columns), path)
    return everything(source(path))


TEXTS = ["21.5", "", "ERR", "nan", None, "-inf", "1e3"]
NUMBERS = [(1, 21.5), (2, None), (4, None), (5, None), (7, 1000.0)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS), pa.array(TEXTS, pa.large_string()), pa.array(TEXTS, pa.string_view()),
        pa.array([t and t.encode() for t in TEXTS]), pa.array(TEXTS).dictionary_encode(),
    ],
    ids=lambda column: str(column.type)[:20],
)  # fmt: skip
def test_values_that_are_text_are_read_as_cells_of_csv_are(tmp_path, column):
    readings, dead = read(tmp_path, value=column)
    assert [(r["offset"], r["value"]) for r in readings] == NUMBERS
    assert [(d["offset"], d["reason"], d["sensor"]) for d in dead] == [
        (3, "malformed field", "a"), (6, "not a finite number", "a"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([1.5, None, float("nan")]).dictionary_encode(), [1.5, None, None]),
        (pa.array([1, None, 1], pa.int8()).dictionary_encode(), [1.0, None, 1.0]),
        (pa.array([Decimal("1.25"), None]), [1.25, None]),
        (pa.array([Decimal("1.25")], pa.decimal256(50, 2)), [1.25]),
        (pa.array(np.array([1.5, np.nan], np.float16)), [1.5, None]),
        (pa.array([True, False, None]), [1.0, 0.0, None]),
        (pa.array([2**64 - 1], pa.uint64()), [float(2**64 - 1)]),
        (pa.nulls(2), [None, None]),
        (pa.array([], pa.string()), []),
        (pa.array(["7"]).dictionary_encode().slice(0, 0), []),
    ],
    ids=lambda x: str(getattr(x, "type", ""))[:20],
)  # fmt: skip
def test_values_that_are_numbers(tmp_path, column, values):
    readings, dead = read(tmp_path, value=column)
    assert ([r["value"] for r in readings], dead) == (values, [])


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array(["1", "küche"], pa.string_view()), ["1", "küche"]),
        (pa.array([1, 2]).dictionary_encode(), ["1", "2"]),
        (pa.array([1, -2], pa.int8()), ["1", "-2"]),
        (pa.array([b"x", b"y"]), ["x", "y"]),
        (pa.array([b"\xff", b"y"]), [None, "y"]),
        (pa.array([b"\xff", b"y"]).view(pa.string()), [None, "y"]),
        (pa.array([b"\xff", b"y"]).view(pa.string()).dictionary_encode(), [None, "y"]),
        (pa.array(["x", None], pa.large_string()), ["x", None]),
        (pa.nulls(1), [None]),
    ],
    ids=lambda x: str(getattr(x, "type", ""))[:20],
)  # fmt: skip
@pytest.mark.parametrize("name", ["sensor", "quantity"])
def test_names(tmp_path, column, names, name):
    readings, dead = read(tmp_path, **{name: column})
    assert [r[name] for r in readings] == [n for n in names if n is not None]
    assert [d["reason"] for d in dead] == ["malformed name"] * names.count(None)


@pytest.mark.parametrize(
    "column",
    [
        *(pa.array([NOON]).cast(pa.timestamp(u, z)) for u in ("s", "ms", "us", "ns")
          for z in (None, "UTC", "Asia/Tokyo")),
        pa.array([NOON]).cast(pa.timestamp("s")).dictionary_encode(),
        pa.array(["2004-03-01T12:00:00Z"], pa.string_view()),
        pa.array(["2004-03-01T12:00:00Z"]).dictionary_encode(),
        pa.array([b"2004-03-01T12:00:00Z"]),
    ],
    ids=lambda column: str(column.type)[:30],
)  # fmt: skip
def test_times(tmp_path, column):
    readings, dead = read(tmp_path, time=column)
    assert ([r["time"] for r in readings], dead) == ([NOON], [])


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates(tmp_path, kind):
    (reading,) = read(tmp_path, time=pa.array([NOON.date()], kind))[0]
    assert reading["time"] == NOON.replace(hour=0)


def test_times_that_are_none(tmp_path):
    assert [d["reason"] for d in read(tmp_path, time=pa.nulls(2))[1]] == ["malformed time"] * 2
    dead = read(tmp_path, time=pa.array(["2004-03-01", "noon", None]).dictionary_encode())[1]
    assert [d["offset"] for d in dead] == [2, 3]
    path = tmp_path / "y.parquet"
    far = pa.array([2**64 - 1, 1078142400_000000], pa.uint64())
    pq.write_table(pa.table({"time": far, "a": [1, 2]}), path)
    readings, (bad,) = everything(source(path, wide=["a"], time_format="us"))
    assert (short(readings), bad["offset"]) == ([(2, "a", "a", 2.0)], 1)


WRONG = [
    ("value", pa.array([[1.0]])), ("value", pa.array([NOON])), ("value", pa.array([{"x": 1}])),
    ("sensor", pa.array([1.5])), ("sensor", pa.array([True])), ("sensor", pa.array([["x"]])),
    ("quantity", pa.array([Decimal("1")])), ("time", pa.array([True])), ("time", pa.array([1.5])),
    ("time", pa.array([1], pa.time32("s"))), ("time", pa.array([1])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "column"), WRONG, ids=lambda x: str(getattr(x, "type", x))[:20])
def test_types_that_are_neither_name_their_column(tmp_path, name, column):
    with pytest.raises(SourceError, match=rf"x\.parquet: column '{name}' is of type .*; expected"):
        read(tmp_path, **{name: column})


TYPES = st.sampled_from(
    [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.int8(), pa.uint64(),
        pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null(), pa.date32(), pa.date64(),
        pa.decimal128(9, 2), pa.duration("s"), pa.time64("us"), pa.list_(pa.int8()),
        *(pa.timestamp(u, z) for u in ("s", "ms", "us", "ns") for z in (None, "Europe/Berlin")),
    ]
)  # fmt: skip


@st.composite
def columns(draw):
    """Three values of some type, perhaps as a dictionary."""
    kind, n = draw(TYPES), 3
    whole = draw(st.lists(st.none() | st.integers(0, 100), min_size=n, max_size=n))
    if pa.types.is_list(kind):
        return pa.array([None if w is None else [w] for w in whole], kind)
    if pa.types.is_date64(kind) or pa.types.is_temporal(kind):
        width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        made = pa.array(whole, width).view(kind)
    elif kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary()):
        words = st.sampled_from(["", "ERR", "nan", "2004-03-01", "1.5"]) | st.text(max_size=3)
        texts = draw(st.lists(st.none() | words, min_size=n, max_size=n))
        made = pa.array([t and t.encode("utf-8", "replace") for t in texts], pa.binary()).cast(kind)
    else:
        made = pa.nulls(n) if pa.types.is_null(kind) else pa.array(whole, pa.int8()).cast(kind)
    try:
        return made.dictionary_encode() if draw(st.booleans()) else made
    except pa.ArrowException:
        return made


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["time", "sensor", "quantity", "value"], columns())
    )
)
def test_every_row_of_any_types_is_accounted_for(tmp_path_factory, given_columns):
    if not given_columns:
        return
    folder = tmp_path_factory.mktemp("types")
    try:
        readings, dead = read(folder, **given_columns)
    except pa.ArrowException:  # Parquet cannot hold it
        with pytest.raises(pa.ArrowException):
            pq.write_table(pa.table(given_columns), folder / "y.parquet")
        return
    except SourceError as error:
        found = str(error)
    else:
        found = "is of type"
        assert sorted(r["offset"] for r in [*readings, *dead]) == [1, 2, 3]
        assert all(r["value"] is None or math.isfinite(r["value"]) for r in readings)
    assert "is of type" in found
