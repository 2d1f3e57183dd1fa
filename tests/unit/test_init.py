"""``gapcast init``: of every kind of file a config that is checked, runs, and uses all readings."""

from __future__ import annotations

import gzip
import json
import string
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import yaml
from command import gapcast
from hypothesis import given
from hypothesis import strategies as st
from pages import ROOT

from gapcast.engine.drafting.text import yaml_of
from gapcast.plugins.kafka.look import shape_of
from gapcast.plugins.mqtt.journal import Message
from gapcast.plugins.mqtt.look import proposed

BEGIN = datetime(2024, 3, 9)
HOURS = 60
RNG = np.random.default_rng(5)
DATA = np.round(RNG.normal([10, 50], [2, 9], (HOURS, 2)), 2)


def lines(
    head, form="%Y-%m-%d %H:%M", mark=",", decimal=".", end="\n", gap="", names=("temp", "rh")
):
    """A wide table of two columns with three cells missing."""
    rows = [head + mark.join(["time", *names])] if names else [head] if head else []
    for i, pair in enumerate(DATA):
        cells = [gap if (i, k) in ((7, 0), (8, 0), (20, 1)) else f"{x}" for k, x in enumerate(pair)]
        when = (BEGIN + timedelta(hours=i)).strftime(form)
        rows.append(mark.join([when, *(c.replace(".", decimal) for c in cells)]))
    return end.join(rows) + end


def long(keys, width=1):
    """A long table: in each row the texts of the keys and values."""
    names = [["station"], ["station", "parameter"]][len(keys[0]) - 1]
    rows = [",".join(["time", *names, *["value", "other"][:width]])]
    for i in range(HOURS):
        for k, of in enumerate(keys):
            cells = [f"{DATA[i, (k + j) % 2] + k:.2f}" for j in range(width)]
            rows.append(",".join([f"{BEGIN + timedelta(hours=i)}", *of, *cells]))
    return "\n".join(rows) + "\n"


def two(n, keys=1):
    return [tuple([f"s{a}", q][:keys]) for a in range(n) for q in ("t", "h")[:keys]]


WIDE = 2 * HOURS
TEXTS = {
    "plain": (lines(""), WIDE),
    "semicolon, decimal comma": (lines("", "%d.%m.%Y %H:%M", ";", ","), WIDE),
    "tabs, slashes": (lines("", "%m/%d/%Y %I:%M:%S %p", "\t"), WIDE),
    "bars, CR LF": (lines("", mark="|", end="\r\n"), WIDE),
    "zone": (lines("", "%Y-%m-%dT%H:%M:%S+02:00"), WIDE),
    "compact": (lines("", "%Y%m%d%H"), WIDE),
    "metadata": (lines("Logger: HOBO U12\nSerial: 12345\nHeight, 81\n\n"), WIDE),
    "comments": (lines("# s 7\n#\n").replace("\n2024-03-10 00", "\n# so\n2024-03-10 00"), WIDE),
    "no names": (lines("", names=()), WIDE),
    "names twice": (lines("", names=("t", "t")), WIDE),
    "header behind #": ("#" + lines(""), WIDE),
    "units below": (lines("").replace("rh\n", "rh\n,degC,%\n"), WIDE),
    "utf-16": (lines("").encode("utf-16"), WIDE),
    "cp1252": (lines("", names=("Temp (°C)", "Feuchte (%)")).encode("cp1252"), WIDE),
    "words": (lines("", gap="bad"), WIDE),
    "stand-in": (lines("", gap="-6999"), WIDE),
    "end": (lines("").replace("\n", ",\n"), WIDE),
    "backwards": ("time,temp,rh" + "\n".join(lines("").split("\n")[:0:-1]) + "\n", WIDE),
    "offset": (lines("", "%Y-%m-%d %H:17"), WIDE),
    "secret": (lines("", names=("${HOME}", "b: #c")), WIDE),
    "long": (long(two(3)), 3 * HOURS),
    "long, two columns": (long(two(3), 2), 6 * HOURS),
    "long, quantities": (long(two(2, 2)), 4 * HOURS),
}  # fmt: skip


def started(folder, what, *options):
    """The config that is written, checked and run; its counts."""
    done = gapcast("init", what, *options)
    assert done.returncode == 0, done.stderr
    checked = gapcast("check", "run.yaml")
    assert checked.returncode == 0, checked.stderr
    ran = gapcast("run", "run.yaml", "--run-dir", "out")
    assert ran.returncode == 0, ran.stderr
    counts = json.loads((folder / "out/manifest.json").read_text())["counts"]
    return yaml.safe_load((folder / "run.yaml").read_text()), counts, done


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "readings"), TEXTS.values(), ids=TEXTS)
def test_text_is_read_whole(folder, text, readings):
    (folder / "data.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    config, counts, done = started(folder, "data.csv")
    assert counts["read"] == counts["used"] == readings
    assert config["grid"]["interval"] == "1h"
    assert len(done.stdout.splitlines()) <= 14


def test_a_logger_a_packed_file_and_a_name_without_an_ending(folder):
    head = '"TOA5","Ridge","CR1000X"\n"TIMESTAMP","RECORD","AirT","RH"\n"TS","RN","Deg C","%"\n'
    head += '"","","Avg","Smp"\n'
    body = "".join(f'"{BEGIN + timedelta(hours=i)}",{i},{a},{b}\n' for i, (a, b) in enumerate(DATA))
    (folder / "logger.dat").write_text(head + body)
    config, counts, _ = started(folder, "logger.dat")
    assert counts["used"] == WIDE
    assert config["targets"]["quantities"] == ["AirT", "RH"]
    assert "# Deg C" in (folder / "run.yaml").read_text()
    (folder / "a.csv.gz").write_bytes(gzip.compress(lines("").encode()))
    assert gapcast("init", "a.csv.gz", "--force").returncode == 0
    assert gapcast("check", "run.yaml").returncode == 0


def table(**columns):
    when = [BEGIN + timedelta(hours=i) for i in range(HOURS)]
    return pa.table(
        {"when": pa.array(when, pa.timestamp("us", columns.pop("tz", None))), **columns}
    )


def test_parquet_wide_and_long(folder):
    pq.write_table(table(a=DATA[:, 0], b=DATA[:, 1], tz="UTC"), "w.parquet")
    config, counts, _ = started(folder, "w.parquet")
    assert counts["used"] == counts["read"] == WIDE
    assert "timezone" not in config["source"]
    one = table(station=pa.array(["x"] * HOURS).dictionary_encode(), v=DATA[:, 0])
    other = table(station=pa.array(["y"] * HOURS).dictionary_encode(), v=DATA[:, 1])
    pq.write_table(pa.concat_tables([one, other], promote_options="permissive"), "l.parquet")
    (folder / "run.yaml").unlink()
    assert gapcast("init", "l.parquet").returncode == 0
    ran = gapcast("run", "run.yaml", "--run-dir", "out2")
    assert ran.returncode == 0, ran.stderr
    counts = json.loads((folder / "out2/manifest.json").read_text())["counts"]
    assert counts["used"] == counts["read"] == WIDE


WILD = {
    "campbell.dat": (384, 384), "dwd.txt": (192, 192), "ea": (192, 192), "excel.csv": (288, 288),
    "hoboware.csv": (148, 148), "home-assistant.csv": (140, 140), "netatmo": (192, 192),
    "openaq.csv": (120, 120), "scada.csv": (288, 288), "thingspeak.csv": (192, 192),
    "usgs.rdb": (192, 186), "weatherlink.txt": (672, 672), "wide.parquet": (288, 288),
}  # fmt: skip
"""Files as people have them: readings, and those used. At USGS six cells say Ice."""


@pytest.mark.parametrize(("name", "counts"), WILD.items(), ids=WILD)
def test_files_as_people_have_them_are_read_whole(folder, name, counts):
    done = gapcast("init", ROOT / "tests/data/wild" / name)
    assert done.returncode == 0, done.stderr
    model = "models={p: {type: persistence}}"
    ran = gapcast("run", "run.yaml", "--run-dir", "out", "--set", model)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((folder / "out/manifest.json").read_text())["counts"]
    assert (found["read"], found["used"]) == counts


@pytest.mark.parametrize("name", ["influxdb.csv", "influxdb.lp", "isd-lite", "knmi.txt"])
def test_what_is_not_understood_is_told_in_a_line(folder, name):
    done = gapcast("init", ROOT / "tests/data/wild" / name)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert not (folder / "run.yaml").exists()


def test_feather_is_read_by_no_run_and_that_is_said(folder):
    feather.write_feather(table(a=DATA[:, 0]), "x.feather")
    done = gapcast("init", "x.feather")
    assert (done.returncode, (folder / "run.yaml").exists()) == (1, False)
    assert "save it as CSV or Parquet" in done.stderr


def test_a_folder_of_sensors_and_one_of_days(folder):
    for name in ("kitchen", "roof", "cellar"):
        (folder / "home").mkdir(exist_ok=True)
        (folder / f"home/{name}.csv").write_text(lines(""))
    config, counts, done = started(folder, "home")
    assert config["source"]["path"] == "home/{sensor}.csv"
    assert counts["used"] == 3 * WIDE
    assert "3, as cellar.csv" in done.stdout
    head, *rows = lines("").splitlines(True)
    for day in range(3):
        (folder / "days").mkdir(exist_ok=True)
        (folder / f"days/{day}.csv").write_text(head + "".join(rows[20 * day : 20 * day + 20]))
    (folder / "run.yaml").unlink()
    assert gapcast("init", "days").returncode == 0
    assert gapcast("run", "run.yaml", "--run-dir", "out2").returncode == 0
    counts = json.loads((folder / "out2/manifest.json").read_text())["counts"]
    assert counts["used"] == WIDE


def test_files_of_a_folder_that_differ_are_named(folder):
    (folder / "a.csv").write_text(lines(""))
    (folder / "b.csv").write_text(lines("", mark=";"))
    done = gapcast("init", ".")
    assert "a.csv and b.csv are not written in one way: delimiter is ',' and ';'" in done.stderr


def test_sensors_that_are_numbered_share_a_quantity(folder):
    (folder / "a.csv").write_text(lines("", names=("temp_1", "temp_2")))
    assert gapcast("init", "a.csv").returncode == 0
    config = yaml.safe_load((folder / "run.yaml").read_text())
    assert config["targets"]["quantities"] == ["temp"]
    assert config["source"]["wide"]["temp_2"] == {"sensor": "temp_2", "quantity": "temp"}


def test_what_is_not_sure_stands_at_its_key_and_on_stderr(folder):
    text = lines("", "%d/%m/%Y %H:%M").replace("/03/", "/09/")
    rows = [r for r in text.splitlines(True) if not r.startswith("1")]
    (folder / "a.csv").write_text("".join(rows))
    done = gapcast("init", "a.csv")
    assert done.returncode == 0, done.stderr
    assert "not sure: source.timezone: times do not say their zone" in done.stderr
    written = (folder / "run.yaml").read_text().splitlines()
    at = next(i for i, line in enumerate(written) if line.startswith("  timezone: UTC"))
    assert written[at - 1].startswith("  # Not sure: times do not say their zone")
    assert gapcast("init", "a.csv", "--zone", "Europe/Berlin", "--force").stderr.count("zone") == 0
    assert "  timezone: Europe/Berlin\n" in (folder / "run.yaml").read_text()


def test_a_config_that_is_there_stays_unless_forced(folder):
    (folder / "a.csv").write_text(lines(""))
    (folder / "run.yaml").write_text("mine")
    done = gapcast("init", "a.csv")
    assert (done.returncode, (folder / "run.yaml").read_text()) == (1, "mine")
    assert "run.yaml is there already" in done.stderr
    shown = gapcast("init", "a.csv", "-o", "-")
    assert yaml.safe_load(shown.stdout)["name"] == "a"
    assert gapcast("init", "a.csv", "--force").returncode == 0
    assert yaml.safe_load((folder / "run.yaml").read_text()) == yaml.safe_load(shown.stdout)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("kafka://127.0.0.1:1/readings", "127.0.0.1:1: cannot be asked for topic 'readings'"),
        ("kafka://127.0.0.1:1", "expected kafka://HOST:PORT/TOPIC"),
        ("kafka://me:secret@127.0.0.1:1/x", "an address has no user and password"),
        ("mqtt://127.0.0.1:1/home/#", "127.0.0.1:1: no broker answers"),
        ("mqtt://127.0.0.1:1/home/x{sensor}", "must be levels such as home"),
        ("mqtt://a b:c/home", "must be host or host:port"),
        ("amqp://127.0.0.1:1/x", "unknown source 'amqp'"),
        ("replay://127.0.0.1:1/x", "cannot be looked at by an address"),
        ("no.csv", "no.csv: there is no such file"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(folder, what, said):
    pytest.importorskip("confluent_kafka")
    pytest.importorskip("paho.mqtt")
    done = gapcast("init", what, "--seconds", "1")
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "run.yaml").exists()


# Messages

NOW = datetime(2024, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "key", "keys"),
    [
        ({"time": NOW.isoformat(), "sensor": "a", "quantity": "t", "value": 1.5}, False, {}),
        ({"ts": 1709942400, "device": 7, "t": 1.5, "h": 40}, False,
         {"time": "ts", "time_format": "s", "sensor": "device", "wide": ["t", "h"]}),
        ({"timestamp": 1709942400000, "data": {"t": 1.5}}, True,
         {"time": "timestamp", "time_format": "ms", "key_is_sensor": True, "wide": ["data.t"]}),
        ({"id": "a", "metric": "t", "reading": 2}, False,
         {"timestamp_is_time": True, "sensor": "id", "quantity": "metric", "value": "reading"}),
    ],
)  # fmt: skip
def test_the_shape_of_json(value, key, keys):
    assert shape_of([json.dumps(value).encode()] * 3, key).keys == keys


def test_the_shape_of_lines_and_of_nothing():
    values = [f"2024-03-09T0{i}:00:00Z,a,t,{i}.5".encode() for i in range(8)]
    assert shape_of(values, False).keys == {
        "format": "csv", "columns": ["time", "sensor", "quantity", "value"], "delimiter": ",",
    }  # fmt: skip
    assert "no message was seen" in shape_of([], False).unsure["format"]


def test_levels_of_a_topic_are_named_where_messages_are_numbers():
    messages = [Message(0, b"home/kitchen/temperature", b"21.5")]
    assert proposed("home/#", messages) == {
        "topic": "home/{sensor}/{quantity}", "format": "number",
    }  # fmt: skip
    objects = [Message(0, f"plant/{s}/up".encode(), b"{}") for s in "ab"]
    assert proposed("plant/#", objects) == {"topic": "plant/{sensor}/+"}
    assert proposed("plant/+/up", objects) == {"topic": "plant/{sensor}/up"}
    assert proposed("plant/+/up", objects, sensor=True) == {"topic": "plant/+/up"}
    assert proposed("plant/#", []) == {"topic": "plant/#"}


def test_a_field_of_the_time_of_messages_that_arrive_is_named():
    value = json.dumps({"time": NOW.isoformat(), "value": 1.5}).encode()
    assert shape_of([value], key=False, live=True).keys == {"time": "time"}


# The text of a config

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
)
KEYS = st.text(min_size=1, max_size=20)
DATA_ = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda s: st.lists(s, max_size=3) | st.dictionaries(KEYS, s, max_size=3)),
)


@given(
    DATA_,
    st.dictionaries(st.tuples(KEYS) | st.tuples(KEYS, KEYS), st.text(max_size=300)),
    st.text(),
)
def test_any_data_and_comments_are_yaml_that_says_the_same(data, notes, head):
    assert yaml.safe_load(yaml_of(data, notes, head)) == (data or None)


@given(st.data())
def test_comments_stand_above_their_keys(data):
    names = st.text(string.ascii_letters, min_size=1, max_size=9)
    config = data.draw(
        st.dictionaries(names, st.dictionaries(names, st.integers(), min_size=1), min_size=1)
    )
    path = data.draw(st.sampled_from([(a, b) for a, of in config.items() for b in of]))
    found = yaml_of(config, {path: "here"}).splitlines()
    at = found.index("  # here")
    assert found[at + 1].startswith(f"  {yaml_of({path[1]: 0}, {}).partition(':')[0]}: ")


def test_of_two_columns_that_may_be_the_sensors_one_is_taken_whatever_its_name(folder):
    rows = ["time;Station Name;Device Tag;value"]
    rows += [
        f"2024-01-01 {i // 6:02d}:{i % 6 * 10:02d};{s};t{(k + i // 20 * 2) % 5};{i + k}.5"
        for i in range(60)
        for k, s in enumerate("abc")
    ]
    (folder / "two.csv").write_text("\n".join(rows) + "\n")
    done = gapcast("init", "two.csv", "-o", "-")
    assert done.returncode == 0, done.stderr
    assert "not sure: source.sensor: could as well be 'Device Tag' (--sensor)" in done.stderr
    assert yaml.safe_load(done.stdout)["source"]["sensor"] == "Station Name"
