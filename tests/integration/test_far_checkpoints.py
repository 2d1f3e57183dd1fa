"""Checkpoints on a real HDFS: a run goes on from them as from its own folder."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Stopping

from gapcast import read_config, run
from gapcast.engine.checkpoint.format import numbers, read
from gapcast.engine.errors import CheckpointError
from gapcast.engine.storage import open_folder


@pytest.fixture
def played():
    rng = np.random.default_rng(7)
    SCRIPTS["far"] = {
        "a": Stopping(
            (30.0 * i, s, "temperature", float(v))
            for i in range(80)
            for s, v in zip("12345", 20 + rng.normal(0, 1, 5), strict=True)
        )
    }
    yield
    SCRIPTS.clear()


def config(**checkpoint):
    return read_config(
        {
            "name": "far",
            "source": {"type": "doubles:Played", "script": "far", "at_once": 20},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"ema": {"type": "ema"}},
            "checkpoint": {"interval": "1us", **checkpoint},
        }
    )


def forecasts(folder):
    table = pq.read_table(folder / "forecasts", partitioning=None)
    return table.sort_by([(key, "ascending") for key in ("time", "sensor", "model", "horizon")])


def test_a_run_goes_on_from_checkpoints_on_hdfs(hdfs, played, tmp_path):
    run(config(), tmp_path / "straight")
    far = config(path=f"{hdfs.address}/states", keep=2)
    SCRIPTS["far"]["a"].moments = [100, 300]
    for life in range(3):
        result = run(far, tmp_path / "r", resume=life > 0)
        assert result.complete == (life == 2)
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    states = open_folder(f"{hdfs.address}/states")
    (name,) = states.names()
    there = numbers(states / name)
    assert (states / name).names() == [*(f"{n:08d}" for n in there), "epochs"]
    assert len(there) == 2


def test_what_is_damaged_or_gone_on_hdfs_is_one_line(hdfs):
    folder = open_folder(f"{hdfs.address}/gone")
    assert numbers(folder) == []
    with pytest.raises(CheckpointError, match=r"meta\.json cannot be read") as caught:
        read(folder / "00000001")
    assert "\n" not in str(caught.value)
    folder.put("x", lambda file: file.write(b"one"))
    folder.put("x", lambda file: file.write(b"another"))
    assert (folder.names(), folder.read("x")) == (["x"], b"another")
    folder.drop()
    assert folder.names() == []
