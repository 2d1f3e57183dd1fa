"""Flags: what screening suspects and does not reject is used, and its row says so."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gapcast import read_config, run

HALF = 30
SPIKE, STUCK = 150, range(200, 260)


@pytest.fixture
def data(tmp_path):
    """Eight days of ten sensors, one with a spike, one that stands still."""
    random = np.random.default_rng(0)
    t = np.arange(8 * 48)
    values = 20 + 3 * np.sin(2 * np.pi * t / 48)[:, None] + random.normal(0, 0.15, (len(t), 10))
    values[SPIKE, 2] += 30
    values[STUCK, 3] = values[STUCK[0], 3]
    lines = [
        f"{np.datetime64('2024-03-01') + np.timedelta64(HALF * k, 'm')}Z,{s},temperature,{x!r}"
        for k, row in enumerate(values.tolist())
        for s, x in enumerate(row)
    ]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["time,sensor,quantity,value", *lines]) + "\n")
    return path


def played(folder, path, screen, **more):
    """The rows and counts of a run, and its scores as they are written."""
    made = {
        "name": "flags",
        "source": {"type": "replay", "path": str(path)},
        "grid": {"interval": f"{HALF}min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "models": {"m": {"type": "ema", "horizons": [-3, 0]}},
        "sinks": {"files": {"type": "files"}},
        "screen": screen,
        **more,
    }
    result = run(read_config(made), folder)
    table = pq.read_table(folder / "forecasts", partitioning=None).sort_by(
        [(k, "ascending") for k in ("horizon", "time", "sensor")]
    )
    return table, result.counts, (folder / "scores.csv").read_text()


ALL = {"outliers": "flag", "stuck": "flag", "drift": "flag"}
NONE = {"outliers": "off", "stuck": "off", "drift": "off"}


def test_a_flag_changes_no_number(data, tmp_path):
    flagged, counts, scores = played(tmp_path / "a", data, ALL)
    plain, as_before, same = played(tmp_path / "b", data, NONE)
    assert flagged.drop_columns("flag").equals(plain.drop_columns("flag"))
    assert (counts, scores) == (as_before, same)
    assert plain["flag"].null_count == len(plain)
    found = flagged.filter(pc.is_valid(flagged["flag"])).to_pylist()
    assert {r["status"] for r in found} == {"observed"}
    (spike,) = (r for r in found if r["flag"] == "outlier")
    assert (spike["sensor"], spike["truth"] > 40) == ("2", True)
    stuck = [r["sensor"] for r in found if r["flag"] == "stuck"]
    assert set(stuck) == {"3"}
    assert len(stuck) > len(STUCK) / 2


def test_what_is_rejected_has_its_flag_too(data, tmp_path):
    table, counts, _ = played(tmp_path / "a", data, {"outliers": "reject", "drift": "off"})
    found = table.filter(pc.is_valid(table["flag"])).to_pylist()
    assert {r["status"] for r in found} == {"rejected"}
    assert {r["flag"] for r in found} == {"outlier", "stuck"}
    assert counts.rejected == len([r for r in found if r["horizon"] == 0])


def test_a_withheld_truth_may_be_suspected(data, tmp_path):
    spans = {
        "mode": "blackout",
        "spans": [{"from": "2024-03-04T00:00Z", "to": "2024-03-05T00:00Z"}],
    }
    table, _, _ = played(tmp_path / "a", data, ALL, evaluation=spans)
    found = table.filter(pc.equal(table["flag"], "outlier")).to_pylist()
    assert [(r["horizon"], r["sensor"], r["status"]) for r in found] == [
        (-3, "2", "withheld"),  # estimated again three steps later
        (0, "2", "withheld"),
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_flags_are_the_same_however_many_share_the_work(data, tmp_path, threads):
    backend = {"type": "local", "threads": threads}
    table, _, _ = played(tmp_path / "a", data, ALL, backend=backend)
    whole, _, _ = played(tmp_path / "b", data, ALL)
    assert table.equals(whole)
