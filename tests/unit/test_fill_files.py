"""Files to be filled: what is understood of many dialects, and that nothing but gaps is changed."""

from __future__ import annotations

import gzip
import io
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.filling.file import Answers, Asked, ending, open_table
from gapcast.engine.filling.telling import gaps, outcome, understood
from gapcast.engine.filling.whole import Way, whole

BEGIN = datetime(2024, 3, 9)
HOUR = timedelta(hours=1)


def times(n, form="%Y-%m-%d %H:%M"):
    return [(BEGIN + i * HOUR).strftime(form) for i in range(n)]


def opened(tmp_path, text, asked=None, name="a.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return open_table(path, asked or Asked())


def constant(file, value):
    """The file with one number in all gaps."""
    out = io.BytesIO()
    file.write(out, Answers(np.where(file.rows.gaps, value, np.nan)))
    return out.getvalue()


def wide(n=30, mark=",", gap="", form="%Y-%m-%d %H:%M"):
    rows = [
        mark.join([t, gap if i in (7, 8) else f"{i % 5}.25", f"{i % 7}.5"])
        for i, t in enumerate(times(n, form))
    ]
    return "\n".join([mark.join(["time", "a", "b"]), *rows]) + "\n"


# Dialects

HEADS = {
    "plain": "",
    "comments": "# station 7\n# height: 81 m\n\n",
    "metadata": "Logger: HOBO U12\nSerial number: 12345\nHeight, 81\n\n",
}
FORMS = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M", "%d.%m.%y %H:%M:%S",
         "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d %H:%M", "%Y%m%d%H%M", "%Y%m%d%H", "%d-%b-%Y %H:%M",
         "%Y-%m-%dT%H:%M:%S+00:00", "%s"]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_times_of_many_forms_are_read(tmp_path, form, mark):
    text = wide(24 * 10, mark, form=form if form != "%s" else "%Y-%m-%d %H:%M")
    if form == "%s":
        for i, then in enumerate(times(24 * 10)):
            text = text.replace(then, str(1709942400 + 3600 * i))
    rows = opened(tmp_path, text).rows
    assert rows.columns == ("a", "b")
    since = np.datetime64(BEGIN, "us").astype(np.int64) + np.arange(240) * 3_600_000_000
    np.testing.assert_array_equal(rows.times, since)
    assert rows.gaps.sum() == 2


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_what_stands_before_the_names_is_passed_over(tmp_path, head):
    file = opened(tmp_path, head + wide())
    assert file.rows.columns == ("a", "b")
    assert len(file.rows.times) == 30
    assert constant(file, 9).decode() == head + wide(gap="9.00")


@pytest.mark.parametrize("gap", ["NA", "NaN", "null", "-", "---", "n/a", "  "])
def test_words_for_missing_are_gaps(tmp_path, gap):
    file = opened(tmp_path, wide(gap=gap))
    assert file.rows.gaps.sum() == 2
    end = "  9.00" if gap == "  " else "9.00"
    assert constant(file, 9).decode() == wide(gap=end)


def test_a_number_far_from_all_others_stands_for_missing_and_it_is_said(tmp_path):
    file = opened(tmp_path, wide(gap="-9999"))
    assert file.rows.gaps.sum() == 2
    assert "'-9999' in a" in file.rows.facts["missing"]


def test_a_number_that_may_be_a_value_is_one_unless_it_is_said(tmp_path):
    text = wide(gap="-999").replace(".25", "25").replace(",0", ",-4")
    file = opened(tmp_path, text)
    assert not file.rows.gaps.any()
    assert "--missing=-999" in " ".join(file.rows.unused)
    assert opened(tmp_path, text, Asked(missing=("-999",))).rows.gaps.sum() == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_come_back(tmp_path, encoding, end):
    text = wide().replace("a,", "Temperatur (°C),").replace("\n", end)
    file = opened(tmp_path, text, encoding=encoding)
    assert file.rows.columns == ("Temperatur (°C)", "b")
    assert "°C" in file.rows.facts["units"]
    assert constant(file, 9) == text.replace(f",,{''}", ",9.00,").encode(encoding)


def test_compressed_text_is_read_and_written(tmp_path):
    file = opened(tmp_path, gzip.compress(wide().encode()), name="a.csv.gz")
    assert gzip.decompress(constant(file, 9)).decode() == wide(gap="9.00")


def test_date_and_time_in_two_columns_with_decimal_commas(tmp_path):
    rows = [f"{t};{'' if i == 9 else '1.234,5'};x;y" for i, t in enumerate(times(30))]
    text = "\r\n".join(["Datum;Uhrzeit;P (W);Wort", *rows]).replace(" ", ";").replace(";x;y", ";ok")
    text = text.replace("P;(W)", "P (W)")
    file = opened(tmp_path, text.replace("2024-03-", "").replace("09;", "09.03.2024;")
                  .replace("10;", "10.03.2024;"))  # fmt: skip
    assert file.rows.values[0, 0] == 1234.5
    assert "%d.%m.%Y %H:%M" in file.rows.facts["times"]
    assert file.rows.unused == ("Wort: no numbers",)
    assert b"09:00;2,5;ok\r\n" in constant(file, 2.5)


def test_a_campbell_logger(tmp_path):
    head = (
        '"TOA5","CR1000","CR1000","1234"\n"TIMESTAMP","RECORD","AirT","RH"\n"TS","RN","Deg C","%"\n'
    )
    body = "".join(
        f'"{t}:00",{i},{f"{i % 7}.1250" if i != 5 else chr(34) + "NAN" + chr(34)},{i % 9}\n'
        for i, t in enumerate(times(40))
    )
    file = opened(tmp_path, head + body, name="x.dat")
    assert file.rows.columns == ("AirT", "RH")
    assert file.rows.facts["units"] == "AirT Deg C, RH %"
    assert file.rows.unused == ("RECORD: counts the rows",)
    assert constant(file, 2).decode() == head + body.replace("NAN", "2.0000")


def test_rows_that_are_short_get_their_cells(tmp_path):
    text = wide().replace(",,1.5\r", ",").replace(f"{times(30)[20]},0.25,6.5", times(30)[20])
    text = text.replace(f"{times(30)[22]},2.25,1.5", f"{times(30)[22]},2.25")
    out = constant(opened(tmp_path, text), 9).decode()
    assert f"{times(30)[20]},9.00,9.0\n" in out
    assert f"{times(30)[22]},2.25,9.0\n" in out


def test_what_cannot_be_read_stays_and_is_told_with_its_line(tmp_path):
    text = wide().replace("3.25", "err", 1) + "Total,1,2,3,4\nEnd\n"
    file = opened(tmp_path, text)
    told = " ".join(file.rows.unused)
    assert "'err' in line 5" in told
    assert "line 32" in told
    assert "line 33, 'End'" in told
    assert constant(file, 9).decode() == text.replace(",,", ",9.00,")


def test_added_columns_leave_a_table(tmp_path):
    text = "# a file\n" + wide().replace("a,", '"a, b",') + "Total,,\n"
    file = opened(tmp_path, text)
    gaps_ = file.rows.gaps
    value = np.where(gaps_, 3.0, np.nan)
    origin = [["between" if gap else "observed" for gap in column] for column in gaps_.T]
    out = io.BytesIO()
    file.write(out, Answers(value, value - 1, value + 1, origin))
    lines = out.getvalue().decode().splitlines()
    assert lines[1].endswith('"a, b_lower","a, b_upper","a, b_origin",b_lower,b_upper,b_origin')
    assert lines[9].endswith(",3.00,0.5,2.00,4.00,between,,,observed")
    assert {line.count(",") for line in lines[2:]} == {8}


# Long tables


def long(n=30, extra=""):
    return "time,station,parameter,value\n" + "".join(
        f"{t},s{s},{q},{'' if (i, s, q) in ((7, 2, 't'), (8, 10, 'h')) else i % 5}\n"
        for i, t in enumerate(times(n))
        for s in (10, 2)
        for q in "th"
    )


def test_a_long_table_is_known_by_its_repeated_times(tmp_path):
    file = opened(tmp_path, long())
    assert file.rows.names == ("s2/h", "s2/t", "s10/h", "s10/t")
    assert constant(file, 9).decode() == long().replace(",\n", ",9\n")


def test_rows_that_are_not_there_count_in_time_and_are_not_added(tmp_path):
    text = "".join(line for k, line in enumerate(long().splitlines(True)) if k not in (50, 51))
    of = whole(opened(tmp_path, text), None)
    assert of.absent.sum() == 2
    assert any("2 (1.7%) are not there" in line for line in understood(of))
    assert len(constant(of.file, 9).splitlines()) == len(text.splitlines())


def test_a_step_that_comes_twice_is_used_once_and_told(tmp_path):
    text = wide(300) + f"{times(300)[-1]},,1\n"
    of = whole(opened(tmp_path, text), None)
    assert of.repeated.tolist() == [300]
    assert any("line 302" in line for line in understood(of))
    answers = of.filled(Way(causal=True), lambda values: None)
    assert "1 in rows of a step that has a row already" in " ".join(outcome(of, answers))


def test_the_hour_that_comes_twice_is_told_apart_in_its_zone(tmp_path):
    hours = [datetime(2024, 10, 26) + i * HOUR for i in range(60)]
    hours.insert(27, hours[26])
    text = "time,a\n" + "".join(f"{h:%d.%m.%Y %H:%M},{i % 7}\n" for i, h in enumerate(hours))
    rows = opened(tmp_path, text, Asked(zone="Europe/Berlin")).rows
    assert set(np.diff(rows.times)) == {3_600_000_000}
    of = whole(
        opened(tmp_path, text.replace("\n", ",1.5\n").replace("a,1.5", "a,b")), 3_600_000_000
    )
    assert of.repeated.tolist() == [27]


def test_times_that_jitter_have_a_round_interval(tmp_path):
    then = [BEGIN + i * HOUR / 6 + timedelta(seconds=7 * i % 5) for i in range(300)]
    text = "time,a\n" + "".join(f"{t},{i % 7}\n" for i, t in enumerate(then))
    of = whole(opened(tmp_path, text), None)
    assert (of.record.interval, of.steps.total, len(of.repeated)) == (600_000_000, 300, 0)
    text = "time,a\n" + "".join(f"{BEGIN + i * HOUR * 31 / 3600},{i % 7}\n" for i in range(99))
    assert whole(opened(tmp_path, text), None).record.interval == 31_000_000


def test_days_of_excel_with_decimal_commas(tmp_path):
    text = "Time;a\n" + "".join(
        f"{45292 + i / 144:.6f};{'' if i == 3 else i % 7}\n".replace(".", ",") for i in range(99)
    )
    of = whole(opened(tmp_path, text), None)
    assert (of.file.rows.columns, of.record.interval) == (("a",), 600_000_000)
    assert of.file.rows.times[0] == np.datetime64("2024-01-01", "us").astype(np.int64)
    assert constant(of.file, 9).decode() == text.replace(";\n", ";9\n")


# Where it is not clear what is meant


def test_two_readings_of_a_date_are_told_with_the_option_that_decides(tmp_path):
    text = wide(20, form="%d/%m/%Y %H:%M")
    with pytest.raises(Undecided) as error:
        opened(tmp_path, text)
    assert error.value.option == "--time-format"
    assert error.value.choices == ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")
    rows = opened(tmp_path, text, Asked(time_format="%m/%d/%Y %H:%M")).rows
    assert rows.times[0] == np.datetime64("2024-09-03", "us").astype(np.int64)


def test_times_that_are_even_under_one_reading_decide_it(tmp_path):
    rows = opened(tmp_path, wide(72, form="%d/%m/%Y %H:%M")).rows
    assert "as %d/%m/%Y %H:%M" in rows.facts["times"]


def test_two_columns_of_times_are_told(tmp_path):
    text = wide().replace("time,", "time,sent,").replace(":00,", ":00,2024-03-09 00:00,")
    with pytest.raises(Undecided, match="2 columns hold times; --time decides: 'time', 'sent'"):
        opened(tmp_path, text)
    assert opened(tmp_path, text, Asked(time=("time",))).rows.columns == ("a", "b")


def test_times_without_an_interval_are_told(tmp_path):
    chosen = [line for i, line in enumerate(wide(60).splitlines(True)) if i in (0, 1, 2, 5, 11, 23)]
    file = opened(tmp_path, "".join(chosen))
    with pytest.raises(Undecided, match="--interval"):
        whole(file, None)
    assert whole(file, 3_600_000_000).steps.total == 23


def test_columns_that_tell_rows_apart_differently_are_told(tmp_path):
    body = "".join(f"{t},{a},{b},1.5\n" for t in times(9) for a, b in [("x", "q"), ("y", "p")])
    body += "".join(
        f"{t},{a},{b},1.5\n" for t in times(20)[9:] for a, b in [("x", "p"), ("y", "q")]
    )
    with pytest.raises(Undecided, match="--sensor decides: 'one', 'other'"):
        opened(tmp_path, "time,one,other,v\n" + body)
    assert opened(tmp_path, "time,one,other,v\n" + body, Asked(sensor=("one",))).rows.names == (
        "x",
        "y",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("x,y\n1,2\n3,4\n", "no column of times"),
        (b"PK\x03\x04xxxx", "zip archive"),
        ("time,a\n2024-01-01 00:00,x\n2024-01-01 01:00,y\n", "no column of numbers"),
        ("time,a\n2024-01-01 00:00,1\n2024-01-01 00:00,2\n", "2 rows have 1 different times"),
    ],
)
def test_what_is_no_table_is_an_error_that_says_so(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        opened(tmp_path, text)


def test_a_wrong_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"no column 'tme'; did you mean 'time'\? \(found: 'time'"):
        opened(tmp_path, wide(), Asked(time=("tme",)))


def test_endings():
    from pathlib import Path

    assert [ending(Path(n)) for n in ("a.csv", "a.b.csv.gz", "a", "x/.a")] == [
        ".csv", ".csv.gz", "", ""
    ]  # fmt: skip


# All cells with a value are the same bytes


CELL = st.one_of(st.none(), st.decimals(-990, 9999, places=2).map(lambda d: f"{d:.2f}"))


@st.composite
def tables(draw):
    """A text, the same with 7.00 in its gaps, and its encoding."""
    mark, decimal = draw(st.sampled_from([",;", ";,", "\t,", "|.", ";.", ",.", ",,"]))
    decimal = "." if decimal == ";" else decimal
    end, tail = draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.booleans())
    gap = draw(st.sampled_from(["", "NA", "-", "NaN"]))
    quoted = draw(st.booleans()) or decimal == mark
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=8, max_size=30))
    rows.append(["12.25"] * width)
    rows.append(["-3.75"] * width)
    words = st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=8)
    note = draw(words).replace('"', '""')
    quote = (lambda text: f'"{text}"') if quoted else (lambda text: text)
    texts = []
    for fill in (gap, f"7{decimal}00"):
        lines = [mark.join(quote(name) for name in ["time", *"abcd"[:width], "note"])]
        for then, row in zip(times(len(rows)), rows, strict=True):
            cells = [fill if c is None else c.replace(".", decimal) for c in row]
            lines.append(mark.join([*map(quote, [then, *cells]), f'"note {note}"']))
        texts.append(end.join(lines) + end * tail)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return *texts, encoding


@settings(max_examples=150, deadline=None)
@given(tables())
def test_nothing_but_gaps_is_changed(tmp_path_factory, table):
    text, expected, encoding = table
    path = tmp_path_factory.getbasetemp() / "property.csv"
    path.write_bytes(text.encode(encoding))
    asked = Asked(missing=("-",), values=tuple(n for n in "abcd" if n in text.split("note")[0]))
    found = constant(open_table(path, asked), 7)
    assert found == expected.encode(encoding)
    path.write_bytes(found)
    assert not open_table(path, asked).rows.gaps.any()


# The numbers


def record(n=24 * 12):
    rng = np.random.default_rng(4)
    day = 5 * np.sin(np.arange(n) / 24 * 2 * np.pi)[:, None] + rng.normal(0, 0.1, (n, 3))
    day = np.round(day + np.array([10, 12, 14]), 2)
    day[100:106, 0] = day[150:153, :2] = day[-20:-15, 2] = np.nan
    return day


def cell(value):
    return "" if np.isnan(value) else f"{value:.2f}"


@pytest.mark.parametrize("causal", [False, True])
def test_long_and_wide_and_parquet_have_the_same_numbers(tmp_path, causal):
    values = record()
    then = times(len(values))
    names = ["s1", "s2", "s10"]
    flat = "".join(f"{t},{','.join(map(cell, r))}\n" for t, r in zip(then, values, strict=True))
    tall = "".join(
        f"{t};{n};{cell(x)}\n"
        for n, column in zip(names, values.T, strict=True)
        for t, x in zip(then, column, strict=True)
    )
    (tmp_path / "a.csv").write_text("time,s1,s2,s10\n" + flat)
    (tmp_path / "b.csv").write_text("time;sensor;value\n" + tall)
    moments = pa.array(np.datetime64(BEGIN, "us") + np.arange(len(values)) * np.timedelta64(1, "h"))
    columns = {n: pa.array(c, from_pandas=True) for n, c in zip(names, values.T, strict=True)}
    pq.write_table(pa.table({"time": moments, **columns}), tmp_path / "c.parquet")
    found = []
    for name in ("a.csv", "b.csv", "c.parquet"):
        of = whole(open_table(tmp_path / name, Asked()), None)
        found.append(of.filled(Way(causal), lambda done: None).values)
        assert len(gaps(of)) == 3
    one, other, third = found
    np.testing.assert_array_equal(one, other.reshape(3, -1).T)
    np.testing.assert_array_equal(one, third)
    assert np.nanmax(np.abs(one - 12)) < 9


@pytest.mark.parametrize("name", ["x.parquet", "x.feather", "x.arrow"])
def test_arrow_files_have_the_same_schema(tmp_path, name):
    values = record()[:, :2]
    whole_numbers = pa.array([None if i == 3 else i % 7 for i in range(len(values))], pa.int16())
    moments = pa.array(np.datetime64(BEGIN, "ns") + np.arange(len(values)) * np.timedelta64(1, "h"))
    table = pa.table(
        {"when": moments, "note": ["a", "b"] * (len(values) // 2), "k": whole_numbers,
         "v": pa.array(values[:, 0].astype(np.float32), from_pandas=True)}
    ).replace_schema_metadata({"made": "here"})  # fmt: skip
    path, write = tmp_path / name, pq.write_table if name == "x.parquet" else feather.write_feather
    write(table, path)
    file = open_table(path, Asked())
    assert file.rows.columns == ("k", "v")
    (tmp_path / f"o{name}").write_bytes(constant(file, 2.6))
    read = pq.read_table if name == "x.parquet" else feather.read_table
    found = read(tmp_path / f"o{name}")
    assert found.schema.equals(table.schema, check_metadata=True)
    assert found.select(["when", "note"]) == table.select(["when", "note"])
    assert found["k"][3].as_py() == 3
    assert found["k"].null_count == 0
    assert found["v"][100].as_py() == pytest.approx(2.6)
    assert found["v"][99] == table["v"][99]
