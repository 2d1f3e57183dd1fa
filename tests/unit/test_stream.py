"""``gapcast.Stream``: the numbers of a run, however it is pushed and wherever it is stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from doubles import MINUTE, SCRIPTS, START, Keeps
from hypothesis import given, settings
from hypothesis import strategies as st

import gapcast
from gapcast.engine.config import read_config
from gapcast.engine.errors import CheckpointError, ConfigError, DataError
from gapcast.engine.sink import FORECASTS

HOURS = 40
SENSORS = ["a", "b", "c"]


def rows():
    """(minute, sensor, quantity, value) of three sensors: noise, gaps, doubles, late ones, values
    outside of the limits, and outliers."""
    rng = np.random.default_rng(3)
    found = []
    for step in range(HOURS * 6):
        for k, sensor in enumerate(SENSORS):
            for quantity in ("temperature", "humidity"):
                if rng.random() < 0.1 or 60 < step < 75:
                    continue
                value = 20 + 5 * np.sin(step / 30) + k + rng.normal(0, 0.3)
                value = 500.0 if rng.random() < 0.01 else value
                value = 45.0 if rng.random() < 0.01 else value
                minute = 10 * step + rng.random() * 9
                late = rng.random() < 0.03
                found.append((minute - 45 * late, sensor, quantity, float(value)))
                if rng.random() < 0.02:
                    found.append(found[-1])
    return found


ROWS = rows()
CONFIG = {
    "name": "stream",
    "source": {"type": "doubles:Played", "script": "stream", "at_once": 500},
    "grid": {"interval": "10min", "lateness": "20min"},
    "limits": {"temperature": {"min": -50, "max": 60}},
    "screen": {"outliers": True},
    "targets": {"quantities": ["temperature"]},
    "models": {
        "auto": {"type": "auto", "horizons": [0, 1, 3]},
        "rls": {"type": "rls", "horizons": [-2, 0, 2]},
    },
    "sinks": {"keeps": {"type": "doubles:Keeps"}},
}
BLACKOUT = {
    "mode": "blackout",
    "spans": [{"from": "2004-03-01T10:00:00Z", "to": "2004-03-01T16:00:00Z"}],
}


def table(of):
    minutes, sensors, quantities, values = zip(*of, strict=True)
    times = pa.array([START + int(m * MINUTE) for m in minutes], pa.int64())
    columns = [times.cast(pa.timestamp("us", "UTC")), sensors, quantities, values]
    return pa.table(columns, ["time", "sensor", "quantity", "value"])


TABLE = table(ROWS)
SERIES = [(s, q) for s in SENSORS for q in ("temperature", "humidity")]


def ran(folder, config):
    """What a run delivers, and its counts."""
    SCRIPTS["stream"] = {"p": ROWS}
    result = gapcast.run(read_config(config), folder)
    return in_order(pa.concat_tables(Keeps.epochs.values())), result.counts


def in_order(found):
    """Rows by their keys, each stage by itself, strings plain."""
    plain = found.cast(pa.schema([
        f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in FORECASTS
    ]))  # fmt: skip
    frame = plain.to_pandas()
    frame["ahead"] = frame["status"] == "ahead"
    keys = ["time", "sensor", "quantity", "model", "horizon", "ahead"]
    return frame.sort_values(keys, ignore_index=True)


@pytest.fixture(scope="module", params=["prequential", "blackout"])
def config(request):
    return CONFIG | ({"evaluation": BLACKOUT} if request.param == "blackout" else {})


@pytest.fixture(scope="module")
def expected(config, tmp_path_factory):
    return ran(tmp_path_factory.mktemp("run") / "out", config)


CUTS = st.lists(st.integers(0, len(ROWS)), max_size=8).map(sorted)


@settings(deadline=None, max_examples=15)
@given(cuts=CUTS, stop=st.integers(0, 9))
def test_rows_are_those_of_a_run_however_pushed_and_wherever_taken_up(config, expected, cuts, stop):
    stream = gapcast.Stream.from_config(read_config(config), SERIES)
    found = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(ROWS)], strict=True)):
        found.append(stream.push(TABLE.slice(start, end - start)))
        if number == stop:
            stream = gapcast.Stream.from_state(stream.state())
    found.append(stream.close())
    pd.testing.assert_frame_equal(in_order(pa.concat_tables(found)), expected[0], check_exact=True)
    assert stream.counts == expected[1]
    assert expected[1].late > 0 < expected[1].rejected
    assert expected[1].duplicate > 0


def test_bits_are_the_same_too(config, expected):
    stream = gapcast.Stream.from_config(read_config(config))
    found = [stream.push(TABLE.slice(i, 100)) for i in range(0, len(ROWS), 100)]
    found = in_order(pa.concat_tables([*found, stream.close()]))
    for name in ("forecast", "lower", "upper", "truth"):
        one, other = (f[name].to_numpy().view(np.int64) for f in (found, expected[0]))
        np.testing.assert_array_equal(one, other)
    assert {*found["status"]} >= {"observed", "missing", "rejected", "ahead"}
    assert ("withheld" in {*found["status"]}) == ("evaluation" in config)


def test_the_future_changes_nothing_that_was_said():
    def said(values):
        stream = gapcast.Stream(
            interval="10min", series=SERIES, models={"auto": {"type": "auto", "horizons": [0, 2]}},
            quantities="temperature",
        )  # fmt: skip
        return stream.push(values), stream

    half = len(ROWS) // 2
    past, stream = said(TABLE.slice(0, half))
    other = [(m, s, q, v * 3 - 7) for m, s, q, v in ROWS[half:]]
    later = stream.push(table(other))
    again, _ = said(pa.concat_tables([TABLE.slice(0, half), table(other)]))
    both = in_order(pa.concat_tables([past, later]))
    pd.testing.assert_frame_equal(both, in_order(again), check_exact=True)
    plain, _ = said(TABLE)
    last = in_order(past)["made"].max()
    one, two = (f[f["made"] <= last - pd.Timedelta("10min")] for f in map(in_order, (again, plain)))
    one, two = (f[f["time"] <= last] for f in (one, two))
    assert len(one) > 200
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_rows_ahead_come_before_their_time():
    stream = gapcast.Stream(
        interval="10min", sensors=SENSORS, quantities="temperature",
        models={"p": {"type": "persistence", "horizons": [1]}},
    )  # fmt: skip
    stream.push(TABLE.slice(0, 12))
    found = stream.push(TABLE.slice(12, 60)).to_pylist()
    latest = max(r["time"] for r in found if r["status"] != "ahead")
    assert max(r["time"] for r in found) == latest + timedelta(minutes=10)
    assert [r["status"] for r in found] == sorted((r["status"] for r in found), key="ahead".__ne__)


KINDS = {
    "Arrow": (lambda t: t, pa.Table),
    "batch": (lambda t: t.combine_chunks().to_batches()[0], pa.Table),
    "pandas": (lambda t: t.to_pandas(), pd.DataFrame),
    "polars": (pl.from_arrow, pl.DataFrame),
    "mappings": (lambda t: t.to_pylist(), list),
    "pandas without a zone": (
        lambda t: t.to_pandas().assign(time=lambda f: f["time"].dt.tz_localize(None)), pd.DataFrame
    ),
    "text": (
        lambda t: [r | {"time": r["time"].isoformat()} for r in t.to_pylist()], list
    ),
    "text without a zone": (
        lambda t: [r | {"time": f"{r['time']:%Y-%m-%d %H:%M:%S.%f}"} for r in t.to_pylist()], list
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "kind"), KINDS.values(), ids=KINDS)
def test_what_is_pushed_comes_back_as_its_kind_with_the_same_numbers(made, kind):
    def stream():
        models = {"p": {"type": "persistence"}}
        return gapcast.Stream(interval="10min", quantities="temperature", models=models)

    wanted = stream().push(TABLE.slice(0, 300))
    found = stream().push(made(TABLE.slice(0, 300)))
    assert isinstance(found, kind)
    assert len(found) == len(wanted) > 50
    if isinstance(found, list):
        numbers, names = [r["forecast"] for r in found], [*found[0]]
    else:
        numbers, names = list(found["forecast"]), getattr(found, "column_names", found)
        names = list(getattr(names, "columns", names))
    assert names == FORECASTS.names
    numbers = [n.as_py() if isinstance(n, pa.Scalar) else n for n in numbers]
    assert numbers == wanted["forecast"].to_pylist()


def test_a_stream_that_has_seen_nothing_gives_nothing_and_goes_on():
    stream = gapcast.Stream(interval="10min")
    assert stream.push([]) == []
    assert stream.flush() == []
    assert stream.counts.read == 0
    stream = gapcast.Stream.from_state(stream.state())
    assert len(stream.push(TABLE.slice(0, 200))) > 0
    assert {*stream.close()["quantity"].to_pylist()} == {"temperature", "humidity"}


def test_sensors_without_quantities_and_values_that_json_has_not_survive_a_state():
    begin = datetime(2004, 3, 1, 10, tzinfo=UTC)
    span = {"from": begin, "to": begin + timedelta(hours=2)}
    stream = gapcast.Stream(
        interval="10min",
        sensors=("a", "b", "c", "d"),
        limits={"temperature": {"max": np.float64(99)}},
        evaluation={"mode": "blackout", "spans": [span]},
        models={"p": {"type": "persistence"}},
    )
    stream = gapcast.Stream.from_state(stream.state())
    stream.push(TABLE.slice(0, 50))
    stream = gapcast.Stream.from_state(stream.state())
    found = stream.push(TABLE.slice(50, 600))
    assert "withheld" in found["status"].to_pylist()
    last = max(minute for minute, *_ in ROWS[:650])
    assert len(stream.push(table([(last + 40, "d", "temperature", 1.0)]))) > 0


def test_a_series_of_one_quantity_needs_no_column_of_it():
    stream = gapcast.Stream(interval="10min", series=[("a", "t")])
    stream.push(
        TABLE.filter(pa.array([r[1:3] == ("a", "humidity") for r in ROWS])).drop("quantity")
    )
    assert stream.counts.used > 100


def test_flushed_steps_are_closed_and_what_comes_for_them_is_late():
    stream = gapcast.Stream(interval="1h", sensors=["a"], quantities="t")
    at = datetime(2024, 1, 1, tzinfo=UTC)

    def reading(minutes, value):
        return {"time": at + timedelta(minutes=minutes), "sensor": "a", "value": value}

    assert stream.push([reading(0, 1.0), reading(61, 2.0)]) == []
    assert [r["truth"] for r in stream.flush()] == [2.0]
    assert stream.push([reading(70, 3.0), reading(130, 4.0), reading(190, 5.0)])[0]["truth"] == 4.0
    assert (stream.counts.late, stream.counts.used) == (1, 3)
    assert "late" in str(stream.unused[0])
    assert len(stream.close()) == 1
    assert stream.close() == []
    with pytest.raises(DataError, match="the stream is closed"):
        stream.push([])
    with pytest.raises(DataError, match="the stream is closed"):
        gapcast.Stream.from_state(stream.state()).push([])


def test_a_series_that_is_not_known_is_an_error_and_nothing_of_the_push_is_taken():
    models = {"p": {"type": "persistence"}}
    stream = gapcast.Stream(interval="10min", models=models, series=SERIES)
    stream.push(TABLE.slice(0, 50))
    before = stream.state()
    extra = table([(990, "a", "temperature", 1.0), (990, "x", "temperature", 1.0)])
    with pytest.raises(DataError, match="x/temperature is not among the 6 series that were"):
        stream.push(extra)
    assert stream.counts == gapcast.Stream.from_state(before).counts
    assert len(stream.push(TABLE.slice(50, 50))) > 0


@pytest.mark.parametrize("stop", [0, 3])
def test_who_appears_joins_as_in_a_run(stop, tmp_path):
    late = [r for r in ROWS if r[1] != "c" or r[0] > 300]
    first = sum(r[0] < 100 for r in late)
    known = {"type": "doubles:Unannounced", "script": "stream", "known": ["a", "b"]}
    config = CONFIG | {"source": known}
    SCRIPTS["stream"] = {"p": late}
    result = gapcast.run(read_config(config), tmp_path / "out")
    wanted = in_order(pa.concat_tables(Keeps.epochs.values()))
    stream, told = gapcast.Stream.from_config(read_config(config)), []
    for number, (a, b) in enumerate(pairwise([0, first, first + 400, first + 500, len(late)])):
        if number == stop:
            stream = gapcast.Stream.from_state(stream.state())
        told.append(stream.push(table(late[a:b])))
    told.append(stream.close())
    pd.testing.assert_frame_equal(in_order(pa.concat_tables(told)), wanted, check_exact=True)
    assert stream.counts == result.counts
    assert "c" in {*wanted["sensor"]}


@pytest.mark.parametrize("derive", [{}, None])
def test_what_is_named_and_not_in_the_first_push_joins_as_in_a_run(derive, tmp_path):
    first = {"b": 300, "a": 0}
    late = [r for r in ROWS if r[1] != "c" and r[0] > first[r[1]] + 60 * (r[2] == "temperature")]
    targets = {"quantities": ["temperature", "humidity"], "sensors": ["b"]}
    source = {"type": "doubles:Unannounced", "script": "stream", "known": []}
    config = CONFIG | {"targets": targets, "source": source, "derive": derive}
    SCRIPTS["stream"] = {"p": late}
    result = gapcast.run(read_config(config), tmp_path / "out")
    wanted = in_order(pa.concat_tables(Keeps.epochs.values()))
    assert {*wanted["quantity"]} == {"temperature", "humidity"}
    stream = gapcast.Stream.from_config(read_config(config))
    told = [stream.push(table(late[:1])), stream.push(table(late[1:])), stream.close()]
    assert stream.counts == result.counts
    keys = ["time", "sensor", "quantity", "model", "horizon", "status"]
    found = in_order(pa.concat_tables(told))
    assert found[keys].equals(wanted[keys])


def test_a_state_keeps_the_order_of_experts():
    experts = {"z": {"type": "seasonal"}, "a": {"type": "persistence"}, "m": {"type": "ema"}}
    models = {"mean": {"type": "blend", "experts": experts}}
    stream = gapcast.Stream(interval="10min", quantities="temperature", models=models)
    stream.push(TABLE.slice(0, 400))
    again = gapcast.Stream.from_state(stream.state())
    rest = TABLE.slice(400)
    assert again.push(rest).equals(stream.push(rest))
    assert again.close().equals(stream.close())


def test_a_first_push_may_have_nothing_that_is_forecast():
    models = {"p": {"type": "persistence"}}
    stream = gapcast.Stream(interval="10min", quantities="temperature", models=models)
    assert len(stream.push(table([r for r in ROWS if r[2] == "humidity"]))) == 0
    assert len(stream.push(TABLE)) > 0


def test_a_push_that_is_refused_does_not_settle_the_quantities():
    stream = gapcast.Stream(interval="10min", sensors=["a"], models={"p": {"type": "persistence"}})
    with pytest.raises(DataError, match="x/pressure is not among the 1 sensors"):
        stream.push(table([(0, "x", "pressure", 1.0)]))
    assert len(stream.push(table([r for r in ROWS if r[1] == "a"]))) > 0


def test_one_sensor_needs_no_list():
    models = {"p": {"type": "persistence"}}
    stream = gapcast.Stream(interval="10min", sensors="roof", quantities="t", models=models)
    for hour in (0, 1):
        stream.push([{"time": datetime(2024, 1, 1, hour), "sensor": "roof", "value": 1.0}])
    assert {r["sensor"] for r in stream.close()} == {"roof"}


@pytest.mark.parametrize("kind", [pa.table, pd.DataFrame, pl.DataFrame, pd.DataFrame.to_dict])
def test_a_stream_that_goes_on_gives_the_container_that_it_gave(kind):
    given = pd.DataFrame([ONE])
    given = given.to_dict("records") if kind is pd.DataFrame.to_dict else kind(given)
    stream = gapcast.Stream(interval="1min", models={"p": {"type": "persistence"}})
    kept = type(stream.push(given))
    again = gapcast.Stream.from_state(stream.state())
    assert type(again.flush()) is kept
    assert type(again.close()) is kept


def test_quantities_that_no_model_reads_are_left_out():
    models = {"p": {"type": "persistence"}}
    stream = gapcast.Stream(interval="10min", quantities="temperature", models=models)
    stream.push(TABLE)
    assert stream.counts.read < len(ROWS)
    assert {s.quantity for s in stream._known} == {"temperature"}


ONE = {"time": datetime(2024, 1, 1), "sensor": "a", "quantity": "t", "value": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"time": datetime(2024, 1, 1), "sensor": "a", "quantity": "t", "valu": 1}],
         "no column 'value'; did you mean 'valu'"),
        ([ONE | {"time": 17}], "'time' holds int64: expected times"),
        ([ONE | {"time": "soon"}], "column 'time' holds string"),
        ([ONE | {"time": None}], "1 rows have no time"),
        ([ONE | {"value": "x"}], "column 'value'"),
        ([ONE | {"value": 10**400}], "no mappings of one kind"),
        (pa.Table.from_arrays([pa.array([1])] * 2, ["time"] * 2), "column 'time' twice"),
        (pd.DataFrame([ONE, ONE]).assign(sensor=["a", 1]), "readings: "),
        ([1, 2], "no mappings of one kind"),
        ("text", "cannot take a str"),
    ],
)  # fmt: skip
def test_what_are_no_readings_is_told(data, message):
    with pytest.raises(DataError, match=message):
        gapcast.Stream(interval="1min").push(data)


def test_a_wrong_config_is_told_at_once():
    with pytest.raises(ConfigError, match=r"models\.m\.alhpa"):
        gapcast.Stream(interval="1min", models={"m": {"type": "ema", "alhpa": 1}})
    with pytest.raises(DataError, match="a stream has no sinks"):
        gapcast.Stream(interval="1min", sinks={"files": {"type": "files"}})
    with pytest.raises(ConfigError, match=r"grid\.interval"):
        gapcast.Stream(interval="soon")
    for section in ("grid", "targets", "models"):
        with pytest.raises(ConfigError, match=f"{section}: must be a section"):
            gapcast.Stream(**{"interval": "1min", "quantities": "t", section: ["x"]})
    for series in ([("a", "t", "x")], ["ab"]):
        with pytest.raises(DataError, match="series: expected pairs"):
            gapcast.Stream(interval="1min", series=series)


def test_a_state_that_is_not_whole_is_told():
    stream = gapcast.Stream(interval="10min", models={"p": {"type": "persistence"}})
    stream.push(TABLE.slice(0, 90))
    data = stream.state()
    for wrong in (b"", b"x" * 40, data[:-1], data[:100], data[:-9] + b"123456789", data + b"x"):
        with pytest.raises(CheckpointError):
            gapcast.Stream.from_state(wrong)
    assert gapcast.Stream.from_state(memoryview(data)).counts == stream.counts
