"""``gapcast plugins check``: the kits without pytest."""

from __future__ import annotations

import pytest
from command import gapcast

LEAKS = """
from gapcast.engine.forecaster import Forecast, Forecaster
from gapcast.engine.plugin import Params
from pydantic import Field

class Leaks(Forecaster):
    class Params(Params):
        clean: bool = Field(default=False, description="Whether to be good.")

    def start(self, layout):
        return {}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        out.mean[...] = (0 if self.params.clean else frame.own[:, :, None])
        return out
"""
SINK = """
import pyarrow as pa
import pyarrow.parquet as pq
from gapcast.engine.testing import sink
from gapcast.plugins.sinks.files import FilesSink

def make(folder):
    return FilesSink(FilesSink.Params(path=folder / "out"))

def read_back(folder):
    stages = [folder / name for name in ("out", "out-ahead") if (folder / name).exists()]
    return pa.concat_tables([pq.read_table(of, partitioning=None) for of in stages])

TestFiles = sink(make, read_back, stages=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments):
    return gapcast("plugins", "check", *arguments)


def test_one_line_a_check_and_exit_code_1_on_a_failure(folder):
    (folder / "mine.py").write_text(LEAKS)
    bad = check("mine:Leaks")
    assert bad.returncode == 1
    lines = bad.stdout.splitlines()
    assert "ok       the_frame_is_left_alone" in lines
    assert "failed   a_forecast_is_made_before_its_truth: horizon 0 saw its truth" in lines
    good = check("mine:Leaks", "--set", "clean=true")
    assert (good.returncode, good.stderr) == (0, "")
    assert len(good.stdout.splitlines()) == len(lines)


def test_a_source_is_read_where_it_is_told_and_its_poison_is_a_counted_skip(folder):
    rows = [f"2004-03-01T00:{i:02}:00Z,{i % 3},temperature,{i}.5\n" for i in range(12)]
    (folder / "a.csv").write_text("time,sensor,quantity,value\n" + "".join(rows))
    done = check("replay", "--set", "path=a.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert "skipped  poison_costs_only_itself: " in done.stdout
    assert done.stdout.count("ok ") == 12


def test_a_sink_needs_a_side_door(folder):
    done = check("files")
    assert done.returncode == 1
    assert "conformance.sink(make, read_back)" in done.stderr
    (folder / "side_door.py").write_text(SINK)
    for suite in ("side_door:TestFiles", "side_door.py:TestFiles"):
        done = check("files", "--suite", suite)
        assert (done.returncode, done.stderr) == (0, "")
        assert "ok       a_crash_while_writing_leaves_all_or_nothing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no plugin is called 'nosuch'"),
        (["kafka"], "'kafka' is a source and a sink; say --kind source or --kind sink"),
        (["ema", "--set", "alfa=1"], "alfa"),
        (["ema", "--suite", "json:loads"], "was not made by a kit"),
        (["ema", "--suite", "nosuch:Test"], "write module:TestName"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, message):
    done = check(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
