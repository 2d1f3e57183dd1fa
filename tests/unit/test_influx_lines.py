"""Lines of the sink `influx`, read by a parser that shares nothing with it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineprotocol import Point, parse
from pydantic import ValidationError

from gapcast.engine.sink import AHEAD, FLAGS, FORECASTS, KEY, STATUSES
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.influx import InfluxSink
from gapcast.plugins.sinks.influx_lines import TAGS, lines, unfit


def points(table, skip=(), size=1 << 20):
    return [
        point
        for body in lines("forecasts", table, list(skip), size)
        for point in parse(bytes(body.text).decode())
    ]


def expected(row):
    tags = {tag: str(row.pop(tag)) for tag in TAGS}
    time = row.pop("time")
    return Point("forecasts", tags, {k: v for k, v in row.items() if v is not None}, time)


def with_time_as_numbers(table):
    for name in ("time", "made"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast(pa.int64()))
    return table.to_pylist()


hard = st.text(st.sampled_from(',= "\\\nab\tä\0'), max_size=6)
names = st.text(max_size=12) | hard
number = st.floats(allow_nan=False, allow_infinity=False)
rows = st.fixed_dictionaries(
    {
        "time": st.integers(-(2**55), 2**55),
        "sensor": names,
        "quantity": names,
        "model": names,
        "horizon": st.integers(-(2**31), 2**31 - 1),
        "forecast": number,
        "lower": st.none() | number,
        "upper": st.none() | number,
        "truth": st.none() | number,
        "status": st.sampled_from(STATUSES),
        "gap_age": st.integers(1, 2**31 - 1),
        "regressors": st.none() | st.integers(0, 2**31 - 1),
        "experts": st.none() | names,
        "flag": st.none() | st.sampled_from(FLAGS),
        "made": st.integers(-(2**55), 2**55),
    }
)


def table_of(rows):
    columns = [pa.array([row[f.name] for row in rows], _plain(f.type)) for f in FORECASTS]
    return pa.table(
        [c.cast(f.type) for c, f in zip(columns, FORECASTS, strict=True)], schema=FORECASTS
    )


def _plain(kind):
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.string() if pa.types.is_dictionary(kind) else kind


@given(st.lists(rows, max_size=6), st.integers(0, 6))
def test_lines_say_what_the_rows_say_bit_for_bit(rows, cut):
    table = pa.concat_tables([table_of(rows[:cut]), table_of(rows[cut:])])
    wrong = unfit(table)
    for i, row in enumerate(rows):
        said = [row[tag] for tag in TAGS[:3]]
        assert (i in wrong) == any(not n or set(n) & BAD for n in said)
    final = {tuple(row[k] for k in KEY) for row in rows if row["status"] != AHEAD}
    wanted = [
        expected({**row})
        for i, row in enumerate(rows)
        if i not in wrong and not (row["status"] == AHEAD and tuple(row[k] for k in KEY) in final)
    ]
    found = points(table, wrong)
    assert found == wanted
    assert [np.float64(p.fields["forecast"]).tobytes() for p in found] == [
        np.float64(p.fields["forecast"]).tobytes() for p in wanted
    ]


BAD = {"\\", "\x7f", *map(chr, range(32))}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("column", ["forecast", "lower", "upper", "truth"])
def test_what_is_not_finite_is_never_written(column, value):
    table = epoch(0)
    values = [value if i == 7 else 1.0 for i in range(40)]
    place = table.schema.get_field_index(column)
    table = table.set_column(place, table.schema.field(place), pa.array(values))
    wrong = unfit(table)
    assert list(wrong) == [7]
    assert wrong[7].startswith(f"{column} is {value}, not")
    assert len(points(table, wrong)) == 39


@pytest.mark.parametrize("size", [1, 150, 1000, 1 << 20])
def test_bodies_are_cut_between_lines(size):
    table = epoch(0)
    bodies = list(lines("m", table, [3], size))
    whole = b"".join(bytes(body.text) for body in bodies)
    assert len(parse(whole.decode())) == 39
    assert [row for body in bodies for row in body.rows] == [i for i in range(40) if i != 3]
    assert all(len(body.text) <= max(size, 300) for body in bodies)
    for body in bodies:
        for i, row in enumerate(body.rows):
            (point,) = parse(bytes(body.part(i, i + 1).text).decode())
            assert point.tags["sensor"] == table["sensor"][int(row)].as_py()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "give database"),
        ({"database": "d", "bucket": "b"}, "give database"),
        ({"bucket": "b", "policy": "p"}, "policy goes with database"),
        ({"database": "d", "org": "o"}, "org goes with bucket"),
        ({"database": "d", "user": "u"}, "user and password go together"),
        ({"bucket": "b", "token": "t", "user": "u", "password": "p"}, "not both"),
        ({"database": "d", "measurement": "a b"}, "must be letters"),
        ({"database": "d", "url": "http://u:p@h"}, "must hold no user"),
    ],
)
def test_what_cannot_be_is_found_when_the_config_is_read(keys, said):
    with pytest.raises(ValidationError, match=said):
        InfluxSink.Params(**{"url": "http://h", **keys})
