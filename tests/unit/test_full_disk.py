"""A full disk ends a run in a bounded time, with one line; once there is space it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Keeps
from test_run import wave

from gapcast import read_config, run
from gapcast.engine.errors import SinkError
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.sink import Retry

ROOT = Path(__file__).parents[2]
MAIN = "from gapcast.engine.cli import main; main()"


def test_a_sink_is_waited_for_as_long_as_it_says(tmp_path):
    SCRIPTS["test"] = {"a": wave()}
    config = read_config(
        {
            "name": "test",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"last": {"type": "persistence"}},
            "sinks": {"kept": {"type": "doubles:Keeps"}},
            "checkpoint": {"interval": "1us"},
        }
    )
    often = Bounds(epoch_seconds=0.0)
    Keeps.answers = [None] * 3 + [Retry("no space left", 0.3)] * 1000
    try:
        with pytest.raises(SinkError, match=r"'kept' has not taken epoch 3 for 0.3 s: no space"):
            run(config, tmp_path / "r", bounds=often)
        assert 2 < len(Keeps.answers) < 999
    finally:
        Keeps.answers = []
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["state"] == "failed"
    assert run(config, tmp_path / "r", resume=True, bounds=often).complete
    SCRIPTS.clear()


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    command = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(tmp_path)]
    if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root, and a kernel that lets it")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("often", ["100ms", "1h"])
def test_a_run_on_a_full_disk_says_so_in_one_line_and_goes_on_once_there_is_space(often, disk):
    command = [sys.executable, "-c", MAIN, "run", "configs/quickstart.yaml", "--run-dir"]
    command += [str(disk / "r"), "--set", f"checkpoint.interval={often}", "--set"]
    command += ["models={last: {type: persistence}}"]
    hold = disk / "held"
    hold.write_bytes(bytes(10_250_000))
    quick = "import gapcast.plugins.sinks.parquet as p; p.FULL = 0.5; " + MAIN
    done = subprocess.run([command[0], "-c", quick, *command[3:]], cwd=ROOT, text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.strip().split("\n")[-1]
    assert "Traceback" not in done.stderr
    manifest = json.loads((disk / "r/manifest.json").read_text())
    assert manifest["state"] == "failed"
    assert "No space left on device" in manifest["error"]
    hold.unlink()
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True, capture_output=True)
    rows = pq.read_table(disk / "r/forecasts", partitioning=None)
    keys = rows.group_by(["time", "sensor", "model", "horizon"]).aggregate([]).num_rows
    assert keys == len(rows) > 1000
