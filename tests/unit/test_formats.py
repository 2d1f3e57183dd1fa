"""Formats: what each line, row and cell of a file becomes, good or bad."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doubles import place
from pydantic import ValidationError

from gapcast.engine.errors import SourceError
from gapcast.engine.readings import DEAD_LETTERS, RAW_LIMIT, READINGS
from gapcast.plugins.sources.formats import FORMATS, guess, load
from gapcast.plugins.sources.formats.format import TextFormat
from gapcast.plugins.sources.formats.intel_lab import IntelLab
from gapcast.plugins.sources.replay import ReplaySource

NOON = datetime(2004, 3, 1, 12, tzinfo=UTC)


def source(path, quantities=None, **params):
    opened = ReplaySource(ReplaySource.Params(path=str(path), **params))
    opened.open(quantities)
    return opened


def everything(opened, limit=1 << 30):
    """All readings and dead letters of a source's only partition, as lists of dicts."""
    (partition,) = opened.partitions()
    readings, dead, position = [], [], None
    while True:
        read = opened.read(partition, position, limit)
        read.readings.validate(full=True)
        read.dead_letters.validate(full=True)
        assert (read.readings.schema, read.dead_letters.schema) == (READINGS, DEAD_LETTERS)
        readings += read.readings.to_pylist()
        dead += read.dead_letters.to_pylist()
        position = read.position
        if read.ended:
            opened.close()
            return readings, dead


def of(tmp_path, text, quantities=None, name="data", **params):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return everything(source(path, quantities, **params))


def short(readings):
    return [(r["offset"], r["sensor"], r["quantity"], r["value"]) for r in readings]


def reasons(dead):
    return [(place(d), d["reason"], d["raw"]) for d in dead]


# --- intel-lab ------------------------------------------------------------------------------

LAB = "2004-03-01 12:00:00.0 7 1 19.9884 37.0933 45.08 2.69964\n"


def test_intel_lab_lines_give_their_readings_in_order(tmp_path):
    readings, dead = of(tmp_path, LAB + LAB.replace(" 1 ", " 22 "), format="intel-lab")
    assert dead == []
    assert short(readings) == [
        (1, "1", "temperature", 19.9884), (1, "1", "humidity", 37.0933),
        (1, "1", "light", 45.08), (1, "1", "voltage", 2.69964),
        (2, "22", "temperature", 19.9884), (2, "22", "humidity", 37.0933),
        (2, "22", "light", 45.08), (2, "22", "voltage", 2.69964),
    ]  # fmt: skip
    assert {r["time"] for r in readings} == {NOON}


def test_only_what_is_asked_for_is_read(tmp_path):
    line = LAB.replace("37.0933", "x")
    readings, dead = of(tmp_path, line, ["temperature", "voltage"], format="intel-lab")
    assert [r["quantity"] for r in readings] == ["temperature", "voltage"]
    assert dead == []
    assert of(tmp_path, line, ["pressure"], format="intel-lab") == ([], [])


@pytest.mark.parametrize("kept", range(4, 8))
def test_fields_missing_at_the_end_give_no_reading(tmp_path, kept):
    line = " ".join(LAB.split()[:kept])
    readings, dead = of(tmp_path, line, format="intel-lab")
    assert len(readings) == kept - 4
    assert dead == []
    assert len(of(tmp_path, line + " \r\n", format="intel-lab")[0]) == kept - 4


def test_a_field_that_is_empty_gives_no_reading_and_nan_a_reading_without_value(tmp_path):
    text = LAB.replace("45.08", "") + LAB.replace("45.08", "nan")
    readings, dead = of(tmp_path, text, ["light", "voltage"], format="intel-lab")
    assert dead == []
    assert short(readings) == [
        (1, "1", "voltage", 2.69964), (2, "1", "light", None), (2, "1", "voltage", 2.69964),
    ]  # fmt: skip


def test_a_field_that_is_no_number_costs_itself_only(tmp_path):
    text = LAB + LAB.replace("37.0933", "37..0").replace("45.08", "inf")
    readings, dead = of(tmp_path, text, format="intel-lab")
    assert len(readings) == 6
    assert reasons(dead) == [
        ("data:2", "malformed field", b"37..0"), ("data:2", "not a finite number", b"inf"),
    ]  # fmt: skip
    assert [(d["time"], d["sensor"], d["quantity"]) for d in dead] == [
        (NOON, "1", "humidity"), (NOON, "1", "light"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [("2004-03-01 12:00:00.0 7", "malformed line"),
     ("2004-03-01 12:00:00.0 7 x 1 2 3 4", "malformed line"),
     ("2004-03-01 12:00:00.0 7 1.5 1 2 3 4", "malformed line"),
     ("2004-03-01 12:00:00.0 7  1 2 3 4", "malformed line"),
     ("2004-03-01 12:00:00.0 7 1 1 2 3 4 5", "malformed line"),
     (" 2004-03-01 12:00:00.0 7 1 1 2 3 4", "malformed line"),
     ("2004-03-01,12:00:00,7,1,1,2,3,4", "malformed line"),
     ("2004-02-30 12:00:00.0 7 1 1 2 3 4", "malformed time"),
     ("2004-03-01 12:00:99.0 7 1 1 2 3 4", "malformed time"),
     ("2004-03-01 12:00:00.0x 7 1 1 2 3 4", "malformed time")],
)  # fmt: skip
def test_a_malformed_line_costs_itself_only(tmp_path, line, reason):
    readings, dead = of(tmp_path, LAB + line + "\n" + LAB, format="intel-lab")
    assert [r["offset"] for r in readings] == [1] * 4 + [3] * 4
    assert reasons(dead) == [("data:2", reason, line.encode())]
    assert dead[0]["time"] is None


def test_blank_lines_are_nothing_but_count(tmp_path):
    readings, dead = of(tmp_path, "\n  \n\r\n" + LAB, ["light"], format="intel-lab")
    assert (short(readings), dead) == ([(4, "1", "light", 45.08)], [])


def test_binary_garbage_is_dead_line_by_line_and_the_run_goes_on(tmp_path):
    garbage = bytes(range(256)) * 40 + b"\n" + b"\x00" * 5000
    readings, dead = of(tmp_path, LAB.encode() + garbage + b"\n" + LAB.encode(), format="intel-lab")
    assert len(readings) == 8
    assert len(dead) == 42
    assert max(len(d["raw"]) for d in dead) == RAW_LIMIT
    assert dead[-1]["raw"] == b"\x00" * RAW_LIMIT


def test_dead_letters_of_rows_and_cells_come_in_the_order_of_lines(tmp_path):
    text = LAB.replace("45.08", "x") + "junk\n" + LAB.replace("45.08", "y") + "rubbish\n"
    dead = of(tmp_path, text, format="intel-lab")[1]
    assert [d["raw"] for d in dead] == [b"x", b"junk", b"y", b"rubbish"]


# --- intel-lab-conv -------------------------------------------------------------------------


def test_intel_lab_conv(tmp_path):
    text = (
        "2017-02-28 00:00:53.492 24-0 18.1362 2.68\n"
        "2017-02-28 00:00:53.492 24-1 40.5 2.68\n"
        "2017-02-28 00:00:53.492 5-2 43.24\n"
    )
    readings, dead = of(tmp_path, text, name="data.conv.txt")
    assert dead == []
    assert short(readings) == [
        (1, "24", "temperature", 18.1362), (1, "24", "voltage", 2.68),
        (2, "24", "humidity", 40.5), (2, "24", "voltage", 2.68), (3, "5", "light", 43.24),
    ]  # fmt: skip
    assert short(of(tmp_path, text, ["humidity"], name="data.conv.txt")[0]) == [
        (2, "24", "humidity", 40.5)
    ]


@pytest.mark.parametrize("what", ["24-3", "24", "-0", "24-", "x-0", "24-0-1x", "24_0"])
def test_intel_lab_conv_without_mote_and_type(tmp_path, what):
    line = f"2017-02-28 00:00:53.492 {what} 18.1362 2.68"
    readings, dead = of(tmp_path, line + "\n", format="intel-lab-conv")
    assert (readings, reasons(dead)) == ([], [("data:1", "malformed line", line.encode())])


# --- csv ------------------------------------------------------------------------------------


def test_csv_long(tmp_path):
    text = (
        "\ufefftime,unit,sensor,quantity,value\r\n"
        '2004-03-01T12:00:00Z,C,"kitchen, left",temperature,21.5\r\n'
        "2004-03-01T12:00:00Z,C,hall,temperature,\r\n"
        "2004-03-01T12:00:00Z,%,hall,humidity,41\r\n"
        '2004-03-01T12:00:00Z,%,"the ""attic""",humidity,NaN\r\n'
    )
    readings, dead = of(tmp_path, text, name="x.csv")
    assert dead == []
    assert short(readings) == [
        (2, "kitchen, left", "temperature", 21.5), (3, "hall", "temperature", None),
        (4, "hall", "humidity", 41.0), (5, 'the "attic"', "humidity", None),
    ]  # fmt: skip
    assert {r["time"] for r in readings} == {NOON}
    assert short(of(tmp_path, text, {"humidity"}, name="x.csv")[0]) == short(readings)[2:]


@pytest.mark.parametrize(
    ("row", "reason", "raw"),
    [("2004-03-01,a,t", "malformed line", "2004-03-01,a,t"),
     ("2004-03-01,a,t,1,2", "malformed line", "2004-03-01,a,t,1,2"),
     ('2004-03-01,"a,t,1', "malformed line", '2004-03-01,"a,t,1'),
     ("2004-03-32,a,t,1", "malformed time", "2004-03-32,a,t,1"),
     (",a,t,1", "malformed time", ",a,t,1"),
     ("2004-03-01,,t,1", "malformed name", "2004-03-01,,t,1"),
     ("2004-03-01,a,,1", "malformed name", "2004-03-01,a,,1"),
     ("2004-03-01,a,t,one", "malformed field", "one"),
     ("2004-03-01,a,t,-inf", "not a finite number", "-inf"),
     ("2004-03-01,a,t,1e400", "not a finite number", "1e400")],
)  # fmt: skip
def test_csv_long_rows_that_cannot_be_read(tmp_path, row, reason, raw):
    good = "2004-03-01,a,t,1\n"
    text = "time,sensor,quantity,value\n" + good + row + "\n" + good
    readings, dead = of(tmp_path, text, name="x.csv")
    assert [r["offset"] for r in readings] == [2, 4]
    assert reasons(dead) == [("x.csv:3", reason, raw.encode())]


def test_csv_wide_by_row(tmp_path):
    text = "when;id;T;RH\n01/03/2004 12:00;1;20.5;40\n01/03/2004 12:00;2;x;\n01/03/2004 12:00;3;7\n"
    readings, dead = of(
        tmp_path, text, format="csv", time="when", sensor="id", delimiter=";",
        time_format="%d/%m/%Y %H:%M", wide={"T": {"quantity": "temperature"}, "RH": {}},
    )  # fmt: skip
    assert short(readings) == [
        (2, "1", "temperature", 20.5), (2, "1", "RH", 40.0), (3, "2", "RH", None),
        (4, "3", "temperature", 7.0),
    ]  # fmt: skip
    assert [(place(d), d["sensor"], d["quantity"], d["raw"]) for d in dead] == [
        ("data:3", "2", "temperature", b"x")
    ]
    assert {r["time"] for r in readings} == {NOON}


def test_csv_wide_by_column(tmp_path):
    text = "time\ta\tb\tc\n2004-03-01 13:00\t1\t2\t3\n"
    by_column = {"a": {"sensor": 1, "quantity": "q"}, "*": {"quantity": "r"}}
    readings, _ = of(tmp_path, text, name="x.tsv", wide=by_column, timezone="Europe/Berlin")
    assert short(readings) == [(2, "1", "q", 1.0), (2, "b", "r", 2.0), (2, "c", "r", 3.0)]
    assert {r["time"] for r in readings} == {NOON}
    assert short(of(tmp_path, text, ["r"], name="x.tsv", wide=by_column)[0]) == short(readings)[1:]
    assert short(of(tmp_path, text, name="x.tsv", wide=["b"])[0]) == [(2, "b", "b", 2.0)]


def test_csv_without_the_columns_it_needs_says_which(tmp_path):
    with pytest.raises(SourceError, match=r"no column 'value'; did you mean 'valeu'\? \(found: t"):
        of(tmp_path, "time,sensor,quantity,valeu\n", name="x.csv")
    with pytest.raises(SourceError, match="no column 'id'"):
        of(tmp_path, "time,a\n2004-03-01,1\n", name="x.csv", sensor="id", wide=["a"])


@pytest.mark.parametrize("text", ["x" * 200_000 + "\n", "\n\n"])
def test_csv_whose_first_line_is_no_header(tmp_path, text):
    with pytest.raises(SourceError, match=r"x\.csv: its first line is no header \(\w.*expected"):
        of(tmp_path, text, name="x.csv")


def test_csv_with_nothing_in_it(tmp_path):
    assert of(tmp_path, "", name="x.csv") == ([], [])
    assert of(tmp_path, "time,sensor,quantity,value", name="x.csv") == ([], [])


@pytest.mark.parametrize(
    ("header", "options"),
    [("time,sensor,quantity,value,value", {}), ("time,time,sensor,quantity,value", {}),
     ("time,sensor,a,a", {"wide": ["a"]}), ("time,sensor,a,a", {"wide": ["*"]}),
     ("time,sensor,sensor,a", {"wide": ["a"]})],
)  # fmt: skip
def test_two_columns_of_one_name_are_rejected_if_one_is_to_be_read(tmp_path, header, options):
    with pytest.raises(SourceError, match=r"/x\.csv: 2 columns are called '\w+'"):
        of(tmp_path, header + "\n2004-03-01,a,t,1,2\n", name="x.csv", **options)
    columns = header.split(",")
    arrays = [pa.array(["2004-03-01"])] * len(columns)
    pq.write_table(pa.Table.from_arrays(arrays, names=columns), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=r"/x\.parquet: 2 columns are called '\w+'"):
        everything(source(tmp_path / "x.parquet", **options))


def test_two_columns_of_one_name_that_are_not_read_do_no_harm(tmp_path):
    text = "time,sensor,note,note,a\n2004-03-01,1,x,y,2.5\n"
    assert short(of(tmp_path, text, name="x.csv", wide=["a"])[0]) == [(2, "1", "a", 2.5)]


@pytest.mark.parametrize(
    "wide",
    [{"a": {"quantity": "t"}, "b": {"quantity": "t"}}, {"*": {"quantity": "t"}},
     {"a": {}, "b": {"quantity": "a"}}],
)  # fmt: skip
def test_columns_that_would_be_one_series_are_rejected(tmp_path, wide):
    with pytest.raises(SourceError, match=r"x\.csv: columns 'a' and 'b' would both be '[ta]' of"):
        of(tmp_path, "time,sensor,a,b\n", name="x.csv", wide=wide)
    with pytest.raises(ValidationError, match="columns 'a' and 'b' would both be"):
        of(
            tmp_path, "", name="x.csv",
            wide={"a": {"sensor": 1, "quantity": "t"}, "b": {"sensor": "1", "quantity": "t"}},
        )  # fmt: skip
    if "*" not in wide:
        with pytest.raises(ValidationError, match="columns 'a' and 'b' would both be"):
            of(tmp_path, "", name="x.csv", sensor="mote", wide=wide)


# --- parquet --------------------------------------------------------------------------------


def table(tmp_path, columns, **writing):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path, **writing)
    return path


LONG = {
    "time": pa.array([NOON] * 4, pa.timestamp("us", "UTC")),
    "sensor": ["a", "b", "a", "b"],
    "quantity": ["t", "t", "h", "h"],
    "value": [1.0, None, float("nan"), 4.0],
}


def test_parquet_long(tmp_path):
    path = table(tmp_path, LONG | {"unused": [1, 2, 3, 4]}, row_group_size=3)
    readings, dead = everything(source(path))
    assert dead == []
    assert short(readings) == [
        (1, "a", "t", 1.0), (2, "b", "t", None), (3, "a", "h", None), (4, "b", "h", 4.0),
    ]  # fmt: skip
    assert short(everything(source(path, ["h"]))[0]) == short(readings)[2:]


@pytest.mark.parametrize(
    ("type_", "values", "options"),
    [(pa.timestamp("s", "UTC"), [NOON], {}), (pa.timestamp("ns"), [NOON], {}),
     (pa.timestamp("ms", "Europe/Berlin"), [NOON], {"timezone": "Asia/Tokyo"}),
     (pa.timestamp("ms"), [datetime(2004, 3, 1, 13)], {"timezone": "Europe/Berlin"}),
     (pa.string(), ["2004-03-01T12:00:00Z"], {}),
     (pa.large_string(), ["1.3.2004 12:00"], {"time_format": "%d.%m.%Y %H:%M"}),
     (pa.int64(), [1078142400], {"time_format": "s"}),
     (pa.int64(), [1078142400_000000000], {"time_format": "ns"})],
)  # fmt: skip
def test_parquet_times(tmp_path, type_, values, options):
    columns = {"time": pa.array(values, type_), "sensor": [5], "quantity": ["t"], "value": [1]}
    readings, _ = everything(source(table(tmp_path, columns), **options))
    assert [(r["time"], r["sensor"], r["value"]) for r in readings] == [(NOON, "5", 1.0)]


def test_parquet_dates(tmp_path):
    columns = {"time": [date(2004, 3, 1)], "sensor": ["a"], "quantity": ["t"], "value": [1.5]}
    readings, _ = everything(source(table(tmp_path, columns)))
    assert readings[0]["time"] == datetime(2004, 3, 1, tzinfo=UTC)


def test_parquet_rows_that_cannot_be_read(tmp_path):
    far = (1 << 62) // 1000
    columns = {
        "time": pa.array([1, None, far, 1, 1, 1, 1], pa.timestamp("s")),
        "sensor": ["a", "a", "a", None, "", "a", "a"],
        "quantity": ["t"] * 7,
        "value": [1.0, 2.0, 3.0, 4.0, 5.0, float("-inf"), 7.0],
    }
    readings, dead = everything(source(table(tmp_path, columns)))
    assert [r["offset"] for r in readings] == [1, 7]
    assert reasons(dead) == [
        ("x.parquet:2", "malformed time", None), ("x.parquet:3", "malformed time", None),
        ("x.parquet:4", "malformed name", None), ("x.parquet:5", "malformed name", None),
        ("x.parquet:6", "not a finite number", None),
    ]  # fmt: skip
    assert dead[-1]["value"] == float("-inf")


def test_parquet_wide(tmp_path):
    columns = {"time": LONG["time"], "a": [1, 2, 3, 4], "b": [None, 2.5, 3.5, 4.5]}
    readings, _ = everything(source(table(tmp_path, columns), wide={"*": {"quantity": "t"}}))
    assert short(readings)[:4] == [
        (1, "a", "t", 1.0), (1, "b", "t", None), (2, "a", "t", 2.0), (2, "b", "t", 2.5),
    ]  # fmt: skip
    assert len(readings) == 8


@pytest.mark.parametrize(
    ("columns", "message"),
    [(LONG | {"time": [1.5] * 4}, "column 'time' is of type double"),
     (LONG | {"value": [[1.0]] * 4}, "column 'value' is of type list.*expected numbers"),
     (LONG | {"sensor": [1.5] * 4}, "column 'sensor' is of type double; expected text or whole"),
     ({"time": LONG["time"]}, "no column of values")],
)  # fmt: skip
def test_parquet_of_the_wrong_types_is_rejected(tmp_path, columns, message):
    with pytest.raises(SourceError, match=message):
        everything(source(table(tmp_path, columns)))


def test_a_file_that_is_no_parquet_is_rejected(tmp_path):
    with pytest.raises(SourceError, match=r"x\.parquet: cannot be read"):
        of(tmp_path, "time,sensor", name="x.parquet")


# --- what they have in common ---------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_loaded(name):
    assert load(name).__doc__


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.csv", "csv"), ("b.csv.gz", "csv"), ("b.tsv.zst", "csv"), ("b.parquet", "parquet"),
     ("data.conv.txt", "intel-lab-conv"), ("data/intel-lab-3days.txt.gz", "intel-lab"),
     ("intel-lab.txt", "intel-lab"), ("intel-lab/data.txt", None), ("data.txt", None)],
)  # fmt: skip
def test_names_that_tell_their_format(path, name):
    assert guess(path) == name


@pytest.mark.parametrize(
    ("params", "message"),
    [({"format": "cvs"}, "unknown format 'cvs'; did you mean 'csv'"),
     ({"format": "no_such_module:X"}, "cannot be loaded: No module named"),
     ({"format": "pathlib:Path"}, "does not extend"),
     ({"format": "intel-lab", "delimiter": ";"}, "not understood by this format: delimiter"),
     ({"format": "parquet", "delimiter": ";"}, "not understood by this format: delimiter"),
     ({"format": "csv", "delimiter": "ab"}, "one ASCII character"),
     ({"format": "csv", "timezone": "Mars/Olympus"}, "must be a time zone"),
     ({"format": "csv", "time_format": "%Q"}, "'Q' is a bad directive"),
     ({"format": "csv", "wide": {"a": {"quantitty": "t"}}}, "quantitty"),
     ({"format": "csv", "options": {"x": 1}}, "x\n  Extra"),
     ({"path": "a.csv", "delimeter": ";"}, "delimeter")],
)  # fmt: skip
def test_wrong_parameters_are_rejected_before_anything_is_read(params, message):
    with pytest.raises(ValidationError) as caught:
        ReplaySource.Params(**({"path": "data.txt"} | params))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "params",
    [{"path": "x", "format": "intel-lab", "speed": "60x"},
     {"path": ["a.csv", "b.csv"], "delimiter": ";", "wide": {"a": {"sensor": 1}}, "time": "t"}],
)  # fmt: skip
def test_parameters_written_out_in_full_are_read_again(params):
    read = ReplaySource.Params(**params)
    assert ReplaySource.Params(**read.model_dump(mode="json")) == read


def test_the_schema_knows_both_ways_to_name_wide_columns():
    forms = ReplaySource.Params.model_json_schema()["properties"]["wide"]["anyOf"]
    assert {form["type"] for form in forms} == {"object", "array", "null"}


class Shouting(IntelLab):
    """A format of someone else's."""

    class Options(TextFormat.Options):
        """With an option of its own."""

        loud: bool

    def parse(self, text):
        """Read nothing unless it is loud."""
        assert self.options.loud
        return super().parse(text)


def test_a_format_of_someone_elses(tmp_path):
    name = f"{__name__}:Shouting"
    readings, _ = of(tmp_path, LAB, format=name, options={"loud": True})
    assert len(readings) == 4
    with pytest.raises(ValidationError, match="loud"):
        ReplaySource.Params(path="x", format=name)
