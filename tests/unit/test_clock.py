"""Local times on the days in which clocks are changed."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.zones import rules
from gapcast.plugins.sources.replay import ReplaySource
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.names import Names

BERLIN = "Europe/Berlin"
AUTUMN = datetime(2024, 10, 27, 1, tzinfo=UTC)
"""When clocks in Berlin were set back."""
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moments(step, hours=8, change=AUTUMN):
    """Every `step` minutes from so many hours before a change of clocks to as many after."""
    first = change - timedelta(hours=hours)
    return [first + k * step * MINUTE for k in range(2 * hours * 60 // step)]


def shown(moment, zone=BERLIN):
    """What a clock on the wall shows."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def source(path, **params):
    made = ReplaySource(ReplaySource.Params(path=str(path), **params))
    made.open(None)
    return made


def read(made, at_once=1 << 30, position=None):
    """(sensor, UTC time, line) of all readings, and all dead letters; through JSON at each stop."""
    (name,) = made.partitions()
    found, letters = [], []
    while True:
        got = made.read(name, position, at_once)
        position = json.loads(json.dumps(got.position))
        columns = [got.readings[n].to_pylist() for n in ("sensor", "time", "offset")]
        found += zip(*columns, strict=True)
        letters += got.dead_letters.to_pylist()
        if got.ended:
            return found, letters


def placed(tmp_path, rows, zone=BERLIN, **params):
    """The UTC times of rows (sensor, moment) that are written as local times, in their order."""
    text = "time,sensor,quantity,value\n"
    text += "".join(f"{shown(m, zone)},{s},t,{k}\n" for k, (s, m) in enumerate(rows))
    path = tmp_path / "x.csv"
    path.write_text(text)
    found, letters = read(source(path, timezone=zone, **params))
    assert letters == []
    return [time for _, time, _ in sorted(found, key=lambda row: row[2])]


def truth(rows):
    return [moment for _, moment in rows]


@pytest.mark.parametrize("step", [1, 5, 10, 15, 20, 30, 60])
@pytest.mark.parametrize("order", [None, "as-is", "time"])
def test_the_second_pass_is_told_by_the_order(tmp_path, step, order):
    rows = [("a", moment) for moment in moments(step)]
    assert placed(tmp_path, rows, order=order) == truth(rows)


@pytest.mark.parametrize("step", [10, 60])
def test_many_sensors_in_order_of_time(tmp_path, step):
    rows = [(f"s{k}", moment) for moment in moments(step) for k in range(20)]
    assert placed(tmp_path, rows) == truth(rows)


@pytest.mark.parametrize("step", [10, 60])
def test_a_file_sorted_by_sensor(tmp_path, step):
    rows = [(f"s{k}", moment) for k in range(20) for moment in moments(step)]
    assert placed(tmp_path, rows) == truth(rows)
    assert placed(tmp_path, rows, order="as-is") == truth(rows)


@pytest.mark.parametrize("step", [10, 30, 60])
def test_a_file_that_begins_with_the_newest(tmp_path, step):
    rows = [("a", moment) for moment in reversed(moments(step))]
    assert placed(tmp_path, rows) == truth(rows)


def test_records_a_little_out_of_order_are_of_the_pass_they_are_in(tmp_path):
    rows = [("a", moment) for moment in moments(10)]
    for k in range(0, len(rows) - 1, 2):  # each pair the wrong way round
        rows[k : k + 2] = rows[k + 1], rows[k]
    assert placed(tmp_path, rows, order="as-is") == truth(rows)


def test_records_written_twice_are_no_second_pass(tmp_path):
    rows = [("a", moment) for moment in moments(10) for _ in range(2)]
    assert placed(tmp_path, rows) == truth(rows)


def test_gaps_within_the_hour(tmp_path):
    drawn = random.Random(4)
    rows = [("a", m) for m in moments(5) if abs(m - AUTUMN) < 5 * MINUTE or drawn.random() < 0.7]
    assert placed(tmp_path, rows) == truth(rows)


@pytest.mark.parametrize(
    ("zone", "change"),
    [("America/New_York", datetime(2023, 11, 5, 6, tzinfo=UTC)),
     ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
     ("Africa/Casablanca", datetime(2024, 3, 10, 2, tzinfo=UTC))],
)  # fmt: skip
def test_zones_everywhere(tmp_path, zone, change):
    rows = [("a", moment) for moment in moments(5, change=change)]
    assert placed(tmp_path, rows, zone=zone) == truth(rows)


def test_two_years_in_a_wide_table(tmp_path):
    first = datetime(2022, 12, 31, 23, tzinfo=UTC)
    expected = [first + timedelta(hours=k) for k in range(2 * 8760)]
    path = tmp_path / "x.csv"
    path.write_text("time,t,h\n" + "".join(f"{shown(m)},1,2\n" for m in expected))
    found, letters = read(source(path, timezone=BERLIN))
    assert letters == []
    assert [time for _, time, _ in found[::2]] == expected


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_reading_goes_on_anywhere_within_the_hour(tmp_path, monkeypatch, kind):
    rows = [(f"s{k}", moment) for moment in moments(10) for k in range(3)]
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        text = "".join(f"{shown(m)},{s},t,1\n" for s, m in rows)
        path.write_text("time,sensor,quantity,value\n" + text)
    else:
        local = [m.astimezone(ZoneInfo(BERLIN)).replace(tzinfo=None) for _, m in rows]
        table = {"time": pa.array(local, pa.timestamp("us")), "sensor": [s for s, _ in rows],
                 "quantity": ["t"] * len(rows), "value": [1.0] * len(rows)}  # fmt: skip
        pq.write_table(pa.table(table), path, row_group_size=50)
    params = {"timezone": BERLIN, "order": "as-is"}
    whole, _ = read(source(path, **params))
    assert [time for _, time, _ in whole] == truth(rows)
    made = source(path, **params)
    position, passed = None, 0
    while passed < len(rows):
        got = made.read(path.name, position, 7)
        passed += len(got.readings)
        position = json.loads(json.dumps(got.position))
        assert read(source(path, **params), position=position)[0] == whole[passed:]


@pytest.mark.parametrize("step", [10, 60])
def test_a_file_that_grows_within_the_hour(tmp_path, step):
    expected = moments(step, hours=4)
    path = tmp_path / "x.csv"
    path.write_text("time,t\n")
    made = source(path, timezone=BERLIN, follow=True)
    position, found = None, []
    for moment in expected:
        with path.open("a") as out:
            out.write(f"{shown(moment)},1\n")
        got = made.read("x.csv", position, 100)
        while not len(got.readings):
            got = made.read("x.csv", got.position, 100)
        position = json.loads(json.dumps(got.position))
        found += got.readings["time"].to_pylist()
    assert found == expected


def test_what_was_seen_is_forgotten_far_from_the_hour(tmp_path):
    rows = [("a", moment) for moment in moments(1, hours=24 * 10)]
    text = "".join(f"{shown(m)},{s},t,1\n" for s, m in rows)
    path = tmp_path / "x.csv"
    path.write_text("time,sensor,quantity,value\n" + text)
    made = source(path, timezone=BERLIN)
    position, at = None, []
    while not position or position["line"] < len(rows):
        position = made.read("x.csv", position, 1000).position
        at.append("since" in position)
    assert (at[0], any(at), at[-1]) == (False, True, False)


def test_blocks_may_end_within_the_hour(tmp_path):
    rows = [(f"sensor-{k:04}", moment) for moment in moments(10, hours=3) for k in range(2000)]
    assert placed(tmp_path, rows) == truth(rows)  # some blocks of a mebibyte


def test_times_on_no_clock_are_dead_letters(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,s\n2024-03-31 01:30,1\n2024-03-31 02:30,2\n2024-03-31 03:00,3\n")
    found, letters = read(source(path, timezone=BERLIN))
    assert [f"{time:%H:%M}" for _, time, _ in found] == ["00:30", "01:00"]
    (letter,) = letters
    assert letter["reason"] == (
        "time on no clock: those of Europe/Berlin are set forward over it on 2024-03-31"
    )
    assert (letter["offset"], letter["raw"]) == (3, b"2024-03-31 02:30,2")


def test_what_is_taken_for_what_is_told_once(tmp_path, caplog):
    change = datetime(2021, 10, 31, 1, tzinfo=UTC)
    rows = [(f"s{k}", moment) for moment in moments(10, change=change) for k in range(9)]
    assert placed(tmp_path, rows) == truth(rows)
    (said,) = [r.getMessage() for r in caplog.records]
    assert "Europe/Berlin: clocks are set back on 2021-10-31" in said
    assert "told apart by their order" in said


def test_an_hour_that_comes_once_is_told(tmp_path, caplog):
    change = datetime(2020, 10, 25, 1, tzinfo=UTC)
    rows = [("a", m) for m in moments(10, change=change) if not change <= m < change + 60 * MINUTE]
    assert placed(tmp_path, rows) == truth(rows)
    (said,) = [r.getMessage() for r in caplog.records]
    assert "one pass only, which is taken as the first" in said
    assert "source.timezone" in said


def test_times_with_offsets_need_no_order(tmp_path, caplog):
    path = tmp_path / "x.csv"
    there = [m.astimezone(ZoneInfo("Europe/Paris")) for m in moments(30)]
    path.write_text("time,t\n" + "".join(f"{m.isoformat()},1\n" for m in there))
    found, _ = read(source(path, timezone="Europe/Paris"))
    assert [time for _, time, _ in found] == moments(30)
    assert not caplog.records


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia",
         "America/Sao_Paulo", "Africa/Casablanca", "Asia/Tehran"]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2037, 1, 1))))
def test_offsets_are_those_of_zoneinfo(zone, local):
    if not local:
        return
    since = np.array([(m.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) for m in local])
    rule = rules(zone, since)
    offsets = [m.replace(tzinfo=ZoneInfo(zone)).utcoffset() for m in local]
    expected = [offset // timedelta(microseconds=1) for offset in offsets]
    never = [(m.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
              .replace(tzinfo=None)) != m for m in local]  # fmt: skip
    assert [b for b, n in zip(rule.offset(since).tolist(), never, strict=True) if not n] == [
        b for b, n in zip(expected, never, strict=True) if not n
    ]
    none = Names.none(len(local))
    _, off = Clock(zone).utc(since, np.ones(len(local), np.bool_), none, none)
    assert off.tolist() == never


@settings(deadline=None)
@given(
    st.sampled_from(ZONES[:3]), st.integers(1990, 2036), st.integers(1, 60), st.integers(1, 4),
    st.booleans(), st.booleans(), st.data(),
)  # fmt: skip
def test_series_in_order_are_read_as_zoneinfo_wrote_them(
    zone, year, step, sensors, falling, by_sensor, data
):
    place = ZoneInfo(zone)
    begin = datetime(year, 1, 1, tzinfo=UTC)
    days = [begin + timedelta(days=k) for k in range(366)]
    change = next(d for d in days if (d + timedelta(days=1)).astimezone(place).utcoffset()
                  < d.astimezone(place).utcoffset())  # fmt: skip
    late = data.draw(st.integers(0, step - 1))
    series = [change + (late + k * step) * MINUTE for k in range(-900 // step, 2400 // step)]
    if falling:
        series.reverse()
    rows = [(s, m) for m in series for s in range(sensors)]
    if by_sensor:
        rows.sort(key=lambda row: row[0])
    length = (change.astimezone(place).utcoffset()
              - (change + timedelta(days=1)).astimezone(place).utcoffset())  # fmt: skip
    if timedelta(minutes=step) > length:
        return  # of such a series an hour may have one pass only
    times = np.array([(m.astimezone(place).replace(tzinfo=UTC) - EPOCH) // MINUTE for _, m in rows])
    names = pa.array([str(s) for s in range(sensors)])
    ids = np.array([s for s, _ in rows], np.int32)
    clock = Clock(zone)
    clock.follow(1)
    found = []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        none = Names.none(b - a)
        local = times[a:b] * 60_000_000
        utc, off = clock.utc(local, np.ones(b - a, np.bool_), Names(ids[a:b], names), none)
        assert not off.any()
        found += utc.tolist()
    assert found == [(m - EPOCH) // timedelta(microseconds=1) for _, m in rows]
