"""The built-in sinks pass the kit, through the same line as anyone's."""

from __future__ import annotations

from dataclasses import replace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gapcast.engine.errors import SinkError
from gapcast.engine.progress import Progress
from gapcast.engine.sink import JobInfo
from gapcast.engine.testing import sink
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.console import ConsoleSink
from gapcast.plugins.sinks.files import FilesSink


def files(folder):
    return FilesSink(FilesSink.Params(path=folder / "out"))


def read_back(folder):
    """Final rows, and those ahead."""
    there = [path for path in (folder / "out", folder / "out-ahead") if path.is_dir()]
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in there])


TestFiles = sink(files, read_back, stages=True)


def in_memory(folder):
    return FilesSink(FilesSink.Params(path=f"memory://{folder}/out"))


def read_memory(folder):
    files = fsspec.filesystem("memory")
    found = files.glob(f"{folder}/out*/day=*/*.parquet")
    return pa.concat_tables([pq.read_table(files.open(path)) for path in found])


TestFilesElsewhere = sink(in_memory, read_memory, stages=True)

JOB = JobInfo("kit", None, 1_800_000_000, ("m",), 2, ("observed",))


def test_files_are_partitioned_by_day(tmp_path):
    sink = files(tmp_path)
    sink.open(JOB, "g")
    sink.write(0, epoch(0))
    sink.write(2, epoch(2))
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in tmp_path.rglob("*.parquet"))
    assert names == [
        "day=2004-03-03/part-00000000-00000000-000000040.parquet",
        "day=2004-03-03/part-00000002-00000002-000000016.parquet",
        "day=2004-03-04/part-00000002-00000002-000000024.parquet",
    ]


def test_files_of_another_run_are_not_touched(tmp_path):
    sink = files(tmp_path)
    sink.open(JOB, "one")
    sink.write(0, epoch(0))
    with pytest.raises(SinkError, match="holds the forecasts of another run"):
        files(tmp_path).open(JOB, "two")


def test_console_prints_plain_lines_without_a_terminal(capsys):
    console = ConsoleSink(ConsoleSink.Params(every=1e-9))
    at = Progress(readings=1200, forecasts=40, shards=4, alive=2, workers=2)
    console.open(replace(JOB, progress=lambda: at), "g")
    console.write(0, epoch(0))
    console.close()
    shown = capsys.readouterr().err
    table = epoch(0).to_pylist()
    errors = [(r["forecast"] - r["truth"]) ** 2 for r in table if r["status"] == "observed"]
    assert "1,200 readings (0/s), 40 forecasts, 4 shards on 2/2 workers" in shown
    assert f"m mse {sum(errors) / len(errors):.4g}" in shown


def test_console_draws_a_table_on_a_terminal(monkeypatch):
    from io import StringIO

    from rich.console import Console

    screen = StringIO()
    monkeypatch.setattr(
        "gapcast.plugins.sinks.console.Console",
        lambda stderr: Console(file=screen, force_terminal=True, width=120),
    )
    console = ConsoleSink(ConsoleSink.Params(latest=2))
    console.open(JOB, "g")
    console.write(0, epoch(0))
    console.close()
    assert "MSE" in screen.getvalue()
    assert "temperature" in screen.getvalue()
