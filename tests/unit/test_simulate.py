"""The simulated lab: plausible, faulty in the right ways, the same for the same seed."""

from __future__ import annotations

import gzip
import logging
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from doubles import place
from typer.testing import CliRunner

from gapcast.engine.cli.data import app
from gapcast.engine.data.faults import DEAD_TEMPERATURE, STRANGERS
from gapcast.engine.data.field import DAY, Lab
from gapcast.engine.data.simulate import Simulation, simulate
from gapcast.engine.data.text import lines
from gapcast.engine.errors import DataError, SourceError
from gapcast.engine.network.series import read_positions
from gapcast.plugins.sources.intel_lab import IntelLabSource
from gapcast.plugins.sources.replay import ReplaySource

ROOT = Path(__file__).parents[2]
POSITIONS = np.array(list(read_positions(ROOT / "data" / "mote_locs.txt").values()))
SMALL = Simulation(motes=12, days=0.5, seed=7, positions=POSITIONS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def made(tmp_path, what, name="made.txt", **more):
    path = tmp_path / name
    count = simulate(what, path, **more)
    return path, count


def content(source):
    """All readings and dead letters of a source's only partition, as lists of dicts."""
    (partition,) = source.partitions()
    readings, dead, position, ended = [], [], None, False
    while not ended:
        read = source.read(partition, position, 1 << 30)
        readings += read.readings.to_pylist()
        dead += read.dead_letters.to_pylist()
        position, ended = read.position, read.ended
    return readings, dead


def replayed(path, **params):
    source = ReplaySource(ReplaySource.Params(path=str(path), **params))
    source.open(None)
    return content(source)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Ten days with faults: the lines as lists of fields."""
    what = Simulation(days=10, interval=310_000_000, positions=POSITIONS)
    path, count = made(tmp_path_factory.mktemp("faulty"), what)
    text = path.read_text().splitlines()
    assert len(text) == count
    return [line.split(" ") for line in text]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first = made(tmp_path, SMALL, "a")[0].read_bytes()
    assert made(tmp_path, SMALL, "b")[0].read_bytes() == first
    other = Simulation(motes=12, days=0.5, seed=8, positions=POSITIONS)
    assert made(tmp_path, other, "c")[0].read_bytes() != first


def test_a_clean_lab_misses_nothing(tmp_path):
    what = Simulation(motes=60, days=0.1, seed=3, clean=True, positions=POSITIONS)
    path, count = made(tmp_path, what)
    steps = round(0.1 * DAY) // what.interval
    assert count == 60 * steps
    readings, dead = replayed(path, format="intel-lab")
    assert dead == []
    assert len(readings) == 4 * count
    assert {r["sensor"] for r in readings} == {str(k) for k in range(1, 61)}
    times = [r["time"] for r in readings]
    assert times == sorted(times)
    assert times[0] >= datetime(2004, 2, 28, tzinfo=UTC)
    assert times[-1] < datetime(2004, 2, 28, tzinfo=UTC) + timedelta(seconds=31 * steps)


def test_faults_leave_the_climate_as_it_is(tmp_path):
    clean = Simulation(motes=12, days=0.5, seed=7, positions=POSITIONS, clean=True)
    whole = set(made(tmp_path, clean, "a")[0].read_text().splitlines())
    holed = made(tmp_path, SMALL, "b")[0].read_text().splitlines()
    assert len(set(holed) - whole) < len(holed) / 4  # strangers, cut lines, the dying
    assert len(holed) < len(whole)


def test_lines_are_those_of_the_original(faulty):
    whole = [fields for fields in faulty if len(fields) == 8]
    assert len(whole) > 0.99 * len(faulty)
    for fields in whole[::997]:
        assert len(fields[0]) == 10
        assert 0 < float(fields[4]) < 123
        assert len(fields[7].partition(".")[2]) <= 5


def test_there_are_gaps_from_seconds_to_days(faulty):
    times = {}
    for fields in faulty:
        if len(fields) == 8:
            moment = datetime.fromisoformat(f"{fields[0]}T{fields[1].partition('.')[0]}")
            times.setdefault(fields[3], []).append(moment)
    gaps = [b - a for seen in times.values() for a, b in pairwise(sorted(seen))]
    assert max(gaps) > timedelta(days=1)
    for low, high in ((10, 30), (30, 120), (120, 720)):
        assert any(timedelta(minutes=low) < gap < timedelta(minutes=high) for gap in gaps)
    assert 0.6 < len(faulty) / (54 * 10 * 86_400 / 310) < 0.95


def test_lines_come_late_twice_cut_and_from_strangers(faulty):
    times = [f"{fields[0]} {fields[1]}" for fields in faulty]
    late = sum(b < a for a, b in pairwise(times))
    assert 0 < late < len(times) / 100
    assert 0 < len(faulty) - len({tuple(fields) for fields in faulty}) < len(times) / 100
    assert {len(fields) for fields in faulty} >= {2, 3, 4, 8}
    ids = {int(fields[3]) for fields in faulty if len(fields) > 3}
    assert ids - set(range(1, 55)) <= set(STRANGERS)
    assert ids > set(range(1, 55))


def test_a_dying_battery_ends_at_the_originals_last_words(faulty):
    hot = [fields for fields in faulty if len(fields) == 8 and float(fields[4]) > 60]
    assert hot
    assert max(float(fields[4]) for fields in hot) == DEAD_TEMPERATURE
    assert max(float(fields[7]) for fields in hot) < 2.5
    assert {fields[7] for fields in hot if fields[4] == "122.153"} == {"2.03397"}
    assert len({fields[3] for fields in hot}) < 15


def test_the_climate_is_that_of_a_lab():
    days = 14
    lab = Lab(POSITIONS, 0, days, seed=5)
    times = (np.arange(0, days * DAY, DAY // 48)[:, None] + np.zeros((1, 54))).astype(np.int64)
    climate = lab.at(times)
    assert 12 < climate.temperature.min() < 19 < climate.temperature.mean() < 24
    assert climate.temperature.max() < 35
    assert climate.humidity.min() > 5
    assert climate.humidity.max() < 90
    anti = [np.corrcoef(climate.temperature[:, m], climate.humidity[:, m])[0, 1] for m in range(54)]
    assert np.mean(anti) < -0.5
    by_hour = climate.temperature.reshape(days, 48, 54).mean(axis=(0, 2))
    assert 24 < by_hour.argmax() < 38  # warmest between noon and seven
    assert np.ptp(by_hour) > 1.5


def test_motes_near_each_other_resemble_each_other():
    lab = Lab(POSITIONS, 0, 14, seed=5)
    times = (np.arange(0, 14 * DAY, DAY // 48)[:, None] + np.zeros((1, 54))).astype(np.int64)
    temperature = lab.at(times).temperature
    own = temperature - temperature.mean(axis=1, keepdims=True)
    alike = np.corrcoef(own.T)
    apart = np.hypot(*(POSITIONS[:, None] - POSITIONS).transpose(2, 0, 1))
    assert alike[(apart > 0) & (apart < 5)].mean() > 0.5
    assert abs(alike[apart > 20].mean()) < 0.4


def test_a_moment_is_the_same_however_it_is_cut():
    lab = Lab(POSITIONS, 0, 2, seed=5)
    times = (np.arange(0, DAY, DAY // 48)[:, None] + np.zeros((1, 54))).astype(np.int64)
    whole, part = lab.at(times), lab.at(times[20:21])
    assert np.array_equal(whole.temperature[20], part.temperature[0])


def test_text_is_what_python_would_write():
    random = np.random.default_rng(1)
    n = 2000
    time = random.integers(0, 253_402_300_799_000_000, n)
    time[:3] = [0, 951_782_400_000_000, 68_169_600_000_100]
    values = random.normal(size=(n, 4)) * [20, 40, 500, 3]
    values[0] = [0.0, -0.0, -0.00001, 122.153]
    kept = random.integers(2, 9, n)
    text = lines(time, np.arange(n), np.arange(n) * 7, values, kept).decode().splitlines()
    for k, line in enumerate(text):
        moment = EPOCH + timedelta(microseconds=int(time[k]))
        fraction = f"{moment.microsecond:06d}".rstrip("0")
        clock = f"{moment:%H:%M:%S}" + ("." + fraction if fraction else "")
        fields = [f"{moment.year:04d}-{moment:%m-%d}", clock, str(k), str(k * 7)]
        assert line.split(" ")[:4] == fields[: kept[k]]
        for written, value, decimals in zip(
            line.split(" ")[4:], values[k], (4, 4, 2, 5), strict=False
        ):
            assert float(written) == pytest.approx(value, abs=0.51 * 10.0**-decimals)
            assert written == f"{float(written):.{decimals}f}".rstrip("0").rstrip(".")
        assert line.count(" ") == kept[k] - 1


def test_compressed_text_is_the_same_and_the_same_each_time(tmp_path):
    plain = made(tmp_path, SMALL, "a.txt")[0].read_bytes()
    packed = made(tmp_path, SMALL, "a.txt.gz")[0].read_bytes()
    assert gzip.decompress(packed) == plain
    assert made(tmp_path, SMALL, "b.txt.gz")[0].read_bytes() == packed


def test_parquet_holds_the_same_readings(tmp_path):
    key = ("time", "sensor", "quantity", "value")
    what = Simulation(motes=5, days=0.2, seed=2, positions=POSITIONS)
    text, _ = replayed(made(tmp_path, what, "a.txt")[0], format="intel-lab")
    path = made(tmp_path, what, "a.parquet", format="parquet")[0]
    rows = pq.read_table(path).to_pylist()
    assert [[r[k] for k in key] for r in rows] == [[r[k] for k in key] for r in text]
    assert len(replayed(path)[0]) == len(rows)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        simulate(SMALL, tmp_path / "file" / "x.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_progress_rises_to_one(tmp_path):
    told = []
    simulate(Simulation(motes=2000, days=0.1), tmp_path / "x", progress=told.append)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 1.0


# --- the command ----------------------------------------------------------------------------


def test_the_command_writes_a_file_and_says_so(tmp_path):
    out = tmp_path / "sub" / "x.txt"
    arguments = ["simulate", "--out", str(out), "--motes", "3", "--days", "0.1", "--seed", "4",
                 "--interval", "5min", "--start", "2020-01-01T12:00:00Z", "--clean",
                 "--positions", str(ROOT / "data" / "mote_locs.txt")]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"{out}: 84 lines of 3 simulated motes, seed 4" in result.output
    assert out.read_text().startswith("2020-01-01 12:0")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--interval", "31", "a duration such as 30s"), ("--interval", "0s", "above 0s"),
     ("--start", "soon", "must be a time"), ("--start", "1960-01-01", "not be before 1970"),
     ("--motes", "0", "--motes"), ("--format", "csv", "csv")],
)  # fmt: skip
def test_the_command_rejects_what_makes_no_sense(tmp_path, option, value, message):
    arguments = ["simulate", "--out", str(tmp_path / "x"), option, value]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "x").exists()


# --- the source intel-lab -------------------------------------------------------------------


def lab_source(path, **simulated):
    params = {"path": path} | ({"simulate": simulated} if simulated else {})
    source = IntelLabSource(IntelLabSource.Params(**params))
    source.open(["temperature"])
    return source


def test_without_the_real_log_one_is_simulated_once_and_the_log_says_so(tmp_path, caplog):
    path = tmp_path / "intel-lab.txt"
    with caplog.at_level(logging.WARNING, "gapcast"):
        first = content(lab_source(path, motes=4, days=1, seed=2))
    (made_file,) = (tmp_path / "simulated").iterdir()
    assert made_file.name == "intel-lab-4-motes-1-days-seed-2.txt"
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is not there: reading {made_file}, simulated; for the real one: "
        f"gapcast data fetch intel-lab --out {tmp_path}"
    ]
    stamp = made_file.stat().st_mtime_ns
    assert content(lab_source(path, motes=4, days=1, seed=2)) == first
    assert made_file.stat().st_mtime_ns == stamp
    assert len(first[0]) > 1000


def test_without_the_real_log_and_without_simulation_it_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"no such file; get it with `gapcast data fetch"):
        lab_source(tmp_path / "intel-lab.txt")


@pytest.mark.parametrize("packed", [False, True])
def test_the_real_log_is_read_in_order_of_time(tmp_path, packed):
    text = (
        "2004-03-01 12:00:02 7 1 3.0\n"
        "2004-03-01 12:00:04 7 1 5.0\n"
        "what is this\n"
        "2004-03-01 12:00:01 7 2 1.0\n"
        "2004-03-01 12:00:02 8 2 4.0\n"
        "2004-03-01 12:00:01 7 2 2.0"
    )
    path = tmp_path / "intel-lab.txt"
    real = path.with_name("intel-lab.txt.gz") if packed else path
    real.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    source = lab_source(path, motes=4, days=1, seed=2)
    readings, dead = content(source)
    assert [r["value"] for r in readings] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [(place(d), d["raw"]) for d in dead] == [("intel-lab-by-time.txt:6", b"what is this")]
    assert len(list(source.discover())) == 2
    middle = source.read("intel-lab-by-time.txt", None, 2).position
    rest = source.read("intel-lab-by-time.txt", middle, 10)
    assert rest.readings["value"].to_pylist() == [3.0, 4.0, 5.0]
    source.close()
    assert not (tmp_path / "simulated").exists()
