"""The replay source: files, positions, damage and pace."""

from __future__ import annotations

import gzip
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doubles import place
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.plugins.sources.cursor import Cursor
from gapcast.plugins.sources.files import find
from gapcast.plugins.sources.formats.intel_lab import IntelLab
from gapcast.plugins.sources.pace import LONGEST_WAIT, Pace, Schedule
from gapcast.plugins.sources.replay import ReplaySource

START = datetime(2004, 3, 1, tzinfo=UTC)
DAY = 86_400_000_000


def line(second, mote=1, values="20.5 40.5"):
    return f"{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S} {second} {mote} {values}\n"


def opened(path, quantities=None, format="intel-lab", **params):
    source = ReplaySource(ReplaySource.Params(path=path, format=format, **params))
    source.open(quantities)
    return source


def reads(source, partition, position=None, limit=1 << 30):
    """Every read up to the end, each from a position that has been through JSON."""
    while True:
        read = source.read(partition, position, limit)
        position = json.loads(json.dumps(read.position))
        yield read
        if read.ended:
            return


def content(pieces):
    """All readings and dead letters of some reads."""
    pieces = list(pieces)
    return (
        [row for read in pieces for row in read.readings.to_pylist()],
        [row for read in pieces for row in read.dead_letters.to_pylist()],
    )


MIXED = "".join(
    [line(0), "junk\n", line(1, 2, "x 41"), line(2, 3, "1 2 3 4"), "\n", "more junk\n",
     line(3), line(4, 2, "9"), line(5, 1, "y z"), "the end"]
)  # fmt: skip


# --- which files ----------------------------------------------------------------------------


def test_each_file_is_a_partition_in_natural_order(tmp_path):
    for name in ("day-10.txt", "day-2.txt", "sub/day-1.txt", ".hidden", "_SUCCESS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line(0))
    expected = ["day-2.txt", "day-10.txt", "sub/day-1.txt"]
    assert opened(str(tmp_path)).partitions() == expected
    assert opened(f"{tmp_path}/*.txt").partitions() == expected[:2]
    assert opened(f"{tmp_path}/**/day-1*.txt").partitions() == expected[1:]
    assert opened(f"{tmp_path}/day-2.txt").partitions() == expected[:1]
    assert opened([f"{tmp_path}/day-10.txt", f"{tmp_path}/d*-2.txt"]).partitions() == expected[:2]


def test_a_file_given_twice_is_read_once_and_equal_names_become_paths(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text(line(0))
    paths = [f"{tmp_path}/a/x.txt", f"{tmp_path}/b", f"{tmp_path}/a"]
    assert opened(paths).partitions() == [f"{tmp_path}/a/x.txt", f"{tmp_path}/b/x.txt"]


@pytest.mark.parametrize("path", ["nowhere.txt", "*.nothing", "nosuchprotocol://x"])
def test_no_file_is_an_error_that_names_the_path(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=path.replace("*", r"\*")):
        opened(path)


def test_a_name_that_does_not_tell_its_format_is_an_error(tmp_path):
    (tmp_path / "data.txt").write_text(line(0))
    source = opened(str(tmp_path), format=None)
    with pytest.raises(SourceError, match="the file name does not show the format"):
        source.read("data.txt", None, 1)


def test_files_of_any_system_fsspec_knows():
    import fsspec

    with fsspec.open("memory://lab/a.txt", "wb") as file:
        file.write(MIXED.encode())
    source = opened("memory://lab")
    assert source.partitions() == ["a.txt"]
    assert len(content(reads(source, "a.txt"))[0]) == 10


def test_discover_finds_every_series_once(tmp_path):
    (tmp_path / "a.txt").write_text(line(0) + line(1, 2, "1") + line(2, 1, "x"))
    (tmp_path / "b.txt").write_text(line(0, 7, "nan nan"))
    assert list(opened(str(tmp_path)).discover()) == [
        Series("1", "humidity"), Series("1", "temperature"), Series("2", "temperature"),
        Series("7", "humidity"), Series("7", "temperature"),
    ]  # fmt: skip
    assert list(opened(str(tmp_path), ["light"]).discover()) == []


def test_the_sample_that_ships_is_what_its_readme_says():
    source = opened("data/intel-lab-3days.txt.gz", format=None)
    readings, dead = content(reads(source, "intel-lab-3days.txt.gz"))
    assert len(readings) == 14_400
    assert dead == []
    assert len(list(source.discover())) == 100


# --- positions ------------------------------------------------------------------------------


def packed(data, how):
    if how == "gzip members":
        return gzip.compress(data[:100]) + gzip.compress(data[100:])
    return data if how is None else pa.compress(data, how, asbytes=True)


@pytest.fixture(params=[None, "gzip", "zstd", "gzip members", "parquet"])
def mixed(request, tmp_path):
    """A file of which every line is different, on any way in."""
    path = tmp_path / "mixed"
    if request.param == "parquet":
        times = [START + timedelta(seconds=k) for k in range(9)]
        table = {"time": times, "sensor": list("abcabcabc"), "h": list(range(9)),
                 "t": [1.0, 2, float("inf"), 4, None, 6, 7, 8, 9]}  # fmt: skip
        pq.write_table(pa.table(table), path, row_group_size=4)
        return opened(str(path), format="parquet", wide=["t", "h"])
    path.write_bytes(packed(MIXED.encode(), request.param))
    return opened(str(path))


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_calls_of_any_length_give_the_same(mixed, limit):
    pieces = list(reads(mixed, "mixed", limit=limit))
    assert content(pieces) == content(reads(mixed, "mixed"))
    assert all(len(read.readings) <= limit for read in pieces)
    assert len(content(pieces)[0]) in (10, 17)
    assert len(content(pieces)[1]) in (1, 6)


def test_a_new_source_goes_on_from_any_position(mixed):
    whole = content(reads(mixed, "mixed"))
    so_far = ([], [])
    for read in reads(mixed, "mixed", limit=1):
        so_far = tuple(a + b for a, b in zip(so_far, content([read]), strict=True))
        again = ReplaySource(mixed.params)
        again.open(None)
        rest = content(reads(again, "mixed", read.position))
        assert tuple(a + b for a, b in zip(so_far, rest, strict=True)) == whole


def test_a_source_that_reads_elsewhere_in_between_is_not_confused(mixed):
    first = mixed.read("mixed", None, 3)
    last = list(reads(mixed, "mixed"))[-1]
    assert mixed.read("mixed", last.position, 3).ended
    assert content(reads(mixed, "mixed", first.position)) == content(
        list(reads(mixed, "mixed", limit=3))[1:]
    )


def test_partitions_may_be_read_from_several_threads(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_text(MIXED.replace("20.5", str(ord(name))))
    source = opened(str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: content(reads(source, name, limit=1)), "abcd"))
    assert found == [content(reads(opened(str(tmp_path)), name)) for name in "abcd"]


def test_the_end_stays_the_end(mixed):
    *_, last = reads(mixed, "mixed")
    again = mixed.read("mixed", last.position, 5)
    assert (len(again.readings), len(again.dead_letters), again.ended) == (0, 0, True)
    assert again.position == last.position
    assert last.position.get("byte", len(MIXED)) == len(MIXED)


@pytest.mark.parametrize("format", ["intel-lab", "csv"])
@pytest.mark.parametrize("how", [None, "gzip", "zstd"])
def test_an_empty_file_ends_at_once(tmp_path, how, format):
    (tmp_path / "empty").write_bytes(packed(b"", how))
    (read,) = reads(opened(str(tmp_path / "empty"), format=format), "empty")
    assert (len(read.readings), len(read.dead_letters), read.ended) == (0, 0, True)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([*MIXED.splitlines(True), "é" * 300 + "\n", "\r\n"]), max_size=30),
    st.integers(1, 7),
    st.integers(60, 700),
)
def test_blocks_cut_anywhere_give_the_same(tmp_path_factory, lines, limit, size):
    path = tmp_path_factory.mktemp("cut") / "data"
    path.write_bytes("".join(lines).encode())
    (file,) = find([str(path)])
    cursor = Cursor(IntelLab(file, IntelLab.Options(), None, size), None)
    pieces, position = [], None
    while not pieces or not pieces[-1].ended:
        pieces.append(cursor.read(position, limit))
        position = pieces[-1].position
    assert content(pieces) == content(reads(opened(str(path), order="as-is"), "data"))


# --- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [60, 1 << 12, 1 << 22])
@pytest.mark.parametrize("how", [None, "gzip"])
def test_a_line_too_long_costs_only_itself(tmp_path, size, how):
    just = line(1).rstrip().ljust(10_000_000) + "\n"
    above = line(2).rstrip().ljust(10_000_001) + "\n"
    path = tmp_path / "long"
    text = line(0) + just + above + line(3) + "y" * 21_000_000
    path.write_bytes(packed(text.encode(), how))
    (file,) = find([str(path)])
    cursor = Cursor(IntelLab(file, IntelLab.Options(), None, size), None)
    pieces, position = [], None
    while not pieces or not pieces[-1].ended:
        pieces.append(cursor.read(position, 1))
        position = pieces[-1].position
    readings, dead = content(pieces)
    assert [r["offset"] for r in readings] == [1, 1, 2, 2, 4, 4]
    assert [(place(d), d["reason"], len(d["raw"])) for d in dead] == [
        ("long:3", "line too long", 1024), ("long:5", "line too long", 1024),
    ]  # fmt: skip
    at = {name: position[name] for name in ("line", "skip", "byte")}
    assert at == {"line": 6, "skip": 0, "byte": len(text)}


def test_a_line_of_ten_megabytes_is_held_once_and_dropped(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(line(0).encode() + b"1" * 25_000_000 + b"\n" + line(1).encode())
    readings, dead = content(reads(opened(str(path)), "huge"))
    assert (len(readings), len(dead)) == (4, 1)
    assert dead[0]["raw"] == b"1" * 1024


@pytest.mark.parametrize(("how", "damage"), [("gzip", "cut"), ("gzip", "changed"), ("zstd", "cut")])
def test_damaged_compression_stops_the_run_after_what_could_be_read(tmp_path, how, damage):
    random = np.random.default_rng(1)
    text = "".join(line(k, 1, f"{v:.6f}") for k, v in enumerate(random.normal(size=50_000)))
    data = bytearray(packed(text.encode(), how))
    if damage == "cut":
        data = data[: len(data) * 2 // 3]
    else:
        data[len(data) * 2 // 3] ^= 0xFF
        data[-1] ^= 0xFF
    path = tmp_path / "damaged"
    path.write_bytes(data)
    found = []
    with pytest.raises(SourceError, match="damaged: cannot be read"):
        found.extend(reads(opened(str(path)), "damaged", limit=1000))
    readings, dead = content(found)
    assert [r["offset"] for r in readings[:10_000]] == list(range(1, 10_001))
    assert damage != "cut" or dead == []  # what changed bytes unpack to, only the end can tell


def test_a_file_that_vanishes_is_an_error(tmp_path):
    path = tmp_path / "gone"
    path.write_text(line(0))
    source = opened(str(path))
    path.unlink()
    with pytest.raises(SourceError, match="gone: cannot be read: No such file"):
        source.read("gone", None, 1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "s33://there/x",
            "s33://there/x: cannot be read: no filesystem is known by 's33'; did you",
        ),
        ("smb://there/x", "smb://there/x: cannot be read: there is no driver for smb://; SMB req"),
    ],
)
def test_a_file_system_that_is_not_known_or_has_no_driver_is_told(monkeypatch, path, message):
    monkeypatch.setitem(sys.modules, "smbprotocol", None)
    with pytest.raises(SourceError) as caught:
        find([path])
    assert str(caught.value).startswith(message)


# --- pace -----------------------------------------------------------------------------------


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds
        assert len(self.slept) < 10_000


def paced(path, factor, clock):
    (file,) = find([str(path)])
    pace = Pace(factor, clock.now, clock.sleep)
    return Cursor(IntelLab(file, IntelLab.Options(), frozenset(["temperature"]), 1 << 16), pace)


def given_out(cursor, clock, work=0.0):
    """(seconds since the start, offsets) of every read that brought something."""
    position, out, start = None, [], clock.time
    while True:
        read = cursor.read(position, 100)
        position = read.position
        if len(read.readings):
            out.append((clock.time - start, read.readings["offset"].to_pylist()))
        if read.ended:
            return out
        clock.time += work


def test_sixty_times_as_fast_as_recorded(tmp_path):
    path = tmp_path / "x"
    path.write_text("".join(line(second) for second in (0, 0, 6, 60, 66, 120)))
    clock = Clock()
    out = given_out(paced(path, 60, clock), clock)
    assert [offsets for _, offsets in out] == [[1, 2], [3], [4], [5], [6]]
    assert [t for t, _ in out] == pytest.approx([0, 0.1, 1.0, 1.1, 2.0])
    assert max(clock.slept) <= LONGEST_WAIT


def test_work_between_calls_does_not_add_up(tmp_path):
    path = tmp_path / "x"
    path.write_text("".join(line(second) for second in range(0, 1200, 12)))
    clock = Clock()
    out = given_out(paced(path, 60, clock), clock, work=0.13)
    late = [t - (offsets[0] - 1) * 0.2 for t, offsets in out]
    assert min(late) >= -1e-9
    assert max(late) <= 0.2 + 0.13


def test_pace_never_changes_which_readings_come(tmp_path):
    path = tmp_path / "x"
    path.write_text(MIXED)
    clock = Clock()
    cursor, position, pieces = paced(path, 2, clock), None, []
    while not pieces or not pieces[-1].ended:
        pieces.append(cursor.read(position, 2))
        position = pieces[-1].position
    assert content(pieces) == content(reads(opened(str(path), ["temperature"]), "x"))


@pytest.mark.parametrize("wild", ["1970-01-01 00:00:00", "2099-01-01 00:00:00"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_clock_gone_wild_holds_nothing_up(tmp_path, wild, place):
    lines = [line(second) for second in (0, 60, 120, 180, 240)]
    lines.insert(place, f"{wild} 1 1 20\n")
    path = tmp_path / "x"
    path.write_text("".join(lines))
    clock = Clock()
    out = given_out(paced(path, 60, clock), clock)
    assert sum(len(offsets) for _, offsets in out) == 6
    assert out[-1][0] == pytest.approx(4.0, abs=1.01)


def test_a_line_out_of_order_costs_no_time():
    schedule = Schedule(Pace(1.0))
    assert schedule.due(np.array([10, 5, 11, 20])).tolist() == [0, 0, 1, 10]
    assert schedule.due(np.array([15, 25])).tolist() == [10, 15]
    assert schedule.due(np.array([], np.int64)).tolist() == []
    assert schedule.due(np.array([25 + 3 * DAY, 26 + 3 * DAY])).tolist() == [15, 16]


def test_partitions_share_one_clock(tmp_path):
    clock = Clock()
    pace = Pace(1.0, clock.now, clock.sleep)
    assert Schedule(pace).due(np.array([100])).tolist() == [0]
    assert Schedule(pace).due(np.array([160])).tolist() == [60]


def test_speed_is_a_factor_or_max(tmp_path):
    (tmp_path / "x").write_text(line(0))
    source = opened(str(tmp_path / "x"), speed="60x")
    assert len(source.read("x", None, 10).readings) == 2
    with pytest.raises(ValueError, match="max or a factor such as 60x"):
        ReplaySource.Params(path="x", speed="fast")
