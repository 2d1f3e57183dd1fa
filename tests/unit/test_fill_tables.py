"""`gapcast.fill` of tables and arrays: the same container, order, index, names and types."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gapcast
from gapcast.engine.errors import DataError

STEPS = 24 * 10
BEGIN = np.datetime64("2024-03-01T00:00", "us")
TIMES = BEGIN + np.arange(STEPS) * np.timedelta64(1, "h")


def truth(series=3):
    rng = np.random.default_rng(3)
    day = 5 * np.sin(2 * np.pi * np.arange(STEPS) / 24)[:, None]
    return day + rng.normal(0, 0.1, (STEPS, series)) + np.arange(series)


def gappy():
    values = truth()
    values[100:106, 0] = np.nan
    values[150:153, :2] = np.nan
    return values


NAMES = ["b", "a", "c"]


def wide(kind):
    """A wide table, the time in a column unless it is pandas', with a column of words."""
    values = gappy()
    words = [f"row {i}" for i in range(STEPS)]
    if kind == "pandas":
        frame = pd.DataFrame(values, pd.DatetimeIndex(TIMES, name="when"), NAMES)
        frame["c"] = frame["c"].astype(np.float32)
        frame.insert(1, "note", words)
        return frame
    columns = {"when": TIMES, "b": values[:, 0], "note": words}
    columns |= {"a": values[:, 1], "c": values[:, 2].astype(np.float32)}
    if kind == "polars":
        return pl.DataFrame(columns)
    return pa.table({n: pa.array(c, from_pandas=True) for n, c in columns.items()})


def columns(table):
    """Columns of any table as NumPy arrays."""
    if isinstance(table, pa.Table):
        return {n: table[n].to_numpy() for n in table.column_names}
    return {n: table[n].to_numpy() for n in table.columns}


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_wide_table_comes_back_filled(kind, causal):
    table = wide(kind)
    found = gapcast.fill(table, causal=causal)
    assert type(found) is type(table)
    if kind in ("arrow", "polars"):
        assert found.schema == table.schema
    else:
        pd.testing.assert_index_equal(found.index, table.index)
        assert (found.dtypes == table.dtypes).all()
    before, after = columns(table), columns(found)
    assert list(before) == list(after)
    gone = np.isnan(gappy())
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(after[name][~gone[:, i]], before[name][~gone[:, i]])
        assert np.abs(after[name] - truth()[:, i]).max() < 1
    assert after["note"].tolist() == before["note"].tolist()


def test_the_numbers_do_not_depend_on_the_container():
    found = [columns(gapcast.fill(wide(kind))) for kind in ("pandas", "polars", "arrow")]
    array = gapcast.fill(gappy(), interval="1h")
    for i, name in enumerate(NAMES[:2]):
        for of in found:
            np.testing.assert_array_equal(of[name], found[0][name])
        # its steps are at other hours, which no season knows the difference of
        assert np.abs(array[:, i] - found[0][name]).max() < 0.5


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_long_table_in_any_order(kind):
    values, gone = gappy(), np.isnan(gappy())
    order = np.random.default_rng(0).permutation(STEPS * 3)
    frame = {
        "sensor": np.repeat(np.array(["x", "y", "z"]), STEPS)[order],
        "time": np.tile(TIMES, 3)[order],
        "value": values.T.ravel()[order],
    }
    made = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}[kind](frame)
    if kind == "pandas":
        made.index = made.index[::-1] + 7
    found = gapcast.fill(made, sensor="sensor")
    after = columns(found)
    assert type(found) is type(made)
    assert after["sensor"].tolist() == frame["sensor"].tolist()
    if kind == "pandas":
        pd.testing.assert_index_equal(found.index, made.index)
    back = np.empty(STEPS * 3)
    back[order] = after["value"]
    same = gapcast.fill(wide("arrow").drop(["c"]).append_column("c", pa.array(values[:, 2])))
    for i, name in enumerate(NAMES):
        own = back[i * STEPS : (i + 1) * STEPS]
        np.testing.assert_array_equal(own[~gone[:, i]], values[~gone[:, i], i])
        np.testing.assert_array_equal(own, columns(same)[name])


def test_rows_that_are_not_there_are_not_added():
    frame = wide("pandas").drop(wide("pandas").index[20:30])
    found = gapcast.fill(frame)
    pd.testing.assert_index_equal(found.index, frame.index)
    assert not found[NAMES].isna().any().any()


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "Float64", "float32", "double[pyarrow]"])
def test_types_of_pandas_stay(dtype):
    values = pd.Series(np.round(gappy()[:, 0]), TIMES).astype(dtype)
    found = gapcast.fill(values.to_frame("n"))
    assert found["n"].dtype == values.dtype
    assert not found["n"].isna().any()
    assert np.abs(found["n"].to_numpy(float) - truth()[:, 0]).max() < 2


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Float32])
def test_types_of_polars_stay(dtype):
    values = pl.Series("n", np.round(gappy()[:, 0]), nan_to_null=True).cast(dtype)
    found = gapcast.fill(pl.DataFrame({"t": TIMES, "n": values}))
    assert found["n"].dtype == dtype
    assert found["n"].null_count() == 0


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_bounds_and_flags_are_columns_behind_the_others(kind):
    table = wide(kind)
    found = gapcast.fill(table, bounds=True, flags=True)
    names, after = [*columns(table)], columns(found)
    added = [n + e for n in names if n in NAMES for e in ("_lower", "_upper", "_origin")]
    assert [*after] == names + added
    for i, name in enumerate(NAMES):
        gone = np.isnan(gappy()[:, i])
        lower, upper = (after[name + e].astype(float) for e in ("_lower", "_upper"))
        assert (np.isnan(lower) == ~gone).all()
        assert (lower[gone] < after[name][gone]).all()
        assert (after[name][gone] < upper[gone]).all()
        assert {*after[name + "_origin"][gone]} <= {"between"}
        assert {*after[name + "_origin"][~gone]} == {"observed"}
    if kind == "pandas":
        pd.testing.assert_index_equal(found.index, table.index)


def test_an_array_comes_back_as_one():
    for values in (gappy(), gappy().astype(np.float32), gappy()[:, 0]):
        given = values.copy()
        found = gapcast.fill(values, interval="1h")
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(values, given)
        np.testing.assert_array_equal(found[~np.isnan(values)], values[~np.isnan(values)])


@pytest.mark.parametrize("shape", [(0, 2), (5, 0), (0,)])
def test_an_empty_array_comes_back(shape):
    assert gapcast.fill(np.empty(shape), interval="1h").shape == shape


def test_names_of_pandas_need_not_be_texts_nor_rows_have_an_index_each():
    numbered = gapcast.fill(pd.DataFrame(gappy(), TIMES), bounds=True)
    assert [*numbered][:4] == [0, 1, 2, "0_lower"]
    index = pd.DatetimeIndex(np.tile(TIMES, 3))
    sensor = pd.Categorical(np.repeat(["x", "y", "z"], STEPS))
    frame = pd.DataFrame({"sensor": sensor, "value": gappy().T.ravel()}, index)
    found = gapcast.fill(frame, sensor="sensor", flags=True)
    pd.testing.assert_index_equal(found.index, index)
    np.testing.assert_array_equal(found["value"], numbered[[0, 1, 2]].to_numpy().T.ravel())
    assert (found["value_origin"] == "between").sum() == np.isnan(gappy()).sum()


def test_days_of_a_zone_are_steps_though_some_are_an_hour_longer():
    days = pd.date_range("2024-01-01", periods=STEPS, tz="Europe/Berlin")
    found = gapcast.fill(pd.DataFrame(gappy(), days, NAMES))
    pd.testing.assert_index_equal(found.index, days)
    assert not found.isna().any().any()


def test_times_in_any_zone_are_the_same_moments():
    frame = wide("pandas").tz_localize("UTC").tz_convert("Asia/Kolkata")
    found, plain = gapcast.fill(frame), gapcast.fill(wide("pandas"))
    pd.testing.assert_index_equal(found.index, frame.index)
    np.testing.assert_array_equal(found[NAMES].to_numpy(), plain[NAMES].to_numpy())


def test_dates_are_days():
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(STEPS)]
    frame = pl.DataFrame({"day": days, "v": gappy()[:, 0]})
    assert not gapcast.fill(frame)["v"].is_nan().any()


def irregular():
    rng = np.random.default_rng(1)
    return BEGIN + np.sort(rng.choice(10**9, STEPS, replace=False)).astype("timedelta64[us]")


FRAME = pl.DataFrame({"t": TIMES, "u": TIMES, "s": ["x"] * STEPS, "v": gappy()[:, 0]})


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (FRAME, {}, "columns 't', 'u' hold times: say which is the time of the rows, time='...'"),
        (FRAME.select("s", "v"), {}, "no column holds times"),
        (FRAME, {"time": "tt"}, "time: there is no column 'tt'"),
        (FRAME, {"time": "s"}, "time: column 's' holds String, expected times"),
        (FRAME, {"time": "t", "values": ["s"]}, "values: column 's' holds String, no numbers"),
        (FRAME.select("t", "s"), {}, "no column holds numbers"),
        (pl.concat([FRAME, FRAME]), {"time": "t"}, "say sensor"),
        (FRAME.with_columns(t=irregular()).drop("u"), {}, "no common interval"),
        (FRAME.head(0), {"time": "t"}, "there are no rows"),
        (FRAME.head(1), {"time": "t"}, "there is one time only"),
        (FRAME, {"time": "t", "interval": "1us"}, "say a longer interval"),
        (FRAME, {"time": "t", "interval": "an hour"}, "found 'an hour'"),
        (FRAME, {"time": "t", "interval": "0s"}, "interval must be above 0"),
        (FRAME, {"time": "t", "level": 90}, "level must be between 0 and 1"),
        (FRAME.with_columns(t=pl.lit(None, pl.Datetime)), {"time": "t"}, "no time in row 1"),
        (FRAME.with_columns(v_lower=1.0), {"time": "t", "bounds": True}, "'v_lower' already"),
        (gappy(), {}, "an array has no times: say interval"),
        (np.arange(9), {"interval": "1h"}, "expected floats"),
        (gappy(), {"interval": "1h", "flags": True}, "an array has no columns"),
        ({"t": [1]}, {}, "cannot fill a dict"),
        (pd.DataFrame(gappy(), TIMES, ["a", "a", "b"]), {}, "unique column names"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_asked_for(data, how, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        gapcast.fill(data, **how)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_whole_numbers_stay_within_what_their_type_can_hold(kind):
    times = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=h) for h in range(40)]
    falling = [max(39 - h, 0) for h in range(40)]
    columns = {"time": times, "x": np.array(falling, np.uint8), "y": np.arange(40.0)[::-1] - 30}
    data = pl.DataFrame(columns).with_columns(
        x=pl.when(pl.int_range(40) < 30).then(pl.col("x")).cast(pl.UInt8)
    )
    data = data.to_arrow() if kind is pa.table else data
    data = data.to_pandas().astype({"x": "UInt8"}) if kind is pd.DataFrame else data
    filled = gapcast.fill(data, causal=True)
    found = filled["x"].to_pylist() if kind is pa.table else list(filled["x"])
    assert len(found) == 40
    assert all(0 <= x <= 255 for x in found)
