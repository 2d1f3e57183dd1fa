"""Shards that make and store their own rows leave those that the coordinator would have."""

from __future__ import annotations

import clusters
import pytest
from faults import life

from gapcast import read_config, run
from gapcast.engine.run.bounds import Bounds

CUT = Bounds(epoch_rows=700, epoch_seconds=1e9)
ONE = {"type": "local", "threads": 1}
BACKENDS = {
    "local-1": ONE,
    "local-2": {"type": "local", "threads": 2},
    "local-5": {"type": "local", "threads": 5},
    "dask-1": {"type": "dask", "workers": 1, "threads": 1, "linger": 0},
    "dask-2x2": {"type": "dask", "workers": 2, "threads": 2, "linger": 0},
    "spark": {"type": "spark", "master": "local[2]", "linger": 0},
}


def config(backend, **sinks):
    about = life.config(backend)
    del about["models"]["joint"]  # it would keep all targets in one shard
    about["models"] |= {"late": {"type": "ema", "horizons": [-3, 0, 2]}}
    about["checkpoint"] = {"interval": "1h"}  # each would end an epoch
    about["grid"] |= {"max_gap": "5h"}
    return read_config(about | {"sinks": {"files": {"type": "files", "compact": False}} | sinks})


@pytest.fixture(scope="module")
def central(tmp_path_factory):
    """What is left where one sink is not parallel, so that the coordinator makes all rows."""
    folder = tmp_path_factory.mktemp("central") / "run"
    life.set_stage()
    run(config(ONE, console={"type": "console"}), folder, bounds=CUT)
    return life.left_behind(folder)


@pytest.mark.parametrize(
    "where", [pytest.param(b, marks=[pytest.mark.cluster] * (b[:5] != "local")) for b in BACKENDS]
)
def test_rows_and_scores_are_those_of_the_coordinator(where, central, tmp_path):
    if where == "spark":
        clusters.java_or_skip()
    run(config(BACKENDS[where]), tmp_path / "run", bounds=CUT)
    assert life.left_behind(tmp_path / "run") == central
    pieces = list((tmp_path / "run/forecasts").glob("day=*/part-*-1.parquet"))
    assert bool(pieces) == (where in ("local-2", "local-5", "dask-2x2"))
    for stage in ("forecasts", "ahead"):
        assert not (tmp_path / "run" / stage / "_staged").exists()


def test_a_folder_that_not_all_workers_reach_is_written_by_the_coordinator():
    from gapcast.engine.sink import Reach
    from gapcast.plugins.sinks.files import FilesSink

    def reach(**params):
        return FilesSink(FilesSink.Params(**params)).reach

    assert reach() == reach(path="out") == reach(path="file:///out") == Reach.MACHINE
    assert reach(path="memory://out") == Reach.PROCESS
    assert reach(path="hdfs://name:9000/out", ahead="out") == Reach.MACHINE
    assert reach(path="out", shared=True) == reach(path="hdfs://name:9000/out") == Reach.ANYWHERE
