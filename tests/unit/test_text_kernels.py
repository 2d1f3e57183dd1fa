"""Text kernels against Python's own float, datetime and str."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gapcast.plugins.sources.text.decimals import (
    ABSENT,
    FINE,
    INFINITE,
    MALFORMED,
    NULL,
    decimals,
)
from gapcast.plugins.sources.text.names import LONGEST, gather, names
from gapcast.plugins.sources.text.patterns import compiled, reader
from gapcast.plugins.sources.text.split import BROKEN, fields
from gapcast.plugins.sources.text.times import iso

compiles = settings(deadline=None)  # the first call of a kernel
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def block(*lines):
    return np.frombuffer("".join(line + "\n" for line in lines).encode(), np.uint8)


def cells(split, line):
    text = split.text.tobytes()
    return [
        None if a < 0 else text[a:b].decode()
        for a, b in zip(split.starts[line], split.ends[line], strict=True)
    ]


def number(text):
    split = fields(block(text or ";"), ";", [0], quoted=False)
    values, what = decimals(split, [0], np.zeros(1, np.int8))
    return values[0, 0], what[0, 0]


def parsed(parse, text):
    raw = np.frombuffer(text.encode() + b"#", np.uint8)
    times, good = parse(raw, np.zeros(1, np.int32), np.full(1, len(raw) - 1, np.int32))
    return int(times[0]) if good[0] else None


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


# --- fields ---------------------------------------------------------------------------------


@compiles
@given(
    st.lists(
        st.lists(st.text("abc .-", max_size=4).map(str.strip), min_size=1, max_size=5),
        min_size=1,
        max_size=8,
    ),
    st.sets(st.integers(0, 6), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
)
def test_fields_are_those_of_str_split(rows, wanted, newline):
    wanted = sorted(wanted)
    lines = [",".join(row) for row in rows]
    text = np.frombuffer("".join(line + newline for line in lines).encode(), np.uint8)
    split = fields(text, ",", wanted)
    for k, line in enumerate(lines):
        expected = line.split(",") if line else []
        assert split.counts[k] == len(expected)
        assert cells(split, k) == [expected[w] if w < len(expected) else None for w in wanted]
    assert split.lines.tolist() == np.cumsum([0] + [len(x + newline) for x in lines]).tolist()


def test_spaces_at_a_lines_end_are_no_fields_but_two_in_a_row_have_one_between():
    split = fields(block("a  b ", "a b", " ", "", "a \r"), " ", [0, 1, 2])
    assert split.counts.tolist() == [3, 2, 0, 0, 1]
    assert [cells(split, k) for k in range(5)] == [
        ["a", "", "b"], ["a", "b", None], [None] * 3, [None] * 3, ["a", None, None],
    ]  # fmt: skip


@compiles
@given(st.lists(st.text("ab  ", max_size=9), min_size=1, max_size=5), st.booleans())
def test_fields_between_runs_of_spaces_are_those_of_str_split(lines, quoted):
    split = fields(block(*lines, '"x"' if quoted else "x"), " ", [0, 2], quoted=quoted, runs=True)
    for k, line in enumerate(lines):
        expected = [*line.split(), *[None] * 3]
        assert split.counts[k] == len(line.split())
        assert cells(split, k) == [expected[0], expected[2]]


@pytest.mark.parametrize("quoted", [False, True])
def test_separators_in_a_row_may_be_one(quoted):
    lines = ["  a  b ", "a b   c", " ", "", "a \r"] + ['x   "y z"'] * quoted
    split = fields(block(*lines), " ", [0, 1, 2], quoted=quoted, runs=True)
    assert split.counts.tolist() == [2, 3, 0, 0, 1] + [2] * quoted
    assert [cells(split, k) for k in range(len(lines))] == [
        ["a", "b", None], ["a", "b", "c"], [None] * 3, [None] * 3, ["a", None, None],
        *[["x", "y z", None]] * quoted,
    ]  # fmt: skip


def test_quoted_fields():
    split = fields(block('"a,b",c', '"say ""hi""" , d', '"",x', 'a"b,c'), ",", [0, 1], quoted=True)
    assert [cells(split, k) for k in range(4)] == [
        ["a,b", "c"], ['say ""hi""', "d"], ["", "x"], ['a"b', "c"],
    ]  # fmt: skip


@pytest.mark.parametrize("line", ['"open,x', '"shut"open,x', 'x,"open', '"'])
def test_a_quote_without_its_fellow_breaks_its_line_only(line):
    split = fields(block("1,2", line, "3,4"), ",", [0, 1], quoted=True)
    assert split.counts.tolist() == [2, BROKEN, 2]
    assert cells(split, 2) == ["3", "4"]


def test_blanks_around_a_field_are_dropped_but_a_tab_that_separates_is_none():
    assert cells(fields(block(" a ,\tb\t"), ",", [0, 1]), 0) == ["a", "b"]
    assert cells(fields(block("a\t\t b "), "\t", [0, 1, 2]), 0) == ["a", "", "b"]


# --- numbers --------------------------------------------------------------------------------


DECIMALS = st.builds(
    lambda sign, whole, point, exponent: sign + whole + point + exponent,
    st.sampled_from(["", "-", "+"]),
    st.text("0123456789", min_size=1, max_size=30),
    st.one_of(st.just(""), st.text("0123456789", max_size=30).map(lambda s: "." + s)),
    st.one_of(st.just(""), st.integers(-400, 400).map(lambda e: f"e{e}")),
)


@compiles
@given(st.one_of(DECIMALS, st.floats(allow_nan=False, allow_infinity=False).map(repr)))
@example("9007199254740993")
@example("-18446744073709551616")
@example("0." + "0" * 400 + "1")
@example("-0.0")
@example("4.9406564584124654e-324")
@example("2.2250738585072011e-308")
@example("00000000000000000000000012.5")
@example("1.7976931348623159e308")
@example("1E+22")
@example("1e23")
@example("7e-23")
@example(".5")
@example("7.")
def test_numbers_have_the_bits_of_pythons_float(text):
    value, what = number(text)
    if np.isinf(float(text)):
        assert what == INFINITE
    else:
        assert what == FINE
        assert struct.pack("d", value) == struct.pack("d", float(text))


@compiles
@given(st.text("0123456789.eE+-xn", max_size=8))
def test_what_is_no_number_to_python_is_malformed(text):
    try:
        float(text)
    except ValueError:
        assert number(text)[1] == (MALFORMED if text else NULL)
    else:
        assert number(text)[1] in (FINE, INFINITE)


@pytest.mark.parametrize(
    ("text", "what"),
    [("nan", NULL), ("NaN", NULL), ("-nan", NULL), ("", NULL), ("NA", NULL), ("null", NULL),
     ("inf", INFINITE), ("-Infinity", INFINITE), ("1e999", INFINITE), ("nano", MALFORMED),
     ("1_000", MALFORMED), ("0x10", MALFORMED), ("1,5", MALFORMED), ("-", MALFORMED),
     ("1e", MALFORMED), ("e5", MALFORMED), (".", MALFORMED), ("1.2.3", MALFORMED),
     ("٣", MALFORMED), ("1 2", MALFORMED)],
)  # fmt: skip
def test_words_and_near_misses(text, what):
    assert number(text)[1] == what


def test_lines_to_skip_and_cells_not_there_are_absent():
    split = fields(block("1,2", "3", "4,5"), ",", [0, 1])
    values, what = decimals(split, [0, 1], np.array([0, 0, 1], np.int8))
    assert what.tolist() == [[FINE, FINE], [FINE, ABSENT], [ABSENT, ABSENT]]
    assert values[0].tolist() == [1.0, 2.0]


# --- times ----------------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


@compiles
@given(MOMENTS, st.sampled_from(["", "Z", "z"]), st.sampled_from("T "))
def test_iso_times_are_those_of_datetime(moment, zone, between):
    text = moment.isoformat(between) + zone
    assert parsed(iso(), text) == micros(moment.replace(tzinfo=UTC))


@compiles
@given(MOMENTS, st.integers(-1439, 1439), st.booleans())
def test_iso_offsets_are_those_of_datetime(moment, minutes, colon):
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = aware.isoformat()
    text = text if colon else text[:-3] + text[-2:]
    assert parsed(iso(), text) == micros(aware)


@compiles
@given(st.text("0123456789-:.TZ +", max_size=27))
@example("2004-02-30 00:00:00")
@example("2100-02-29")
@example("2004-02-28 10:00:00 +01:30")
@example("2004-02-28 10:00 Z")
def test_no_time_is_made_of_what_datetime_rejects(text):
    ours = parsed(iso(), text)
    if ours is not None:
        theirs = datetime.fromisoformat(re.sub(" (?=[-+Z])", "", text))
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
        assert ours == micros(theirs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2004-02-28 00:59:16.02785", "2004-02-28T00:59:16.027850"),
     ("2004-02-29", "2004-02-29T00:00:00"), ("2004-02-29 01:02", "2004-02-29T01:02:00"),
     ("2004-02-28T00:59:16.123456789Z", "2004-02-28T00:59:16.123456"),
     ("2004-02-28 00:59:16 UTC", "2004-02-28T00:59:16"),
     ("2004-02-28 01:59:16 +0100", "2004-02-28T00:59:16")],
)  # fmt: skip
def test_shorter_and_longer_iso_times(text, expected):
    assert parsed(iso(), text) == micros(datetime.fromisoformat(expected + "+00:00"))


@pytest.mark.parametrize(
    "text",
    ["", "2004", "2003-02-29", "1900-02-29", "2004-13-01", "2004-00-10", "2004-01-00",
     "2004-04-31", "0000-01-01", "2004-01-01 24:00:00", "2004-01-01 10:60:00",
     "2004-01-01 10:00:60", "2004-01-01 10", "2004-01-01 10:00:00.", "2004-01-01 10:00:00 ",
     "2004-01-01x10:00:00", "2004-01-01 10:00:00+1", "2004-01-01 10:00:00+25:00",
     "2004-1-1 10:00:00", "2004/01/01", "2004-01-01 -1:00:00", "2004-01-01 10:00:00Zz",
     "2004-01-01 10:00:00  Z", "2004-01-01 10:00:00 EST", "2004-01-01 10:00:00 U"],
)  # fmt: skip
def test_no_iso_times(text):
    assert parsed(iso(), text) is None


@compiles
@given(MOMENTS, st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%H.%M.%S,%m%d%Y"]))
def test_patterns_read_what_strftime_writes(moment, pattern):
    moment = moment.replace(microsecond=0)
    text = moment.strftime(pattern.replace("%Y", f"{moment.year:04d}"))
    assert parsed(reader(pattern), text) == micros(moment.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3/1/24 12:30a", "2024-03-01T00:30"), ("3/1/24 12:30P", "2024-03-01T12:30"),
     ("3/1/24 1:05pm", "2024-03-01T13:05"), ("3/1/24 1:05x", None), ("3/1/24 1:05", None),
     ("3/1/24 1:05an", None)],
)  # fmt: skip
def test_am_and_pm_may_be_one_letter(text, expected):
    expected = expected and micros(datetime.fromisoformat(expected + "+00:00"))
    assert parsed(reader("%m/%d/%y %I:%M%p"), text) == expected


def test_hour_24_of_a_pattern_needs_no_minutes():
    read = reader("%Y%m%d %H")
    assert parsed(read, "20240229 24") == parsed(read, "20240301 00")
    assert parsed(read, "20240229 25") is None


def test_patterns_with_a_fraction_and_a_short_year():
    assert parsed(reader("%y%m%d %H:%M:%S.%f"), "990228 00:00:53.492") == micros(
        datetime(1999, 2, 28, 0, 0, 53, 492000, tzinfo=UTC)
    )
    for wrong in ("990228 00:00:53", "990230 00:00:53.4", "990228 00:00:53.4x", "990228 00:00:53."):
        assert parsed(reader("%y%m%d %H:%M:%S.%f"), wrong) is None


@pytest.mark.parametrize("pattern", ["%Q", "%", "%H:%M", "%Y-%m-%d %I:%M", "YYYY-MM-DD"])
def test_patterns_that_make_no_time_are_rejected(pattern):
    with pytest.raises(ValueError, match=r"directive|pattern|together"):
        compiled(pattern)


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [("s", "1077930000", 1077930000_000000), ("s", "1077930000.25", 1077930000_250000),
     ("s", "-1.5", -1_500000), ("ms", "1077930000123", 1077930000_123000), ("us", "-7", -7),
     ("ns", "1077930000123456789", 1077930000_123456), ("ns", "-1", -1), ("s", "", None),
     ("s", "x", None), ("s", "1e9", None), ("s", "99999999999999999", None), ("s", "1.", None),
     ("ns", "1.5", None)],
)  # fmt: skip
def test_numbers_since_1970(unit, text, expected):
    assert parsed(reader(unit), text) == expected


# --- names ----------------------------------------------------------------------------------


@compiles
@given(st.lists(st.sampled_from(["1", "22", "22 b", "küche", "", "x" * 255, "x" * 256, "7"])))
def test_names_are_numbered_as_they_appear(words):
    split = fields(block(*(w + ";" for w in words)), ";", [0])
    ids, found = names(split, 0, np.zeros(len(words), np.int8))
    good = [w if 0 < len(w.encode()) <= LONGEST else None for w in words]
    assert [None if i < 0 else found[int(i)].as_py() for i in ids] == good
    assert found.to_pylist() == list(dict.fromkeys(w for w in good if w))


def test_a_name_that_is_not_utf8_is_none():
    text = np.frombuffer("a;\nküche;\n".encode() + b"\xff\xfe;\nb;\n", np.uint8)
    ids, found = names(fields(text, ";", [0]), 0, np.zeros(4, np.int8))
    assert [None if i < 0 else found[int(i)].as_py() for i in ids] == ["a", "küche", None, "b"]


def test_many_different_names():
    words = [f"sensor-{k * 7919 % 100_003}" for k in range(20_000)]
    split = fields(block(*words), ";", [0])
    ids, found = names(split, 0, np.zeros(len(words), np.int8))
    assert ids.tolist() == list(range(len(words)))
    assert found.to_pylist() == words


def test_gather_copies_pieces():
    text = np.frombuffer(b"hello world", np.uint8)
    pieces = gather(text, np.array([6, 0, 3], np.int32), np.array([11, 0, 5], np.int32))
    assert pieces.to_pylist() == [b"world", b"", b"lo"]
