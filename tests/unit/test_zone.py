"""Steps that begin by the clock of a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast import read_config, run
from gapcast.engine.config.model import Grid
from gapcast.engine.errors import ConfigError
from gapcast.engine.report import report
from gapcast.engine.run.prepare import grid_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ZONES = ["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Cairo",
         "Australia/Lord_Howe", "Pacific/Auckland", "Europe/London", "America/Havana"]  # fmt: skip


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def spec(**section):
    return grid_of(Grid.model_validate(section))


@settings(deadline=None)
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([0, 6]),
)
def test_a_day_begins_at_its_midnight(zone, moment, hour):
    grid, place = spec(interval="1d", zone=zone, offset=f"{hour}h"), ZoneInfo(zone)
    (step,) = grid.steps(np.array([micros(moment)]))
    begin, end = (EPOCH + timedelta(microseconds=int(t)) for t in grid.begins(step + np.arange(2)))
    assert begin <= moment < end
    assert timedelta(hours=23) <= end - begin <= timedelta(hours=25)
    for bound in (begin, end):
        day = bound.astimezone(place).date()
        midnight = datetime(day.year, day.month, day.day, hour, tzinfo=place)
        assert midnight.astimezone(UTC) == bound
    assert grid.since(micros(begin)) == step
    assert grid.since(micros(begin) + 1) == step + 1


@settings(deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(st.integers(micros(datetime(1995, 1, 1, tzinfo=UTC)), 2_208_988_800_000_000)),
)
def test_the_even_time_keeps_the_order(zone, times):
    grid = spec(interval="1d", zone=zone)
    assert (np.diff(grid.even(np.array(sorted(times), np.int64))) >= 0).all()


@pytest.mark.parametrize(
    ("section", "first"),
    [
        ({"interval": "1d", "zone": "Asia/Kolkata"}, "2024-03-31T18:30"),
        ({"interval": "6h", "zone": "Asia/Kolkata"}, "2024-04-01T00:30"),
        ({"interval": "1h", "zone": "Asia/Kolkata"}, "2024-04-01T00:30"),
        ({"interval": "30min", "zone": "Asia/Kolkata"}, "2024-04-01T00:00"),
        ({"interval": "1h", "zone": "Europe/Berlin"}, "2024-04-01T00:00"),
        ({"interval": "1d", "zone": "Europe/Berlin"}, "2024-03-31T22:00"),
        ({"interval": "1d", "zone": "Europe/Berlin", "offset": "6h"}, "2024-04-01T04:00"),
        ({"interval": "7d", "zone": "Europe/Berlin", "offset": "4d"}, "2024-03-31T22:00"),  # Monday
        ({"interval": "1d", "offset": "1110min"}, "2024-03-31T18:30"),
        ({"interval": "12h", "zone": "Etc/GMT-1"}, "2024-03-31T23:00"),
    ],
)
def test_where_steps_begin(section, first):
    grid = spec(**section)
    begin = micros(datetime.fromisoformat(first + "+00:00"))
    begin_of = int(grid.begins(np.array([grid.since(begin)]))[0])
    assert EPOCH + timedelta(microseconds=begin_of) == EPOCH + timedelta(microseconds=begin)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"interval": "6h", "zone": "Europe/Berlin"}, "zone: Etc/GMT-1"),
        ({"interval": "36h", "zone": "America/New_York"}, "zone: Etc/GMT+5"),
        ({"interval": "1h", "zone": "Australia/Lord_Howe"}, "divides this"),
        ({"interval": "1d", "zone": "Mars/Olympus"}, "a time zone such as"),
    ],
)
def test_steps_that_cannot_begin_by_a_clock_are_an_error(section, said):
    with pytest.raises(ConfigError, match="grid") as raised:
        read_config(config("x.csv") | {"grid": section})
    assert said in str(raised.value)


def config(path, **more):
    return {
        "name": "rain",
        "source": {"type": "replay", "path": str(path)},
        "targets": {"sensors": "all", "quantities": ["rain"]},
        "models": {"last": {"type": "persistence", "horizons": [0, 1]}},
        "sinks": {"files": {"type": "files"}},
        **more,
    }


def rain(tmp_path, zone, first, hours):
    """A file of hourly rain, in UTC; of each local day its sum, by when the day begins."""
    path, days = tmp_path / "rain.csv", dict[datetime, float]()
    lines = ["time,sensor,quantity,value"]
    for k in range(hours):
        moment = first + k * HOUR + timedelta(minutes=29)
        day = moment.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, fold=0)
        begin = day.astimezone(UTC)
        days[begin] = days.get(begin, 0.0) + k % 7
        lines.append(f"{moment:%Y-%m-%dT%H:%M}Z,a,rain,{k % 7}")
    path.write_text("\n".join(lines) + "\n")
    return path, days


@pytest.mark.parametrize(
    ("zone", "first"),
    [("Asia/Kolkata", datetime(2024, 7, 1, 18, tzinfo=UTC)),
     ("Europe/Berlin", datetime(2024, 10, 20, 22, tzinfo=UTC)),
     ("Europe/London", datetime(2024, 3, 25, 0, tzinfo=UTC)),
     ("America/New_York", datetime(2024, 3, 5, 5, tzinfo=UTC))],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["local", pytest.param("dask", marks=pytest.mark.cluster)])
def test_rain_stands_under_its_own_day(tmp_path, zone, first, backend):
    path, days = rain(tmp_path, zone, first, 24 * 12)
    grid = {"interval": "1d", "zone": zone, "aggregate": "sum"}
    made = config(path, grid=grid, backend={"type": backend})
    result = run(read_config(made), tmp_path / "r")
    assert result.complete
    rows = pq.read_table(tmp_path / "r/forecasts", partitioning=None).to_pylist()
    found = {row["time"]: row["truth"] for row in rows if row["horizon"] == 0}
    assert len(found) > 9
    assert all(days[time] == truth for time, truth in found.items())
    assert result.counts.used == result.counts.read
    text = report([tmp_path / "r"]).read_text()
    begins = re.search(r'"span":\s*\[([0-9.]+)', text)
    assert begins is not None
    assert float(begins[1]) == min(days).timestamp()


def test_days_withheld_are_those_of_the_zone(tmp_path):
    path, _ = rain(tmp_path, "Europe/Berlin", datetime(2024, 10, 20, 22, tzinfo=UTC), 24 * 12)
    spans = [{"from": "2024-10-25T22:00:00Z", "to": "2024-10-27T23:00:00Z"}]
    made = config(
        path,
        grid={"interval": "1d", "zone": "Europe/Berlin", "aggregate": "sum"},
        evaluation={"mode": "blackout", "hide": "each", "spans": spans},
    )
    run(read_config(made), tmp_path / "r")
    rows = pq.read_table(tmp_path / "r/forecasts", partitioning=None).to_pylist()
    withheld = [r["time"] for r in rows if r["status"] == "withheld" and r["horizon"] == 0]
    assert withheld == [
        datetime(2024, 10, 25, 22, tzinfo=UTC), datetime(2024, 10, 26, 22, tzinfo=UTC)
    ]  # fmt: skip
