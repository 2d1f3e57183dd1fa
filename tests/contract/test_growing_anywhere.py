"""Networks grow on every backend alike: the same rows and scores, to the last bit."""

from __future__ import annotations

import clusters
import pytest
from faults import life

from gapcast import read_config, run

BACKENDS = {
    "local-3": {"type": "local", "threads": 3},
    "dask": {"type": "dask", "workers": 2, "threads": 1},
    "spark": {"type": "spark", "master": "local[2]"},
}


def config(backend, **sinks):
    about = life.config(backend)
    del about["models"]["joint"]  # it would keep all targets in one shard
    about["models"]["auto"] = {"type": "auto", "horizons": [-1, 0, 2]}
    about["checkpoint"] = {"interval": "1h"}
    about["sinks"] |= sinks
    return read_config(about)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one thread leaves behind, all rows made by the coordinator."""
    folder = tmp_path_factory.mktemp("one") / "run"
    life.set_stage()
    run(config({"type": "local", "threads": 1}, console={"type": "console"}), folder)
    return life.left_behind(folder)


@pytest.mark.parametrize(
    "where", [pytest.param(b, marks=[pytest.mark.cluster] * (b[:5] != "local")) for b in BACKENDS]
)
def test_who_joins_is_forecast_the_same_everywhere(where, one, tmp_path):
    if where == "spark":
        clusters.java_or_skip()
    run(config(BACKENDS[where]), tmp_path / "run")
    assert life.left_behind(tmp_path / "run") == one
    assert len({row["sensor"] for row in one["forecasts"]}) == 6
