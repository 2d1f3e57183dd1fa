"""The page on files: each section `source` of it reads its file as this test says by hand."""

from __future__ import annotations

import io
import json
import re
from typing import NamedTuple

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
import yaml
from command import gapcast
from pages import ROOT, text

from gapcast.plugins.sources.replay import ReplaySource

WILD = ROOT / "tests/data/wild"
KINDS = re.compile(r"^## (.+?)\n\n```text\n(.+?)```\n\n```yaml\n(source:\n.+?)```\n", re.M | re.S)
PAGE = {title: (head, source) for title, head, source in KINDS.findall(text("docs/files.md"))}


class Read(NamedTuple):
    """What is read of a file: how often and from which; readings are time, series and value."""

    file: str
    count: int
    missing: int
    series: set[str]
    first: tuple[str, str, float | None]
    last: tuple[str, str, float | None]
    told: tuple[str, ...] = ()
    encoding: str = "utf-8-sig"


SORTED = "is not in order of time: it is sorted"

READ = {
    "Campbell Scientific: TOA5": Read(
        "campbell.dat", 480, 6,
        {"Ridge/RECORD", "Ridge/BattV_Min", "Ridge/AirTC_Avg", "Ridge/RH", "Ridge/WS_ms_Avg"},
        ("2024-03-01T00:00:00", "Ridge/RECORD", 5120),
        ("2024-03-02T23:30:00", "Ridge/WS_ms_Avg", 2.18),
    ),
    "Onset HOBOware": Read(
        "hoboware.csv", 148, 4, {"c/temperature", "c/humidity"},
        ("2024-02-29T23:00:00", "c/temperature", 10.293),
        ("2024-03-03T22:14:02", "c/humidity", None),
    ),
    "Davis WeatherLink": Read(
        "weatherlink.txt", 192, 6, {"roof/temperature", "roof/humidity"},
        ("2024-03-01T06:00:00", "roof/temperature", 5.5),
        ("2024-03-03T05:30:00", "roof/humidity", 80),
        ("'---' is read as missing",),
    ),
    "NOAA ISD-Lite": Read(
        "isd-lite/010010-99999-2024", 288, 4,
        {f"010010/{q}" for q in ("temperature", "dew_point", "pressure", "wind")},
        ("2024-03-01T00:00:00", "010010/temperature", 25),
        ("2024-03-03T23:00:00", "010010/wind", 17),
        ("'-9999' is read as missing",),
    ),
    "DWD Climate Data Center": Read(
        "dwd.txt", 192, 7, {"3987/temperature", "3987/humidity"},
        ("2024-03-01T00:00:00", "3987/temperature", 2.2),
        ("2024-03-04T23:00:00", "3987/humidity", 87),
        ("'-999' is read as missing",),
    ),
    "KNMI hourly values": Read(
        "knmi.txt", 432, 2,
        {f"{s}/{q}" for s in (260, 344) for q in ("wind", "temperature", "humidity")},
        ("2024-03-01T01:00:00", "260/wind", 30),
        ("2024-03-04T00:00:00", "344/humidity", 90),
        (SORTED,),
    ),
    "USGS NWIS: RDB": Read(
        "usgs.rdb", 192, 8, {"01234567/discharge", "01234567/temperature"},
        ("2024-03-01T05:00:00", "01234567/discharge", 820),
        ("2024-03-03T04:30:00", "01234567/temperature", 3.1),
        ("'Ice' is read as missing",),
    ),
    "Environment Agency hydrology": Read(
        "ea/kingston.csv", 192, 4, {"kingston/flow", "teddington/flow"},
        ("2024-03-01T00:00:00", "kingston/flow", 52),
        ("2024-03-01T23:45:00", "teddington/flow", 54.002),
    ),
    "Home Assistant history": Read(
        "home-assistant.csv", 140, 2,
        {"sensor.cellar_temperature/temperature", "sensor.kitchen_temperature/temperature"},
        ("2024-02-29T23:00:00.023000", "sensor.cellar_temperature/temperature", 13.2),
        ("2024-03-02T09:58:18.476000", "sensor.kitchen_temperature/temperature", 19.2),
        (SORTED, "'unavailable' is read as missing", "'unknown' is read as missing"),
    ),
    "InfluxDB annotated CSV": Read(
        "influxdb.csv", 144, 0, {"hall/temperature", "hall/humidity", "attic/temperature"},
        ("2024-03-01T00:00:00", "hall/temperature", 17.9393),
        ("2024-03-01T23:30:00", "attic/temperature", 14.1519),
        (SORTED,),
    ),
    "InfluxDB line protocol": Read(
        "influxdb.lp", 190, 0,
        {f"{s}/{q}" for s in ("attic", "living room") for q in ("temperature", "humidity")},
        ("2024-03-01T00:00:00.074000", "attic/humidity", 58),
        ("2024-03-01T23:30:02.644000", "living room/temperature", 18.77),
        (SORTED,),
    ),
    "ThingSpeak": Read(
        "thingspeak.csv", 192, 12, {"porch/temperature", "porch/humidity"},
        ("2024-03-01T00:00:00", "porch/temperature", 15.59),
        ("2024-03-01T23:45:09", "porch/humidity", 64.5),
    ),
    "OpenAQ": Read(
        "openaq.csv", 120, 2, {"7000/no2", "7000/pm25"},
        ("2024-03-01T08:00:00", "7000/no2", 18),
        ("2024-03-03T19:00:00", "7000/pm25", 12.5),
        (SORTED, "'-999' is read as missing"),
    ),
    "Netatmo": Read(
        "netatmo/garden.csv", 192, 0, {"garden/Temperature", "garden/Humidity"},
        ("2024-02-29T23:00:00", "garden/Temperature", 3.2),
        ("2024-03-02T22:33:35", "garden/Humidity", 77),
    ),
    "A PLC, written by SCADA": Read(
        "scada.csv", 192, 3, {"supply/temperature", "return/temperature"},
        ("2024-02-29T23:00:00", "supply/temperature", 6),
        ("2024-03-01T22:45:00", "return/temperature", 11.37),
        ("is not UTF-8: read as cp1252", "'---' is read as missing"), "latin-1",
    ),
    "A spreadsheet with serial days": Read(
        "excel.csv", 288, 3, {f"Room {n}/temperature" for n in (101, 102, 103)},
        ("2024-02-29T23:00:00", "Room 101/temperature", 19.3),
        ("2024-03-02T22:30:00", "Room 103/temperature", 21.4),
        ("'#N/A' is read as missing",),
    ),
    "Parquet, a column a sensor": Read(
        "wide.parquet", 288, 6, {f"{s}/temperature" for s in ("north", "south", "roof")},
        ("2024-03-01T00:00:00", "north/temperature", 11.88),
        ("2024-03-02T23:30:00", "roof/temperature", 14.21),
    ),
}  # fmt: skip
"""Counts and values as they stand in the files. None of them has a line that cannot be read."""

CONFIG = """name: gallery
{source}grid: {{interval: {interval}}}
targets: {{quantities: [{quantities}]}}
models: {{last: {{type: persistence}}}}
sinks: {{files: {{type: files}}}}
"""


def test_the_page_has_the_kinds_that_are_tested_and_no_file_is_left_over():
    assert [*PAGE] == [*READ]
    assert len(PAGE) == text("docs/files.md").count("\n## ") == 17
    files = {str(p.relative_to(WILD)) for p in WILD.rglob("*") if p.is_file()}
    assert files == {read.file for read in READ.values()} | {"ea/teddington.csv"}


@pytest.mark.parametrize("kind", READ)
def test_the_page_shows_the_first_lines(kind):
    path = WILD / READ[kind].file
    data = path.read_bytes()
    if path.suffix == ".parquet":
        rows = io.BytesIO()
        pcsv.write_csv(pq.read_table(path), rows)
        data = rows.getvalue()
    shown = PAGE[kind][0].splitlines()
    assert data.decode(READ[kind].encoding).splitlines()[: len(shown)] == shown
    assert len(shown) >= 3


@pytest.mark.parametrize("kind", READ)
def test_a_section_is_short_and_names_its_file(kind):
    source = PAGE[kind][1]
    assert len(source.splitlines()) <= 5
    path = yaml.safe_load(source)["source"]["path"]
    assert re.fullmatch(
        re.sub(r"\{sensor\}", "[a-z0-9]+", path), f"tests/data/wild/{READ[kind].file}"
    )


def written(reading):
    series = f"{reading['sensor']}/{reading['quantity']}"
    return f"{reading['time'].replace(tzinfo=None).isoformat()}", series, reading["value"]


@pytest.mark.parametrize("at_once", [7, 1000])
@pytest.mark.parametrize("kind", READ)
def test_a_file_is_read_as_the_page_says(kind, at_once, monkeypatch, caplog):
    monkeypatch.chdir(ROOT)
    params = yaml.safe_load(PAGE[kind][1])["source"]
    assert params.pop("type") == "replay"
    source = ReplaySource(ReplaySource.Params(**params))
    source.open(None)
    readings, letters = [], []
    for name in source.partitions():
        position, ended = None, False
        while not ended:
            piece = source.read(name, position, at_once)
            position, ended = piece.position, piece.ended
            readings += piece.readings.to_pylist()
            letters += piece.dead_letters.to_pylist()
    series = {f"{found.sensor}/{found.quantity}" for found in source.discover()}
    source.close()
    expected = READ[kind]
    assert letters == []
    assert len(readings) == expected.count
    assert sum(r["value"] is None for r in readings) == expected.missing
    assert series == {written(r)[1] for r in readings} == expected.series
    assert written(readings[0]) == expected.first
    assert written(readings[-1]) == expected.last
    for line in expected.told:
        assert line in caplog.text
    assert caplog.text == "" or expected.told


def config(kind, folder, interval="1h"):
    quantities = sorted({json.dumps(s.partition("/")[2]) for s in READ[kind].series})
    path = folder / "run.yaml"
    path.write_text(
        CONFIG.format(source=PAGE[kind][1], interval=interval, quantities=", ".join(quantities))
    )
    return path


@pytest.mark.parametrize("kind", READ)
def test_check_accepts_a_config_with_a_section(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = gapcast("check", config(kind, tmp_path))
    assert done.returncode == 0, done.stderr
    assert all(any(told in line for told in READ[kind].told) for line in done.stderr.splitlines())
    assert "not used" not in done.stdout
    sensor, _, quantity = READ[kind].first[1].partition("/")
    assert f" {sensor}" in done.stdout
    assert f", {sensor}/{quantity} " in done.stdout


@pytest.mark.parametrize(
    ("kind", "interval"),
    [("Campbell Scientific: TOA5", "30min"), ("KNMI hourly values", "1h"),
     ("Home Assistant history", "30min"), ("NOAA ISD-Lite", "1h")],
)  # fmt: skip
def test_a_run_uses_what_is_in_a_file(kind, interval, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = config(kind, tmp_path, interval)
    done = gapcast("run", path, "--run-dir", tmp_path / "run", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "run" / "manifest.json").read_text())["counts"]
    assert counts["read"] == READ[kind].count
    assert counts["used"] > 0.99 * counts["read"]
