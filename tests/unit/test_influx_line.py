"""Files of InfluxDB's line protocol: what other programs write, and what the sink `influx` does."""

from __future__ import annotations

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fuzz import EDITS, damaged, fuzzed, rows
from test_influx_lines import rows as forecast_rows
from test_influx_lines import table_of

from gapcast.engine.readings import DEAD_LETTERS, READINGS
from gapcast.plugins.sinks.influx_lines import FLOATS, lines, unfit
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats.influx_line import InfluxLine
from gapcast.plugins.sources.replay import ReplaySource

T = 1_709_251_200_000_000_000
"""2024-03-01, ns."""


def read(path, size=1 << 20, quantities=None, **options):
    """All readings and dead letters of a file."""
    file = File("f", str(path), fsspec.filesystem("file"))
    reader = InfluxLine(file, InfluxLine.Options(**options), quantities, size)
    readings, dead = [], []
    for chunk in reader.chunks(None):
        readings += rows(chunk.readings, READINGS)
        dead += rows(chunk.dead_letters, DEAD_LETTERS)
    return readings, dead


def one(tmp_path, text, **options):
    """(sensor, quantity, value) of each reading, and (reason, offset) of each dead letter."""
    (tmp_path / "x.lp").write_bytes(text if isinstance(text, bytes) else text.encode())
    readings, dead = read(tmp_path / "x.lp", **options)
    assert all(r["time"] == T // 1000 for r in readings)
    return (
        [(r["sensor"], r["quantity"], r["value"]) for r in readings],
        [(d["reason"], d["offset"]) for d in dead],
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"m,sensor=a t=1.5 {T}", [("a", "t", 1.5)]),
        (f"m,sensor=a t=1.5,h=40i,n=7u {T}", [("a", "h", 40), ("a", "n", 7), ("a", "t", 1.5)]),
        (f"m,sensor=a t=-2i,u=-1e-3 {T}", [("a", "t", -2), ("a", "u", -0.001)]),
        (f"m,sensor=a a=t,b=F,c=true,d=FALSE {T}",
         [("a", "a", 1), ("a", "b", 0), ("a", "c", 1), ("a", "d", 0)]),
        (rf"my\ m\,x,sensor=a\ b\,c\=d t\ u\,\==1 {T}", [("a b,c=d", "t u,=", 1)]),
        (rf"m,sensor=C:\x\y t=1 {T}", [(r"C:\x\y", "t", 1)]),
        (f'm,sensor=a s="x, y=z \\" 3",t=2 {T}', [("a", "t", 2)]),
        (f'm,sensor=a t="21.5" {T}', [("a", "t", 21.5)]),
        (f"  m,sensor=a   t=1   {T}  \r", [("a", "t", 1)]),
        (f"m,room=b,sensor=ä t=1 {T}", [("ä", "t", 1)]),
    ],
)  # fmt: skip
def test_a_point_is_read_as_the_protocol_says(tmp_path, line, expected):
    found, dead = one(tmp_path, line + "\n", quantities=frozenset(q for _, q, _ in expected))
    assert (found, dead) == (expected, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m,sensor=a t=1", "malformed time"),
        (f"m,sensor=a t=1 {T}x", "malformed time"),
        (f"m,sensor=a t=1 {T} 5", "malformed time"),
        (f"m t=1 {T}", "malformed name"),
        (f"m,sensor=\xff t=1 {T}".encode("latin-1"), "malformed line"),
        (f"m,sensor= t=1 {T}", "malformed line"),
        (f"m,sensor t=1 {T}", "malformed line"),
        (f"m,sensor=a,sensor=b t=1 {T}", "malformed line"),
        (f"m,sensor=a t=1,t=2 {T}", "malformed line"),
        (f"m,sensor=a t= {T}", "malformed line"),
        (f"m,sensor=a =1 {T}", "malformed line"),
        (f"m,sensor=a t=1, {T}", "malformed line"),
        (f"m,sensor=a t {T}", "malformed line"),
        ("m,sensor=a", "malformed line"),
        (f'm,sensor=a s="open,t=1 {T}', "malformed line"),
        (f'm,sensor=a s="x"y,t=1 {T}', "malformed line"),
        (f"m,sensor=a t=1.5i {T}", "malformed field"),
        (f"m,sensor=a t=-1u {T}", "malformed field"),
        (f"m,sensor=a t=i {T}", "malformed field"),
        (f"m,sensor=a t=1e999 {T}", "not a finite number"),
    ],
)
def test_what_is_no_point_is_a_dead_letter_and_costs_only_itself(tmp_path, line, reason):
    good = f"m,sensor=a t=1 {T}\n".encode()
    line = line if isinstance(line, bytes) else line.encode()
    found, dead = one(tmp_path, good + line + b"\n" + good)
    assert found == [("a", "t", 1)] * 2
    assert dead == [(reason, 2)]


def test_the_names_may_be_made_of_several_tags(tmp_path):
    text = f"cpu,host=h1,cpu=cpu0 usage=5 {T}\ncpu,host=h1 usage=6 {T}\n"
    found, dead = one(tmp_path, text, sensor="{host}/{cpu}", quantity="{_measurement}.{_field}")
    assert found == [("h1/cpu0", "cpu.usage", 5)]
    assert dead == [("malformed name", 2)]
    assert one(tmp_path, text, sensor="_measurement")[0] == [
        ("cpu", "usage", 5),
        ("cpu", "usage", 6),
    ]
    with pytest.raises(ValueError, match="a text with tags in braces"):
        InfluxLine.Options(quantity="room")


def test_points_without_a_wanted_field_are_passed_over(tmp_path):
    text = f"m,sensor=a t=1 {T}\nother,host=b load=5 {T}\nother,host=b load=5\n"
    assert one(tmp_path, text, quantities=frozenset("t")) == ([("a", "t", 1)], [])


@pytest.mark.parametrize(("unit", "per"), [("ns", 1), ("us", 1000), ("ms", 10**6), ("s", 10**9)])
def test_times_have_a_precision(tmp_path, unit, per):
    text = f"m,sensor=a t=1 {T // per}\n"
    assert one(tmp_path, text, time_format=unit) == ([("a", "t", 1)], [])


def test_comments_and_the_statements_of_an_export_are_passed_over(tmp_path):
    text = (
        "# INFLUXDB EXPORT: 1677 - 2262\n# DDL\nCREATE DATABASE home WITH NAME autogen\n# DML\n"
        "# CONTEXT-DATABASE:home\n\n"
        f"m,sensor=a t=1 {T}\n"
    )
    assert one(tmp_path, text) == ([("a", "t", 1)], [])


@settings(deadline=None)
@given(st.lists(forecast_rows, min_size=1, max_size=6))
def test_what_the_sink_writes_is_read_bit_for_bit(tmp_path_factory, forecasts):
    for row in forecasts:  # a text that spans lines is no line
        row["experts"] = row["experts"] and row["experts"].replace("\n", " ")
    table = table_of(forecasts)
    wrong = unfit(table)
    path = tmp_path_factory.getbasetemp() / "written.lp"
    path.write_bytes(b"".join(bytes(b.text) for b in lines("m", table, list(wrong), 1 << 20)))
    times = table["time"].cast(pa.int64()).to_pylist()
    expected = [
        (time, row["sensor"], f"{row['quantity']}.{name}", row[name])
        for i, (time, row) in enumerate(zip(times, forecasts, strict=True))
        if i not in wrong
        for name in sorted(FLOATS)
        if row[name] is not None
    ]
    missing = {"missing": ["nothing"]}  # a forecast of -9999 is one
    found, dead = read(
        path, quantities=frozenset(q for _, _, q, _ in expected), time_format="us",
        quantity="{quantity}.{_field}", **missing,
    )  # fmt: skip
    assert dead == []
    key = [(r["time"], r["sensor"], r["quantity"], r["value"]) for r in found]
    assert key == expected


POINTS = b"".join(
    b'weather,sensor=a%d,site=x\\ y t=%d.5,h=%di,ok=t,note="all \\"well\\"" %d\n'
    % (k % 3, k, 40 + k, T + k)
    for k in range(8)
)


@fuzzed
@given(edits=EDITS)
def test_damaged_lines_are_all_accounted_for_however_they_are_cut(tmp_path_factory, edits):
    text = damaged(POINTS, edits)
    path = tmp_path_factory.getbasetemp() / "fuzzed.lp"
    path.write_bytes(b"# begin\n" + text)
    readings, dead = read(path, quantities=frozenset("th"))
    assert {r["offset"] for r in [*readings, *dead]} <= set(range(1, 3 + text.count(b"\n")))
    for size in (1, 200):
        assert read(path, size, frozenset("th")) == (readings, dead)


def test_a_file_that_grows_is_followed(tmp_path):
    path = tmp_path / "x.lp"
    path.write_text(f"m,sensor=a t=1 {T}\nm,sensor=a t=2")
    source = ReplaySource(ReplaySource.Params(path=str(path), follow=True))
    source.open({"t"})
    position, found = None, []
    for more in ("", f" {T + 1000}\n", f"m,sensor=b t=3 {T + 2000}\n"):
        with path.open("a") as file:
            file.write(more)
        for _ in range(3):
            read = source.read("x.lp", position, 10)
            position = read.position
            found += read.readings["value"].to_pylist()
            assert not len(read.dead_letters)
    assert found == [1, 2, 3]


def test_the_source_finds_it_by_its_name_and_its_series(tmp_path):
    (tmp_path / "x.lp").write_text(f"m,host=a t=1 {T}\nm,host=b h=2i {T}\n")
    source = ReplaySource(ReplaySource.Params(path=str(tmp_path), sensor="host"))
    source.open(None)
    assert [f"{s.sensor}/{s.quantity}" for s in source.discover()] == ["a/t", "b/h"]
    said = ReplaySource(ReplaySource.Params(path=f"{tmp_path}/{{sensor}}.lp"))
    said.open(None)
    assert {s.sensor for s in said.discover()} == {"x"}
    facts = source.look({"t"}, {"t"})
    assert facts["format"] == "influx-line, utf-8"
    assert facts["names"] == "sensor host, quantity {_field}"
