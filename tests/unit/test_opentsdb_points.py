"""Points of OpenTSDB: names, timestamps, values as text, bodies."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gapcast.engine.sink import FORECASTS
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.opentsdb import OpenTsdbSink
from gapcast.plugins.sinks.opentsdb_points import (
    OF_SENSOR,
    SHARED,
    Layout,
    Template,
    bodies,
    escape,
    figures,
    unescape,
)

ALL = ("forecast", "lower", "upper", "truth", "status", "residual", "squared_error")
TAGS = {name: Template(f"{{{name}}}") for name in ("sensor", "model", "horizon")}
LAYOUT = Layout("run", Template("{quantity}.{series}"), TAGS, ALL, 1_000_000, ("observed",))


def changed(table, **columns):
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, FORECASTS.field(name), pa.array(values).cast(FORECASTS.field(name).type)
        )
    return table


def points(layout, table, skip=(), size=4096):
    return [p for body in bodies(layout, table, list(skip), size) for p in json.loads(body.json())]


@given(st.text())
def test_names_are_escaped_and_back(name):
    assert re.fullmatch(r"[A-Za-z0-9\-_./]+", escape(name))
    assert unescape(escape(name)) == name


@given(st.text(), st.text())
def test_names_that_differ_are_escaped_apart(one, other):
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize("name", ["dew_point", "mote-1", "a.b/c", "24"])
def test_usual_names_stay(name):
    assert escape(name) == name


def test_each_row_makes_the_points_it_has_values_for():
    made = points(LAYOUT, epoch(0))
    rows = epoch(0).to_pylist()
    known = [r for r in rows if r["truth"] is not None]
    names = [p["metric"].removeprefix("temperature.") for p in made]
    assert {n: names.count(n) for n in ALL} == {
        "forecast": 40, "lower": 0, "upper": 0, "truth": len(known), "status": 40,
        "residual": len(known), "squared_error": len(known),
    }  # fmt: skip
    first = made[0]
    assert first["tags"] == {"sensor": "1", "model": "m", "horizon": "0"}
    assert first["timestamp"] == rows[0]["time"].timestamp()
    assert [p["value"] for p in made[:40]] == [r["forecast"] for r in rows]


def test_truth_and_status_are_written_once_for_all_models():
    one = epoch(0)
    other = changed(one, model=["n"] * 40, horizon=[3] * 40)
    made = points(LAYOUT, pa.concat_tables([one, other]))
    for series in ALL:
        several = [p for p in made if p["metric"] == f"temperature.{series}"]
        keys = {(p["timestamp"], *sorted(p["tags"].items())) for p in several}
        assert len(keys) == len(several)
        tags = {"sensor"} if series in OF_SENSOR else {"sensor", "model", "horizon"}
        assert all(set(p["tags"]) == tags for p in several)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_values_are_floats_that_read_back_to_the_last_bit(values):
    table = changed(epoch(0).slice(0, 1), truth=pa.array([None], pa.float64()))
    table = pa.concat_tables([changed(table, forecast=[v]) for v in values])
    layout = replace(LAYOUT, series=("forecast",))
    texts = [json.loads(b.json(), parse_float=str) for b in bodies(layout, table, [], 4096)]
    made = [str(p["value"]) for body in texts for p in body]
    assert all(re.search("[.e]", text) for text in made)
    assert np.array_equal(np.array(made, float).view(np.int64), np.array(values).view(np.int64))


@given(st.integers(200, 3000), st.sets(st.integers(0, 39)))
def test_bodies_are_bounded_and_hold_each_point_once(size, skip):
    made = list(bodies(LAYOUT, epoch(0), sorted(skip), size))
    whole = points(LAYOUT, epoch(0), skip, 1 << 20)
    assert [p for b in made for p in json.loads(b.json())] == whole
    assert all(len(b.json()) <= size + 1 for b in made)
    assert not skip & {int(r) % SHARED for b in made for r in b.rows}
    for body in made:
        if len(body) > 1:
            one, other = body.halves()
            assert json.loads(one.json()) + json.loads(other.json()) == json.loads(body.json())
            assert [*one.rows, *other.rows] == [*body.rows]
            picked = body.pick([0, len(body) - 1])
            all_of = json.loads(body.json())
            assert json.loads(picked.json()) == [all_of[0], all_of[-1]]


def test_the_same_rows_make_the_same_bytes():
    made = [b.json() for b in bodies(LAYOUT, epoch(0), [], 4096)]
    rechunked = pa.concat_tables([epoch(0).slice(0, 7), epoch(0).slice(7)])
    assert [b.json() for b in bodies(LAYOUT, rechunked, [], 4096)] == made


def test_steps_finer_than_a_second_are_kept_in_milliseconds():
    table = changed(epoch(0).slice(0, 1), time=[1_078_099_200_500_000])
    (first, *_) = points(replace(LAYOUT, unit=1000), table)
    assert first["timestamp"] == 1_078_099_200_500


@pytest.mark.parametrize(
    ("columns", "unit", "reason"),
    [
        ({"time": [0]}, 1_000_000, "times outside 1970-01-01T00:00:00"),
        ({"time": [5_000_000_000_000_000]}, 1_000_000, "to 2106-02-07T06:28:15"),
        ({"time": [4_000_000_000]}, 1000, "outside 1970-02-19"),
        ({"forecast": [np.inf]}, 1000, "forecast is inf, not a finite number"),
        ({"lower": [np.nan]}, 1000, "lower is nan, not a finite number"),
    ],
)
def test_rows_that_cannot_be_kept_are_known_beforehand(columns, unit, reason):
    table = pa.concat_tables([epoch(0).slice(0, 1), changed(epoch(0).slice(1, 1), **columns)])
    unfit = replace(LAYOUT, unit=unit).unfit(table)
    assert list(unfit) == [1]
    assert reason in unfit[1]


def test_errors_that_overflow_make_no_point():
    table = changed(epoch(0).slice(1, 1), forecast=[-1e308], truth=[1e308])
    assert {p["metric"].partition(".")[2] for p in points(LAYOUT, table)} == {
        "forecast", "truth", "status"
    }  # fmt: skip


def test_figures_of_the_run_belong_to_no_row():
    body = figures({"rate": 2, "lag": 0.5}, "my run", 1_078_099_200)
    assert [(p["metric"], p["value"]) for p in json.loads(body.json())] == [
        ("gapcast.rate", 2.0), ("gapcast.lag", 0.5)
    ]  # fmt: skip
    assert json.loads(body.json())[0]["tags"] == {"run": "my_x20_run"}
    assert body.rows.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "tsd:4242"}, "must begin with http"),
        ({"url": "http://u:secret@tsd"}, "no user, password"),
        ({"metric": "{quantity}.{kind}.{series}"}, "unknown field {kind}"),
        ({"metric": "{quantity} {series}"}, "characters other than"),
        ({"metric": "{model}.{quantity}.{series}"}, "{model} belongs in tags"),
        ({"metric": "forecast.{series}"}, "name {quantity}: points would clash"),
        ({"tags": {"sensor": "{sensor}", "model": "{model}"}}, "name {horizon}"),
        ({"tags": {"all": "{sensor}-{model}-{horizon}"}}, "{sensor} must be in a tag"),
        ({"tags": {str(i): "{sensor}" for i in range(9)}}, "at most 8 tags"),
        ({"tags": {"my tag": "{sensor}"}}, "characters other than"),
        ({"user": "me"}, "go together"),
    ],
)
def test_parameters_that_would_lose_points_are_rejected(wrong, message):
    with pytest.raises(ValidationError, match=re.escape(message)) as rejected:
        OpenTsdbSink.Params(**{"url": "http://tsd:4242", **wrong})
    assert "secret" not in str(rejected.value)
