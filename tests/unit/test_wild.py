"""Files as people have them, and what is read of them with few keys."""

from __future__ import annotations

import bz2
import logging
import os
import re
import zipfile

import numpy as np
import pytest

from gapcast.engine.errors import SourceError
from gapcast.plugins.sources.replay import ReplaySource


def read(path, quantities=None, at_once=1000, **params):
    """All readings as (time, sensor, quantity, value) and the dead letters, of all files."""
    source = ReplaySource(ReplaySource.Params(path=str(path), **params))
    source.open(quantities)
    rows, letters = [], []
    for name in source.partitions():
        position, ended = None, False
        while not ended:
            piece = source.read(name, position, at_once)
            position, ended = piece.position, piece.ended
            rows += piece.readings.to_pylist()
            letters += piece.dead_letters.to_pylist()
    source.close()
    return [
        (f"{r['time']:%m-%d %H:%M}", r["sensor"], r["quantity"], r["value"]) for r in rows
    ], letters


def one(tmp_path, text, name="x.csv", **params):
    """The rows of one file; none of it may be a dead letter."""
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    rows, letters = read(tmp_path / name, **params)
    assert letters == []
    # However it is cut, and wherever reading goes on, the rows are the same.
    assert read(tmp_path / name, at_once=1, **params) == (rows, [])
    return rows


TWO = [("03-01 00:00", "s", "t", 1.5), ("03-01 00:30", "s", "t", 2.5)]
PLAIN = "time,sensor,quantity,value\n2024-03-01T00:00Z,s,t,1.5\n2024-03-01T00:30Z,s,t,2.5\n"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (PLAIN, {}),
        (PLAIN.replace(",", ";"), {}),
        (PLAIN.replace(",", "\t"), {}),
        (PLAIN.replace(",", "|"), {}),
        (PLAIN.replace(",", ";").replace(".", ","), {"decimal": ","}),
        (PLAIN.replace("\n", "\r\n"), {}),
        (PLAIN.replace("\n", "\r"), {}),
        ("\ufeff" + PLAIN, {}),
        ("\ufeff# a comment\n" + PLAIN, {"comment": "#"}),
        ("\ufeff" + PLAIN.split("\n", 1)[1], {"columns": PLAIN.split("\n")[0].split(",")}),
        (PLAIN.encode("utf-16"), {}),
        (PLAIN.encode("utf-16-le"), {}),
        (PLAIN.encode("utf-16-be"), {}),
        (bz2.compress(PLAIN.encode()), {}),
        ("logger 7\nfirmware 1.2\n" + PLAIN, {"skip": 2}),
        ("# a comment\n" + PLAIN.replace("\n2024", "\n# so\n2024"), {"comment": "#"}),
        (PLAIN.replace("value\n", "value\n-,-,-,°C\n"), {"skip_after": 1}),
        (PLAIN.replace(",", "   ").replace("\n", "  \n "), {"delimiter": " "}),
        (PLAIN.split("\n", 1)[1], {"columns": ["time", "sensor", "quantity", "value"]}),
        (PLAIN.replace("1.5", "1.5 °C").replace("2.5", "2.5°C"), {}),
        (PLAIN.replace("1.5", "<1.5"), {}),
        (PLAIN + PLAIN.split("\n", 1)[0] + "\n", {}),  # the header again
        (PLAIN.replace("2024-03-01T00:00Z", "2024-02-29 24:00"), {}),
        (PLAIN.replace("T", ",").replace("Z", "").replace("time", "d,t"), {"time": ["d", "t"]}),
        (
            PLAIN.replace("2024-03-01T00:00Z", "01-Mar-24 00:00").replace(
                "2024-03-01T00:30Z", "01-Mar-24 00:30"
            ),
            {"time_format": "%d-%b-%y %H:%M"},
        ),
        (
            PLAIN.replace("2024-03-01T00:00Z", "45352").replace(
                "2024-03-01T00:30Z", "45352.0208333333"
            ),
            {"time_format": "excel"},
        ),
        (
            PLAIN.replace("2024-03-01T00:00Z", "03/01/2024 12:00 AM").replace(
                "2024-03-01T00:30Z", "03/01/2024 12:30 AM"
            ),
            {"time_format": "%m/%d/%Y %I:%M %p"},
        ),
        (
            PLAIN.replace("00:00Z", "01:00:00.123+0100").replace("00:30Z", "00:30"),
            {},
        ),
    ],
)
def test_the_same_two_readings_however_they_are_written(tmp_path, text, params):
    rows = one(tmp_path, text, **params)
    assert rows == TWO


def test_thousands_and_decimal_commas(tmp_path):
    text = "time;s\n2024-03-01;1.234.567,25\n2024-03-02;-1.000\n2024-03-03;0,5\n"
    rows = one(tmp_path, text, decimal=",", thousands=".", wide=["s"])
    assert [r[3] for r in rows] == [1234567.25, -1000.0, 0.5]


def test_words_for_what_is_missing_are_told(tmp_path, caplog):
    words = ["", "nan", "NA", "null", "---", "M", "unavailable", "-9999", "-9999.0", "N/A", "?"]
    text = "time,s\n" + "".join(f"2024-03-{k + 1:02},{w}\n" for k, w in enumerate(words))
    rows = one(tmp_path, text, wide=["s"])
    assert [r[3] for r in rows] == [None] * len(words)
    assert "'unavailable' is read as missing (source.missing)" in caplog.text
    assert "'-9999' is read as missing" in caplog.text


def test_the_words_can_be_said(tmp_path):
    text = "time,s\n2024-03-01,gone\n2024-03-02,-1\n2024-03-03,-9999\n2024-03-04,---\n"
    (tmp_path / "x.csv").write_text(text)
    rows, letters = read(tmp_path / "x.csv", wide=["s"], missing=["gone", -1])
    assert [r[3] for r in rows] == [None, None, -9999.0]
    assert [(d["reason"], d["offset"]) for d in letters] == [("malformed field", 5)]


@pytest.mark.parametrize("garbage", ["12x", "1.2.3", "ERR", "1,5", "0x10", "1 2", "5 10 m"])
def test_garbage_is_no_unit(tmp_path, garbage):
    (tmp_path / "x.csv").write_text(f'time;s\n2024-03-01;"{garbage}"\n')
    rows, letters = read(tmp_path / "x.csv", wide=["s"])
    assert rows == []
    assert [d["raw"] for d in letters] == [garbage.encode()]


def test_latin_1_is_told(tmp_path, caplog):
    text = "time,Küche\n2024-03-01,20\n".encode("latin-1")
    assert one(tmp_path, text, wide=["Küche"]) == [("03-01 00:00", "Küche", "Küche", 20.0)]
    assert "x.csv is not UTF-8: read as cp1252 (source.encoding)" in caplog.text


def test_a_table_without_the_columns_of_a_long_one_is_a_wide_one(tmp_path):
    text = "time,t,rh\n2024-03-01,20,50\n"
    assert one(tmp_path, text, name="roof.csv", quantities=["t"]) == [
        ("03-01 00:00", "t", "t", 20.0)
    ]


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("Plot 7\n" + PLAIN, {}, "if line 1 is not the header, see source.skip, source.comment"),
        (
            PLAIN,
            {"time": "when"},
            r"no column 'when' .*; say which it is in source.time; if line 1",
        ),
        (PLAIN, {"sensor": "id"}, r"no column 'id' .*; say which it is in source.sensor$"),
        (
            PLAIN.replace("quan", "qual"),
            {},
            r"'quantity'.* source.quantity, or, .* wide: \{value: ",
        ),
        (PLAIN, {"wide": ["x"]}, r"no column 'x' .* source.wide$"),
        ("time,a\n2024-03-01,1\n", {"quantities": ["t"]}, "say in source.wide which columns are"),
        ("time,a,a\n2024-03-01,1,2\n", {}, "2 columns are called 'a'; pass over the header with"),
        ("time,time\n2024-03-01,1\n", {"wide": ["*"]}, "2 columns are called 'time'"),
    ],
)
def test_what_is_not_found_is_told_with_what_to_do(tmp_path, text, params, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "x.csv", **params)


def test_columns_of_one_name_that_are_not_read_do_no_harm(tmp_path):
    text = "time,a,b,b,,\n2024-03-01,1,2,3,,\n"
    assert one(tmp_path, text, wide=["a"]) == [("03-01 00:00", "a", "a", 1.0)]


def files(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".csv").write_text(text)


def sensors(rows):
    return sorted({r[1:3] for r in rows})


SIMPLE = "time,temperature\n2024-03-01,20\n"


def test_one_file_a_sensor(tmp_path):
    files(tmp_path, cellar=SIMPLE, kitchen=SIMPLE, roof=SIMPLE)
    rows, letters = read(tmp_path / "{sensor}.csv")
    assert sensors(rows) == [(s, "temperature") for s in ("cellar", "kitchen", "roof")]
    assert letters == []


@pytest.mark.parametrize(
    ("path", "folders"),
    [
        ("station={sensor}/**", {"station=A__x": SIMPLE, "station=B__y": SIMPLE}),
        ("2024/{sensor}/*.csv", {"2024__A__x": SIMPLE, "2024__B__x": SIMPLE}),
        ("{quantity}/{sensor}/*.csv", {"t__A__x": SIMPLE, "t__B__x": SIMPLE}),
        ("**/{sensor}-[0-9].csv", {"t__A-1": SIMPLE, "u__v__B-2": SIMPLE}),
    ],
)
def test_folders_say_sensors_and_quantities(tmp_path, path, folders):
    files(tmp_path, **folders)
    rows, _ = read(tmp_path / path)
    quantity = "t" if "{quantity}" in path else "temperature"
    assert sensors(rows) == [("A", quantity), ("B", quantity)]


def test_files_of_whose_sensor_nothing_is_said_are_refused(tmp_path):
    files(tmp_path, cellar=SIMPLE, roof=SIMPLE)
    with pytest.raises(SourceError, match=r"have a column 'temperature'.*'data/\{sensor\}.csv'"):
        read(tmp_path)
    rows, _ = read(tmp_path, wide={"temperature": {"sensor": "house"}})
    assert sensors(rows) == [("house", "temperature")]


def test_what_is_named_is_read_and_what_is_passed_over_is_said(tmp_path, caplog):
    files(tmp_path / "in", _a=PLAIN, b=PLAIN)
    assert len(read(tmp_path / "in")[0]) == 2
    assert "1 hidden files are not read, _a.csv the first" in caplog.text
    caplog.clear()
    assert len(read(tmp_path / "in" / "_*.csv")[0]) == 2
    assert len(read(tmp_path / "in" / "_a.csv")[0]) == 2
    assert caplog.text == ""


def test_links_and_names_like_globs_are_read(tmp_path):
    files(tmp_path / "real", **{"log [1]": PLAIN})
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "data" / "linked")
    os.symlink(tmp_path / "data", tmp_path / "real" / "round")
    assert len(read(tmp_path / "data")[0]) == 2
    assert len(read(tmp_path / "real" / "log [1].csv")[0]) == 2


def test_two_thousand_files_need_few_handles(tmp_path):
    for k in range(2000):
        (tmp_path / f"{k}.csv").write_text(PLAIN.replace("s,", f"{k},"))
    before = len(os.listdir("/proc/self/fd"))
    source = ReplaySource(ReplaySource.Params(path=str(tmp_path)))
    source.open(None)
    first = [source.read(name, None, 1) for name in source.partitions()]
    assert len(os.listdir("/proc/self/fd")) - before < 300
    for name, read in zip(source.partitions(), first, strict=True):
        (row,) = source.read(name, read.position, 1).readings.to_pylist()
        assert row["value"] == 2.5
    source.close()


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level(logging.WARNING, "gapcast")


def shuffled(days, by):
    """Lines of two sensors' half-hourly readings in some order, and the readings in order."""
    rows = [(k, s) for k in range(48 * days) for s in "ab"]
    time = "2024-03-{:02}T{:02}:{:02}Z".format
    lines = [f"{time(1 + k // 48, k // 2 % 24, 30 * (k % 2))},{s},t,{k}" for k, s in rows]
    text = "time,sensor,quantity,value\n" + "\n".join(lines[i] for i in by(rows)) + "\n"
    return text, rows


def by_sensor(rows):
    return sorted(range(len(rows)), key=lambda i: (rows[i][1], rows[i][0]))


def newest_first(rows):
    return range(len(rows) - 1, -1, -1)


def at_random(rows):
    return np.random.default_rng(1).permutation(len(rows))


def month_after_month_upside_down(rows):
    half = len(rows) // 2
    return [*range(half - 1, -1, -1), *range(len(rows) - 1, half - 1, -1)]


@pytest.mark.parametrize("by", [by_sensor, newest_first, at_random, month_after_month_upside_down])
@pytest.mark.parametrize("piece", [50, 1000])
def test_a_file_in_another_order_is_sorted_and_told(tmp_path, caplog, monkeypatch, by, piece):
    monkeypatch.setattr("gapcast.plugins.sources.formats.ordered.PIECE", piece)
    monkeypatch.setattr("gapcast.plugins.sources.formats.ordered._BATCH", 7)
    text, rows = shuffled(4, by)
    found = one(tmp_path, text)
    assert [(r[1], r[3]) for r in found if r[1] == "a"] == [("a", k) for k, s in rows if s == "a"]
    times = [r[0] for r in found]
    assert times == sorted(times)
    assert "x.csv is not in order of time: it is sorted" in caplog.text
    caplog.clear()
    assert one(tmp_path, text, order="time") == found
    unsorted = one(tmp_path, text, order="as-is")
    assert unsorted != found
    assert sorted(unsorted) == sorted(found)
    assert caplog.text == ""


def test_a_sorted_file_keeps_its_dead_letters_and_its_lines(tmp_path):
    text, _ = shuffled(4, newest_first)
    lines = text.splitlines()
    lines[100:100] = ["oops,a,t,1", "2024-03-01T00:00Z,a,t,x"]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    for at_once in (1, 10, 1000):
        rows, letters = read(tmp_path / "x.csv", at_once=at_once)
        assert len(rows) == 2 * 48 * 4
        assert [(d["reason"], d["offset"]) for d in letters] == [
            ("malformed time", 101),
            ("malformed field", 102),
        ]


def test_a_file_in_order_but_for_a_few_readings_is_left(tmp_path, caplog):
    text, rows = shuffled(4, lambda rows: [1, 0, *range(2, len(rows))])
    assert len(one(tmp_path, text)) == len(rows)
    assert caplog.text == ""


TOA5 = """"TOA5","Ridge","CR1000","12345","CR1000.Std.32","CPU:ridge.CR1","1234","Hourly"
"TIMESTAMP","RECORD","AirTC_Avg","RH"
"TS","RN","Deg C","%"
"","","Avg","Smp"
"2024-03-01 00:00:00",1,1.5,80.1
"2024-03-01 00:30:00",2,2.5,"NAN"
"""


def test_toa5_needs_no_key_but_its_name(tmp_path):
    rows = one(tmp_path, TOA5, "Ridge.dat", format="toa5", quantities=["AirTC_Avg", "RH"])
    assert rows == [
        ("03-01 00:00", "Ridge", "AirTC_Avg", 1.5),
        ("03-01 00:00", "Ridge", "RH", 80.1),
        ("03-01 00:30", "Ridge", "AirTC_Avg", 2.5),
        ("03-01 00:30", "Ridge", "RH", None),
    ]


INFLUX = """#group,false,false,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,double,string,string,string
#default,_result,,,,,,
,result,table,_time,_value,_field,_measurement,room
,,0,2024-03-01T00:00:00Z,1.5,t,climate,s
,,0,2024-03-01T00:30:00Z,2.5,t,climate,s

#group,false,false,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,double,string,string,string
#default,_result,,,,,,
,result,table,_time,_value,_field,_measurement,room
,,1,2024-03-01T01:00:00Z,3.5,t,climate,r
"""


def test_annotated_csv_of_influxdb(tmp_path):
    rows = one(tmp_path, INFLUX, format="influx-csv", sensor="room")
    assert rows == [*TWO, ("03-01 01:00", "r", "t", 3.5)]


def begun(tmp_path, text):
    """The position after the first reading of a file."""
    (tmp_path / "x.csv").write_text(text)
    source = ReplaySource(ReplaySource.Params(path=str(tmp_path / "x.csv")))
    source.open(None)
    position = source.read("x.csv", None, 1).position
    source.close()
    return position


def gone_on(tmp_path, position):
    source = ReplaySource(ReplaySource.Params(path=str(tmp_path / "x.csv")))
    source.open(None)
    return source.read("x.csv", position, 1000).readings.to_pylist()


@pytest.mark.parametrize(
    ("later", "how"),
    [(PLAIN.replace("1.5", "1.6"), "begins differently"), (PLAIN[:-20], "begins differently")],
)
def test_a_file_rewritten_meanwhile_is_not_read_on(tmp_path, later, how):
    position = begun(tmp_path, PLAIN)
    (tmp_path / "x.csv").write_text(later)
    with pytest.raises(SourceError, match=f"x.csv: is not the file any more .* line 3, it {how}"):
        gone_on(tmp_path, position)


def test_a_long_file_that_is_cut_is_not_read_on(tmp_path):
    long = PLAIN + PLAIN.split("\n", 1)[1] * 200
    position = begun(tmp_path, long)
    (tmp_path / "x.csv").write_text(long[:5000])
    with pytest.raises(SourceError, match="it is shorter"):
        gone_on(tmp_path, position)


def test_a_file_that_has_grown_is_read_on(tmp_path):
    position = begun(tmp_path, PLAIN)
    (tmp_path / "x.csv").write_text(PLAIN + "2024-03-01T01:00Z,s,t,3.5\n")
    assert [r["value"] for r in gone_on(tmp_path, position)] == [2.5, 3.5]


def test_a_zip_archive_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.csv", "w") as archive:
        archive.writestr("inside.csv", PLAIN)
    with pytest.raises(SourceError, match=r"x\.csv: is a zip archive.*unpack it"):
        read(tmp_path / "x.csv")


def following(path, **params):
    source = ReplaySource(ReplaySource.Params(path=str(path), follow=True, **params))
    source.open(None)
    return source


def more(source, name, position):
    """What is there to be read, and the position after it."""
    values = []
    while True:
        piece = source.read(name, position, 1000)
        assert not piece.ended
        position = piece.position
        if not len(piece.readings):
            return values, position
        values += piece.readings["value"].to_pylist()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_a_file_is_followed_as_it_grows_by_whole_lines(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,sensor,qu")  # the header is being written
    source = following(path)
    assert more(source, "x.csv", None)[0] == []
    append(path, "antity,value\n2024-03-01T00:00Z,s,t,1")
    values, position = more(source, "x.csv", None)
    assert values == []  # it may yet be 15.85
    append(path, "5.85\n2024-03-01T00:30Z,s,t,2.5\n")
    values, position = more(source, "x.csv", position)
    assert values == [15.85, 2.5]
    again = following(path)
    append(path, "2024-03-01T01:00Z,s,t,3.5\n")
    assert more(again, "x.csv", position)[0] == [3.5]


def test_files_that_appear_are_followed_too(tmp_path, monkeypatch):
    monkeypatch.setattr("gapcast.plugins.sources.replay._REFRESH", 0.0)
    (tmp_path / "day-1.csv").write_text(PLAIN)
    source = following(tmp_path)
    assert source.partitions() == ["day-1.csv"]
    (tmp_path / "day-2.csv").write_text(PLAIN)
    assert source.partitions() == ["day-1.csv", "day-2.csv"]
    assert more(source, "day-2.csv", None)[0] == [1.5, 2.5]


def test_a_file_that_is_rotated_is_read_from_its_beginning(tmp_path, caplog):
    path = tmp_path / "x.csv"
    path.write_text(PLAIN)
    source = following(path)
    values, position = more(source, "x.csv", None)
    path.write_text(PLAIN.replace("2.5", "9.5")[:-1])
    values, position = more(source, "x.csv", position)
    assert values == [1.5]
    assert "x.csv: is not the file any more that was read up to line 4" in caplog.text
    append(path, "\n")
    assert more(source, "x.csv", position)[0] == [9.5]


def test_following_has_no_order_and_no_speed():
    for params in ({"order": "time"}, {"speed": "60x"}):
        with pytest.raises(ValueError, match="follow goes neither with"):
            ReplaySource.Params(path="x", follow=True, **params)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{sensor}/{sensor}/*.csv", "a placeholder stands for one part"),
        ("{senssor}.csv", "unknown placeholder {senssor}"),
        ("{sensor.csv", "unknown placeholder {sensor.csv"),
        ("{sensor}{quantity}.csv", "there must be a letter or a mark"),
        ("", "a path is empty"),
    ],
)
def test_placeholders_are_checked_before_a_run(path, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ReplaySource.Params(path=path)


def test_names_of_files_need_not_be_utf_8(tmp_path):
    name = os.fsdecode(b"\xff\xfe.csv")
    (tmp_path / name).write_text(SIMPLE)
    rows, _ = read(tmp_path / "{sensor}.csv")
    assert sensors(rows) == [(r"\xff\xfe", "temperature")]


def test_a_sorted_file_that_has_grown_is_not_read_on(tmp_path):
    text, _ = shuffled(2, newest_first)
    position = begun(tmp_path, text)
    (tmp_path / "x.csv").write_text(text + "2024-03-09T00:00Z,a,t,1\n")
    with pytest.raises(SourceError, match="it has grown, and is sorted before it is read"):
        gone_on(tmp_path, position)


def test_what_a_file_is_read_as_is_told_once_a_file_however_often_it_is_looked_at(tmp_path, caplog):
    for name in "ab":
        text = "time;sensor;quantity;value\n2024-03-01;Süd;t;---\n2024-03-02;Süd;t;1 °C\n"
        (tmp_path / f"{name}.csv").write_text(text, encoding="latin-1")
    source = ReplaySource(ReplaySource.Params(path=f"{tmp_path}/*.csv"))
    source.open(None)
    source.discover()
    for name in source.partitions():
        source.read(name, None, 10)
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == [
        f"{tmp_path}/{name}.csv{note}"
        for name in "ab"
        for note in (
            " is not UTF-8: read as cp1252 (source.encoding)",
            ": '---' is read as missing (source.missing)",
            ": '°C' is read as a unit (source.missing)",
        )
    ]


def test_hidden_files_are_told_once(tmp_path, caplog):
    for name in ("a.csv", ".a.csv"):
        (tmp_path / name).write_text("time,t\n2024-03-01,1\n")
    source = ReplaySource(ReplaySource.Params(path=str(tmp_path)))
    source.open(None)
    assert source.changed({}) == []
    assert caplog.text.count("1 hidden files are not read") == 1
