"""Values with units: every text means one thing, and is written back as it can be read."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gapcast.engine.neighbours import Neighbours
from gapcast.engine.units import LONGEST, Duration, Sensor, Size, Speed, Time

TYPES = {t: TypeAdapter(t) for t in (Duration, Sensor, Size, Speed, Time)}
HOUR = 3_600_000_000


def read(kind, value):
    return TYPES[kind].validate_python(value)


def write(kind, value):
    return TYPES[kind].dump_python(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "500ms", 500_000),
        (Duration, "30s", 30_000_000),
        (Duration, "30min", HOUR // 2),
        (Duration, "1h", HOUR),
        (Duration, "1 d", 24 * HOUR),
        (Duration, "7us", 7),
        (Duration, "0s", 0),
        (Size, "64MiB", 64 * 1024 * 1024),
        (Size, "10MB", 10_000_000),
        (Size, "1 kB", 1000),
        (Size, "0B", 0),
        (Speed, "max", math.inf),
        (Speed, "60x", 60.0),
        (Speed, "0.5x", 0.5),
        (Sensor, 7, "7"),
        (Sensor, "kitchen", "kitchen"),
        (Sensor, "007", "007"),
    ],
)
def test_what_is_read(kind, text, value):
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (Duration, v)
            for v in (30, 1.5, True, None, "30", "-1s", "1.5h", "1 hour", "s", "1h30min")
        ),
        *((Duration, v) for v in ("36526d", "106751991d", f"{LONGEST + 1}us")),
        *((Duration, v) for v in ("١s", "9" * 18 + "d", timedelta(seconds=1), "1s\n")),
        *((Size, v) for v in (64, "64", "64M", "64mb", "1.5MiB", None)),
        *((Speed, v) for v in (60, 0.5, "60", "x", "0x", "-1x", "fast", True, None)),
        *((Sensor, v) for v in (True, 1.5, None, "", ["a"], datetime(2004, 1, 1))),
        *((Time, v) for v in (0, 1.5, True, None, "", "yesterday", "2004-02-30", "10:00")),
    ],
)
def test_what_is_rejected(kind, value):
    with pytest.raises(ValidationError, match="must be"):
        read(kind, value)


@pytest.mark.parametrize(
    "value",
    [
        "2004-03-03T00:00:00Z",
        "2004-03-03T01:00:00+01:00",
        "2004-03-03T00:00:00",
        "2004-03-03",
        date(2004, 3, 3),
        datetime(2004, 3, 3),
        datetime(2004, 3, 3, tzinfo=UTC),
        datetime(2004, 3, 3, 5, tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_times_are_microseconds_since_1970_in_utc(value):
    assert read(Time, value) == 1_078_272_000_000_000


def test_the_longest_duration_is_a_hundred_years():
    assert read(Duration, "36525d") == LONGEST
    with pytest.raises(ValidationError, match=r"such as .*, 36525d \(100 years\) at most"):
        read(Duration, "876601h")


@given(st.integers(0, LONGEST))
def test_durations_come_back(microseconds):
    assert read(Duration, write(Duration, microseconds)) == microseconds


@given(st.integers(0, 10**17))
def test_sizes_come_back(size):
    assert read(Size, write(Size, size)) == size


@given(st.floats(1e-9, 1e15) | st.just(math.inf))
def test_speeds_come_back(speed):
    assert read(Speed, write(Speed, speed)) == speed


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_come_back(moment):
    held = read(Time, moment)
    assert read(Time, write(Time, held)) == held
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=held) == moment


def test_the_shortest_text_is_written():
    assert write(Duration, 90 * 60_000_000) == "90min"
    assert write(Duration, 48 * HOUR) == "2d"
    assert write(Duration, 0) == "0s"
    assert write(Size, 1 << 20) == "1MiB"
    assert write(Time, 1_078_272_000_500_000) == "2004-03-03T00:00:00.500000Z"


@pytest.mark.parametrize(
    ("written", "attribute", "value"),
    [
        ({"nearest": 5}, "nearest", 5),
        ({"correlated": 3}, "correlated", 3),
        ({"clusters": 2}, "clusters", 2),
        ({"of": {1: [2, "b"], "c": []}}, "of", {"1": ("2", "b"), "c": ()}),
        ("all", "all", True),
    ],
)
def test_neighbours_are_exactly_one_choice(written, attribute, value):
    chosen = Neighbours.model_validate(written)
    names = ("nearest", "correlated", "clusters", "of", "all")
    assert {n: getattr(chosen, n) for n in names} == dict.fromkeys(names) | {attribute: value}
    assert Neighbours.model_validate(chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"nearest": 5, "correlated": 5},
        {"nearest": 0},
        {"nearest": None},
        {"nearset": 5},
        {"of": [1, 2]},
        {"all": False},
        "none",
        5,
        None,
    ],
)
def test_neighbours_that_are_none_or_two_are_rejected(written):
    with pytest.raises(ValidationError):
        Neighbours.model_validate(written)
