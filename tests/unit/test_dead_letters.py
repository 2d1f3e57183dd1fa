"""Dead letters: made, counted by `gapcast dead-letters`, read again by a run that is set right."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gapcast import read_config, run
from gapcast.engine.cli import app
from gapcast.engine.errors import RunError
from gapcast.engine.readings import DEAD_LETTERS, dead_letters, empty

LINES = [
    "time,sensor,quantity,value",
    "2004-03-01T00:00:00Z,1,temperature,20.1",
    "2004-03-01T00:00:00Z,2,temperature,65.3",
    "2004-03-01T00:30:00Z,1,temperature,0.1000000000000000055511151231257827",
    "2004-03-01T00:30:00Z,9,temperature,21.5",
    "yesterday,2,temperature,20",
    "2004-03-01T01:00:00Z,2,temperature,66.25",
    "2004-03-01T01:00:00Z,2,temperature,warm",
    "2004-03-01T01:00:00Z,9,temperature,",
    "2004-03-01T01:00:00Z,1,temperature,20.3",
    "2004-03-01T03:00:00Z,1,temperature,20.4",
    "2004-03-01T00:00:00Z,9,temperature,21.125",
]


def test_columns_are_made_of_what_is_there():
    batch = dead_letters(
        pa.array(["late", "early"]),
        "a.txt",
        np.array([3, 5]),
        time=np.array([0, 1_000_000]),
        sensor=pa.array(["1", None]).dictionary_encode(),
        value=pa.chunked_array([[1.5], [None]]),
        raw=[None, b"?"],
    )
    assert batch.schema == DEAD_LETTERS
    first, second = (list(row.values()) for row in batch.to_pylist())
    assert first == ["late", "a.txt", 3, datetime(1970, 1, 1, tzinfo=UTC), "1", None, 1.5, None]
    assert second[:3] == ["early", "a.txt", 5]
    assert second[4:] == [None, None, None, b"?"]


def test_no_dead_letters_are_a_batch_too():
    assert dead_letters([], "a").equals(empty(DEAD_LETTERS))


def config(path, top, sensors):
    return read_config(
        {
            "name": "letters",
            "source": {"type": "replay", "path": str(path)},
            "network": {"sensors": sensors},
            "grid": {"interval": "30min"},
            "limits": {"temperature": {"min": -20, "max": top}},
            "targets": {"quantities": ["temperature"]},
            "models": {"ema": {"type": "ema"}},
        }
    )


@pytest.fixture
def first(tmp_path):
    (tmp_path / "a:b.csv").write_text("\n".join(LINES) + "\n")
    run(config(tmp_path / "a:b.csv", 60, [1, 2]), tmp_path / "r")
    return tmp_path / "r"


def gapcast(*arguments):
    """What a command prints; raises what it raises."""
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    return done.output


def test_dead_letters_are_counted_by_reason_and_partition(first):
    told = gapcast("dead-letters", "list", first).splitlines()
    assert "           2  rejected: outside the limits  (a:b.csv)" in told
    assert "           3  unknown series  (a:b.csv)" in told
    assert told[-1] == "           7  in all"
    raw = gapcast("dead-letters", "list", first, "--raw").splitlines()
    assert raw[: len(told)] == told
    assert raw[len(told) :] == [
        "a:b.csv:6  malformed time  yesterday,2,temperature,20",
        "a:b.csv:8  malformed field  warm",
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_what_was_not_used_is_read_by_a_run_set_right(first, tmp_path, ending):
    out = tmp_path / f"again.{ending}"
    told = gapcast("dead-letters", "redrive", first, "--out", out)
    assert told.splitlines() == [
        f"4 readings are in {out}",
        f"3 are not complete readings; gapcast dead-letters list {first} --raw shows those that "
        "could not be read",
    ]
    again = run(config(out, 100, [1, 2, 9]), tmp_path / "again")
    assert again.counts.read == again.counts.used == 4
    rows = pq.read_table(tmp_path / "again/forecasts", partitioning=None).to_pylist()
    seen = {(f"{r['time']:%H:%M}", r["sensor"]): r["truth"] for r in rows if r["truth"]}
    assert seen == {
        ("00:00", "2"): 65.3,
        ("00:00", "9"): 21.125,
        ("00:30", "9"): 21.5,
        ("01:00", "2"): 66.25,
    }


def test_reasons_can_be_chosen(first, tmp_path):
    out = tmp_path / "some.parquet"
    told = gapcast("dead-letters", "redrive", first, "--out", out, "--reason", "rejected")
    assert told == f"2 readings are in {out}\n"
    assert pq.read_table(out)["value"].to_pylist() == [65.3, 66.25]
    with pytest.raises(RunError, match=r"begins with 'old'; there are: .*unknown series"):
        gapcast("dead-letters", "redrive", first, "--out", tmp_path / "x.csv", "--reason", "old")
    with pytest.raises(RunError, match="already exists"):
        gapcast("dead-letters", "redrive", first, "--out", out)
    assert "must end in" in gapcast("dead-letters", "redrive", first, "--out", tmp_path / "x.txt")


def test_forecasts_that_a_sink_rejected_are_not_readings(tmp_path):
    (tmp_path / "dead_letters").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    letter = dead_letters(
        "sink tsdb: bad tag", "sink tsdb", time=[0], sensor="1", quantity="temperature", value=[1.5]
    )
    pq.write_table(pa.Table.from_batches([letter]), tmp_path / "dead_letters/part-000000.parquet")
    told = gapcast("dead-letters", "redrive", tmp_path, "--out", tmp_path / "x.csv")
    assert told.splitlines() == [
        f"0 readings are in {tmp_path / 'x.csv'}",
        "1 are forecasts that a sink rejected, and stay where they are",
    ]
    assert "1  sink tsdb: bad tag  (sink tsdb)" in gapcast("dead-letters", "list", tmp_path)


def test_a_run_without_dead_letters_and_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="is not the folder of a run"):
        gapcast("dead-letters", "list", tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert gapcast("dead-letters", "list", tmp_path) == "           0  in all\n"
    told = gapcast("dead-letters", "redrive", tmp_path, "--out", tmp_path / "none.parquet")
    assert told.startswith("0 readings are in")
    with pytest.raises(RunError, match="cannot be written: No such file"):
        gapcast("dead-letters", "redrive", tmp_path, "--out", tmp_path / "no/where.csv")
    (tmp_path / "dead_letters").mkdir()
    (tmp_path / "dead_letters/part-000000.parquet").write_bytes(b"torn")
    with pytest.raises(RunError, match=r"part-000000\.parquet cannot be read"):
        gapcast("dead-letters", "list", tmp_path)
