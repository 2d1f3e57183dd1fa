"""Runs with inputs leave the same numbers on every backend."""

from __future__ import annotations

import clusters
import numpy as np
import pyarrow.parquet as pq
import pytest

from gapcast import read_config, run

METERS = 7
DAYS = 5


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """A file of meters, whose power depends on the temperature outside, which is in another, and
    was foretold in a third."""
    folder = tmp_path_factory.mktemp("readings")
    rng = np.random.default_rng(5)
    outside = 10 + 5 * rng.normal(size=48 * DAYS)
    texts = {name: ["time,sensor,quantity,value"] for name in ("meters", "roof", "foretold")}
    for i, x in enumerate(outside):
        time = f"2024-03-{1 + i // 48:02}T{i // 2 % 24:02}:{30 * (i % 2):02}:00Z"
        if rng.random() > 0.1:
            texts["roof"].append(f"{time},roof,temperature,{x}")
        if rng.random() > 0.1:
            texts["foretold"].append(f"{time},service,temperature,{x + rng.normal()}")
        for k in range(METERS):
            if rng.random() > 0.1:
                value = 100 + 20 * k - (3 + k) * x + rng.normal()
                texts["meters"].append(f"{time},m{k},power,{value}")
    for name, lines in texts.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def left_behind(readings, backend, folder):
    """The forecasts of a run, sorted, and the bytes of its scores."""
    config = {
        "name": "inputs",
        "source": {"type": "replay", "path": str(readings)},
        "grid": {"interval": "30min"},
        "targets": {"quantities": ["power"]},
        "inputs": {
            "weather": ["roof/temperature"],
            "foretold": {"series": ["service/temperature"], "ahead": "2h"},
        },
        "evaluation": {
            "mode": "blackout",
            "spans": [{"from": "2024-03-03", "to": "2024-03-04"}],
        },
        "models": {"auto": {"type": "auto", "block": 3, "horizons": [0, 2]}},
        "backend": backend,
    }
    result = run(read_config(config), folder)
    assert result.complete
    assert result.counts.used == result.counts.read
    table = pq.read_table(folder / "forecasts", partitioning=None)
    table = table.sort_by([(k, "ascending") for k in table.column_names[:5]])
    return table, (folder / "scores.csv").read_bytes()


@pytest.fixture(scope="module")
def wanted(readings, tmp_path_factory):
    return left_behind(
        readings, {"type": "local", "threads": 1}, tmp_path_factory.mktemp("w") / "r"
    )


def test_on_dask(readings, wanted, tmp_path):
    backend = {"type": "dask", "workers": 2, "threads": 1, "linger": 0}
    table, scores = left_behind(readings, backend, tmp_path / "r")
    assert table.equals(wanted[0])
    assert scores == wanted[1]


def test_on_spark(readings, wanted, tmp_path):
    clusters.java_or_skip()
    backend = {"type": "spark", "master": "local[2]", "linger": 0}
    table, scores = left_behind(readings, backend, tmp_path / "r")
    assert table.equals(wanted[0])
    assert scores == wanted[1]
