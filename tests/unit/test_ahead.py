"""Forecasts ahead of time: told when they are made, and again with their truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, START, Keeps

from gapcast import read_config, run
from gapcast.engine.errors import ConfigError
from gapcast.engine.report.drawings import draw
from gapcast.engine.report.scores import open_run, sections
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.sink import KEY, STATUSES, is_ahead, superseded
from gapcast.engine.testing.sink import staged

HALF_HOUR = timedelta(minutes=30)
BEGIN = datetime.fromtimestamp(START / 1e6, UTC)
HORIZONS = (-2, 0, 1, 5)
STEPS = 60


@pytest.fixture(autouse=True)
def script():
    """Two sensors of which the second is missing for ten steps."""
    rng = np.random.default_rng(7)
    SCRIPTS["test"] = {
        "a": [
            (30.0 * i, s, "temperature", 20 + int(s) + np.sin(i / 4) + rng.normal(0, 0.1))
            for i in range(STEPS)
            for s in ("1", "2")
            if s == "1" or not 30 <= i < 40
        ]
    }
    yield
    SCRIPTS.clear()
    Keeps.answers.clear()


def config(sinks=None, **more):
    return read_config(
        {
            "name": "test",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "models": {"m": {"type": "ema", "horizons": list(HORIZONS)}},
            "sinks": {"files": {"type": "files"}} if sinks is None else sinks,
            **more,
        }
    )


def rows(folder):
    return pq.read_table(folder, partitioning=None).to_pylist()


def key(row):
    return tuple(row[name] for name in KEY)


def test_each_forecast_ahead_is_told_when_made_and_again_with_its_truth(tmp_path):
    result = run(config(), tmp_path / "r")
    ahead, final = ({key(r): r for r in rows(tmp_path / "r" / n)} for n in ("ahead", "forecasts"))
    assert len(ahead) == len(rows(tmp_path / "r/ahead"))
    assert result.forecasts == len(final) == len(rows(tmp_path / "r/forecasts"))
    assert {r["horizon"] for r in ahead.values()} == {1, 5}
    same = ("forecast", "lower", "upper", "regressors", "experts", "made")
    for row in ahead.values():
        assert (row["truth"], row["status"], row["flag"]) == (None, "ahead", None)
        if key(row) in final:
            assert [row[n] for n in same] == [final[key(row)][n] for n in same]
    for row in final.values():
        assert row["status"] in ("observed", "missing")
        assert (row["time"] - row["made"]) == row["horizon"] * HALF_HOUR
    assert {k for k, r in final.items() if r["horizon"] > 0} <= ahead.keys()
    left = [r for k, r in ahead.items() if k not in final]
    assert len(left) == 2 * (1 + 5)


def test_gap_ages_ahead_count_from_the_last_truth_seen(tmp_path):
    run(config(), tmp_path / "r")
    ages = {
        (r["made"] - BEGIN) // HALF_HOUR: r["gap_age"]
        for r in rows(tmp_path / "r/ahead")
        if (r["sensor"], r["horizon"]) == ("2", 5)
    }
    assert [ages[step] for step in (28, 29, 30, 31, 39, 40)] == [5, 5, 6, 7, 15, 5]


def test_a_sink_takes_the_stages_that_it_is_told_to(tmp_path):
    run(config({"files": {"type": "files", "deliver": {"ahead": False}}}), tmp_path / "final")
    assert not (tmp_path / "final/ahead").exists()
    run(config({"files": {"type": "files", "deliver": {"final": False}}}), tmp_path / "ahead")
    assert not [*(tmp_path / "ahead").glob("forecasts/day=*")]
    run(config(), tmp_path / "both")
    for name, folder in (("forecasts", "final"), ("ahead", "ahead")):
        found, wanted = (rows(tmp_path / of / name) for of in (folder, "both"))
        assert sorted(found, key=key) == sorted(wanted, key=key)
    with pytest.raises(ConfigError, match="files would be given no rows"):
        config({"files": {"type": "files", "deliver": {"ahead": False, "final": False}}})


def test_rows_ahead_come_first_in_the_epoch_in_which_they_are_made(tmp_path):
    kept = {"kept": {"type": "doubles:Keeps"}}
    run(config(kept), tmp_path / "r", bounds=Bounds(epoch_seconds=0.0))
    assert len(Keeps.epochs) > 10
    for epoch in Keeps.epochs.values():
        early = is_ahead(epoch)
        assert not (np.diff(early.astype(int)) > 0).any()
        nowcasts = [r["made"] for r in epoch.to_pylist() if r["horizon"] == 0]
        assert {r["made"] for r in epoch.filter(pa.array(early)).to_pylist()} <= {*nowcasts}


def test_what_a_final_row_supersedes_is_known_by_its_key():
    table = pa.concat_tables([staged(0), staged(1)])
    found = superseded(table)
    plain = table.to_pylist()
    final = {key(r) for r in plain if r["status"] != "ahead"}
    assert found.tolist() == [r["status"] == "ahead" and key(r) in final for r in plain]
    assert 0 < found.sum() < is_ahead(table).sum()
    assert not superseded(table.filter(pa.array(is_ahead(table)))).any()


def test_a_report_draws_what_lies_beyond_the_end(tmp_path):
    run(config(), tmp_path / "r")
    one = open_run(tmp_path / "r")
    (section,) = sections([one])
    drawing = draw([one], [section]).of[0, 0]
    last = one.span[1] - drawing.first
    assert drawing.truth.shape[1] == last + 5
    assert np.isnan(drawing.truth[:, last:]).all()
    assert (drawing.status[:, last:] == STATUSES.index("ahead")).all()
    there = {
        entry.horizon: (~np.isnan(drawing.forecast[e][:, last:])).sum(axis=1).tolist()
        for e, entry in enumerate(section.entries)
    }
    assert there == {0: [0, 0], 1: [1, 1], 5: [5, 5]}
