"""The sinks `files` and `hdfs`: crashes, full disks, readers at any moment, compaction."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty import Died, Faulty
from hypothesis import given
from hypothesis import strategies as st

from gapcast import read_config
from gapcast.engine.errors import ConfigError, SinkError
from gapcast.engine.sink import AlreadyCommitted, Committed, JobInfo, Retry
from gapcast.engine.testing.sink import KEY, epoch
from gapcast.plugins.sinks import parquet, parts
from gapcast.plugins.sinks.files import FilesSink
from gapcast.plugins.sinks.hdfs import PATIENCE, HdfsSink
from gapcast.plugins.sinks.parts import Part

JOB = JobInfo("test", Path("unused"), 1_800_000_000, ("m",), 2, ("observed",))


@pytest.fixture(autouse=True)
def healthy():
    Faulty.clear()
    yield
    Faulty.clear()


class Eager(FilesSink):
    """Compacts at the least occasion."""

    many, quiet = 3, 1


def opened(generation="g", kind=FilesSink, **params):
    sink = kind(kind.Params(path="faulty://out", **params))
    sink.open(JOB, generation)
    return sink


eager = partial(opened, kind=Eager)


def seen(all_of_them=False):
    """Rows a reader finds, who knows what names mean or takes `all_of_them`."""
    days: dict[str, list[str]] = {}
    for path in Faulty.store:
        day, _, name = path.rpartition("/")
        if name.endswith(".parquet") and "/day=" in day:
            days.setdefault(day, []).append(name)
    tables = [
        pq.read_table(io.BytesIO(Faulty.store[f"{day}/{name}"].getvalue()))
        for day, names in days.items()
        for name in (names if all_of_them else parts.current(names))
    ]
    return ordered(pa.concat_tables(tables)) if tables else None


def ordered(table):
    text = [n for n in table.schema.names if pa.types.is_dictionary(table.schema.field(n).type)]
    for name in text:
        at = table.schema.names.index(name)
        table = table.set_column(at, name, table[name].cast(pa.string()))
    return table.sort_by([(key, "ascending") for key in KEY]).cast(
        pa.schema([f.with_nullable(True) for f in table.schema])
    )


def wanted(epochs):
    return ordered(pa.concat_tables([epoch(e) for e in epochs]))


def live(rows, epochs):
    """Write so many epochs; returns how many were there already, which come first."""
    sink = eager(rows=rows)
    answers = [type(sink.write(e, epoch(e))) for e in range(epochs)]
    sink.close()
    held = answers.count(AlreadyCommitted)
    assert answers == [AlreadyCommitted] * held + [Committed] * (epochs - held)
    return held


@pytest.mark.parametrize(("rows", "epochs"), [(15, 3), (400, 6)])
def test_killed_at_any_operation_nothing_is_lost_or_repeated(rows, epochs):
    live(rows, epochs)
    at_last = sorted(Faulty.store)
    for moment in range(1000):
        Faulty.clear()
        Faulty.begin(moment)
        try:
            live(rows, epochs)
            break
        except Died:
            Faulty.begin()
        found = seen()
        eager()
        left = seen(all_of_them=True)
        assert found is None or found.group_by(KEY).aggregate([]).num_rows == len(found)
        held = live(rows, epochs)
        if held == 0:
            assert left is None
        else:
            assert left.equals(wanted(range(held)))
            assert found.slice(0, len(left)).equals(left)
        assert seen(all_of_them=True).equals(wanted(range(epochs)))
    assert sorted(Faulty.store) == at_last
    assert moment > 50


@pytest.mark.parametrize("moment", range(0, 60, 3))
def test_a_full_disk_is_waited_for(moment):
    sink = eager()
    Faulty.begin(moment, full=True)
    answers = []
    for e in range(7):
        while not isinstance(answer := sink.write(e, epoch(e)), Committed):
            assert answer == Retry("faulty://out: No space left on device", parquet.FULL)
            answers.append(e)
            Faulty.begin()
    sink.close()
    assert seen().equals(wanted(range(7)))
    assert seen(all_of_them=True).equals(seen())
    assert len(answers) <= 1


def test_a_failed_compaction_is_made_up_for_and_delays_no_epoch(monkeypatch, caplog):
    sink = eager()
    merged = Faulty.rm_file
    monkeypatch.setattr(
        Faulty, "rm_file", lambda self, path: 1 / 0 if "part-" in path else merged(self, path)
    )
    for e in range(4):
        assert isinstance(sink.write(e, epoch(e)), Committed)
    assert "was not compacted: ZeroDivisionError" in caplog.text
    assert seen().equals(wanted(range(4)))
    assert len(seen(all_of_them=True)) > len(seen())
    monkeypatch.setattr(Faulty, "rm_file", merged)
    for e in range(4, 8):
        sink.write(e, epoch(e))
    assert seen(all_of_them=True).equals(wanted(range(8)))


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_file_is_left_alone(caplog, cut):
    sink = eager()
    sink.write(0, epoch(0))
    (path,) = (p for p in Faulty.store if p.endswith(".parquet"))
    file = Faulty.store[path]
    if cut:
        file.truncate(9)
    else:
        file.seek(file.getvalue().index(np.float64(epoch(0)["forecast"][3].as_py()).tobytes()))
        file.write(b"?")
    before = Faulty.store[path].getvalue()
    for e in range(1, 8):
        assert isinstance(sink.write(e, epoch(e)), Committed)
    sink.close()
    assert "was not compacted" in caplog.text
    assert Faulty.store[path].getvalue() == before


def files():
    """Of each file that is there its day and what its name says."""
    paths = [p.split("/")[-2:] for p in Faulty.store if p.endswith(".parquet")]
    return sorted((day, part) for day, name in paths for part in parts.parts([name]))


def test_an_epoch_of_too_many_rows_fills_several_files():
    sink = opened(rows=15)
    sink.write(0, epoch(0))
    (day, *_), *_ = files()
    assert files() == [(day, Part(0, 0, n, i)) for i, n in enumerate((13, 13, 14))]


def test_small_files_of_a_day_are_merged_up_to_the_most_rows():
    sink = eager(rows=50)
    for e in range(100):
        sink.write(e, epoch(e, 6))
        assert sum(day == files()[-1][0] for day, _ in files()) <= 7
    sink.close()
    assert [part.rows for _, part in files()] == [18, 18, 18, 18, 18, 6] * 6 + [18, 6]
    eager(rows=400).close()
    assert [part.rows for _, part in files()] == [96] * 6 + [24]
    assert seen(all_of_them=True).num_rows == 600


def test_without_compaction_every_epoch_keeps_its_files():
    sink = eager(compact=False)
    for e in range(6):
        sink.write(e, epoch(e))
    sink.close()
    assert {(part.first, part.last) for _, part in files()} == {(e, e) for e in range(6)}


@given(st.lists(st.integers(0, 3 * 48), min_size=1, max_size=60))
def test_rows_in_any_order_of_time_come_back_as_they_were(steps):
    Faulty.clear()
    base = epoch(0, 40)
    table = pa.concat_tables([base.slice(s % 40, 1) for s in steps])
    time = pa.array([12_480 * 86_400_000_000 + s * 1_800_000_000 for s in steps])
    table = table.set_column(0, table.schema.field(0), time.cast(table.schema.field(0).type))
    sink = opened(rows=7)
    sink.write(0, table)
    found = seen(all_of_them=True)
    order = [(n, "ascending") for n in [*KEY, "forecast", "truth"]]
    assert found.sort_by(order).equals(ordered(table).sort_by(order))


def test_an_epoch_without_rows_is_an_epoch():
    sink = opened()
    assert isinstance(sink.write(0, epoch(0).slice(0, 0)), Committed)
    assert isinstance(opened().write(0, epoch(0)), AlreadyCommitted)


def test_a_folder_of_another_run_is_rejected_unless_it_wrote_nothing():
    opened("one")
    opened("two").write(0, epoch(0))
    with pytest.raises(SinkError, match=r"another run \(in day=2004-03-03\); choose another"):
        opened("one")
    assert seen().equals(wanted(range(1)))


def test_forbidden_is_an_error_and_not_waited_for(monkeypatch):
    def forbidden(*arguments, **more):
        raise PermissionError("user x may not")

    sink = opened()
    monkeypatch.setattr(Faulty, "_open", forbidden)
    with pytest.raises(SinkError, match="faulty://out cannot be written: user x may not"):
        sink.write(0, epoch(0))
    Faulty.clear()
    with pytest.raises(SinkError, match="faulty://out cannot be used: user x may not; expected"):
        opened()


def test_a_name_node_that_is_not_there_is_told_in_one_line():
    once = {"dfs.client.failover.max.attempts": 1}
    sink = HdfsSink(HdfsSink.Params(url="hdfs://127.0.0.1:1/out", options=once))
    told = r"^hdfs://127.0.0.1:1/out cannot be used: Connection refused[^\n]*; expected a folder"
    with pytest.raises(SinkError, match=told):
        sink.open(JOB, "g")


def expecting(**section):
    with pytest.raises(ConfigError) as caught:
        read_config(
            {
                "name": "x",
                "source": {"type": "doubles:Played", "script": "x"},
                "grid": {"interval": "30min"},
                "targets": {"quantities": ["temperature"]},
                "models": {"ema": {"type": "ema"}},
                "sinks": {"far": section},
            }
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"type": "hdfs", "url": "s3://bucket/x"}, "must be a URL such as hdfs://name-node:9000"),
        ({"type": "hdfs", "url": "hdfs://name-node:9000/"}, "must be a URL such as hdfs://"),
        ({"type": "hdfs"}, "url"),
        ({"type": "files", "path": "hdsf://name-node/x"}, "'hdsf'; did you mean 'hdfs'"),
    ],
)
def test_an_address_that_cannot_be_is_told_before_the_run(section, told):
    assert told in expecting(**section)


def test_settings_reach_the_driver_as_it_wants_them(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "gapcast.plugins.sinks.hdfs.open_folder", lambda url, options: given.update(options)
    )
    ours = {"dfs.replication": 2, "dfs.client.use.datanode.hostname": True}
    HdfsSink(HdfsSink.Params(url="hdfs://a/b", options=ours)).place(JOB)
    assert given == PATIENCE | {
        "dfs.replication": "2",
        "dfs.client.use.datanode.hostname": "true",
    }
    given.clear()
    HdfsSink(HdfsSink.Params(url="webhdfs://a/b", options={"kerberos": True})).place(JOB)
    assert given == {"kerberos": True}


def test_by_default_files_are_in_the_folder_of_the_run(tmp_path):
    sink = FilesSink(FilesSink.Params())
    sink.open(replace(JOB, run_dir=tmp_path), "g")
    sink.write(0, epoch(0))
    assert pq.read_table(tmp_path / "forecasts", partitioning=None).num_rows == 40
