"""The tap behind the page: it changes nothing, and goes on when workers are lost."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Keeps
from test_losses import Mortal, mortal
from test_run import wave

from gapcast import read_config, run
from gapcast.engine.config.serving import Serve
from gapcast.engine.run import run as running
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.serve.kernels.rows import UNSET
from gapcast.engine.serve.live import Live
from gapcast.engine.serve.notices import Notices
from gapcast.engine.serve.ring import LEAST, Ring
from gapcast.engine.serve.tap import Tap
from gapcast.engine.shard.scoring import SCORES

pytest.importorskip("starlette", reason="comes with gapcast[serve]")


@pytest.fixture
def script():
    Mortal.made = 0
    SCRIPTS["test"] = {"a": wave()}
    yield
    SCRIPTS.clear()


def directions():
    """Two hours of a wind that turns through north, and of a temperature, with gaps."""
    return [
        (m, s, q, (350 + 20 * math.sin(m / 7)) % 360 if q == "wind" else 20 + math.cos(m / 9))
        for m in range(120)
        for s in ("a", "b")
        for q in ("temperature", "wind")
        if not (s == "b" and 40 <= m < 60)
    ]


def winds(ahead, **more):
    SCRIPTS["winds"] = {"a": directions()}
    return {
        "name": "winds",
        "source": {"type": "doubles:Played", "script": "winds", "at_once": 7},
        "grid": {"interval": "1min", "aggregate": {"wind": {"circular": 360}}},
        "targets": {"quantities": ["temperature", "wind"]},
        "models": {
            "last": {"type": "persistence", "horizons": [-2, 0, 3]},
            "slow": {"type": "ema", "alpha": 0.2},
        },
        "sinks": {
            "kept": {"type": "doubles:Keeps", "deliver": {"ahead": ahead}},
            "files": {"type": "files", "deliver": {"ahead": ahead}},
        },
        **more,
    }


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_sinks_get_the_same_epochs_whether_a_run_is_watched_or_not(tmp_path, ahead, rows):
    bounds = Bounds(epoch_rows=rows, epoch_seconds=1e6)
    epochs, scores = [], []
    for more in ({}, {"serve": {"port": 0}}):
        folder = tmp_path / str(len(more))
        run(read_config(winds(ahead, **more)), folder, bounds=bounds)
        epochs.append(dict(Keeps.epochs))
        scores.append((folder / "scores.csv").read_bytes())
    assert epochs[0].keys() == epochs[1].keys()
    assert all(epochs[0][n].equals(epochs[1][n]) for n in epochs[0])
    assert scores[0] == scores[1]


@pytest.mark.parametrize("rows", [1, 10_000])
def test_running_errors_are_those_of_the_scores(tmp_path, rows):
    taps = []
    config = read_config(winds(True))
    result = running.run(
        config, tmp_path / "r", bounds=Bounds(epoch_rows=rows, epoch_seconds=1e6),
        watch=lambda job: taps.append(watched(job)),
    )  # fmt: skip
    (tap,) = taps
    assert result.scores.schema == SCORES
    of = result.scores.to_pylist()
    for score in tap.scores():
        own = [
            r
            for r in of
            if (r["model"], r["horizon"], r["quantity"])
            == (score.entry.model, score.entry.horizon, score.quantity)
        ]
        assert score.scored == sum(r["n"] for r in own)
        if score.entry.horizon < 0:  # what was observed is not smoothed
            continue
        assert score.scored > 100
        mean = sum(r["mse"] * r["n"] for r in own) / score.scored
        assert score.mse == pytest.approx(mean, rel=1e-9)
        mean = sum(r["mae"] * r["n"] for r in own) / score.scored
        assert score.mae == pytest.approx(mean, rel=1e-9)
        assert 0.3 < score.coverage <= 1
    whole = pa.concat_tables(Keeps.epochs.values())
    assert sum(tap.rows().values()) == len(whole)


def watched(job):
    tap = Tap(job, 10**9)
    job.sinks[":tap"] = tap
    return tap


def test_another_job_is_shown_when_workers_were_lost(tmp_path, script):
    config = mortal(5, "1us")
    with Notices() as notices:
        live, taps = Live("x", Serve(port=0), notices), []

        def watch(job):
            live.watch(job)
            taps.append(live.tap)

        running.run(config, tmp_path / "r", watch=watch, bounds=Bounds(checkpoints_beside=False))
        assert len(taps) == Mortal.made > 1
        assert len({*map(id, taps)}) == len(taps)
        assert "the only worker is dead" in live.status()["warnings"][-1]["text"]
    forecasts = pq.read_table(tmp_path / "r/forecasts", partitioning=None)
    last = max(t.timestamp() for t in forecasts["time"].to_pylist())
    assert live.status()["last"] == last


def test_the_ring_is_bounded_whatever_there_is():
    assert Ring(10, 2).size == 2_000
    assert 100 < Ring(10_000, 1).size < 300
    assert Ring(2_000_000, 1).size == LEAST
    small = Ring(3, 1)
    assert small.last is None
    assert len(small.of(0).steps) == 0
    assert np.isnan(small.latest()[1]).all()
    assert (small.arrived == UNSET).all()


def test_who_joins_is_shown(tmp_path):
    SCRIPTS["test"] = {
        "p": [
            (1.0 * i, s, q, i + 100.0 * (q == "humidity"))
            for i in range(90)
            for s, q in (("a", "temperature"), ("b", "temperature"), ("b", "humidity"))
            if i >= 20 * (s == "b") + 20 * (q == "humidity")
        ]
    }
    about = winds(False) | {
        "source": {"type": "doubles:Unannounced", "script": "test", "known": []},
        "grid": {"interval": "1min"},
        "targets": {"quantities": ["temperature", "humidity"]},
        "models": {
            "last": {"type": "persistence", "horizons": [0, 3]},
            "slow": {"type": "ema", "role": "shadow"},
        },
        "serve": {"port": 0},
    }
    live = Live("winds", Serve(port=0), Notices())
    result = running.run(read_config(about), tmp_path / "r", watch=live.watch)
    assert live.sensors()["sensors"] == ["a", "b", "b"]
    assert live.status()["states"]["ok"] == 3
    rows = pq.read_table(tmp_path / "r/forecasts", partitioning=None).to_pylist()
    of = [r for r in rows if (r["sensor"], r["quantity"]) == ("b", "humidity")]
    shown = live.series("b", "humidity", model="last")
    (entry,) = (e for e in shown["entries"] if e["horizon"] == 0)
    said = dict(zip(shown["times"], entry["forecast"], strict=True))
    nowcasts = {r["time"].timestamp(): r["forecast"] for r in of if r["horizon"] == 0}
    assert {t: v for t, v in said.items() if v is not None} == nowcasts
    assert {r["model"] for r in rows} == {"last"}
    scores = {(s["model"], s["horizon"], s["quantity"]): s["n"] for s in live.status()["scores"]}
    found = result.scores.to_pylist()
    for key, n in scores.items():
        assert n == sum(r["n"] for r in found if (r["model"], r["horizon"], r["quantity"]) == key)
